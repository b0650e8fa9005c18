//! One seed from its first step to its last, judged after each.

use std::hash::Hasher as _;
use std::ops::ControlFlow;
use std::sync::Arc;

use siphasher::sip::SipHasher13;

use super::counter::Back;
use super::model::{Asked, Model, expected};
use super::policies::{Policy, Values};
use super::steps::{Nature, Rest, Step, any_ending};
use super::world::{Ending, Process, SEED, World, any_action};
use super::{Judged, ensure};
use crate::decide::{Code, Lease, Plan, conclude, lease, plan};
use crate::journal::simulated::{Action, Fault, Random};
use crate::limit::{Hits, Outcome};
use crate::policy::model::Mode;
use crate::policy::set::PolicySet;
use crate::request::{Descriptor, Entry, Request};
use crate::usage::{Resolution, key_ranges};

const SECOND: i64 = 1_000_000_000;
const YEARS: i64 = 9 * 365 * 86_400 * SECOND;

/// How much happened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    pub(super) steps: u64,
    pub(super) requests: u64,
    pub(super) denied: u64,
    pub(super) lacked: u64,
    pub(super) turns: u64,
    pub(super) crashes: u64,
    pub(super) power_losses: u64,
    pub(super) orderly_ends: u64,
    pub(super) faults: u64,
    pub(super) clock_steps: u64,
    pub(super) followed: u64,
    pub(super) evictions: u64,
    pub(super) overflows: u64,
    pub(super) reloads: u64,
}

/// What one commit makes last.
#[derive(Clone)]
struct Saved {
    model: Model,
    /// When the last commit was made, on the line as it was then.
    committed: Option<i64>,
    judge_shift: i64,
}

pub(super) struct Run {
    random: Random,
    nature: Nature,
    world: World,
    policy: Policy,
    set: Arc<PolicySet>,
    process: Option<Process>,
    model: Model,
    committed: Option<i64>,
    sure: Saved,
    /// May be on the disk instead.
    possible: Vec<Saved>,
    leases: Vec<Lease>,
    bound: Option<(usize, usize)>,
    usage_is_whole: bool,
    /// The furthest that the line has ever been.
    newest: i64,
    pub(super) figures: Figures,
    hasher: SipHasher13,
    is_told: bool,
}

/// A clock that goes back further than the history takes for calls that come late.
const TWICE: i64 = 3_600 * 1_000_000_000;

impl Run {
    pub(super) fn new(seed: u64, is_told: bool) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5157);
        random.next();
        let nature = Nature::any(&mut random);
        let world = World::new(&mut random);
        let policy = Policy::any(&mut random);
        let set = Arc::new(policy.compile(SEED));
        let model = Model::new(nature.is_bounded);
        let sure = Saved { model: model.clone(), committed: None, judge_shift: 0 };
        Self {
            random,
            nature,
            world,
            policy,
            set,
            process: None,
            model,
            committed: None,
            sure,
            possible: Vec::new(),
            leases: Vec::new(),
            bound: None,
            usage_is_whole: true,
            newest: i64::MIN,
            figures: Figures::default(),
            hasher: SipHasher13::new(),
            is_told,
        }
    }

    /// All of it; what came of it as one number, the same in every run.
    pub(super) fn whole(&mut self) -> Judged<u64> {
        if self.is_told {
            println!("{}\n{:?}", self.policy.text(), self.nature);
        }
        self.start()?;
        let steps = 50 + self.random.below(120);
        for _ in 0..steps {
            let step = self.nature.next(&mut self.random);
            self.figures.steps += 1;
            self.trace(&format!("{:?} {step:?}", self.world.now()));
            self.step(step)?;
        }
        self.settle_down()?;
        Ok(self.hasher.finish())
    }

    fn trace(&mut self, line: &str) {
        self.hasher.write(line.as_bytes());
        if self.is_told {
            println!("{line}");
        }
    }

    fn step(&mut self, step: Step) -> Judged {
        match step {
            Step::Take(descriptors, hits, waits) => {
                self.ask(&descriptors, Hits::Take(hits), None, waits)?;
            }
            Step::GiveBack(values, hits) => {
                self.ask(&[values], Hits::GiveBack(hits), None, false)?;
            }
            Step::Release => {
                let known = self.leases.len() as u64;
                let at = usize::try_from(self.random.below(known)).unwrap();
                let Some(lease) = self.leases.get(at).copied() else { return Ok(()) };
                if self.random.one_in(2) {
                    self.leases.remove(at);
                }
                let values = Values { key: "k0".to_owned(), method: Some("a") };
                self.ask(&[values], Hits::GiveBack(1), Some(lease), false)?;
            }
            Step::Pass(nanos) => self.pass(nanos)?,
            Step::Turn => _ = self.turn(false)?,
            Step::Sweep(steps) => {
                let now = self.world.now();
                (0..steps).for_each(|_| _ = self.process().memory().sweep_step(now));
            }
            Step::Reload => {
                let what = self.policy.edit(&mut self.random);
                self.set = Arc::new(self.policy.compile(SEED));
                self.figures.reloads += 1;
                self.trace(what);
                if self.is_told {
                    println!("{}", self.policy.text());
                }
            }
            Step::Bound(max) => self.set_bound(max)?,
            Step::SetWall(by) => {
                self.world.set_wall(by);
                self.figures.clock_steps += 1;
            }
            Step::Fail => {
                let (action, nth) = (any_action(&mut self.random), 1 + self.random.below(12));
                let fault = if self.random.one_in(3) { Fault::NoSpace } else { Fault::Io };
                self.trace(&format!("{action:?} {nth} {fault:?}"));
                // A file that takes the place of another one goes without rows that are not read.
                self.usage_is_whole &= action != Action::Read;
                self.world.disk.fail(action, nth, fault);
                self.figures.faults += 1;
            }
            Step::DieIn(operations) => self.world.disk.die_in(operations, self.random.next()),
            Step::Full(room) => {
                self.world.disk.limit(Some(room));
                self.figures.faults += 1;
            }
            Step::Space => self.world.disk.limit(None),
            Step::End(how, rest) => self.end(how, rest)?,
            Step::Check => self.check()?,
        }
        self.check_bound()
    }

    fn process(&self) -> &Process {
        self.process.as_ref().unwrap()
    }

    fn pass(&mut self, nanos: i64) -> Judged {
        for by in self.world.pass(nanos)? {
            self.process().memory().shift(by);
            self.model.shift(by);
            self.committed = self.committed.map(|at| at.saturating_add(by));
            self.newest = self.newest.max(self.world.now().as_nanos().saturating_sub(by));
            self.usage_is_whole &= self.newest.saturating_sub(self.world.now().as_nanos()) < TWICE;
            self.figures.followed += 1;
            self.trace(&format!("the line moves by {by}"));
        }
        Ok(())
    }

    /// One request on its whole way.
    fn ask(
        &mut self,
        descriptors: &[Values],
        hits: Hits,
        released: Option<Lease>,
        waits: bool,
    ) -> Judged {
        self.figures.requests += 1;
        let (now, at) = (self.world.now(), self.world.moment());
        let released = released.map(|it| lease::write(&[it]));
        let request = request(descriptors, hits, released.as_deref());
        let set = Arc::clone(&self.set);
        let plan = plan(&set, &request, now, |_| None);
        let asked = self.planned(&plan, descriptors)?;
        if !plan.releases.is_empty() {
            self.model.check(&Arc::clone(&self.process().store).memory, now)?;
        }
        for lease in &plan.releases {
            let was_held = self.model.release(lease.counter, lease.id);
            let theirs = self.process().memory().release(&[*lease], now) == 1;
            if was_held.is_none() {
                let store = Arc::clone(&self.process().store);
                self.model.follow(lease.counter, &store.memory, now);
            }
            let wrong = was_held.filter(|ours| *ours != theirs);
            ensure!(wrong.is_none(), "{lease:?} was held: {theirs}, and should be: {was_held:?}");
        }
        let mut store = Arc::clone(&self.process().store);
        self.model.prepare(&asked, &store.memory, now)?;
        let mut has_reserves = false;
        let lacks = store.memory.lacks_reserves(&plan.charges, now);
        let waited = Arc::clone(&store);
        let mut waiting = None;
        if lacks {
            waiting = Some(waited.memory.ask_for_reserves(&plan.charges, now));
            let hits = |it: &Asked<'_>| match it.charge.hits {
                Hits::Take(hits) if it.charge.is_strict => hits,
                Hits::Take(_) | Hits::GiveBack(_) => 0,
            };
            self.model.asked += asked.iter().map(hits).sum::<u64>();
        }
        if lacks && waits {
            self.world.wait(1 + self.random.below(12_000_000).cast_signed());
            let lives = self.turn(false)?;
            if lives.is_none() {
                return Ok(());
            }
            store = Arc::clone(&self.process().store);
            has_reserves = lives == Some(true);
            for (asked, charge) in asked.iter().zip(&plan.charges) {
                let lacks = store.memory.lacks_reserves(&[*charge], now);
                ensure!(!has_reserves || !lacks, "{} lacks a reserve after a turn", asked.name);
            }
            self.model.prepare(&asked, &store.memory, now)?;
        }
        let lacked = self.model.lacked;
        let outcomes = store.memory.charge_after(waiting, &plan.charges, store.memory.at(now));
        self.trace(&format!("{:?}", outcomes.iter().map(short).collect::<Vec<_>>()));
        self.model.charge(&asked, &outcomes, (now, at))?;
        let mut keys: Vec<&str> = asked.iter().map(|asked| &*asked.name).collect();
        keys.sort_unstable();
        let is_plain = keys.windows(2).all(|two| two[0] != two[1])
            && !outcomes.iter().any(|outcome| outcome.is_overflow);
        ensure!(
            !has_reserves || !is_plain || self.model.lacked == lacked,
            "a request that waited is denied for want of a reserve"
        );
        let decision = conclude(&plan, &outcomes);
        self.process().usage.record(&request, &decision, now);
        self.leases.extend(&decision.leases);
        let is_denied = decision.code == Code::OverLimit;
        self.count(&asked, &outcomes, is_denied)
    }

    fn planned<'s>(&self, plan: &Plan<'s>, descriptors: &[Values]) -> Judged<Vec<Asked<'s>>> {
        let expected = expected(&self.policy, descriptors);
        let counts = (plan.charges.len(), expected.len());
        ensure!(counts.0 == counts.1, "{} charges instead of {}", counts.0, counts.1);
        let mut all = Vec::new();
        for (charge, (name, told, group)) in plan.charges.iter().zip(expected) {
            let amounts = (charge.limit.amount, charge.limit.capacity());
            let is_same = amounts == (told.amount, told.capacity()) && charge.group == group;
            ensure!(is_same, "{name}: charged as {charge:?}");
            let has_refund = charge.rule.is_some_and(|rule| rule.has_refund);
            all.push(Asked { name, told, charge: *charge, has_refund });
        }
        Ok(all)
    }

    /// What the history must say of a request.
    fn count(&mut self, asked: &[Asked<'_>], outcomes: &[Outcome], is_denied: bool) -> Judged {
        let pairs = || asked.iter().zip(outcomes);
        let denies = |(asked, told): &(&Asked<'_>, &Outcome)| {
            asked.charge.mode == Mode::Enforce && told.verdict.is_denial()
        };
        ensure!(is_denied == pairs().any(|pair| denies(&pair)), "the request is judged wrongly");
        self.figures.denied += u64::from(is_denied);
        self.figures.overflows += u64::from(outcomes.iter().any(|told| told.is_overflow));
        let groups = asked.iter().map(|it| it.charge.group).max().map_or(0, |last| last + 1);
        for group in 0..groups {
            let own = || pairs().filter(|(it, _)| it.charge.group == group);
            let Some((first, _)) = own().next() else { continue };
            let is_over = own().any(|(_, told)| told.verdict.is_denial());
            let Hits::Take(hits) = first.charge.hits else { continue };
            let rule = first.name.split(' ').next().unwrap().to_owned();
            let [admitted, denied, shadow] = self.model.usage.entry(rule).or_default();
            match (is_over, first.charge.mode) {
                (false, _) => *admitted += if is_denied { 0 } else { hits },
                (true, Mode::Enforce) => *denied += hits,
                (true, Mode::Shadow) => {
                    *shadow += hits;
                    *admitted += if is_denied { 0 } else { hits };
                }
            }
        }
        Ok(())
    }

    /// A turn of writing: whether it went well; `None` where the process died in it.
    fn turn(&mut self, is_last: bool) -> Judged<Option<bool>> {
        self.figures.turns += 1;
        let (now, steady) = (self.world.now(), self.world.steady());
        let mut process = self.process.take().unwrap();
        self.model.check(process.memory(), now)?;
        self.model.turned();
        let judge_shift = self.world.judge_shift;
        let committed = Some(now.as_nanos());
        let saved = Saved { model: self.model.clone(), committed, judge_shift };
        let before = process.store.status();
        match is_last {
            true => process.writer.last_turn(now, &mut || steady),
            false => process.writer.turn(now, &mut || steady),
        }
        let after = process.store.status();
        self.process = Some(process);
        let went_well = !after.is_failing();
        if after.commits > before.commits {
            self.sure = saved;
            self.committed = committed;
            self.possible.clear();
        } else if went_well {
            self.model.is_unchanged(&self.sure.model, now)?;
        } else if after.failures > before.failures {
            self.possible.push(saved);
        }
        let is_dead = self.world.disk.is_dead();
        let failed = self.world.disk.has_failed();
        self.trace(&format!(
            "turn: well {went_well}, dead {is_dead}, failed {failed}, commits {}",
            after.commits
        ));
        if is_dead && !is_last {
            let how = match self.random.one_in(2) {
                true => Ending::Killed,
                false => Ending::PowerLost,
            };
            let rest = self.nature.rest(&mut self.random);
            self.crash(how, rest)?;
            return Ok(None);
        }
        Ok(Some(went_well))
    }

    fn end(&mut self, how: Ending, rest: Rest) -> Judged {
        let mut how = how;
        if how == Ending::Orderly {
            let went_well = self.turn(true)? == Some(true);
            if !went_well || self.world.disk.is_dead() {
                how = Ending::Killed;
            }
        }
        self.crash(how, rest)
    }

    fn crash(&mut self, how: Ending, rest: Rest) -> Judged {
        let count = match how {
            Ending::Killed => &mut self.figures.crashes,
            Ending::PowerLost => &mut self.figures.power_losses,
            Ending::Orderly => &mut self.figures.orderly_ends,
        };
        *count += 1;
        let before = self.world.moment();
        let process = self.process.take().unwrap();
        self.world.end(process, how, &mut self.random);
        self.world.rest((rest.nanos, rest.jump), how == Ending::PowerLost);
        let (process, failed) = self.world.start(&mut self.random)?;
        self.trace(&format!("{how:?}, started {:?} after {failed} failures", self.world.now()));
        let now = self.world.now();
        // Of minutes that are lived twice the history keeps one.
        self.newest = self.newest.max(before.line);
        let gone_back = self.newest.saturating_sub(now.as_nanos());
        self.usage_is_whole &= rest.jump < YEARS && gone_back < TWICE;
        let mut candidates = std::mem::take(&mut self.possible);
        candidates.push(self.sure.clone());
        let (mut wrongs, mut found) = (Vec::new(), Vec::new());
        for saved in candidates.into_iter().rev() {
            let behind = saved.committed.map_or(0, |at| (now.as_nanos() - at).min(0));
            let shift = self.world.shift_after(before, saved.judge_shift);
            let memory = shift - self.world.judge_shift;
            let is_orderly = how == Ending::Orderly;
            let has_moved = before.moves > 0 || behind < 0 || memory != 0;
            let back = Back { saved: behind, memory, is_orderly, has_moved };
            let restored = saved.model.restored(&self.model, (process.memory(), now), &back);
            match restored.and_then(|it| self.check_usage(&it, &process).map(|()| it)) {
                Ok(model) => found.push((model, saved, shift)),
                Err(wrong) => wrongs.push(wrong),
            }
        }
        // Of those that tie the first, which is the one that is known to be on disk.
        if let Some((model, saved, shift)) = found.into_iter().min_by_key(|it| it.0.blurred) {
            self.world.judge_from(before, shift);
            self.committed = saved.committed.map(|at| at.min(now.as_nanos()));
            (self.model, self.sure) = (model, saved);
            self.model.evictions = 0;
            self.process = Some(process);
            return self.started();
        }
        Err(format!("nothing that was written is there after {how:?}: {}", wrongs.join("; or ")))
    }

    fn start(&mut self) -> Judged {
        let (process, _) = self.world.start(&mut self.random)?;
        self.process = Some(process);
        self.started()
    }

    fn started(&mut self) -> Judged {
        let now = self.world.now();
        self.model.check(&Arc::clone(&self.process().store).memory, now)?;
        match self.bound {
            Some((max, _)) => self.set_bound(max),
            None => Ok(()),
        }
    }

    fn set_bound(&mut self, max: usize) -> Judged {
        let memory = self.process().memory();
        memory.set_counters_max(max, self.world.now());
        self.bound = Some((max, max.max(memory.counter_count())));
        self.model.check(&Arc::clone(&self.process().store).memory, self.world.now())
    }

    fn check_bound(&mut self) -> Judged {
        let Some((_, most)) = self.bound else { return Ok(()) };
        let there = self.process().memory().counter_count();
        let slack = 8 + self.model.beyond();
        ensure!(there <= most + slack, "{there} counters, {most} and {slack} at most");
        Ok(())
    }

    fn check(&mut self) -> Judged {
        let store = Arc::clone(&self.process().store);
        self.model.check(&store.memory, self.world.now())?;
        self.check_usage(&self.model, self.process())
    }

    /// Sums of the history, from memory and disk together.
    fn check_usage(&self, model: &Model, process: &Process) -> Judged {
        let Some(journal) = process.writer.journal().filter(|_| self.usage_is_whole) else {
            return Ok(());
        };
        for resolution in Resolution::ALL {
            let mut rows = Vec::new();
            for (from, to) in key_ranges(resolution, 0, u32::MAX) {
                let read = journal.rows(&from, &to, &mut |key, value| {
                    rows.push((key.to_vec(), value.to_vec()));
                    ControlFlow::Continue(())
                });
                if read.is_err() && (self.world.disk.is_dead() || self.world.disk.has_failed()) {
                    return Ok(());
                }
                ensure!(read.is_ok(), "the history is not read: {read:?}");
            }
            let reading = process.usage.read(resolution, (0, u32::MAX), rows.into_iter());
            ensure!(reading.unreadable == 0, "{} rows are unreadable", reading.unreadable);
            let mut sums = std::collections::BTreeMap::<String, [u64; 3]>::new();
            for series in &reading.series {
                let sum = sums.entry(series.name.rule.to_string()).or_default();
                let total = series.total;
                for (sum, more) in
                    sum.iter_mut().zip([total.admitted, total.denied, total.shadow_denied])
                {
                    *sum += more;
                }
            }
            let mut ours = model.usage.clone();
            ours.retain(|_, sum| *sum != [0; 3]);
            sums.retain(|_, sum| *sum != [0; 3]);
            ensure!(sums == ours, "usage by {resolution:?} is {sums:?} instead of {ours:?}");
        }
        Ok(())
    }

    /// The end of all trouble: the disk is whole again, and one more loss of power costs nothing.
    fn settle_down(&mut self) -> Judged {
        if self.random.one_in(3) {
            let (how, rest) = (any_ending(&mut self.random), self.nature.rest(&mut self.random));
            self.end(how, rest)?;
        }
        self.world.disk.calm();
        let mut is_well = None;
        for _ in 0..3 {
            self.pass(2 * SECOND)?;
            is_well = self.turn(false)?;
        }
        ensure!(is_well == Some(true), "the disk is whole, and nothing is written");
        self.check()?;
        let rest = Rest { nanos: 40_000_000, jump: 0 };
        self.crash(Ending::PowerLost, rest)?;
        self.check()?;
        self.figures.evictions += self.process().memory().evicted();
        self.figures.lacked += self.model.lacked;
        Ok(())
    }
}

fn request<'r>(descriptors: &'r [Values], hits: Hits, released: Option<&'r str>) -> Request<'r> {
    let entry =
        |key: &'r str, value: &'r str| Entry { key: key.as_bytes(), value: value.as_bytes() };
    let descriptor = |values: &'r Values| {
        let method = values.method.map(|method| entry("m", method));
        let lease = released.map(|text| Entry { key: lease::ENTRY, value: text.as_bytes() });
        let entries = [entry("k", &values.key)].into_iter().chain(method).chain(lease);
        Descriptor { entries: entries.collect(), hits, limit: None }
    };
    Request { domain: b"d", descriptors: descriptors.iter().map(descriptor).collect() }
}

fn short(outcome: &Outcome) -> (bool, u64, bool) {
    (outcome.verdict.is_denial(), outcome.remaining, outcome.is_overflow)
}
