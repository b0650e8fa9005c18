//! T-DISK-4: every sync takes half a second. Callers do not notice, and what may be lost is said to be more.
//!
//! A server with such a disk and one without take turns under the same load; the ratio of their latencies is judged in
//! the long form only.

use std::process::Command;
use std::time::Duration;

use crate::caller::{CENTURY, Key, Rule, policy};
use crate::figures::Figures;
use crate::form::{self, Dice, is_long, sized};
use crate::load::{Call, End, Load, p99};
use crate::node::{Home, Node, until};

const WIDE: Rule = Rule { name: "wide", amount: 1_000_000 };
const KEYS: u32 = 200;

/// How much longer a call may take, at the 99th percentile.
const RATIO_MAX: f64 = 1.5;

/// Of the process and of the machine.
const LOSS_BOUNDS: &str = "tollgate_store_loss_bound_seconds";

/// The library that makes syncs slow, compiled into the folder.
fn library(home: &Home) -> String {
    let library = home.path().join("slow_sync.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reliability/slow_sync.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).args([source, "-ldl"]);
    assert!(compiler.status().expect("`cc` runs, which linking needs too").success());
    library.into_os_string().into_string().expect("a readable path")
}

async fn turn_of(node: &Node, rate: u32, answers: u64, round: u32) -> Vec<Call> {
    let mut dice = Dice::new(&format!("slow {round}"));
    let choose = move || -> Key { WIDE.key(dice.below(KEYS)) };
    let mut load = Load::start(&node.grpc, rate, choose).await;
    load.answers(answers).await;
    load.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_disk_slows_no_call_and_is_said() {
    let _turn = form::turn().await;
    let mut figures = Figures::new("T-DISK-4");
    let (rounds, rate) = sized((5, 500), (20, 5_000));
    let (home, plain_home) = (home(), home());
    let mut command = home.command(&[]);
    command.env("LD_PRELOAD", library(&home));
    let (mut slow, mut plain) = (Node::start(command), plain_home.start());
    let (mut slow_calls, mut plain_calls) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let answers = u64::from(rate);
        plain_calls.extend(turn_of(&plain, rate, answers, round).await);
        slow_calls.extend(turn_of(&slow, rate, answers, round).await);
    }
    let bound = slow.metric_max(LOSS_BOUNDS).await.unwrap_or_default();
    let plain_bound = plain.metric_max(LOSS_BOUNDS).await.unwrap_or_default();
    let said = until(Duration::from_secs(1), async || slow.is_degraded().await.then_some(()));
    let is_said = said.await.is_some();
    slow.kill();
    plain.kill();
    let failed = slow_calls.iter().filter(|call| !matches!(call.end, End::Admitted)).count();
    let (slow_p99, plain_p99) = (p99(&slow_calls), p99(&plain_calls));
    let ratio = slow_p99.as_secs_f64() / plain_p99.as_secs_f64();
    figures.add("rounds", rounds).add("rate", rate).add("failures", failed);
    figures.add_ms("p99_slow", slow_p99).add_ms("p99_plain", plain_p99);
    figures.add("ratio", format!("{ratio:.2}")).add("bound", RATIO_MAX).add("judged", is_long());
    figures.add("loss_bound_slow", bound).add("loss_bound_plain", plain_bound);
    figures.add("said", is_said);
    figures.hold(failed == 0, "calls failed because of the disk");
    figures.hold(!is_long() || ratio <= RATIO_MAX, "calls waited for the disk");
    figures.hold(bound > 0.5, format!("the loss bound is said to be {bound} s"));
    let is_plain_well = plain_bound > 0.0 && plain_bound < 0.5;
    figures.hold(is_plain_well, format!("with a quick disk it is said to be {plain_bound} s"));
    figures.hold(is_said, "nothing says that the disk is slow");
    figures.finish();
}

fn home() -> Home {
    Home::new(&policy(&[WIDE.yaml(CENTURY, "")]))
}
