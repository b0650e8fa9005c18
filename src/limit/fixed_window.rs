//! Fixed windows: hits counted per window aligned to the clock.
//!
//! State: the end of the window the count belongs to, and the count (16 bytes). A take fits when
//! used + hits <= amount, so in no window is more than the amount admitted; over a boundary a
//! caller can take one amount just before it and one just after. `now` never moves the held window
//! back: when it is behind, the window goes on counting until its own end. A window that begins
//! with the first hit begins when the count is no longer zero.
//!
//! When a step of the clock is followed, the end moves along, so nothing ends sooner or later than
//! it would have. The clock then reads something else at that end. Where it is within a sixteenth
//! of a window from where one ends by the clock, that is taken for the end: such a step leaves
//! windows in their places, and shortens one of them by a sixteenth at most. Where it is not, the
//! window after the held one is a long one, never a short one: it ends with the second end by the
//! clock.

use std::num::{NonZeroI64, NonZeroU64};

use super::record::{Reader, put_number, put_time};
use super::{ChargeWhen, Hits, Outcome, Verdict, Window};
use crate::time::{Span, Timestamp};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Nanoseconds since the epoch; never zero, which leaves room to tell kinds of states apart
    /// without a byte more. A window that ends with 1969 ends a nanosecond late. Ends by the clock
    /// are whole seconds, so the two lowest bits are zero; see [`SHIFTED`] and [`OFF`].
    window_end: NonZeroI64,
    used: u64,
}

/// Set in an end that was moved and not looked at since.
const SHIFTED: i64 = 0b01;
/// Set in an end that was looked at and is not one by the clock.
const OFF: i64 = 0b10;

/// How much of a window a step of the clock may take or add.
const SLACK: u64 = 16;

impl State {
    pub fn fresh(window: Window, now: Timestamp) -> Self {
        Self { window_end: non_zero(window.end(now).as_nanos()), used: 0 }
    }

    /// The first moment that is no longer in the window.
    pub fn window_end(&self) -> Timestamp {
        Timestamp::from_nanos(self.window_end.get())
    }

    pub fn is_idle(&self, now: Timestamp) -> bool {
        self.used == 0 || now >= self.window_end()
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        put_time(out, self.window_end());
        put_number(out, self.used);
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(Self { window_end: from.nonzero_time()?, used: from.number()? })
    }

    pub(super) fn shift(&mut self, by_nanos: i64) {
        self.window_end = non_zero(self.window_end().shifted(by_nanos).as_nanos() | SHIFTED);
    }

    fn has(&self, mark: i64) -> bool {
        self.window_end.get() & mark != 0
    }

    /// An end that was moved becomes the one by the clock that is close to it.
    fn align(&mut self, window: Window) {
        let end = self.window_end();
        let (start, next) = (window.start(end), window.end(end));
        let slack = next.since(start).as_nanos() / SLACK;
        self.window_end = if end.since(start).as_nanos() <= slack {
            non_zero(start.as_nanos())
        } else if next.since(end).as_nanos() <= slack {
            non_zero(next.as_nanos())
        } else {
            non_zero(end.as_nanos() & !SHIFTED | OFF)
        };
    }

    /// Where `now` may be past the held window: the window that it is in.
    #[inline(never)]
    fn go_on(&mut self, window: Window, now: Timestamp) {
        if window.begins_with_first_hit() {
            if self.is_idle(now) {
                *self = Self::fresh(window, now);
            }
            return;
        }
        if self.has(SHIFTED) {
            self.align(window);
        }
        let end = self.window_end();
        if now < end {
            return;
        }
        *self = Self::fresh(window, now);
        if end.as_nanos() & OFF != 0 {
            let second = window.end(window.end(end));
            if now < second {
                self.window_end = non_zero(second.as_nanos());
            }
        }
    }
}

fn non_zero(nanos: i64) -> NonZeroI64 {
    NonZeroI64::new(nanos).unwrap_or(NonZeroU64::MIN.cast_signed())
}

#[inline]
pub fn step(
    state: &mut State,
    amount: u64,
    window: Window,
    hits: Hits,
    when: ChargeWhen,
    now: Timestamp,
) -> Outcome {
    let is_unbegun = state.used == 0 && window.begins_with_first_hit();
    if now >= state.window_end() || is_unbegun || state.has(SHIFTED) {
        state.go_on(window, now);
    }
    let verdict = match hits {
        Hits::GiveBack(hits) => {
            state.used = state.used.saturating_sub(hits);
            Verdict::Admitted
        }
        Hits::Take(hits) => take(state, amount, hits, when),
    };
    Outcome {
        verdict,
        remaining: amount.saturating_sub(state.used),
        reset: Some(match window.begins_with_first_hit() && !verdict.is_denial() {
            true if state.used == 0 => Span::ZERO,
            _ => state.window_end().since(now),
        }),
        lease: None,
        again: None,
        is_overflow: false,
    }
}

fn take(state: &mut State, amount: u64, hits: u64, when: ChargeWhen) -> Verdict {
    let fits = state.used.checked_add(hits).is_some_and(|after| after <= amount);
    let verdict = Verdict::of_take(fits, hits, amount);
    if verdict.counts(when) {
        state.used = state.used.saturating_add(hits);
    }
    verdict
}
