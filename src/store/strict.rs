//! Shards and strict rules: what is taken must be on disk before.
//!
//! A counter of a strict rule has a reserve from its first hit on, and is given up only when it is
//! idle. What an earlier process left owed is taken as soon as somebody asks for the counter, since
//! only then its limit is known.

use super::reserve::Reserve;
use super::shard::{Counter, Mark, Shard, ShortKey, held};
use crate::decide::Charge;
use crate::limit::{ChargeWhen, Hits, Outcome, Verdict};
use crate::time::{Span, Timestamp};

/// What a denial for want of a reserve says: there should be one by then.
const RESERVE_WAIT: Span = Span::from_millis(100);

impl Shard {
    /// Takes from a counter whose hits must be on disk before they are admitted.
    pub(super) fn take_strict(&mut self, charge: &Charge<'_>, now: Timestamp) -> Outcome {
        let outcome = self.take(charge, now);
        let Hits::Take(hits @ 1..) = charge.hits else { return outcome };
        if outcome.verdict.is_denial() || !self.is_journaled {
            return outcome;
        }
        self.keep(charge.counter);
        let key = ShortKey::from(charge.counter);
        let reserve = self.reserves.entry(key).or_insert_with(|| Reserve::new(charge.limit));
        if reserve.spend(charge.limit, hits, now) {
            return outcome;
        }
        match outcome.lease {
            Some(id) => {
                self.release(key, id, now);
            }
            None => self.give_back(charge, now),
        }
        self.unreserved = self.unreserved.saturating_add(1);
        let (verdict, reset) = (Verdict::OverLimit, Some(RESERVE_WAIT));
        Outcome { verdict, reset, lease: None, ..self.look(charge, now) }
    }

    /// Undoes what [`Self::take_strict`] took from the reserve.
    pub(super) fn unspend(&mut self, charge: &Charge<'_>) {
        let (key, Hits::Take(hits)) = (ShortKey::from(charge.counter), charge.hits) else { return };
        if let Some(reserve) = self.reserves.get_mut(&key) {
            reserve.unspend(hits);
        }
    }

    /// Whether the charge would be admitted and there is too little on disk for it.
    pub(super) fn lacks_reserve(&self, charge: &Charge<'_>, now: Timestamp) -> bool {
        let Hits::Take(hits @ 1..) = charge.hits else { return false };
        let reserve = self.reserves.get(&ShortKey::from(charge.counter));
        !reserve.is_some_and(|reserve| reserve.covers(hits, now)) && self.has_room(charge, now)
    }

    /// Asks that the next turn puts on disk what the charge takes; whether it would be admitted.
    pub(super) fn ask_for_reserve(&mut self, charge: &Charge<'_>, now: Timestamp) -> bool {
        let Hits::Take(hits @ 1..) = charge.hits else { return false };
        let key = ShortKey::from(charge.counter);
        // A reserve is written in place of what is owed.
        self.pay_owed(key, charge, now);
        let has_room = self.has_room(charge, now);
        if has_room {
            let reserve = self.reserves.entry(key).or_insert_with(|| Reserve::new(charge.limit));
            reserve.ask(charge.limit, hits);
            self.note_change(key);
        }
        has_room
    }

    fn has_room(&self, charge: &Charge<'_>, now: Timestamp) -> bool {
        let mut state = self.state(charge, now);
        let outcome = charge.limit.step(&mut state, charge.hits, ChargeWhen::Admitted, now);
        !outcome.verdict.is_denial()
    }

    /// Who asked for so many hits waits no longer.
    pub(super) fn forgo_reserve(&mut self, key: ShortKey, hits: u64) {
        if let Some(reserve) = self.reserves.get_mut(&key) {
            reserve.forgo(hits);
            self.note_change(key);
        }
    }

    /// Takes reserves back that nobody spends any more: what is written next owes nothing.
    pub(super) fn end_reserves(&mut self) {
        let mut keys: Vec<ShortKey> = self.reserves.drain().map(|(key, _)| key).collect();
        keys.sort_unstable();
        keys.into_iter().for_each(|key| self.note_change(key));
    }

    /// What nobody can spend any more is not to be owed by the disk either.
    pub(super) fn forget_idle_reserves(&mut self, now: Timestamp) {
        let idle = self.reserves.extract_if(|_, reserve| reserve.is_idle(now));
        let mut idle: Vec<ShortKey> = idle.map(|(key, _)| key).collect();
        idle.sort_unstable();
        idle.into_iter().for_each(|key| self.note_change(key));
    }

    /// What was written is on disk, or is not known to be.
    pub(super) fn written(&mut self, is_on_disk: bool) {
        self.reserves.values_mut().for_each(|reserve| reserve.written(is_on_disk));
    }

    /// What is owed counts from now on, wherever the line was when it was read.
    pub(super) fn owed_since(&mut self, now: Timestamp) {
        self.owed.values_mut().for_each(|owed| owed.at = now);
    }

    /// Takes what an earlier process may have admitted, as soon as the limit is known.
    #[inline]
    pub(super) fn pay_owed(&mut self, key: ShortKey, charge: &Charge<'_>, now: Timestamp) {
        if !self.owed.is_empty() {
            self.pay_owed_of(key, charge, now);
        }
    }

    fn pay_owed_of(&mut self, key: ShortKey, charge: &Charge<'_>, now: Timestamp) {
        if let Some(owed) = self.owed.remove(&key) {
            let mut state = match held(&self.counters, key) {
                Some(held) => held.state.clone(),
                None => charge.limit.fresh(owed.moment(&charge.limit, now)),
            };
            owed.pay(&mut state, &charge.limit, now);
            // Only counters of strict rules owe.
            self.put(Counter { key, mark: Mark::from_level(Mark::KEPT), state });
            self.note_change(key);
        }
    }
}
