//! Opening the file, or making it: under the real name there is never a file half made.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::disk::{DiskError, DiskFile, Files};
use super::engine::{Engine, NAME, NAME_SUSPECT, NAME_UNFINISHED};
use super::error::next_step;
use super::index::Index;
use super::{Failure, JournalError, OpenError};

/// The open database, its seed and what it holds.
pub(super) fn open_or_make(
    files: &Files,
    seed_if_made: [u64; 2],
) -> Result<(Engine, [u64; 2], Index), OpenError> {
    let at = |name: &str| {
        let path = files.path(name);
        move |error: JournalError| at_open(error, path)
    };
    files.prepare().map_err(|error| at("")(error.into()))?;
    // Another process may finish making the file between the look and the making.
    for _ in 0..2 {
        if let Some(file) = files.open(NAME).map_err(|error| at(NAME)(error.into()))? {
            let engine = open_verified(files, Arc::new(file)).map_err(at(NAME))?;
            let seed = engine.seed(at(NAME))?;
            let index = engine.index().map_err(at(NAME))?;
            return Ok((engine, seed, index));
        }
        if let Some(engine) = make(files, seed_if_made).map_err(at(NAME_UNFINISHED))? {
            return Ok((engine, seed_if_made, Index::default()));
        }
    }
    Err(OpenError::Busy)
}

/// Opens the file in place, or a copy of it where a sync of it has failed: what reads well may
/// then be nowhere but in memory of the kernel, and to write to such a file, as opening does, could
/// turn it into one that nothing reads.
fn open_verified(files: &Files, file: Arc<DiskFile>) -> Result<Engine, JournalError> {
    if files.exists(NAME_SUSPECT)? {
        let old = Engine::open_untouched(file.clone())?;
        match replace(files, &old) {
            Ok(copy) => return Ok(copy),
            // Without room for a copy the file stays in use: it is all there is.
            Err(error) if error.is_full() => {}
            Err(error) => return Err(error),
        }
    }
    let opened = Engine::open(file);
    let engine = opened.inspect_err(|error| {
        if Failure::of(error) == Some(Failure::Rewrite) {
            suspect(files);
        }
    })?;
    // Whoever made the file may not have come to this.
    files.sync_directory()?;
    Ok(engine)
}

fn replace(files: &Files, old: &Engine) -> Result<Engine, JournalError> {
    let copied = files.create(NAME_UNFINISHED).map_err(JournalError::from).and_then(|file| {
        let copy = Engine::create_empty(file)?;
        old.copy_all(&copy)?;
        files.rename(NAME_UNFINISHED, NAME)?;
        Ok(copy)
    });
    let copy = copied.inspect_err(|_| discard_unfinished(files))?;
    files.sync_directory()?;
    trust(files);
    Ok(copy)
}

/// Tells the process that opens the file next not to write to it: nothing else outlives a kill
/// between a failed sync and the end of the rewrite. A loss of power may take the mark away, but
/// then it also takes away what the kernel had in memory, and what is left can be trusted.
pub(super) fn suspect(files: &Files) {
    // Where this fails the rewrite that follows fails too, and says why.
    let _ = files.reserve(NAME_SUSPECT);
}

/// A whole new file stands under the name, synced.
pub(super) fn trust(files: &Files) {
    // A mark that stays costs one more copy, at the next start.
    let _ = files.remove(NAME_SUSPECT);
}

/// Gives back the room of a file that will not be finished.
pub(super) fn discard_unfinished(files: &Files) {
    // What cannot be removed is in nobody's way but of room.
    let _ = files.remove(NAME_UNFINISHED);
}

/// Makes the file under another name, and renames it once it is whole. `None` when another
/// process was faster.
fn make(files: &Files, seed: [u64; 2]) -> Result<Option<Engine>, JournalError> {
    let file = files.create(NAME_UNFINISHED)?;
    if files.exists(NAME)? {
        return Ok(None);
    }
    let made = Engine::create(file, seed).and_then(|engine| {
        files.rename(NAME_UNFINISHED, NAME)?;
        files.sync_directory()?;
        Ok(engine)
    });
    if made.is_err() {
        discard_unfinished(files);
    }
    made.map(Some)
}

impl From<DiskError> for JournalError {
    fn from(error: DiskError) -> Self {
        match error {
            DiskError::Busy => Self::Busy,
            DiskError::Failed { operation, cause } => Self::Disk { operation, cause },
        }
    }
}

/// The same error, as one of opening.
pub(super) fn at_open(error: JournalError, path: PathBuf) -> OpenError {
    match error {
        JournalError::Disk { operation, cause } => {
            let next_step = next_step(operation, &cause);
            OpenError::Unusable { operation, path, cause, next_step }
        }
        JournalError::Damaged(damage) => OpenError::Damaged(damage),
        JournalError::Busy => OpenError::Busy,
        other @ (JournalError::Gone | JournalError::Unhealed | JournalError::TooLarge { .. }) => {
            let cause = io::Error::other(other.to_string());
            let operation = super::Operation::Open;
            let next_step = next_step(operation, &cause);
            OpenError::Unusable { operation, path, cause, next_step }
        }
    }
}
