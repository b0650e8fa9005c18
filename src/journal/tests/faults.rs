//! T-DISK: operations that fail, disks that fill up, directories that vanish.

use super::super::simulated::{Action, Counts, Fault, Random, Simulated};
use super::*;

/// Commits with one fault in the way; returns whether the fault came up.
fn run_with(faults: &[(Action, u64, Fault)], seed: u64) -> bool {
    let disk = Simulated::default();
    let mut random = Random(seed);
    for (action, nth, fault) in faults {
        disk.fail(*action, *nth, *fault);
    }
    let mut journal = loop {
        match open(&disk) {
            Ok(journal) => break journal,
            Err(OpenError::Unusable { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    };
    let mut state = State::default();
    for _ in 0..40 {
        let batch = batch(&mut random);
        let after = state.after(&batch);
        if journal.commit(&batch).is_ok() {
            state = after;
            continue;
        }
        assert!(matches!(journal.commit(&batch), Err(JournalError::Unhealed)));
        let all = after.whole(&mut random, batch.rows);
        let mut tries = 0;
        let healed = loop {
            match journal.heal(&all) {
                Ok(healed) => break healed,
                Err(_) => tries += 1,
            }
            assert!(tries <= faults.len(), "each fault comes up once");
        };
        assert_eq!(healed.rows_lost, 0);
        state = after.after(&all);
        same(&journal, &state, "right after healing");
    }
    same(&journal, &state, "at the end");
    let came_up = !disk.fault_waits();
    disk.crash_power(seed);
    drop(journal);
    same(&open(&disk).unwrap(), &state, "after a reopen");
    assert_eq!(disk.counts().syncs_after_failure, 0, "no sync is tried twice");
    assert_eq!(disk.names(), ["tollgate.redb"]);
    came_up
}

#[test]
fn every_operation_may_fail_once() {
    let kinds = [
        (Action::Write, Fault::Io),
        (Action::Write, Fault::NoSpace),
        (Action::Sync, Fault::Io),
        (Action::SetLen, Fault::Io),
        (Action::SetLen, Fault::NoSpace),
        (Action::Rename, Fault::Io),
        (Action::SyncDirectory, Fault::Io),
        (Action::Read, Fault::Io),
    ];
    let step = if is_long() { 1 } else { 7 };
    let mut figures = Vec::new();
    for (action, fault) in kinds {
        let runs = (1..=200).step_by(step);
        let came_up = runs.filter(|nth| run_with(&[(action, *nth, fault)], *nth)).count();
        assert!(came_up > 0, "{action:?}");
        figures.push(format!("{action:?}/{fault:?}={came_up}"));
    }
    println!("T-DISK-3 one fault each, n=1..200 step {step}: came up {}", figures.join(" "));
}

#[test]
fn healing_may_fail_too() {
    let mut came_up = 0;
    let step = if is_long() { 1 } else { 5 };
    let actions =
        [Action::Write, Action::Sync, Action::SetLen, Action::Rename, Action::SyncDirectory];
    for action in actions {
        for nth in (1..=60).step_by(step) {
            // The first makes the file be rewritten, the second comes up somewhere in there.
            let first = (Action::Sync, 9, Fault::Io);
            came_up += u64::from(run_with(&[first, (action, nth, Fault::Io)], nth));
        }
    }
    println!("T-DISK-3 a second fault while healing: came up {came_up}");
    assert!(came_up > 20);
}

fn sample(random: &mut Random, bytes_of_row: usize) -> Batch {
    let row =
        |key: u8| Row { key: Box::new([key; 8]), value: Some(vec![key; bytes_of_row].into()) };
    Batch { rows: (0..50).map(row).collect(), ..batch(random) }
}

#[test]
fn a_full_disk_loses_nothing_and_is_gone_on_with_once_there_is_room() {
    let disk = Simulated::default();
    let mut random = Random(5);
    let mut journal = open(&disk).unwrap();
    let first = sample(&mut random, 2_000);
    journal.commit(&first).unwrap();
    let mut state = State::default().after(&first);
    let used = disk.bytes("tollgate.redb").unwrap().len() as u64;
    disk.limit(Some(used));
    let failed = loop {
        let batch = Batch { images: vec![(9, bytes(&mut random, 500_000))], ..batch(&mut random) };
        match journal.commit(&batch) {
            Ok(_) => state = state.after(&batch),
            Err(error) => {
                assert!(error.is_full(), "{error}");
                break batch;
            }
        }
    };
    let after = state.after(&failed);
    let mut all = after.whole(&mut random, failed.rows);
    all.images.push((10, vec![1; 3_000_000]));
    for _ in 0..3 {
        assert!(journal.heal(&all).unwrap_err().is_full());
        assert_eq!(disk.names(), ["tollgate.redb"], "no second file takes room");
    }
    disk.crash_process();
    drop(journal);
    let mut journal = open(&disk).unwrap();
    same(&journal, &state, "the file is as it was");
    assert!(journal.commit(&all).unwrap_err().is_full());
    disk.limit(None);
    let healed = journal.heal(&all).unwrap();
    assert!(!healed.rewritten);
    same(&journal, &state.after(&all), "with room");
}

#[test]
fn a_rewrite_without_room_leaves_the_old_file_as_it_was() {
    let disk = Simulated::default();
    let mut random = Random(6);
    let mut journal = open(&disk).unwrap();
    let first = sample(&mut random, 2_000);
    journal.commit(&first).unwrap();
    let state = State::default().after(&first);
    disk.fail(Action::Sync, 1, Fault::Io);
    let failed = batch(&mut random);
    assert!(journal.commit(&failed).is_err());
    let before = disk.bytes("tollgate.redb").unwrap();
    disk.limit(Some(before.len() as u64 + 300_000));
    let after = state.after(&failed);
    let all = after.whole(&mut random, failed.rows);
    assert!(journal.heal(&all).unwrap_err().is_full());
    assert_eq!(disk.bytes("tollgate.redb").unwrap(), before);
    assert_eq!(disk.names(), ["tollgate.redb", "tollgate.redb.suspect"]);
    disk.limit(None);
    assert!(journal.heal(&all).unwrap().rewritten);
    same(&journal, &after.after(&all), "with room");
    assert_eq!(disk.names(), ["tollgate.redb"]);
}

#[test]
fn a_directory_that_vanished_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("data");
    let mut random = Random(7);
    let mut journal = Journal::open(&directory, SEED).unwrap();
    let first = sample(&mut random, 50);
    journal.commit(&first).unwrap();
    let state = State::default().after(&first);
    for removed in [&directory, &directory.join("tollgate.redb")] {
        match removed.is_dir() {
            true => std::fs::remove_dir_all(removed).unwrap(),
            false => std::fs::remove_file(removed).unwrap(),
        }
        let failed = Batch { rows: Vec::new(), ..batch(&mut random) };
        assert!(matches!(journal.commit(&failed), Err(JournalError::Gone)));
        let all = state.after(&failed).whole(&mut random, Vec::new());
        let healed = journal.heal(&all).unwrap();
        assert_eq!((healed.rewritten, healed.rows_lost), (true, 0), "rows of the lost file");
        assert_eq!(State::of(&journal).unwrap().rows, state.rows);
    }
    drop(journal);
    assert_eq!(State::of(&Journal::open(&directory, SEED).unwrap()).unwrap().rows, state.rows);
}

#[test]
fn rows_that_cannot_be_read_are_counted_not_waited_for() {
    let mut lost = Vec::new();
    for nth in 1..40 {
        let disk = Simulated::default();
        let mut random = Random(8);
        let mut journal = open(&disk).unwrap();
        for _ in 0..4 {
            let first = sample(&mut random, 3_000);
            journal.commit(&first).unwrap();
        }
        disk.fail(Action::Sync, 1, Fault::Io);
        assert!(journal.commit(&batch(&mut random)).is_err());
        let before = State::of(&open_copy(&disk)).unwrap().rows.len() as u64;
        disk.fail(Action::Read, nth, Fault::Io);
        let all = State::default().whole(&mut random, Vec::new());
        // The read that fails may be one of the new file.
        let healed = journal.heal(&all).or_else(|_| journal.heal(&all)).unwrap();
        let left = State::of(&journal).unwrap().rows.len() as u64;
        assert!(healed.rewritten && left + healed.rows_lost >= before);
        lost.push(healed.rows_lost);
    }
    println!("T-DISK-3 rows lost by the n-th read that failed: {lost:?}");
    assert!(lost.iter().any(|lost| *lost > 0) && lost.contains(&0));
}

#[test]
fn a_sync_that_fails_for_want_of_room_while_healing_is_not_tried_again() {
    let disk = Simulated::default();
    let mut random = Random(4);
    let mut journal = open(&disk).unwrap();
    disk.fail(Action::Write, 1, Fault::Io);
    assert!(journal.commit(&batch(&mut random)).is_err());
    let all = State::default().whole(&mut random, Vec::new());
    disk.fail(Action::Sync, 1, Fault::NoSpace);
    while disk.fault_waits() {
        let _ = journal.heal(&all);
    }
    journal.heal(&all).unwrap();
    assert_eq!(disk.counts().syncs_after_failure, 0);
}

/// The engine syncs when it ends a file in good order, too.
#[test]
fn a_sync_that_fails_at_the_end_is_told_to_the_next_process() {
    for seed in 0..100 {
        let disk = Simulated::default();
        let mut random = Random(seed);
        let mut journal = open(&disk).unwrap();
        let mut state = State::default();
        for _ in 0..3 {
            let batch = batch(&mut random);
            journal.commit(&batch).unwrap();
            state = state.after(&batch);
        }
        disk.fail(Action::Sync, 1 + random.below(3), Fault::Io);
        drop(journal);
        disk.crash_process();
        let journal = open(&disk).unwrap();
        same(&journal, &state, "after a sync that failed at the end");
        disk.crash_power(random.next());
        drop(journal);
        let journal = open(&disk).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        same(&journal, &state, "after a loss of power besides");
        assert_eq!(disk.counts().syncs_after_failure, 0, "seed {seed}");
    }
}

/// What another machine would read of the file.
fn open_copy(disk: &Simulated) -> Journal {
    let copy = Simulated::default();
    copy.put("tollgate.redb", disk.bytes("tollgate.redb").unwrap());
    open(&copy).unwrap()
}

#[test]
fn a_commit_syncs_once() {
    let disk = Simulated::default();
    let mut journal = open(&disk).unwrap();
    let mut random = Random(9);
    disk.slow_syncs(true);
    let before = disk.counts();
    for _ in 0..10 {
        journal.commit(&batch(&mut random)).unwrap();
    }
    let Counts { syncs, directory_syncs, slow_syncs, .. } = disk.counts();
    assert_eq!((syncs - before.syncs, slow_syncs), (10, 10));
    assert_eq!(directory_syncs, before.directory_syncs);
}
