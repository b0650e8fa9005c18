//! T-SIZE: what a counter takes in memory and on disk, beside the bare size of what it must know.
//!
//! Nothing is judged here: the figures are for whoever sizes an installation.

use crate::caller::{CENTURY, Caller, Rule, policy};
use crate::figures::Figures;
use crate::form::{self, sized};
use crate::node::Home;

const WIDE: Rule = Rule { name: "wide", amount: 1_000 };

/// 16 bytes of key and 16 bytes of state.
const BARE_BYTES: u32 = 32;

/// Bytes of one, with a digit after the point.
fn each(bytes: u64, counters: u32) -> String {
    let tenths = bytes * 10 / u64::from(counters);
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_size_of_a_counter_is_measured() {
    let _turn = form::turn().await;
    let mut figures = Figures::new("T-SIZE");
    let sizes = sized([10_000, 100_000], [10_000, 1_000_000]);
    let home = Home::new(&policy(&[WIDE.yaml(CENTURY, "")]));
    let mut node = home.start_with_room(2 * sizes[1]);
    let mut caller = Caller::connect(&node.grpc).await;
    // What the first call alone makes the process hold is no counter's.
    caller.touch(WIDE, 0..1).await;
    let mut is_saved = node.saved().await;
    let (memory_before, disk_before) = (node.resident_bytes(), home.data_bytes());
    figures.add("bare", BARE_BYTES);
    let mut from = 1;
    for counters in sizes {
        caller.touch(WIDE, from..counters).await;
        from = counters;
        is_saved &= node.saved().await;
        let memory = node.resident_bytes().saturating_sub(memory_before);
        let disk = home.data_bytes().saturating_sub(disk_before);
        figures.add(&format!("memory_each_{counters}"), each(memory, counters));
        figures.add(&format!("disk_each_{counters}"), each(disk, counters));
    }
    node.kill();
    figures.add("on_disk", is_saved);
    figures.finish();
}
