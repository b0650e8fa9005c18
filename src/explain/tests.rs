//! Explanations from policy text to text, and against what deciding then says.

use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::text::{Shown, render};
use super::{Code, Explanation, LoadVerdict, explain};
use crate::decide::{self, Reported};
use crate::limit::Hits;
use crate::policy::model::{Mode, Source};
use crate::policy::set::{CounterSeed, PolicySet};
use crate::request::{Descriptor, Entry, Request};
use crate::store::memory::MemoryStore;
use crate::time::{Span, Timestamp};

/// The whole language.
const POLICY: &str = include_str!("../../tests/explain/policy.yaml");
/// 2026-06-01 10:00:10 UTC.
const NOW: Timestamp = Timestamp::from_seconds(1_780_308_010);

struct Gate {
    set: PolicySet,
    store: MemoryStore,
    reported: Option<Reported>,
}

impl Gate {
    fn new(policy: &str) -> Self {
        let source = [Source { name: "p.yaml".to_owned(), text: policy.to_owned() }];
        let compiled = crate::policy::compile(&source, CounterSeed([1, 2]), &Mode::Enforce.into());
        let set = compiled.set.unwrap_or_else(|| panic!("{:#?}", compiled.diagnostics));
        Self { set, store: MemoryStore::default(), reported: None }
    }

    fn explain(&self, request: &Request<'_>, now: Timestamp) -> Explanation {
        let try_out = |charges: &[decide::Charge<'_>]| self.store.try_out(charges, now);
        explain(&self.set, request, now, |_| self.reported, try_out).unwrap()
    }

    /// Of one descriptor, for people.
    fn text(&self, entries: &[(&str, &str)], hits: u64, all: bool) -> String {
        let explanation = self.explain(&request(entries, hits), NOW);
        render(&explanation, Shown { counters: "counters of a test", all })
    }

    /// Whether it passes.
    fn decide(&self, request: &Request<'_>, now: Timestamp) -> bool {
        self.status(request, now) == 200
    }

    fn status(&self, request: &Request<'_>, now: Timestamp) -> u16 {
        let plan = decide::plan(&self.set, request, now, |_| self.reported);
        let outcomes = self.store.charge(&plan.charges, now);
        decide::conclude(&plan, &outcomes).status()
    }
}

/// `TOLLGATE_GOLDEN=write` writes the files anew.
#[expect(clippy::disallowed_methods, reason = "a switch for who changes the texts")]
fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explain").join(name);
    if std::env::var("TOLLGATE_GOLDEN").is_ok_and(|value| value == "write") {
        std::fs::write(&path, text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(path).unwrap());
}

fn request<'a>(entries: &[(&'a str, &'a str)], hits: u64) -> Request<'a> {
    let entry =
        |(key, value): &(&'a str, &'a str)| Entry { key: key.as_bytes(), value: value.as_bytes() };
    let entries = entries.iter().map(entry).collect();
    let descriptor = Descriptor { entries, hits: Hits::Take(hits), limit: None };
    Request { domain: b"all", descriptors: std::iter::once(descriptor).collect() }
}

const ACME: &[(&str, &str)] = &[
    ("x-tenant", "acme"),
    ("user", "u"),
    ("method", "POST"),
    ("endpoint", "/v1/b/7"),
    ("rows", "250"),
];

#[test]
fn a_request_that_passes() {
    let gate = Gate::new(POLICY);
    golden("passes.txt", &gate.text(ACME, 1, false));
}

#[test]
fn a_request_that_is_denied_and_a_pause() {
    let gate = Gate::new(POLICY);
    for _ in 0..4 {
        assert!(gate.decide(&request(ACME, 1), NOW));
    }
    // The last one is more than `rows` has left, and pauses it.
    for hits in [2, 3] {
        assert!(!gate.decide(&request(ACME, hits), NOW));
    }
    golden("denied.txt", &gate.text(ACME, 1, false));
}

#[test]
fn an_exempt_request_with_what_cannot_be_worked_out_and_what_speaks_to_terminals() {
    let gate = Gate::new(POLICY);
    let entries = &[
        ("x-tenant", "zzz"),
        ("user", "\u{1b}[31m\u{202e}u\n"),
        ("method", "GET"),
        ("endpoint", "/v1/health"),
        ("rows", "many"),
        ("page", "x"),
    ];
    let text = gate.text(entries, 2, false);
    golden("exempt.txt", &text);
    let odd = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
    assert!(!text.contains(odd));
}

#[test]
fn what_does_not_apply_is_cut_unless_all_is_wanted() {
    let rules: String = (0..40)
        .map(|rule| {
            format!("  - name: r{rule}\n    match: {{ tenant: t{rule} }}\n    limits: [1/day]\n")
        })
        .collect();
    let gate = Gate::new(&format!("domain: all\nrules:\n{rules}"));
    let entries = [("tenant", "t7")];
    let text = gate.text(&entries, 1, false);
    assert!(text.contains("39 rules do not apply"), "{text}");
    assert!(text.contains("and 29 more; `--all` shows them"), "{text}");
    assert!(text.lines().count() < 25, "{text}");
    let all = gate.text(&entries, 1, true);
    assert_eq!(all.lines().count(), text.lines().count() + 28, "{all}");
}

#[test]
fn a_tree_of_descriptors_tells_its_steps() {
    let policy = "\
domain: all
descriptors:
  - key: tenant
    rate_limit: { unit: minute, requests_per_unit: 2 }
    descriptors:
      - { key: path, value: /a*, rate_limit: { unit: second, requests_per_unit: 0 } }
";
    let gate = Gate::new(policy);
    let text = gate.text(&[("tenant", "t"), ("path", "/ab")], 1, false);
    assert!(text.starts_with("DENIED by `tenant > path=/a*`"), "{text}");
    assert!(text.contains("  tenant=t: the rule for every value; has a limit\n"), "{text}");
    assert!(text.contains("  path=/ab: a rule with a wildcard; has a limit\n"), "{text}");
    let text = gate.text(&[("user", "u")], 1, false);
    assert!(text.starts_with("passes: nothing limits it\n"), "{text}");
    assert!(text.contains("no rule at this level"), "{text}");
}

#[test]
fn quotas_are_told_apart_from_what_denies_by_itself() {
    let policy = "\
domain: all
descriptors:
  - { key: a, quota_mode: true, rate_limit: { unit: hour, requests_per_unit: 0 } }
  - { key: b, quota_mode: true, rate_limit: { unit: hour, requests_per_unit: 1 } }
";
    let gate = Gate::new(policy);
    let mut both = request(&[("a", "1")], 1);
    both.descriptors.extend(request(&[("b", "1")], 1).descriptors);
    let text = render(&gate.explain(&both, NOW), Shown { counters: "x", all: false });
    assert!(text.starts_with("passes"), "{text}");
    assert!(
        text.contains(", a quota: denies only when all quotas of the request are used up"),
        "{text}"
    );
    assert!(text.contains("  <- USED UP: never fits"), "{text}");
    assert!(gate.text(&[("a", "1")], 1, false).starts_with("DENIED by `a`"));
}

#[test]
fn a_rule_that_wants_no_other_entries_says_so() {
    let gate = Gate::new(
        "domain: all\nrules: [{ name: r, per: [a], others: absent, limits: [1/hour] }]\n",
    );
    let text = gate.text(&[("a", "1"), ("b", "2")], 1, true);
    assert!(text.contains("it has entries that the rule does not name"), "{text}");
    let text = gate.text(&[("a", "1")], 1, true);
    assert!(text.contains("r, counter of a=1"), "{text}");
}

#[test]
fn the_longest_wait_answers_for_several_descriptors() {
    let gate = Gate::new(
        "domain: all\nrules:\n  - { name: a, match: { a: present }, limits: [1/minute] }\n  \
         - { name: b, match: { b: present }, limits: [1/hour], respond: { retry_after: { max: 60s } } }\n",
    );
    let mut both = request(&[("a", "1")], 1);
    both.descriptors.extend(request(&[("b", "1")], 1).descriptors);
    assert!(gate.decide(&both, NOW));
    let explanation = gate.explain(&both, NOW);
    let binding = explanation.decision.binding.as_ref().unwrap();
    let passes = binding.limit.passes.as_ref().unwrap();
    assert_eq!((binding.descriptor, binding.rule.as_str()), (1, "b"));
    assert_eq!((passes.in_seconds, passes.at.as_str()), (3_590, "2026-06-01T11:00:00Z"));
    let text = render(&explanation, Shown { counters: "x", all: false });
    assert!(text.starts_with("DENIED by `b` (descriptor 2): 1/hour is used up"), "{text}");
    assert!(text.contains("\nclients are told to wait 1m: the policy caps it\n"), "{text}");
}

#[test]
fn no_wait_is_promised_where_another_limit_never_admits_so_many() {
    let gate = Gate::new(
        "domain: all\nrules:\n  - { name: small, limits: [2/second] }\n  \
         - { name: long, limits: [4/hour] }\n",
    );
    assert!(gate.decide(&request(&[("a", "1")], 2), NOW));
    let text = gate.text(&[("a", "1")], 3, false);
    let answer = "DENIED by `long`: 3 hits do not fit into the 2 left of 4/hour\n\
        waiting does not help: so many hits never fit `small`\n";
    assert!(text.starts_with(answer), "{text}");
}

const LOAD: &str = "\
domain: all
load:
  capacity: 4/10s
  shed: 90
  warn: 50
  exempt: [{ endpoint: /baskets/** }]
rules:
  - { name: load, per: [tenant], limits: [9/hour] }
  - { name: never, match: { tenant: none }, limits: [0/hour] }
";
const ORDERS: &[(&str, &str)] = &[("tenant", "acme"), ("endpoint", "/orders")];
const BASKETS: &[(&str, &str)] = &[("tenant", "acme"), ("endpoint", "/baskets/1")];
const NEVER: &[(&str, &str)] = &[("tenant", "none"), ("endpoint", "/orders")];

#[test]
fn load_is_told_and_who_is_shed() {
    let in_flight = LOAD.replace("4/10s", "{ in_flight: 4, lease: 120s }");
    let reported_only = LOAD.replace("  capacity: 4/10s\n", "");
    let shadow = format!("mode: shadow\n{LOAD}");
    let mut told = String::new();
    for (what, policy, before, reported, entries) in [
        ("warned", LOAD, 1, None, ORDERS),
        ("shed", LOAD, 3, None, ORDERS),
        ("shed, and nothing would help", LOAD, 3, None, NEVER),
        ("exempt", LOAD, 3, None, BASKETS),
        ("in shadow", &shadow, 3, None, ORDERS),
        ("reported in shadow", &shadow, 0, Some(95), ORDERS),
        ("under way", &in_flight, 3, None, ORDERS),
        ("reported with requests under way", &in_flight, 0, Some(100), ORDERS),
        ("reported", LOAD, 0, Some(95), ORDERS),
        ("only reported", &reported_only, 0, Some(60), ORDERS),
        ("only reported, and nothing is", &reported_only, 0, None, ORDERS),
        ("only reported, and shed", &reported_only, 0, Some(90), ORDERS),
    ] {
        let mut gate = Gate::new(policy);
        for _ in 0..before {
            assert!(gate.decide(&request(ORDERS, 1), NOW), "{what}");
        }
        let until = NOW.plus(Span::from_seconds(300));
        gate.reported = reported.map(|percent| Reported { percent, until });
        told.push_str(&format!("# {what}\n{}\n", gate.text(entries, 1, false)));
    }
    golden("load.txt", &told);
}

#[test]
fn a_report_that_has_ended_is_not_told() {
    let mut gate = Gate::new(LOAD);
    gate.reported = Some(Reported { percent: 100, until: NOW });
    let load = gate.explain(&request(ORDERS, 1), NOW).load.unwrap();
    assert_eq!((load.percent, load.reported, load.verdict), (25, None, LoadVerdict::Admitted));
}

#[test]
fn what_is_shed_is_bound_by_no_rule() {
    let mut gate = Gate::new(LOAD);
    gate.reported = Some(Reported { percent: 95, until: NOW.plus(Span::from_seconds(300)) });
    let explanation = gate.explain(&request(ORDERS, 1), NOW);
    let written = json!(explanation);
    assert_eq!(serde_json::from_value::<Explanation>(written.clone()).unwrap(), explanation);
    assert_eq!(
        written["decision"],
        json!({ "code": "over_limit", "status": 503, "never_fits": [], "shadow_denials": [] })
    );
    assert_eq!(
        written["load"],
        json!({
            "capacity": { "limit": "4 per 10 seconds", "amount": 4, "kind": "rolling" },
            "percent": 95, "status": "THROTTLE",
            "reported": { "percent": 95, "until": "2026-06-01T10:05:10Z" },
            "thresholds": { "warn": 50, "throttle": 90, "shed": 90 },
            "exempt": false, "shadow": false, "verdict": "shed",
            "passes": { "in_seconds": 300, "at": "2026-06-01T10:05:10Z" },
            "told_wait_seconds": 60,
        })
    );
}

/// The names and types of a value, without what it says.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), shape(value))).collect()
        }
        Value::Array(items) => items.iter().take(1).map(shape).collect(),
        Value::String(_) => json!("text"),
        Value::Number(_) => json!("number"),
        Value::Bool(_) => json!("bool"),
        Value::Null => Value::Null,
    }
}

#[test]
fn the_shape_of_the_json_stays() {
    let gate = Gate::new(POLICY);
    let explanation = gate.explain(&request(ACME, 100), NOW);
    let written = json!(explanation);
    let read: Explanation = serde_json::from_value(written.clone()).unwrap();
    assert_eq!(read, explanation);
    let limit = json!({
        "limit": "text", "amount": "number", "capacity": "number", "kind": "text",
        "window": "text", "hits": "number", "left": "number",
        "resets": { "in_seconds": "number", "at": "text" }, "paused": "bool", "verdict": "text",
    });
    let pair = json!([{ "name": "text", "value": "text" }]);
    let mut binding = limit.clone();
    binding["resume_below"] = json!("text");
    let mut found = shape(&written);
    let applies = written["descriptors"][0]["applies"].as_array().unwrap();
    let writes = shape(applies.iter().find(|rule| rule["rule"] == "writes").unwrap());
    found["descriptors"][0]["applies"] = json!([]);
    assert_eq!(
        found,
        json!({
            "at": "text", "domain": "text",
            "decision": {
                "code": "text", "status": "number", "never_fits": ["text"], "shadow_denials": ["text"],
                "binding": {
                    "descriptor": "number", "rule": "text", "counted_per": pair, "limit": binding,
                },
            },
            "descriptors": [{
                "entries": pair, "hits": "number", "unlimited": "bool", "attributes": pair,
                "steps": [], "applies": [], "replaced": [],
                "does_not_apply": [{ "rule": "text", "why": "text" }],
            }],
        })
    );
    let over = json!({ "reason": "text", "until": "text" });
    assert_eq!(
        writes,
        json!({
            "rule": "text", "match": "text", "when": "text", "shadow": "bool",
            "charge_always": "bool", "unlimited": "bool", "counted_per": pair,
            "rows": [{
                "attribute": "text", "value": "text", "is_default": "bool", "fields": pair,
            }],
            "override": over, "ended_overrides": [over], "limits": [limit],
        })
    );
    assert_eq!(written["decision"]["code"], "over_limit");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn explaining_changes_nothing_and_says_what_deciding_then_says(
        asks in prop::collection::vec((0..2_usize, 0..8_u64, 0..30_u64), 1..30),
    ) {
        let gate = Gate::new(POLICY);
        let mut now = NOW;
        for (tenant, hits, seconds) in asks {
            now = now.plus(Span::from_seconds(seconds));
            let mut entries = ACME.to_vec();
            entries[0].1 = ["acme", "zzz"][tenant];
            let request = request(&entries, hits);
            let before = format!("{:?}", gate.store);
            let explanation = gate.explain(&request, now);
            prop_assert_eq!(format!("{:?}", gate.store), before);
            let status = gate.status(&request, now);
            prop_assert_eq!(explanation.decision.code == Code::Ok, status == 200);
            prop_assert_eq!(explanation.decision.status, status);
        }
    }

    #[test]
    fn what_is_explained_of_load_is_what_deciding_then_says(
        asks in prop::collection::vec((any::<bool>(), 0..3_u64, 0..3_u64, 0..101_u8), 1..30),
        capacity in 0..3_usize,
        is_shadow: bool,
    ) {
        let capacity = ["  capacity: 4/10s\n", "  capacity: { in_flight: 4, lease: 9s }\n", ""][capacity];
        let mode = if is_shadow { "mode: shadow\n" } else { "" };
        let mut gate = Gate::new(&format!("{mode}{}", LOAD.replace("  capacity: 4/10s\n", capacity)));
        let mut now = NOW;
        for (is_exempt, hits, seconds, percent) in asks {
            now = now.plus(Span::from_seconds(seconds));
            let until = now.plus(Span::from_seconds(2));
            gate.reported = (percent % 2 == 0).then_some(Reported { percent, until });
            let request = request(if is_exempt { BASKETS } else { ORDERS }, hits);
            let before = format!("{:?}", gate.store);
            let explanation = gate.explain(&request, now);
            prop_assert_eq!(format!("{:?}", gate.store), before);
            let load = explanation.load.as_ref().unwrap();
            prop_assert_eq!((load.exempt, load.shadow), (is_exempt, is_shadow));
            let status = gate.status(&request, now);
            prop_assert_eq!(explanation.decision.status, status);
            prop_assert_eq!(load.is_shed(), status == 503);
            if is_exempt || load.verdict == LoadVerdict::Admitted {
                prop_assert_eq!((load.verdict, &load.passes), (LoadVerdict::Admitted, &None));
            }
            let is_reported = load.reported.as_ref().is_some_and(|it| it.percent >= 90);
            if load.is_shed() && !is_reported {
                // Nothing is counted of what is shed, and so it passes when that is promised.
                let wait = load.passes.as_ref().unwrap().in_seconds;
                gate.reported = None;
                let later = gate.explain(&request, now.plus(Span::from_seconds(wait)));
                prop_assert!(!later.load.unwrap().is_shed());
            }
        }
    }
}
