//! The durable file: batches in, the same state out after any crash.
//!
//! A commit appends one row with all that changed to the log, and stores the images that the
//! caller chose to rewrite; log rows that images have overtaken go in the same commit. The engine
//! is a container of pages here: how many counters there are never shows in the work of a commit.
//! What a counter is, when to commit and when to write an image is not decided here.

mod aside;
mod backend;
mod blob;
mod disk;
mod engine;
mod error;
mod guard;
mod heal;
mod index;
mod open;
#[cfg(test)]
pub(crate) mod simulated;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use crate::time::Timestamp;
pub use aside::set_aside;
use disk::DiskFile;
pub(crate) use disk::Files;
use engine::Engine;
pub use error::{Damage, JournalError, OpenError, Operation};
use index::Index;

/// One of the things that are stored whole now and then: a shard of the counters, or usage.
pub type Part = u16;

/// Is handed one record of a part.
pub type TakeRecord<'a> = dyn FnMut(Part, Stamp, Kind, &[u8]) + 'a;

/// Is handed key and value of one row of the history, and says whether to go on.
pub type TakeRow<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// When a batch was made, on the line of time, and by how much stored times had been shifted in
/// all by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub at: Timestamp,
    /// Nanoseconds.
    pub shifted: i64,
}

/// One row of the history; `None` removes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub key: Box<[u8]>,
    pub value: Option<Box<[u8]>>,
}

/// What one commit makes last, all or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub stamp: Stamp,
    pub changes: Vec<(Part, Vec<u8>)>,
    /// Whole contents of parts, this batch's changes included.
    pub images: Vec<(Part, Vec<u8>)>,
    pub rows: Vec<Row>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The whole contents of a part.
    Image,
    /// What changed in a part since the record before.
    Change,
}

/// What `restore` handed out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Of the last commit; `None` when there has been none.
    pub last: Option<Stamp>,
    pub images: u64,
    pub changes: u64,
    pub bytes: u64,
}

/// What one commit wrote, and what the file holds since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    pub sequence: u64,
    /// Of this commit's row of the log.
    pub change_bytes: u64,
    /// Of this commit's images.
    pub image_bytes: u64,
    /// Of all rows of the log that are still held.
    pub log_bytes: u64,
    pub file_bytes: u64,
    /// What the commit wrote to the file, pages and headers of the engine included.
    pub written_bytes: u64,
}

/// Where a part stands in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartState {
    /// The commit that stored its image; `None` when it never had one.
    pub image: Option<u64>,
    pub image_bytes: u64,
    /// The oldest commit with a change that its image does not hold: what keeps the log from
    /// being shortened.
    pub oldest_change: Option<u64>,
    /// Bytes of its changes in the log since its image.
    pub change_bytes: u64,
}

/// What `heal` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Healed {
    /// Whether a whole new file took the place of the old one.
    pub rewritten: bool,
    /// Rows of the history that could not be read from the old file.
    pub rows_lost: u64,
    pub committed: Committed,
}

/// The open file. One thread owns it; every call waits for the disk.
#[derive(Debug)]
pub struct Journal {
    files: Files,
    /// Locked as long as the journal lives, whatever becomes of the engine over it.
    file: Arc<DiskFile>,
    /// `None` between a failure and its healing, at the latest.
    engine: Option<Engine>,
    seed: [u64; 2],
    index: Index,
    failed: Option<Failure>,
}

/// What stands in the way of commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// The same file can be opened again and gone on with.
    Reopen,
    /// The file is not to be trusted with another sync: a whole one has to take its place.
    Rewrite,
}

impl Journal {
    /// Opens the file in a directory, or makes both. Exclusive: a second opener gets `Busy`.
    /// `seed_if_made` is stored when the file is made, and ignored otherwise.
    pub fn open(directory: &Path, seed_if_made: [u64; 2]) -> Result<Self, OpenError> {
        Self::open_in(Files::in_directory(directory), seed_if_made)
    }

    /// The same over any files, those of a simulated disk included.
    pub(crate) fn open_in(files: Files, seed_if_made: [u64; 2]) -> Result<Self, OpenError> {
        let (engine, seed, index) = open::open_or_make(&files, seed_if_made)?;
        let file = engine.file.clone();
        Ok(Self { files, file, engine: Some(engine), seed, index, failed: None })
    }

    /// The seed of the counters' fingerprints, drawn when the file was made.
    pub const fn seed(&self) -> [u64; 2] {
        self.seed
    }

    /// Every part that has an image or a change, for the caller to choose whose image is next.
    pub const fn parts(&self) -> &BTreeMap<Part, PartState> {
        &self.index.parts
    }

    /// Bytes of all rows of the log that are still held.
    pub const fn log_bytes(&self) -> u64 {
        self.index.log_bytes
    }

    /// Whether what is written is still found under the file's name. Where it is not, nothing more
    /// is committed before it is healed.
    pub fn check_place(&mut self) -> Result<(), JournalError> {
        match self.files.leads_to(engine::NAME, &self.file) {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.failed = Some(Failure::Rewrite);
                Err(JournalError::Gone)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The size of the file.
    pub fn file_bytes(&self) -> u64 {
        self.engine.as_ref().map_or(0, Engine::file_bytes)
    }

    /// The last commit, and its stamp.
    pub fn last(&self) -> Option<(u64, Stamp)> {
        self.index.last
    }

    /// Hands out the state: images first, then what the log has after each image, in order of
    /// commits. A part's changes that its image holds are left out.
    pub fn restore(&self, take: &mut TakeRecord<'_>) -> Result<Restored, JournalError> {
        self.engine()?.restore(&self.index, take)
    }

    /// Rows of the history with `from <= key < to`, in order of keys, until `take` breaks.
    pub fn rows(&self, from: &[u8], to: &[u8], take: &mut TakeRow<'_>) -> Result<(), JournalError> {
        self.engine()?.rows(from, to, take)
    }

    /// Makes a batch last: when it returns, the batch outlives a loss of power. After an error it
    /// may be in the file or not, and `heal` comes before the next commit.
    pub fn commit(&mut self, batch: &Batch) -> Result<Committed, JournalError> {
        if self.failed.is_some() {
            return Err(JournalError::Unhealed);
        }
        match self.commit_to_file(batch) {
            Ok((index, committed)) => {
                self.index = index;
                Ok(committed)
            }
            Err(error) => {
                self.failed = Failure::of(&error);
                if self.failed == Some(Failure::Rewrite) {
                    open::suspect(&self.files);
                }
                Err(error)
            }
        }
    }

    /// Makes the file good after an error. `all` holds the images of all parts, and the rows of
    /// the batch that failed. On an error the file under the real name is as it was, and `heal`
    /// may be called again.
    pub fn heal(&mut self, all: &Batch) -> Result<Healed, JournalError> {
        heal::heal(self, all)
    }

    fn commit_to_file(&self, batch: &Batch) -> Result<(Index, Committed), JournalError> {
        // A removed file takes writes as if nothing had happened.
        if !self.files.leads_to(engine::NAME, &self.file)? {
            return Err(JournalError::Gone);
        }
        self.engine()?.commit(&self.index, batch)
    }

    fn engine(&self) -> Result<&Engine, JournalError> {
        self.engine.as_ref().ok_or(JournalError::Unhealed)
    }
}

impl Drop for Journal {
    /// Closing syncs, and that may fail like any other sync.
    fn drop(&mut self) {
        if self.engine.take().is_some_and(Engine::close) {
            open::suspect(&self.files);
        }
    }
}
