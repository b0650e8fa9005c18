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

/// Memory for each unit of weight, when tables are as empty as they get: they have just doubled,
/// and the allocator still holds what they were before.
pub const BYTES_PER_COUNTER: u64 = 128;

/// Shards that are looked at for a counter to give up, besides that of the new one.
const SHARDS_LOOKED_AT: usize = 16;

/// What the process takes besides.
const BESIDES: u64 = 64 << 20;

/// What nobody said otherwise, within reason.
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

    /// Counters of strict rules are never given up, so they may take half of the room alone.
    pub(super) fn has_room_for_strict(&self) -> bool {
        self.strict_weight.load(Ordering::Relaxed) <= self.counters_max() / 2
    }

    pub(super) fn count_given_up(&self, was_live: bool) {
        self.evicted.fetch_add(u64::from(was_live), Ordering::Relaxed);
    }

    /// Tells all what a shard has come to weigh.
    pub(super) fn weigh(&self, shard: &mut Shard) {
        let (all, strict) = shard.total_weight();
        let (all_told, strict_told) = shard.weight_told;
        // Less is added as what wraps around to it.
        if all != all_told {
            self.weight.fetch_add(all.wrapping_sub(all_told), Ordering::Relaxed);
        }
        if strict != strict_told {
            self.strict_weight.fetch_add(strict.wrapping_sub(strict_told), Ordering::Relaxed);
        }
        shard.weight_told = (all, strict);
    }

    /// Whether a counter of another shard could be given up, where that is not in use right now.
    /// With few counters for each shard a shard may have none of its own to give up.
    pub(super) fn gives_up_elsewhere(&self, start: u64, is_trial: bool, now: Timestamp) -> bool {
        let first = usize::try_from(start % super::memory::SHARD_COUNT as u64).unwrap_or(0);
        for step in 0..SHARDS_LOOKED_AT {
            let index = (first + step) % super::memory::SHARD_COUNT;
            // Waiting for one while others are held could never end.
            let Some(mut shard) = self.try_lock(index) else { continue };
            if let Some(least) = shard.least_missed(start, now) {
                if !is_trial {
                    let was_live = shard.give_up(least, now);
                    self.count_given_up(was_live);
                    self.weigh(&mut shard);
                }
                return true;
            }
        }
        false
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

/// The default of `max-counters`: as many as fit in half of what is left of the memory. And where the memory is said that it comes from.
pub fn default_counters_max() -> (usize, String) {
    let (bytes, source) = memory_limit();
    let left = bytes.saturating_sub(BESIDES).max(bytes / 8);
    let fitting = left / 2 / BYTES_PER_COUNTER;
    let max = usize::try_from(fitting.clamp(LEAST, MOST)).unwrap_or(usize::MAX);
    match fitting > MOST {
        true => (max, "the most that is taken without being told".to_owned()),
        false => (max, format!("at most half of what is left of {source}")),
    }
}

/// The memory that this process may use: of its cgroup, else of the machine.
fn memory_limit() -> (u64, String) {
    let total = total_memory();
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let of_cgroup = limit_of_cgroup(&own, &|path| std::fs::read_to_string(path).ok())
        .filter(|limit| total.is_none_or(|total| *limit < total));
    let mebibytes = |bytes: u64| bytes / (1024 * 1024);
    match (of_cgroup, total) {
        (Some(limit), _) => (limit, format!("the cgroup's {} MiB of memory", mebibytes(limit))),
        (None, Some(total)) => (total, format!("{} MiB of memory", mebibytes(total))),
        (None, None) => (0, "no known size of memory".to_owned()),
    }
}

/// The least limit of a process's cgroup and of those above it, of either version. `own` is what
/// the kernel says of the process; in a container its cgroup is the root of what can be seen.
fn limit_of_cgroup(own: &str, read: &dyn Fn(&Path) -> Option<String>) -> Option<u64> {
    let number = |path: &Path| read(path)?.trim().parse::<u64>().ok();
    let hierarchies = own.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        match controllers {
            "" => Some(("/sys/fs/cgroup", "memory.max", path)),
            _ if controllers.split(',').any(|it| it == "memory") => {
                Some(("/sys/fs/cgroup/memory", "memory.limit_in_bytes", path))
            }
            _ => None,
        }
    });
    let limits = hierarchies.flat_map(|(root, file, path)| {
        let inside = Path::new(path.trim_start_matches('/'));
        inside.ancestors().map(move |part| Path::new(root).join(part).join(file))
    });
    limits.filter_map(|path| number(&path)).min()
}

fn total_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_cgroup_counts_and_one_without_a_limit_does_not() {
        let files = [
            ("/sys/fs/cgroup/memory.max", "max"),
            ("/sys/fs/cgroup/a/memory.max", "3000\n"),
            ("/sys/fs/cgroup/a/b/memory.max", "5000\n"),
            ("/sys/fs/cgroup/memory/c/memory.limit_in_bytes", "700"),
        ];
        let read = |path: &Path| {
            let found = files.iter().find(|(name, _)| Path::new(name) == path);
            found.map(|(_, text)| (*text).to_owned())
        };
        assert_eq!(limit_of_cgroup("0::/a/b\n", &read), Some(3_000));
        assert_eq!(limit_of_cgroup("0::/\n", &read), None);
        assert_eq!(limit_of_cgroup("4:cpu,memory:/c\n1:cpuset:/\n", &read), Some(700));
        assert_eq!(limit_of_cgroup("", &read), None);
    }

    #[test]
    fn the_default_is_within_reason() {
        let (max, reason) = default_counters_max();
        assert!((10_000..=10_000_000).contains(&max), "{max} for {reason}");
    }
}
