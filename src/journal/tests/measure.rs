//! What commits and restores cost on the disk at hand. Prints figures and judges none of them.

use std::time::{Duration, Instant};

use super::super::simulated::Random;
use super::*;

const RECORD_BYTES: usize = 34;

#[expect(clippy::disallowed_methods, reason = "the time it takes is what is measured")]
fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let value = work();
    (start.elapsed(), value)
}

/// So many changed counters, spread over the parts as keys are.
fn changes(random: &mut Random, counters: usize) -> Vec<(Part, Vec<u8>)> {
    let mut parts: BTreeMap<Part, Vec<u8>> = BTreeMap::new();
    for _ in 0..counters {
        let part = Part::try_from(random.below(256)).unwrap();
        let record: Vec<u8> = (0..RECORD_BYTES).map(|_| random.next().to_le_bytes()[0]).collect();
        parts.entry(part).or_default().extend(record);
    }
    parts.into_iter().collect()
}

fn image(random: &mut Random, records: usize) -> Vec<u8> {
    (0..records * RECORD_BYTES).map(|_| random.next().to_le_bytes()[0]).collect()
}

#[test]
fn commits_of_changed_counters() {
    let commits = if is_long() { 1_000 } else { 60 };
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(1);
    let mut journal = Journal::open(folder.path(), SEED).unwrap();
    // 100,000 counters.
    let records = 391;
    let images = (0..256).map(|part| (part, image(&mut random, records))).collect();
    let stamp = stamp(&mut random);
    let first = Batch { stamp, changes: Vec::new(), images, rows: Vec::new() };
    let first = journal.commit(&first).unwrap();
    let (mut times, mut written, mut images_due, mut next) = (Vec::new(), 0, 0, 0);
    let (mut log_max, mut file_max) = (0, first.file_bytes);
    for _ in 0..commits {
        let changes = changes(&mut random, 500);
        let mut images = Vec::new();
        while images_due > 0 {
            images.push((next % 256, image(&mut random, records)));
            images_due -= i64::try_from(records * RECORD_BYTES).unwrap();
            next += 1;
        }
        let batch = Batch { stamp, changes, images, rows: Vec::new() };
        let (time, committed) = timed(|| journal.commit(&batch).unwrap());
        images_due += i64::try_from(committed.change_bytes).unwrap();
        times.push(time);
        written += committed.written_bytes;
        log_max = log_max.max(committed.log_bytes);
        file_max = file_max.max(committed.file_bytes);
    }
    times.sort_unstable();
    println!(
        "MEASURE commits={commits} of 500 counters: median={:?} p99={:?} worst={:?} \
         written/commit={} file after the first={} at most={file_max} log at most={log_max}",
        times[times.len() / 2],
        times[times.len() * 99 / 100],
        times[times.len() - 1],
        written / commits,
        first.file_bytes,
    );
}

#[test]
fn restoring_after_a_kill() {
    let records = if is_long() { 4_000 } else { 200 };
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(2);
    let mut journal = Journal::open(folder.path(), SEED).unwrap();
    let stamp = stamp(&mut random);
    for parts in 0..16 {
        let images = (parts * 16..parts * 16 + 16).map(|part| (part, image(&mut random, records)));
        let (images, changes) = (images.collect(), changes(&mut random, 500));
        journal.commit(&Batch { stamp, changes, images, rows: Vec::new() }).unwrap();
    }
    // A copy of the open file is what a kill leaves.
    let killed = tempfile::tempdir().unwrap();
    std::fs::copy(folder.path().join("tollgate.redb"), killed.path().join("tollgate.redb"))
        .unwrap();
    let (opening, found) = timed(|| Journal::open(killed.path(), SEED).unwrap());
    let (restoring, restored) = timed(|| found.restore(&mut |_, _, _, _| {}).unwrap());
    assert_eq!(restored, journal.restore(&mut |_, _, _, _| {}).unwrap());
    println!(
        "MEASURE restore of 256 images of {records} records after a kill: bytes={} open={opening:?} \
         restore={restoring:?}",
        restored.bytes,
    );
}
