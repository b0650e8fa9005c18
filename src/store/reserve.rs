//! Reserves of strict rules: hits that the disk counts before anybody takes them.
//!
//! What is on disk of a strict counter is its state and how many hits more may have been admitted
//! since. A take spends from that reserve, so whenever the process dies, the disk counts at least
//! what was admitted; what was reserved and not taken is lost to the caller:
//! one block, and what the requests asked for that were waiting at that moment.

use crate::limit::{Alignment, ChargeWhen, Hits, Kind, Limit, State};
use crate::time::{Span, Timestamp};

/// How long a reserve may be spent where no window says when its hits stop counting.
const SPENDABLE: Span = Span::from_seconds(60);

/// The reserve of one counter.
#[derive(Clone, Debug)]
pub(super) struct Reserve {
    limit: Limit,
    /// On disk, and not yet taken.
    credit: u64,
    /// Until when; after that what was taken might count for longer than the disk says.
    spendable_until: Timestamp,
    /// By requests that wait for the disk, or that have not yet taken what it has for them.
    asked: u64,
    writing: Option<Writing>,
}

/// A reserve on its way to the disk.
#[derive(Clone, Copy, Debug)]
struct Writing {
    hits: u64,
    spendable_until: Timestamp,
    /// Taken since, of the reserve before.
    spent: u64,
}

/// What is written beside a state: hits that may have been admitted after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owed {
    pub(super) hits: u64,
    /// When none of them counts any more.
    pub(super) until: Timestamp,
    /// No earlier than the hits were taken: when the process that read them began.
    pub(super) at: Timestamp,
}

impl Reserve {
    pub(super) fn new(limit: Limit) -> Self {
        Self {
            limit,
            credit: 0,
            spendable_until: Timestamp::from_nanos(i64::MIN),
            asked: 0,
            writing: None,
        }
    }

    /// One in a hundred of the amount, so that a crash costs its caller no more.
    fn block(&self) -> u64 {
        (self.limit.amount / 100).max(1)
    }

    /// Takes hits from what is on disk; whether there were as many.
    pub(super) fn spend(&mut self, limit: Limit, hits: u64, now: Timestamp) -> bool {
        self.limit = limit;
        if !self.covers(hits, now) {
            return false;
        }
        self.credit -= hits;
        if let Some(writing) = &mut self.writing {
            writing.spent = writing.spent.saturating_add(hits);
        }
        true
    }

    pub(super) fn covers(&self, hits: u64, now: Timestamp) -> bool {
        hits == 0 || (now < self.spendable_until && hits <= self.credit)
    }

    /// Undoes [`Self::spend`].
    pub(super) fn unspend(&mut self, hits: u64) {
        self.credit = self.credit.saturating_add(hits);
        if let Some(writing) = &mut self.writing {
            writing.spent = writing.spent.saturating_sub(hits);
        }
    }

    /// Notes that somebody waits for so many hits.
    pub(super) fn ask(&mut self, limit: Limit, hits: u64) {
        self.limit = limit;
        self.asked = self.asked.saturating_add(hits);
    }

    /// Who waited for so many hits has taken them, or has gone.
    pub(super) fn forgo(&mut self, hits: u64) {
        self.asked = self.asked.saturating_sub(hits);
    }

    /// What to write beside the state, and to spend from once that is on disk. It covers what may
    /// be taken before that is known, too.
    pub(super) fn write(&mut self, state: Option<&State>, now: Timestamp) -> Owed {
        let mut after = state.map_or_else(|| self.limit.fresh(now), State::clone);
        let seen = self.limit.step(&mut after, Hits::Take(0), ChargeWhen::Admitted, now);
        let hits = self.block().saturating_add(self.asked).min(seen.remaining);
        // What nobody came back for is not held any longer: a crash would cost it.
        let left = if now < self.spendable_until { self.credit } else { 0 };
        self.credit = left.min(hits);
        self.limit.step(&mut after, Hits::Take(hits), ChargeWhen::Always, now);
        let (spendable_until, until) = match self.limit.kind {
            // Of the next window the disk will know nothing.
            Kind::Fixed(window) if window.alignment != Alignment::FirstHit => {
                (after.idle_at(), after.idle_at())
            }
            _ => (now.plus(SPENDABLE), after.idle_at().max(now).plus(SPENDABLE)),
        };
        self.writing = Some(Writing { hits, spendable_until, spent: 0 });
        Owed { hits, until, at: now }
    }

    /// What was on its way is on disk, or is not known to be.
    pub(super) fn written(&mut self, is_on_disk: bool) {
        let Some(writing) = self.writing.take() else { return };
        if is_on_disk {
            self.credit = writing.hits.saturating_sub(writing.spent);
            self.spendable_until = writing.spendable_until;
        }
    }

    pub(super) fn is_idle(&self, now: Timestamp) -> bool {
        self.asked == 0 && self.writing.is_none() && now >= self.spendable_until
    }

    pub(super) fn shift(&mut self, by: i64) {
        self.spendable_until = self.spendable_until.shifted(by);
        if let Some(writing) = &mut self.writing {
            writing.spendable_until = writing.spendable_until.shifted(by);
        }
    }
}

impl Owed {
    /// When they are taken to have been taken. A window that begins with the first hit must not have
    /// begun before anybody asked: it would end before that of a hit that is admitted now.
    pub(super) fn moment(&self, limit: &Limit, now: Timestamp) -> Timestamp {
        match limit.window() {
            Some(window) if window.alignment == Alignment::FirstHit => self.at.max(now),
            _ => self.at,
        }
    }

    /// Takes them from a counter that was read from disk.
    pub(super) fn pay(&self, state: &mut State, limit: &Limit, now: Timestamp) {
        let (mut hits, at) = (self.hits, self.moment(limit, now));
        if limit.kind.is_concurrent() {
            let seen = limit.step(state, Hits::Take(0), ChargeWhen::Admitted, at);
            hits = hits.min(seen.remaining);
        }
        limit.step(state, Hits::Take(hits), ChargeWhen::Always, at);
    }

    pub(super) fn is_settled(&self, now: Timestamp) -> bool {
        now >= self.until
    }

    pub(super) fn shift(&mut self, by: i64) {
        self.until = self.until.shifted(by);
        self.at = self.at.shifted(by);
    }
}
