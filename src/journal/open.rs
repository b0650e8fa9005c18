//! Opening the file, or making it: under the real name there is never a file half made.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::disk::{DiskError, Files};
use super::engine::{Engine, NAME, NAME_UNFINISHED};
use super::error::next_step;
use super::index::Index;
use super::{JournalError, OpenError};

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
            let engine = Engine::open(Arc::new(file)).map_err(at(NAME))?;
            let seed = engine.seed(at(NAME))?;
            let index = engine.index().map_err(at(NAME))?;
            // Of a rewrite that a crash ended; it is worth nothing, and the next one begins anew.
            if files.exists(NAME_UNFINISHED).unwrap_or(false) {
                let _ = files.remove(NAME_UNFINISHED);
            }
            return Ok((engine, seed, index));
        }
        if let Some(engine) = make(files, seed_if_made).map_err(at(NAME_UNFINISHED))? {
            return Ok((engine, seed_if_made, Index::default()));
        }
    }
    Err(OpenError::Busy)
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
        // What cannot be removed is overwritten by the next try.
        let _ = files.remove(NAME_UNFINISHED);
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
