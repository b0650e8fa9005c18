//! What is counted, and into which stretch of time.
//!
//! Sums saturate, so they come out alike in whatever order and grouping they are made.

use crate::decide::{RuleCode, RuleOutcome};
use crate::time::Timestamp;

/// Hits of one series in one stretch of time, or in several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Of requests that were let through.
    pub admitted: u64,
    /// That the rule denied. What another rule denied is in neither.
    pub denied: u64,
    /// That the rule would have denied, were it enforced. Those that were let through all the same
    /// are admitted too.
    pub shadow_denied: u64,
    /// The most that was used of a limit, in basis points; 10,000 is all of it.
    pub peak: u16,
}

impl Tally {
    /// What one outcome counts; `None` for nothing at all.
    pub(super) fn of(outcome: &RuleOutcome<'_>, is_let_through: bool) -> Option<Self> {
        let hits = outcome.hits;
        let counted = Self { peak: outcome.peak, ..Self::default() };
        match outcome.code {
            RuleCode::Ok => Some(Self { admitted: hits, ..counted }),
            RuleCode::OverLimit => Some(Self { denied: hits, ..counted }),
            RuleCode::ShadowOverLimit => {
                let admitted = if is_let_through { hits } else { 0 };
                Some(Self { admitted, shadow_denied: hits, ..counted })
            }
            RuleCode::DeniedElsewhere => None,
        }
    }

    pub fn add(&mut self, other: Self) {
        self.admitted = self.admitted.saturating_add(other.admitted);
        self.denied = self.denied.saturating_add(other.denied);
        self.shadow_denied = self.shadow_denied.saturating_add(other.shadow_denied);
        self.peak = self.peak.max(other.peak);
    }

    /// Of two states of one tally, which only ever grows, the later one.
    pub(super) fn keep_later(&mut self, other: Self) {
        self.admitted = self.admitted.max(other.admitted);
        self.denied = self.denied.max(other.denied);
        self.shadow_denied = self.shadow_denied.max(other.shadow_denied);
        self.peak = self.peak.max(other.peak);
    }

    /// What earns a series its name.
    pub(super) fn hits(self) -> u64 {
        self.admitted.saturating_add(self.denied).max(self.shadow_denied)
    }
}

/// A tally of one minute, hour or day, all in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// How many of its kind have passed since the epoch.
    pub number: u32,
    pub tally: Tally,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resolution {
    Minute,
    Hour,
    Day,
}

impl Resolution {
    /// Each at the position that it is as a number.
    pub const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    pub const fn seconds(self) -> u32 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }

    /// Slots that are kept together in one row. Where there is a coarser resolution, they make one
    /// slot of it.
    pub(super) const fn strip_len(self) -> u32 {
        match self {
            Self::Minute => 60,
            Self::Hour => 24,
            Self::Day => 32,
        }
    }

    pub(super) const fn strip_of(self, number: u32) -> u32 {
        number / self.strip_len()
    }

    /// The slot that a minute lies in.
    pub(super) const fn number_at(self, minute: u32) -> u32 {
        minute / (self.seconds() / 60)
    }

    pub(super) const fn coarser(self) -> Option<Self> {
        match self {
            Self::Minute => Some(Self::Hour),
            Self::Hour => Some(Self::Day),
            Self::Day => None,
        }
    }

    /// Seconds from the epoch to the begin of a slot.
    pub fn begin(self, number: u32) -> i64 {
        i64::from(number) * i64::from(self.seconds())
    }

    /// The slot that a moment lies in; before the epoch the first, in the far future the last.
    pub fn slot_at(self, at: Timestamp) -> u32 {
        let seconds = at.seconds_floor().max(0) / i64::from(self.seconds());
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }
}
