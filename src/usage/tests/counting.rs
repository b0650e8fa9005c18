//! What counts as what, and what it is called.

use super::*;

/// All that was recorded of a rule, by the values of its series.
fn told(usage: &Usage, rule: &str) -> Vec<(String, Tally)> {
    let reading = usage.read(Resolution::Minute, ALWAYS, std::iter::empty());
    let of_rule = reading.series.into_iter().filter(|series| *series.name.rule == *rule);
    of_rule.map(|series| (text(&series.name), series.total)).collect()
}

fn text(name: &Name) -> String {
    match &name.values {
        Values::Other => "(other)".to_owned(),
        Values::Counted(values) => {
            let pairs = values.iter().map(|(name, value)| format!("{name}={value}"));
            pairs.collect::<Vec<_>>().join(" ")
        }
    }
}

#[test]
fn each_code_counts_what_it_says() {
    let set = policy(POLICY);
    let tally = |code, made| {
        let usage = Usage::default();
        record((&usage, &set), &[], &[made], (code, START));
        told(&usage, "all").first().map(|(_, tally)| *tally)
    };
    let none = Tally { peak: 70, ..Tally::default() };
    let ok = tally(Code::Ok, (RuleCode::Ok, 3, 70));
    assert_eq!(ok, Some(Tally { admitted: 3, ..none }));
    let denied = tally(Code::OverLimit, (RuleCode::OverLimit, 3, 70));
    assert_eq!(denied, Some(Tally { denied: 3, ..none }));
    let shadow = tally(Code::Ok, (RuleCode::ShadowOverLimit, 3, 70));
    assert_eq!(shadow, Some(Tally { admitted: 3, shadow_denied: 3, ..none }));
    let shadow = tally(Code::OverLimit, (RuleCode::ShadowOverLimit, 3, 70));
    assert_eq!(shadow, Some(Tally { shadow_denied: 3, ..none }), "another rule denied it");
    assert_eq!(tally(Code::OverLimit, (RuleCode::DeniedElsewhere, 3, 70)), None);
    assert_eq!(tally(Code::Ok, (RuleCode::Ok, 0, 70)), Some(none), "a look");
}

#[test]
fn an_older_moment_counts_in_the_newest_minute() {
    let (usage, set) = (Usage::default(), policy(POLICY));
    let made = [(RuleCode::Ok, 1, 0)];
    record((&usage, &set), &[], &made, (Code::Ok, START));
    record((&usage, &set), &[], &made, (Code::Ok, START.minus(Span::from_seconds(3_000))));
    let reading = usage.read(Resolution::Minute, ALWAYS, std::iter::empty());
    let slots = &reading.series[0].slots;
    assert_eq!((slots.len(), slots[0].tally.admitted), (1, 2));
    assert_eq!(slots[0].number, Resolution::Minute.slot_at(START));
}

/// Asks a policy for one request by its own charges, each with half of its limit used.
fn names(text_of_policy: &str, entries: &[(&str, &[u8])]) -> Vec<(String, String)> {
    let set = policy(text_of_policy);
    let usage = Usage::default();
    let entries = entries.iter().map(|(key, value)| Entry { key: key.as_bytes(), value });
    let descriptor = Descriptor { entries: entries.collect(), hits: Hits::Take(1), limit: None };
    let request = Request { domain: b"d", descriptors: [descriptor].into_iter().collect() };
    let plan = plan(&set, &request, START, |_| None);
    let outcomes = rooms(&plan);
    usage.record(&request, &conclude(&plan, &outcomes), START);
    let reading = usage.read(Resolution::Minute, ALWAYS, std::iter::empty());
    reading.series.iter().map(|it| (it.name.rule.to_string(), text(&it.name))).collect()
}

#[test]
fn series_are_called_by_the_values_that_their_rules_count() {
    let named = |policy, entries: &[(&str, &[u8])]| {
        let names = names(policy, entries);
        let names = names.iter().map(|(rule, values)| format!("{rule}: {values}"));
        names.collect::<Vec<_>>().join("; ")
    };
    let captured = "domain: d
tables: { org: { acme: { plan: gold } } }
rules:
  - { name: none, limits: [9/day] }
  - { name: other, match: { user: x }, limits: [9/day] }
  - { name: path, match: { endpoint: '/{org}/**' }, per: [org, org.plan, user], limits: [9/day] }
  - { name: exempt, per: [user], unlimited: true }";
    assert_eq!(
        named(captured, &[("user", b"u\xff"), (":path", b"/acme/orders?x=1")]),
        "exempt: user=u\\xff; none: ; path: org=acme org.plan=gold user=u\\xff"
    );
    let tree = "domain: d
descriptors:
  - key: tenant
    descriptors:
      - { key: method, value: GET, rate_limit: { unit: day, requests_per_unit: 9 } }
      - { key: path, value: '/v1*', rate_limit: { unit: day, requests_per_unit: 9 } }
      - { key: host, value: 'a*', share_threshold: true, rate_limit: { unit: day, requests_per_unit: 9 } }";
    let of_tree = |key, value| named(tree, &[("tenant", b"t1"), (key, value)]);
    assert!(of_tree("method", b"GET").ends_with(": tenant=t1"), "{}", of_tree("method", b"GET"));
    assert!(of_tree("path", b"/v1/x").ends_with(": tenant=t1 path=/v1/x"));
    assert!(of_tree("host", b"abc").ends_with(": tenant=t1"));
}

#[test]
fn a_rule_that_takes_the_place_of_another_has_a_history_of_its_own() {
    let tree = |detail: &str| {
        policy(&format!(
            "domain: d\ndescriptors:\n  - {{ key: user, {detail}rate_limit: {{ unit: day, requests_per_unit: 9 }} }}"
        ))
    };
    let usage = Usage::default();
    let made = [(RuleCode::Ok, 1, 0)];
    let rules = [tree(""), tree("value: u1, ")].map(|set| {
        record((&usage, &set), &[("user", "u1")], &made, (Code::Ok, START))[0].0.clone()
    });
    assert_ne!(rules[0], rules[1]);
    let reading = usage.read(Resolution::Minute, ALWAYS, std::iter::empty());
    assert_eq!(by_rule(&reading).len(), 2);
}

#[test]
fn a_clock_that_was_far_ahead_and_is_back_counts_where_it_is() {
    let (set, mut disk) = (policy(POLICY), Disk::default());
    let usage = Usage::default();
    let ahead = START.plus(Span::from_seconds(10 * 365 * 86_400));
    let later = START.plus(Span::from_seconds(120));
    let hit = |usage: &Usage, hits, now| {
        record((usage, &set), &[], &[(RuleCode::Ok, hits, 1)], (Code::Ok, now));
    };
    hit(&usage, 1, START);
    disk.save(&usage, START);
    hit(&usage, 2, ahead);
    disk.save_all(&usage, ahead);
    hit(&usage, 4, later);
    disk.save_all(&usage, later);
    for usage in [usage, disk.restore(UsageLimits::default(), later)] {
        hit(&usage, 8, later);
        let minutes = (0, Resolution::Minute.slot_at(ahead) + 1);
        let reading = disk.read(&usage, Resolution::Minute, minutes);
        let admitted: BTreeMap<u32, u64> = by_rule(&reading)
            .into_iter()
            .map(|((_, slot), tally)| (slot, tally.admitted))
            .collect();
        let slot = |at| Resolution::Minute.slot_at(at);
        let expected = BTreeMap::from([(slot(START), 1), (slot(later), 12), (slot(ahead), 2)]);
        assert_eq!(admitted, expected);
    }
}
