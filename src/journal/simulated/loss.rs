//! What a loss of power leaves of changes that were not synced: each whole, in part, or not at all.

use std::collections::BTreeMap;

/// Written whole or not at all.
const SECTOR: usize = 512;

#[derive(Clone, Debug)]
pub(super) enum Change {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

#[derive(Clone, Debug)]
pub(super) enum NameChange {
    Link(String, u64),
    Rename(String, String, u64),
    Remove(String),
}

impl NameChange {
    pub(super) fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Link(name, file) => {
                names.insert(name.clone(), *file);
            }
            Self::Rename(from, to, file) => {
                if names.get(from) == Some(file) {
                    names.remove(from);
                }
                names.insert(to.clone(), *file);
            }
            Self::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

impl Change {
    pub(super) fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(at, data) => {
                let end = at + data.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*at..end].copy_from_slice(data);
            }
            Self::SetLen(len) => bytes.resize(*len, 0),
        }
    }
}

/// SplitMix64: any seed is a good one.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    pub(crate) fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

pub(super) fn shuffle(changes: &mut [Change], random: &mut Random) {
    for at in (1..changes.len()).rev() {
        let other = usize::try_from(random.below(at as u64 + 1)).unwrap();
        changes.swap(at, other);
    }
}

/// Does a change that power was lost over: whole, in part, or not at all.
pub(super) fn keep_some(change: &Change, bytes: &mut Vec<u8>, keep_in: u64, random: &mut Random) {
    let is_kept = !random.one_in(keep_in);
    match change {
        Change::SetLen(_) if is_kept => change.apply(bytes),
        Change::SetLen(_) => {}
        Change::Write(..) if is_kept && !random.one_in(4) => change.apply(bytes),
        Change::Write(at, data) if is_kept => {
            // Sectors are whole or not there at all.
            let first = SECTOR - at % SECTOR;
            let mut from = 0;
            let mut to = first.min(data.len());
            while from < data.len() {
                if random.one_in(2) {
                    Change::Write(at + from, data[from..to].to_vec()).apply(bytes);
                }
                from = to;
                to = (from + SECTOR).min(data.len());
            }
        }
        Change::Write(..) => {}
    }
}
