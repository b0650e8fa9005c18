//! What was admitted of one counter, and when: the promises of each kind, without its arithmetic.
//!
//! Times are those of [`Moment::judged`], which no step of the wall clock moves. Nothing in here
//! knows a state or a step of a limit.

use super::policies::{Kind, Limit, MONTH};
use super::{Judged, ensure};
use crate::limit::LeaseId;

const SECOND: i64 = 1_000_000_000;

/// A moment, as told by everybody.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moment {
    /// The line of time.
    pub(super) line: i64,
    /// The line, without the steps that were followed. It stands still while nobody runs, but for
    /// what the wall clock says has passed since.
    pub(super) judged: i64,
    /// The same by the time since boot.
    pub(super) real: i64,
    /// Counts the moves of the line, and where it was after the last.
    pub(super) moves: u32,
    pub(super) moved_to: i64,
}

#[derive(Clone, Debug)]
struct Entry {
    judged: i64,
    hits: u64,
}

#[derive(Clone, Debug)]
struct Slots {
    id: Option<LeaseId>,
    slots: u64,
    ends: i64,
}

/// All that one counter admitted.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    entries: Vec<Entry>,
    slots: Vec<Slots>,
    /// Of a bucket, in nanoseconds of its window.
    level: i128,
    amount_max: u64,
    burst_max: u64,
    /// Move, number of the window, hits.
    window: (u32, i64, u64),
    first_hit: (i64, u64),
    begun: Option<Moment>,
    /// Given back, or counted though denied: what is admitted is no longer all that counts.
    is_loose: bool,
    total: u64,
}

impl Ledger {
    pub(super) fn new(is_loose: bool) -> Self {
        Self { is_loose, ..Self::default() }
    }

    /// The same counter, as if nothing had been admitted.
    pub(super) fn anew(&self) -> Self {
        Self::new(self.is_loose)
    }

    /// A bucket drains at the rate that it is asked with, also when it denies.
    pub(super) fn meet(&mut self, limit: &Limit) {
        self.amount_max = self.amount_max.max(limit.amount);
        self.burst_max = self.burst_max.max(limit.capacity());
    }

    /// Notes what was admitted; an error where that is more than is promised.
    pub(super) fn admit(
        &mut self,
        limit: &Limit,
        (hits, lease): (u64, Option<LeaseId>),
        at: Moment,
    ) -> Judged {
        if hits == 0 {
            return Ok(());
        }
        let passed = at.judged - self.entries.last().map_or(at.judged, |last| last.judged);
        self.entries.push(Entry { judged: at.judged, hits });
        self.total += hits;
        self.meet(limit);
        let span = limit.seconds.cast_signed() * SECOND;
        match limit.kind {
            _ if self.is_loose && limit.kind != Kind::Concurrent => {}
            Kind::Fixed => self.fixed(limit, hits, at)?,
            Kind::FirstHit => {
                if at.judged >= self.first_hit.0 + span || self.first_hit.1 == 0 {
                    self.first_hit = (at.judged, 0);
                }
                self.first_hit.1 += hits;
                let used = self.first_hit.1;
                ensure!(used <= limit.amount, "{used} in a window from the first hit: {limit:?}");
            }
            Kind::Rolling => {
                let counts = self.entries.iter().rev();
                let counts = counts.take_while(|entry| entry.judged > at.judged - span);
                let used: u64 = counts.map(|entry| entry.hits).sum();
                ensure!(used <= limit.amount, "{used} within a rolling window: {limit:?}");
            }
            Kind::Bucket { .. } => {
                let drained = i128::from(passed) * i128::from(self.amount_max);
                self.level = (self.level - drained).max(0) + i128::from(hits) * i128::from(span);
                let most = i128::from(self.burst_max) * i128::from(span);
                ensure!(self.level <= most, "more than burst and rate: {limit:?}");
            }
            Kind::Concurrent => {
                self.slots.retain(|held| held.ends > at.judged);
                self.slots.push(Slots { id: lease, slots: hits, ends: at.judged + span });
                let held: u64 = self.slots.iter().map(|held| held.slots).sum();
                ensure!(held <= limit.amount, "{held} slots held: {limit:?}");
            }
        }
        Ok(())
    }

    /// Never more than the amount in one window by the clock, but around a move of the line.
    fn fixed(&mut self, limit: &Limit, hits: u64, at: Moment) -> Judged {
        if limit.seconds == MONTH {
            return Ok(());
        }
        let span = limit.seconds.cast_signed() * SECOND;
        let number = at.line.div_euclid(span);
        if (self.window.0, self.window.1) != (at.moves, number) {
            self.window = (at.moves, number, 0);
        }
        self.window.2 += hits;
        let used = self.window.2;
        let is_settled = at.moves == 0 || number > at.moved_to.div_euclid(span) + 1;
        ensure!(!is_settled || used <= limit.amount, "{used} in one window: {limit:?}");
        // What the clock promises over any number of moves.
        let begun = *self.begun.get_or_insert(at);
        let real = i128::from(at.real - begun.real);
        let slack = real / 100 + i128::from(at.moves - begun.moves) * i128::from(span) / 16;
        let windows = (real + slack) / i128::from(span) + 3;
        let most = i128::from(self.amount_max) * windows;
        let total = self.total;
        ensure!(i128::from(total) <= most, "{total} of {most} in {windows} windows: {limit:?}");
        Ok(())
    }

    pub(super) fn release(&mut self, id: LeaseId) {
        self.slots.retain(|held| held.id != Some(id));
    }

    /// Of slots without a name the oldest come back.
    pub(super) fn give_back(&mut self, hits: u64) {
        self.is_loose = true;
        let mut left = hits;
        for held in &mut self.slots {
            let given = held.slots.min(left);
            held.slots -= given;
            left -= given;
        }
        self.slots.retain(|held| held.slots > 0);
    }
}
