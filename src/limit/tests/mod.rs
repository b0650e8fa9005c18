//! Limits against a slow, exact model: the list of all that was admitted.

use std::num::NonZeroU32;

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;

mod held;
mod shifted;

fn window(count: u32, unit: Unit) -> Window {
    Window::calendar(NonZeroU32::new(count).unwrap(), unit)
}

fn fixed(amount: u64, window: Window) -> Limit {
    Limit::new(amount, Kind::Fixed(window))
}

fn at(text: &str) -> Timestamp {
    let timestamp: jiff::Timestamp = text.parse().unwrap();
    Timestamp::from_nanos(i64::try_from(timestamp.as_nanosecond()).unwrap())
}

#[test]
fn windows_end_where_the_calendar_says() {
    for (window, now, end) in [
        (window(1, Unit::Second), "2026-11-21T18:00:00.5Z", "2026-11-21T18:00:01Z"),
        (window(15, Unit::Minute), "2026-11-21T18:14:59Z", "2026-11-21T18:15:00Z"),
        (window(15, Unit::Minute), "2026-11-21T18:15:00Z", "2026-11-21T18:30:00Z"),
        (window(1, Unit::Hour), "2026-11-21T23:59:59.999999999Z", "2026-11-22T00:00:00Z"),
        (window(1, Unit::Day), "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"),
        // A Saturday; weeks begin on Monday.
        (window(1, Unit::Week), "2026-11-21T12:00:00Z", "2026-11-23T00:00:00Z"),
        (window(1, Unit::Month), "2024-02-29T12:00:00Z", "2024-03-01T00:00:00Z"),
        (window(1, Unit::Month), "2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z"),
        (window(3, Unit::Month), "2026-11-21T00:00:00Z", "2027-01-01T00:00:00Z"),
        (window(1, Unit::Year), "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        (window(1, Unit::Day), "1969-07-20T20:17:40Z", "1969-07-21T00:00:00Z"),
        // Epoch-aligned: Thursdays, blocks of 30 days and of 365 days.
        (Window::epoch(Unit::Week), "2026-11-21T12:00:00Z", "2026-11-26T00:00:00Z"),
        (Window::epoch(Unit::Month), "1970-01-30T12:00:00Z", "1970-01-31T00:00:00Z"),
        (Window::epoch(Unit::Year), "1972-12-31T12:00:00Z", "1973-12-31T00:00:00Z"),
    ] {
        assert_eq!(window.end(at(now)), at(end), "{window} at {now}");
    }
}

#[test]
fn windows_are_the_same_however_they_are_written() {
    assert_eq!(window(60, Unit::Second).identity(), window(1, Unit::Minute).identity());
    assert_eq!(window(24, Unit::Hour).identity(), window(1, Unit::Day).identity());
    assert_eq!(window(12, Unit::Month).identity(), window(1, Unit::Year).identity());
    assert_ne!(window(7, Unit::Day).identity(), window(1, Unit::Week).identity());
    assert_ne!(window(1, Unit::Month).identity(), Window::epoch(Unit::Month).identity());
}

#[test]
fn looking_is_denied_only_beyond_the_amount() {
    let limit = fixed(2, window(1, Unit::Minute));
    let now = Timestamp::from_seconds(0);
    let mut state = limit.fresh(now);
    let mut step = |hits, when| limit.step(&mut state, hits, when, now).verdict;
    assert_eq!(step(Hits::Take(2), ChargeWhen::Admitted), Verdict::Admitted);
    assert_eq!(step(Hits::Take(0), ChargeWhen::Admitted), Verdict::Admitted);
    assert_eq!(step(Hits::Take(1), ChargeWhen::Always), Verdict::OverLimit);
    assert_eq!(step(Hits::Take(0), ChargeWhen::Always), Verdict::OverLimit);
    assert_eq!(step(Hits::GiveBack(1), ChargeWhen::Always), Verdict::Admitted);
    assert_eq!(step(Hits::Take(0), ChargeWhen::Always), Verdict::Admitted);
}

#[test]
fn hits_beyond_the_whole_amount_never_fit() {
    let limit = fixed(10, window(1, Unit::Minute));
    let now = Timestamp::from_seconds(30);
    let mut state = limit.fresh(now);
    for hits in [11, u64::from(u32::MAX), u64::MAX] {
        let outcome = limit.step(&mut state, Hits::Take(hits), ChargeWhen::Admitted, now);
        assert_eq!(outcome.verdict, Verdict::ExceedsAmount);
        assert_eq!((outcome.remaining, outcome.reset), (10, Some(Span::from_seconds(30))));
    }
    let outcome = limit.step(&mut state, Hits::Take(u64::MAX), ChargeWhen::Always, now);
    assert_eq!((outcome.verdict, outcome.remaining), (Verdict::ExceedsAmount, 0));
    let again = limit.step(&mut state, Hits::Take(u64::MAX), ChargeWhen::Always, now);
    assert_eq!(again.verdict, Verdict::ExceedsAmount);
}

#[test]
fn giving_back_never_goes_below_nothing() {
    let limit = fixed(3, window(1, Unit::Day));
    let now = Timestamp::from_seconds(0);
    let mut state = limit.fresh(now);
    limit.step(&mut state, Hits::Take(1), ChargeWhen::Always, now);
    let outcome = limit.step(&mut state, Hits::GiveBack(u64::MAX), ChargeWhen::Always, now);
    assert_eq!((outcome.verdict, outcome.remaining), (Verdict::Admitted, 3));
    assert!(state.is_idle(now));
}

#[test]
fn a_clock_that_steps_back_never_frees_what_is_used() {
    let limit = fixed(1, window(1, Unit::Minute));
    let mut state = limit.fresh(Timestamp::from_seconds(60));
    let mut take = |seconds| {
        let now = Timestamp::from_seconds(seconds);
        limit.step(&mut state, Hits::Take(1), ChargeWhen::Admitted, now).verdict
    };
    assert_eq!(take(60), Verdict::Admitted);
    assert_eq!(take(0), Verdict::OverLimit);
    assert_eq!(take(119), Verdict::OverLimit);
    assert_eq!(take(120), Verdict::Admitted);
    assert_eq!(take(61), Verdict::OverLimit);
}

fn any_window() -> impl Strategy<Value = Window> {
    let unit = prop::sample::select(Unit::ALL.to_vec());
    (1..40_u32, unit, any::<bool>()).prop_map(|(count, unit, is_epoch)| {
        if is_epoch { Window::epoch(unit) } else { window(count, unit) }
    })
}

/// 1970 to 2200, with all nanoseconds.
fn any_time() -> impl Strategy<Value = Timestamp> {
    (0..7_258_118_400_i64, 0..1_000_000_000_i64)
        .prop_map(|(seconds, nanos)| Timestamp::from_nanos(seconds * 1_000_000_000 + nanos))
}

#[derive(Clone, Debug)]
struct Step {
    after: Span,
    hits: u64,
}

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..20_000_u64, prop_oneof![4 => 0..4_u64, 1 => 0..40_u64])
        .prop_map(|(millis, hits)| Step { after: Span::from_millis(millis), hits });
    prop::collection::vec(step, 1..120)
}

fn rolling(amount: u64, window: Window) -> Limit {
    Limit::new(amount, Kind::Rolling(window))
}

fn bucket(amount: u64, window: Window, burst: u64) -> Limit {
    Limit::new(amount, Kind::Bucket { window, burst })
}

/// Takes one hit after another at these seconds and says which were admitted.
fn admitted(limit: Limit, seconds: &[i64]) -> Vec<bool> {
    let mut state = limit.fresh(Timestamp::from_seconds(0));
    let mut take = |seconds: &i64| {
        let now = Timestamp::from_seconds(*seconds);
        limit.step(&mut state, Hits::Take(1), ChargeWhen::Admitted, now).verdict
    };
    seconds.iter().map(|seconds| take(seconds) == Verdict::Admitted).collect()
}

#[test]
fn rolling_windows_do_not_let_twice_the_amount_through_at_a_boundary() {
    let minute = window(1, Unit::Minute);
    let times = [58, 59, 60, 61, 117, 118, 119];
    assert_eq!(admitted(fixed(2, minute), &times), [true, true, true, true, false, false, false]);
    assert_eq!(admitted(rolling(2, minute), &times), [true, true, false, false, false, true, true]);
}

#[test]
fn buckets_refill_evenly_and_to_the_fraction() {
    let ten_seconds = window(10, Unit::Second);
    // 3 per 10 s: a token every 3.33 s.
    let times = [0, 0, 0, 0, 3, 4, 6, 7, 10, 10];
    let expected = [true, true, true, false, false, true, false, true, true, false];
    assert_eq!(admitted(bucket(3, ten_seconds, 3), &times), expected);
    // Full again after exactly one window.
    assert_eq!(
        admitted(bucket(3, ten_seconds, 3), &[0, 0, 0, 10, 10, 10, 10])[3..],
        [true, true, true, false]
    );
    assert_eq!(
        admitted(bucket(60, window(1, Unit::Minute), 2), &[0, 0, 0, 1, 1]),
        [true, true, false, true, false]
    );
}

#[test]
fn limits_read_as_policies_write_them() {
    let ten_seconds = window(10, Unit::Second);
    assert_eq!(fixed(5, window(1, Unit::Minute)).to_string(), "5/minute");
    assert_eq!(rolling(5, ten_seconds).to_string(), "5 per 10 seconds, rolling");
    let bucket = bucket(5, ten_seconds, 7).to_string();
    assert_eq!(bucket, "5 per 10 seconds, bucket with burst 7");
}

#[test]
fn states_that_few_limits_need_cost_the_others_nothing() {
    assert_eq!(size_of::<State>(), 16);
}

fn any_limit() -> impl Strategy<Value = Limit> {
    let even = (1..90_u32, prop::sample::select(vec![Unit::Second, Unit::Minute, Unit::Day]))
        .prop_map(|(count, unit)| window(count, unit));
    let amount = prop_oneof![4 => 1..40_u64, 1 => 60..300_u64];
    let kind = (even, 0..5, 1..60_u64).prop_map(|(window, kind, burst)| match kind {
        0 => Kind::Fixed(window),
        4 => Kind::Fixed(window.from_first_hit()),
        1 => Kind::Rolling(window),
        2 => Kind::Bucket { window, burst },
        _ => Kind::Concurrent { lease: window.nominal_span() },
    });
    let resume_below = prop_oneof![2 => Just(None), 1 => (1..=10_000_u16).prop_map(Some)]
        .prop_map(|share| share.and_then(Share::from_hundredths_of_percent));
    (amount, kind, resume_below).prop_map(|(amount, kind, resume_below)| Limit {
        amount,
        kind,
        resume_below,
    })
}

/// The time in which what was taken is free again.
fn span_of(limit: Limit) -> Span {
    match limit.kind {
        Kind::Fixed(window) | Kind::Rolling(window) | Kind::Bucket { window, .. } => {
            window.nominal_span()
        }
        Kind::Concurrent { lease } => lease,
    }
}

/// How late a hint may be: one slot of a rolling window that does not keep single hits.
fn lateness(limit: Limit, when: ChargeWhen) -> Span {
    match limit.kind {
        Kind::Rolling(window) if limit.amount > 64 || when == ChargeWhen::Always => {
            Span::from_nanos(window.nominal_span().as_nanos().div_ceil(64))
        }
        Kind::Rolling(_) | Kind::Fixed(_) | Kind::Bucket { .. } | Kind::Concurrent { .. } => {
            Span::ZERO
        }
    }
}

/// Hits in thousandths of a window, so that many meet in one and some leave.
fn any_asks() -> impl Strategy<Value = Vec<(u64, u64)>> {
    prop::collection::vec((0..400_u64, prop_oneof![5 => 0..4_u64, 1 => 0..50_u64]), 1..80)
}

/// The sum of what was counted after `after`, up to and with `until`.
fn counted_between(counted: &[(Timestamp, u64)], after: Timestamp, until: Timestamp) -> u64 {
    let inside = counted.iter().filter(|(time, _)| *time > after && *time <= until);
    inside.map(|(_, hits)| hits).sum()
}

#[test]
fn a_window_from_the_first_hit_begins_with_what_counts() {
    let limit = fixed(2, window(10, Unit::Second).from_first_hit());
    assert_eq!(limit.to_string(), "2 per 10 seconds from the first hit");
    let start = at("2026-11-21T18:00:03.25Z");
    let after = |millis| start.plus(Span::from_millis(millis));
    let mut state = limit.fresh(start);
    let mut step = |hits, millis| {
        let outcome = limit.step(&mut state, hits, ChargeWhen::Admitted, after(millis));
        (outcome.verdict, outcome.remaining, outcome.reset.unwrap().as_nanos() / 1_000_000)
    };
    use Verdict::{Admitted, ExceedsAmount, OverLimit};
    assert_eq!(step(Hits::Take(0), 0), (Admitted, 2, 0), "nothing is used");
    assert_eq!(
        step(Hits::Take(3), 1_000),
        (ExceedsAmount, 2, 10_000),
        "a denied hit begins nothing"
    );
    assert_eq!(step(Hits::Take(1), 4_000), (Admitted, 1, 10_000));
    assert_eq!(step(Hits::Take(1), 13_999), (Admitted, 0, 1));
    assert_eq!(step(Hits::Take(1), 13_999), (OverLimit, 0, 1));
    assert_eq!(step(Hits::Take(1), 14_000), (Admitted, 1, 10_000), "the next one");
    assert_eq!(step(Hits::GiveBack(1), 20_000), (Admitted, 2, 0));
    assert_eq!(step(Hits::Take(2), 21_000), (Admitted, 0, 10_000), "begins anew");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn windows_from_the_first_hit_agree_with_a_list_of_windows(
        amount in 1..40_u64,
        always in any::<bool>(),
        start in any_time(),
        asks in any_asks(),
    ) {
        let limit = fixed(amount, window(7, Unit::Second).from_first_hit());
        let when = if always { ChargeWhen::Always } else { ChargeWhen::Admitted };
        let mut state = limit.fresh(start);
        let mut now = start;
        // Begin and count of each window.
        let mut windows: Vec<(Timestamp, u64)> = Vec::new();
        for (thousandths, hits) in asks {
            now = now.plus(Span::from_millis(7 * thousandths));
            let open = windows.last().copied().filter(|(begin, _)| now.since(*begin) < span_of(limit));
            let fits = open.map_or(0, |(_, used)| used) + hits <= amount;
            let outcome = limit.step(&mut state, Hits::Take(hits), when, now);
            prop_assert_eq!(outcome.verdict == Verdict::Admitted, fits);
            if (fits || always) && hits > 0 {
                if open.is_none() {
                    windows.push((now, 0));
                }
                windows.last_mut().unwrap().1 += hits;
            }
            let used = windows.last().filter(|(begin, _)| now.since(*begin) < span_of(limit));
            prop_assert_eq!(outcome.remaining, amount.saturating_sub(used.map_or(0, |it| it.1)));
        }
    }

    #[test]
    fn rolling_windows_agree_with_the_list_of_all_hits(
        amount in prop_oneof![1..40_u64, 60..300_u64],
        always in any::<bool>(),
        start in any_time(),
        asks in any_asks(),
    ) {
        let limit = rolling(amount, window(64, Unit::Second));
        let when = if always { ChargeWhen::Always } else { ChargeWhen::Admitted };
        let span = span_of(limit);
        let late = lateness(limit, when);
        let mut state = limit.fresh(start);
        let mut counted: Vec<(Timestamp, u64)> = Vec::new();
        let mut now = start;
        for (thousandths, hits) in asks {
            now = now.plus(Span::from_millis(64 * thousandths));
            let outcome = limit.step(&mut state, Hits::Take(hits), when, now);
            let admitted = outcome.verdict == Verdict::Admitted;
            // What certainly still counts, and what may for a slot longer.
            let least = counted_between(&counted, now.minus(span), now);
            let most = counted_between(&counted, now.minus(span).minus(late), now);
            if admitted {
                prop_assert!(least + hits <= amount, "{least} + {hits} of {amount}");
            } else {
                prop_assert!(most + hits > amount, "{most} + {hits} of {amount}");
            }
            if admitted || always {
                counted.push((now, hits));
            }
        }
        let State::Large(large) = state else { unreachable!("a rolling window") };
        let LargeState::Rolling(state) = *large else { unreachable!("a rolling window") };
        prop_assert!(state.entry_count() <= 66, "{} entries", state.entry_count());
    }

    #[test]
    fn buckets_agree_with_a_level_kept_in_fractions(
        amount in 1..40_u64,
        burst in 1..40_u64,
        always in any::<bool>(),
        start in any_time(),
        asks in any_asks(),
    ) {
        let limit = bucket(amount, window(7, Unit::Second), burst);
        let when = if always { ChargeWhen::Always } else { ChargeWhen::Admitted };
        let mut state = limit.fresh(start);
        let mut now = start;
        // In seven thousand millionths of a token: 1 ns drains `amount` of them.
        let whole = 7_000_000_000_i128;
        let mut level = 0_i128;
        for (thousandths, hits) in asks {
            now = now.plus(Span::from_millis(7 * thousandths));
            level = (level - i128::from(7_000_000 * thousandths) * i128::from(amount)).max(0);
            let fits = level + i128::from(hits) * whole <= i128::from(burst) * whole;
            let outcome = limit.step(&mut state, Hits::Take(hits), when, now);
            prop_assert_eq!(outcome.verdict == Verdict::Admitted, fits);
            prop_assert_eq!(outcome.verdict == Verdict::ExceedsAmount, !fits && hits > burst);
            if fits || always {
                level += i128::from(hits) * whole;
            }
            let left = (i128::from(burst) * whole - level).max(0) / whole;
            prop_assert_eq!(i128::from(outcome.remaining), left);
        }
    }

    #[test]
    fn hints_of_every_kind_are_honest(
        limit in any_limit(),
        always in any::<bool>(),
        start in any_time(),
        asks in any_asks(),
        hits in 1..30_u64,
    ) {
        let when = if always { ChargeWhen::Always } else { ChargeWhen::Admitted };
        let mut state = limit.fresh(start);
        let mut now = start;
        let thousandth = span_of(limit).as_nanos() / 1_000;
        for (thousandths, hits) in asks {
            now = now.plus(Span::from_nanos(thousandth * thousandths / 4));
            limit.step(&mut state, Hits::Take(hits), when, now);
        }
        let outcome = limit.step(&mut state, Hits::Take(hits), when, now);
        let ask = |at: Timestamp, hits| {
            limit.step(&mut state.clone(), Hits::Take(hits), when, at)
        };
        match outcome.verdict {
            Verdict::OverLimit | Verdict::Paused | Verdict::Shed => {
                let told = now.plus(outcome.reset.expect("every denial has a wait"));
                prop_assert_eq!(ask(told, hits).verdict, Verdict::Admitted);
                let before = told.minus(Span::from_nanos(1));
                prop_assert!(ask(before, hits).verdict.is_denial());
            }
            Verdict::Admitted | Verdict::ExceedsAmount => match outcome.reset {
                Some(reset) => {
                    let free = ask(now.plus(reset), 0).remaining;
                    prop_assert_eq!(free, limit.capacity(), "the whole amount is free when told");
                }
                None => prop_assert!(limit.kind.is_concurrent()),
            },
        }
    }

    #[test]
    fn what_is_given_back_at_once_was_never_taken(
        limit in any_limit(),
        start in any_time(),
        asks in any_asks(),
        hits in 1..30_u64,
    ) {
        let mut state = limit.fresh(start);
        let mut now = start;
        for (thousandths, hits) in asks {
            now = now.plus(Span::from_millis(thousandths));
            limit.step(&mut state, Hits::Take(hits), ChargeWhen::Admitted, now);
        }
        let mut looked = state.clone();
        let before = limit.step(&mut looked, Hits::Take(0), ChargeWhen::Admitted, now);
        let taken = limit.step(&mut state, Hits::Take(hits), ChargeWhen::Admitted, now);
        if taken.verdict == Verdict::Admitted {
            limit.step(&mut state, Hits::GiveBack(hits), ChargeWhen::Admitted, now);
        }
        let after = limit.step(&mut state, Hits::Take(0), ChargeWhen::Admitted, now);
        prop_assert_eq!(before.remaining, after.remaining);
        // A denial may have begun a pause.
        if limit.resume_below.is_none() || taken.verdict == Verdict::Admitted {
            prop_assert_eq!(before.reset, after.reset);
        }
    }

    #[test]
    fn clocks_that_step_back_free_nothing(
        limit in any_limit(),
        start in any_time(),
        back in 1..100_000_000_000_u64,
    ) {
        let mut state = limit.fresh(start);
        while limit.step(&mut state, Hits::Take(1), ChargeWhen::Admitted, start).verdict
            == Verdict::Admitted
        {}
        let earlier = start.minus(Span::from_nanos(back));
        let outcome = limit.step(&mut state, Hits::Take(1), ChargeWhen::Admitted, earlier);
        prop_assert!(outcome.verdict.is_denial());
    }
}

proptest! {
    #[test]
    fn windows_tile_time_without_gap_or_overlap(window in any_window(), now in any_time()) {
        let end = window.end(now);
        prop_assert!(end > now);
        let last = end.minus(Span::from_nanos(1));
        prop_assert_eq!(window.end(last), end, "the last moment is in the same window");
        prop_assert!(window.end(end) > end, "the end is in the next window");
        if matches!(window.alignment, Alignment::Calendar { .. }) {
            let zoned = jiff::Timestamp::from_second(end.seconds_floor()).unwrap()
                .to_zoned(TimeZone::UTC);
            match window.unit {
                Unit::Month | Unit::Year => prop_assert_eq!(zoned.day(), 1),
                Unit::Week => prop_assert_eq!(zoned.weekday(), Weekday::Monday),
                Unit::Second | Unit::Minute | Unit::Hour | Unit::Day => {}
            }
        }
    }

    #[test]
    fn fixed_windows_agree_with_the_list_of_all_hits(
        amount in 0..30_u64,
        seconds in 1..60_u32,
        always in any::<bool>(),
        start in any_time(),
        steps in any_steps(),
    ) {
        let limit = fixed(amount, window(seconds, Unit::Second));
        let when = if always { ChargeWhen::Always } else { ChargeWhen::Admitted };
        let mut state = limit.fresh(start);
        let mut counted: Vec<(Timestamp, u64)> = Vec::new();
        let mut now = start;
        for step in steps {
            now = now.plus(step.after);
            let length = i64::from(seconds) * 1_000_000_000;
            let index = |time: Timestamp| time.as_nanos().div_euclid(length);
            let same_window = counted.iter().filter(|(time, _)| index(*time) == index(now));
            let used: u64 = same_window.map(|(_, hits)| hits).sum();
            let outcome = limit.step(&mut state, Hits::Take(step.hits), when, now);
            let fits = used + step.hits <= amount;
            prop_assert_eq!(outcome.verdict.is_denial(), !fits);
            prop_assert_eq!(outcome.verdict == Verdict::ExceedsAmount, !fits && step.hits > amount);
            if fits || always {
                counted.push((now, step.hits));
            }
            let left = amount.saturating_sub(used + if fits || always { step.hits } else { 0 });
            prop_assert_eq!(outcome.remaining, left);
            let end = (index(now) + 1) * length;
            let until_end = Span::from_nanos(u64::try_from(end - now.as_nanos()).unwrap());
            prop_assert_eq!(outcome.reset, Some(until_end));
        }
    }

    #[test]
    fn a_denied_caller_that_waits_as_told_is_admitted_and_not_a_moment_before(
        amount in 1..30_u64,
        window in any_window(),
        start in any_time(),
        taken in 1..30_u64,
        hits in 1..30_u64,
    ) {
        let limit = fixed(amount, window);
        let mut state = limit.fresh(start);
        limit.step(&mut state, Hits::Take(taken.min(amount)), ChargeWhen::Admitted, start);
        let outcome = limit.step(&mut state, Hits::Take(hits), ChargeWhen::Admitted, start);
        if outcome.verdict == Verdict::OverLimit {
            let told = start.plus(outcome.reset.unwrap());
            let before = told.minus(Span::from_nanos(1));
            let mut early = state.clone();
            let denied = limit.step(&mut early, Hits::Take(hits), ChargeWhen::Admitted, before);
            prop_assert!(denied.verdict.is_denial());
            let admitted = limit.step(&mut state, Hits::Take(hits), ChargeWhen::Admitted, told);
            prop_assert_eq!(admitted.verdict, Verdict::Admitted);
        }
    }

    #[test]
    fn a_flapping_clock_hands_out_at_most_one_extra_window(
        amount in 1..5_u64,
        jumps in prop::collection::vec(-300..300_i64, 1..200),
    ) {
        let limit = fixed(amount, window(1, Unit::Minute));
        let origin = 1_000_000_000;
        let mut state = limit.fresh(Timestamp::from_seconds(origin));
        let mut admitted_by_window: std::collections::HashMap<Timestamp, u64> = Default::default();
        let mut latest = Timestamp::from_seconds(origin);
        for jump in jumps {
            let now = Timestamp::from_seconds(origin + jump);
            let outcome = limit.step(&mut state, Hits::Take(1), ChargeWhen::Admitted, now);
            let State::Fixed(fixed) = state.clone() else { unreachable!("a fixed window") };
            prop_assert!(fixed.window_end() >= latest, "the held window never goes back");
            latest = fixed.window_end();
            if outcome.verdict == Verdict::Admitted {
                *admitted_by_window.entry(fixed.window_end()).or_default() += 1;
            }
        }
        prop_assert!(admitted_by_window.values().all(|admitted| *admitted <= amount));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// A clock that jumps to and fro, as far ahead as one window, and a machine that slept for as
    /// long, are one window more and no other.
    #[test]
    fn clocks_that_flap_hand_out_at_most_one_window_more(
        limit in any_limit(),
        always in any::<bool>(),
        start in any_time(),
        jumps in prop::collection::vec((0..=1_000_i64, 0..4_u64), 1..300),
    ) {
        let when = if always { ChargeWhen::Always } else { ChargeWhen::Admitted };
        let mut state = limit.fresh(start);
        let thousandth = i64::try_from(span_of(limit).as_nanos() / 1_000).unwrap();
        let mut admitted = 0;
        for (jump, hits) in jumps {
            let now = Timestamp::from_nanos(start.as_nanos().saturating_add(jump * thousandth));
            let outcome = limit.step(&mut state, Hits::Take(hits), when, now);
            if outcome.verdict == Verdict::Admitted {
                admitted += hits;
            }
            prop_assert!(outcome.remaining <= limit.capacity());
        }
        // A fixed window may end right after the start, and the next lies wholly ahead.
        let windows = if matches!(limit.kind, Kind::Fixed(_)) { 2 } else { 1 };
        let most = limit.capacity() + windows * limit.amount;
        prop_assert!(admitted <= most, "{admitted} of {most}");
    }
}

#[test]
fn states_are_as_small_as_the_manual_says() {
    assert_eq!(size_of::<concurrent::State>(), 72);
    assert!(size_of::<LargeState>() <= 80, "{}", size_of::<LargeState>());
    assert!(size_of::<pausing::State>() <= 24);
    assert!(size_of::<token_bucket::State>() <= 32);
}
