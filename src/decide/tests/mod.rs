//! Whole decisions: policy text in, answers out, through the one path that serving takes.

use crate::decide::{Answer, Code, Decision, RuleCode, answer, conclude, plan};
use crate::limit::{Hits, Limit};
use crate::policy::model::{Mode, Options, Source};
use crate::policy::set::{CounterSeed, PolicySet};
use crate::policy::{self};
use crate::request::{Descriptor, Entry, Request};
use crate::store::memory::MemoryStore;
use crate::time::Timestamp;

mod contracts;
mod descriptors;
mod language;

/// A policy set with its counters at a time of the test's choosing.
struct Gate {
    set: PolicySet,
    store: MemoryStore,
    now: Timestamp,
}

/// What a test looks at, without borrows.
#[derive(Debug)]
struct Told {
    code: Code,
    /// Per descriptor.
    statuses: Vec<(Code, Option<ToldLimit>)>,
    /// What metrics count: rule, hits, code.
    rules: Vec<(String, u64, RuleCode)>,
    headers: Vec<(String, String)>,
    body: String,
    /// The rule that the whole answer speaks of, and its seconds until reset.
    binding: Option<(String, u64)>,
}

/// Rule name, amount, remaining, seconds until reset.
type ToldLimit = (String, u64, u64, u64);

impl Told {
    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.as_str())
    }

    fn remaining(&self) -> u64 {
        self.statuses[0].1.as_ref().unwrap().2
    }
}

impl Gate {
    fn new(text: &str) -> Self {
        Self::with_mode(text, Mode::Enforce)
    }

    fn with_mode(text: &str, mode: Mode) -> Self {
        Self::with_options(text, &mode.into())
    }

    fn with_options(text: &str, options: &Options) -> Self {
        let now = Timestamp::from_seconds(1_795_000_020);
        Self { set: compile_with(text, options), store: MemoryStore::default(), now }
    }

    fn wait(&mut self, seconds: u64) {
        self.now = self.now.plus(crate::time::Span::from_seconds(seconds));
    }

    fn ask(&self, domain: &str, descriptors: &[&[(&str, &str)]]) -> Told {
        self.ask_with(domain, descriptors, Hits::Take(1), None)
    }

    /// The rules of which an expression fails for a request.
    fn failures(&self, entries: &[(&str, &str)]) -> Vec<String> {
        let entries = entries
            .iter()
            .map(|(key, value)| Entry { key: key.as_bytes(), value: value.as_bytes() });
        let descriptor =
            Descriptor { entries: entries.collect(), hits: Hits::Take(0), limit: None };
        let request = Request { domain: b"d", descriptors: [descriptor].into_iter().collect() };
        let plan = plan(&self.set, &request, self.now, |_| None);
        plan.failures.iter().map(|rule| rule.name.to_string()).collect()
    }

    fn one(&self, entries: &[(&str, &str)]) -> Told {
        self.ask("d", &[entries])
    }

    fn ask_with(
        &self,
        domain: &str,
        descriptors: &[&[(&str, &str)]],
        hits: Hits,
        limit: Option<Limit>,
    ) -> Told {
        let descriptors = descriptors.iter();
        let descriptors =
            descriptors.map(|entries| Descriptor { hits, limit, ..descriptor(entries) });
        let request = Request { domain: domain.as_bytes(), descriptors: descriptors.collect() };
        let plan = plan(&self.set, &request, self.now, |_| None);
        let outcomes = self.store.charge(&plan.charges, self.now);
        let decision = conclude(&plan, &outcomes);
        tell(&decision, answer(&decision, self.now))
    }
}

fn tell(decision: &Decision<'_>, answer: Answer<'_>) -> Told {
    let statuses = decision.statuses.iter().map(|status| {
        let binding = decision.binding_of(status).map(|binding| {
            let name = binding.rule.map_or_else(String::new, |rule| rule.name.to_string());
            let amount = binding.limit.amount;
            (name, amount, binding.remaining, binding.reset.unwrap_or_default().seconds_ceil())
        });
        (status.code, binding)
    });
    let rules = decision.rules.iter();
    Told {
        rules: rules.map(|of| (of.rule.name.to_string(), of.hits, of.code)).collect(),
        code: decision.code,
        statuses: statuses.collect(),
        headers: answer
            .headers
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        body: String::from_utf8(answer.body).unwrap(),
        binding: decision.binding().map(|binding| {
            let rule = binding.rule.map_or_else(String::new, |rule| rule.name.to_string());
            (rule, binding.reset.unwrap_or_default().seconds_ceil())
        }),
    }
}

/// One that takes one hit.
fn descriptor<'e>(entries: &'e [(&str, &str)]) -> Descriptor<'e> {
    let entry =
        |(key, value): &'e (&str, &str)| Entry { key: key.as_bytes(), value: value.as_bytes() };
    Descriptor { entries: entries.iter().map(entry).collect(), hits: Hits::Take(1), limit: None }
}

fn compile(text: &str, mode: Mode) -> PolicySet {
    compile_with(text, &mode.into())
}

fn compile_with(text: &str, options: &Options) -> PolicySet {
    let sources = [Source { name: "policy.yaml".into(), text: text.into() }];
    let compiled = policy::compile(&sources, CounterSeed([1, 2]), options);
    compiled.set.unwrap_or_else(|| panic!("{:#?}", compiled.diagnostics))
}

#[test]
fn second_window_denies_when_first_allows() {
    let mut gate = Gate::new(
        "domain: d
rules:
  - { name: r, per: [user], limits: [2/minute, 3/hour] }",
    );
    assert_eq!(gate.one(&[("user", "a")]).code, Code::Ok);
    assert_eq!(gate.one(&[("user", "a")]).code, Code::Ok);
    let told = gate.one(&[("user", "a")]);
    assert_eq!(told.statuses[0].1, Some(("r".into(), 2, 0, 60)));
    gate.wait(60);
    assert_eq!(gate.one(&[("user", "a")]).code, Code::Ok);
    let told = gate.one(&[("user", "a")]);
    assert_eq!((told.code, told.statuses[0].1.as_ref().unwrap().1), (Code::OverLimit, 3));
    assert_eq!(gate.one(&[("user", "b")]).code, Code::Ok, "each user has counters of its own");
}

#[test]
fn one_rule_may_count_the_same_window_in_several_ways() {
    let mut gate = Gate::new(
        "domain: d
rules:
  - name: r
    limits:
      - 10/minute
      - { amount: 10, window: 1m, kind: rolling }
      - { amount: 60, window: 1m, kind: bucket, burst: 3 }
respond: { headers: ratelimit }",
    );
    let told = gate.one(&[]);
    let policies = "\"r/bucket minute\";q=60;w=60, \"r/minute\";q=10;w=60, \
                    \"r/rolling minute\";q=10;w=60";
    assert_eq!(told.header("ratelimit-policy"), Some(policies));
    let admitted =
        |gate: &Gate, count| (0..count).filter(|_| gate.one(&[]).code == Code::Ok).count();
    assert_eq!(admitted(&gate, 9), 2, "the bucket holds 3 at once");
    gate.wait(57);
    assert_eq!(admitted(&gate, 9), 3);
    gate.wait(3);
    assert_eq!(
        admitted(&gate, 9),
        3,
        "a new minute, and the first 3 hits have left the rolling one"
    );
    gate.wait(3);
    assert_eq!(admitted(&gate, 9), 3);
    gate.wait(3);
    assert_eq!(admitted(&gate, 9), 1, "10 in the last 60 seconds");
}

#[test]
fn all_matching_rules_apply_and_the_one_with_least_left_is_told() {
    let gate = Gate::new(
        "domain: d
rules:
  - { name: all, limits: [100/hour] }
  - { name: posts, match: { method: POST }, limits: [10/hour] }
  - { name: gets, match: { method: GET }, limits: [5/hour] }",
    );
    let told = gate.one(&[("method", "POST")]);
    assert_eq!(told.statuses[0].1.as_ref().unwrap().0, "posts");
    assert_eq!(told.remaining(), 9);
    let told = gate.one(&[("other", "x")]);
    assert_eq!((told.statuses[0].1.as_ref().unwrap().0.as_str(), told.remaining()), ("all", 98));
}

#[test]
fn patterns_match_as_they_read() {
    let gate = Gate::new(
        "domain: d
rules:
  - { name: exact, match: { a: x }, limits: [100/hour] }
  - { name: any-of, match: { b: [x, y, 'z*'] }, limits: [100/hour] }
  - { name: prefix, match: { c: 'pre*' }, limits: [100/hour] }
  - { name: not, match: { d: { not: [x, y] }, e: present }, limits: [100/hour] }
  - { name: absent, match: { f: present, g: absent }, limits: [100/hour] }
  - { name: literal, match: { h: { equals: 'a*' } }, limits: [100/hour] }
  - { name: net, match: { ip: [10.0.0.0/8, '2001:db8::/32'] }, limits: [100/hour] }
  - { name: not-net, match: { i: present, ip: { not: 10.0.0.0/8 } }, limits: [100/hour] }",
    );
    let applies = |entries: &[(&str, &str)], rule: &str| {
        let told = gate.one(entries);
        told.statuses[0].1.as_ref().is_some_and(|(name, ..)| name == rule)
    };
    assert!(applies(&[("a", "x")], "exact") && !applies(&[("a", "xx")], "exact"));
    assert!(applies(&[("b", "y")], "any-of") && applies(&[("b", "zebra")], "any-of"));
    assert!(!applies(&[("b", "a")], "any-of"));
    assert!(applies(&[("c", "prefix")], "prefix") && applies(&[("c", "pre")], "prefix"));
    assert!(!applies(&[("c", "pr")], "prefix"));
    assert!(applies(&[("d", "z"), ("e", "")], "not") && applies(&[("e", "1")], "not"));
    assert!(!applies(&[("d", "x"), ("e", "1")], "not") && !applies(&[("d", "z")], "not"));
    assert!(applies(&[("f", "1")], "absent") && !applies(&[("f", "1"), ("g", "")], "absent"));
    assert!(applies(&[("h", "a*")], "literal") && !applies(&[("h", "ab")], "literal"));
    for ip in ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1", "10.1.0.0/16"] {
        assert!(applies(&[("ip", ip)], "net"), "{ip}");
        assert!(applies(&[("remote_address", ip)], "net"), "{ip}");
    }
    for ip in ["11.1.2.3", "2001:db9::1", "10.0.0.0/7", "nonsense", ""] {
        assert!(!applies(&[("ip", ip)], "net"), "{ip}");
    }
    assert!(applies(&[("i", "1"), ("ip", "11.0.0.1")], "not-net"));
}

#[test]
fn endpoints_match_by_template_and_captures_are_attributes() {
    let gate = Gate::new(
        "domain: d
rules:
  - name: one-order
    match: { endpoint: '/orders/{id}' }
    per: [id]
    limits: [2/hour]
  - name: below
    match: { endpoint: '/tree/**' }
    limits: [100/hour]
  - name: acme
    match: { endpoint: '/orgs/{org}/**', org: acme }
    per: [org]
    limits: [1/hour]",
    );
    let path = |path: &str| gate.one(&[(":path", path)]);
    assert_eq!(path("/orders/7").remaining(), 1);
    assert_eq!(path("/orders/8").remaining(), 1, "another order, another counter");
    assert_eq!(path("//orders/%37/?x=/y").remaining(), 0, "one order, however it is spelled");
    assert_eq!(path("/orders/7").code, Code::OverLimit);
    assert!(path("/orders").statuses[0].1.is_none());
    assert!(path("/orders/7/items").statuses[0].1.is_none());
    for below in ["/tree", "/tree/", "/tree/a", "/tree/a/b/c?d"] {
        assert!(path(below).statuses[0].1.is_some(), "{below}");
    }
    assert!(path("/trees").statuses[0].1.is_none());
    assert_eq!(path("/orgs/acme/users").code, Code::Ok);
    assert_eq!(path("/orgs/%61cme/groups").code, Code::OverLimit);
    assert!(path("/orgs/other/users").statuses[0].1.is_none());
}

#[test]
fn templates_capture_also_where_other_patterns_stand_in_their_list() {
    let gate = Gate::new(
        "domain: d
rules:
  - name: orders
    match: { endpoint: ['/orders/{id}', { not: '/orders/**' }], id: '7' }
    per: [id]
    limits: [1/hour]",
    );
    let path = |path: &str| gate.one(&[("endpoint", path), ("id", "9")]).statuses[0].0;
    assert_eq!([path("/orders/7"), path("/orders/7")], [Code::Ok, Code::OverLimit]);
    assert_eq!([path("/orders/8"), path("/orders/8")], [Code::Ok, Code::Ok]);
    assert_eq!([path("/other"), path("/other")], [Code::Ok, Code::Ok], "id is 9 there");
}

#[test]
fn attributes_come_from_their_own_key_or_the_first_present_of_their_list() {
    let gate = Gate::new(
        "domain: d
attributes: { caller: [user, client_id] }
rules:
  - { name: r, per: [caller], limits: [10/hour] }",
    );
    assert_eq!(gate.one(&[("user", "a"), ("client_id", "z")]).remaining(), 9);
    assert_eq!(gate.one(&[("client_id", "z"), ("user", "a")]).remaining(), 8);
    assert_eq!(gate.one(&[("client_id", "z")]).remaining(), 9);
    assert_eq!(gate.one(&[("user", "b"), ("caller", "a")]).remaining(), 7, "its own key first");
    assert_eq!(gate.one(&[("user", "a"), ("user", "q")]).remaining(), 6, "the first of two");
    assert!(gate.one(&[("tenant", "a")]).statuses[0].1.is_none(), "no caller, no rule");
}

#[test]
fn a_rule_can_replace_others_and_exempt() {
    let gate = Gate::new(
        "domain: d
rules:
  - { name: basic, per: [user], limits: [1/hour] }
  - { name: gold, match: { plan: gold }, per: [user], limits: [3/hour], replaces: [basic] }
  - { name: ours, match: { app: monitor }, unlimited: true, replaces: [basic, gold] }",
    );
    let gold = [("user", "a"), ("plan", "gold")];
    assert_eq!((0..4).filter(|_| gate.one(&gold).code == Code::Ok).count(), 3);
    assert_eq!(gate.one(&[("user", "a")]).code, Code::Ok, "basic was never charged");
    let exempt = [("user", "a"), ("plan", "gold"), ("app", "monitor")];
    for _ in 0..10 {
        let told = gate.one(&exempt);
        assert_eq!((told.code, told.statuses[0].1.is_none()), (Code::Ok, true));
    }
    // Several descriptors of one call describe one request: exempt in one is exempt in all.
    let told = gate.ask("d", &[&[("user", "a")], &[("app", "monitor")]]);
    assert_eq!(told.code, Code::Ok);
}

#[test]
fn every_rule_that_applies_is_counted_the_unlimited_too() {
    let gate = Gate::new(
        "domain: d
rules:
  - { name: wide, limits: [10/hour] }
  - { name: narrow, match: { a: x }, limits: [1/hour] }
  - { name: trial, mode: shadow, limits: [1/hour] }
  - { name: ours, match: { app: monitor }, unlimited: true, replaces: [wide, narrow, trial] }",
    );
    let counted = |told: Told| -> Vec<_> {
        told.rules.into_iter().map(|(rule, hits, code)| format!("{rule} {hits} {code:?}")).collect()
    };
    assert_eq!(counted(gate.one(&[("a", "x")])), ["wide 1 Ok", "narrow 1 Ok", "trial 1 Ok"]);
    let denied = ["wide 1 DeniedElsewhere", "narrow 1 OverLimit", "trial 1 ShadowOverLimit"];
    assert_eq!(counted(gate.one(&[("a", "x")])), denied);
    assert_eq!(counted(gate.one(&[])), ["wide 1 Ok", "trial 1 ShadowOverLimit"]);
    assert_eq!(counted(gate.one(&[("app", "monitor")])), ["ours 1 Ok"]);
}

#[test]
fn a_denial_says_what_is_true_of_it() {
    let gate = Gate::new(
        "domain: d
rules:
  - { name: r, match: { a: x }, limits: [5/minute] }
  - { name: never, match: { a: y }, limits: [0/minute] }",
    );
    let detail = |value: &str, hits| {
        let told = gate.ask_with("d", &[&[("a", value)]], Hits::Take(hits), None);
        let body: serde_json::Value = serde_json::from_str(&told.body).unwrap();
        body["detail"].as_str().unwrap().to_owned()
    };
    assert_eq!(detail("x", 6), "more than 5 per minute never passes at once; ask for less");
    gate.ask_with("d", &[&[("a", "x")]], Hits::Take(3), None);
    assert_eq!(detail("x", 4), "of 5 per minute only 2 is left; try again in 60 s");
    gate.ask_with("d", &[&[("a", "x")]], Hits::Take(2), None);
    assert_eq!(detail("x", 1), "5 per minute is used up; try again in 60 s");
    assert_eq!(detail("y", 1), "nothing is admitted here");
}

#[test]
fn a_joint_denial_leaves_room_where_room_is() {
    let gate = Gate::new(
        "domain: d
rules:
  - { name: wide, per: [user], limits: [10/hour] }
  - { name: narrow, per: [app], limits: [1/hour] }",
    );
    let both: &[&[(&str, &str)]] = &[&[("user", "a")], &[("app", "x")]];
    assert_eq!(gate.ask("d", both).code, Code::Ok);
    let told = gate.ask("d", both);
    assert_eq!(told.code, Code::OverLimit);
    let codes: Vec<_> = told.statuses.iter().map(|(code, _)| *code).collect();
    assert_eq!(codes, [Code::Ok, Code::OverLimit]);
    assert_eq!(told.remaining(), 9, "the wide limit was not charged");
}

#[test]
fn shadow_rules_measure_and_stay_out_of_sight() {
    let gate = Gate::new(
        "domain: d
rules:
  - { name: trial, per: [user], limits: [1/hour], mode: shadow }
  - { name: real, per: [user], limits: [5/hour] }
respond: { headers: x-ratelimit }",
    );
    let told: Vec<Told> = (0..6).map(|_| gate.one(&[("user", "a")])).collect();
    assert!(told[..5].iter().all(|told| told.code == Code::Ok));
    assert_eq!(told[5].code, Code::OverLimit);
    assert!(told.iter().all(|told| told.header("x-ratelimit-limit") == Some("5")));
}

#[test]
fn the_whole_set_can_be_in_shadow() {
    let gate = Gate::with_mode(
        "domain: d
rules:
  - { name: r, limits: [1/hour] }",
        Mode::Shadow,
    );
    assert!((0..5).all(|_| gate.one(&[]).code == Code::Ok));
}

#[test]
fn an_address_has_one_counter_however_it_is_spelled() {
    let gate = Gate::new("domain: d\nrules:\n  - { name: r, per: [ip], limits: [10/hour] }");
    let left = |ip: &str| gate.one(&[("ip", ip)]).remaining();
    assert_eq!([left("192.0.2.1"), left("::ffff:192.0.2.1"), left("::FFFF:c000:201")], [9, 8, 7]);
    assert_eq!([left("2001:db8::1"), left("2001:DB8:0:0::1")], [9, 8]);
    assert_eq!([left("not an address"), left("not an address")], [9, 8]);
}

#[test]
fn a_limit_in_the_request_is_charged_as_its_domain_charges() {
    let window = crate::limit::Window::epoch(crate::limit::Unit::Hour);
    let limit = Limit::new(2, crate::limit::Kind::Fixed(window));
    let ask = |gate: &Gate, hits| gate.ask_with("d", &[&[("a", "x")]], hits, Some(limit));
    let native = Gate::new("domain: d\nrules:\n  - { name: r, limits: [1/hour] }");
    assert_eq!(ask(&native, Hits::Take(2)).remaining(), 0);
    assert_eq!(ask(&native, Hits::Take(1)).code, Code::OverLimit);
    assert_eq!(ask(&native, Hits::GiveBack(1)).code, Code::Ok);
    assert_eq!(ask(&native, Hits::Take(0)).remaining(), 0, "nothing is given back");
    let tree = Gate::new(
        "domain: d\ndescriptors: [{ key: a, rate_limit: { unit: day, requests_per_unit: 1 } }]",
    );
    assert_eq!(ask(&tree, Hits::Take(2)).remaining(), 0);
    assert_eq!(ask(&tree, Hits::Take(1)).code, Code::OverLimit);
    assert_eq!(ask(&tree, Hits::GiveBack(2)).remaining(), 1, "the denied hit counted");
}

#[test]
fn unknown_domains_and_unmatched_descriptors_are_let_through_bare() {
    let gate = Gate::new("domain: d\nrules:\n  - { name: r, per: [user], limits: [1/hour] }");
    let told = gate.ask("other", &[&[("user", "a")], &[]]);
    assert_eq!((told.code, told.statuses.len()), (Code::Ok, 2));
    assert!(told.statuses.iter().all(|(_, binding)| binding.is_none()));
    assert!(told.headers.is_empty() && told.body.is_empty());
    assert!(gate.ask("d", &[&[]]).statuses[0].1.is_none());
}

#[test]
fn answers_carry_the_dialects_and_the_body_of_the_policy() {
    let gate = Gate::new(
        "domain: d
rules:
  - { name: burst, limits: [1/minute, 5/hour] }
respond:
  retry_after: http-date
  headers: [x-ratelimit, ratelimit]
  body: { error: slow_down, limit: '{limit}', text: 'rule {rule}, {reset_seconds} s', ms: '{window_ms}' }",
    );
    let told = gate.one(&[]);
    assert_eq!(told.header("x-ratelimit-limit"), Some("1"));
    assert_eq!(told.header("x-ratelimit-remaining"), Some("0"));
    assert_eq!(told.header("x-ratelimit-reset"), Some("60"));
    let policies = "\"burst/minute\";q=1;w=60, \"burst/hour\";q=5;w=3600";
    assert_eq!(told.header("ratelimit-policy"), Some(policies));
    let state = "\"burst/minute\";r=0;t=60, \"burst/hour\";r=4;t=3180";
    assert_eq!(told.header("ratelimit"), Some(state));
    assert_eq!((told.header("retry-after"), told.body.as_str()), (None, ""));
    let denied = gate.one(&[]);
    assert_eq!(denied.header("retry-after"), Some("Wed, 18 Nov 2026 11:08:00 GMT"));
    assert_eq!(denied.header("content-type"), Some("application/json"));
    let body: serde_json::Value = serde_json::from_str(&denied.body).unwrap();
    let expected = serde_json::json!({
        "error": "slow_down", "limit": 1, "text": "rule burst, 60 s", "ms": 60_000
    });
    assert_eq!(body, expected);
}

#[test]
fn a_denial_explains_itself_without_being_asked() {
    let gate = Gate::new("domain: d\nrules:\n  - { name: 'a \"b\"', limits: [1/minute] }");
    gate.one(&[]);
    let denied = gate.one(&[]);
    assert_eq!(denied.header("retry-after"), Some("60"));
    assert_eq!(denied.header("content-type"), Some("application/problem+json"));
    let body: serde_json::Value = serde_json::from_str(&denied.body).unwrap();
    assert_eq!(body["status"], 429);
    // As `ratelimit-policy` would call it, and as the policy does.
    assert_eq!(body["violated-policies"], serde_json::json!(["a _b_"]));
    assert_eq!(body["rule"], "a \"b\"");
    assert_eq!(body["reset_seconds"], 60);
}

#[test]
fn hits_weigh_look_and_give_back() {
    let gate = Gate::new(
        "domain: d
rules:
  - { name: kept, match: { a: x }, limits: [10/hour] }
  - { name: refunded, match: { a: y }, limits: [10/hour], refund: true }",
    );
    let ask = |value: &str, hits| gate.ask_with("d", &[&[("a", value)]], hits, None);
    assert_eq!(ask("x", Hits::Take(7)).remaining(), 3);
    assert_eq!(ask("x", Hits::Take(4)).code, Code::OverLimit);
    assert_eq!(ask("x", Hits::Take(0)).remaining(), 3);
    assert_eq!(ask("x", Hits::GiveBack(5)).remaining(), 3);
    assert_eq!(ask("x", Hits::Take(3)).code, Code::Ok);
    assert_eq!(ask("x", Hits::Take(0)).code, Code::Ok, "looking is fine at exactly the limit");
    assert_eq!(ask("y", Hits::Take(7)).remaining(), 3);
    assert_eq!(ask("y", Hits::GiveBack(5)).remaining(), 8);
}

#[test]
fn hits_that_are_given_back_are_never_denied() {
    let gate = Gate::new(
        "domain: d
rules:
  - { name: hammered, limits: [1/hour], charge: always }",
    );
    let ask = |hits| gate.ask_with("d", &[&[]], hits, None);
    assert_eq!(ask(Hits::Take(5)).code, Code::OverLimit);
    assert_eq!(ask(Hits::Take(0)).code, Code::OverLimit, "it stands beyond its limit");
    let told = ask(Hits::GiveBack(1));
    assert_eq!((told.code, told.remaining()), (Code::Ok, 0), "the rule keeps what was taken");
}

#[test]
fn every_descriptor_of_a_long_call_is_exempt_when_one_exempts() {
    let gate = Gate::new(
        "domain: d
rules:
  - { name: every, per: [a], limits: [1/hour] }
  - { name: more, per: [a], limits: [1/day] }
  - { name: exempt, match: { app: x }, unlimited: true, replaces: [every, more] }",
    );
    let exempt: &[(&str, &str)] = &[("a", "b"), ("app", "x")];
    let plain: &[(&str, &str)] = &[("a", "b")];
    let told = gate.ask("d", &[[exempt].as_slice(), &vec![plain; 10_000]].concat());
    assert_eq!((told.code, told.statuses.len()), (Code::Ok, 10_001));
}

#[test]
fn a_reload_keeps_what_was_used_unless_the_rule_counts_something_else() {
    let mut gate = Gate::new("domain: d\nrules:\n  - { name: r, per: [user], limits: [5/hour] }");
    gate.one(&[("user", "a")]);
    gate.one(&[("user", "a")]);
    gate.set = compile(
        "domain: other\nrules: [{ name: x, limits: [1/s] }]
---
# Moved, re-ordered, given more: still the same counter.
domain: d
rules:
  - { name: new, limits: [100/day] }
  - { name: r, per: [user], limits: [50/minute, 10/60m], match: { user: present } }",
        Mode::Enforce,
    );
    let told = gate.one(&[("user", "a")]);
    assert_eq!(told.remaining(), 7);
    gate.set =
        compile("domain: d\nrules:\n  - { name: r, per: [app], limits: [5/hour] }", Mode::Enforce);
    assert_eq!(gate.one(&[("app", "a")]).remaining(), 4, "per another attribute: a fresh start");
}

#[test]
fn outcomes_tell_how_much_of_the_fullest_limit_is_used() {
    let gate = Gate::new(
        "domain: d
rules:
  - { name: two, limits: [8/minute, 3/day] }
  - { name: burst, limits: [{ amount: 60, window: 1m, kind: bucket, burst: 4 }] }
  - { name: exempt, unlimited: true }
  - { name: shadow, mode: shadow, limits: [1/day] }",
    );
    let peaks = |gate: &Gate| -> Vec<u16> {
        let descriptor =
            Descriptor { entries: [].into_iter().collect(), hits: Hits::Take(1), limit: None };
        let request = Request { domain: b"d", descriptors: [descriptor].into_iter().collect() };
        let plan = plan(&gate.set, &request, gate.now, |_| None);
        let outcomes = gate.store.charge(&plan.charges, gate.now);
        conclude(&plan, &outcomes).rules.iter().map(|outcome| outcome.peak).collect()
    };
    // In the order of the rules, the unlimited one last.
    assert_eq!(peaks(&gate), [3_333, 2_500, 10_000, 0]);
    assert_eq!(peaks(&gate), [6_666, 5_000, 10_000, 0]);
    assert_eq!(peaks(&gate), [10_000, 7_500, 10_000, 0]);
    assert_eq!(peaks(&gate), [10_000, 7_500, 10_000, 0], "denied by the first rule");
}

#[test]
fn series_are_of_a_rule_and_its_values_whatever_its_limits() {
    let set = |rest: &str| {
        compile(
            &format!(
                "domain: d\nrules:\n  - {{ name: a, per: [user], {rest} }}\n  - {{ name: b, per: [user], limits: [7/day] }}"
            ),
            Mode::Enforce,
        )
    };
    let series = |set: &PolicySet, user: &str| -> Vec<crate::decide::SeriesKey> {
        let entry = Entry { key: b"user", value: user.as_bytes() };
        let entries = [entry].into_iter().collect();
        let descriptor = Descriptor { entries, hits: Hits::Take(1), limit: None };
        let request = Request { domain: b"d", descriptors: [descriptor].into_iter().collect() };
        let plan = plan(set, &request, Timestamp::EPOCH, |_| None);
        let outcomes = MemoryStore::default().charge(&plan.charges, Timestamp::EPOCH);
        let decision = conclude(&plan, &outcomes);
        let mut rules: Vec<_> =
            decision.rules.iter().map(|it| (&it.rule.name, it.series)).collect();
        rules.sort_unstable();
        rules.into_iter().map(|(_, series)| series).collect()
    };
    let one = series(&set("limits: [5/minute, 9/day]"), "u1");
    assert_eq!(series(&set("limits: [6/hour]"), "u1"), one);
    assert_eq!(series(&set("unlimited: true"), "u1"), one);
    let other = series(&set("unlimited: true"), "u2");
    let mut all = [one, other].concat();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 4);
}
