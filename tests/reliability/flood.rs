//! T-KEY: callers that invent keys without end neither lift a limit that is reached nor fill the memory.
//!
//! A call of many descriptors is admitted or denied as one, so a denied one is asked again one by one: what one
//! descriptor was told is then its own.

use std::collections::BTreeSet;

use tollgate::pb::descriptor::RateLimitDescriptor;

use crate::caller::{Caller, FROM_FIRST_HIT, Rule, asking, policy};
use crate::figures::Figures;
use crate::form::{
    self, DISK_BYTES_BESIDES, DISK_BYTES_PER_COUNTER, Dice, MEMORY_BYTES_BESIDES,
    MEMORY_BYTES_PER_COUNTER, sized,
};
use crate::node::{Home, Node};
use crate::support::is_ok;

const NARROW: Rule = Rule { name: "narrow", amount: 5 };
const RULES: u32 = 1;
const VICTIMS: u32 = 10;

const DESCRIPTORS_PER_CALL: u32 = 50;

/// Keys between two looks at the victims and at the counters.
const LOOK_EVERY: u32 = 5_000;

/// How a flood makes its keys.
#[derive(Clone, Copy, Debug)]
enum Shape {
    OneHit,
    TwoHits,
    NearEqual,
    Sequential,
}

const SHAPES: [Shape; 4] = [Shape::OneHit, Shape::TwoHits, Shape::NearEqual, Shape::Sequential];

impl Shape {
    fn value(self, number: u32, dice: &mut Dice) -> String {
        match self {
            Self::OneHit => format!("{:016x}", dice.number()),
            Self::TwoHits => format!("{:016x}{:016x}", dice.number(), dice.number()),
            Self::NearEqual => format!("{}{number:08}", "tenant-of-the-same-name-".repeat(4)),
            Self::Sequential => format!("s{number}"),
        }
    }

    fn rounds(self) -> usize {
        match self {
            Self::TwoHits => 2,
            Self::OneHit | Self::NearEqual | Self::Sequential => 1,
        }
    }
}

/// What the flood did.
#[derive(Debug, Default)]
struct Flood {
    attackers_admitted: u64,
    victims_admitted: u64,
    counters_max: f64,
}

impl Flood {
    async fn ask(&mut self, caller: &mut Caller, keys: &[String]) {
        let hits = |keys: &[String]| -> Vec<RateLimitDescriptor> {
            keys.iter().map(|key| asking(NARROW, key, 1)).collect()
        };
        if is_ok(&caller.ask(hits(keys)).await) {
            self.attackers_admitted += u64::try_from(keys.len()).unwrap();
            return;
        }
        for hit in hits(keys) {
            self.attackers_admitted += u64::from(is_ok(&caller.ask(vec![hit]).await));
        }
    }

    async fn look(&mut self, node: &Node, caller: &mut Caller) {
        for number in 0..VICTIMS {
            self.victims_admitted += u64::from(caller.take(NARROW.key(number), 1).await);
        }
        let counters = node.metric("tollgate_counters").await.unwrap_or(f64::MAX);
        self.counters_max = self.counters_max.max(counters);
    }

    async fn run(&mut self, node: &Node, caller: &mut Caller, shape: Shape, keys: u32) {
        let mut dice = Dice::new(&format!("{shape:?}"));
        for from in (0..keys).step_by(usize::try_from(DESCRIPTORS_PER_CALL).unwrap()) {
            let numbers = from..keys.min(from + DESCRIPTORS_PER_CALL);
            let keys: Vec<String> = numbers.map(|number| shape.value(number, &mut dice)).collect();
            for _ in 0..shape.rounds() {
                self.ask(caller, &keys).await;
            }
            if from % LOOK_EVERY == 0 {
                self.look(node, caller).await;
            }
        }
        self.look(node, caller).await;
    }
}

/// The series of a page of metrics, without their values.
fn series(page: &str) -> BTreeSet<String> {
    let lines = page.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.filter_map(|line| line.rsplit_once(' ')).map(|(series, _)| series.to_owned()).collect()
}

/// The sum over all rules of a counter in the metrics.
fn total(page: &str, name: &str) -> f64 {
    let lines = page.lines().filter(|line| line.starts_with(name));
    lines
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .fold(0.0, |sum, value| sum + value)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invented_keys_lift_no_limit_and_fill_no_memory() {
    let _turn = form::turn().await;
    let mut figures = Figures::new("T-KEY");
    let (cap, keys) = sized((10_000, 100_000), (100_000, 1_000_000));
    let home = Home::new(&policy(&[NARROW.yaml(FROM_FIRST_HIT, "")]));
    let mut node = home.start_with_room(cap);
    let mut caller = Caller::connect(&node.grpc).await;
    for number in 0..VICTIMS {
        caller.drain(NARROW.key(number)).await;
    }
    assert!(is_ok(&caller.ask(vec![asking(NARROW, "nobody", 1)]).await));
    let series_before = series(&node.metrics().await);
    let memory_before = node.resident_bytes();
    let mut flood = Flood::default();
    for shape in SHAPES {
        flood.run(&node, &mut caller, shape, keys / 4).await;
    }
    let is_saved = node.saved().await;
    let page = node.metrics().await;
    let series_after = series(&page);
    let fresh: Vec<&String> = series_after.difference(&series_before).collect();
    let evicted = total(&page, "tollgate_counters_evicted_total");
    let overflow = total(&page, "tollgate_overflow_hits_total");
    let memory = node.resident_bytes().saturating_sub(memory_before);
    let disk = home.data_bytes();
    node.kill();

    let memory_max = u64::from(cap) * MEMORY_BYTES_PER_COUNTER + MEMORY_BYTES_BESIDES;
    let disk_max = u64::from(cap) * DISK_BYTES_PER_COUNTER + DISK_BYTES_BESIDES;
    // A counter that had its turn and was evicted has admitted no more than its amount either.
    let attackers_max = (f64::from(cap) + evicted + 1.0) * f64::from(NARROW.amount);
    figures.add("cap", cap).add("keys", keys).add("victims_admitted", flood.victims_admitted);
    figures.add("counters_max", flood.counters_max).add("series_added", fresh.len());
    figures.add("attackers_admitted", flood.attackers_admitted);
    figures.add("attackers_bound", attackers_max).add("evicted", evicted).add("overflow", overflow);
    figures.add("memory_bytes", memory).add("memory_bound", memory_max);
    figures.add("disk_bytes", disk).add("disk_bound", disk_max);
    figures.hold(flood.victims_admitted == 0, "a limit that was reached admitted again");
    figures
        .hold(flood.counters_max <= f64::from(cap + RULES), "there are more counters than may be");
    figures.hold(fresh.is_empty(), format!("the flood made metrics: {fresh:?}"));
    let attackers = u32::try_from(flood.attackers_admitted).map_or(f64::MAX, f64::from);
    figures.hold(attackers <= attackers_max, "the flood was admitted more than its counters have");
    figures.hold(is_saved, "what was decided was not on disk within 30 s");
    figures.hold(memory <= memory_max, "the memory grew too much");
    figures.hold(disk <= disk_max, "the data file grew too much");
    figures.finish();
}
