//! How it stands with the disk: what operators are told.
//!
//! Written by the writing thread alone. The bound is what was seen, not what is hoped for.

use crate::time::Span;

use super::{PROMISE_POWER, TURN};

/// Of so long a slow turn is remembered, once or twice.
const REMEMBERED: Span = Span::from_seconds(30);

#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Why nothing can be written, while nothing can.
    failing: Option<String>,
    /// What was found at start and kept aside.
    pub set_aside: Option<String>,
    /// When the last turn that is on disk began, on the steady clock.
    saved_at: Span,
    slowest: Slowest,
    pub file_bytes: u64,
    pub commits: u64,
    pub failures: u64,
}

/// The longest from the beginning of one turn until the next one was on disk, of late.
#[derive(Clone, Copy, Debug, Default)]
struct Slowest {
    since: Span,
    this_while: Span,
    last_while: Span,
}

impl Status {
    pub(super) fn saved(&mut self, began: Span, ended: Span) {
        // How long the disk failed is told while it does; after that it is over.
        let since = if self.is_failing() { began } else { self.saved_at };
        let could_be_lost = ended.minus(since);
        if ended.minus(self.slowest.since) > REMEMBERED {
            self.slowest.last_while = self.slowest.this_while;
            self.slowest.this_while = Span::ZERO;
            self.slowest.since = ended;
        }
        self.slowest.this_while = self.slowest.this_while.max(could_be_lost);
        self.saved_at = began;
        self.failing = None;
    }

    /// Nothing was counted before the first turn.
    pub(super) fn begin(&mut self, began: Span) {
        if self.saved_at == Span::ZERO {
            self.saved_at = began;
        }
    }

    /// Nothing had changed, so nothing could be lost.
    pub(super) fn nothing_to_save(&mut self, began: Span) {
        self.saved_at = began;
    }

    pub(super) fn failed(&mut self, why: String) {
        self.failures = self.failures.saturating_add(1);
        self.failing = Some(why);
    }

    pub(super) fn failing(&self) -> Option<&str> {
        self.failing.as_deref()
    }

    pub fn is_failing(&self) -> bool {
        self.failing.is_some()
    }

    /// The age of the oldest change that may not be on disk.
    pub fn unsaved(&self, steady: Span) -> Span {
        steady.minus(self.saved_at)
    }

    /// Nothing older than this is forgotten by a crash, as far as the last minute tells.
    pub fn loss_bound(&self, steady: Span) -> Span {
        let seen = self.slowest.this_while.max(self.slowest.last_while).max(TURN);
        match self.is_failing() {
            true => seen.max(self.unsaved(steady)),
            false => seen,
        }
    }

    /// Why counters are not as safe as promised; `None` while they are.
    pub fn degraded(&self, steady: Span) -> Option<String> {
        if let Some(why) = &self.failing {
            return Some(format!(
                "nothing can be written, so a crash forgets what is counted since, and strict \
                 rules deny: {why}"
            ));
        }
        let bound = self.loss_bound(steady);
        (bound > PROMISE_POWER)
            .then(|| format!("the disk is slow: a crash may forget the last {bound}"))
    }
}
