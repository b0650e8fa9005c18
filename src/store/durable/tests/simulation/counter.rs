//! One counter of the slow model: what it must have come to, and what the store may forget of it.
//!
//! Its state is stepped by the same limit as the store's; whether that is right is the ledger's to say.

use std::collections::BTreeMap;

use super::ledger::Ledger;
use super::model::Asked;
use super::policies::Kind;
use super::{Judged, ensure};
use crate::decide::{Charge, CounterKey, Denies};
use crate::limit::{ChargeWhen, Hits, LeaseId, Limit, Outcome, State};
use crate::policy::model::Mode;
use crate::store::memory::MemoryStore;
use crate::store::shard::ShortKey;
use crate::time::{Span, Timestamp};

#[derive(Clone, Debug)]
pub(super) struct Counter {
    pub(super) key: CounterKey,
    pub(super) limit: Limit,
    pub(super) state: State,
    /// Of a strict rule: that of a machine that never dies and admits no more than was admitted.
    pub(super) twin: Option<State>,
    pub(super) is_strict: bool,
    /// Whether its last take left it at half of its limit or more.
    pub(super) is_near: bool,
    /// As it was when it was given up, which the disk need not know.
    pub(super) ghost: Option<State>,
    /// What an earlier process may have taken is not settled yet.
    pub(super) owes: bool,
    /// Whether its rate was changed: a bucket that is empty by the old one may be forgotten.
    pub(super) is_rerated: bool,
    /// Whether the store holds it, as far as was looked at.
    pub(super) is_held: bool,
    /// Whether its state was taken over from the store, with the names of its leases.
    pub(super) is_adopted: bool,
    /// Names of leases there and here.
    pub(super) leases: BTreeMap<LeaseId, LeaseId>,
    pub(super) ledger: Ledger,
}

fn bare(counter: CounterKey, limit: Limit) -> Charge<'static> {
    Charge {
        counter,
        limit,
        hits: Hits::Take(0),
        when: ChargeWhen::Admitted,
        mode: Mode::Enforce,
        denies: Denies::Alone,
        is_strict: false,
        is_spared: false,
        group: 0,
        rule: None,
    }
}

/// What the store has of a counter.
pub(super) struct Seen {
    pub(super) holds: bool,
    pub(super) owes: bool,
    pub(super) state: State,
}

pub(super) fn see(store: &MemoryStore, counter: &Counter, now: Timestamp) -> Seen {
    let shard = store.lock(counter.key.shard_index());
    let owes = shard.owed.contains_key(&ShortKey::from(counter.key));
    let state = shard.state(&bare(counter.key, counter.limit), now);
    Seen { holds: shard.holds(counter.key.into()), owes, state }
}

pub(super) fn look(limit: &Limit, state: &State, now: Timestamp) -> Outcome {
    limit.step(&mut state.clone(), Hits::Take(0), ChargeWhen::Admitted, now)
}

/// Whether two states say the same, from now on.
pub(super) fn differ(
    limit: &Limit,
    ours: &State,
    theirs: &State,
    now: Timestamp,
) -> Option<String> {
    for millis in [0, 400, 5_000, 31_000, 400_000, 2_000_000, 50_000_000] {
        let at = now.plus(Span::from_millis(millis));
        let take = |state: &State| {
            let told = limit.step(&mut state.clone(), Hits::Take(1), ChargeWhen::Admitted, at);
            (look(limit, state, at).remaining, told.verdict)
        };
        let (ours, theirs) = (take(ours), take(theirs));
        if ours != theirs {
            return Some(format!("after {millis} ms {theirs:?} instead of {ours:?}"));
        }
    }
    None
}

/// Where the line was moved, a fixed window ends where one ends by the clock if that is near. The
/// disk may know the end as it was before.
pub(super) fn is_same_but_for_its_end(limit: &Limit, ours: &State, theirs: &State) -> bool {
    let Some(window) = limit.window() else { return false };
    let span = window.nominal_span().as_nanos() * 31 / 30;
    let (ends, other) = (ours.idle_at(), theirs.idle_at());
    // Looking puts the end in its place, so it is looked at before either.
    let before = ends.min(other).minus(Span::from_nanos(span / 8));
    matches!(limit.kind, crate::limit::Kind::Fixed(_))
        && ends.as_nanos().abs_diff(other.as_nanos()) <= span / 16
        && look(limit, ours, before).remaining == look(limit, theirs, before).remaining
}

impl Counter {
    pub(super) fn new(asked: &Asked<'_>, key: CounterKey, now: Timestamp) -> Self {
        let (limit, is_strict) = (asked.charge.limit, asked.charge.is_strict);
        // Slots come back, and others know of which.
        let has_twin = is_strict && !asked.has_refund && !limit.kind.is_concurrent();
        // What nobody was admitted for begins windows too.
        let is_begun_by_others = asked.charge.when == ChargeWhen::Always || is_strict;
        let ledger = Ledger::new(is_begun_by_others && asked.told.kind == Kind::FirstHit);
        Self {
            key,
            limit,
            state: limit.fresh(now),
            twin: has_twin.then(|| plain(limit).fresh(now)),
            is_strict,
            is_near: false,
            ghost: None,
            owes: false,
            is_rerated: false,
            is_held: false,
            is_adopted: false,
            leases: BTreeMap::new(),
            ledger,
        }
    }

    /// Follows the store where it may forget; whether it gave up a counter in use.
    pub(super) fn settle(
        &mut self,
        name: &str,
        seen: Seen,
        is_bounded: bool,
        now: Timestamp,
    ) -> Judged<bool> {
        let mut is_given_up = false;
        self.is_held = seen.holds || seen.owes;
        if !seen.holds && !seen.owes {
            if !self.state.is_idle(now) && !self.owes {
                ensure!(is_bounded, "{name} is gone, in use: {:?}", self.state);
                let capacity = self.limit.capacity();
                let left = look(&self.limit, &self.state, now).remaining;
                let used = capacity.saturating_sub(left);
                let is_near = used.saturating_mul(2) >= capacity;
                ensure!(
                    !is_near || !self.is_near,
                    "{name} was given up near its limit: {:?}",
                    self.state
                );
                ensure!(
                    !self.is_strict || used == 0,
                    "{name} is strict and was given up: {:?}",
                    self.state
                );
                self.ghost = Some(self.state.clone());
                self.ledger = self.ledger.anew();
                is_given_up = true;
            }
            if let Some(twin) = self.twin.as_ref().filter(|twin| !twin.is_idle(now)) {
                // It may have been stepped last when another amount was in force.
                let limit = plain(self.limit);
                let mut twin = twin.clone();
                limit.step(&mut twin, Hits::Take(0), ChargeWhen::Admitted, now);
                ensure!(twin.is_idle(now), "{name} is strict and gone, in use: {twin:?}");
            }
            self.leases.clear();
            self.is_near = false;
            if is_given_up {
                self.state = self.limit.fresh(now);
            }
        }
        if self.owes {
            self.owes = seen.owes;
            self.adopt(seen.state);
        }
        Ok(is_given_up)
    }

    /// What is not held any more is as if it had never been.
    pub(super) fn begin(&mut self, now: Timestamp) {
        self.state = self.limit.fresh(now);
        if let Some(twin) = &mut self.twin {
            *twin = plain(self.limit).fresh(now);
        }
    }

    pub(super) fn adopt(&mut self, state: State) {
        self.state = state;
        self.is_adopted = true;
        let known: Vec<LeaseId> = self.leases.keys().copied().collect();
        self.leases = known.into_iter().map(|id| (id, id)).collect();
    }

    pub(super) fn shift(&mut self, by: i64) {
        self.state.shift(by);
        // Where an end comes to lie depends on how often it was looked at between two moves.
        let is_fixed = matches!(self.limit.kind, crate::limit::Kind::Fixed(_));
        self.twin = self.twin.take().filter(|_| !is_fixed);
        if let Some(twin) = &mut self.twin {
            twin.shift(by);
        }
        if let Some(ghost) = &mut self.ghost {
            ghost.shift(by);
        }
    }

    pub(super) fn step(&mut self, charge: &Charge<'_>, now: Timestamp) -> Outcome {
        charge.limit.step(&mut self.state, charge.hits, charge.when, now)
    }

    pub(super) fn undo_take(&mut self, charge: &Charge<'_>, hits: u64, now: Timestamp) {
        charge.limit.step(&mut self.state, Hits::GiveBack(hits), charge.when, now);
    }

    /// The machine that never dies takes the same.
    pub(super) fn take_twin(&mut self, name: &str, hits: u64, now: Timestamp) -> Judged {
        let limit = plain(self.limit);
        let Some(twin) = &mut self.twin else { return Ok(()) };
        let told = limit.step(twin, Hits::Take(hits), ChargeWhen::Admitted, now);
        let verdict = told.verdict;
        ensure!(!verdict.is_denial(), "{name} is strict and admitted {hits} too many: {twin:?}");
        Ok(())
    }
}

fn plain(limit: Limit) -> Limit {
    Limit { resume_below: None, ..limit }
}

/// How the line lies to where it was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Back {
    /// By how much what was saved moves.
    pub(super) saved: i64,
    /// By how much what was in memory would have to move.
    pub(super) memory: i64,
    /// Whether all was written in good order.
    pub(super) is_orderly: bool,
    /// Whether the line was ever moved.
    pub(super) has_moved: bool,
}

impl Counter {
    /// Of a strict rule no less is restored than was admitted, and little more.
    pub(super) fn restore_strict(
        &mut self,
        name: &str,
        before: &Self,
        seen: Seen,
        (now, back): (Timestamp, &Back),
        asked_most: u64,
    ) -> Judged {
        let limit = self.limit;
        let left = look(&limit, &seen.state, now).remaining;
        // Ends that move are put where ends by the clock are, and what is idle forgets that the next
        // window was to be a long one.
        let is_fixed = matches!(limit.kind, crate::limit::Kind::Fixed(_));
        if is_fixed && back.has_moved {
            self.twin = None;
        }
        if let Some(twin) = &mut self.twin {
            twin.shift(back.memory);
            // By the rate that was in force when it was stepped last.
            if twin.is_idle(now) {
                *twin = plain(limit).fresh(now);
            }
            let most = look(&plain(limit), twin, now).remaining;
            ensure!(left <= most, "{name} is strict and has {left} left of {most}: {twin:?}");
        }
        if back.is_orderly && back.saved == 0 {
            let wrong = differ(&limit, &self.state, &seen.state, now);
            let wrong = wrong.filter(|_| !before.owes);
            ensure!(wrong.is_none(), "{name} is strict, after an end in good order: {wrong:?}");
        }
        // What nobody spent: of counters that do not change by themselves.
        if matches!(before.state, State::Fixed(_)) && back.memory == 0 && self.twin.is_some() {
            let had = look(&limit, &before.state, now).remaining;
            let block = (limit.amount / 100).max(1).saturating_add(asked_most);
            ensure!(
                left.saturating_add(block) >= had || before.owes,
                "{name} is strict and has {left} left of {had}, at most {block} were reserved"
            );
        }
        self.owes = seen.owes;
        self.adopt(seen.state);
        Ok(())
    }
}
