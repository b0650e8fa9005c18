//! What the envoyproxy/ratelimit format says beyond plain limits: quotas, shadow of the whole
//! server, headers, limits in the request.

use super::*;
use crate::limit::{Kind, Unit, Window};
use crate::policy::model::{DescriptorHeaders, DescriptorOptions};

const QUOTAS: &str = "
domain: d
descriptors:
  - { key: one, quota_mode: true, rate_limit: { unit: day, requests_per_unit: 1 } }
  - { key: two, quota_mode: true, rate_limit: { unit: day, requests_per_unit: 2 } }
  - { key: plain, rate_limit: { unit: day, requests_per_unit: 3 } }
  - { key: shadow, shadow_mode: true, quota_mode: true, rate_limit: { unit: day, requests_per_unit: 0 } }
";

fn with(descriptors: DescriptorOptions) -> Options {
    Options { mode: Mode::Enforce, descriptors }
}

fn codes(told: &Told) -> Vec<Code> {
    told.statuses.iter().map(|(code, _)| *code).collect()
}

#[test]
fn quotas_deny_only_when_all_of_a_request_are_used_up() {
    use Code::{Ok, OverLimit};
    let gate = Gate::new(QUOTAS);
    let both: [&[(&str, &str)]; 2] = [&[("one", "x")], &[("two", "x")]];
    let steps = [(Ok, [Ok, Ok]), (Ok, [OverLimit, Ok]), (OverLimit, [OverLimit, OverLimit])];
    for (code, statuses) in steps {
        let told = gate.ask("d", &both);
        assert_eq!((told.code, codes(&told)), (code, statuses.to_vec()));
    }
    let rules = gate.ask("d", &[&[("one", "x")], &[("two", "y")]]).rules;
    assert_eq!(rules[0].2, RuleCode::ShadowOverLimit, "used up, and yet the request passes");
    // Nothing that is no quota is room; what the shadow hides is.
    assert_eq!(gate.ask("d", &[&[("one", "x")], &[("plain", "x")]]).code, OverLimit);
    assert_eq!(gate.ask("d", &[&[("one", "x")], &[("unknown", "x")]]).code, OverLimit);
    assert_eq!(gate.ask("d", &[&[("one", "x")], &[("shadow", "x")]]).code, Ok);
}

#[test]
fn a_denied_request_waits_for_what_denies_and_for_the_first_quota_with_room() {
    let gate = Gate::new(
        "
domain: d
descriptors:
  - { key: day, quota_mode: true, rate_limit: { unit: day, requests_per_unit: 0 } }
  - { key: hour, quota_mode: true, rate_limit: { unit: hour, requests_per_unit: 0 } }
  - { key: room, quota_mode: true, rate_limit: { unit: hour, requests_per_unit: 9 } }
  - { key: minute, rate_limit: { unit: minute, requests_per_unit: 0 } }
",
    );
    // At seven minutes past the hour.
    let (minute, hour): (&[_], &[_]) = (&[("minute", "x")], &[("hour", "x")]);
    let (day, room): (&[_], &[_]) = (&[("day", "x")], &[("room", "x")]);
    for (descriptors, rule, wait) in [
        ([day, hour, hour], "hour", 3_180),
        ([day, room, minute], "minute", 60),
        ([day, hour, minute], "hour", 3_180),
    ] {
        let told = gate.ask("d", &descriptors);
        assert_eq!(told.code, Code::OverLimit);
        assert_eq!(told.binding, Some((rule.to_owned(), wait)));
    }
}

#[test]
fn where_it_is_wanted_a_limit_that_is_over_spares_the_others() {
    let gate = Gate::with_options(
        QUOTAS,
        &with(DescriptorOptions { spares_others: true, ..Default::default() }),
    );
    let ask = || gate.ask("d", &[&[("one", "x")], &[("two", "x")], &[("plain", "x")]]);
    let remaining = |told: &Told, at: usize| told.statuses[at].1.as_ref().unwrap().2;
    assert_eq!(remaining(&ask(), 2), 2);
    // The first quota is used up, which denies nothing.
    let told = ask();
    assert_eq!((told.code, remaining(&told, 1), remaining(&told, 2)), (Code::Ok, 1, 2));
    assert_eq!(remaining(&gate.one(&[("plain", "x")]), 0), 1);
}

#[test]
fn in_quota_mode_a_descriptor_without_a_limit_is_room() {
    let all = with(DescriptorOptions { quota_mode: true, ..Default::default() });
    let gate = Gate::with_options(QUOTAS, &all);
    for _ in 0..3 {
        assert_eq!(gate.one(&[("plain", "x")]).code, Code::Ok);
    }
    assert_eq!(gate.one(&[("plain", "x")]).code, Code::OverLimit);
    assert_eq!(gate.ask("d", &[&[("plain", "x")], &[("unknown", "x")]]).code, Code::Ok);
}

#[test]
fn a_server_in_shadow_passes_requests_and_tells_the_truth_of_each_descriptor() {
    let text =
        "domain: d\ndescriptors: [{ key: a, rate_limit: { unit: day, requests_per_unit: 1 } }]";
    let gate = Gate::with_mode(text, Mode::Shadow);
    assert_eq!(gate.one(&[("a", "x")]).code, Code::Ok);
    let told = gate.one(&[("a", "x")]);
    assert_eq!((told.code, codes(&told)), (Code::Ok, vec![Code::OverLimit]));
    assert_eq!(told.rules[0].2, RuleCode::ShadowOverLimit);
    let limit = Limit::new(1, Kind::Fixed(Window::epoch(Unit::Hour)));
    let brought = || gate.ask_with("d", &[&[("b", "x")]], Hits::Take(1), Some(limit));
    brought();
    let told = brought();
    assert_eq!((told.code, codes(&told)), (Code::Ok, vec![Code::OverLimit]));
}

#[test]
fn a_limit_in_the_request_and_the_configured_one_of_its_unit_are_one_counter() {
    let text =
        "domain: d\ndescriptors: [{ key: a, rate_limit: { unit: hour, requests_per_unit: 9 } }]";
    let gate = Gate::new(text);
    let brought = |unit| {
        let limit = Limit::new(5, Kind::Fixed(Window::epoch(unit)));
        gate.ask_with("d", &[&[("a", "x")]], Hits::Take(1), Some(limit)).remaining()
    };
    assert_eq!(gate.one(&[("a", "x")]).remaining(), 8);
    assert_eq!(brought(Unit::Hour), 3);
    assert_eq!(
        brought(Unit::Day),
        4,
        "another unit counts apart, also where windows begin together"
    );
    assert_eq!(gate.one(&[("a", "x")]).remaining(), 6);
}

#[test]
fn counters_of_descriptors_know_keys_and_values_apart() {
    let gate = Gate::new(
        "
domain: d
descriptors:
  - { key: a, rate_limit: { unit: day, requests_per_unit: 5 } }
  - { key: w, value: x*, share_threshold: true, rate_limit: { unit: day, requests_per_unit: 5 } }
  - { key: w, rate_limit: { unit: day, requests_per_unit: 5 } }
  - key: b
    rate_limit: { unit: day, requests_per_unit: 5 }
    descriptors: [{ key: c, rate_limit: { unit: day, requests_per_unit: 5 } }]
",
    );
    let asked: [&[(&str, &str)]; 6] = [
        &[("a", "b_c_d")],
        &[("b", "")],
        &[("b", "c"), ("c", "d")],
        &[("w", "x1")],
        &[("w", "pattern")],
        &[("w", "yx*")],
    ];
    for entries in asked {
        assert_eq!(gate.one(entries).remaining(), 4, "{entries:?}");
    }
    assert_eq!(gate.one(&[("w", "x2")]).remaining(), 3, "shared");
}

#[test]
fn headers_name_the_last_that_denies_else_the_first_with_least_left() {
    let names = |limit: &str, remaining: &str, reset: &str| DescriptorHeaders {
        limit: limit.to_owned(),
        remaining: remaining.to_owned(),
        reset: reset.to_owned(),
    };
    let headers = Some(names("x-limit", "x-left", "x-reset"));
    let text = QUOTAS.replace("descriptors:", "descriptors:\n  - { key: free }");
    let mut gate =
        Gate::with_options(&text, &with(DescriptorOptions { headers, ..Default::default() }));
    gate.now = gate.now.plus(crate::time::Span::from_millis(500));
    let told = gate.ask("d", &[&[("two", "x")], &[("plain", "x")], &[("one", "x")]]);
    let to_midnight = 86_400 - 1_795_000_020_u64 % 86_400;
    let reset = to_midnight.to_string();
    let expected = |limit: &str, left: &str| {
        [("x-limit", limit), ("x-left", left), ("x-reset", reset.as_str())]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec()
    };
    assert_eq!(told.headers, expected("1", "0"));
    assert_eq!(told.statuses[0].1.as_ref().unwrap().3, to_midnight, "whole seconds");
    assert!(gate.one(&[("free", "x")]).headers.is_empty());
    // The quota that is used up does not deny by itself, the plain limit does.
    for _ in 0..3 {
        gate.one(&[("plain", "x")]);
    }
    let told = gate.ask("d", &[&[("plain", "x")], &[("one", "x")], &[("two", "y")]]);
    assert_eq!(told.headers, expected("3", "0"));
}
