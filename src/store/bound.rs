//! The bound of memory: how many counters there may be, and what happens beyond.
//!
//! A counter weighs one for a fixed window, else as many as it takes the memory of. A counter that
//! is near its limit is never given up before it is idle, so flooding the table frees nobody.

use std::path::Path;
use std::sync::atomic::Ordering;

use super::memory::MemoryStore;
use super::shard::{Mark, Shard, ShortKey};
use crate::decide::{Charge, CounterKey};
use crate::policy::set::{CounterBase, CounterSeed, LimitSalt};
use crate::time::Timestamp;

/// Memory for each unit of weight, when tables are as empty as they get: at the moment at which
/// they have just doubled.
pub const BYTES_PER_COUNTER: u64 = 80;

/// What nobody said otherwise: as many as fit in half of the memory, within reason.
const LEAST: u64 = 10_000;
const MOST: u64 = 10_000_000;

/// The counter that all new keys of a rule share when there is no room for their own.
pub(super) fn overflow_key(charge: &Charge<'_>) -> CounterKey {
    let base = charge.rule.map_or(CounterBase::SHARED, |rule| rule.overflow);
    base.with_limit(LimitSalt::new(CounterSeed([0, 0]), charge.limit))
}

impl MemoryStore {
    /// Says how many counters there may be; those beyond are given up, the least used first.
    pub fn set_counters_max(&self, max: usize, now: Timestamp) {
        self.counters_max.store(max, Ordering::Relaxed);
        self.trim(now);
    }

    pub fn counters_max(&self) -> usize {
        self.counters_max.load(Ordering::Relaxed)
    }

    /// Counters given up, though they were in use, to make room for others.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// What all counters weigh.
    pub fn weight(&self) -> usize {
        self.weight.load(Ordering::Relaxed)
    }

    pub(super) fn has_room(&self, more: usize) -> bool {
        self.weight().saturating_add(more) <= self.counters_max()
    }

    pub(super) fn count_given_up(&self, was_live: bool) {
        self.evicted.fetch_add(u64::from(was_live), Ordering::Relaxed);
    }

    /// Tells all what a shard has come to weigh.
    pub(super) fn weigh(&self, shard: &mut Shard) {
        if shard.weight != shard.weight_told {
            let more = shard.weight.wrapping_sub(shard.weight_told);
            self.weight.fetch_add(more, Ordering::Relaxed);
            shard.weight_told = shard.weight;
        }
    }

    /// Gives up what was restored beyond the bound, the least used first.
    fn trim(&self, now: Timestamp) {
        let each = self.counters_max() / super::memory::SHARD_COUNT;
        for index in 0..super::memory::SHARD_COUNT {
            let mut shard = self.lock(index);
            if self.has_room(0) || shard.weight <= each {
                continue;
            }
            let mut listed: Vec<(u8, ShortKey)> =
                shard.counters.iter().map(|held| (held.mark.level(), held.key)).collect();
            listed.sort_unstable();
            for (level, key) in listed {
                if Mark::from_level(level).is_near() || shard.weight <= each {
                    break;
                }
                let was_live = shard.give_up(key, now);
                self.count_given_up(was_live);
            }
            self.weigh(&mut shard);
        }
    }
}

/// The default of `max-counters`, and where the memory is said that it comes from.
pub fn default_counters_max() -> (usize, String) {
    let (bytes, source) = memory_limit();
    let fitting = bytes / 2 / BYTES_PER_COUNTER;
    let max = usize::try_from(fitting.clamp(LEAST, MOST)).unwrap_or(usize::MAX);
    (max, source)
}

/// The memory that this process may use: of its cgroup, else of the machine.
fn memory_limit() -> (u64, String) {
    let number =
        |path: &str| std::fs::read_to_string(Path::new(path)).ok()?.trim().parse::<u64>().ok();
    let total = total_memory();
    let of_cgroup = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .into_iter()
        .find_map(number)
        .filter(|limit| total.is_none_or(|total| *limit < total));
    let mebibytes = |bytes: u64| bytes / (1024 * 1024);
    match (of_cgroup, total) {
        (Some(limit), _) => (limit, format!("the cgroup's {} MiB of memory", mebibytes(limit))),
        (None, Some(total)) => (total, format!("{} MiB of memory", mebibytes(total))),
        (None, None) => (0, "no known size of memory".to_owned()),
    }
}

fn total_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes.saturating_mul(1024))
}
