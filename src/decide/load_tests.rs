//! Load from policy text to answer: what is measured and reported, who is shed, what is told.

use proptest::prelude::*;

use crate::decide::{Code, Decision, Reported, RuleCode, answer, conclude, lease, plan};
use crate::limit::{Hits, Kind, Limit, Unit, Verdict, Window};
use crate::policy::model::{Mode, Source};
use crate::policy::set::{CounterSeed, PolicySet};
use crate::request::{Descriptor, Entry, Request};
use crate::store::memory::MemoryStore;
use crate::time::{Span, Timestamp};

struct Gate {
    set: PolicySet,
    store: MemoryStore,
    now: Timestamp,
    reported: Option<Reported>,
}

/// What a test looks at, without borrows.
#[derive(Debug)]
struct Told {
    status: u16,
    codes: Vec<Code>,
    /// Rule, amount, remaining, verdict of the limit that binds.
    binding: Option<(String, u64, u64, Verdict)>,
    rules: Vec<(String, RuleCode)>,
    /// What metrics are told.
    percent: Option<u8>,
    headers: Vec<(String, String)>,
    body: String,
    lease: String,
}

impl Told {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The two headers of load.
    fn load(&self) -> (Option<&str>, Option<&str>) {
        (self.header("x-load"), self.header("x-load-status"))
    }
}

type Sent<'a> = (&'a [(&'a str, &'a str)], Hits);

const ORDERS: &[(&str, &str)] = &[("tenant", "acme"), ("endpoint", "/orders")];
const CHECKOUT: &[(&str, &str)] = &[("tenant", "acme"), ("endpoint", "/baskets/1")];

impl Gate {
    fn new(text: &str) -> Self {
        Self::with_mode(text, Mode::Enforce)
    }

    fn with_mode(text: &str, mode: Mode) -> Self {
        let source = Source { name: "p.yaml".to_owned(), text: text.to_owned() };
        let compiled = crate::policy::compile(&[source], CounterSeed([1, 2]), &mode.into());
        let set = compiled.set.unwrap_or_else(|| panic!("{text}\n{:#?}", compiled.diagnostics));
        let now = Timestamp::from_seconds(1_795_000_020);
        Self { set, store: MemoryStore::default(), now, reported: None }
    }

    fn wait(&mut self, seconds: u64) {
        self.now = self.now.plus(Span::from_seconds(seconds));
    }

    fn report(&mut self, percent: u8, lasts: u64) {
        let until = self.now.plus(Span::from_seconds(lasts));
        self.reported = Some(Reported { percent, until });
    }

    fn send(&self, descriptors: &[Sent<'_>]) -> Told {
        self.send_with(descriptors, None)
    }

    fn send_with(&self, descriptors: &[Sent<'_>], limit: Option<Limit>) -> Told {
        let descriptors = descriptors.iter().map(|(entries, hits)| Descriptor {
            entries: entries
                .iter()
                .map(|(key, value)| Entry { key: key.as_bytes(), value: value.as_bytes() })
                .collect(),
            hits: *hits,
            limit,
        });
        let request = Request { domain: b"d", descriptors: descriptors.collect() };
        let plan = plan(&self.set, &request, self.now, |_| self.reported);
        self.store.release(&plan.releases, self.now);
        let outcomes = self.store.charge(&plan.charges, self.now);
        let decision = conclude(&plan, &outcomes);
        self.told(&decision)
    }

    fn told(&self, decision: &Decision<'_>) -> Told {
        let answer = answer(decision, self.now);
        let headers = answer.headers.iter();
        Told {
            status: decision.status(),
            codes: decision.statuses.iter().map(|status| status.code).collect(),
            binding: decision.binding().map(|it| {
                let name = it.rule.map_or_else(String::new, |rule| rule.name.to_string());
                (name, it.limit.amount, it.remaining, it.verdict)
            }),
            rules: decision.rules.iter().map(|it| (it.rule.name.to_string(), it.code)).collect(),
            percent: decision.load.map(|load| load.percent),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            body: String::from_utf8(answer.body).unwrap(),
            lease: lease::write(&decision.leases),
        }
    }

    fn one(&self, entries: &[(&str, &str)]) -> Told {
        self.send(&[(entries, Hits::Take(1))])
    }

    /// The last answer of so many.
    fn times(&self, count: u32, entries: &[(&str, &str)]) -> Told {
        (0..count).map(|_| self.one(entries)).last().unwrap()
    }
}

const RATE: &str = "
domain: d
load:
  capacity: 100/10s
  exempt: [{ endpoint: /baskets/** }]
rules: [{ name: quota, per: [tenant], limits: [150/day] }]
";

#[test]
fn headers_follow_the_thresholds_and_what_is_above_capacity_is_shed() {
    let gate = Gate::new(RATE);
    assert_eq!(gate.times(79, ORDERS).load(), (Some("79"), None));
    assert_eq!(gate.one(ORDERS).load(), (Some("80"), Some("WARN")));
    assert_eq!(gate.times(9, ORDERS).load(), (Some("89"), Some("WARN")));
    assert_eq!(gate.one(ORDERS).load(), (Some("90"), Some("THROTTLE")));
    let last = gate.times(10, ORDERS);
    assert_eq!((last.status, last.load()), (200, (Some("100"), Some("THROTTLE"))));
    assert_eq!(last.binding.map(|it| it.0).as_deref(), Some("quota"));

    let shed = gate.one(ORDERS);
    assert_eq!((shed.status, &*shed.codes), (503, &[Code::OverLimit][..]));
    assert_eq!(shed.binding, Some(("load".to_owned(), 100, 0, Verdict::Shed)));
    assert_eq!(shed.load(), (Some("100"), Some("THROTTLE")));
    assert_eq!(shed.header("content-type"), Some("application/problem+json"));
    let body: serde_json::Value = serde_json::from_str(&shed.body).unwrap();
    let problem = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";
    assert_eq!((&body["type"], &body["status"]), (&problem.into(), &503.into()));
    assert_eq!(body["title"], "Temporary Reduced Capacity");
    assert_eq!((&body["reason"], &body["reset_seconds"]), (&"shed".into(), &11.into()));
    assert_eq!(shed.rules, [("quota".to_owned(), RuleCode::DeniedElsewhere)]);
}

#[test]
fn who_waits_as_told_is_admitted_and_was_shed_just_before() {
    let mut gate = Gate::new(RATE);
    gate.times(60, ORDERS);
    gate.wait(4);
    gate.times(40, ORDERS);
    let shed = gate.one(ORDERS);
    let wait: u64 = shed.header("retry-after").unwrap().parse().unwrap();
    // Hits of a rolling window leave in 64ths of it.
    assert!((6..=7).contains(&wait), "{wait}");
    gate.wait(wait - 1);
    assert_eq!(gate.one(ORDERS).status, 503);
    gate.wait(1);
    assert_eq!(gate.one(ORDERS).status, 200);
}

#[test]
fn what_is_shed_charges_no_counter_of_a_rule() {
    let mut gate = Gate::new(RATE);
    gate.times(100, ORDERS);
    assert_eq!(gate.times(30, ORDERS).status, 503);
    gate.wait(20);
    assert_eq!(gate.one(ORDERS).binding.map(|it| it.2), Some(49));
    gate.report(100, 60);
    assert_eq!(gate.times(30, ORDERS).status, 503);
    gate.reported = None;
    assert_eq!(gate.one(ORDERS).binding.map(|it| it.2), Some(48));
}

#[test]
fn what_a_limit_denies_is_no_load_and_load_is_told_before_limits() {
    let text = "
domain: d
load: { capacity: 10/10s }
rules:
  - { name: few, per: [tenant], limits: [4/day] }
";
    let gate = Gate::new(text);
    gate.times(4, ORDERS);
    let denied = gate.times(5, ORDERS);
    assert_eq!((denied.status, denied.load()), (429, (Some("40"), None)));
    assert_eq!(denied.binding.as_ref().map(|it| &*it.0), Some("few"));
    gate.times(4, &[("tenant", "other")]);
    gate.times(2, &[("tenant", "third")]);
    let both = gate.one(ORDERS);
    assert_eq!((both.status, both.load()), (503, (Some("100"), Some("THROTTLE"))));
    assert!(both.rules.contains(&("few".to_owned(), RuleCode::OverLimit)));
}

#[test]
fn a_rule_that_counts_what_is_denied_counts_what_is_shed() {
    let text = "
domain: d
load: { capacity: 3/10s }
rules: [{ name: always, per: [tenant], limits: [1000/day], charge: always }]
";
    let mut gate = Gate::new(text);
    assert_eq!(gate.times(5, ORDERS).status, 503);
    gate.wait(20);
    let look = gate.send(&[(ORDERS, Hits::Take(0))]);
    assert_eq!(look.binding.map(|it| it.2), Some(995));
}

#[test]
fn exempt_requests_count_and_are_never_shed_or_told() {
    let mut gate = Gate::new(RATE);
    let exempt = gate.times(100, CHECKOUT);
    assert_eq!((exempt.status, exempt.load(), exempt.percent), (200, (None, None), Some(100)));
    assert_eq!(exempt.binding.map(|it| (it.0, it.2)), Some(("quota".to_owned(), 50)));
    assert_eq!(gate.one(ORDERS).status, 503);
    assert_eq!(gate.times(49, CHECKOUT).status, 200);
    // The bound of a rule holds for them as ever.
    let denied = gate.times(2, CHECKOUT);
    assert_eq!((denied.status, denied.load()), (429, (None, None)));
    gate.report(100, 60);
    assert_eq!(gate.one(CHECKOUT).status, 429);
    // One descriptor that is exempt exempts the request.
    let other: &[(&str, &str)] = &[("tenant", "b"), ("endpoint", "/orders")];
    let both = [(other, Hits::Take(1)), (&[("endpoint", "/baskets/")][..], Hits::Take(1))];
    let told = gate.send(&both);
    assert_eq!((told.status, told.load()), (200, (None, None)));
}

#[test]
fn requests_that_bring_a_limit_along_are_shed_and_exempt_like_others() {
    let gate = Gate::new(RATE);
    let second = Window::epoch(Unit::Second);
    let limit = Some(Limit::new(500, Kind::Fixed(second)));
    let send = |entries| gate.send_with(&[(entries, Hits::Take(1))], limit);
    assert!((0..100).all(|_| send(ORDERS).status == 200));
    assert_eq!((send(ORDERS).status, send(CHECKOUT).status), (503, 200));
}

#[test]
fn exemptions_know_captures_tables_and_the_base() {
    let gate = Gate::new(
        "
domain: d
base: /v1/{tenant}
tables: { tenant: { default: { plan: free }, acme: { plan: gold } } }
load:
  exempt:
    - { endpoint: /pay/**, tenant.plan: gold }
    - { app: [monitor], method: { not: POST } }
rules: []
",
    );
    let mut gate = gate;
    gate.report(100, 60);
    for (entries, status) in [
        (&[("endpoint", "/v1/acme/pay/1")][..], 200),
        (&[("endpoint", "/v1/other/pay/1")], 503),
        (&[("endpoint", "/pay/1"), ("tenant", "acme")], 503),
        (&[("app", "monitor")], 200),
        (&[("app", "monitor"), ("method", "POST")], 503),
        (&[], 503),
    ] {
        assert_eq!(gate.one(entries).status, status, "{entries:?}");
    }
}

#[test]
fn a_request_counts_once_whatever_its_descriptors_and_hits() {
    let gate = Gate::new("{ domain: d, load: { capacity: 10/second }, rules: [] }");
    let two = [(ORDERS, Hits::Take(50)), (CHECKOUT, Hits::Take(7))];
    assert_eq!(gate.send(&two).percent, Some(10));
    let looks = [(ORDERS, Hits::Take(0))];
    assert_eq!(gate.send(&looks).load(), (Some("10"), None));
    let back = gate.send(&[(ORDERS, Hits::GiveBack(1))]);
    assert_eq!((back.percent, back.status), (None, 200));
    assert_eq!(gate.times(9, ORDERS).percent, Some(100));
    assert_eq!(gate.send(&looks).status, 200);
    let shed = gate.send(&two);
    assert_eq!((shed.status, &*shed.codes), (503, &[Code::OverLimit; 2][..]));
    assert_eq!(gate.send(&[(ORDERS, Hits::GiveBack(1))]).status, 200);
}

const IN_FLIGHT: &str = "
domain: d
load: { capacity: { in_flight: 10, lease: 5m }, shed: 50, throttle: 50, warn: 40 }
rules: [{ name: under-way, per: [tenant], limits: [concurrent 8] }]
";

#[test]
fn requests_in_flight_are_load_until_their_lease_comes_back() {
    let gate = Gate::new(IN_FLIGHT);
    let leases: Vec<String> = (0..5).map(|_| gate.one(ORDERS).lease).collect();
    let shed = gate.one(ORDERS);
    assert_eq!((shed.status, shed.load()), (503, (Some("50"), Some("THROTTLE"))));
    assert_eq!(shed.header("retry-after"), Some("60"), "leases end in 5 minutes at the latest");
    assert_eq!((shed.lease.as_str(), leases[0].len()), ("", 96), "one slot of each");
    let ended =
        |lease: &str| gate.send(&[(&[("tenant", "acme"), ("lease", lease)], Hits::GiveBack(1))]);
    assert_eq!(ended(&leases[1]).status, 200);
    assert_eq!(ended(&leases[1]).status, 200);
    assert_eq!((gate.one(ORDERS).status, gate.one(ORDERS).status), (200, 503));
}

#[test]
fn the_plain_pair_gives_back_what_was_admitted_and_nothing_else() {
    let mut gate = Gate::new(IN_FLIGHT);
    gate.times(5, ORDERS);
    let ended = [(ORDERS, Hits::GiveBack(1))];
    // The end of a request that was shed frees the slot of nobody, whatever it was shed for.
    assert_eq!(gate.one(ORDERS).status, 503);
    gate.send(&ended);
    assert_eq!(gate.one(ORDERS).status, 503);
    gate.send(&ended);
    gate.report(50, 600);
    assert_eq!(gate.one(ORDERS).status, 503);
    gate.send(&ended);
    gate.reported = None;
    assert_eq!(gate.one(ORDERS).status, 503);
    gate.send(&ended);
    gate.send(&ended);
    assert_eq!((gate.one(ORDERS).status, gate.one(ORDERS).status), (200, 503));
}

#[test]
fn what_is_reported_counts_while_it_is_in_force_and_where_it_is_higher() {
    let mut gate = Gate::new("{ domain: d, load: { capacity: 10/10s, shed: 95 }, rules: [] }");
    gate.report(85, 30);
    assert_eq!(gate.one(ORDERS).load(), (Some("85"), Some("WARN")));
    assert_eq!(gate.times(8, ORDERS).load(), (Some("90"), Some("THROTTLE")));
    gate.wait(30);
    assert_eq!(gate.one(ORDERS).load(), (Some("10"), None));
    gate.report(95, 30);
    let shed = gate.one(ORDERS);
    assert_eq!((shed.status, shed.load()), (503, (Some("95"), Some("THROTTLE"))));
    assert_eq!(shed.header("retry-after"), Some("30"));
    gate.report(100, 600);
    assert_eq!(gate.one(ORDERS).header("retry-after"), Some("60"));
    let look = gate.send(&[(ORDERS, Hits::Take(0))]);
    assert_eq!((look.status, look.load()), (503, (Some("100"), Some("THROTTLE"))));
}

#[test]
fn a_domain_may_know_only_what_is_reported() {
    let mut gate = Gate::new("{ domain: d, load: {}, rules: [] }");
    let told = gate.one(ORDERS);
    assert_eq!((told.status, told.load()), (200, (Some("0"), None)));
    gate.report(100, 10);
    let shed = gate.one(ORDERS);
    assert_eq!((shed.status, shed.header("retry-after")), (503, Some("10")));
    assert_eq!(shed.binding, Some(("load".to_owned(), 0, 0, Verdict::Shed)));
    assert_eq!(gate.store.counter_count(), 0);
}

#[test]
fn in_shadow_load_is_measured_and_nobody_is_shed_or_told() {
    let text = "{ domain: d, mode: shadow, load: { capacity: 10/10s }, rules: [] }";
    for mut gate in
        [Gate::new(text), Gate::with_mode(&text.replace("shadow", "enforce"), Mode::Shadow)]
    {
        let told = gate.times(15, ORDERS);
        assert_eq!((told.status, told.load(), told.percent), (200, (None, None), Some(100)));
        gate.report(100, 60);
        assert_eq!(gate.one(ORDERS).status, 200);
    }
}

#[test]
fn answers_are_as_the_policy_says() {
    let mut gate = Gate::new(
        "
domain: d
load: { headers: { load: sfdc_load, status: sfdc_load_status } }
rules: []
respond: { body: off, retry_after: { format: http-date, max: 5s }, headers: x-ratelimit }
",
    );
    gate.report(100, 60);
    let shed = gate.one(ORDERS);
    let names: Vec<&str> = shed.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["sfdc_load", "sfdc_load_status", "retry-after"]);
    assert_eq!(shed.header("retry-after"), Some("Wed, 18 Nov 2026 11:07:05 GMT"));
    assert_eq!(shed.body, "");
    let mut gate = Gate::new("{ domain: d, load: { headers: off }, rules: [] }");
    assert_eq!(gate.one(ORDERS).headers, []);
    gate.report(100, 60);
    assert_eq!(gate.one(ORDERS).load(), (None, None));
}

proptest! {
    /// Of any requests at any times: with what is exempt, too, no interval as long as the window
    /// has more than the share that is admitted when a protected request is.
    #[test]
    fn no_window_admits_more_than_the_share(
        capacity in 1_u64..200,
        shed in 1_u8..=100,
        requests in prop::collection::vec((0_u64..400, prop::bool::weighted(0.2)), 1..400),
    ) {
        let text = format!(
            "{{ domain: d, load: {{ capacity: {capacity}/2s, warn: 1, throttle: 1, shed: {shed}, \
             exempt: [{{ app: ours }}] }}, rules: [] }}"
        );
        let mut gate = Gate::new(&text);
        let most = (capacity * u64::from(shed) / 100).max(1);
        let mut admitted: Vec<Timestamp> = Vec::new();
        for (millis, is_exempt) in requests {
            gate.now = gate.now.plus(Span::from_millis(millis));
            let entries: &[(&str, &str)] = if is_exempt { &[("app", "ours")] } else { &[] };
            let told = gate.one(entries);
            prop_assert!(told.status == 200 || !is_exempt);
            if told.status == 200 {
                admitted.push(gate.now);
            }
            let from = gate.now.minus(Span::from_seconds(2));
            let count = admitted.iter().filter(|at| **at > from).count() as u64;
            prop_assert!(is_exempt || told.status == 503 || count <= most, "{count} of {most}");
        }
    }
}
