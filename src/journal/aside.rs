//! Putting a damaged file out of the way, for somebody to look at: nothing is ever overwritten.

use std::io;
use std::path::{Path, PathBuf};

use super::disk::{DiskError, Files};
use super::engine::NAME;
use crate::time::Timestamp;

/// Names tried when one is taken: files set aside within one second.
const NAMES_MAX: u32 = 1000;

/// Renames the file to `tollgate.redb.damaged-` and the time in UTC, and says what it is called.
pub fn set_aside(directory: &Path, now: Timestamp) -> io::Result<PathBuf> {
    set_aside_in(&Files::in_directory(directory), now)
}

pub(crate) fn set_aside_in(files: &Files, now: Timestamp) -> io::Result<PathBuf> {
    // Locked while it moves: a file that another process uses is not damaged.
    let Some(_file) = files.open(NAME).map_err(plain)? else {
        return Err(io::Error::from(io::ErrorKind::NotFound));
    };
    let at = jiff::Timestamp::from_nanosecond(i128::from(now.as_nanos()));
    let at = at.unwrap_or(jiff::Timestamp::UNIX_EPOCH).strftime("%Y%m%dT%H%M%SZ").to_string();
    for number in 1..=NAMES_MAX {
        let name = match number {
            1 => format!("{NAME}.damaged-{at}"),
            _ => format!("{NAME}.damaged-{at}-{number}"),
        };
        // The name is ours once an empty file of ours holds it; renaming over that one then
        // overwrites nothing.
        match files.reserve(&name) {
            Ok(()) => {}
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(cause) => return Err(cause),
        }
        if let Err(error) = files.rename(NAME, &name) {
            let _ = files.remove(&name);
            return Err(plain(error));
        }
        files.sync_directory().map_err(plain)?;
        return Ok(files.path(&name));
    }
    Err(io::Error::from(io::ErrorKind::AlreadyExists))
}

fn plain(error: DiskError) -> io::Error {
    match error {
        DiskError::Busy => io::Error::from(io::ErrorKind::WouldBlock),
        DiskError::Failed { cause, .. } => cause,
    }
}
