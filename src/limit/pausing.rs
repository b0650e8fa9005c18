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

    pub fn is_idle(&self, now: Timestamp) -> bool {
        self.state.is_idle(now)
    }

    pub(super) fn held_state(&self) -> &super::State {
        &self.state
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
    let hits = Hits::Take(taken);
    let capacity = limit.capacity();
    if state.is_paused && taken <= capacity {
        let room = capacity - share.most_below(capacity);
        let mut tried = state.state.clone();
        let below = limit.step(&mut tried, Hits::Take(room), ChargeWhen::Admitted, now);
        if below.verdict.is_denial() {
            let asked = Hits::Take(room.max(taken));
            return still_paused(state, limit, (taken, asked), when, now);
        }
        state.is_paused = false;
    }
    let outcome = limit.step(&mut state.state, hits, when, now);
    match outcome.verdict {
        Verdict::OverLimit if taken > 0 => {
            state.is_paused = true;
            // The wait of this denial is already that of the pause.
            let room = capacity - share.most_below(capacity);
            let asked = Hits::Take(room.max(taken));
            let mut tried = state.state.clone();
            let paused = limit.step(&mut tried, asked, ChargeWhen::Admitted, now);
            Outcome { reset: paused.reset, ..outcome }
        }
        Verdict::OverLimit
        | Verdict::Admitted
        | Verdict::ExceedsAmount
        | Verdict::Paused
        | Verdict::Shed => outcome,
    }
}

/// `asked` is what stands for the hits taken: it fits only below the share.
fn still_paused(
    state: &mut State,
    limit: Limit,
    (taken, asked): (u64, Hits),
    when: ChargeWhen,
    now: Timestamp,
) -> Outcome {
    if when == ChargeWhen::Always && !limit.kind.is_concurrent() {
        limit.step(&mut state.state, Hits::Take(taken), when, now);
    }
    let mut tried = state.state.clone();
    let outcome = limit.step(&mut tried, asked, ChargeWhen::Admitted, now);
    Outcome { verdict: Verdict::Paused, lease: None, ..outcome }
}
