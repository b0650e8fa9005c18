//! How much, how fast: the state and the arithmetic of one limit.
//!
//! Every algorithm is a pure function of its state, the hits and `now`. What the caller of one
//! may rely on: an admitted take never brings a counter above what the kind allows, and the wait
//! of a denial is the time at which the same take, alone, is admitted.

pub mod fixed_window;
#[cfg(test)]
mod tests;
pub mod window;

use crate::time::{Span, Timestamp};

pub use window::{Alignment, Unit, Window, WindowIdentity};

/// An amount per window. The amount is not part of a counter's identity, so changing it keeps
/// what has been used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limit {
    pub amount: u64,
    pub window: Window,
    pub kind: Kind,
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
}

/// What is stored for one limit and one set of attribute values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Fixed(fixed_window::State),
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
    pub fn is_denial(self) -> bool {
        match self {
            Self::Admitted => false,
            Self::OverLimit | Self::ExceedsAmount => true,
        }
    }
}

impl Limit {
    /// A counter that nothing has been taken from.
    pub fn fresh(&self, now: Timestamp) -> State {
        match self.kind {
            Kind::Fixed => State::Fixed(fixed_window::State::fresh(self.window, now)),
        }
    }

    /// Takes `hits` from `state` (or gives them back) and says how that went. With
    /// [`ChargeWhen::Admitted`] a denied take leaves the usage as it was.
    pub fn step(&self, state: &mut State, hits: Hits, when: ChargeWhen, now: Timestamp) -> Outcome {
        match (self.kind, state) {
            (Kind::Fixed, State::Fixed(state)) => {
                fixed_window::step(state, self.amount, self.window, hits, when, now)
            }
        }
    }
}

impl State {
    /// Whether the state says no more than a fresh one would, so that it can be forgotten.
    pub fn is_idle(&self, now: Timestamp) -> bool {
        match self {
            Self::Fixed(state) => state.is_idle(now),
        }
    }
}
