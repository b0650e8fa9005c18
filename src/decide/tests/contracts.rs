//! The contracts of whole decisions over random policies: hints are honest, a denied request
//! changes nothing, counters outlive a reload.

use proptest::prelude::*;

use super::*;
use crate::time::Span;

/// One limit of a random rule, by numbers that make its text.
#[derive(Clone, Debug)]
struct AnyLimit {
    kind: u8,
    amount: u64,
    seconds: u64,
    burst: u64,
}

#[derive(Clone, Debug)]
struct AnyRule {
    matches: Option<&'static str>,
    per: Vec<&'static str>,
    limits: Vec<AnyLimit>,
    resume_below: Option<u8>,
    cost: u8,
    always: bool,
}

fn any_rule() -> impl Strategy<Value = AnyRule> {
    // Windows of a rule differ, so that each limit has a counter of its own.
    let limit = (0..5_u8, 1..90_u64, 1..40_u64).prop_map(|(kind, amount, burst)| AnyLimit {
        kind,
        amount,
        seconds: 0,
        burst,
    });
    let windows = prop::sample::subsequence(vec![1_u64, 7, 10, 60, 90, 3_600], 1..=3);
    (
        prop::option::of(prop::sample::select(vec!["x", "y"])),
        prop::sample::subsequence(vec!["a", "b"], 0..=2),
        (prop::collection::vec(limit, 3), windows),
        prop::option::of(1..=100_u8),
        (1..4_u8, any::<bool>()),
    )
        .prop_map(|(matches, per, (limits, windows), resume_below, (cost, always))| {
            let limits = limits.into_iter().zip(windows);
            let mut limits: Vec<AnyLimit> =
                limits.map(|(limit, seconds)| AnyLimit { seconds, ..limit }).collect();
            // Of what is held at a time a rule has one limit.
            let mut is_held = false;
            for limit in &mut limits {
                limit.kind = if limit.kind == 4 && std::mem::replace(&mut is_held, true) {
                    0
                } else {
                    limit.kind
                };
                is_held |= limit.kind == 4;
            }
            AnyRule { matches, per, limits, resume_below, cost, always }
        })
}

fn text(rules: &[(usize, AnyRule)], more: u64) -> String {
    let mut text = "domain: d\nrules:\n".to_owned();
    for (name, rule) in rules {
        text.push_str(&format!("  - name: rule-{name}\n    per: {:?}\n", rule.per));
        if let Some(value) = rule.matches {
            text.push_str(&format!("    match: {{ a: {value} }}\n"));
        }
        if let Some(percent) = rule.resume_below {
            text.push_str(&format!("    resume_below: {percent}%\n"));
        }
        text.push_str(&format!("    cost: {}\n", rule.cost));
        text.push_str(if rule.always { "    charge: always\n" } else { "" });
        text.push_str("    limits:\n");
        for AnyLimit { kind, amount, seconds, burst } in &rule.limits {
            let amount = amount + more;
            let line = match kind {
                0 => format!("{amount}/{seconds}s"),
                1 => format!("{amount}/{seconds}s rolling"),
                2 => format!("{{ amount: {amount}, window: {seconds}s, anchor: first-hit }}"),
                3 => format!(
                    "{{ amount: {amount}, window: {seconds}s, kind: bucket, burst: {burst} }}"
                ),
                _ => format!("{{ amount: {amount}, kind: concurrent, lease: {seconds}s }}"),
            };
            text.push_str(&format!("      - {line}\n"));
        }
    }
    text
}

/// Milliseconds since the request before, the values of `a` and `b`, hits, and whether two
/// descriptors say all of it.
type Ask = (u64, &'static str, &'static str, u64, bool);

fn any_ask() -> impl Strategy<Value = Ask> {
    let after = prop_oneof![6 => 0..400_u64, 2 => 0..9_000_u64, 1 => 0..200_000_u64];
    let value = || prop::sample::select(vec!["x", "y", "z"]);
    let hits = prop_oneof![8 => 0..6_u64, 1 => 0..60_u64];
    (after, value(), value(), hits, prop::bool::weighted(0.2))
}

fn numbered(rules: Vec<AnyRule>) -> Vec<(usize, AnyRule)> {
    rules.into_iter().enumerate().collect()
}

impl Gate {
    /// One request; also whether some limit can never admit it.
    fn decide(&self, (_, a, b, hits, is_twice): Ask) -> (Code, Option<Span>, bool) {
        let entries = [("a", a), ("b", b)];
        let entries = entries
            .iter()
            .map(|(key, value)| Entry { key: key.as_bytes(), value: value.as_bytes() });
        let hits = Hits::Take(hits);
        let descriptor = Descriptor { entries: entries.collect(), hits, limit: None };
        let descriptors = std::iter::repeat_n(descriptor, 1 + usize::from(is_twice)).collect();
        let request = Request { domain: b"d", descriptors };
        let plan = plan(&self.set, &request, self.now, |_| None);
        let outcomes = self.store.charge(&plan.charges, self.now);
        let decision = conclude(&plan, &outcomes);
        let never = |outcome: &crate::limit::Outcome| {
            outcome.verdict == crate::limit::Verdict::ExceedsAmount
        };
        let wait = decision.binding().and_then(|binding| binding.reset);
        (decision.code, wait, outcomes.iter().any(never))
    }

    /// What every counter of these values has left.
    fn look(&self) -> Vec<(String, u64)> {
        let mut left = Vec::new();
        for (a, b) in [("x", "x"), ("x", "y"), ("y", "x"), ("y", "z"), ("z", "z")] {
            let entries = [("a", a), ("b", b)];
            let entries = entries
                .iter()
                .map(|(key, value)| Entry { key: key.as_bytes(), value: value.as_bytes() });
            let hits = Hits::Take(0);
            let descriptor = Descriptor { entries: entries.collect(), hits, limit: None };
            let request = Request { domain: b"d", descriptors: [descriptor].into_iter().collect() };
            let plan = plan(&self.set, &request, self.now, |_| None);
            for charge in &plan.charges {
                let rule = charge.rule.map_or("", |rule| &rule.name);
                let kind = format!("{rule} {:?} {a} {b}", charge.limit.identity());
                let outcome = self.store.charge(std::slice::from_ref(charge), self.now)[0];
                left.push((kind, outcome.remaining));
            }
        }
        left.sort();
        left
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(700))]

    #[test]
    fn who_waits_as_told_is_admitted_and_not_a_moment_before(
        rules in prop::collection::vec(any_rule(), 1..4).prop_map(numbered),
        asks in prop::collection::vec(any_ask(), 0..60),
        last in any_ask(),
    ) {
        let run = || {
            let mut gate = Gate::new(&text(&rules, 0));
            for ask in &asks {
                gate.now = gate.now.plus(Span::from_millis(ask.0));
                gate.decide(*ask);
            }
            let (code, wait, never) = gate.decide(last);
            (gate, (code == Code::OverLimit && !never).then_some(wait))
        };
        if let (mut gate, Some(wait)) = run() {
            let wait = wait.expect("every denial has a wait");
            let told = gate.now.plus(wait);
            // In a run of its own: asking a moment before may count.
            let (mut early, _) = run();
            early.now = told.minus(Span::from_nanos(1));
            prop_assert_eq!(early.decide(last).0, Code::OverLimit);
            gate.now = told;
            prop_assert_eq!(gate.decide(last).0, Code::Ok, "after {}", wait);
        }
    }

    #[test]
    fn a_denied_request_changes_no_counter(
        rules in prop::collection::vec(any_rule(), 1..4).prop_map(numbered),
        asks in prop::collection::vec(any_ask(), 1..60),
    ) {
        let rules: Vec<_> = rules
            .into_iter()
            .map(|(name, rule)| (name, AnyRule { always: false, ..rule }))
            .collect();
        let mut gate = Gate::new(&text(&rules, 0));
        for ask in asks {
            gate.now = gate.now.plus(Span::from_millis(ask.0));
            let before = gate.look();
            if gate.decide(ask).0 == Code::OverLimit {
                prop_assert_eq!(gate.look(), before);
            }
        }
    }

    /// Rules in another order and with other amounts: what is used stays used.
    #[test]
    fn a_reload_keeps_what_has_been_used(
        rules in prop::collection::vec(any_rule(), 1..4).prop_map(numbered),
        asks in prop::collection::vec(any_ask(), 1..40),
        more in 0..50_u64,
    ) {
        let mut rules: Vec<_> = rules;
        for limit in rules.iter_mut().flat_map(|(_, rule)| &mut rule.limits) {
            // A bucket drains with its amount, so a new amount changes what is left later.
            limit.kind = if limit.kind == 3 { 0 } else { limit.kind };
        }
        let mut gate = Gate::new(&text(&rules, 0));
        for ask in asks {
            gate.now = gate.now.plus(Span::from_millis(ask.0));
            gate.decide(ask);
        }
        let before = gate.look();
        rules.reverse();
        gate.set = compile(&text(&rules, more), Mode::Enforce);
        let after: Vec<_> = gate.look();
        prop_assert_eq!(before.len(), after.len());
        for ((name, before), (same, after)) in before.into_iter().zip(after) {
            prop_assert_eq!(&name, &same);
            // Beyond the amount usage cannot be told from what is left.
            let is_told = before > 0 || after <= more;
            prop_assert!(is_told && after <= before + more, "{} {} {}", name, before, after);
            if before > 0 {
                prop_assert_eq!(after, before + more, "{}", name);
            }
        }
    }
}

/// What was read of one descriptor is not there for the next one.
#[test]
fn descriptors_of_a_call_are_planned_as_if_each_came_alone() {
    let set = compile(
        "domain: d\n\
         rules:\n\
         \x20 - { name: net, match: { ip: 10.0.0.0/8 }, per: [ip], limits: [5/day] }\n\
         \x20 - { name: nets, match: { ip: 10.0.0.0/8 }, limits: [5/day] }\n\
         \x20 - { name: path, match: { endpoint: /a/** }, per: [endpoint], limits: [5/day] }\n\
         \x20 - { name: user, per: [user], limits: [5/day] }\n\
         \x20 - { name: only, match: { user: ann }, others: absent, limits: [5/day] }\n",
        Mode::Enforce,
    );
    let entries: [&[(&str, &str)]; 6] = [
        &[("remote_address", "::ffff:10.0.0.1"), ("path", "/a//b/../c?q=1"), ("user", "ann")],
        &[("remote_address", "10.9.9.9"), ("path", "/a/plain")],
        &[("path", "/a//b/../d")],
        &[("user", "ann")],
        &[("unknown", "x"), ("remote_address", "192.0.2.1")],
        &[],
    ];
    let descriptors = entries.map(descriptor);
    let charged = |descriptors: &[&Descriptor<'_>]| -> Vec<crate::decide::CounterKey> {
        let descriptors = descriptors.iter().map(|it| (*it).clone()).collect();
        let request = Request { domain: b"d", descriptors };
        let plan = plan(&set, &request, Timestamp::EPOCH, |_| None);
        plan.charges.iter().map(|charge| charge.counter).collect()
    };
    for first in &descriptors {
        for second in &descriptors {
            let apart = [charged(&[first]), charged(&[second])].concat();
            assert_eq!(charged(&[first, second]), apart, "{first:?}, {second:?}");
        }
    }
    assert!(!charged(&[&descriptors[0]]).is_empty());
}
