//! A turn of writing: what changed in memory becomes one commit.
//!
//! Time is handed in, so that a simulation drives turns as the thread does. What a turn takes from
//! memory is on disk when the turn ends well; when it does not, whole images make good for it.

use std::sync::Arc;

use super::DurableStore;
use super::open::Place;
use crate::journal::{Batch, Committed, Journal, JournalError, Part, Row, Stamp};
use crate::store::memory::SHARD_COUNT;
use crate::store::parts::Written;
use crate::time::{Span, Timestamp};
use crate::usage::{self, Usage};

/// The part of usage, after those of the shards.
pub(super) const USAGE_PART: Part = 256;
const PART_COUNT: Part = 257;

/// From a failure to the next try to heal it.
const RETRY: Span = Span::from_seconds(1);
/// Images of one commit, besides those of shards of which more changed than is worth listing.
const IMAGES_MAX: usize = 16;
/// Each commit writes some pages besides what changed; images may cost as much.
const COMMIT_OVERHEAD: u64 = 512;
const IMAGE_OVERHEAD: u64 = 64;
/// About as large as they get.
const RECORD_SIZE: u64 = 36;
const SERIES_SIZE: u64 = 400;

#[derive(Debug)]
pub struct Writer {
    store: Arc<DurableStore>,
    usage: Arc<Usage>,
    place: Place,
    file: File,
    next_image: Part,
    /// Bytes of images that are due for what was written of changes.
    images_due: u64,
    /// When to look whether the file is still there, on the steady clock.
    look_at: Span,
}

#[derive(Debug)]
enum File {
    Good(Journal),
    /// To be healed, not before.
    Failed(Journal, Span),
    /// Could not be opened yet.
    Missing(Span),
}

impl Writer {
    pub(super) fn new(
        store: Arc<DurableStore>,
        usage: Arc<Usage>,
        place: Place,
        journal: Option<Journal>,
    ) -> Self {
        let file = journal.map_or(File::Missing(Span::ZERO), File::Good);
        Self { store, usage, place, file, next_image: 0, images_due: 0, look_at: Span::ZERO }
    }

    pub fn store(&self) -> &Arc<DurableStore> {
        &self.store
    }

    /// While it can be written.
    #[cfg(test)]
    pub(super) fn journal(&self) -> Option<&Journal> {
        match &self.file {
            File::Good(journal) => Some(journal),
            File::Failed(..) | File::Missing(_) => None,
        }
    }

    /// Writes what changed. `steady` reads the clock that only grows.
    pub fn turn(&mut self, now: Timestamp, steady: &mut dyn FnMut() -> Span) {
        let began = steady();
        self.store.status.lock().begin(began);
        self.file = match std::mem::replace(&mut self.file, File::Missing(began)) {
            File::Good(journal) => self.write(journal, now, began, steady),
            File::Failed(journal, at) if began >= at => self.heal(journal, now, began, steady),
            File::Missing(at) if began >= at => self.open(now, began, steady),
            waiting => waiting,
        };
        self.store.turned.notify_waiters();
    }

    /// The last turn, after the last decision: nobody loses what was reserved.
    pub fn last_turn(&mut self, now: Timestamp, steady: &mut dyn FnMut() -> Span) {
        self.store.memory.end_reserves();
        // There is no later to try again.
        match &mut self.file {
            File::Failed(_, at) | File::Missing(at) => *at = Span::ZERO,
            File::Good(_) => {}
        }
        self.turn(now, steady);
    }

    fn write(
        &mut self,
        mut journal: Journal,
        now: Timestamp,
        began: Span,
        steady: &mut dyn FnMut() -> Span,
    ) -> File {
        let batch = self.changes(now);
        // What lies still has moved along with the line too, and the disk must know.
        let shifted = journal.last().map_or(0, |(_, stamp)| stamp.shifted);
        let is_empty = batch.changes.is_empty() && batch.images.is_empty() && batch.rows.is_empty();
        if is_empty && batch.stamp.shifted == shifted {
            self.store.status.lock().nothing_to_save(began);
            return self.look_after(journal, began);
        }
        let committed = journal.commit(&batch);
        self.end(journal, committed, began, steady)
    }

    /// Now and then also a file that nothing is written to must be there.
    fn look_after(&mut self, mut journal: Journal, began: Span) -> File {
        if began < self.look_at {
            return File::Good(journal);
        }
        self.look_at = began.plus(RETRY);
        match journal.check_place() {
            Err(error @ JournalError::Gone) => {
                tracing::error!(%error, "the counters on disk are gone; they are written anew");
                self.store.status.lock().failed(error.to_string());
                File::Failed(journal, began)
            }
            Ok(()) | Err(_) => File::Good(journal),
        }
    }

    /// All that changed since the last turn, and the images whose turn it is.
    fn changes(&mut self, now: Timestamp) -> Batch {
        let memory = &self.store.memory;
        let (mut changes, mut images) = (Vec::new(), Vec::new());
        // Between the first shard and the last no time may be shifted.
        let shifted = memory.hold_shift();
        for index in 0..SHARD_COUNT {
            let mut bytes = Vec::new();
            match memory.write_changes(index, &mut bytes, now) {
                Written::Nothing => {}
                Written::Changes => changes.push((part_of(index), bytes)),
                Written::WantsImage => {
                    memory.write_image(index, &mut bytes, now);
                    images.push((part_of(index), bytes));
                }
            }
        }
        let usage = self.usage.changes(now);
        if !usage.section.is_empty() {
            changes.push((USAGE_PART, usage.section));
        }
        let written: usize = changes.iter().map(|(_, bytes)| bytes.len()).sum();
        if written > 0 {
            self.images_due = self.images_due.saturating_add(written as u64 + COMMIT_OVERHEAD);
        }
        let images_max = if written > 0 { IMAGES_MAX } else { 0 };
        for _ in 0..images_max {
            let part = self.next_image;
            let size = match usize::from(part) {
                index if index < SHARD_COUNT => memory.shard_len(index) as u64 * RECORD_SIZE,
                _ => self.usage.series_count() as u64 * SERIES_SIZE,
            };
            // Rows leave memory once they are on disk, and the image would still have what is in
            // them: those who read it would write them again, of less.
            let has_rows = part == USAGE_PART && !usage.rows.is_empty();
            let cost = size + IMAGE_OVERHEAD;
            if self.images_due < cost || has_rows {
                break;
            }
            self.images_due -= cost;
            self.next_image = (part + 1) % PART_COUNT;
            if !images.iter().any(|(other, _)| *other == part) {
                images.push((part, self.image(part, now)));
            }
        }
        // What an image holds need not be in the log.
        changes.retain(|(part, _)| !images.iter().any(|(other, _)| other == part));
        let stamp = Stamp { at: now, shifted: *shifted };
        Batch { stamp, changes, images, rows: rows_of(usage.rows) }
    }

    fn image(&self, part: Part, now: Timestamp) -> Vec<u8> {
        match usize::from(part) {
            index if index < SHARD_COUNT => {
                let mut bytes = Vec::new();
                self.store.memory.write_image(index, &mut bytes, now);
                bytes
            }
            _ => self.usage.image(),
        }
    }

    /// Everything there is. Rows that are due stay in memory until the next turn.
    fn all(&self, now: Timestamp) -> Batch {
        let shifted = self.store.memory.hold_shift();
        let images = (0..PART_COUNT).map(|part| (part, self.image(part, now))).collect();
        let stamp = Stamp { at: now, shifted: *shifted };
        Batch { stamp, changes: Vec::new(), images, rows: Vec::new() }
    }

    fn heal(
        &mut self,
        mut journal: Journal,
        now: Timestamp,
        began: Span,
        steady: &mut dyn FnMut() -> Span,
    ) -> File {
        let healed = journal.heal(&self.all(now));
        if let Ok(healed) = &healed {
            tracing::info!(
                rewritten = healed.rewritten,
                history_rows_lost = healed.rows_lost,
                "counters are written again"
            );
        }
        self.end(journal, healed.map(|healed| healed.committed), began, steady)
    }

    fn open(&mut self, now: Timestamp, began: Span, steady: &mut dyn FnMut() -> Span) -> File {
        match self.place.open_late(now) {
            Ok(mut journal) => {
                let committed = journal.commit(&self.all(now));
                if committed.is_ok() {
                    tracing::info!("counters are written from now on");
                }
                self.end(journal, committed, began, steady)
            }
            Err(why) => {
                self.store.status.lock().failed(why.to_string());
                File::Missing(steady().plus(RETRY))
            }
        }
    }

    fn end(
        &self,
        journal: Journal,
        committed: Result<Committed, JournalError>,
        began: Span,
        steady: &mut dyn FnMut() -> Span,
    ) -> File {
        let ended = steady();
        self.store.memory.written(committed.is_ok());
        let mut status = self.store.status.lock();
        match committed {
            Ok(committed) => {
                self.usage.saved();
                status.saved(began, ended);
                status.commits = status.commits.saturating_add(1);
                status.file_bytes = committed.file_bytes;
                File::Good(journal)
            }
            Err(error) => {
                self.usage.failed();
                if !status.is_failing() {
                    tracing::error!(%error, "counters cannot be written; decisions go on");
                }
                status.failed(error.to_string());
                File::Failed(journal, ended.plus(RETRY))
            }
        }
    }
}

fn rows_of(rows: Vec<usage::Row>) -> Vec<Row> {
    let row = |(key, value): usage::Row| Row { key: key.into(), value: value.map(Into::into) };
    rows.into_iter().map(row).collect()
}

fn part_of(index: usize) -> Part {
    Part::try_from(index).unwrap_or(Part::MAX)
}
