//! Concurrency: at most so many slots held at a time.
//!
//! State: the leases held, in the order in which they were given, 24 bytes each, and 72 bytes; what was
//! denied lately adds 16 for each second. A lease ends when
//! it is given back or runs out, whichever comes first; giving back twice gives back once. Callers
//! that name no lease give back the oldest one. Those report the end of denied requests too, so
//! denied takes are remembered for a while and swallow as much of what comes back unnamed: the
//! slots of others stay held, and nothing falls below zero.

use std::num::NonZeroU64;

use super::record::{Reader, put_number, put_time};
use super::{Hits, Outcome, Verdict};
use crate::time::{Span, Timestamp};

/// The end of a denied request is reported within milliseconds, or not at all. Ten seconds for
/// each, those that are remembered with earlier ones included.
const DENIED_REMEMBERED: Span = Span::from_seconds(11);

/// Denials that come within so long are remembered together.
const DENIED_TOGETHER: Span = Span::from_seconds(1);

/// Names one lease of one counter; never given twice, also not by a counter that was forgotten
/// and began anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaseId(pub NonZeroU64);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// By id, which is the order in which they were given.
    leases: Vec<Lease>,
    /// The slots of all of them.
    held: u64,
    /// Nothing runs out before.
    first_end: Timestamp,
    last_id: NonZeroU64,
    /// Slots that were denied and whose giving back is awaited until the time beside them; of one
    /// second together, the oldest first.
    denied: Vec<(u64, Timestamp)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lease {
    id: LeaseId,
    slots: u64,
    ends: Timestamp,
}

impl State {
    pub(super) fn fresh(now: Timestamp) -> Self {
        Self {
            leases: Vec::new(),
            held: 0,
            first_end: Timestamp::from_nanos(i64::MAX),
            last_id: id_at(now),
            denied: Vec::new(),
        }
    }

    pub(super) fn is_idle(&self, now: Timestamp) -> bool {
        let is_awaiting = |(slots, until): &(u64, Timestamp)| *slots > 0 && now < *until;
        !self.denied.iter().any(is_awaiting) && self.leases.iter().all(|lease| lease.ends <= now)
    }

    /// When the last lease has run out and no denial is awaited back.
    pub(super) fn idle_at(&self) -> Timestamp {
        let ends = self.leases.iter().map(|lease| lease.ends);
        let awaited = self.denied.iter().map(|(_, until)| *until);
        ends.chain(awaited).max().unwrap_or(Timestamp::from_nanos(i64::MIN))
    }

    pub(super) fn heap_size(&self) -> usize {
        self.leases.capacity() * size_of::<Lease>()
            + self.denied.capacity() * size_of::<(u64, Timestamp)>()
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        put_number(out, self.last_id.get());
        put_number(out, self.leases.len() as u64);
        for lease in &self.leases {
            put_number(out, lease.id.0.get());
            put_number(out, lease.slots);
            put_time(out, lease.ends);
        }
        put_number(out, self.denied.len() as u64);
        for (slots, until) in &self.denied {
            put_number(out, *slots);
            put_time(out, *until);
        }
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let last_id = from.nonzero()?;
        let count = from.count(10)?;
        let mut leases: Vec<Lease> = Vec::with_capacity(count);
        for _ in 0..count {
            let id = LeaseId(from.nonzero()?);
            let lease = Lease { id, slots: from.number()?, ends: from.time()? };
            if id.0 > last_id || leases.last().is_some_and(|last| last.id >= id) {
                return None;
            }
            leases.push(lease);
        }
        let count = from.count(9)?;
        let mut denied = Vec::with_capacity(count);
        for _ in 0..count {
            denied.push((from.number()?, from.time()?));
        }
        let held = leases.iter().fold(0_u64, |held, lease| held.saturating_add(lease.slots));
        let first_end = leases.iter().map(|lease| lease.ends).min();
        let first_end = first_end.unwrap_or(Timestamp::from_nanos(i64::MAX));
        Some(Self { leases, held, first_end, last_id, denied })
    }

    /// The slots held, those that have run out and were not yet forgotten included.
    pub fn held(&self) -> u64 {
        self.held
    }

    /// The slots held now.
    pub fn held_at(&self, now: Timestamp) -> u64 {
        if now < self.first_end {
            return self.held;
        }
        let held = self.leases.iter().filter(|lease| lease.ends > now);
        held.fold(0, |held, lease| held.saturating_add(lease.slots))
    }

    /// The id given last; none that follows is as low.
    pub fn last_id(&self) -> LeaseId {
        LeaseId(self.last_id)
    }

    /// Gives no id again that was given before this counter began.
    pub fn go_on_after(&mut self, id: LeaseId) {
        self.last_id = self.last_id.max(id.0);
    }

    /// Ids stay: they only have to grow.
    pub(super) fn shift(&mut self, by_nanos: i64) {
        self.first_end = self.first_end.shifted(by_nanos);
        for lease in &mut self.leases {
            lease.ends = lease.ends.shifted(by_nanos);
        }
        for (_, until) in &mut self.denied {
            *until = until.shifted(by_nanos);
        }
    }

    /// Forgets what has run out.
    pub fn run_out(&mut self, now: Timestamp) {
        self.denied.retain(|(_, until)| now < *until);
        if now >= self.first_end {
            self.leases.retain(|lease| lease.ends > now);
            self.held = self.leases.iter().fold(0, |held, it| held.saturating_add(it.slots));
            let first = self.leases.iter().map(|lease| lease.ends).min();
            self.first_end = first.unwrap_or(Timestamp::from_nanos(i64::MAX));
        }
    }

    fn give(&mut self, slots: u64, ends: Timestamp, now: Timestamp) -> LeaseId {
        self.last_id = id_at(now).max(self.last_id.saturating_add(1));
        let id = LeaseId(self.last_id);
        self.leases.push(Lease { id, slots, ends });
        self.held = self.held.saturating_add(slots);
        self.first_end = self.first_end.min(ends);
        id
    }

    /// Ends one lease; whether it was held.
    pub fn release(&mut self, id: LeaseId) -> bool {
        let found = self.leases.binary_search_by_key(&id, |lease| lease.id);
        let lease = found.map(|place| self.leases.remove(place));
        self.held = self.held.saturating_sub(lease.map_or(0, |lease| lease.slots));
        lease.is_ok()
    }

    /// Remembers a take that was not admitted, whatever comes after it.
    pub fn deny(&mut self, slots: u64, now: Timestamp) {
        self.denied.retain(|(_, until)| now < *until);
        let until = now.plus(DENIED_REMEMBERED);
        match self.denied.last_mut() {
            Some((awaited, last)) if last.plus(DENIED_TOGETHER) > until => {
                *awaited = awaited.saturating_add(slots);
            }
            _ => self.denied.push((slots, until)),
        }
    }

    /// The oldest denials first, so that the others are awaited for as long as they may take.
    fn give_back(&mut self, slots: u64) {
        let mut left = slots;
        for (awaited, _) in &mut self.denied {
            let swallowed = left.min(*awaited);
            *awaited -= swallowed;
            left -= swallowed;
        }
        let mut ended = 0;
        for lease in &mut self.leases {
            let given = lease.slots.min(left);
            lease.slots -= given;
            self.held = self.held.saturating_sub(given);
            left -= given;
            if lease.slots > 0 {
                break;
            }
            ended += 1;
        }
        self.leases.drain(..ended);
    }

    /// When so many slots have run out, if nothing is given back.
    fn free_after(&self, slots: u64) -> Option<Timestamp> {
        let mut freed: u64 = 0;
        let mut has_freed = |lease: &Lease| {
            freed = freed.saturating_add(lease.slots);
            (freed >= slots).then_some(lease.ends)
        };
        // They end in the order in which they were given, unless their length or the clock changed.
        if self.leases.is_sorted_by_key(|lease| lease.ends) {
            return self.leases.iter().find_map(has_freed);
        }
        let mut leases = self.leases.clone();
        leases.sort_unstable_by_key(|lease| lease.ends);
        leases.iter().find_map(&mut has_freed)
    }
}

fn id_at(now: Timestamp) -> NonZeroU64 {
    let nanos = u64::try_from(now.as_nanos()).ok().and_then(NonZeroU64::new);
    nanos.unwrap_or(NonZeroU64::MIN)
}

pub(super) fn step(
    state: &mut State,
    amount: u64,
    lease: Span,
    hits: Hits,
    now: Timestamp,
) -> Outcome {
    state.run_out(now);
    let held = state.held();
    let (mut reset, mut given) = (None, None);
    let verdict = match hits {
        Hits::GiveBack(slots) => {
            state.give_back(slots);
            Verdict::Admitted
        }
        Hits::Take(slots) => {
            let after = held.checked_add(slots);
            let fits = after.is_some_and(|after| after <= amount);
            let verdict = Verdict::of_take(fits, slots, amount);
            match verdict {
                Verdict::Admitted if slots > 0 => {
                    given = Some(state.give(slots, now.plus(lease), now));
                }
                Verdict::Admitted => {}
                Verdict::OverLimit | Verdict::Paused | Verdict::Shed => {
                    reset = state
                        .free_after(after.unwrap_or(u64::MAX) - amount)
                        .map(|free| free.since(now));
                }
                Verdict::ExceedsAmount => {
                    reset = Some(state.free_after(held).map_or(Span::ZERO, |free| free.since(now)));
                }
            }
            verdict
        }
    };
    let remaining = amount.saturating_sub(state.held());
    Outcome { verdict, remaining, reset, lease: given, again: None, is_overflow: false }
}
