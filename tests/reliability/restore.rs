//! T-RESTORE: how long it takes from the start on a full folder to the first answer.
//!
//! The span is judged in the long form only, where the program is a release build.

use std::time::Duration;

use crate::caller::{CENTURY, Caller, Rule, policy};
use crate::figures::Figures;
use crate::form::{self, sized};
use crate::node::Home;

const WIDE: Rule = Rule { name: "wide", amount: 1_000 };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_folder_is_restored_before_the_first_answer() {
    let _turn = form::turn().await;
    let mut figures = Figures::new("T-RESTORE");
    let (counters, bound) =
        sized((100_000, Duration::from_secs(1)), (1_000_000, Duration::from_secs(4)));
    let home = Home::new(&policy(&[WIDE.yaml(CENTURY, "")]));
    let mut node = home.start_with_room(2 * counters);
    Caller::connect(&node.grpc).await.touch(WIDE, 0..counters).await;
    let is_saved = node.saved().await;
    node.kill();
    let bytes = home.data_bytes();
    let mut node = home.start_with_room(2 * counters);
    let mut caller = Caller::connect(&node.grpc).await;
    caller.used(WIDE, 0..1).await;
    let ready = node.spawned.elapsed();
    let used = caller.used(WIDE, 0..counters).await;
    let missing = used.iter().filter(|used| **used != 1).count();
    node.kill();
    figures.add("counters", counters).add_ms("ready", ready).add("bound_ms", bound.as_millis());
    figures.add("judged", form::is_long()).add("missing", missing).add("data_bytes", bytes);
    figures.hold(is_saved, "what was decided was not on disk within 30 s");
    figures.hold(missing == 0, "counters are missing or wrong");
    figures.hold(!form::is_long() || ready <= bound, "the first answer came too late");
    figures.finish();
}
