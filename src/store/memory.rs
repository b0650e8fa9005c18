//! Counters in memory: shards of a hash table, one lock each.
//!
//! A request holds the locks of all its shards, taken in ascending order, while it decides, so
//! that several counters change together or not at all and no number of parallel callers can pass
//! one limit twice.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};
use smallvec::SmallVec;
use tokio::sync::Notify;

use super::Outcomes;
use super::locked::Locked;
use super::parts::Written;
use super::shard::{Shard, ShortKey, held};
use crate::clock::Clock;
use crate::decide::{Charge, CounterKey, Lease, Trial};
use crate::journal::{Kind, Stamp};
use crate::limit::{Hits, Outcome};
use crate::time::Timestamp;

pub(super) const SHARD_COUNT: usize = 256;

#[derive(Debug)]
pub struct MemoryStore {
    /// As many as the top byte of a key has values.
    shards: Box<[Mutex<Shard>]>,
    /// The shard that the next sweep step visits.
    sweep_next: AtomicUsize,
    /// By how much all times were shifted so far, in nanoseconds.
    shift_total: Mutex<i64>,
    /// The same, to be read quickly.
    shifted: AtomicI64,
    /// What [`Self::counters_max`] bounds: counters, each by the memory that it takes.
    pub(super) weight: AtomicUsize,
    /// Of it, what is kept for strict rules.
    pub(super) strict_weight: AtomicUsize,
    pub(super) counters_max: AtomicUsize,
    pub(super) evicted: AtomicU64,
}

/// A time, and by how much all times had been shifted when it was read. When it is put to use
/// they may have been shifted further.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub now: Timestamp,
    pub(super) shifted: i64,
}

impl Moment {
    /// The same on the line as it is after another shift.
    pub(super) fn on(self, shifted: i64) -> Timestamp {
        self.now.shifted(shifted.saturating_sub(self.shifted))
    }
}

#[cfg(test)]
impl MemoryStore {
    /// A moment on the line as it is.
    pub(crate) fn at(&self, now: Timestamp) -> Moment {
        Moment { now, shifted: self.shifted() }
    }
}

/// What a request has asked the disk to count: every turn writes it, until this is dropped.
#[derive(Debug)]
pub(super) struct Waiting<'m> {
    store: &'m MemoryStore,
    pub(super) takes: SmallVec<[(CounterKey, u64); 2]>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        for (counter, hits) in &self.takes {
            self.store.lock(counter.shard_index()).forgo_reserve((*counter).into(), *hits);
        }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(false)
    }
}

impl MemoryStore {
    pub(super) fn new(is_journaled: bool) -> Self {
        let shard = || Mutex::new(Shard { is_journaled, ..Shard::default() });
        Self {
            shards: (0..SHARD_COUNT).map(|_| shard()).collect(),
            sweep_next: AtomicUsize::new(0),
            shift_total: Mutex::new(0),
            shifted: AtomicI64::new(0),
            weight: AtomicUsize::new(0),
            strict_weight: AtomicUsize::new(0),
            counters_max: AtomicUsize::new(usize::MAX),
            evicted: AtomicU64::new(0),
        }
    }

    #[inline]
    pub fn charge(&self, charges: &[Charge<'_>], now: Timestamp) -> Outcomes {
        self.charge_after(None, charges, Moment { now, shifted: self.shifted() })
    }

    /// Reads a clock whose steps this store is told of.
    pub(super) fn moment(&self, clock: &Clock) -> Moment {
        loop {
            let shifted = self.shifted();
            let now = clock.now();
            if self.shifted() == shifted {
                return Moment { now, shifted };
            }
        }
    }

    /// [`Self::charge`], but for charges that are better waited with: of a concurrency limit that
    /// is just full, and of strict rules without a reserve where there is a disk to have one.
    pub(super) fn charge_at_once(
        &self,
        charges: &[Charge<'_>],
        has_disk: bool,
        at: Moment,
    ) -> Option<Outcomes> {
        let mut outcomes = Outcomes::new();
        let look = |locked: &mut Locked<'_>, charges: &[Charge<'_>], now| {
            if locked.is_to_wait(charges, has_disk, now) { Err(()) } else { Ok(()) }
        };
        self.charge_if(charges, at, look, &mut outcomes).ok().map(|()| outcomes)
    }

    /// [`Self::charge`], for a request that has waited for the disk. What it asked for in other
    /// counters than it is charged in is forgone at the end, when the locks are let go.
    #[inline]
    pub(super) fn charge_after(
        &self,
        mut waiting: Option<Waiting<'_>>,
        charges: &[Charge<'_>],
        at: Moment,
    ) -> Outcomes {
        let mut outcomes = Outcomes::new();
        let look = |locked: &mut Locked<'_>, _: &[Charge<'_>], _| {
            locked.end_wait(waiting.as_mut());
            Ok::<_, Infallible>(())
        };
        let Ok(()) = self.charge_if(charges, at, look, &mut outcomes);
        outcomes
    }

    /// Charges unless `look` has something against it, and adds one outcome for each charge. That is
    /// asked right before, under all locks and of the charges as they are made.
    fn charge_if<E>(
        &self,
        charges: &[Charge<'_>],
        at: Moment,
        look: impl FnOnce(&mut Locked<'_>, &[Charge<'_>], Timestamp) -> Result<(), E>,
        outcomes: &mut Outcomes,
    ) -> Result<(), E> {
        let mut locked = Locked::new(self);
        locked.lock(charges);
        let now = locked.now(at);
        let Some(moved) = locked.make_room(charges, false, now) else {
            look(&mut locked, charges, now)?;
            locked.charge(charges, now, outcomes);
            return Ok(());
        };
        // Other shards are locked only after ours are let go.
        drop(locked);
        let mut locked = Locked::new(self);
        locked.lock(&moved);
        let now = locked.now(at);
        look(&mut locked, &moved, now)?;
        locked.charge(&moved, now, outcomes);
        drop(locked);
        self.note_overflow(charges, &moved, outcomes);
        Ok(())
    }

    /// Marks what was charged to the overflow counters of rules.
    fn note_overflow(
        &self,
        charges: &[Charge<'_>],
        moved: &[Charge<'_>],
        outcomes: &mut [Outcome],
    ) {
        for ((charge, moved), outcome) in charges.iter().zip(moved).zip(outcomes) {
            if charge.counter != moved.counter {
                outcome.is_overflow = true;
                // Nobody could find it again by the counter that was asked for: it runs out.
                outcome.lease = None;
                self.lock(moved.counter.shard_index()).keep(moved.counter);
            }
        }
    }

    /// What [`Self::charge`] would say now. It is asked of a copy of the counters, so nothing
    /// changes.
    pub fn try_out(&self, charges: &[Charge<'_>], now: Timestamp) -> Trial {
        let moved = self.moved(charges, now);
        let charges = moved.as_deref().unwrap_or(charges);
        let copy = self.copy_for(charges);
        let standing =
            |charge: &Charge<'_>| copy.lock(charge.counter.shard_index()).standing(charge, now);
        let standing = charges.iter().map(standing).collect();
        Trial { standing, outcomes: copy.charge(charges, now) }
    }

    /// A store that holds the counters of these charges alone.
    fn copy_for(&self, charges: &[Charge<'_>]) -> Self {
        let copy = Self::default();
        let mut locked = Locked::new(self);
        locked.lock(charges);
        for charge in charges {
            let key = ShortKey::from(charge.counter);
            let from = locked.shard(charge.counter);
            let mut to = copy.lock(charge.counter.shard_index());
            to.last_lease = from.last_lease;
            to.owed.extend(from.owed.get(&key).map(|owed| (key, *owed)));
            if let Some(held) = held(&from.counters, key) {
                to.put(held.clone());
            }
        }
        copy
    }

    /// A shard, with its times where the line of time is.
    pub(super) fn lock(&self, index: usize) -> MutexGuard<'_, Shard> {
        let mut shard = self.shards[index].lock();
        shard.shift_to(self.shifted());
        shard
    }

    pub(super) fn try_lock(&self, index: usize) -> Option<MutexGuard<'_, Shard>> {
        let mut shard = self.shards[index].try_lock()?;
        shard.shift_to(self.shifted());
        Some(shard)
    }

    /// Moves the times of all counters, because the line of time was moved by so many nanoseconds:
    /// so nobody gains or loses by it. Each shard follows when it is visited next.
    pub fn shift(&self, by: i64) {
        let mut total = self.shift_total.lock();
        *total = total.saturating_add(by);
        self.shifted.store(*total, Ordering::Release);
    }

    /// By how much all times were shifted so far.
    pub(super) fn shifted(&self) -> i64 {
        self.shifted.load(Ordering::Acquire)
    }

    /// By how much all times were shifted so far; while this is held they are not shifted.
    pub(super) fn hold_shift(&self) -> MutexGuard<'_, i64> {
        self.shift_total.lock()
    }

    /// Appends what changed of a shard.
    pub(super) fn write_changes(&self, index: usize, out: &mut Vec<u8>, now: Timestamp) -> Written {
        self.lock(index).write_changes(out, now)
    }

    /// Appends a whole shard.
    pub(super) fn write_image(&self, index: usize, out: &mut Vec<u8>, now: Timestamp) {
        self.lock(index).write_image(out, now);
    }

    /// Takes reserves back, since nothing is decided any more.
    pub(super) fn end_reserves(&self) {
        self.shards.iter().for_each(|shard| shard.lock().end_reserves());
    }

    /// What was written is on disk, or is not known to be.
    pub(super) fn written(&self, is_on_disk: bool) {
        self.shards.iter().for_each(|shard| shard.lock().written(is_on_disk));
    }

    /// Reads what was written of a shard when times had been shifted by so much; `None` where the
    /// bytes are not that.
    pub(super) fn read(
        &self,
        index: usize,
        kind: Kind,
        bytes: &[u8],
        (shifted, now): (i64, Timestamp),
    ) -> Option<()> {
        let mut shard = self.shards.get(index)?.lock();
        match kind {
            Kind::Image => {
                *shard = Shard { is_journaled: shard.is_journaled, shifted, ..Shard::default() };
                shard.read_image(bytes, now)
            }
            Kind::Change => {
                shard.shift_to(shifted);
                shard.read_changes(bytes, now)
            }
        }
    }

    /// After all is read: times are brought to where the line of time is, and what is idle goes.
    pub(super) fn restored(&self, last: Stamp, now: Timestamp) {
        *self.shift_total.lock() = last.shifted;
        self.shifted.store(last.shifted, Ordering::Release);
        // The clock went back while nobody looked: hits that count go on counting, no longer.
        let ahead = last.at.as_nanos().saturating_sub(now.as_nanos());
        if ahead > 0 {
            self.shift(ahead.saturating_neg());
        }
        for index in 0..SHARD_COUNT {
            let mut shard = self.lock(index);
            shard.owed_since(now);
            shard.sweep(now);
            self.weigh(&mut shard);
        }
    }

    /// How many counters a shard holds.
    pub(super) fn shard_len(&self, index: usize) -> usize {
        self.shards[index].lock().counters.len()
    }

    /// Where a concurrency limit that is enforced has no slot left for its charge, but would if
    /// one of those held were given back: what is told when one may have been.
    pub fn just_full(&self, charges: &[Charge<'_>], now: Timestamp) -> Option<Arc<Notify>> {
        charges.iter().find_map(|charge| {
            let mut shard = self.lock(charge.counter.shard_index());
            shard.is_just_full(charge, now).then(|| Arc::clone(&shard.given_back))
        })
    }

    /// Whether there is too little on disk for a charge of a strict rule.
    pub(super) fn lacks_reserves(&self, charges: &[Charge<'_>], now: Timestamp) -> bool {
        let mut strict = charges.iter().filter(|charge| charge.is_strict);
        strict.any(|charge| self.lock(charge.counter.shard_index()).lacks_reserve(charge, now))
    }

    /// Asks for all that charges of strict rules take, also where there is enough by now: a turn
    /// writes no more than was asked for. To be held until they are taken.
    pub(super) fn ask_for_reserves(&self, charges: &[Charge<'_>], now: Timestamp) -> Waiting<'_> {
        let asks = |charge: &&Charge<'_>| {
            let mut shard = self.lock(charge.counter.shard_index());
            let asks = shard.ask_for_reserve(charge, now);
            self.weigh(&mut shard);
            asks
        };
        let asking = charges.iter().filter(|charge| charge.is_strict).filter(asks);
        let takes = asking.filter_map(|charge| match charge.hits {
            Hits::Take(hits) => Some((charge.counter, hits)),
            Hits::GiveBack(_) => None,
        });
        Waiting { takes: takes.collect(), store: self }
    }

    /// Where charges would be counted now, where that is not all in counters of their own.
    pub(super) fn moved<'s>(
        &self,
        charges: &[Charge<'s>],
        now: Timestamp,
    ) -> Option<SmallVec<[Charge<'s>; 8]>> {
        let mut locked = Locked::new(self);
        locked.lock(charges);
        locked.make_room(charges, true, now)
    }

    /// Takes of strict rules that were denied for want of a reserve alone.
    pub fn unreserved(&self) -> u64 {
        self.shards.iter().map(|shard| shard.lock().unreserved).sum()
    }

    /// Ends leases; those that are unknown, given back before or run out change nothing. How many
    /// were held.
    pub fn release(&self, leases: &[Lease], now: Timestamp) -> usize {
        let release = |lease: &&Lease| {
            let mut shard = self.lock(lease.counter.shard_index());
            let was_held = shard.release(lease.counter.into(), lease.id, now);
            self.weigh(&mut shard);
            was_held
        };
        leases.iter().filter(release).count()
    }

    /// Forgets idle counters of one shard, and returns how many.
    pub fn sweep_step(&self, now: Timestamp) -> usize {
        let next = self.sweep_next.fetch_add(1, Ordering::Relaxed) % SHARD_COUNT;
        let mut shard = self.lock(next);
        let swept = shard.sweep(now);
        self.weigh(&mut shard);
        swept
    }

    pub fn counter_count(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().counters.len()).sum()
    }

    pub fn slots_held(&self, now: Timestamp) -> u64 {
        let of_shard = |index: usize| {
            let shard = self.lock(index);
            let held = shard.counters.iter().filter_map(|it| it.state.slots_held(now));
            held.map(|(slots, _)| slots).fold(0, u64::saturating_add)
        };
        (0..SHARD_COUNT).map(of_shard).fold(0, u64::saturating_add)
    }
}

impl CounterKey {
    /// The top byte: the windows of one counter share it, so that one lock covers them.
    pub(super) fn shard_index(self) -> usize {
        usize::from(self.0.to_be_bytes()[0])
    }
}
