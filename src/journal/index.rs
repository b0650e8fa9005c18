//! What the file holds, in memory: for every part its image and its oldest change outside of it.
//!
//! A row of the log goes once no part has a change in it or before it that its image lacks. The
//! last row always stays: it carries the sequence and the stamp of the last commit.

use std::collections::{BTreeMap, VecDeque};

use super::{Batch, Part, PartState, Stamp};

#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    pub(super) parts: BTreeMap<Part, PartState>,
    /// Rows of the log, by sequence, with their bytes.
    pub(super) log: VecDeque<(u64, u64)>,
    pub(super) log_bytes: u64,
    pub(super) last: Option<(u64, Stamp)>,
    /// Rows of the history.
    pub(super) rows: u64,
}

impl Index {
    pub(super) fn next_sequence(&self) -> u64 {
        self.last.map_or(1, |(sequence, _)| sequence.saturating_add(1))
    }

    pub(super) fn add_image(&mut self, part: Part, sequence: u64, bytes: u64) {
        let image = Some(sequence);
        let state = PartState { image, image_bytes: bytes, ..PartState::default() };
        self.parts.insert(part, state);
    }

    pub(super) fn add_change(&mut self, part: Part, sequence: u64, bytes: u64) {
        let state = self.parts.entry(part).or_default();
        if state.image.is_none_or(|image| sequence > image) {
            state.oldest_change.get_or_insert(sequence);
            state.change_bytes = state.change_bytes.saturating_add(bytes);
        }
    }

    pub(super) fn add_log_row(&mut self, sequence: u64, stamp: Stamp, bytes: u64) {
        self.log.push_back((sequence, bytes));
        self.log_bytes = self.log_bytes.saturating_add(bytes);
        self.last = Some((sequence, stamp));
    }

    /// The state after a batch, and the rows of the log that go with it.
    pub(super) fn after(&self, batch: &Batch, sequence: u64, row_bytes: u64) -> (Self, Vec<u64>) {
        let mut index = self.clone();
        for (part, contents) in &batch.images {
            index.add_image(*part, sequence, contents.len() as u64);
        }
        for (part, change) in &batch.changes {
            index.add_change(*part, sequence, change.len() as u64);
        }
        index.add_log_row(sequence, batch.stamp, row_bytes);
        let held = index.parts.values().filter_map(|state| state.oldest_change).min();
        let keep_from = held.map_or(sequence, |held| held.min(sequence));
        let mut overtaken = Vec::new();
        while let Some((oldest, bytes)) = index.log.front().copied()
            && oldest < keep_from
        {
            index.log.pop_front();
            index.log_bytes = index.log_bytes.saturating_sub(bytes);
            overtaken.push(oldest);
        }
        (index, overtaken)
    }
}
