//! Reserves of strict rules, with a disk that is an image in memory: whenever the process dies,
//! what is on disk counts at least what was admitted.

use proptest::prelude::*;

use super::*;
use crate::journal::{Kind as Part, Stamp};
use crate::limit::{Alignment, Share};
use crate::store::parts::Written;

fn strict(limit: Limit, hits: u64) -> Charge<'static> {
    Charge { limit, is_strict: true, ..charge(1, 0, hits) }
}

/// Stores that write everything at once, or not.
struct Machine {
    store: Arc<MemoryStore>,
    /// What the disk holds, in order.
    disk: Vec<(Part, Vec<u8>)>,
}

const INDEX: usize = 0;

impl Machine {
    fn new() -> Self {
        Self { store: Arc::new(MemoryStore::new(true)), disk: Vec::new() }
    }

    fn charge(&self, charge: Charge<'_>, now: Timestamp) -> Outcome {
        assert_eq!(charge.counter.shard_index(), INDEX);
        self.store.charge(&[charge], now)[0]
    }

    /// What a turn takes of memory, not yet on disk.
    fn collect(&self, as_image: bool, now: Timestamp) -> (Part, Vec<u8>) {
        let mut bytes = Vec::new();
        if as_image {
            self.store.write_image(INDEX, &mut bytes, now);
            return (Part::Image, bytes);
        }
        assert_ne!(self.store.write_changes(INDEX, &mut bytes, now), Written::WantsImage);
        (Part::Change, bytes)
    }

    fn turn(&mut self, now: Timestamp) {
        let written = self.collect(false, now);
        self.disk.push(written);
        self.store.written(true);
    }

    /// Asks as a call does that waits for one turn.
    fn ask_and_charge(&mut self, charge: Charge<'_>, now: Timestamp) -> Outcome {
        if self.store.lacks_reserves(&[charge], now) {
            let charges = [charge];
            let store = Arc::clone(&self.store);
            let waiting = store.ask_for_reserves(&charges, now);
            self.turn(now);
            return store.charge_after(Some(waiting), &charges, store.at(now))[0];
        }
        self.charge(charge, now)
    }

    /// The process dies and another one begins.
    fn restart(&mut self, now: Timestamp) {
        self.store = Arc::new(MemoryStore::new(true));
        for (kind, bytes) in &self.disk {
            self.store.read(INDEX, *kind, bytes, (0, now)).unwrap();
        }
        self.store.restored(Stamp { at: now, shifted: 0 }, now);
    }
}

fn day(amount: u64) -> Limit {
    Limit::new(amount, Kind::Fixed(Window::calendar(NonZeroU32::MIN, Unit::Day)))
}

#[test]
fn nothing_is_admitted_before_the_disk_counts_it() {
    let now = Timestamp::from_seconds(100);
    let machine = Machine::new();
    let outcome = machine.charge(strict(day(5), 1), now);
    assert_eq!(outcome.verdict, Verdict::OverLimit);
    assert!(outcome.reset.is_some_and(|reset| reset <= Span::from_seconds(1)));
    assert_eq!(outcome.remaining, 5, "nothing was taken");
    let mut machine = Machine::new();
    assert_eq!(machine.ask_and_charge(strict(day(5), 1), now).verdict, Verdict::Admitted);
}

/// An image of a shard may take the place of what the same turn took of it before.
#[test]
fn what_was_asked_for_is_reserved_also_where_a_turn_writes_a_counter_twice() {
    let now = Timestamp::from_seconds(100);
    let mut machine = Machine::new();
    let store = Arc::clone(&machine.store);
    let _asked = store.ask_for_reserves(&[strict(day(9), 6)], now);
    machine.collect(false, now);
    let image = machine.collect(true, now);
    machine.disk.push(image);
    machine.store.written(true);
    assert_eq!(machine.charge(strict(day(9), 6), now).verdict, Verdict::Admitted);
    machine.restart(now);
    assert!(machine.charge(strict(day(9), 0), now).remaining <= 3);
}

#[test]
fn a_crash_costs_one_block_and_frees_nothing() {
    let now = Timestamp::from_seconds(100);
    let mut machine = Machine::new();
    let limit = day(1_000);
    for _ in 0..100 {
        assert_eq!(machine.ask_and_charge(strict(limit, 1), now).verdict, Verdict::Admitted);
    }
    machine.restart(now);
    let left = machine.charge(strict(limit, 0), now).remaining;
    // One in a hundred of the amount.
    assert!((1_000 - 100 - 10..=900).contains(&left), "{left}");
}

/// What one takes between the look and the take of another must not deny it.
#[test]
fn what_lacks_a_reserve_is_waited_with_and_not_denied() {
    let now = Timestamp::from_seconds(100);
    let mut machine = Machine::new();
    let one = [strict(day(100), 1)];
    assert_eq!(machine.ask_and_charge(one[0], now).verdict, Verdict::Admitted);
    machine.turn(now);
    let at = machine.store.at(now);
    let first = machine.store.charge_at_once(&one, true, at).unwrap();
    assert_eq!(first[0].verdict, Verdict::Admitted);
    assert!(machine.store.charge_at_once(&one, true, at).is_none());
    assert_eq!(machine.charge(strict(day(100), 0), now).remaining, 98, "nothing was charged");
}

/// Those who asked after a turn had begun take what it wrote for others, and the next turn is not
/// to write it for them again.
#[test]
fn a_crash_costs_one_block_however_many_asked_at_once() {
    let now = Timestamp::from_seconds(100);
    let mut machine = Machine::new();
    let (limit, store) = (day(1_000), Arc::clone(&machine.store));
    let first = store.ask_for_reserves(&[strict(limit, 1)], now);
    let written = machine.collect(false, now);
    let others: Vec<_> = (0..8).map(|_| store.ask_for_reserves(&[strict(limit, 1)], now)).collect();
    machine.disk.push(written);
    machine.store.written(true);
    for _ in 0..9 {
        assert_eq!(machine.charge(strict(limit, 1), now).verdict, Verdict::Admitted);
    }
    drop((first, others));
    machine.turn(now);
    machine.restart(now);
    assert!(machine.charge(strict(limit, 0), now).remaining >= 1_000 - 9 - 10);
}

#[test]
fn what_a_strict_counter_owed_is_given_up_for_no_other() {
    let now = Timestamp::from_seconds(100);
    let mut machine = Machine::new();
    assert_eq!(machine.ask_and_charge(strict(day(1_000), 1), now).verdict, Verdict::Admitted);
    machine.restart(now);
    machine.store.set_counters_max(1, now);
    let used = 1_000 - machine.charge(strict(day(1_000), 0), now).remaining;
    for other in 2..50 {
        machine.charge(Charge { counter: key(other << 9), ..charge(0, 10, 1) }, now);
    }
    assert_eq!(machine.charge(strict(day(1_000), 0), now).remaining, 1_000 - used);
}

/// The wall clock is behind when the next process begins.
#[test]
fn what_is_owed_counts_in_full_where_the_clock_has_gone_back() {
    let window = Window { count: NonZeroU32::MIN, unit: Unit::Minute, alignment: Alignment::Epoch };
    let limit = Limit::new(10, Kind::Rolling(window));
    let saved = Timestamp::from_seconds(100_000);
    let mut machine = Machine::new();
    assert_eq!(machine.ask_and_charge(strict(limit, 5), saved).verdict, Verdict::Admitted);
    let (now, store) = (Timestamp::from_seconds(50_000), MemoryStore::new(true));
    for (kind, bytes) in &machine.disk {
        store.read(INDEX, *kind, bytes, (0, now)).unwrap();
    }
    store.restored(Stamp { at: saved, shifted: 0 }, now);
    assert!(store.charge(&[strict(limit, 0)], now)[0].remaining <= 5);
}

#[test]
fn an_orderly_end_costs_nothing() {
    let now = Timestamp::from_seconds(100);
    let mut machine = Machine::new();
    let limit = day(1_000);
    for _ in 0..7 {
        assert_eq!(machine.ask_and_charge(strict(limit, 1), now).verdict, Verdict::Admitted);
    }
    machine.store.end_reserves();
    machine.turn(now);
    machine.restart(now);
    assert_eq!(machine.charge(strict(limit, 0), now).remaining, 993);
}

/// What a look tells is what a charge meets.
#[test]
fn what_is_owed_of_a_window_that_is_over_is_told_of_no_other() {
    let limit = Limit::new(
        10,
        Kind::Fixed(Window {
            count: NonZeroU32::MIN,
            unit: Unit::Second,
            alignment: Alignment::Epoch,
        }),
    );
    let now = Timestamp::from_seconds(100);
    let mut machine = Machine::new();
    let store = Arc::clone(&machine.store);
    let _asked = store.ask_for_reserves(&[strict(limit, 3)], now);
    machine.turn(now);
    machine.restart(now);
    let later = now.plus(Span::from_seconds(2));
    let tried = machine.store.try_out(&[strict(limit, 0)], later);
    assert_eq!(tried.standing[0].look.remaining, 10);
    assert_eq!(machine.charge(strict(limit, 0), later).remaining, 10);
}

#[test]
fn a_reserve_that_ran_out_is_not_owed_after_an_orderly_end() {
    let window = Window { count: NonZeroU32::MIN, unit: Unit::Hour, alignment: Alignment::Epoch };
    let limit = Limit::new(10, Kind::Rolling(window));
    let now = Timestamp::from_seconds(100);
    let mut machine = Machine::new();
    assert_eq!(machine.ask_and_charge(strict(limit, 1), now).verdict, Verdict::Admitted);
    let later = now.plus(Span::from_seconds(100));
    (0..memory::SHARD_COUNT).for_each(|_| _ = machine.store.sweep_step(later));
    machine.store.end_reserves();
    machine.turn(later);
    machine.restart(later);
    assert_eq!(machine.charge(strict(limit, 0), later).remaining, 9);
}

#[test]
fn a_denied_request_spends_no_reserve() {
    let now = Timestamp::from_seconds(100);
    let mut machine = Machine::new();
    assert_eq!(machine.ask_and_charge(strict(day(100), 1), now).verdict, Verdict::Admitted);
    drop(machine.store.ask_for_reserves(&[strict(day(100), 1)], now));
    machine.turn(now);
    for _ in 0..50 {
        let outcomes = machine.store.charge(&[strict(day(100), 1), charge(2, 0, 1)], now);
        assert!(outcomes[1].verdict.is_denial());
    }
    assert_eq!(machine.charge(strict(day(100), 1), now).verdict, Verdict::Admitted);
}

/// Without windows that begin with the first hit: where a crash leaves a hit that nobody made they
/// begin with that, so the two machines would not speak of the same windows.
fn any_limit() -> impl Strategy<Value = Limit> {
    let minute = Window { count: NonZeroU32::MIN, unit: Unit::Minute, alignment: Alignment::Epoch };
    let kinds = prop_oneof![
        Just(Kind::Fixed(minute)),
        Just(Kind::Rolling(minute)),
        (1..30_u64).prop_map(move |burst| Kind::Bucket { window: minute, burst }),
        Just(Kind::Concurrent { lease: Span::from_seconds(45) }),
    ];
    let share = prop_oneof![Just(None), Just(Share::from_hundredths_of_percent(5_000))];
    (1..300_u64, kinds, share)
        .prop_map(|(amount, kind, resume_below)| Limit { resume_below, ..Limit::new(amount, kind) })
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Hits, and whether the call waits for a turn.
    Take(u64, bool),
    GiveBack(u64),
    Wait(u64),
    /// Whether the whole shard is written.
    Turn(bool),
    /// A turn whose end nobody hears of: it is on disk, or not.
    LostTurn(bool),
    Crash,
    /// In the middle of a turn: what it took is on disk, or not.
    CrashInTurn(bool),
    Sweep,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..4_u64, any::<bool>()).prop_map(|(hits, waits)| Step::Take(hits, waits)),
        1 => (1..4_u64).prop_map(Step::GiveBack),
        3 => (1..40_000_u64).prop_map(Step::Wait),
        2 => any::<bool>().prop_map(Step::Turn),
        1 => any::<bool>().prop_map(Step::LostTurn),
        2 => Just(Step::Crash),
        1 => any::<bool>().prop_map(Step::CrashInTurn),
        1 => Just(Step::Sweep),
    ]
}

proptest! {
    /// Beside each machine stands one that never dies and admits all that the first one does: it
    /// never finds one of these takes over its limit.
    #[test]
    fn no_crash_lets_anybody_take_more(
        limit in any_limit(),
        steps in prop::collection::vec(any_step(), 1..120),
    ) {
        let mut now = Timestamp::from_seconds(1_000_000);
        let mut machine = Machine::new();
        let plain = Limit { resume_below: None, ..limit };
        let mut oracle = plain.fresh(now);
        for step in steps {
            match step {
                Step::Take(hits, waits) => {
                    let charge = strict(limit, hits);
                    let outcome = match waits {
                        true => machine.ask_and_charge(charge, now),
                        false => machine.charge(charge, now),
                    };
                    if outcome.verdict == Verdict::Admitted {
                        let hits = Hits::Take(hits);
                        let ours = plain.step(&mut oracle, hits, ChargeWhen::Admitted, now);
                        prop_assert_eq!(ours.verdict, Verdict::Admitted);
                    }
                }
                // What the oracle is given back, a crash may make the machine take again: it then
                // counts more than the oracle, never less.
                Step::GiveBack(hits) if !limit.kind.is_concurrent() => {
                    let charge = Charge { hits: Hits::GiveBack(hits), ..strict(limit, 0) };
                    let held = machine.charge(Charge { hits: Hits::Take(0), ..charge }, now);
                    let used = limit.capacity().saturating_sub(held.remaining);
                    machine.charge(charge, now);
                    // Only what was there can be given back.
                    let given = Hits::GiveBack(hits.min(used));
                    plain.step(&mut oracle, given, ChargeWhen::Admitted, now);
                }
                Step::GiveBack(_) => {}
                Step::Wait(millis) => now = now.plus(Span::from_millis(millis)),
                Step::Turn(as_image) => {
                    let written = machine.collect(as_image, now);
                    machine.disk.push(written);
                    machine.store.written(true);
                }
                Step::LostTurn(is_on_disk) => {
                    let written = machine.collect(true, now);
                    if is_on_disk {
                        machine.disk.push(written);
                    }
                    machine.store.written(false);
                    // Whole images make good for it.
                    let written = machine.collect(true, now);
                    machine.disk.push(written);
                    machine.store.written(true);
                }
                Step::Crash => machine.restart(now),
                Step::CrashInTurn(is_on_disk) => {
                    let written = machine.collect(true, now);
                    // Paid from the reserve of before.
                    if machine.charge(strict(limit, 1), now).verdict == Verdict::Admitted {
                        let ours =
                            plain.step(&mut oracle, Hits::Take(1), ChargeWhen::Admitted, now);
                        prop_assert_eq!(ours.verdict, Verdict::Admitted);
                    }
                    if is_on_disk {
                        machine.disk.push(written);
                    }
                    machine.restart(now);
                }
                Step::Sweep => {
                    (0..memory::SHARD_COUNT).for_each(|_| {
                        machine.store.sweep_step(now);
                    });
                }
            }
        }
    }
}
