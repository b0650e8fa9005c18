//! Rolling windows: in every interval of the window's length at most the amount is admitted.
//!
//! State: the hits that still count, oldest first, each with the moment it leaves. Up to 64 hits
//! are kept one by one and leave exactly one window after they came. Of larger amounts, and where
//! denied hits count too, hits that come in the same 64th of a window leave together, when the
//! last of them must: never early, late by at most a 64th. So a caller gets at least 64/65 of the
//! amount in the long run, and a counter holds 66 entries of 16 bytes at most, and one more for
//! each step of the clock that was followed within the window.

use std::collections::VecDeque;

use super::record::{Reader, put_number, put_time};
use super::{ChargeWhen, Hits, Outcome, Verdict, Window};
use crate::time::{Span, Timestamp};

/// Slots of a window, and hits kept one by one.
const SLOTS: u64 = 64;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// In the order in which they leave.
    counted: VecDeque<Counted>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counted {
    leaves: Timestamp,
    hits: u64,
}

impl State {
    pub fn is_idle(&self, now: Timestamp) -> bool {
        self.counted.back().is_none_or(|last| last.leaves <= now)
    }

    /// When the last hit leaves.
    pub(super) fn idle_at(&self) -> Timestamp {
        self.counted.back().map_or(Timestamp::from_nanos(i64::MIN), |last| last.leaves)
    }

    pub(super) fn heap_size(&self) -> usize {
        self.counted.capacity() * size_of::<Counted>()
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        put_number(out, self.counted.len() as u64);
        for counted in &self.counted {
            put_time(out, counted.leaves);
            put_number(out, counted.hits);
        }
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let count = from.count(9)?;
        let mut counted: VecDeque<Counted> = VecDeque::with_capacity(count);
        for _ in 0..count {
            let next = Counted { leaves: from.time()?, hits: from.number()? };
            if counted.back().is_some_and(|last| last.leaves >= next.leaves) {
                return None;
            }
            counted.push_back(next);
        }
        Some(Self { counted })
    }

    #[cfg(test)]
    pub fn entry_count(&self) -> usize {
        self.counted.len()
    }

    pub(super) fn shift(&mut self, by_nanos: i64) {
        for counted in &mut self.counted {
            counted.leaves = counted.leaves.shifted(by_nanos);
        }
    }

    fn used(&self) -> u64 {
        self.counted.iter().fold(0, |used, counted| used.saturating_add(counted.hits))
    }

    fn forget_what_left(&mut self, now: Timestamp) {
        while self.counted.front().is_some_and(|first| first.leaves <= now) {
            self.counted.pop_front();
        }
    }

    /// A clock that stepped back does not let hits leave before those that came earlier.
    fn add(&mut self, hits: u64, leaves: Timestamp) {
        match self.counted.back_mut() {
            Some(last) if last.leaves >= leaves => last.hits = last.hits.saturating_add(hits),
            _ if hits > 0 => self.counted.push_back(Counted { leaves, hits }),
            _ => {}
        }
    }

    /// The newest first: a charge that is undone was the last to be made.
    fn give_back(&mut self, mut hits: u64) {
        while hits > 0
            && let Some(last) = self.counted.back_mut()
        {
            let given = last.hits.min(hits);
            last.hits -= given;
            hits -= given;
            if last.hits == 0 {
                self.counted.pop_back();
            }
        }
    }

    /// When so many of the counted hits, from the oldest on, have left.
    fn left_after(&self, hits: u64) -> Option<Timestamp> {
        let mut left: u64 = 0;
        self.counted.iter().find_map(|counted| {
            left = left.saturating_add(counted.hits);
            (left >= hits).then_some(counted.leaves)
        })
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
    state.forget_what_left(now);
    let verdict = match hits {
        Hits::GiveBack(hits) => {
            state.give_back(hits);
            Verdict::Admitted
        }
        Hits::Take(hits) => {
            let fits = state.used().checked_add(hits).is_some_and(|after| after <= amount);
            let verdict = Verdict::of_take(fits, hits, amount);
            if verdict.counts(when) {
                state.add(hits, leaves(window, amount, when, now));
            }
            verdict
        }
    };
    let used = state.used();
    let free_at = match (verdict, hits) {
        (Verdict::OverLimit, Hits::Take(hits)) => {
            state.left_after(used.saturating_add(hits).saturating_sub(amount))
        }
        (Verdict::OverLimit, Hits::GiveBack(_))
        | (Verdict::Admitted | Verdict::ExceedsAmount | Verdict::Paused | Verdict::Shed, _) => {
            state.counted.back().map(|last| last.leaves)
        }
    };
    Outcome {
        verdict,
        remaining: amount.saturating_sub(used),
        reset: Some(free_at.map_or(Span::ZERO, |free_at| free_at.since(now))),
        lease: None,
        again: None,
        is_overflow: false,
    }
}

/// When a hit of `now` stops counting.
fn leaves(window: Window, amount: u64, when: ChargeWhen, now: Timestamp) -> Timestamp {
    let span = window.nominal_span();
    if when == ChargeWhen::Admitted && amount <= SLOTS {
        return now.plus(span);
    }
    let slot = span.as_nanos().div_ceil(SLOTS).cast_signed();
    let into_slot = now.as_nanos().rem_euclid(slot);
    now.plus(Span::from_nanos((slot - into_slot).cast_unsigned())).plus(span)
}
