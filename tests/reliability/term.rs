//! T-TERM: a server that is asked to stop answers what it has, keeps every hit, and is gone within 2 seconds.
//!
//! Callers go on calling: what nobody took from them is no failure, what was taken and not answered is one.

use std::time::Duration;

use crate::caller::{CENTURY, Caller, Rule, policy};
use crate::crash::{Crash, KILL_BOUND, end, moment};
use crate::figures::Figures;
use crate::form::{self, Dice, sized};
use crate::judge::tally;
use crate::load::{Load, failures};
use crate::node::{Home, Node, end_of};

const WIDE: Rule = Rule { name: "wide", amount: 1_000_000 };
const KEYS: u32 = 200;

const END_MAX: Duration = Duration::from_secs(2);

/// How long, in milliseconds, somebody impatient waits at most between SIGTERM and SIGKILL.
const IMPATIENCE_MAX: u32 = 50;

fn home() -> Home {
    Home::new(&policy(&[WIDE.yaml(CENTURY, "")]))
}

async fn loaded(node: &Node, rate: u32, dice: &mut Dice) -> Load {
    let mut choice = dice.clone();
    let mut load = Load::start(&node.grpc, rate, move || WIDE.key(choice.below(KEYS))).await;
    load.answers(moment(dice, rate)).await;
    load
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_asked_to_stop_keeps_every_hit() {
    let _turn = form::turn().await;
    let mut figures = Figures::new("T-TERM");
    let (rounds, rate) = sized((3, 500), (20, 1_000));
    let mut dice = Dice::new("term");
    let home = home();
    let mut before = vec![0; usize::try_from(KEYS).unwrap()];
    let (mut failed, mut differing, mut slowest) = (Vec::new(), 0, Duration::ZERO);
    let mut is_clean = true;
    for _ in 0..rounds {
        let mut node = home.start();
        let load = loaded(&node, rate, &mut dice).await;
        node.process.signal("-TERM");
        let ended = end_of(&mut node.process, END_MAX).await;
        is_clean &= ended.is_some_and(|(status, _)| status.success());
        slowest = slowest.max(ended.map_or(Duration::MAX, |(_, took)| took));
        let (_, gone) = node.kill();
        let calls = load.stop().await;
        failed.extend(failures(&calls, gone).into_iter().map(str::to_owned));
        let node = home.start();
        let restored = Caller::connect(&node.grpc).await.used(WIDE, 0..KEYS).await;
        let tallies = tally(&calls, gone);
        for (number, (before, restored)) in (0..).zip(before.iter().zip(&restored)) {
            let admitted = tallies.get(&WIDE.key(number)).map_or(0, |tally| tally.admitted_count());
            differing += u64::from(before + admitted != *restored);
        }
        before = restored;
    }
    figures.add("rounds", rounds).add("rate", rate).add("failures", failed.len());
    figures.add("counters_differing", differing).add_ms("end_max", slowest);
    figures.add("bound_ms", END_MAX.as_millis());
    figures.hold(failed.is_empty(), format!("calls that the server had failed: {failed:?}"));
    figures.hold(differing == 0, "what is restored is not what was admitted");
    figures.hold(is_clean, "the end took too long or was no success");
    figures.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_while_it_stops_forgets_at_most_150_ms() {
    let _turn = form::turn().await;
    let mut figures = Figures::new("T-TERM-KILL");
    let (rounds, rate) = sized((3, 500), (20, 1_000));
    let mut dice = Dice::new("term and kill");
    let home = home();
    let mut before = vec![0; usize::try_from(KEYS).unwrap()];
    let (mut lost, mut invented, mut killed_count) = (Duration::ZERO, 0, 0);
    for _ in 0..rounds {
        let mut node = home.start();
        let load = loaded(&node, rate, &mut dice).await;
        node.process.signal("-TERM");
        let patience = Duration::from_millis(dice.below(IMPATIENCE_MAX + 1).into());
        killed_count += u32::from(end_of(&mut node.process, patience).await.is_none());
        let crash: Crash = end(&mut node, load).await;
        let node = home.start();
        let restored = Caller::connect(&node.grpc).await.used(WIDE, 0..KEYS).await;
        for (key, tally) in &crash.tallies() {
            let index = usize::try_from(key.number).unwrap();
            lost = lost.max(tally.lost(before[index], restored[index], crash.killed));
            invented += tally.invented(before[index], restored[index]);
        }
        before = restored;
    }
    figures.add("rounds", rounds).add("killed", killed_count).add("rate", rate);
    figures.add_ms("lost_max", lost).add("bound_ms", KILL_BOUND.as_millis());
    figures.add("invented", invented);
    figures.hold(lost <= KILL_BOUND, format!("a hit of {lost:?} before the kill is lost"));
    figures.hold(invented == 0, "more is counted than was asked for");
    figures.finish();
}
