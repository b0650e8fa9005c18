//! The journal against a plain model: what was committed is there after everything that can happen.
//!
//! `TOLLGATE_LONG=1` runs the long forms; each test prints its figures in one line.

mod damage;
mod faults;
mod measure;
mod power;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::simulated::{Random, Simulated};
use super::*;

const SEED: [u64; 2] = [7, 11];

/// Whether the long forms are asked for.
#[expect(clippy::disallowed_methods, reason = "a switch of tests, not a setting")]
fn is_long() -> bool {
    std::env::var("TOLLGATE_LONG").is_ok_and(|value| value == "1")
}

/// Image of a part, and the changes after it.
type Held = (Option<Vec<u8>>, Vec<Vec<u8>>);

/// What a file holds, as `restore` and `rows` tell it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct State {
    parts: BTreeMap<Part, Held>,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    last: Option<Stamp>,
}

impl State {
    fn after(&self, batch: &Batch) -> Self {
        let mut state = self.clone();
        for (part, change) in &batch.changes {
            state.parts.entry(*part).or_default().1.push(change.clone());
        }
        for (part, image) in &batch.images {
            state.parts.insert(*part, (Some(image.clone()), Vec::new()));
        }
        for row in &batch.rows {
            match &row.value {
                Some(value) => state.rows.insert(row.key.to_vec(), value.to_vec()),
                None => state.rows.remove(&*row.key),
            };
        }
        state.last = Some(batch.stamp);
        state
    }

    fn of(journal: &Journal) -> Result<Self, JournalError> {
        let mut state = Self::default();
        let restored = journal.restore(&mut |part, _, kind, bytes| {
            let held = state.parts.entry(part).or_default();
            match kind {
                Kind::Image => {
                    assert!(held.0.is_none() && held.1.is_empty(), "an image comes first, once");
                    held.0 = Some(bytes.to_vec());
                }
                Kind::Change => held.1.push(bytes.to_vec()),
            }
        })?;
        state.last = restored.last;
        journal.rows(&[], &[0xff; 9], &mut |key, value| {
            state.rows.insert(key.to_vec(), value.to_vec());
            ControlFlow::Continue(())
        })?;
        Ok(state)
    }

    /// An image of every part, as the caller of `heal` has them.
    fn whole(&self, random: &mut Random, rows: Vec<Row>) -> Batch {
        let parts = self.parts.keys().copied();
        let images = parts.map(|part| (part, bytes(random, 3_000))).collect();
        Batch { stamp: stamp(random), changes: Vec::new(), images, rows }
    }
}

/// Without the flood of bytes that a comparison would print.
#[track_caller]
fn same(journal: &Journal, expected: &State, when: &str) {
    assert!(State::of(journal).unwrap() == *expected, "{when}: not what was committed");
}

fn stamp(random: &mut Random) -> Stamp {
    let at = Timestamp::from_nanos(random.next().cast_signed());
    Stamp { at, shifted: random.next().cast_signed() }
}

fn bytes(random: &mut Random, bound: u64) -> Vec<u8> {
    let length = random.below(bound);
    (0..length).map(|_| random.next().to_le_bytes()[0]).collect()
}

fn batch(random: &mut Random) -> Batch {
    let changes = (0..random.below(5)).map(|_| {
        let part = Part::try_from(random.below(6)).unwrap();
        (part, bytes(random, 600))
    });
    let changes: Vec<_> = changes.collect();
    let mut images = Vec::new();
    for part in 0..6 {
        if random.one_in(8) {
            images.push((part, bytes(random, 9_000)));
        }
    }
    let rows = (0..random.below(4)).map(|_| {
        let key = vec![random.next().to_le_bytes()[0] % 40; 8].into_boxed_slice();
        let value = (!random.one_in(4)).then(|| bytes(random, 300).into_boxed_slice());
        Row { key, value }
    });
    let rows = rows.collect();
    Batch { stamp: stamp(random), changes, images, rows }
}

fn open(disk: &Simulated) -> Result<Journal, OpenError> {
    Journal::open_in(Files::Simulated(disk.clone()), SEED)
}

#[test]
fn what_was_committed_is_there_after_a_reopen() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("below").join("data");
    let mut random = Random(1);
    let mut state = State::default();
    for _ in 0..5 {
        let mut journal = Journal::open(&directory, [random.next(), 3]).unwrap();
        assert_eq!(State::of(&journal).unwrap(), state);
        for _ in 0..20 {
            let batch = batch(&mut random);
            let committed = journal.commit(&batch).unwrap();
            state = state.after(&batch);
            assert_eq!(committed.log_bytes, journal.log_bytes());
            assert_eq!(journal.last().unwrap(), (committed.sequence, batch.stamp));
        }
        assert_eq!(State::of(&journal).unwrap(), state);
    }
    assert_eq!(Journal::open(&directory, [0, 0]).unwrap().seed(), [Random(1).next(), 3]);
}

#[test]
fn a_journal_moves_to_its_thread() {
    let journal = open(&Simulated::default()).unwrap();
    let last = std::thread::spawn(move || journal.last()).join().unwrap();
    assert_eq!(last, None);
}

#[test]
fn only_this_user_reads_the_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("data");
    let _journal = Journal::open(&directory, SEED).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(&directory.join("tollgate.redb")), 0o600);
    let names: Vec<_> = std::fs::read_dir(&directory).unwrap().collect();
    assert_eq!(names.len(), 1, "one file: {names:?}");
}

#[test]
fn the_log_is_shortened_once_images_have_overtaken_it() {
    let mut journal = open(&Simulated::default()).unwrap();
    let change = |part| (part, vec![1; 1_000]);
    let plain = Batch {
        stamp: Stamp { at: Timestamp::EPOCH, shifted: 0 },
        changes: vec![change(1), change(2)],
        images: Vec::new(),
        rows: Vec::new(),
    };
    let empty = Batch { changes: Vec::new(), ..plain.clone() };
    for _ in 0..10 {
        journal.commit(&plain).unwrap();
    }
    let full = journal.log_bytes();
    assert!(full > 20_000);
    journal.commit(&Batch { images: vec![(1, vec![9])], ..empty.clone() }).unwrap();
    assert!(journal.log_bytes() >= full, "part 2 never had an image");
    assert_eq!(journal.parts()[&2].oldest_change, Some(1));
    assert_eq!(journal.parts()[&1].change_bytes, 0);
    journal.commit(&Batch { changes: vec![change(1)], ..empty.clone() }).unwrap();
    journal.commit(&Batch { images: vec![(2, vec![8])], ..empty.clone() }).unwrap();
    assert!(journal.log_bytes() < 1_300, "only the change after both images is left");
    assert_eq!(journal.parts()[&1].oldest_change, Some(12));
    let mut seen = Vec::new();
    journal.restore(&mut |part, _, kind, _| seen.push((part, kind))).unwrap();
    assert_eq!(seen, [(1, Kind::Image), (2, Kind::Image), (1, Kind::Change)]);
}

#[test]
fn rows_are_read_by_key_until_told_to_stop() {
    let mut journal = open(&Simulated::default()).unwrap();
    let row = |key: u8| Row { key: Box::new([key]), value: Some(Box::new([key, 1])) };
    let stamp = Stamp { at: Timestamp::EPOCH, shifted: 0 };
    let rows = (0..100).map(row).collect();
    let mut batch = Batch { stamp, changes: Vec::new(), images: Vec::new(), rows };
    journal.commit(&batch).unwrap();
    batch.rows = vec![Row { key: Box::new([12]), value: None }];
    journal.commit(&batch).unwrap();
    let mut seen = Vec::new();
    let mut take = |key: &[u8], value: &[u8]| {
        assert_eq!(value, [key[0], 1]);
        seen.push(key[0]);
        if key[0] == 14 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    journal.rows(&[10], &[20], &mut take).unwrap();
    assert_eq!(seen, [10, 11, 13, 14]);
    journal.rows(&[20], &[10], &mut |_, _| panic!("nothing lies between")).unwrap();
}

#[test]
fn a_second_opener_is_told_that_the_file_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let first = Journal::open(folder.path(), SEED).unwrap();
    assert!(matches!(Journal::open(folder.path(), SEED), Err(OpenError::Busy)));
    // A handle of its own, as another process has.
    let path = folder.path().join("tollgate.redb");
    let other = std::fs::File::open(&path).unwrap();
    assert!(matches!(other.try_lock(), Err(std::fs::TryLockError::WouldBlock)));
    drop(first);
    other.try_lock().unwrap();
    assert!(matches!(Journal::open(folder.path(), SEED), Err(OpenError::Busy)));
    assert!(set_aside(folder.path(), Timestamp::EPOCH).is_err(), "in use is not damaged");
    other.unlock().unwrap();
    assert!(Journal::open(folder.path(), SEED).is_ok());
}

#[test]
fn another_process_is_told_that_the_file_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let _journal = Journal::open(folder.path(), SEED).unwrap();
    let path = folder.path().join("tollgate.redb");
    let status =
        std::process::Command::new("flock").arg("--nonblock").arg(&path).arg("true").status();
    match status {
        Ok(status) => assert_eq!(status.code(), Some(1), "the lock is seen from outside"),
        Err(error) => println!("left out, there is no `flock` here: {error}"),
    }
}

#[test]
fn a_file_set_aside_never_takes_the_place_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let now = Timestamp::from_seconds(1_790_000_000);
    assert!(set_aside(folder.path(), now).is_err(), "nothing to set aside");
    let mut names = Vec::new();
    for round in 0..3_u8 {
        std::fs::write(folder.path().join("tollgate.redb"), [round]).unwrap();
        names.push(set_aside(folder.path(), now).unwrap());
    }
    let first = folder.path().join("tollgate.redb.damaged-20260921T141320Z");
    assert_eq!(names[0], first);
    for (round, name) in names.iter().enumerate() {
        assert_eq!(std::fs::read(name).unwrap(), [u8::try_from(round).unwrap()]);
    }
    assert!(!folder.path().join("tollgate.redb").exists());
}

#[test]
fn a_place_that_cannot_be_used_is_named_with_the_next_step() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "text").unwrap();
    for directory in [file.clone(), file.join("below")] {
        let error = Journal::open(&directory, SEED).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, OpenError::Unusable { .. }), "{text}");
        assert!(text.contains("file") && text.contains("; name a directory"), "{text}");
    }
}

#[test]
fn a_panic_of_the_taker_is_the_takers() {
    let mut journal = open(&Simulated::default()).unwrap();
    let batch = batch(&mut Random(3));
    journal.commit(&Batch { images: vec![(1, vec![1])], ..batch }).unwrap();
    let restore = || journal.restore(&mut |_, _, _, _| panic!("mine"));
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(restore)).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"mine"));
    assert!(State::of(&journal).is_ok());
}

#[test]
fn a_record_reads_only_where_it_was_written() {
    let origin = blob::Origin { sequence: 5, stamp: stamp(&mut Random(1)) };
    let image = blob::write_image(origin, 3, b"contents");
    assert_eq!(blob::read_image(3, &image).unwrap(), (origin, b"contents".as_slice()));
    assert!(blob::read_image(4, &image).is_err());
    let log = blob::write_log(origin, &[(1, b"a".to_vec()), (2, Vec::new())]).unwrap();
    assert_eq!(blob::read_log(5, &log).unwrap().1, [(1, b"a".as_slice()), (2, b"".as_slice())]);
    assert!(blob::read_log(6, &log).is_err());
    for at in 0..log.len() {
        assert!(blob::read_log(5, &log[..at]).is_err(), "cut at {at}");
        let mut flipped = log.clone();
        flipped[at] ^= 4;
        assert!(blob::read_log(5, &flipped).is_err(), "flipped at {at}");
    }
}
