//! T-KILL: `kill -9` at any moment forgets at most 150 ms, and hands out no more than was decided in them.
//!
//! Wide limits show what is lost, narrow ones what is admitted twice for it. Each cycle has narrow counters of its own,
//! which the next one drains to the last hit.

use std::time::Duration;

use crate::caller::{CENTURY, Caller, FROM_FIRST_HIT, Key, Rule, policy};
use crate::crash::{Crash, KILL_BOUND, admitted_again_max, crash, moment};
use crate::figures::Figures;
use crate::form::{self, Dice, sized};
use crate::history;
use crate::judge::Tally;
use crate::node::Home;

const WIDE: Rule = Rule { name: "wide", amount: 1_000_000 };
const NARROW: Rule = Rule { name: "narrow", amount: 5 };

/// Narrow counters of one cycle.
const NARROW_KEYS: u32 = 40;

/// Of ten calls, so many ask for a narrow counter.
const NARROW_SHARE: u32 = 4;

#[derive(Clone, Copy, Debug)]
struct Plan {
    cycles: u32,
    keys: u32,
    rate: u32,
}

/// The worst of all cycles.
#[derive(Debug, Default)]
struct Worst {
    lost: Duration,
    again: u64,
    invented: u64,
    ready: Duration,
    failures: usize,
    /// What the history of usage lost and made up.
    history_lost: Duration,
    history_invented: u64,
    /// What the most forgetful counter was like, for who has to find out why.
    told: String,
}

impl Worst {
    /// Holds what was restored against what one counter was asked.
    fn judge(&mut self, key: Key, crash: &Crash, tally: &Tally, before: u64, restored: u64) {
        let lost = tally.lost(before, restored, crash.killed);
        if lost > self.lost {
            self.lost = lost;
            let (admitted, unanswered) = (tally.admitted_count(), tally.unanswered);
            self.told = format!(
                "{}/k{}: {before} before, {admitted} admitted, {unanswered} unanswered, {restored} restored",
                key.rule.name, key.number
            );
        }
        self.invented = self.invented.max(tally.invented(before, restored));
    }
}

fn choice(mut dice: Dice, cycle: u32, keys: u32) -> impl FnMut() -> Key + Send + 'static {
    move || {
        if dice.below(10) < NARROW_SHARE {
            NARROW.key(cycle * NARROW_KEYS + dice.below(NARROW_KEYS))
        } else {
            WIDE.key(dice.below(keys))
        }
    }
}

async fn cycles(plan: Plan, home: &Home) -> Worst {
    let mut dice = Dice::new("kill");
    let mut worst = Worst::default();
    let mut before = vec![0; usize::try_from(plan.keys).unwrap()];
    let mut history_before = 0;
    let mut node = home.start();
    for cycle in 0..plan.cycles {
        let answers = moment(&mut dice, plan.rate);
        let choose = choice(Dice::new(&format!("kill {cycle}")), cycle, plan.keys);
        let crash = crash(&mut node, plan.rate, answers, choose).await;
        worst.failures += crash.failures().len();
        let tallies = crash.tallies();
        if home.keeps() {
            let counted = history::admitted(home, WIDE.name);
            let all = history::together(&tallies, WIDE.name);
            worst.history_lost =
                worst.history_lost.max(all.lost(history_before, counted, crash.killed));
            worst.history_invented =
                worst.history_invented.max(all.invented(history_before, counted));
            history_before = counted;
        }
        node = home.start();
        // The first answers of all are judged: nothing may be decided before all is restored.
        let mut caller = Caller::connect(&node.grpc).await;
        let first = caller.used(WIDE, 0..1).await;
        worst.ready = worst.ready.max(node.spawned.elapsed());
        let mut restored = caller.used(WIDE, 0..plan.keys).await;
        assert_eq!(first[0], restored[0], "looking counts nothing");
        for (number, (before, restored)) in (0..).zip(before.iter().zip(&restored)) {
            let tally = tallies.get(&WIDE.key(number)).cloned().unwrap_or_default();
            worst.judge(WIDE.key(number), &crash, &tally, *before, *restored);
        }
        let narrow = cycle * NARROW_KEYS..(cycle + 1) * NARROW_KEYS;
        let used = caller.used(NARROW, narrow.clone()).await;
        let mut again = 0;
        for (number, used) in narrow.zip(used) {
            let key = NARROW.key(number);
            let tally = tallies.get(&key).cloned().unwrap_or_default();
            worst.judge(key, &crash, &tally, 0, used);
            let admitted = tally.admitted_count() + caller.drain(key).await;
            again += admitted.saturating_sub(u64::from(NARROW.amount));
        }
        worst.again = worst.again.max(again);
        std::mem::swap(&mut before, &mut restored);
    }
    node.kill();
    worst
}

fn finish(mut figures: Figures, plan: Plan, worst: &Worst) {
    let (lost, again, bound) = (worst.lost, worst.again, admitted_again_max(plan.rate));
    figures.add("cycles", plan.cycles).add("keys", plan.keys).add("rate", plan.rate);
    figures.add_ms("lost_max", lost).add("bound_ms", KILL_BOUND.as_millis());
    figures.add("x_max", again).add("x_bound", bound).add("invented", worst.invented);
    figures.add_ms("ready_max", worst.ready).add("failures", worst.failures);
    figures.add_ms("history_lost_max", worst.history_lost);
    figures.add("history_invented", worst.history_invented);
    figures.hold(
        lost <= KILL_BOUND,
        format!("a hit of {lost:?} before the kill is lost: {}", worst.told),
    );
    figures.hold(again <= bound, format!("{again} hits above the limits were admitted"));
    figures.hold(worst.invented == 0, "more is counted than was asked for");
    figures.hold(worst.history_lost <= KILL_BOUND, "the history of usage lost older hits");
    figures.hold(worst.history_invented == 0, "the history of usage has hits that nobody made");
    figures.hold(worst.failures == 0, "calls failed while the server ran");
    figures.finish();
}

fn home(store: String) -> Home {
    let rules = [WIDE.yaml(CENTURY, ""), NARROW.yaml(FROM_FIRST_HIT, "")];
    Home::with_store(&policy(&rules), store)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_forgets_at_most_150_ms() {
    let _turn = form::turn().await;
    let figures = Figures::new("T-KILL");
    let plan = sized(
        Plan { cycles: 12, keys: 2_000, rate: 1_000 },
        Plan { cycles: 200, keys: 2_000, rate: 5_000 },
    );
    let worst = cycles(plan, &home(form::store())).await;
    finish(figures, plan, &worst);
}

/// A store that keeps nothing must be found out, or the test above proves nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rig_finds_out_a_store_that_forgets() {
    let _turn = form::turn().await;
    let mut figures = Figures::new("T-RIG");
    let plan = Plan { cycles: 2, keys: 2_000, rate: 1_000 };
    let worst = cycles(plan, &home("memory".to_owned())).await;
    let (lost, again) = (worst.lost, worst.again);
    figures.add("store", "memory").add("cycles", plan.cycles).add("x_max", again);
    figures.hold(lost > KILL_BOUND, "all was lost and the rig did not see it");
    figures.hold(again > 0, "limits were admitted twice and the rig did not see it");
    figures.finish();
}
