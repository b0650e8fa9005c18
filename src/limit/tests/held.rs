//! What is held at a time, and limits that pause, against lists of all that is held and used.

use super::*;

/// What a caller of a concurrency limit does.
#[derive(Clone, Debug)]
enum Act {
    Take(u64),
    /// Gives back the lease that was given so many leases ago, held or not.
    Release(usize),
    GiveBack(u64),
    Deny(u64),
}

fn any_acts() -> impl Strategy<Value = Vec<(u64, Act)>> {
    let act = prop_oneof![
        4 => (0..4_u64).prop_map(Act::Take),
        2 => (0..6_usize).prop_map(Act::Release),
        1 => (1..3_u64).prop_map(Act::GiveBack),
        1 => (1..3_u64).prop_map(Act::Deny),
    ];
    prop::collection::vec((0..5_000_u64, act), 1..120)
}

proptest! {
    #[test]
    fn leases_agree_with_a_list_of_all_that_is_held(
        amount in 1..6_u64,
        lease in 1..20_u64,
        start in any_time(),
        acts in any_acts(),
    ) {
        let limit = Limit::new(amount, Kind::Concurrent { lease: Span::from_seconds(lease) });
        let mut state = limit.fresh(start);
        let mut now = start;
        // Id, slots and end of every lease that was ever given, the oldest first.
        let mut given: Vec<(LeaseId, u64, Timestamp)> = Vec::new();
        let mut denied: Vec<(u64, Timestamp)> = Vec::new();
        for (millis, act) in acts {
            now = now.plus(Span::from_millis(millis));
            given.iter_mut().filter(|(_, _, end)| *end <= now).for_each(|lease| lease.1 = 0);
            denied.retain(|(_, until)| now < *until);
            let held = |given: &[(LeaseId, u64, Timestamp)]| -> u64 {
                given.iter().map(|(_, slots, _)| slots).sum()
            };
            match act {
                Act::Take(slots) => {
                    let fits = held(&given) + slots <= amount;
                    let when = ChargeWhen::Always;
                    let outcome = limit.step(&mut state, Hits::Take(slots), when, now);
                    prop_assert_eq!(!outcome.verdict.is_denial(), fits);
                    prop_assert_eq!(outcome.lease.is_some(), fits && slots > 0);
                    if let Some(id) = outcome.lease {
                        prop_assert!(given.iter().all(|(other, ..)| *other < id));
                        given.push((id, slots, now.plus(Span::from_seconds(lease))));
                    }
                }
                Act::Release(ago) => {
                    let place = given.len().wrapping_sub(1 + ago);
                    if let Some(lease) = given.get_mut(place) {
                        let leases = state.leases().unwrap();
                        leases.run_out(now);
                        prop_assert_eq!(leases.release(lease.0), lease.1 > 0);
                        lease.1 = 0;
                    }
                }
                Act::GiveBack(slots) => {
                    limit.step(&mut state, Hits::GiveBack(slots), ChargeWhen::Admitted, now);
                    let mut left = slots;
                    for (awaited, _) in &mut denied {
                        let swallowed = left.min(*awaited);
                        *awaited -= swallowed;
                        left -= swallowed;
                    }
                    for lease in &mut given {
                        let back = lease.1.min(left);
                        lease.1 -= back;
                        left -= back;
                    }
                }
                Act::Deny(slots) => {
                    state.leases().unwrap().deny(slots, now);
                    let until = now.plus(Span::from_seconds(11));
                    let second = Span::from_seconds(1);
                    let last = denied.last().filter(|(_, last)| last.plus(second) > until);
                    denied.push((slots, last.map_or(until, |(_, last)| *last)));
                }
            }
            let look = limit.step(&mut state, Hits::Take(0), ChargeWhen::Admitted, now);
            prop_assert_eq!(look.remaining, amount - held(&given));
        }
    }

    /// The contract of `resume_below`, from nothing but looks at the limit without it.
    #[test]
    fn a_paused_limit_goes_on_when_usage_is_below_its_share(
        limit in any_limit(),
        hundredths in 1..=10_000_u16,
        start in any_time(),
        asks in any_asks(),
    ) {
        let share = Share::from_hundredths_of_percent(hundredths).unwrap();
        let plain = Limit { resume_below: None, ..limit };
        let limit = Limit { resume_below: Some(share), ..limit };
        let mut state = limit.fresh(start);
        let mut unpaused = plain.fresh(start);
        let (mut now, mut is_paused) = (start, false);
        let thousandth = span_of(limit).as_nanos() / 1_000;
        let whole = u128::from(Share::WHOLE);
        for (thousandths, hits) in asks {
            now = now.plus(Span::from_nanos(thousandth * thousandths / 4));
            let admitted = ChargeWhen::Admitted;
            // Whether so few hits are used that this share of the capacity is not reached.
            let most = (0..limit.capacity()).rev()
                .find(|used| u128::from(*used) * whole
                    < u128::from(limit.capacity()) * u128::from(hundredths))
                .unwrap_or_default();
            let room = Hits::Take(limit.capacity() - most);
            let below = plain.step(&mut unpaused.clone(), room, admitted, now);
            let goes_on = hits <= limit.capacity() && !below.verdict.is_denial();
            // Who looks is told that it would go on, and ends no pause.
            is_paused &= hits == 0 || !goes_on;
            let outcome = limit.step(&mut state, Hits::Take(hits), admitted, now);
            if is_paused && goes_on {
                prop_assert!(!outcome.verdict.is_denial());
                continue;
            }
            if is_paused {
                prop_assert!(outcome.verdict.is_denial());
                prop_assert_eq!(outcome.lease, None);
                continue;
            }
            let expected = plain.step(&mut unpaused, Hits::Take(hits), admitted, now);
            prop_assert_eq!(outcome.verdict, expected.verdict);
            prop_assert_eq!(outcome.remaining, expected.remaining);
            is_paused |= expected.verdict == Verdict::OverLimit && hits > 0;
        }
    }
}
