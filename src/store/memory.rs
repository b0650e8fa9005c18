//! Counters in memory: shards of a hash table, one lock each.
//!
//! A request holds the locks of all its shards, taken in ascending order, while it decides, so
//! that several counters change together or not at all and no number of parallel callers can pass
//! one limit twice. A counter is its fingerprint and its state; no text of a key is kept.

use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use parking_lot::{Mutex, MutexGuard};
use smallvec::SmallVec;
use tokio::sync::Notify;

use super::Outcomes;
use crate::decide::{Charge, CounterKey, Lease};
use crate::limit::{ChargeWhen, Hits, Outcome, State, Verdict};
use crate::policy::model::Mode;
use crate::time::Timestamp;

pub(super) const SHARD_COUNT: usize = 256;

#[derive(Debug)]
pub struct MemoryStore {
    /// As many as the top byte of a key has values.
    shards: Box<[Mutex<Shard>]>,
    /// The shard that the next sweep step visits.
    sweep_next: AtomicUsize,
    /// Told when slots of a concurrency limit come back.
    pub(super) given_back: Notify,
}

#[derive(Debug, Default)]
struct Shard {
    counters: HashTable<Counter>,
    /// When a sweep was here last.
    swept: Option<Timestamp>,
}

#[derive(Debug)]
struct Counter {
    key: CounterKey,
    state: State,
}

impl Default for MemoryStore {
    fn default() -> Self {
        let shards = (0..SHARD_COUNT).map(|_| Mutex::default()).collect();
        Self { shards, sweep_next: AtomicUsize::new(0), given_back: Notify::new() }
    }
}

impl MemoryStore {
    pub fn charge(&self, charges: &[Charge<'_>], now: Timestamp) -> Outcomes {
        let mut locked = Locked::new(self, charges);
        let mut outcomes = Outcomes::new();
        let mut is_denied = false;
        let mut shadow_denied: SmallVec<[u32; 4]> = SmallVec::new();
        for charge in charges {
            let shard = locked.shard(charge.counter);
            let outcome = match charge.hits {
                Hits::Take(_) => shard.take(charge, now),
                // Nothing is given back before it is known that the request is not denied.
                Hits::GiveBack(_) => {
                    Outcome { verdict: Verdict::Admitted, ..shard.look(charge, now) }
                }
            };
            if outcome.verdict.is_denial() {
                match charge.mode {
                    Mode::Enforce => is_denied = true,
                    Mode::Shadow => shadow_denied.push(charge.group),
                }
            }
            outcomes.push(outcome);
        }
        shadow_denied.sort_unstable();
        let is_undone = |charge: &Charge<'_>| {
            charge.when == ChargeWhen::Admitted
                && (is_denied || shadow_denied.binary_search(&charge.group).is_ok())
        };
        for (charge, outcome) in charges.iter().zip(&mut outcomes) {
            if matches!(charge.hits, Hits::GiveBack(_)) && !is_undone(charge) {
                *outcome = locked.shard(charge.counter).take(charge, now);
            }
        }
        if is_denied || !shadow_denied.is_empty() {
            locked.undo(charges, &mut outcomes, is_undone, now);
        }
        drop(locked);
        if charges.iter().any(|charge| charge.gives_slots_back()) {
            self.given_back.notify_waiters();
        }
        outcomes
    }

    /// Whether a concurrency limit that is enforced has no slot left for its charge, but would if
    /// one of those held were given back.
    pub fn is_just_full(&self, charges: &[Charge<'_>], now: Timestamp) -> bool {
        let is_full = |charge: &Charge<'_>| {
            let Hits::Take(slots) = charge.hits else { return false };
            let held = self.shards[charge.counter.shard_index()].lock().held(charge.counter, now);
            held.saturating_add(slots) == charge.limit.amount.saturating_add(1)
        };
        let enforced = charges.iter().filter(|charge| charge.mode == Mode::Enforce);
        enforced.filter(|charge| charge.takes_slots()).any(is_full)
    }

    /// Ends leases; those that are unknown, given back before or run out change nothing. How many
    /// were held.
    pub fn release(&self, leases: &[Lease], now: Timestamp) -> usize {
        let released = leases.iter().filter(|lease| self.release_one(lease, now)).count();
        self.given_back.notify_waiters();
        released
    }

    fn release_one(&self, lease: &Lease, now: Timestamp) -> bool {
        let mut shard = self.shards[lease.counter.shard_index()].lock();
        let hash = lease.counter.table_hash();
        let Ok(mut held) = shard.counters.find_entry(hash, |held| held.key == lease.counter) else {
            return false;
        };
        let state = &mut held.get_mut().state;
        let was_held = state.leases().is_some_and(|leases| leases.release(lease.id));
        if state.is_idle(now) {
            held.remove();
        }
        was_held
    }

    /// A counter is forgotten when two visits in a row find it idle: a clock that jumps ahead and
    /// comes back between them makes no used-up window start again.
    pub fn sweep_step(&self, now: Timestamp) -> usize {
        let next = self.sweep_next.fetch_add(1, Ordering::Relaxed) % SHARD_COUNT;
        let mut shard = self.shards[next].lock();
        let before = shard.counters.len();
        let idle_since = shard.swept.replace(now).map_or(now, |last| last.min(now));
        shard.counters.retain(|counter| !counter.state.is_idle(idle_since));
        let held = shard.counters.len();
        // Give memory back after a flood, but not for the ordinary ebb.
        if shard.counters.capacity() > 4 * held.max(16) {
            shard.counters.shrink_to(2 * held, |counter| counter.key.table_hash());
        }
        before - held
    }

    pub fn counter_count(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().counters.len()).sum()
    }
}

/// The shards of one request's counters, all locked.
struct Locked<'m> {
    shards: SmallVec<[(usize, MutexGuard<'m, Shard>); 8]>,
}

impl<'m> Locked<'m> {
    fn new(store: &'m MemoryStore, charges: &[Charge<'_>]) -> Self {
        let mut indexes: SmallVec<[usize; 8]> =
            charges.iter().map(|charge| charge.counter.shard_index()).collect();
        indexes.sort_unstable();
        indexes.dedup();
        let lock = |index: usize| (index, store.shards[index].lock());
        Self { shards: indexes.into_iter().map(lock).collect() }
    }

    fn shard(&mut self, key: CounterKey) -> &mut Shard {
        let index = key.shard_index();
        let place = self.shards.partition_point(|(held, _)| *held < index);
        &mut self.shards[place].1
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
        }
        for (charge, outcome) in charges.iter().zip(outcomes) {
            if is_undone(charge) {
                outcome.lease = None;
                outcome.remaining = self.shard(charge.counter).look(charge, now).remaining;
            }
        }
    }
}

impl Shard {
    /// Looking, and giving back to a counter that is not there, makes none.
    fn take(&mut self, charge: &Charge<'_>, now: Timestamp) -> Outcome {
        let key = charge.counter;
        let takes = matches!(charge.hits, Hits::Take(1..));
        let hash = key.table_hash();
        match self.counters.entry(hash, |held| held.key == key, |held| held.key.table_hash()) {
            Entry::Occupied(mut held) => {
                charge.limit.step(&mut held.get_mut().state, charge.hits, charge.when, now)
            }
            Entry::Vacant(place) => {
                let mut state = charge.limit.fresh(now);
                let outcome = charge.limit.step(&mut state, charge.hits, charge.when, now);
                if takes && !state.is_idle(now) {
                    place.insert(Counter { key, state });
                }
                outcome
            }
        }
    }

    fn give_back(&mut self, charge: &Charge<'_>, now: Timestamp) {
        let Hits::Take(hits @ 1..) = charge.hits else {
            return;
        };
        let key = charge.counter;
        if let Ok(mut held) = self.counters.find_entry(key.table_hash(), |held| held.key == key) {
            let state = &mut held.get_mut().state;
            charge.limit.step(state, Hits::GiveBack(hits), charge.when, now);
            if state.is_idle(now) {
                held.remove();
            }
        }
    }

    /// Ends the lease of a denied request, if it got one, and remembers that it was denied.
    fn deny(&mut self, charge: &Charge<'_>, outcome: &Outcome, now: Timestamp) {
        let Hits::Take(slots) = charge.hits else { return };
        let key = charge.counter;
        if let Some(held) = self.counters.find_mut(key.table_hash(), |held| held.key == key)
            && let Some(leases) = held.state.leases()
        {
            outcome.lease.map(|id| leases.release(id));
            leases.deny(slots, now);
        }
    }

    /// The slots held of a concurrency limit.
    fn held(&mut self, key: CounterKey, now: Timestamp) -> u64 {
        let held = self.counters.find_mut(key.table_hash(), |held| held.key == key);
        held.and_then(|held| held.state.leases()).map_or(0, |leases| {
            leases.run_out(now);
            leases.held()
        })
    }

    fn look(&self, charge: &Charge<'_>, now: Timestamp) -> Outcome {
        let key = charge.counter;
        let held = self.counters.find(key.table_hash(), |held| held.key == key);
        let mut state = held.map_or_else(|| charge.limit.fresh(now), |held| held.state.clone());
        charge.limit.step(&mut state, Hits::Take(0), ChargeWhen::Admitted, now)
    }
}

impl CounterKey {
    /// The top byte: the windows of one counter share it, so that one lock covers them.
    fn shard_index(self) -> usize {
        usize::from(self.0.to_be_bytes()[0])
    }

    /// Bits other than the shard's, so that shards fill evenly.
    fn table_hash(self) -> u64 {
        #[expect(clippy::cast_possible_truncation, reason = "any 64 bits of the fingerprint do")]
        let hash = self.0 as u64;
        hash
    }
}
