//! The line of time against a wall clock that is set freely, and what limits make of it.

use proptest::prelude::*;

use super::*;
use crate::limit::State;

mod contracts;
mod reference;

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// A machine whose wall clock anybody may set, and a server on it that looks once a second.
struct Machine {
    wall: i64,
    boot: i64,
    line: Line,
    followed: Vec<i64>,
    seen: usize,
}

impl Machine {
    fn at(wall: Timestamp) -> Self {
        let boot = 1_000 * SECOND;
        let offset = wall.as_nanos() - boot;
        let discipline = Mutex::new(Discipline::new(offset));
        let line = Line { offset: AtomicI64::new(offset), discipline };
        Self { wall: wall.as_nanos(), boot, line, followed: Vec::new(), seen: 0 }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.boot + self.line.offset.load(Ordering::Acquire))
    }

    fn set_wall(&mut self, by: i64) {
        self.wall += by;
    }

    /// Both clocks run on, and nobody looks.
    fn sleep(&mut self, nanos: i64) {
        self.wall += nanos;
        self.boot += nanos;
    }

    /// What the server's task does each time.
    fn look<'s>(&mut self, states: impl IntoIterator<Item = &'s mut State>) -> Observed {
        let before = self.line.offset.load(Ordering::Acquire);
        let mut moved = None;
        let mut offset_when_moved = before;
        let observed = self.line.observe(self.wall, self.boot, |by| {
            states.into_iter().for_each(|state| state.shift(by));
            offset_when_moved = self.line.offset.load(Ordering::Acquire);
            moved = Some(by);
        });
        match observed.event {
            Some(Event::Followed { by }) => {
                assert_eq!(moved, Some(by));
                assert_eq!(offset_when_moved, if by > 0 { before } else { before + by });
                self.followed.push(by);
            }
            Some(Event::Seen { .. }) => self.seen += 1,
            Some(Event::Withdrawn) | None => {}
        }
        observed
    }

    fn tick<'s>(&mut self, states: impl IntoIterator<Item = &'s mut State>) -> Observed {
        self.sleep(SECOND);
        self.look(states)
    }

    /// So many seconds, without a counter.
    fn run(&mut self, seconds: i64) -> Vec<Event> {
        (0..seconds).filter_map(|_| self.tick([]).event).collect()
    }
}

fn at(text: &str) -> Timestamp {
    let timestamp: jiff::Timestamp = text.parse().unwrap();
    Timestamp::from_nanos(i64::try_from(timestamp.as_nanosecond()).unwrap())
}

fn start() -> Timestamp {
    at("2026-11-21T18:00:00.3Z")
}

#[test]
fn a_manual_clock_moves_only_when_told() {
    let clock = Clock::manual(Timestamp::from_seconds(100));
    let same = clock.clone();
    assert_eq!(clock.now(), Timestamp::from_seconds(100));
    same.advance(Span::from_seconds(5));
    assert_eq!(clock.now(), Timestamp::from_seconds(105));
    clock.set(Timestamp::from_seconds(50));
    assert_eq!(same.now(), Timestamp::from_seconds(50));
    assert_eq!(clock.observe(|by| panic!("moved by {by}")), None);
}

#[test]
fn the_system_clock_is_in_this_century_and_steady_time_does_not_go_back() {
    let clock = Clock::system();
    assert!(clock.now() > Timestamp::from_seconds(1_700_000_000));
    let first = clock.steady();
    assert!(clock.steady() >= first);
    let observed = clock.observe(|by| panic!("moved by {by}")).unwrap();
    assert_eq!(observed.event, None, "nobody set the clock between two lines");
}

#[test]
fn a_step_is_seen_at_once_and_followed_when_it_has_lasted() {
    for by in [HOUR, -HOUR] {
        let mut machine = Machine::at(start());
        machine.run(10);
        machine.set_wall(by);
        let settling = Span::from_seconds(60);
        assert_eq!(machine.tick([]).event, Some(Event::Seen { by, settling }));
        assert_eq!(machine.run(59), []);
        assert_eq!(machine.now().as_nanos(), machine.wall - by, "the line goes on");
        assert_eq!(machine.run(1), [Event::Followed { by }]);
        assert_eq!(machine.now().as_nanos(), machine.wall);
    }
}

#[test]
fn a_step_that_is_taken_back_is_never_followed() {
    let mut machine = Machine::at(start());
    for _ in 0..10 {
        machine.set_wall(HOUR);
        assert_eq!(machine.run(60).len(), 1, "seen");
        machine.set_wall(-HOUR);
        assert_eq!(machine.run(60), [Event::Withdrawn]);
    }
    assert_eq!((machine.seen, &*machine.followed), (10, &[][..]));
}

#[test]
fn a_step_that_changes_begins_to_settle_again() {
    let mut machine = Machine::at(start());
    machine.set_wall(HOUR);
    machine.run(40);
    machine.set_wall(600_000_000);
    machine.run(60);
    assert_eq!((machine.seen, &*machine.followed), (2, &[][..]));
    // Within half a second it is the same, and what is followed is where the clock is then.
    machine.set_wall(-400_000_000);
    machine.run(1);
    assert_eq!(machine.followed, [HOUR + 200_000_000]);
}

#[test]
fn each_step_that_is_followed_must_last_twice_as_long_and_a_day_forgives_one() {
    let mut machine = Machine::at(start());
    let mut settled = Vec::new();
    let mut follow = |machine: &mut Machine, by: i64| {
        machine.set_wall(by);
        let Some(Event::Seen { settling, .. }) = machine.tick([]).event else { panic!("not seen") };
        settled.push(settling.seconds_floor());
        let before = machine.boot;
        while machine.tick([]).event.is_none() {}
        machine.boot - before
    };
    for count in 0..13 {
        let took = follow(&mut machine, if count % 2 == 0 { HOUR } else { -HOUR });
        // It was seen a second after the one before was followed, and then a day is over.
        assert_eq!(took, (MINUTE << count).min(DAY - SECOND));
    }
    machine.sleep(3 * DAY);
    machine.look([]);
    assert_eq!(follow(&mut machine, -HOUR), DAY / 8);
    machine.sleep(400 * DAY);
    machine.look([]);
    assert_eq!(follow(&mut machine, HOUR), MINUTE);
    assert_eq!(settled[..3], [60, 120, 240]);
    assert_eq!(settled[12..], [86_400, 10_800, 60]);
}

#[test]
fn a_process_that_was_stopped_has_seen_no_step_last() {
    let mut machine = Machine::at(start());
    machine.set_wall(HOUR);
    machine.run(1);
    machine.sleep(DAY);
    machine.look([]);
    machine.run(58);
    assert!(machine.followed.is_empty());
    machine.run(1);
    assert_eq!(machine.followed, [HOUR]);
}

#[test]
fn clocks_out_of_all_bounds_break_nothing() {
    for (wall, boot) in [(i64::MAX, i64::MIN), (i64::MIN, i64::MAX), (0, i64::MAX), (i64::MIN, 0)] {
        let mut discipline = Discipline::new(0);
        for _ in 0..200 {
            discipline.observe(wall, boot);
            discipline.observe(boot, wall);
        }
    }
}

proptest! {
    /// Looked at ten times a second, or late.
    #[test]
    fn small_differences_are_made_good_a_hundredth_of_the_time_at_a_time(
        difference in -500_000_000..=500_000_000_i64,
        late in prop::collection::vec(1..2_000_i64, 0..50),
    ) {
        let mut machine = Machine::at(start());
        machine.look([]);
        machine.set_wall(difference);
        for millis in late.iter().copied().chain(std::iter::repeat_n(100, 500)) {
            let (now, apart) = (machine.now(), machine.wall - machine.now().as_nanos());
            let passed = millis * 1_000_000;
            machine.sleep(passed);
            let observed = machine.look([]);
            prop_assert_eq!(observed.event, None);
            let gone = machine.now().as_nanos() - now.as_nanos();
            prop_assert!((gone - passed).abs() <= (passed / 100).min(1_000_000));
            prop_assert!(observed.difference.abs() <= apart.abs());
            prop_assert!(observed.difference.signum() * difference.signum() >= 0, "never past it");
        }
        prop_assert_eq!(machine.now().as_nanos(), machine.wall);
    }

    /// Whoever sets the wall clock, and however: the line never moves by itself, and what it
    /// moves by was there for a minute at least.
    #[test]
    fn the_line_follows_only_what_has_lasted(
        sets in prop::collection::vec((-3 * HOUR..3 * HOUR, 1..200_i64), 1..30),
    ) {
        let mut machine = Machine::at(start());
        let mut last_set = machine.boot;
        for (by, seconds) in sets {
            machine.set_wall(by);
            if by.abs() > SECOND {
                last_set = machine.boot;
            }
            for _ in 0..seconds {
                let (now, followed) = (machine.now().as_nanos(), machine.followed.len());
                machine.tick([]);
                let gone = machine.now().as_nanos() - now;
                if machine.followed.len() == followed {
                    prop_assert!((gone - SECOND).abs() <= 1_000_000);
                } else {
                    prop_assert!(machine.boot - last_set >= MINUTE);
                    prop_assert_eq!(machine.now().as_nanos(), machine.wall);
                }
            }
        }
    }
}
