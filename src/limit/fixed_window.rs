//! Fixed windows: hits counted per window aligned to the clock.
//!
//! State: the end of the window the count belongs to, and the count (16 bytes). A take fits when
//! used + hits <= amount, so in no window is more than the amount admitted; over a boundary a
//! caller can take one amount just before it and one just after. A counter's window never goes
//! back: when the clock steps backwards the held window goes on counting until its own end. A window
//! that begins with the first hit begins when the count is no longer zero.

use std::num::{NonZeroI64, NonZeroU64};

use super::record::{Reader, put_number, put_time};
use super::{ChargeWhen, Hits, Outcome, Verdict, Window};
use crate::time::{Span, Timestamp};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Nanoseconds since the epoch; never zero, which leaves room to tell kinds of states apart
    /// without a byte more. A window that ends with 1969 ends a nanosecond late.
    window_end: NonZeroI64,
    used: u64,
}

impl State {
    pub fn fresh(window: Window, now: Timestamp) -> Self {
        let end = NonZeroI64::new(window.end(now).as_nanos());
        Self { window_end: end.unwrap_or(NonZeroU64::MIN.cast_signed()), used: 0 }
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
}

pub fn step(
    state: &mut State,
    amount: u64,
    window: Window,
    hits: Hits,
    when: ChargeWhen,
    now: Timestamp,
) -> Outcome {
    if now >= state.window_end() || (state.used == 0 && window.begins_with_first_hit()) {
        *state = State::fresh(window, now);
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
