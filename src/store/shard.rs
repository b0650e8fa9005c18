//! One shard: a hash table of counters, and what is known of each besides its state.
//!
//! A counter is its fingerprint, its state and one byte: 32 bytes, of which none is text of a key.
//! Whoever changes a counter marks it, so that what changed can be written without looking at
//! what did not.

use std::sync::Arc;

use hashbrown::{HashMap, HashTable};
use tokio::sync::Notify;

use super::reserve::{Owed, Reserve};
use crate::decide::{Charge, CounterKey, Standing};
use crate::limit::{ChargeWhen, Hits, LeaseId, Limit, Outcome, State};
use crate::policy::model::Mode;
use crate::time::{Span, Timestamp};

/// Buckets of the table that are looked at for a counter to make room.
const LOOKED_AT: usize = 64;

/// Room for so many changes is kept from one turn to the next.
const LIST_KEPT: usize = 1_024;

/// A reserve takes the memory of so many counters.
const RESERVE_WEIGHT: usize = 2;

/// A counter's key without its top byte, which is the shard's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ShortKey(pub [u8; 15]);

impl From<CounterKey> for ShortKey {
    fn from(key: CounterKey) -> Self {
        let [_, rest @ ..] = key.0.to_be_bytes();
        Self(rest)
    }
}

impl ShortKey {
    /// Bits other than the shard's, so that shards fill evenly.
    pub(super) fn table_hash(self) -> u64 {
        let [_, _, _, _, _, _, _, low @ ..] = self.0;
        u64::from_be_bytes(low)
    }
}

/// How full a counter is, and whether it has changed since it was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark(u8);

impl Mark {
    const CHANGED: u8 = 0x80;
    /// The level of a counter that is at its limit.
    const FULL: u8 = 64;
    /// From here on a counter is near its limit, and is not given up before it is idle.
    pub(super) const NEAR: u8 = Self::FULL / 2;
    /// Of counters that are never given up.
    pub(super) const KEPT: u8 = 0x7f;

    pub(super) const fn level(self) -> u8 {
        self.0 & !Self::CHANGED
    }

    pub(super) const fn from_level(level: u8) -> Self {
        Self(level & !Self::CHANGED)
    }

    fn set_level(&mut self, level: u8) {
        if self.level() != Self::KEPT {
            self.0 = (self.0 & Self::CHANGED) | level;
        }
    }

    const fn has_changed(self) -> bool {
        self.0 & Self::CHANGED != 0
    }

    pub(super) const fn is_near(self) -> bool {
        self.level() >= Self::NEAR
    }

    /// How full a take has left its counter.
    fn after(limit: &Limit, outcome: &Outcome) -> u8 {
        let capacity = limit.capacity();
        if outcome.verdict.is_denial() || capacity == 0 {
            return Self::FULL;
        }
        let used = capacity.saturating_sub(outcome.remaining);
        let parts = u64::from(Self::FULL);
        let level = match used.checked_mul(parts) {
            Some(parts_used) => parts_used / capacity,
            None => used / (capacity / parts),
        };
        u8::try_from(level).unwrap_or(Self::FULL).min(Self::FULL)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Counter {
    pub(super) key: ShortKey,
    pub(super) mark: Mark,
    pub(super) state: State,
}

const _: () = assert!(size_of::<Counter>() == 32);

impl Counter {
    /// As many as it takes the memory of: one for a fixed window.
    fn weight(&self) -> usize {
        1 + self.state.heap_size() / 64
    }
}

pub(super) fn held(counters: &HashTable<Counter>, key: ShortKey) -> Option<&Counter> {
    counters.find(key.table_hash(), |held| held.key == key)
}

fn held_mut(counters: &mut HashTable<Counter>, key: ShortKey) -> Option<&mut Counter> {
    counters.find_mut(key.table_hash(), |held| held.key == key)
}

#[derive(Debug, Default)]
pub(super) struct Shard {
    pub(super) counters: HashTable<Counter>,
    /// The weight of all counters.
    pub(super) weight: usize,
    /// What the store knows of the weight of all in here.
    pub(super) weight_told: (usize, usize),
    /// By how much the times in here were shifted, of all that was told to the store.
    pub(super) shifted: i64,
    /// The highest of the counters that are forgotten.
    pub(super) last_lease: Option<LeaseId>,
    /// Told when slots of a concurrency limit come back.
    pub(super) given_back: Arc<Notify>,
    /// Whether changes are kept for a journal.
    pub(super) is_journaled: bool,
    /// The counters that changed since they were last written, gone ones included.
    pub(super) changed: Vec<ShortKey>,
    /// More changed than is worth listing.
    pub(super) all_changed: bool,
    /// Takes that were denied for want of a reserve alone.
    pub(super) unreserved: u64,
    /// Of counters of strict rules.
    pub(super) reserves: HashMap<ShortKey, Reserve>,
    /// What a process before this one may have admitted and not written.
    pub(super) owed: HashMap<ShortKey, Owed>,
}

impl Shard {
    /// Looking, and giving back to a counter that is not there, makes none.
    pub(super) fn take(&mut self, charge: &Charge<'_>, now: Timestamp) -> Outcome {
        self.take_found(self.find(charge.counter), charge, now)
    }

    /// The bucket of a counter.
    #[inline]
    pub(super) fn find(&self, key: CounterKey) -> Option<usize> {
        let key = ShortKey::from(key);
        self.counters.find_bucket_index(key.table_hash(), |held| held.key == key)
    }

    /// [`Self::take`] of a counter that was in this bucket, as far as was known a while ago.
    pub(super) fn take_found(
        &mut self,
        found: Option<usize>,
        charge: &Charge<'_>,
        now: Timestamp,
    ) -> Outcome {
        let key = ShortKey::from(charge.counter);
        self.pay_owed(key, charge, now);
        let held = found.and_then(|bucket| self.counters.get_bucket_mut(bucket));
        let Some(held) = held.filter(|held| held.key == key) else {
            return self.take_afresh(charge, now);
        };
        let before = held.weight();
        let outcome = charge.limit.step(&mut held.state, charge.hits, charge.when, now);
        let after = held.weight();
        let changes = match charge.hits {
            Hits::Take(0) | Hits::GiveBack(0) => false,
            Hits::Take(_) => {
                held.mark.set_level(Mark::after(&charge.limit, &outcome));
                // A denied take leaves the usage as it was, but it may begin a pause.
                !outcome.verdict.is_denial()
                    || charge.when == ChargeWhen::Always
                    || charge.limit.resume_below.is_some()
            }
            Hits::GiveBack(_) => true,
        };
        if changes && self.is_journaled && !held.mark.has_changed() {
            held.mark.0 |= Mark::CHANGED;
            self.changed.push(key);
        }
        self.weight = self.weight + after - before;
        outcome
    }

    /// [`Self::take`] of a counter that is not there, or that was made or moved after it was sought.
    #[inline(never)]
    fn take_afresh(&mut self, charge: &Charge<'_>, now: Timestamp) -> Outcome {
        match self.find(charge.counter) {
            None => self.begin(charge.counter.into(), charge, now),
            found => self.take_found(found, charge, now),
        }
    }

    /// [`Self::take`] of a counter that is not there.
    fn begin(&mut self, key: ShortKey, charge: &Charge<'_>, now: Timestamp) -> Outcome {
        let mut state = charge.limit.fresh(now);
        if let (Some(leases), Some(last)) = (state.leases(), self.last_lease) {
            leases.go_on_after(last);
        }
        let outcome = charge.limit.step(&mut state, charge.hits, charge.when, now);
        if matches!(charge.hits, Hits::Take(1..)) && !state.is_idle(now) {
            let mark = Mark::from_level(Mark::after(&charge.limit, &outcome));
            let counter = Counter { key, mark, state };
            self.weight += counter.weight();
            self.counters.insert_unique(key.table_hash(), counter, |it| it.key.table_hash());
            self.note_change(key);
        }
        outcome
    }

    /// Lists a counter as changed.
    pub(super) fn note_change(&mut self, key: ShortKey) {
        if !self.is_journaled || self.all_changed {
            return;
        }
        if let Some(held) = held_mut(&mut self.counters, key) {
            if held.mark.has_changed() {
                return;
            }
            held.mark.0 |= Mark::CHANGED;
        }
        self.changed.push(key);
        // While nothing can be written counters come and go, and the list must not grow with them.
        if self.changed.len() > 4 * self.counters.len() + 1_024 {
            self.changed = Vec::new();
            self.all_changed = true;
        }
    }

    /// What changed since the last call, each key once at the most for every time that it changed.
    pub(super) fn take_changes(&mut self) -> Changed {
        let listed = std::mem::take(&mut self.changed);
        let all = std::mem::take(&mut self.all_changed);
        if all {
            self.counters.iter_mut().for_each(|held| held.mark.0 &= !Mark::CHANGED);
            return Changed::All;
        }
        for key in &listed {
            if let Some(held) = held_mut(&mut self.counters, *key) {
                held.mark.0 &= !Mark::CHANGED;
            }
        }
        Changed::Listed(listed)
    }

    /// Takes the memory of a list back that is done with, so that requests need not ask for it.
    pub(super) fn reuse_list(&mut self, mut listed: Vec<ShortKey>) {
        if self.changed.is_empty() && listed.capacity() <= LIST_KEPT {
            listed.clear();
            self.changed = listed;
        }
    }

    pub(super) fn give_back(&mut self, charge: &Charge<'_>, now: Timestamp) {
        let Hits::Take(hits @ 1..) = charge.hits else {
            return;
        };
        let key = ShortKey::from(charge.counter);
        let Some(held) = held_mut(&mut self.counters, key) else {
            return;
        };
        let before = held.weight();
        charge.limit.step(&mut held.state, Hits::GiveBack(hits), charge.when, now);
        self.weight = self.weight + held.weight() - before;
        if held.state.is_idle(now) {
            self.remove(key);
        }
        self.note_change(key);
    }

    /// Ends the lease of a denied request, if it got one, and remembers that it was denied.
    pub(super) fn deny(&mut self, charge: &Charge<'_>, outcome: &Outcome, now: Timestamp) {
        let Hits::Take(slots) = charge.hits else { return };
        let key = ShortKey::from(charge.counter);
        let place =
            self.counters.entry(key.table_hash(), |held| held.key == key, |it| it.key.table_hash());
        let mut held = place.or_insert_with(|| {
            let counter = Counter { key, mark: Mark::default(), state: charge.limit.fresh(now) };
            self.weight += counter.weight();
            counter
        });
        let held = held.get_mut();
        let before = held.weight();
        if let Some(leases) = held.state.leases() {
            if let Some(last) = self.last_lease {
                leases.go_on_after(last);
            }
            if let Some(id) = outcome.lease {
                leases.release(id);
            }
            leases.deny(slots, now);
        }
        self.weight = self.weight + held.weight() - before;
        self.note_change(key);
    }

    /// Ends one lease; whether it was held.
    pub(super) fn release(&mut self, key: ShortKey, id: LeaseId, now: Timestamp) -> bool {
        let Some(held) = held_mut(&mut self.counters, key) else {
            return false;
        };
        let Some(leases) = held.state.leases() else { return false };
        let (was_held, last) = (leases.release(id), leases.last_id());
        if held.state.is_idle(now) {
            self.remove(key);
            self.last_lease = self.last_lease.max(Some(last));
        }
        if was_held {
            self.note_change(key);
            self.given_back.notify_waiters();
        }
        was_held
    }

    /// Whether a limit lacks one slot for a charge, which may be on its way back.
    pub(super) fn is_just_full(&mut self, charge: &Charge<'_>, now: Timestamp) -> bool {
        let Hits::Take(slots) = charge.hits else { return false };
        // Where nothing is admitted nothing is waited for.
        charge.mode == Mode::Enforce
            && charge.takes_slots()
            && charge.limit.amount > 0
            && self.held(charge.counter, now).saturating_add(slots)
                == charge.limit.amount.saturating_add(1)
    }

    /// The slots held of a concurrency limit.
    pub(super) fn held(&mut self, key: CounterKey, now: Timestamp) -> u64 {
        let key = ShortKey::from(key);
        let held = held_mut(&mut self.counters, key);
        held.and_then(|held| held.state.leases()).map_or(0, |leases| {
            leases.run_out(now);
            leases.held()
        })
    }

    pub(super) fn look(&self, charge: &Charge<'_>, now: Timestamp) -> Outcome {
        let mut state = self.state(charge, now);
        charge.limit.step(&mut state, Hits::Take(0), ChargeWhen::Admitted, now)
    }

    /// How long until a charge that was counted has room for these hits; `None` if it has now.
    pub(super) fn wait_for(&self, charge: &Charge<'_>, hits: Hits, now: Timestamp) -> Option<Span> {
        // Who was never denied by the limit is not paused by it either.
        let limit = Limit { resume_below: None, ..charge.limit };
        let mut state = self.state(charge, now);
        let outcome = limit.step(&mut state, hits, ChargeWhen::Admitted, now);
        outcome.reset.filter(|_| outcome.verdict.is_denial())
    }

    /// A copy of a counter, or one that nothing has been taken from.
    pub(super) fn state(&self, charge: &Charge<'_>, now: Timestamp) -> State {
        let key = ShortKey::from(charge.counter);
        let held = held(&self.counters, key);
        let owed = self.owed.get(&key);
        // What is owed belongs to when it was taken, as in `pay_owed`.
        let since = owed.map_or(now, |owed| owed.moment(&charge.limit, now));
        let mut state = held.map_or_else(|| charge.limit.fresh(since), |held| held.state.clone());
        if let Some(owed) = owed {
            owed.pay(&mut state, &charge.limit, now);
        }
        state
    }

    pub(super) fn standing(&mut self, charge: &Charge<'_>, now: Timestamp) -> Standing {
        let is_concurrent = charge.limit.kind.is_concurrent();
        Standing {
            look: self.look(charge, now),
            held: is_concurrent.then(|| self.held(charge.counter, now)),
        }
    }

    pub(super) fn holds(&self, key: ShortKey) -> bool {
        held(&self.counters, key).is_some()
    }

    /// Whether a key has a counter, or what becomes one when it is asked for.
    pub(super) fn has_place_of(&self, key: CounterKey) -> bool {
        let key = ShortKey::from(key);
        self.holds(key) || self.reserves.contains_key(&key) || self.owed.contains_key(&key)
    }

    /// Puts a counter in place of one with its key.
    pub(super) fn put(&mut self, counter: Counter) {
        self.remove(counter.key);
        self.weight += counter.weight();
        self.counters.insert_unique(counter.key.table_hash(), counter, |it| it.key.table_hash());
    }

    pub(super) fn remove(&mut self, key: ShortKey) {
        if let Ok(held) = self.counters.find_entry(key.table_hash(), |held| held.key == key) {
            self.weight -= held.get().weight();
            held.remove();
        }
    }

    /// Forgets a counter, idle or not; whether it was in use.
    pub(super) fn give_up(&mut self, key: ShortKey, now: Timestamp) -> bool {
        let held = held(&self.counters, key);
        let Some(held) = held else { return false };
        let was_live = !held.state.is_idle(now);
        self.last_lease = self.last_lease.max(held.state.slots_held(now).map(|(_, last)| last));
        self.remove(key);
        was_live
    }

    /// What all in here weighs, and what of it is kept for strict rules.
    pub(super) fn total_weight(&self) -> (usize, usize) {
        let strict = self.reserves.len() + self.owed.len();
        (self.weight + RESERVE_WEIGHT * strict, (1 + RESERVE_WEIGHT) * strict)
    }

    /// Never gives up a counter before it is idle.
    pub(super) fn keep(&mut self, key: CounterKey) {
        let key = ShortKey::from(key);
        if let Some(held) = held_mut(&mut self.counters, key) {
            held.mark.0 |= Mark::KEPT;
        }
    }

    /// Forgets idle counters; how many.
    pub(super) fn sweep(&mut self, now: Timestamp) -> usize {
        let before = self.counters.len();
        self.owed.retain(|_, owed| !owed.is_settled(now));
        let (mut last_lease, mut gone) = (self.last_lease, 0);
        let owed = &self.owed;
        self.counters.retain(|counter| {
            // What is owed counts on top of the state, however little that is by itself.
            let is_idle = counter.state.is_idle(now) && !owed.contains_key(&counter.key);
            if is_idle {
                last_lease = last_lease.max(counter.state.slots_held(now).map(|(_, last)| last));
                gone += counter.weight();
            }
            !is_idle
        });
        self.last_lease = last_lease;
        self.weight -= gone;
        self.forget_idle_reserves(now);
        let held = self.counters.len();
        // Give memory back after a flood, but not for the ordinary ebb.
        if self.counters.capacity() > 4 * held.max(16) {
            self.counters.shrink_to(2 * held, |counter| counter.key.table_hash());
        }
        before - held
    }

    /// The counter that is missed least: idle before unused before little used; `None` where all
    /// that were looked at are near their limits. `start` chooses where to look.
    pub(super) fn least_missed(&self, start: u64, now: Timestamp) -> Option<ShortKey> {
        let buckets = self.counters.num_buckets();
        let mask = buckets.checked_sub(1)?;
        let first = usize::try_from(start & mask as u64).unwrap_or(0);
        let looked_at = (first..first + LOOKED_AT.min(buckets)).map(|index| index & mask);
        let counters = looked_at.filter_map(|index| self.counters.get_bucket(index));
        let rank = |counter: &&Counter| match counter.state.is_idle(now) {
            // Those that are kept go with a sweep, and not between two charges of one request.
            true if counter.mark.level() == Mark::KEPT || self.owed.contains_key(&counter.key) => {
                u8::MAX
            }
            true => 0,
            false => counter.mark.level() + 1,
        };
        let least = counters.min_by_key(rank)?;
        (rank(&least) <= Mark::NEAR).then_some(least.key)
    }

    /// Moves all times, because the line of time was moved.
    #[inline]
    pub(super) fn shift_to(&mut self, shifted: i64) {
        let by = shifted.saturating_sub(self.shifted);
        if by != 0 {
            self.shift(by, shifted);
        }
    }

    fn shift(&mut self, by: i64, shifted: i64) {
        self.shifted = shifted;
        self.counters.iter_mut().for_each(|held| held.state.shift(by));
        self.reserves.values_mut().for_each(|reserve| reserve.shift(by));
        self.owed.values_mut().for_each(|owed| owed.shift(by));
    }
}

/// Which counters of a shard are to be written.
#[derive(Debug, PartialEq)]
pub(super) enum Changed {
    Listed(Vec<ShortKey>),
    All,
}
