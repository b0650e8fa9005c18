//! Policies and the requests to them.
//!
//! Limits are too large to be used up, but where a case says so: a denial is another way.

use tollgate::limit::{Unit, Window};
use tollgate::policy::model::{self, Counting, Limit, Mode, Place, Placed};
use tollgate::policy::respond::Respond;
use tollgate::policy::set::PolicySet;
use tollgate::time::Span;

use super::{Case, SEED, Texts};

pub(crate) const X_RATELIMIT: &str = "respond: { headers: [x-ratelimit] }\n";
const SERVICE_MANAGER: &str = include_str!("../../policies/sap-service-manager.yaml");
pub(crate) const THREE_DESCRIPTORS: &str = "\
domain: bench
rules:
  - { name: per-tenant, match: { method: GET }, per: [tenant], limits: [1000000000/day] }
  - { name: per-app, match: { endpoint: /v1/orders }, per: [app], limits: [1000000000/day] }
  - { name: per-user, match: { region: eu }, per: [user], limits: [1000000000/day] }
";

pub(crate) fn one_descriptor<const N: usize>(entries: [(&'static str, &str); N]) -> Texts {
    vec![entries.map(|(key, value)| (key, value.to_owned())).into()]
}

pub(crate) fn service_manager(name: &str, method: &str, endpoint: &str) -> Case {
    let texts = one_descriptor([("user", "u-81344"), ("method", method), ("endpoint", endpoint)]);
    Case::new(name, SERVICE_MANAGER, "sap-service-manager", vec![texts])
}

/// The standard request: a tenant, an app and a user of the same number.
pub(crate) fn three_descriptors(keys: u32) -> Case {
    Case::new("three-descriptors", THREE_DESCRIPTORS, "bench", three_of_each(keys))
}

pub(crate) fn three_descriptors_with_headers(keys: u32) -> Case {
    let policy = format!("{THREE_DESCRIPTORS}{X_RATELIMIT}");
    Case::new("three-descriptors-headers", &policy, "bench", three_of_each(keys))
}

fn three_of_each(keys: u32) -> Vec<Texts> {
    let request = |key: u32| {
        vec![
            vec![("tenant", format!("t{key}")), ("method", "GET".to_owned())],
            vec![("app", format!("a{key}")), ("endpoint", "/v1/orders".to_owned())],
            vec![("user", format!("u{key}")), ("region", "eu".to_owned())],
        ]
    };
    (0..keys).map(request).collect()
}

/// One descriptor, whose rule has two windows.
pub(crate) fn two_windows(keys: u32) -> Case {
    let policy = "domain: bench\nrules:\n  - { name: all, per: [tenant], limits: [1000000000/day, \
                  100000000/hour] }\n";
    Case::new("two-windows", policy, "bench", (0..keys).map(tenant).collect())
}

/// A request that is about this key alone.
pub(crate) fn tenant(key: u32) -> Texts {
    one_descriptor([("tenant", &format!("tenant-{key}"))])
}

/// As many descriptors of two entries, with a rule each.
pub(crate) fn descriptors(count: usize, keys: u32) -> Case {
    let rule = |name| {
        format!(
            "  - {{ name: {name}, match: {{ method: GET }}, per: [{name}], limits: \
             [1000000000/day] }}\n"
        )
    };
    let rules: String = NAMES[..count].iter().map(rule).collect();
    let policy = format!("domain: bench\nrules:\n{rules}");
    let requests = (0..keys).map(|key| named(count, key)).collect();
    Case::new("descriptors", &policy, "bench", requests)
}

const NAMES: [&str; 8] = ["k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7"];

/// A request of so many descriptors about one key.
pub(crate) fn named(count: usize, key: u32) -> Texts {
    let entries = |name| vec![(name, format!("v{key}")), ("method", "GET".to_owned())];
    NAMES[..count].iter().copied().map(entries).collect()
}

/// One rule for each tenant: more than a policy file may hold, so compiled from the model.
pub(crate) fn many_rules(count: u32) -> Case {
    let rule = |rule: u32| model::Rule {
        conditions: vec![model::Condition {
            attribute: placed("tenant".to_owned()),
            pattern: model::Pattern::Equals(format!("t{rule}")),
        }],
        per: vec![placed("user".to_owned())],
        limits: vec![placed(Limit::new(90_000, Counting::Fixed(Window::epoch(Unit::Day))))],
        ..model::Rule::new(placed(format!("r{rule}")))
    };
    let policy = model::Policy {
        domain: placed("bench".to_owned()),
        body: model::Body::Native(Box::new(model::NativePolicy {
            attributes: Vec::new(),
            tables: Vec::new(),
            rules: (0..count).map(rule).collect(),
            respond: Respond::NATIVE,
            load: None,
        })),
    };
    let set = PolicySet::new(&[policy], SEED, &Mode::Enforce.into());
    Case::of(&count.to_string(), set, "bench", (0..count).map(of_rule).collect())
}

/// A request that one of many rules is for.
pub(crate) fn of_rule(rule: u32) -> Texts {
    tenant_and_user(rule, 1)
}

pub(crate) fn tenant_and_user(tenant: u32, user: u32) -> Texts {
    one_descriptor([("tenant", &format!("t{tenant}")), ("user", &format!("u{user}"))])
}

pub(crate) fn placed<T>(value: T) -> Placed<T> {
    Placed { value, place: Place::default() }
}

/// One table of endpoints; every request meets its own row and the one for everything.
pub(crate) fn many_endpoints(count: u32) -> Case {
    let mut policy = "domain: bench\nrules:\n  - name: api\n    base: \"/{organization}\"\n    \
                      per: [organization]\n    endpoints:\n      - [\"*\", /**, 90000/day]\n"
        .to_owned();
    for row in 0..count {
        let group = row % 100;
        policy.push_str(&format!("      - [GET, \"/g{group}/{{id}}/r{row}\", 90000/day]\n"));
    }
    let request = |row: u32| {
        let path = format!("/acme/g{}/42/r{row}", row % 100);
        one_descriptor([("method", "GET"), ("endpoint", &path)])
    };
    Case::new(&count.to_string(), &policy, "bench", (0..count).map(request).collect())
}

/// One rule for a list of templates; every request meets the one that is its own.
pub(crate) fn many_templates(count: u32) -> Case {
    let mut policy = "domain: bench\nrules:\n  - name: listed\n    per: [organization]\n    \
                      limits: [1000000000/day]\n    match:\n      method: GET\n      \
                      endpoint:\n"
        .to_owned();
    for number in 0..count {
        let group = number % 100;
        policy.push_str(&format!("        - \"/{{organization}}/g{group}/{{id}}/r{number}\"\n"));
    }
    let request = |number: u32| {
        let path = format!("/acme/g{}/42/r{number}", number % 100);
        one_descriptor([("method", "GET"), ("endpoint", &path)])
    };
    Case::new(&count.to_string(), &policy, "bench", (0..count).map(request).collect())
}

/// What the language can say beyond patterns, one rule each.
pub(crate) fn language() -> Vec<Case> {
    let rule = |name: &str, tables: &str, rule: &str| {
        let policy = format!(
            "domain: bench\ntables: {{ {tables} }}\nrules:\n  - {{ name: r, per: [tenant], {rule} }}\n"
        );
        let entries = [("tenant", "acme"), ("rows", "250"), ("method", "GET")];
        Case::new(name, &policy, "bench", vec![one_descriptor(entries)])
    };
    let table = "tenant: { default: { units: 1 }, acme: { units: 400 } }";
    vec![
        rule("fixed", "", "limits: [90000000/day]"),
        rule("rolling", "", "limits: [90000000/day rolling]"),
        rule("bucket", "", "limits: [90000000/day bucket]"),
        rule("pausing", "", "limits: [90000000/day], resume_below: 50%"),
        rule("formula", table, "limits: [\"90000000 + 1500 * tenant.units / day\"]"),
        rule("cost", "", "limits: [90000000000/day], cost: ceil(rows / 100)"),
        rule("when", "", "limits: [90000000/day], when: 'method == \"GET\" && int(rows) > 100'"),
        rule(
            "override",
            "",
            "limits: [5/day], overrides: [{ match: { tenant: acme }, limits: [90000000/day] }]",
        ),
    ]
}

pub(crate) fn many_keys(count: u32) -> Case {
    let policy = "domain: bench\nrules: [{ name: all, per: [tenant], limits: [1000000000/day] }]\n";
    let request = |key: u32| one_descriptor([("tenant", &format!("tenant-{key}"))]);
    let mut case =
        Case::new(&count.to_string(), policy, "bench", (0..count).map(request).collect());
    case.step = Span::from_millis(1);
    for _ in 0..count {
        case.decide();
    }
    case
}
