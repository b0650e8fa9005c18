//! How much, how fast: the state and the arithmetic of one limit.
//!
//! Every algorithm is a pure function of its state, the hits and `now`. What the caller of one
//! may rely on: an admitted take never brings a counter above what the kind allows, and the wait
//! of a denial is the time at which the same take, alone, is admitted.

pub mod concurrent;
pub mod fixed_window;
pub mod pausing;
pub mod record;
pub mod rolling_window;
mod share;
#[cfg(test)]
mod tests;
pub mod token_bucket;
pub mod window;

use std::fmt;

use crate::time::{Span, Timestamp};

pub use concurrent::LeaseId;
pub use share::Share;
pub use window::{Alignment, Anchor, Unit, Window, WindowIdentity, Zone};

/// An amount and how it is counted. The amount is not part of a counter's identity, so changing it keeps
/// what has been used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limit {
    pub amount: u64,
    pub kind: Kind,
    /// Once denied, stay denied until usage is under this share of the amount.
    pub resume_below: Option<Share>,
}

/// Window and kind, without the amount; part of a counter's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LimitIdentity {
    /// `None` for concurrency, which has no window.
    pub window: Option<WindowIdentity>,
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
    Fixed(Window),
    /// Never more than the amount in any interval of the window's length.
    Rolling(Window),
    /// The amount flows back evenly; up to `burst` hits at once.
    Bucket { window: Window, burst: u64 },
    /// Never more than the amount held at a time; what is not given back runs out after `lease`.
    Concurrent { lease: Span },
}

impl Kind {
    /// What a policy calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fixed(_) => "fixed",
            Self::Rolling(_) => "rolling",
            Self::Bucket { .. } => "bucket",
            Self::Concurrent { .. } => "concurrent",
        }
    }

    pub const fn window(self) -> Option<Window> {
        match self {
            Self::Fixed(window) | Self::Rolling(window) | Self::Bucket { window, .. } => {
                Some(window)
            }
            Self::Concurrent { .. } => None,
        }
    }

    pub const fn is_concurrent(self) -> bool {
        matches!(self, Self::Concurrent { .. })
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
    Concurrent(concurrent::State),
    /// Of a limit with `resume_below`, whatever its kind.
    Pausing(pausing::State),
}

/// Whether a denied take counts all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChargeWhen {
    /// Only what is admitted counts: a denied request takes nothing.
    Admitted,
    /// Every hit counts, so a caller that hammers stays blocked until its window ends. What is
    /// held at a time is taken only by who is admitted, whatever this says.
    Always,
}

/// What one limit says to one charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub verdict: Verdict,
    /// What is left of the amount after this charge.
    pub remaining: u64,
    /// Of a denial: until this very charge would be admitted. Else: until the whole amount is
    /// free again if nothing more comes; `None` where only those who hold it know.
    pub reset: Option<Span>,
    /// What an admitted take of a concurrency limit is given back by.
    pub lease: Option<LeaseId>,
    /// Of a charge with room that counts although its request is denied: until there is room for
    /// the same charge again, where there is none now.
    pub again: Option<Span>,
    /// Counted together with other new counters of its rule, for want of room for its own.
    pub is_overflow: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Admitted,
    /// No room now; there will be after `reset`.
    OverLimit,
    /// More hits than the whole amount: such a charge never fits.
    ExceedsAmount,
    /// Denied before, and usage is not yet below the share at which it goes on.
    Paused,
    /// The service behind has no room for anybody; no limit says so of one caller.
    Shed,
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
            Self::OverLimit | Self::ExceedsAmount | Self::Paused | Self::Shed => true,
        }
    }
}

impl Limit {
    pub const fn new(amount: u64, kind: Kind) -> Self {
        Self { amount, kind, resume_below: None }
    }

    pub const fn window(&self) -> Option<Window> {
        self.kind.window()
    }

    /// The most that is ever used at once.
    pub const fn capacity(&self) -> u64 {
        match self.kind {
            Kind::Bucket { burst, .. } => burst,
            Kind::Fixed(_) | Kind::Rolling(_) | Kind::Concurrent { .. } => self.amount,
        }
    }

    /// What makes two limits of one rule the same counter.
    pub fn identity(&self) -> LimitIdentity {
        LimitIdentity { window: self.window().map(Window::identity), kind: self.kind.name() }
    }

    /// A counter that nothing has been taken from.
    pub fn fresh(&self, now: Timestamp) -> State {
        let state = match self.kind {
            Kind::Fixed(window) => State::Fixed(fixed_window::State::fresh(window, now)),
            Kind::Rolling(_) => LargeState::Rolling(rolling_window::State::default()).boxed(),
            Kind::Bucket { .. } => LargeState::Bucket(token_bucket::State::fresh(now)).boxed(),
            Kind::Concurrent { .. } => {
                LargeState::Concurrent(concurrent::State::fresh(now)).boxed()
            }
        };
        match self.resume_below {
            Some(_) => LargeState::Pausing(pausing::State::of(state)).boxed(),
            None => state,
        }
    }

    /// Takes `hits` from `state` (or gives them back) and says how that went. With
    /// [`ChargeWhen::Admitted`] a denied take leaves the usage as it was.
    #[inline]
    pub fn step(&self, state: &mut State, hits: Hits, when: ChargeWhen, now: Timestamp) -> Outcome {
        match (self, &mut *state) {
            (
                Self { amount, kind: Kind::Fixed(window), resume_below: None },
                State::Fixed(state),
            ) => fixed_window::step(state, *amount, *window, hits, when, now),
            _ => self.step_large(state, hits, when, now),
        }
    }

    fn step_large(
        &self,
        state: &mut State,
        hits: Hits,
        when: ChargeWhen,
        now: Timestamp,
    ) -> Outcome {
        if let Some(share) = self.resume_below {
            return self.step_pausing(state, share, hits, when, now);
        }
        pausing::State::let_go(state);
        let Self { amount, kind, .. } = *self;
        match (kind, &mut *state) {
            (Kind::Fixed(window), State::Fixed(state)) => {
                return fixed_window::step(state, amount, window, hits, when, now);
            }
            (_, State::Fixed(_)) => {}
            (kind, State::Large(large)) => match (kind, large.as_mut()) {
                (Kind::Rolling(window), LargeState::Rolling(state)) => {
                    return rolling_window::step(state, amount, window, hits, when, now);
                }
                (Kind::Bucket { window, burst }, LargeState::Bucket(state)) => {
                    let bucket = token_bucket::Bucket { amount, window, burst };
                    return token_bucket::step(state, bucket, hits, when, now);
                }
                (Kind::Concurrent { lease }, LargeState::Concurrent(state)) => {
                    return concurrent::step(state, amount, lease, hits, now);
                }
                (
                    Kind::Fixed(_)
                    | Kind::Rolling(_)
                    | Kind::Bucket { .. }
                    | Kind::Concurrent { .. },
                    _,
                ) => {}
            },
        }
        debug_assert!(false, "a counter's key holds its kind");
        *state = self.fresh(now);
        self.step(state, hits, when, now)
    }

    fn step_pausing(
        &self,
        state: &mut State,
        share: Share,
        hits: Hits,
        when: ChargeWhen,
        now: Timestamp,
    ) -> Outcome {
        let plain = Self { resume_below: None, ..*self };
        if let State::Large(large) = state
            && let LargeState::Pausing(held) = large.as_mut()
        {
            return pausing::step(held, plain, share, hits, when, now);
        }
        // From before the rule paused: what has been used stays.
        let nothing = LargeState::Rolling(rolling_window::State::default()).boxed();
        let mut held = pausing::State::of(std::mem::replace(state, nothing));
        let outcome = pausing::step(&mut held, plain, share, hits, when, now);
        *state = LargeState::Pausing(held).boxed();
        outcome
    }
}

impl LargeState {
    fn heap_size(&self) -> usize {
        match self {
            Self::Rolling(state) => state.heap_size(),
            Self::Bucket(_) => 0,
            Self::Concurrent(state) => state.heap_size(),
            Self::Pausing(state) => state.held_state().heap_size(),
        }
    }

    fn boxed(self) -> State {
        State::Large(Box::new(self))
    }
}

/// As a policy writes it: `100/minute`, `100 per 10 seconds, rolling`.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(window) = self.window() {
            let per = if window.count.get() == 1 { "/" } else { " per " };
            write!(f, "{}{per}{window}", self.amount)?;
        }
        match self.kind {
            Kind::Fixed(_) => {}
            Kind::Rolling(_) => f.write_str(", rolling")?,
            Kind::Bucket { burst, .. } => write!(f, ", bucket with burst {burst}")?,
            Kind::Concurrent { lease } => {
                write!(f, "{} at a time, each for {lease} at most", self.amount)?;
            }
        }
        match self.resume_below {
            Some(share) => write!(f, ", once denied until below {share}"),
            None => Ok(()),
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
                LargeState::Concurrent(state) => state.is_idle(now),
                LargeState::Pausing(state) => state.is_idle(now),
            },
        }
    }

    /// Moves all times along with a clock that has been set: what is used stays used for as long
    /// as it would have been.
    pub fn shift(&mut self, by_nanos: i64) {
        match self {
            Self::Fixed(state) => state.shift(by_nanos),
            Self::Large(large) => match large.as_mut() {
                LargeState::Rolling(state) => state.shift(by_nanos),
                LargeState::Bucket(state) => state.shift(by_nanos),
                LargeState::Concurrent(state) => state.shift(by_nanos),
                LargeState::Pausing(state) => state.inner().shift(by_nanos),
            },
        }
    }

    /// When [`Self::is_idle`] begins to hold, if nothing more comes.
    pub fn idle_at(&self) -> Timestamp {
        match self {
            Self::Fixed(state) => state.window_end(),
            Self::Large(large) => match large.as_ref() {
                LargeState::Rolling(state) => state.idle_at(),
                LargeState::Bucket(state) => state.idle_at(),
                LargeState::Concurrent(state) => state.idle_at(),
                LargeState::Pausing(state) => state.held_state().idle_at(),
            },
        }
    }

    /// Bytes of memory besides those of this value itself.
    #[inline]
    pub fn heap_size(&self) -> usize {
        match self {
            Self::Fixed(_) => 0,
            Self::Large(large) => size_of::<LargeState>() + large.heap_size(),
        }
    }

    /// The slots held now of a concurrency limit, and the id given last; `None` of other limits.
    pub fn slots_held(&self, now: Timestamp) -> Option<(u64, LeaseId)> {
        let Self::Large(large) = self else { return None };
        match large.as_ref() {
            LargeState::Concurrent(state) => Some((state.held_at(now), state.last_id())),
            LargeState::Pausing(state) => state.held_state().slots_held(now),
            LargeState::Rolling(_) | LargeState::Bucket(_) => None,
        }
    }

    /// The leases, where this is of a concurrency limit.
    pub fn leases(&mut self) -> Option<&mut concurrent::State> {
        let Self::Large(large) = self else { return None };
        match large.as_mut() {
            LargeState::Concurrent(state) => Some(state),
            LargeState::Pausing(state) => state.inner().leases(),
            LargeState::Rolling(_) | LargeState::Bucket(_) => None,
        }
    }
}
