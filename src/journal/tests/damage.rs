//! T-COR: files that are not what was written. Each is refused, or holds a state that was committed.

use std::collections::BTreeSet;

use super::super::simulated::{Random, Simulated};
use super::*;

const NAME: &str = "tollgate.redb";
/// The first page, where the engine's own header lies.
const HEADER_BYTES: usize = 4096;

#[derive(Debug, Default)]
struct Figures {
    tried: u64,
    refused: u64,
    harmless: u64,
    /// Opened as the commit before the last: what a commit torn by a loss of power looks like.
    older: u64,
}

/// A file after some commits, with the state after each.
struct Sample {
    bytes: Vec<u8>,
    states: Vec<State>,
}

fn sample(commits: usize, is_closed: bool, seed: u64) -> Sample {
    let disk = Simulated::default();
    let mut random = Random(seed);
    let mut journal = open(&disk).unwrap();
    let mut states = vec![State::default()];
    for _ in 0..commits {
        let batch = batch(&mut random);
        journal.commit(&batch).unwrap();
        states.push(states[states.len() - 1].after(&batch));
    }
    if !is_closed {
        disk.crash_process();
    }
    drop(journal);
    Sample { bytes: disk.bytes(NAME).unwrap(), states }
}

/// Opens bytes as the file; which of the states they hold, when they are not refused.
fn look(bytes: Vec<u8>, states: &[State]) -> Option<usize> {
    let disk = Simulated::default();
    disk.put(NAME, bytes);
    match open(&disk) {
        Ok(journal) => {
            let found = State::of(&journal).unwrap();
            assert_eq!(journal.seed(), SEED);
            let which = states.iter().position(|state| *state == found);
            assert!(which.is_some(), "a state that was never committed");
            which
        }
        Err(OpenError::Damaged(_)) => None,
        Err(error) => panic!("damage is called damage: {error}"),
    }
}

impl Figures {
    fn add(&mut self, bytes: Vec<u8>, states: &[State]) {
        self.tried += 1;
        match look(bytes, states) {
            None => self.refused += 1,
            Some(which) if which + 1 == states.len() => self.harmless += 1,
            Some(which) if which + 2 == states.len() => self.older += 1,
            Some(which) => panic!("state {which} of {}", states.len()),
        }
    }
}

/// All bytes of the header, and one in `stride` of the others.
fn places(header: usize, len: usize, stride: usize) -> impl Iterator<Item = usize> {
    (0..header).chain((header..len).step_by(stride))
}

#[test]
fn a_flipped_byte_is_refused_or_harmless() {
    for (is_closed, name) in [(true, "closed"), (false, "killed")] {
        let sample = sample(6, is_closed, 3);
        assert_eq!(look(sample.bytes.clone(), &sample.states), Some(6));
        let mut figures = Figures::default();
        let mut random = Random(4);
        // The engine uses no more than the first sector of its page.
        let header = if is_closed || is_long() { HEADER_BYTES } else { 512 };
        // Every single byte takes more than an hour.
        let stride = if is_long() { 13 } else { 1_021 };
        for at in places(header, sample.bytes.len(), stride) {
            let mut bytes = sample.bytes.clone();
            bytes[at] ^= 1 << random.below(8);
            figures.add(bytes, &sample.states);
        }
        println!("T-COR flips {name} bytes={} {figures:?} panics=0", sample.bytes.len());
        assert!(figures.refused > 0 && figures.harmless > 0);
        assert!(!is_closed || figures.older == 0, "a file closed in good order has no other state");
    }
}

#[test]
fn a_cut_file_is_refused() {
    let mut figures = Figures::default();
    for is_closed in [true, false] {
        let sample = sample(6, is_closed, 5);
        let stride = if is_long() { 97 } else { 8_191 };
        let pages = (0..sample.bytes.len()).step_by(4096);
        let starts = 0..if is_long() { 5_000 } else { 400 };
        for len in starts.chain((0..sample.bytes.len()).step_by(stride)).chain(pages) {
            figures.add(sample.bytes[..len].to_vec(), &sample.states);
        }
    }
    println!("T-COR cuts {figures:?} panics=0");
    assert!(figures.refused * 2 > figures.tried);
}

#[test]
fn an_older_file_opens_as_what_it_is() {
    let older = sample(3, true, 6);
    let later = sample(9, true, 6);
    assert_eq!(look(older.bytes.clone(), &later.states), Some(3));
    // Pages of one generation in the file of another.
    let mut random = Random(7);
    let (mut refused, mut opened) = (0, BTreeSet::new());
    for _ in 0..if is_long() { 3_000 } else { 100 } {
        let mut bytes = later.bytes.clone();
        let pages = older.bytes.len().min(bytes.len()) / 4096;
        let page = usize::try_from(random.below(pages as u64)).unwrap() * 4096;
        bytes[page..page + 4096].copy_from_slice(&older.bytes[page..page + 4096]);
        match look(bytes, &later.states) {
            None => refused += 1,
            Some(which) => {
                opened.insert(which);
            }
        }
    }
    println!("T-COR pages of an older file: refused={refused} opened as commits {opened:?}");
    assert!(refused > 0);
}

#[test]
fn a_foreign_file_is_refused() {
    let mut random = Random(8);
    let mut noise: Vec<u8> = (0..100_000).map(|_| random.next().to_le_bytes()[0]).collect();
    let mut foreign = vec![
        Vec::new(),
        b"counters: []\n".to_vec(),
        b"counters: []\n".repeat(5_000),
        vec![0; 100],
        vec![0; 1_056_768],
        vec![0xff; 1_056_768],
        noise.clone(),
    ];
    // The right beginning, and nothing right behind it.
    let whole = sample(2, true, 8);
    noise[..12].copy_from_slice(&whole.bytes[..12]);
    foreign.push(noise.clone());
    noise[..64].copy_from_slice(&whole.bytes[..64]);
    foreign.push(noise);
    for bytes in foreign {
        let before = bytes.clone();
        let disk = Simulated::default();
        disk.put(NAME, bytes);
        let error = open(&disk).unwrap_err();
        assert!(matches!(error, OpenError::Damaged(_)), "{error}");
        assert_eq!(disk.bytes(NAME).unwrap(), before, "left as it was");
        aside::set_aside_in(&Files::Simulated(disk.clone()), Timestamp::EPOCH).unwrap();
        assert!(open(&disk).is_ok());
        assert_eq!(disk.bytes("tollgate.redb.damaged-19700101T000000Z").unwrap(), before);
    }
}

#[test]
fn sizes_that_no_file_has_are_refused_before_anything_is_allocated() {
    let sample = sample(2, true, 9);
    for at in [12, 16, 20, 24, 28] {
        for value in [1, 0xffff, 0x10_0000, 0x7fff_ffff, 0xffff_ffff_u32] {
            let mut bytes = sample.bytes.clone();
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            // Fewer pages than there are is what a crash leaves when the file has just grown.
            let is_possible = at == 28 && value == 1 || bytes == sample.bytes;
            let found = look(bytes, &sample.states);
            assert_eq!(found, is_possible.then_some(2), "{value:#x} at {at}");
        }
    }
}

#[test]
fn another_format_is_called_by_its_number() {
    let disk = Simulated::default();
    let file = disk.create(NAME).map(DiskFile::Simulated).unwrap();
    drop(Engine::create_of_format(file, SEED, 77).unwrap());
    let error = open(&disk).unwrap_err();
    assert!(matches!(error, OpenError::Foreign { version: 77 }), "{error}");
    assert!(error.to_string().contains("format 77"));
}

#[test]
fn random_flips_in_a_large_file_are_refused_or_harmless() {
    let disk = Simulated::default();
    let mut random = Random(10);
    let mut journal = open(&disk).unwrap();
    let mut state = State::default();
    for _ in 0..3 {
        let images = (0..64).map(|part| (part, bytes(&mut random, 60_000))).collect();
        let batch = Batch { images, ..batch(&mut random) };
        journal.commit(&batch).unwrap();
        state = state.after(&batch);
    }
    drop(journal);
    let whole = disk.bytes(NAME).unwrap();
    let mut figures = Figures::default();
    for _ in 0..if is_long() { 10_000 } else { 300 } {
        let mut bytes = whole.clone();
        let at = usize::try_from(random.below(bytes.len() as u64)).unwrap();
        bytes[at] ^= 1 << random.below(8);
        figures.add(bytes, std::slice::from_ref(&state));
    }
    println!("T-COR flips in {} bytes: {figures:?} panics=0", whole.len());
    assert!(figures.refused > 0);
}
