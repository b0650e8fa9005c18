//! T-CLK-1 to 4: what a greedy caller gets while the wall clock is set to and fro, told by the
//! time that really passes.

use std::num::NonZeroU32;

use super::*;
use crate::limit::{ChargeWhen, Hits, Kind, Limit, Unit, Verdict, Window};

/// One counter, all that it admitted, and when that really was.
struct Greedy {
    limit: Limit,
    state: State,
    admitted: Vec<i64>,
    /// When it was first asked, by the clock and really.
    begun: (Timestamp, i64),
}

impl Greedy {
    fn new(limit: Limit, machine: &Machine) -> Self {
        let now = machine.now();
        Self { limit, state: limit.fresh(now), admitted: vec![], begun: (now, machine.boot) }
    }

    fn take(&mut self, now: Timestamp) -> Verdict {
        self.limit.step(&mut self.state, Hits::Take(1), ChargeWhen::Admitted, now).verdict
    }

    /// Takes all there is; how much that was.
    fn ask(&mut self, machine: &Machine) -> usize {
        let before = self.admitted.len();
        while self.take(machine.now()) == Verdict::Admitted {
            self.admitted.push(machine.boot);
        }
        self.admitted.len() - before
    }

    /// What nobody may get more of in all this time.
    fn bound(&self, machine: &Machine) -> usize {
        let window = self.limit.window().unwrap().nominal_span().as_nanos().cast_signed();
        let passed = machine.boot - self.begun.1;
        let (amount, from) = (i128::from(self.limit.amount), self.begun.0.as_nanos());
        let windows = |nanos: i64| i128::from(nanos.div_euclid(window));
        let bound = match self.limit.kind {
            // One for each that a right clock would have shown, and one.
            Kind::Fixed(_) => amount * (windows(from + passed) - windows(from) + 2),
            Kind::Rolling(_) => amount * (windows(passed) + 1),
            Kind::Bucket { burst, .. } => {
                i128::from(burst) + amount * i128::from(passed) / i128::from(window)
            }
            Kind::Concurrent { .. } => unreachable!("none of these"),
        };
        usize::try_from(bound).unwrap()
    }

    /// Rolling windows and buckets know of no step at all.
    fn assert_exact(&self) {
        let amount = usize::try_from(self.limit.amount).unwrap();
        match self.limit.kind {
            Kind::Rolling(window) => {
                let span = window.nominal_span().as_nanos().cast_signed();
                for (first, beyond) in self.admitted.iter().zip(self.admitted.iter().skip(amount)) {
                    assert!(beyond - first >= span, "{} within {}", self.limit, beyond - first);
                }
            }
            Kind::Bucket { window, burst } => {
                let whole = i128::from(window.nominal_span().as_nanos());
                let (mut level, mut last) = (0_i128, self.begun.1);
                for time in &self.admitted {
                    level -= i128::from(time - last) * i128::from(self.limit.amount);
                    level = level.max(0) + whole;
                    last = *time;
                    assert!(level <= i128::from(burst) * whole, "{} refilled", self.limit);
                }
            }
            Kind::Fixed(_) | Kind::Concurrent { .. } => {}
        }
    }

    fn assert_bounds(&self, machine: &Machine) {
        let (got, most) = (self.admitted.len(), self.bound(machine));
        assert!(got <= most, "{}: {got} of {most}, steps {:?}", self.limit, machine.followed);
        // Nor is anybody locked out: a step makes one window longer, by less than another one.
        let amount = usize::try_from(self.limit.amount).unwrap();
        let steps = machine.followed.len();
        let least = most.saturating_sub(amount * (3 + steps)) / amount * amount * 64 / 65;
        assert!(got >= least, "{}: {got}, at least {least}", self.limit);
        self.assert_exact();
    }
}

fn per(unit: Unit) -> Window {
    Window::calendar(NonZeroU32::MIN, unit)
}

fn limits() -> Vec<Limit> {
    let fixed = [Unit::Second, Unit::Minute, Unit::Hour, Unit::Day];
    let fixed = fixed.map(|unit| Limit::new(2, Kind::Fixed(per(unit))));
    let others = [
        Limit::new(3, Kind::Rolling(per(Unit::Minute))),
        Limit::new(70, Kind::Rolling(per(Unit::Hour))),
        Limit::new(6, Kind::Bucket { window: per(Unit::Minute), burst: 3 }),
        Limit::new(4, Kind::Bucket { window: per(Unit::Hour), burst: 4 }),
    ];
    fixed.into_iter().chain(others).collect()
}

fn all(machine: &Machine) -> Vec<Greedy> {
    limits().into_iter().map(|limit| Greedy::new(limit, machine)).collect()
}

/// A second passes, the server looks at its clock, and everybody asks.
fn pass(machine: &mut Machine, counters: &mut [Greedy]) -> Observed {
    let observed = machine.tick(counters.iter_mut().map(|counter| &mut counter.state));
    for counter in counters {
        counter.ask(machine);
    }
    observed
}

fn pass_seconds(machine: &mut Machine, counters: &mut [Greedy], seconds: i64) {
    (0..seconds).for_each(|_| _ = pass(machine, counters));
}

#[derive(Clone, Copy, Debug)]
enum Flaps {
    /// There and back ten times, each for so many seconds.
    Seconds(i64),
    /// Until each of ten steps has been followed.
    UntilFollowed,
}

/// One of windows, one just before all of them end.
const STARTS: [&str; 2] = ["2026-11-21T17:23:31.3Z", "2026-11-21T23:59:57.8Z"];

#[test]
fn t_clk_1_steps_and_flaps_hand_out_at_most_one_window() {
    let mut is_tight = false;
    for by in [SECOND, MINUTE, HOUR, 20 * SECOND, 37 * MINUTE].into_iter().flat_map(|by| [by, -by])
    {
        let (mut admitted, mut bound, mut followed) = (0, 0, 0);
        for flaps in [Flaps::Seconds(20), Flaps::Seconds(65), Flaps::UntilFollowed] {
            for start in STARTS {
                let mut machine = Machine::at(at(start));
                let mut counters = all(&machine);
                counters.iter_mut().for_each(|counter| _ = counter.ask(&machine));
                flap(&mut machine, &mut counters, by, flaps);
                pass_seconds(&mut machine, &mut counters, 130);
                for counter in &counters {
                    counter.assert_bounds(&machine);
                    admitted += counter.admitted.len();
                    bound += counter.bound(&machine);
                    is_tight |= counter.admitted.len() == counter.bound(&machine);
                }
                followed += machine.followed.len();
            }
        }
        let step = by / SECOND;
        println!(
            "T-CLK-1 step={step}s flaps=10 followed={followed} admitted={admitted} bound={bound} ok"
        );
    }
    assert!(is_tight, "the bound is not idle");
}

fn flap(machine: &mut Machine, counters: &mut [Greedy], by: i64, flaps: Flaps) {
    match flaps {
        Flaps::Seconds(seconds) => {
            for _ in 0..10 {
                machine.set_wall(by);
                pass_seconds(machine, counters, seconds);
                machine.set_wall(-by);
                pass_seconds(machine, counters, seconds);
            }
            assert!(machine.followed.len() <= 2, "{:?}", machine.followed);
        }
        Flaps::UntilFollowed => {
            for count in 0..10 {
                let by = if count % 2 == 0 { by } else { -by };
                machine.set_wall(by);
                while machine.followed.len() == count {
                    pass(machine, counters);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The wall clock is set by anything, and left there for anything.
    #[test]
    fn t_clk_1_whatever_the_wall_clock_does_the_real_windows_bound_what_is_admitted(
        second in 0..400_000_i64,
        sets in prop::collection::vec((-2 * HOUR..2 * HOUR, 1..1_200_i64), 1..10),
    ) {
        let mut machine = Machine::at(start().plus(Span::from_seconds(second.unsigned_abs())));
        let mut counters = all(&machine);
        for (by, seconds) in sets {
            machine.set_wall(by);
            // Differences of less are slewed, which the contract of slewing is about.
            if (machine.wall - machine.now().as_nanos()).abs() <= SECOND {
                machine.set_wall(2 * SECOND);
            }
            pass_seconds(&mut machine, &mut counters, seconds);
        }
        counters.iter().for_each(|counter| counter.assert_bounds(&machine));
    }

    /// Nothing ends sooner or later by more than a sixteenth, and a step that fits into that
    /// leaves the ends where the clock has them.
    #[test]
    fn a_step_moves_the_end_of_a_fixed_window_by_a_sixteenth_at_most(
        second in 0..400_000_i64,
        by in -2 * DAY..2 * DAY,
        unit in prop::sample::select(vec![Unit::Minute, Unit::Hour, Unit::Day, Unit::Month]),
    ) {
        let window = per(unit);
        let limit = Limit::new(1, Kind::Fixed(window));
        let begun = start().plus(Span::from_seconds(second.unsigned_abs()));
        let mut state = limit.fresh(begun);
        let step = |state: &mut State, now| {
            limit.step(state, Hits::Take(1), ChargeWhen::Always, now)
        };
        let before = step(&mut state, begun).reset.unwrap().as_nanos().cast_signed();
        state.shift(by);
        let now = begun.shifted(by);
        // What is told is kept: the window that follows ends as it was told too.
        let denied = step(&mut state, now);
        let ended = denied.reset.unwrap().as_nanos().cast_signed();
        let longest = if unit == Unit::Month { 31 * DAY } else {
            window.nominal_span().as_nanos().cast_signed()
        };
        // Where the end comes so much sooner that it is over, what is told is of the next window.
        let moved = if denied.verdict.is_denial() { (ended - before).abs() } else { before };
        prop_assert!(moved <= longest / 16 + 2, "{} to {}", before, ended);
        let end = now.shifted(ended);
        let is_aligned = |end: Timestamp| window.start(end) == end;
        if by.abs() < longest * 9 / 10 / 16 {
            prop_assert!(is_aligned(end) || ended == 0);
        }
        prop_assert!(denied.verdict.is_denial() || ended > longest / 2);
        let next = step(&mut state, end);
        prop_assert_eq!(next.verdict, Verdict::Admitted);
        let second_end = end.plus(next.reset.unwrap());
        prop_assert!(is_aligned(second_end), "after one window at most");
        let length = next.reset.unwrap().as_nanos().cast_signed();
        prop_assert!(length >= longest * 9 / 10 && length < 2 * longest, "{}", length);
        // Whoever comes long after finds windows by the clock.
        let mut late = state.clone();
        let later = second_end.plus(Span::from_seconds(7 * 86_400));
        prop_assert_eq!(later.plus(step(&mut late, later).reset.unwrap()), window.end(later));
    }
}

#[test]
fn a_window_from_the_first_hit_lasts_as_long_whatever_the_clock_does() {
    let limit = Limit::new(1, Kind::Fixed(per(Unit::Minute).from_first_hit()));
    for by in [700_000_001, -SECOND, HOUR, -HOUR, 10 * YEAR] {
        let mut machine = Machine::at(start());
        let mut counter = Greedy::new(limit, &machine);
        machine.set_wall(by);
        pass_seconds(&mut machine, std::slice::from_mut(&mut counter), 600);
        assert_eq!(machine.followed, [by]);
        let gaps = counter.admitted.windows(2).map(|two| (two[1] - two[0]) / SECOND);
        let gaps: Vec<i64> = gaps.collect();
        assert!(gaps.iter().all(|gap| (60..=61).contains(gap)), "{gaps:?}");
    }
}

#[test]
fn t_clk_2_ten_years_ahead_for_seconds_or_hours_locks_nobody_out() {
    for (seconds, steps) in [(5, 0), (2 * 3_600, 2)] {
        let mut machine = Machine::at(at("2026-11-21T18:00:30.5Z"));
        let mut limits = limits();
        limits.push(Limit::new(5, Kind::Fixed(per(Unit::Month))));
        let mut counters: Vec<Greedy> =
            limits.into_iter().map(|limit| Greedy::new(limit, &machine)).collect();
        pass_seconds(&mut machine, &mut counters, 10);
        machine.set_wall(10 * YEAR + 3 * DAY);
        pass_seconds(&mut machine, &mut counters, seconds);
        machine.set_wall(-10 * YEAR - 3 * DAY);
        pass_seconds(&mut machine, &mut counters, 200);
        assert_eq!(machine.followed.len(), steps);
        assert_eq!(machine.now().as_nanos(), machine.wall);
        let mut shown = Vec::new();
        for counter in &mut counters {
            counter.assert_bounds(&machine);
            let now = machine.now();
            let Kind::Fixed(window) = counter.limit.kind else { continue };
            // The count is there, and its window ends where one ends by the clock.
            let denied =
                counter.limit.step(&mut counter.state, Hits::Take(1), ChargeWhen::Admitted, now);
            assert_eq!(denied.verdict, Verdict::OverLimit, "{}", counter.limit);
            let end = now.plus(denied.reset.unwrap());
            assert_eq!(end, window.end(now), "{}", counter.limit);
            assert!(counter.state.is_idle(end), "not kept for ten years");
            assert_eq!(counter.take(end), Verdict::Admitted, "not stuck");
            shown.push(format!("{}: {}", counter.limit, counter.admitted.len()));
        }
        println!("T-CLK-2 ahead for {seconds}s admitted: {}; none stuck ok", shown.join(", "));
    }
}

#[test]
fn t_clk_3_a_state_from_the_future_keeps_its_count_and_gives_nothing_away() {
    let saved = at("2026-11-22T18:00:30.5Z");
    for ahead in [HOUR, DAY, 10 * YEAR] {
        let mut limits = limits();
        limits.push(Limit::new(2, Kind::Fixed(per(Unit::Month))));
        limits.push(Limit::new(2, Kind::Concurrent { lease: Span::from_seconds(60) }));
        let mut extra = 0;
        for limit in limits {
            let machine = Machine::at(saved);
            let mut before = Greedy::new(limit, &machine);
            assert_eq!(before.ask(&machine), usize::try_from(limit.capacity()).unwrap());
            // Twins: one goes on, the other is restored by a machine whose clock is behind.
            let mut restored = before.state.clone();
            restored.shift(-ahead);
            for second in 0..7_200_i64 {
                let passed = Span::from_seconds(second.unsigned_abs());
                let (right, behind) = (saved.plus(passed), saved.shifted(-ahead).plus(passed));
                let step = |state: &mut State, now| {
                    limit.step(state, Hits::Take(1), ChargeWhen::Admitted, now).verdict
                };
                let (expected, got) = (step(&mut before.state, right), step(&mut restored, behind));
                if limit
                    .kind
                    .window()
                    .is_none_or(|window| window.nominal_span() < Span::from_seconds(86_400))
                {
                    assert_eq!(got, expected, "{limit} after {second}s");
                }
                extra += i32::from(got == Verdict::Admitted && expected != Verdict::Admitted);
            }
        }
        assert_eq!(extra, 0);
        println!("T-CLK-3 ahead={}s X={extra} ok", ahead / SECOND);
    }
}

/// The machine slept, or the process was stopped: time went on, and nobody asked.
#[test]
fn t_clk_4_who_comes_back_after_a_stop_gets_no_more_than_who_was_never_away() {
    for (stopped, name) in [(5, "stopped"), (60, "stopped"), (8 * 3_600, "asleep")] {
        let mut machine = Machine::at(at("2026-11-21T18:59:56.5Z"));
        let mut counters = all(&machine);
        pass_seconds(&mut machine, &mut counters, 2);
        machine.sleep(stopped * SECOND);
        let mut shown = Vec::new();
        let woken: Vec<usize> = counters.iter().map(|counter| counter.admitted.len()).collect();
        for _ in 0..10 {
            machine.sleep(SECOND / 10);
            let observed = machine.look(counters.iter_mut().map(|counter| &mut counter.state));
            assert_eq!(observed, Observed { difference: 0, event: None });
            counters.iter_mut().for_each(|counter| _ = counter.ask(&machine));
        }
        for (counter, before) in counters.iter().zip(woken) {
            let first = counter.admitted.len() - before;
            let amount = usize::try_from(counter.limit.amount).unwrap();
            let most = match counter.limit.kind {
                // The first second may have the end of a window in it.
                Kind::Fixed(window) if window.unit == Unit::Second => 2 * amount,
                Kind::Fixed(_) | Kind::Rolling(_) => amount,
                Kind::Bucket { window, burst } => {
                    let seconds = usize::try_from(window.nominal_span().seconds_floor()).unwrap();
                    usize::try_from(burst).unwrap() + amount.div_ceil(seconds)
                }
                Kind::Concurrent { .. } => unreachable!("none of these"),
            };
            assert!(first <= most, "{}: {first} of {most}", counter.limit);
            shown.push(format!("{first}/{most}"));
            counter.assert_exact();
        }
        println!("T-CLK-4 {name} {stopped}s first second/bound: {} ok", shown.join(" "));
    }
}

/// A request that read the time just before a step is followed, and counts just after.
#[test]
fn a_request_on_its_way_while_a_step_is_followed_frees_nothing() {
    for by in [SECOND, -SECOND, HOUR, -HOUR, 10 * YEAR, -10 * YEAR] {
        for limit in limits() {
            let machine = Machine::at(start());
            let mut counter = Greedy::new(limit, &machine);
            counter.ask(&machine);
            let before = machine.now();
            counter.state.shift(by);
            if by > 0 {
                assert!(counter.take(before).is_denial(), "{limit} with the time from before");
                assert!(counter.take(before.shifted(by)).is_denial(), "{limit} afterwards");
            } else {
                let mut unmoved = Greedy::new(limit, &machine);
                unmoved.ask(&machine);
                assert!(unmoved.take(before.shifted(by)).is_denial(), "{limit} not moved yet");
                unmoved.state.shift(by);
                assert!(unmoved.take(before.shifted(by)).is_denial(), "{limit} afterwards");
            }
        }
    }
}
