//! How much, how fast: the state and the arithmetic of one limit.
//!
//! Every algorithm is a pure function of its state, the hits and `now`. What the caller of one
//! may rely on: an admitted take never brings a counter above what the kind allows, and the wait
//! of a denial is the time at which the same take, alone, is admitted.

pub mod fixed_window;
pub mod rolling_window;
#[cfg(test)]
mod tests;
pub mod token_bucket;
pub mod window;

use std::fmt;

use crate::time::{Span, Timestamp};

pub use window::{Alignment, Anchor, Unit, Window, WindowIdentity, Zone};

/// An amount per window and how it is counted. The amount is not part of a counter's identity, so changing it keeps
/// what has been used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limit {
    pub amount: u64,
    pub window: Window,
    pub kind: Kind,
}

/// Window and kind, without the amount; part of a counter's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LimitIdentity {
    pub window: WindowIdentity,
    pub kind: &'static str,
}

/// How much is taken from a counter, or given back. `Take(0)` looks without counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hits {
    Take(u64),
    GiveBack(u64),
}

/// How a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Windows aligned to the clock; never more than the amount in one of them.
    Fixed,
    /// Never more than the amount in any interval of the window's length.
    Rolling,
    /// The amount flows back evenly; up to `burst` hits at once.
    Bucket { burst: u64 },
}

impl Kind {
    /// What a policy calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Rolling => "rolling",
            Self::Bucket { .. } => "bucket",
        }
    }
}

/// What is stored for one limit and one set of attribute values. The kind is part of a counter's
/// identity, so a limit only meets states of its own kind. Larger states stand apart, because most
/// counters are of fixed windows: those take 16 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Fixed(fixed_window::State),
    Large(Box<LargeState>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LargeState {
    Rolling(rolling_window::State),
    Bucket(token_bucket::State),
}

/// Whether a denied take counts all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChargeWhen {
    /// Only what is admitted counts: a denied request takes nothing.
    Admitted,
    /// Every hit counts, so a caller that hammers stays blocked until its window ends.
    Always,
}

/// What one limit says to one charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub verdict: Verdict,
    /// What is left of the amount after this charge.
    pub remaining: u64,
    /// Of a denial: until this very charge would be admitted. Else: until the whole amount is
    /// free again if nothing more comes.
    pub reset: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Admitted,
    /// No room now; there will be after `reset`.
    OverLimit,
    /// More hits than the whole amount: such a charge never fits.
    ExceedsAmount,
}

impl Verdict {
    /// Of a take of `hits` where `capacity` is the most that ever fits.
    fn of_take(fits: bool, hits: u64, capacity: u64) -> Self {
        match fits {
            true => Self::Admitted,
            false if hits > capacity => Self::ExceedsAmount,
            false => Self::OverLimit,
        }
    }

    /// Whether the hits of a take are counted.
    fn counts(self, when: ChargeWhen) -> bool {
        match when {
            ChargeWhen::Admitted => !self.is_denial(),
            ChargeWhen::Always => true,
        }
    }

    pub fn is_denial(self) -> bool {
        match self {
            Self::Admitted => false,
            Self::OverLimit | Self::ExceedsAmount => true,
        }
    }
}

impl Limit {
    /// What makes two limits of one rule the same counter.
    pub fn identity(&self) -> LimitIdentity {
        LimitIdentity { window: self.window.identity(), kind: self.kind.name() }
    }

    /// A counter that nothing has been taken from.
    pub fn fresh(&self, now: Timestamp) -> State {
        match self.kind {
            Kind::Fixed => State::Fixed(fixed_window::State::fresh(self.window, now)),
            Kind::Rolling => LargeState::Rolling(rolling_window::State::default()).boxed(),
            Kind::Bucket { .. } => LargeState::Bucket(token_bucket::State::fresh(now)).boxed(),
        }
    }

    /// Takes `hits` from `state` (or gives them back) and says how that went. With
    /// [`ChargeWhen::Admitted`] a denied take leaves the usage as it was.
    pub fn step(&self, state: &mut State, hits: Hits, when: ChargeWhen, now: Timestamp) -> Outcome {
        let Self { amount, window, kind } = *self;
        let large = match (kind, &mut *state) {
            (Kind::Fixed, State::Fixed(state)) => {
                return fixed_window::step(state, amount, window, hits, when, now);
            }
            (_, State::Fixed(_)) => None,
            (_, State::Large(large)) => Some(large.as_mut()),
        };
        match (kind, large) {
            (Kind::Rolling, Some(LargeState::Rolling(state))) => {
                rolling_window::step(state, amount, window, hits, when, now)
            }
            (Kind::Bucket { burst }, Some(LargeState::Bucket(state))) => {
                let bucket = token_bucket::Bucket { amount, window, burst };
                token_bucket::step(state, bucket, hits, when, now)
            }
            (Kind::Fixed | Kind::Rolling | Kind::Bucket { .. }, _) => {
                debug_assert!(false, "a counter's key holds its kind");
                *state = self.fresh(now);
                self.step(state, hits, when, now)
            }
        }
    }
}

impl LargeState {
    fn boxed(self) -> State {
        State::Large(Box::new(self))
    }
}

/// As a policy writes it: `100/minute`, `100 per 10 seconds, rolling`.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = if self.window.count.get() == 1 { "/" } else { " per " };
        write!(f, "{}{per}{}", self.amount, self.window)?;
        match self.kind {
            Kind::Fixed => Ok(()),
            Kind::Rolling => f.write_str(", rolling"),
            Kind::Bucket { burst } => write!(f, ", bucket with burst {burst}"),
        }
    }
}

impl State {
    /// Whether the state says no more than a fresh one would, so that it can be forgotten.
    pub fn is_idle(&self, now: Timestamp) -> bool {
        match self {
            Self::Fixed(state) => state.is_idle(now),
            Self::Large(large) => match large.as_ref() {
                LargeState::Rolling(state) => state.is_idle(now),
                LargeState::Bucket(state) => state.is_idle(now),
            },
        }
    }
}
