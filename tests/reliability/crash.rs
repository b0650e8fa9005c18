//! A crash under load: the process is killed at a moment that the dice choose, and the ledger is what remains.

use std::time::Duration;

use tokio::time::Instant;

use crate::caller::Key;
use crate::form::Dice;
use crate::judge::{Tallies, tally};
use crate::load::{Call, Load, failures};
use crate::node::Node;

/// What may be lost when the process is killed.
pub(crate) const KILL_BOUND: Duration = Duration::from_millis(150);

/// Hits that callers may have back after a crash, over all counters.
pub(crate) fn admitted_again_max(rate: u32) -> u64 {
    u64::from(rate) * 150 / 1_000
}

#[derive(Debug)]
pub(crate) struct Crash {
    pub(crate) calls: Vec<Call>,
    /// Just before the signal, and when the process was gone.
    pub(crate) killed: Instant,
    pub(crate) gone: Instant,
}

impl Crash {
    pub(crate) fn tallies(&self) -> Tallies {
        tally(&self.calls, self.gone)
    }

    /// Calls that failed while the process still ran.
    pub(crate) fn failures(&self) -> Vec<&str> {
        failures(&self.calls, self.killed)
    }
}

/// A number of answers after which to kill: between 0.2 and 0.8 seconds of load.
pub(crate) fn moment(dice: &mut Dice, rate: u32) -> u64 {
    u64::from(rate / 5 + dice.below(rate * 3 / 5))
}

/// Kills the process under load after so many answers.
pub(crate) async fn crash(
    node: &mut Node,
    rate: u32,
    answers: u64,
    choose: impl FnMut() -> Key + Send + 'static,
) -> Crash {
    let mut load = Load::start(&node.grpc, rate, choose).await;
    load.answers(answers).await;
    end(node, load).await
}

/// Kills the process under the load that runs.
pub(crate) async fn end(node: &mut Node, load: Load) -> Crash {
    let (killed, gone) = node.kill();
    Crash { calls: load.stop().await, killed, gone }
}
