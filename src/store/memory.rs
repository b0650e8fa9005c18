//! Counters in memory: shards of a hash table, one lock each.
//!
//! A request holds the locks of all its shards, taken in ascending order, while it decides, so
//! that several counters change together or not at all and no number of parallel callers can pass
//! one limit twice. A counter is its fingerprint and its state; no text of a key is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use parking_lot::{Mutex, MutexGuard};
use smallvec::SmallVec;
use tokio::sync::Notify;

use super::Outcomes;
use crate::decide::{Charge, CounterKey, Denial, Lease, Standing, Trial};
use crate::limit::{ChargeWhen, Hits, LeaseId, Limit, Outcome, State, Verdict};
use crate::policy::model::Mode;
use crate::time::{Span, Timestamp};

pub(super) const SHARD_COUNT: usize = 256;

#[derive(Debug)]
pub struct MemoryStore {
    /// As many as the top byte of a key has values.
    shards: Box<[Mutex<Shard>]>,
    /// The shard that the next sweep step visits.
    sweep_next: AtomicUsize,
}

#[derive(Debug, Default)]
struct Shard {
    counters: HashTable<Counter>,
    /// When a sweep was here last.
    swept: Option<Timestamp>,
    /// The highest of the counters that are forgotten.
    last_lease: Option<LeaseId>,
    /// Told when slots of a concurrency limit come back.
    given_back: Arc<Notify>,
}

#[derive(Clone, Debug)]
struct Counter {
    key: CounterKey,
    state: State,
}

impl Default for MemoryStore {
    fn default() -> Self {
        let shards = (0..SHARD_COUNT).map(|_| Mutex::default()).collect();
        Self { shards, sweep_next: AtomicUsize::new(0) }
    }
}

impl MemoryStore {
    pub fn charge(&self, charges: &[Charge<'_>], now: Timestamp) -> Outcomes {
        let mut locked = Locked::new(self, charges);
        let mut outcomes = Outcomes::new();
        let mut denial = Denial::default();
        let mut shadow_denied: SmallVec<[u32; 4]> = SmallVec::new();
        let spared = locked.spared(charges, now);
        for (position, charge) in charges.iter().enumerate() {
            let shard = locked.shard(charge.counter);
            let outcome = match charge.hits {
                Hits::Take(_) if spared.contains(&position) => shard.look(charge, now),
                Hits::Take(_) => shard.take(charge, now),
                // Nothing is given back before it is known that the request is not denied.
                Hits::GiveBack(_) => {
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
        for (charge, outcome) in charges.iter().zip(&mut outcomes) {
            if matches!(charge.hits, Hits::GiveBack(_)) && !is_undone(charge) {
                *outcome = locked.shard(charge.counter).take(charge, now);
            }
        }
        if is_denied || !shadow_denied.is_empty() {
            locked.undo(charges, &mut outcomes, is_undone, now);
        }
        if is_denied {
            // What a denied request counts may leave no room for the same request later.
            let admitted = charges
                .iter()
                .zip(&mut outcomes)
                .filter(|(charge, outcome)| charge.counts_denied() && !outcome.verdict.is_denial());
            for (charge, outcome) in admitted {
                outcome.again = locked.shard(charge.counter).wait_for(charge, charge.hits, now);
            }
            locked.tell_together(charges, &mut outcomes, now);
        }
        for charge in charges.iter().filter(|charge| charge.gives_slots_back()) {
            locked.shard(charge.counter).given_back.notify_waiters();
        }
        outcomes
    }

    /// What [`Self::charge`] would say now. It is asked of a copy of the counters, so nothing
    /// changes.
    pub fn try_out(&self, charges: &[Charge<'_>], now: Timestamp) -> Trial {
        let copy = self.copy_for(charges);
        let standing = |charge: &Charge<'_>| {
            copy.shards[charge.counter.shard_index()].lock().standing(charge, now)
        };
        let standing = charges.iter().map(standing).collect();
        Trial { standing, outcomes: copy.charge(charges, now) }
    }

    /// A store that holds the counters of these charges alone.
    fn copy_for(&self, charges: &[Charge<'_>]) -> Self {
        let copy = Self::default();
        let mut locked = Locked::new(self, charges);
        for charge in charges {
            let key = charge.counter;
            let hash = key.table_hash();
            let is_same = |held: &Counter| held.key == key;
            let from = locked.shard(key);
            let mut to = copy.shards[key.shard_index()].lock();
            to.last_lease = from.last_lease;
            if let Some(held) = from.counters.find(hash, is_same)
                && to.counters.find(hash, is_same).is_none()
            {
                to.counters.insert_unique(hash, held.clone(), |held| held.key.table_hash());
            }
        }
        copy
    }

    /// Where a concurrency limit that is enforced has no slot left for its charge, but would if
    /// one of those held were given back: what is told when one may have been.
    pub fn just_full(&self, charges: &[Charge<'_>], now: Timestamp) -> Option<Arc<Notify>> {
        let full = |charge: &Charge<'_>| {
            let Hits::Take(slots) = charge.hits else { return None };
            let mut shard = self.shards[charge.counter.shard_index()].lock();
            let after = shard.held(charge.counter, now).saturating_add(slots);
            // Where nothing is admitted nothing is waited for.
            let amount = charge.limit.amount;
            let is_full = amount > 0 && after == amount.saturating_add(1);
            is_full.then(|| Arc::clone(&shard.given_back))
        };
        let enforced = charges.iter().filter(|charge| charge.mode == Mode::Enforce);
        enforced.filter(|charge| charge.takes_slots()).find_map(full)
    }

    /// Ends leases; those that are unknown, given back before or run out change nothing. How many
    /// were held.
    pub fn release(&self, leases: &[Lease], now: Timestamp) -> usize {
        leases.iter().filter(|lease| self.release_one(lease, now)).count()
    }

    fn release_one(&self, lease: &Lease, now: Timestamp) -> bool {
        let mut shard = self.shards[lease.counter.shard_index()].lock();
        let hash = lease.counter.table_hash();
        let Ok(mut held) = shard.counters.find_entry(hash, |held| held.key == lease.counter) else {
            return false;
        };
        let state = &mut held.get_mut().state;
        let Some(leases) = state.leases() else { return false };
        let (was_held, last) = (leases.release(lease.id), leases.last_id());
        if state.is_idle(now) {
            held.remove();
            shard.last_lease = shard.last_lease.max(Some(last));
        }
        if was_held {
            shard.given_back.notify_waiters();
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
        let mut last_lease = shard.last_lease;
        shard.counters.retain(|counter| {
            let is_idle = counter.state.is_idle(idle_since);
            if is_idle {
                last_lease = last_lease.max(counter.state.slots_held(now).map(|(_, last)| last));
            }
            !is_idle
        });
        shard.last_lease = last_lease;
        let held = shard.counters.len();
        // Give memory back after a flood, but not for the ordinary ebb.
        if shard.counters.capacity() > 4 * held.max(16) {
            shard.counters.shrink_to(2 * held, |counter| counter.key.table_hash());
        }
        before - held
    }

    pub fn shift(&self, by_nanos: i64) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.swept = shard.swept.map(|swept| swept.shifted(by_nanos));
            for counter in shard.counters.iter_mut() {
                counter.state.shift(by_nanos);
            }
        }
    }

    pub fn counter_count(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().counters.len()).sum()
    }

    pub fn slots_held(&self, now: Timestamp) -> u64 {
        let of_counter = |counter: &Counter| counter.state.slots_held(now).map_or(0, |it| it.0);
        let of_shard = |shard: &Mutex<Shard>| {
            let held = shard.lock();
            held.counters.iter().map(of_counter).fold(0, u64::saturating_add)
        };
        self.shards.iter().map(of_shard).fold(0, u64::saturating_add)
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

    /// Positions of the charges that fit, where others of the request do not: each is asked for
    /// itself alone.
    fn spared(&mut self, charges: &[Charge<'_>], now: Timestamp) -> SmallVec<[usize; 8]> {
        let mut spared = SmallVec::new();
        if !charges.iter().any(|charge| charge.is_spared) {
            return spared;
        }
        for (position, charge) in charges.iter().enumerate() {
            let mut state = self.shard(charge.counter).state(charge, now);
            let asked = charge.limit.step(&mut state, charge.hits, ChargeWhen::Admitted, now);
            if !asked.verdict.is_denial() {
                spared.push(position);
            }
        }
        match spared.len() == charges.len() {
            true => SmallVec::new(),
            false => spared,
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
                if let (Some(leases), Some(last)) = (state.leases(), self.last_lease) {
                    leases.go_on_after(last);
                }
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
        let place = self.counters.entry(
            key.table_hash(),
            |held| held.key == key,
            |held| held.key.table_hash(),
        );
        let mut held = place.or_insert_with(|| Counter { key, state: charge.limit.fresh(now) });
        if let Some(leases) = held.get_mut().state.leases() {
            if let Some(last) = self.last_lease {
                leases.go_on_after(last);
            }
            if let Some(id) = outcome.lease {
                leases.release(id);
            }
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
        let mut state = self.state(charge, now);
        charge.limit.step(&mut state, Hits::Take(0), ChargeWhen::Admitted, now)
    }

    /// How long until a charge that was counted has room for these hits; `None` if it has now.
    fn wait_for(&self, charge: &Charge<'_>, hits: Hits, now: Timestamp) -> Option<Span> {
        // Who was never denied by the limit is not paused by it either.
        let limit = Limit { resume_below: None, ..charge.limit };
        let mut state = self.state(charge, now);
        let outcome = limit.step(&mut state, hits, ChargeWhen::Admitted, now);
        outcome.reset.filter(|_| outcome.verdict.is_denial())
    }

    /// A copy of a counter, or one that nothing has been taken from.
    fn state(&self, charge: &Charge<'_>, now: Timestamp) -> State {
        let key = charge.counter;
        let held = self.counters.find(key.table_hash(), |held| held.key == key);
        held.map_or_else(|| charge.limit.fresh(now), |held| held.state.clone())
    }

    fn standing(&mut self, charge: &Charge<'_>, now: Timestamp) -> Standing {
        let is_concurrent = charge.limit.kind.is_concurrent();
        Standing {
            look: self.look(charge, now),
            held: is_concurrent.then(|| self.held(charge.counter, now)),
        }
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
