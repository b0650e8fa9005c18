//! Pause and resume: a limit that has denied goes on only when usage is under a share of its
//! amount.
//!
//! State: that of the limit itself, and whether it is paused. While paused a take is asked for as
//! if it were so large that it fits only below the share; so the wait of a pause is as honest as
//! that of the limit itself. A take that no amount of waiting lets fit pauses nothing.

use super::{ChargeWhen, Hits, LargeState, Limit, Outcome, Share, Verdict};
use crate::time::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    is_paused: bool,
    state: super::State,
}

impl State {
    pub(super) const fn of(state: super::State) -> Self {
        Self { is_paused: false, state }
    }

    pub(super) const fn from_parts(is_paused: bool, state: super::State) -> Self {
        Self { is_paused, state }
    }

    pub(super) const fn is_paused(&self) -> bool {
        self.is_paused
    }

    pub fn is_idle(&self, now: Timestamp) -> bool {
        self.state.is_idle(now)
    }

    pub(super) fn held_state(&self) -> &super::State {
        &self.state
    }

    /// What the limit would say to a take, which is not made.
    fn asked(&self, limit: Limit, hits: u64, now: Timestamp) -> Outcome {
        limit.step(&mut self.state.clone(), Hits::Take(hits), ChargeWhen::Admitted, now)
    }

    pub(super) fn inner(&mut self) -> &mut super::State {
        &mut self.state
    }

    /// Of a rule that pauses no more: what has been used stays.
    pub(super) fn let_go(state: &mut super::State) {
        if let super::State::Large(large) = state
            && let LargeState::Pausing(held) = large.as_ref()
        {
            *state = held.state.clone();
        }
    }
}

pub(super) fn step(
    state: &mut State,
    limit: Limit,
    share: Share,
    hits: Hits,
    when: ChargeWhen,
    now: Timestamp,
) -> Outcome {
    let Hits::Take(taken) = hits else {
        return limit.step(&mut state.state, hits, when, now);
    };
    if taken == 0 {
        // Looking neither begins a pause nor ends one.
        let mut seen = state.clone();
        return take(&mut seen, limit, share, 0, when, now);
    }
    take(state, limit, share, taken, when, now)
}

fn take(
    state: &mut State,
    limit: Limit,
    share: Share,
    taken: u64,
    when: ChargeWhen,
    now: Timestamp,
) -> Outcome {
    let capacity = limit.capacity();
    // Fits only when usage is below the share.
    let room = capacity - share.most_below(capacity);
    if state.is_paused && taken <= capacity {
        if state.asked(limit, room, now).verdict.is_denial() {
            if when == ChargeWhen::Always && !limit.kind.is_concurrent() {
                limit.step(&mut state.state, Hits::Take(taken), when, now);
            }
            let outcome = state.asked(limit, room.max(taken), now);
            return Outcome { verdict: Verdict::Paused, lease: None, ..outcome };
        }
        state.is_paused = false;
    }
    let outcome = limit.step(&mut state.state, Hits::Take(taken), when, now);
    if outcome.verdict != Verdict::OverLimit || taken == 0 {
        return outcome;
    }
    state.is_paused = true;
    // The wait of this denial is already that of the pause.
    let reset = state.asked(limit, room.max(taken), now).reset;
    Outcome { reset, ..outcome }
}
