//! Token bucket: the amount flows back evenly over the window, up to a burst.
//!
//! State: tokens used, in whole tokens and fractions of one, and when that was so (32 bytes). A
//! bucket drains `amount` tokens per window without pause, so in any interval t at most
//! burst + amount x t / window hits are admitted. Fractions are counted in units of
//! 1 / window-in-nanoseconds of a token: nothing is rounded, and the state does not depend on the
//! amount, so changing that keeps what is used. The theory is that of the generic cell rate
//! algorithm (ITU-T I.371), told as a level instead of an arrival time.

use super::record::{Reader, put_number, put_time};
use super::{ChargeWhen, Hits, Outcome, Verdict, Window};
use crate::time::{Span, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    used: u64,
    /// Of one token, in units of 1 / window-in-nanoseconds; less than one token.
    fraction: u64,
    /// When the level above was right; goes back only with the clock itself.
    at: Timestamp,
    /// When nothing is left of it, if nothing more comes.
    empties_at: Timestamp,
}

/// A bucket as configured.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    pub amount: u64,
    pub window: Window,
    pub burst: u64,
}

impl State {
    pub fn fresh(now: Timestamp) -> Self {
        Self { used: 0, fraction: 0, at: now, empties_at: now }
    }

    pub fn is_idle(&self, now: Timestamp) -> bool {
        now >= self.empties_at
    }

    pub(super) const fn idle_at(&self) -> Timestamp {
        self.empties_at
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        put_number(out, self.used);
        put_number(out, self.fraction);
        put_time(out, self.at);
        put_time(out, self.empties_at);
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let (used, fraction) = (from.number()?, from.number()?);
        Some(Self { used, fraction, at: from.time()?, empties_at: from.time()? })
    }

    pub(super) fn shift(&mut self, by_nanos: i64) {
        self.at = self.at.shifted(by_nanos);
        self.empties_at = self.empties_at.shifted(by_nanos);
    }

    /// The level in units of 1 / window-in-nanoseconds of a token.
    fn level(&self, window: u128) -> u128 {
        u128::from(self.used) * window + u128::from(self.fraction)
    }

    fn set_level(&mut self, level: u128, window: u128) {
        self.used = u64::try_from(level / window).unwrap_or(u64::MAX);
        self.fraction = u64::try_from(level % window).unwrap_or(u64::MAX);
    }

    fn drain(&mut self, bucket: Bucket, now: Timestamp) {
        let drained = u128::from(now.since(self.at).as_nanos()) * u128::from(bucket.amount);
        let window = bucket.window_nanos();
        self.set_level(self.level(window).saturating_sub(drained), window);
        self.at = self.at.max(now);
    }
}

impl Bucket {
    fn window_nanos(self) -> u128 {
        u128::from(self.window.nominal_span().as_nanos())
    }

    /// How long until `excess` (in the units of a level) has drained; no sooner.
    fn time_to_drain(self, excess: u128) -> Span {
        let nanos = match u128::from(self.amount) {
            0 if excess > 0 => u128::MAX,
            amount => excess.div_ceil(amount.max(1)),
        };
        Span::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

pub fn step(
    state: &mut State,
    bucket: Bucket,
    hits: Hits,
    when: ChargeWhen,
    now: Timestamp,
) -> Outcome {
    state.drain(bucket, now);
    let window = bucket.window_nanos();
    let verdict = match hits {
        Hits::GiveBack(hits) => {
            let level = state.level(window).saturating_sub(u128::from(hits) * window);
            state.set_level(level, window);
            Verdict::Admitted
        }
        Hits::Take(hits) => take(state, bucket, hits, when),
    };
    let level = state.level(window);
    let capacity = u128::from(bucket.burst) * window;
    // A clock that stepped back waits until it is again where the level was right.
    state.empties_at = state.at.plus(bucket.time_to_drain(level));
    let free_at = match (verdict, hits) {
        (Verdict::OverLimit, Hits::Take(hits)) => {
            let excess = (level + u128::from(hits) * window).saturating_sub(capacity);
            state.at.plus(bucket.time_to_drain(excess))
        }
        (Verdict::OverLimit, Hits::GiveBack(_))
        | (Verdict::Admitted | Verdict::ExceedsAmount | Verdict::Paused | Verdict::Shed, _) => {
            state.empties_at
        }
    };
    let remaining = capacity.saturating_sub(level) / window;
    Outcome {
        verdict,
        remaining: u64::try_from(remaining).unwrap_or(u64::MAX),
        reset: Some(free_at.since(now)),
        lease: None,
        again: None,
        is_overflow: false,
    }
}

fn take(state: &mut State, bucket: Bucket, hits: u64, when: ChargeWhen) -> Verdict {
    let window = bucket.window_nanos();
    let after = state.level(window) + u128::from(hits) * window;
    let fits = after <= u128::from(bucket.burst) * window;
    let verdict = Verdict::of_take(fits, hits, bucket.burst);
    if verdict.counts(when) {
        state.set_level(after, window);
    }
    verdict
}
