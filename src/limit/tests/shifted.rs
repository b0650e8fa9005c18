//! What is stored when the clock has been set, against a twin whose clock was not.

use super::*;

/// Asks for a counter and its twin, which lives later by `by`.
fn assert_twins(
    limit: Limit,
    mut state: State,
    mut twin: State,
    asks: &[(u64, u64)],
    now: Timestamp,
    by: i64,
) {
    let mut now = now;
    let thousandth = span_of(limit).as_nanos() / 1_000;
    for (thousandths, hits) in asks {
        now = now.plus(Span::from_nanos(thousandth * thousandths / 4));
        let step = |state: &mut State, now| {
            limit.step(state, Hits::Take(*hits), ChargeWhen::Admitted, now)
        };
        let (expected, got) = (step(&mut state, now), step(&mut twin, now.shifted(by)));
        let of = |outcome: Outcome| {
            (outcome.verdict, outcome.remaining, outcome.reset, outcome.lease.is_some())
        };
        assert_eq!(of(got), of(expected), "{limit}");
        assert_eq!(twin.is_idle(now.shifted(by)), state.is_idle(now));
    }
}

proptest! {
    /// Fixed windows go by the clock: they have a contract of their own.
    #[test]
    fn a_counter_that_is_moved_with_the_clock_decides_as_if_nothing_had_happened(
        limit in any_limit(),
        start in any_time(),
        by in -10_000_000_000_000_000..10_000_000_000_000_000_i64,
        before in any_asks(),
        after in any_asks(),
    ) {
        prop_assume!(!matches!(limit.kind, Kind::Fixed(_)));
        prop_assume!(lateness(limit, ChargeWhen::Admitted) == Span::ZERO);
        let (mut state, mut now) = (limit.fresh(start), start);
        for (thousandths, hits) in before {
            now = now.plus(Span::from_nanos(span_of(limit).as_nanos() / 4_000 * thousandths));
            limit.step(&mut state, Hits::Take(hits), ChargeWhen::Admitted, now);
            if let Some(leases) = state.leases().filter(|_| hits > 2) {
                leases.deny(hits, now);
            }
        }
        let mut twin = state.clone();
        twin.shift(by);
        assert_twins(limit, state, twin, &after, now, by);
    }

    /// Slots of rolling windows are cut by the clock, so one more may be held for each step.
    #[test]
    fn rolling_windows_in_slots_stay_exact_and_small_over_steps(
        amount in 65..300_u64,
        always in any::<bool>(),
        start in any_time(),
        asks in prop::collection::vec((0..60_u64, 0..4_u64, any::<bool>()), 1..300),
        by in -10_000_000_000_000..10_000_000_000_000_i64,
    ) {
        let limit = rolling(amount, window(64, Unit::Second));
        let when = if always { ChargeWhen::Always } else { ChargeWhen::Admitted };
        let (mut state, mut now, mut shifted, mut steps) = (limit.fresh(start), start, 0_i64, 0);
        let mut admitted: Vec<(Timestamp, u64)> = Vec::new();
        for (thousandths, hits, is_set) in asks {
            now = now.plus(Span::from_millis(64 * thousandths));
            if is_set && steps < 5 {
                let by = if steps % 2 == 0 { by } else { -by / 3 };
                state.shift(by);
                (shifted, steps) = (shifted + by, steps + 1);
            }
            let outcome = limit.step(&mut state, Hits::Take(hits), when, now.shifted(shifted));
            if outcome.verdict == Verdict::Admitted {
                admitted.push((now, hits));
                let inside = counted_between(&admitted, now.minus(span_of(limit)), now);
                prop_assert!(inside <= amount, "{inside} of {amount}");
            }
            let State::Large(large) = &state else { unreachable!("a rolling window") };
            let LargeState::Rolling(state) = &**large else { unreachable!("a rolling window") };
            prop_assert!(state.entry_count() <= 66 + steps, "{} entries", state.entry_count());
        }
    }
}

#[test]
fn leases_keep_their_names_and_what_has_none_ends_never() {
    let limit = Limit::new(2, Kind::Concurrent { lease: Span::from_seconds(60) });
    let now = at("2026-11-21T18:00:00Z");
    let mut state = limit.fresh(now);
    state.shift(-1_000_000_000);
    let earlier = now.minus(Span::from_seconds(1));
    assert!(state.is_idle(earlier));
    let take =
        |state: &mut State, now| limit.step(state, Hits::Take(1), ChargeWhen::Admitted, now).lease;
    let first = take(&mut state, earlier).unwrap();
    state.shift(-3_600_000_000_000);
    let second = take(&mut state, earlier.minus(Span::from_seconds(3_600))).unwrap();
    assert!(first < second, "no name is given twice when the clock went back");
    let leases = state.leases().unwrap();
    assert!(leases.release(first) && leases.release(second));
}
