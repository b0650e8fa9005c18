//! T-STRICT: with `strict: true` no crash admits a single hit twice, and takes little from users.
//!
//! The counters live through all cycles, so what one crash would hand out is found at the end.

use std::collections::BTreeMap;

use crate::caller::{Caller, FROM_FIRST_HIT, Key, Rule, policy};
use crate::crash::{crash, moment};
use crate::figures::Figures;
use crate::form::{self, Dice, sized};
use crate::node::Home;

const STRICT: Rule = Rule { name: "strict", amount: 200 };

/// What one crash may take from the users of one counter: 1 % of the amount.
const BLOCK: u64 = 2;

/// The worst of all cycles.
#[derive(Debug, Default)]
struct Worst {
    /// Admitted hits that a restart did not know of.
    forgotten: u64,
    /// Hits that no caller had and no call in flight explains.
    unspent: u64,
    invented: bool,
    /// Calls that were denied although the counter had room, since the disk had not reserved for them in time.
    denied_early: u64,
    failures: usize,
}

async fn cycles(home: &Home, cycles: u32, keys: u32, rate: u32) -> (Worst, BTreeMap<Key, u64>) {
    let mut dice = Dice::new("strict");
    let mut worst = Worst::default();
    let mut admitted: BTreeMap<Key, u64> = BTreeMap::new();
    let mut before = vec![0; usize::try_from(keys).unwrap()];
    let mut node = home.start();
    for cycle in 0..cycles {
        let mut choice = Dice::new(&format!("strict {cycle}"));
        let choose = move || STRICT.key(choice.below(keys));
        let crash = crash(&mut node, rate, moment(&mut dice, rate), choose).await;
        worst.failures += crash.failures().len();
        node = home.start();
        let mut caller = Caller::connect(&node.grpc).await;
        let restored = caller.used(STRICT, 0..keys).await;
        let tallies = crash.tallies();
        for (number, (before, restored)) in (0..).zip(before.iter().zip(&restored)) {
            let tally = tallies.get(&STRICT.key(number)).cloned().unwrap_or_default();
            let known = before + tally.admitted_count();
            worst.forgotten = worst.forgotten.max(known.saturating_sub(*restored));
            let unspent = tally.unspent(*before, *restored, crash.killed);
            worst.unspent = worst.unspent.max(unspent);
            if *restored < u64::from(STRICT.amount) {
                worst.denied_early += tally.denied.len() as u64;
            }
            worst.invented |= *restored > u64::from(STRICT.amount);
            *admitted.entry(STRICT.key(number)).or_default() += tally.admitted_count();
        }
        before = restored;
    }
    let mut caller = Caller::connect(&node.grpc).await;
    for (key, admitted) in &mut admitted {
        *admitted += caller.drain(*key).await;
    }
    node.kill();
    (worst, admitted)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strict_rule_admits_its_amount_and_no_more_over_all_crashes() {
    let _turn = form::turn().await;
    let mut figures = Figures::new("T-STRICT");
    let (count, keys, rate) = sized((12, 40, 1_000), (200, 2_000, 5_000));
    let home = Home::new(&policy(&[STRICT.yaml(FROM_FIRST_HIT, "    strict: true\n")]));
    let (worst, admitted) = cycles(&home, count, keys, rate).await;
    let limit = u64::from(STRICT.amount);
    let above: u64 = admitted.values().map(|admitted| admitted.saturating_sub(limit)).sum();
    let least = admitted.values().min().copied().unwrap_or_default();
    figures.add("cycles", count).add("keys", keys).add("rate", rate).add("amount", limit);
    figures.add("x", above).add("forgotten_max", worst.forgotten);
    figures.add("unspent_max", worst.unspent).add("bound", BLOCK).add("admitted_min", least);
    figures.add("denied_early", worst.denied_early).add("failures", worst.failures);
    figures.hold(above == 0, format!("{above} hits above the amount were admitted"));
    figures.hold(worst.forgotten == 0, "admitted hits were not counted after a restart");
    figures.hold(worst.unspent <= BLOCK, "one crash took more than a block from a counter");
    figures.hold(!worst.invented, "more is counted than the amount");
    figures.hold(worst.failures == 0, "calls failed while the server ran");
    figures.finish();
}
