//! The shards of one request, all locked: where a request is decided.
//!
//! Enforced charges are taken all together or not at all, and what a denied request takes all the
//! same is what its rules say.

use parking_lot::MutexGuard;
use smallvec::SmallVec;

use super::Outcomes;
use super::bound::overflow_key;
use super::memory::{MemoryStore, Moment, SHARD_COUNT, Waiting};
use super::shard::{Shard, ShortKey};
use crate::decide::{Charge, CounterKey, Denial};
use crate::limit::{ChargeWhen, Hits, Outcome, Verdict};
use crate::policy::model::Mode;
use crate::time::Timestamp;

/// Counters that are given up at most to make room for one.
const GIVEN_UP_MAX: usize = 8;

pub(super) struct Locked<'m> {
    store: &'m MemoryStore,
    /// Ascending.
    shards: SmallVec<[(usize, MutexGuard<'m, Shard>); 8]>,
    /// Where each of them is among those above.
    places: [u8; SHARD_COUNT],
    /// By how much their times were shifted.
    shifted: i64,
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.weigh();
    }
}

impl<'m> Locked<'m> {
    /// Nothing yet.
    pub(super) fn new(store: &'m MemoryStore) -> Self {
        Self { store, shards: SmallVec::new(), places: [0; SHARD_COUNT], shifted: 0 }
    }

    /// Locks the shards of these charges. Only once, or who waits for whom could go in a circle.
    pub(super) fn lock(&mut self, charges: &[Charge<'_>]) {
        // A bit for each shard gives them in order, and each once.
        let mut wanted = [0_u64; SHARD_COUNT / 64];
        for charge in charges {
            let index = charge.counter.shard_index();
            wanted[index / 64] |= 1 << (index % 64);
        }
        loop {
            self.shifted = self.store.shifted();
            let mut place = 0;
            for (word, bits) in wanted.iter().enumerate() {
                let mut left = *bits;
                while left != 0 {
                    let index = 64 * word + left.trailing_zeros() as usize;
                    self.shards.push((index, self.store.lock(index)));
                    self.places[index] = place;
                    place = place.wrapping_add(1);
                    left &= left - 1;
                }
            }
            // Where times were shifted meanwhile, some shards may not know.
            if self.store.shifted() == self.shifted {
                return;
            }
            self.shards.clear();
        }
    }

    /// The time on the line that all of these shards are on.
    pub(super) fn now(&self, at: Moment) -> Timestamp {
        at.on(self.shifted)
    }

    /// Whether a charge is better waited with than made.
    pub(super) fn is_to_wait(
        &mut self,
        charges: &[Charge<'_>],
        has_disk: bool,
        now: Timestamp,
    ) -> bool {
        charges.iter().any(|charge| {
            (charge.takes_slots() && self.shard(charge.counter).is_just_full(charge, now))
                || (has_disk
                    && charge.is_strict
                    && self.shard(charge.counter).lacks_reserve(charge, now))
        })
    }

    pub(super) fn shard(&mut self, key: CounterKey) -> &mut Shard {
        let (index, shard) = &mut self.shards[usize::from(self.places[key.shard_index()])];
        debug_assert_eq!(*index, key.shard_index(), "its shard is held");
        shard
    }

    /// Forgoes what was asked for in these shards: under the lock that it is taken under, or the
    /// disk would count it twice.
    pub(super) fn end_wait(&mut self, waiting: Option<&mut Waiting<'_>>) {
        let Some(waiting) = waiting else { return };
        waiting.takes.retain(|(counter, hits)| {
            let found = self.shards.binary_search_by_key(&counter.shard_index(), |(held, _)| *held);
            if let Ok(place) = found {
                self.shards[place].1.forgo_reserve((*counter).into(), *hits);
            }
            found.is_err()
        });
    }

    fn weigh(&mut self) {
        self.shards.iter_mut().for_each(|(_, shard)| self.store.weigh(shard));
    }

    /// Makes room for the counters that the charges need and are not there yet. Where none can be
    /// given up for one, its charge goes to the overflow counter of its rule: then all charges are
    /// returned, as they are to be charged. Changes nothing where `is_trial`.
    pub(super) fn make_room<'s>(
        &mut self,
        charges: &[Charge<'s>],
        is_trial: bool,
        now: Timestamp,
    ) -> Option<SmallVec<[Charge<'s>; 8]>> {
        let has_room = self.store.has_room(charges.len());
        let has_strict_room = self.store.has_room_for_strict();
        if has_room && has_strict_room {
            return None;
        }
        let mut moved: Option<SmallVec<[Charge<'s>; 8]>> = None;
        for (position, charge) in charges.iter().enumerate() {
            let makes_one = matches!(charge.hits, Hits::Take(1..));
            if !makes_one || self.shard(charge.counter).has_place_of(charge.counter) {
                continue;
            }
            let has_own = match charge.is_strict && !has_strict_room {
                true => false,
                false => has_room || self.gives_up_for(charge.counter, charges, is_trial, now),
            };
            if !has_own {
                let all = moved.get_or_insert_with(|| SmallVec::from_slice(charges));
                all[position].counter = overflow_key(charge);
            }
        }
        moved
    }

    /// Whether counters that are missed little could be given up for a new one.
    fn gives_up_for(
        &mut self,
        wanted: CounterKey,
        charges: &[Charge<'_>],
        is_trial: bool,
        now: Timestamp,
    ) -> bool {
        let start = ShortKey::from(wanted).table_hash();
        for _ in 0..GIVEN_UP_MAX {
            let shard = self.shard(wanted);
            let Some(least) = shard.least_missed(start, now) else {
                return self.store.gives_up_elsewhere(start, is_trial, now);
            };
            if charges.iter().any(|charge| {
                charge.counter.shard_index() == wanted.shard_index()
                    && ShortKey::from(charge.counter) == least
            }) {
                return false;
            }
            if is_trial {
                return true;
            }
            let was_live = shard.give_up(least, now);
            self.store.count_given_up(was_live);
            self.weigh();
            if self.store.has_room(1) {
                return true;
            }
        }
        false
    }

    /// Adds one outcome per charge, in order.
    pub(super) fn charge(
        &mut self,
        charges: &[Charge<'_>],
        now: Timestamp,
        outcomes: &mut Outcomes,
    ) {
        let mut gives_back = false;
        let mut denial = Denial::default();
        let mut shadow_denied: SmallVec<[u32; 4]> = SmallVec::new();
        let mut spared: SmallVec<[usize; 8]> = SmallVec::new();
        if charges.iter().any(|charge| charge.is_spared) {
            self.find_spared(charges, now, &mut spared);
        }
        // All are found before any is taken from, so that memory is waited for once and not for each.
        let mut found: SmallVec<[Option<usize>; 8]> = SmallVec::new();
        for charge in charges {
            let shard = self.shard(charge.counter);
            found.push(shard.find(charge.counter));
        }
        for (position, (charge, found)) in charges.iter().zip(&found).enumerate() {
            let shard = self.shard(charge.counter);
            let outcome = match charge.hits {
                Hits::Take(_) if !spared.is_empty() && spared.contains(&position) => {
                    shard.look(charge, now)
                }
                Hits::Take(_) if charge.is_strict => shard.take_strict(charge, now),
                Hits::Take(_) => shard.take_found(*found, charge, now),
                // Nothing is given back before it is known that the request is not denied.
                Hits::GiveBack(_) => {
                    gives_back = true;
                    Outcome { verdict: Verdict::Admitted, ..shard.look(charge, now) }
                }
            };
            let is_denied = outcome.verdict.is_denial();
            denial.note(charge.denies, is_denied && charge.mode == Mode::Enforce);
            if is_denied && charge.mode == Mode::Shadow {
                shadow_denied.push(charge.group);
            }
            outcomes.push(outcome);
        }
        let is_denied = denial.is_denied();
        shadow_denied.sort_unstable();
        // Slots come back because their request has ended, whatever becomes of this one.
        let is_undone = |charge: &Charge<'_>| {
            charge.when == ChargeWhen::Admitted
                && !charge.gives_slots_back()
                && (is_denied || shadow_denied.binary_search(&charge.group).is_ok())
        };
        if gives_back {
            for (charge, outcome) in charges.iter().zip(outcomes.iter_mut()) {
                if matches!(charge.hits, Hits::GiveBack(_)) && !is_undone(charge) {
                    *outcome = self.shard(charge.counter).take(charge, now);
                }
            }
        }
        if is_denied || !shadow_denied.is_empty() {
            self.undo(charges, outcomes, is_undone, now);
        }
        if is_denied {
            // What a denied request counts may leave no room for the same request later.
            let admitted = charges
                .iter()
                .zip(outcomes.iter_mut())
                .filter(|(charge, outcome)| charge.counts_denied() && !outcome.verdict.is_denial());
            for (charge, outcome) in admitted {
                outcome.again = self.shard(charge.counter).wait_for(charge, charge.hits, now);
            }
            self.tell_together(charges, outcomes, now);
        }
        if gives_back {
            for charge in charges.iter().filter(|charge| charge.gives_slots_back()) {
                self.shard(charge.counter).given_back.notify_waiters();
            }
        }
    }

    /// Positions of the charges that fit, where others of the request do not: each is asked for
    /// itself alone.
    fn find_spared(
        &mut self,
        charges: &[Charge<'_>],
        now: Timestamp,
        spared: &mut SmallVec<[usize; 8]>,
    ) {
        for (position, charge) in charges.iter().enumerate() {
            let mut state = self.shard(charge.counter).state(charge, now);
            let asked = charge.limit.step(&mut state, charge.hits, ChargeWhen::Admitted, now);
            if !asked.verdict.is_denial() {
                spared.push(position);
            }
        }
        if spared.len() == charges.len() {
            spared.clear();
        }
    }

    /// Gives back what was taken for nothing, then tells every such charge what is really left:
    /// only after all are undone, because one counter may be charged more than once.
    fn undo(
        &mut self,
        charges: &[Charge<'_>],
        outcomes: &mut Outcomes,
        is_undone: impl Fn(&Charge<'_>) -> bool,
        now: Timestamp,
    ) {
        for (charge, outcome) in charges.iter().zip(&*outcomes) {
            if !is_undone(charge) {
                continue;
            }
            if charge.takes_slots() {
                self.shard(charge.counter).deny(charge, outcome, now);
            } else if outcome.verdict == Verdict::Admitted {
                self.shard(charge.counter).give_back(charge, now);
            }
            if charge.is_strict && outcome.verdict == Verdict::Admitted {
                self.shard(charge.counter).unspend(charge);
            }
        }
        for (charge, outcome) in charges.iter().zip(outcomes) {
            if is_undone(charge) {
                outcome.lease = None;
                let shard = self.shard(charge.counter);
                outcome.remaining = match charge.limit.kind.is_concurrent() {
                    // Without a copy of all its leases.
                    true => charge.limit.amount.saturating_sub(shard.held(charge.counter, now)),
                    false => shard.look(charge, now).remaining,
                };
            }
        }
    }
}

impl Locked<'_> {
    /// Where a denied request charges one counter more than once, none of its charges is admitted
    /// before all of them are: each is told the wait of all together.
    fn tell_together(&mut self, charges: &[Charge<'_>], outcomes: &mut Outcomes, now: Timestamp) {
        let takes = |charge: &Charge<'_>| {
            charge.mode == Mode::Enforce && matches!(charge.hits, Hits::Take(1..))
        };
        let mut counters: SmallVec<[CounterKey; 8]> =
            charges.iter().filter(|it| takes(it)).map(|it| it.counter).collect();
        counters.sort_unstable();
        let mut shared: SmallVec<[CounterKey; 2]> =
            counters.windows(2).filter(|two| two[0] == two[1]).map(|two| two[0]).collect();
        shared.dedup();
        for counter in shared {
            let own = |charge: &&Charge<'_>| takes(charge) && charge.counter == counter;
            let hits = charges.iter().filter(own).fold(0_u64, |sum, charge| match charge.hits {
                Hits::Take(hits) => sum.saturating_add(hits),
                Hits::GiveBack(_) => sum,
            });
            let Some(first) = charges.iter().find(own) else { continue };
            let mut state = self.shard(counter).state(first, now);
            let all = first.limit.step(&mut state, Hits::Take(hits), ChargeWhen::Admitted, now);
            let again = self.shard(counter).wait_for(first, Hits::Take(hits), now);
            let pairs = charges.iter().zip(outcomes.iter_mut());
            for (charge, outcome) in pairs.filter(|(charge, _)| own(charge)) {
                if !outcome.verdict.is_denial() && charge.counts_denied() {
                    outcome.again = again;
                }
                if all.verdict.is_denial() && outcome.verdict.is_denial() {
                    if all.verdict == Verdict::ExceedsAmount {
                        outcome.verdict = all.verdict;
                    }
                    // What one of them was told reckons with others that are undone now.
                    outcome.reset = all.reset.or(outcome.reset);
                }
            }
        }
    }
}
