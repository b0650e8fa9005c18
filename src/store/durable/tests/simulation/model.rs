//! The slow model: counters by their names in one map, stepped one at a time.
//!
//! It knows what every counter must have come to, what of it is on disk for sure, and what may be.

use std::collections::{BTreeMap, BTreeSet};

use super::counter::{Back, Counter, differ, is_same_but_for_its_end, look, see};
use super::ledger::Moment;
use super::policies::{Limit as Told, Policy, Values};
use super::{Judged, ensure};
use crate::decide::{Charge, CounterKey};
use crate::limit::{ChargeWhen, Hits, LeaseId, Outcome, Verdict};
use crate::policy::model::Mode;
use crate::store::bound::overflow_key;
use crate::store::memory::MemoryStore;
use crate::time::Timestamp;

/// One charge of a request, as the policy's list has it.
#[derive(Clone, Debug)]
pub(super) struct Asked<'s> {
    pub(super) name: String,
    pub(super) told: Told,
    pub(super) charge: Charge<'s>,
    pub(super) has_refund: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) counters: BTreeMap<String, Counter>,
    /// No two counters have one key.
    keys: BTreeMap<CounterKey, String>,
    /// Whether counters may be given up to make room.
    is_bounded: bool,
    pub(super) evictions: u64,
    /// Hits that waiting requests asked for since the last turn.
    pub(super) asked: u64,
    asked_most: u64,
    /// Takes that lacked a reserve.
    pub(super) lacked: u64,
    /// Counters that were restored to much the same and not to the very same: where several batches
    /// may be what was written last, the one with the fewest is it.
    pub(super) blurred: usize,
    /// By rule: admitted, denied, denied in shadow.
    pub(super) usage: BTreeMap<String, [u64; 3]>,
}

/// The charges that a request must lead to, by the plain list of rules.
pub(super) fn expected(policy: &Policy, descriptors: &[Values]) -> Vec<(String, Told, u32)> {
    let mut all = Vec::new();
    let mut group = 0;
    for values in descriptors {
        for rule in policy.rules.iter().filter(|rule| rule.applies(values)) {
            let chosen = rule.per.iter().map(|name| values.of(name).unwrap_or_default());
            let chosen = chosen.collect::<Vec<_>>().join(",");
            for limit in &rule.limits {
                let name = format!("{} {} [{chosen}]", rule.name, limit.identity());
                all.push((name, limit.clone(), group));
            }
            group += 1;
        }
    }
    all
}

impl Model {
    pub(super) fn new(is_bounded: bool) -> Self {
        Self { is_bounded, ..Self::default() }
    }

    /// Counters of these charges, as they are before.
    pub(super) fn prepare(
        &mut self,
        asked: &[Asked<'_>],
        store: &MemoryStore,
        now: Timestamp,
    ) -> Judged {
        for asked in asked {
            let overflow = (overflow_name(asked), overflow_key(&asked.charge));
            for (name, key) in [(asked.name.clone(), asked.charge.counter), overflow] {
                let known = self.keys.entry(key).or_insert_with(|| name.clone());
                ensure!(*known == name, "{known} and {name} have one key");
                let fresh = || Counter::new(asked, key, now);
                let counter = self.counters.entry(name.clone()).or_insert_with(fresh);
                ensure!(counter.key == key, "{name} has another key than before");
                counter.is_rerated |= counter.limit.amount != asked.charge.limit.amount;
                counter.limit = asked.charge.limit;
                counter.ledger.meet(&asked.told);
                let seen = see(store, counter, now);
                let is_gone = !seen.holds && !seen.owes;
                let given_up = counter.settle(&name, seen, self.is_bounded, now)?;
                if is_gone {
                    counter.begin(now);
                }
                self.evictions += u64::from(given_up);
            }
        }
        Ok(())
    }

    fn of(&mut self, name: &str) -> &mut Counter {
        self.counters.get_mut(name).unwrap()
    }

    /// Judges what the store said to a request, and does the same.
    pub(super) fn charge(
        &mut self,
        asked: &[Asked<'_>],
        told: &[Outcome],
        (now, at): (Timestamp, Moment),
    ) -> Judged {
        ensure!(asked.len() == told.len(), "{} outcomes of {}", told.len(), asked.len());
        let mut moved = asked.to_vec();
        let overflowing = moved.iter_mut().zip(told).filter(|(_, told)| told.is_overflow);
        for (asked, _) in overflowing {
            let counter = &self.counters[&asked.name];
            ensure!(self.is_bounded, "{} overflows without a bound", asked.name);
            ensure!(counter.state.is_idle(now), "{} has a counter and overflows", asked.name);
            asked.name = overflow_name(asked);
        }
        let mut ours = Vec::new();
        for (asked, told) in moved.iter().zip(told) {
            ours.push(self.take(asked, told, now)?);
        }
        let pairs = || moved.iter().zip(&ours);
        let is_over = |ours: &Outcome| ours.verdict.is_denial();
        let is_denied = pairs().any(|(asked, ours)| asked.is_enforced() && is_over(ours));
        let over = pairs().filter(|(asked, ours)| !asked.is_enforced() && is_over(ours));
        let in_shadow: BTreeSet<u32> = over.map(|(asked, _)| asked.charge.group).collect();
        let is_undone = |asked: &Asked<'_>| {
            asked.charge.when == ChargeWhen::Admitted
                && !asked.charge.gives_slots_back()
                && (is_denied || in_shadow.contains(&asked.charge.group))
        };
        for (asked, ours) in moved.iter().zip(&mut ours) {
            if let Hits::GiveBack(hits) = asked.charge.hits
                && !is_undone(asked)
            {
                let counter = self.of(&asked.name);
                *ours = counter.step(&asked.charge, now);
                if hits > 0 {
                    counter.ledger.give_back(hits);
                }
            }
        }
        for (asked, ours) in moved.iter().zip(&ours).filter(|(asked, _)| is_undone(asked)) {
            self.undo(asked, ours, now);
        }
        for (place, (asked, ours)) in moved.iter().zip(&mut ours).enumerate() {
            if is_undone(asked) {
                ours.remaining =
                    look(&asked.charge.limit, &self.of(&asked.name).state, now).remaining;
                ours.lease = None;
            }
            Self::compare(asked, (ours, &told[place]))?;
            if !is_undone(asked) && !is_over(ours) {
                self.note(asked, (ours, &told[place]), (now, at))?;
            }
        }
        Ok(())
    }

    fn take(&mut self, asked: &Asked<'_>, told: &Outcome, now: Timestamp) -> Judged<Outcome> {
        let charge = &asked.charge;
        let counter = self.counters.get_mut(&asked.name).unwrap();
        let Hits::Take(hits) = charge.hits else {
            let seen = look(&charge.limit, &counter.state, now);
            return Ok(Outcome { verdict: Verdict::Admitted, ..seen });
        };
        let outcome = counter.step(charge, now);
        if hits == 0 {
            return Ok(outcome);
        }
        let used = charge.limit.capacity().saturating_sub(outcome.remaining);
        let is_over = outcome.verdict.is_denial();
        if !is_over || charge.when == ChargeWhen::Always {
            counter.is_near = used.saturating_mul(2) >= charge.limit.capacity();
        }
        // Nothing but a reserve that lacks denies what has room.
        if charge.is_strict && !is_over && told.verdict.is_denial() {
            match outcome.lease {
                Some(id) => _ = counter.state.leases().map(|leases| leases.release(id)),
                None => counter.undo_take(charge, hits, now),
            }
            self.lacked += 1;
            let seen = look(&charge.limit, &counter.state, now);
            return Ok(Outcome { verdict: Verdict::OverLimit, lease: None, ..seen });
        }
        Ok(outcome)
    }

    fn undo(&mut self, asked: &Asked<'_>, ours: &Outcome, now: Timestamp) {
        let (charge, counter) = (&asked.charge, self.of(&asked.name));
        let Hits::Take(hits @ 1..) = charge.hits else { return };
        if charge.takes_slots() {
            let Some(leases) = counter.state.leases() else { return };
            if let Some(id) = ours.lease {
                leases.release(id);
            }
            leases.deny(hits, now);
        } else if ours.verdict == Verdict::Admitted {
            counter.undo_take(charge, hits, now);
        }
    }

    fn compare(asked: &Asked<'_>, (ours, told): (&Outcome, &Outcome)) -> Judged {
        let name = &asked.name;
        let is_same = ours.verdict.is_denial() == told.verdict.is_denial()
            && ours.remaining == told.remaining
            && (ours.lease.is_some() == told.lease.is_some() || told.is_overflow);
        ensure!(is_same, "{name} {:?}: told {told:?} instead of {ours:?}", asked.charge.hits);
        Ok(())
    }

    /// What was admitted and stays.
    fn note(
        &mut self,
        asked: &Asked<'_>,
        (ours, told): (&Outcome, &Outcome),
        (now, at): (Timestamp, Moment),
    ) -> Judged {
        let Hits::Take(hits @ 1..) = asked.charge.hits else { return Ok(()) };
        let counter = self.of(&asked.name);
        if let (Some(ours), Some(told)) = (ours.lease, told.lease) {
            let is_new = counter.leases.insert(told, ours).is_none();
            ensure!(is_new, "{} gives lease {told:?} twice", asked.name);
        }
        counter.take_twin(&asked.name, hits, now)?;
        let noted = counter.ledger.admit(&asked.told, (hits, told.lease), at);
        noted.map_err(|wrong| format!("{} admitted {wrong}", asked.name))
    }

    /// Ends a lease; whether it was held. `None` where a crash left something owed: that is a lease
    /// without a name, until it is taken.
    pub(super) fn release(&mut self, key: CounterKey, id: LeaseId) -> Option<bool> {
        let Some(counter) = self.keys.get(&key).and_then(|name| self.counters.get_mut(name)) else {
            return Some(false);
        };
        counter.ledger.release(id);
        let is_known = counter.leases.contains_key(&id);
        if counter.owes || (counter.is_strict && !is_known) {
            return None;
        }
        let ours = counter.leases.remove(&id).or(counter.is_adopted.then_some(id));
        let Some(ours) = ours else { return Some(false) };
        Some(counter.state.leases().is_some_and(|leases| leases.release(ours)))
    }

    /// Takes over what became of a lease of which nothing is known here.
    pub(super) fn follow(&mut self, key: CounterKey, store: &MemoryStore, now: Timestamp) {
        let Some(counter) = self.keys.get(&key).and_then(|name| self.counters.get_mut(name)) else {
            return;
        };
        let seen = see(store, counter, now);
        counter.adopt(seen.state);
    }

    pub(super) fn shift(&mut self, by: i64) {
        self.counters.values_mut().for_each(|counter| counter.shift(by));
    }

    /// All counters of the store are those that the model has.
    pub(super) fn check(&mut self, store: &MemoryStore, now: Timestamp) -> Judged {
        let mut known = 0;
        for (name, counter) in &mut self.counters {
            let seen = see(store, counter, now);
            known += usize::from(seen.holds);
            let theirs = seen.state.clone();
            self.evictions += u64::from(counter.settle(name, seen, self.is_bounded, now)?);
            if let Some(wrong) = differ(&counter.limit, &counter.state, &theirs, now) {
                return Err(format!("{name}: {wrong}; {theirs:?} is not {:?}", counter.state));
            }
        }
        let there = store.counter_count();
        ensure!(known == there, "{there} counters, of which {known} were asked for");
        ensure!(
            self.evictions <= store.evicted(),
            "{} given up, {} told",
            self.evictions,
            store.evicted()
        );
        Ok(())
    }

    /// A turn that writes nothing finds everything as it was written.
    pub(super) fn is_unchanged(&self, saved: &Self, now: Timestamp) -> Judged {
        ensure!(self.usage == saved.usage, "the history has changed, and nothing was written");
        for (name, counter) in &self.counters {
            // What is given up stays on the disk.
            if counter.is_strict || counter.is_rerated || self.is_bounded {
                continue;
            }
            let fresh = counter.limit.fresh(now);
            let state = |counter: &Counter| match counter.is_held {
                true => counter.state.clone(),
                false => fresh.clone(),
            };
            let before = saved.counters.get(name).map_or(fresh.clone(), state);
            let wrong = differ(&counter.limit, &before, &state(counter), now);
            ensure!(wrong.is_none(), "{name} has changed, and nothing was written: {wrong:?}");
        }
        Ok(())
    }

    /// A turn takes all of memory.
    pub(super) fn turned(&mut self) {
        self.asked_most = self.asked_most.max(std::mem::take(&mut self.asked));
    }

    /// Counters that are let be beyond the bound.
    pub(super) fn beyond(&self) -> usize {
        let is_beyond = |(name, counter): &(&String, &Counter)| {
            name.ends_with("overflow") || counter.is_strict || counter.limit.kind.is_concurrent()
        };
        self.counters.iter().filter(is_beyond).count()
    }

    /// Whether a store that was read is `self` as it was saved. `line` is where the line was before.
    pub(super) fn restored(
        &self,
        before: &Self,
        (store, now): (&MemoryStore, Timestamp),
        back: &Back,
    ) -> Judged<Self> {
        let mut all = Self { keys: before.keys.clone(), ..self.clone() };
        all.asked_most = before.asked_most;
        all.blurred = 0;
        for (name, counter) in &before.counters {
            let saved = all.counters.entry(name.clone()).or_insert_with(|| Counter {
                state: counter.limit.fresh(now),
                leases: BTreeMap::new(),
                ledger: counter.ledger.anew(),
                is_near: false,
                is_held: false,
                ..counter.clone()
            });
            // Counters that were given up may be there again.
            saved.ghost = saved.ghost.take().or_else(|| counter.ghost.clone());
            (saved.limit, saved.twin) = (counter.limit, counter.twin.clone());
            saved.is_rerated |= counter.is_rerated;
            saved.state.shift(back.saved);
            if let Some(ghost) = &mut saved.ghost {
                ghost.shift(back.saved);
            }
            let seen = see(store, saved, now);
            if counter.is_strict {
                saved.ledger = counter.ledger.clone();
                saved.leases.clear();
                saved.restore_strict(name, counter, seen, (now, back), before.asked_most)?;
                continue;
            }
            ensure!(!seen.owes, "{name} is not strict and owes");
            let unswept = saved.state.clone();
            if saved.state.is_idle(now) || !saved.is_held {
                saved.state = saved.limit.fresh(now);
            }
            let wrong = differ(&saved.limit, &saved.state, &seen.state, now);
            let is_bucket = matches!(saved.limit.kind, crate::limit::Kind::Bucket { .. });
            all.blurred += usize::from(saved.state.idle_at() != seen.state.idle_at());
            // What is on disk drains at the rate that is read with it, from when it was written on.
            if is_bucket && counter.is_rerated {
                saved.adopt(seen.state);
                continue;
            }
            if wrong.is_some()
                && back.has_moved
                && is_same_but_for_its_end(&saved.limit, &unswept, &seen.state)
            {
                saved.adopt(seen.state);
                continue;
            }
            let is_fixed = matches!(saved.limit.kind, crate::limit::Kind::Fixed(_));
            if wrong.is_none() && is_fixed && back.has_moved && seen.holds {
                // The same, but for moments that were not looked at.
                saved.adopt(seen.state);
                continue;
            }
            if let Some(ghost) = &saved.ghost
                && wrong.is_some()
                && differ(&saved.limit, ghost, &seen.state, now).is_none()
            {
                saved.state = ghost.clone();
                saved.adopt(seen.state);
            } else if let Some(wrong) = wrong {
                return Err(format!(
                    "{name}: {wrong}; {:?} is not {:?}, or {unswept:?}",
                    seen.state, saved.state
                ));
            }
        }
        Ok(all)
    }
}

impl Asked<'_> {
    fn is_enforced(&self) -> bool {
        self.charge.mode == Mode::Enforce
    }
}

fn overflow_name(asked: &Asked<'_>) -> String {
    let rule = asked.name.split(' ').next().unwrap_or_default();
    format!("{rule} {} overflow", asked.told.identity())
}
