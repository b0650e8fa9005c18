//! The file and its directory, real or simulated: the seam below the engine.
//!
//! Every open file is locked, and the lock is worth something only after the name has been seen to
//! lead to the locked file: it may have been renamed over in between.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::Operation;
#[cfg(test)]
use super::simulated::{Simulated, SimulatedFile};

/// Read and written by this process's user alone: keys of callers are in the history.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// A failed operation, with its name.
#[derive(Debug)]
pub(super) enum DiskError {
    Busy,
    Failed { operation: Operation, cause: io::Error },
}

/// Names the operation of an error.
pub(super) fn failed(operation: Operation) -> impl FnOnce(io::Error) -> DiskError {
    move |cause| DiskError::Failed { operation, cause }
}

/// The directory that the file lives in.
#[derive(Clone, Debug)]
pub(crate) enum Files {
    Directory(PathBuf),
    #[cfg(test)]
    Simulated(Simulated),
}

/// An open, locked file. The lock ends when it is dropped.
#[derive(Debug)]
pub(super) enum DiskFile {
    Real(File),
    #[cfg(test)]
    Simulated(SimulatedFile),
}

impl Files {
    pub(crate) fn in_directory(directory: &Path) -> Self {
        Self::Directory(directory.to_path_buf())
    }

    /// For messages.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        match self {
            Self::Directory(directory) => directory.join(name),
            #[cfg(test)]
            Self::Simulated(_) => PathBuf::from(name),
        }
    }

    /// Makes the directory when it is missing.
    pub(super) fn prepare(&self) -> Result<(), DiskError> {
        match self {
            Self::Directory(directory) => {
                if directory.is_dir() {
                    return Ok(());
                }
                let mut builder = DirBuilder::new();
                let made = builder.recursive(true).mode(DIRECTORY_MODE).create(directory);
                made.map_err(failed(Operation::MakeDirectory))?;
                // A file synced into a directory whose own name is lost is lost with it.
                match directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                    Some(parent) => sync_directory(parent),
                    None => sync_directory(Path::new(".")),
                }
            }
            #[cfg(test)]
            Self::Simulated(disk) => disk.prepare().map_err(failed(Operation::MakeDirectory)),
        }
    }

    /// Opens and locks a file; `None` when there is none of that name.
    pub(super) fn open(&self, name: &str) -> Result<Option<DiskFile>, DiskError> {
        match self {
            Self::Directory(directory) => {
                let path = directory.join(name);
                match OpenOptions::new().read(true).write(true).open(&path) {
                    Ok(file) => self.lock(file, name).map(Some),
                    Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(cause) => Err(failed(Operation::Open)(cause)),
                }
            }
            #[cfg(test)]
            Self::Simulated(disk) => Ok(disk.open(name)?.map(DiskFile::Simulated)),
        }
    }

    /// Creates and locks an empty file, in the place of an unlocked one of that name. It is never
    /// the same file again: of that one, a sync may have failed.
    pub(super) fn create(&self, name: &str) -> Result<DiskFile, DiskError> {
        if let Some(_left_over) = self.open(name)? {
            self.remove(name)?;
        }
        match self {
            Self::Directory(directory) => {
                let mut options = OpenOptions::new();
                options.read(true).write(true).create_new(true).mode(FILE_MODE);
                match options.open(directory.join(name)) {
                    Ok(file) => self.lock(file, name),
                    Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {
                        Err(DiskError::Busy)
                    }
                    Err(cause) => Err(failed(Operation::Create)(cause)),
                }
            }
            #[cfg(test)]
            Self::Simulated(disk) => disk.create(name).map(DiskFile::Simulated),
        }
    }

    fn lock(&self, file: File, name: &str) -> Result<DiskFile, DiskError> {
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DiskError::Busy),
            // Some network file systems know no locks: one process for each directory is then
            // the operator's promise.
            Err(TryLockError::Error(cause)) if cause.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(cause)) => return Err(failed(Operation::Lock)(cause)),
        }
        let file = DiskFile::Real(file);
        match self.leads_to(name, &file)? {
            true => Ok(file),
            false => Err(DiskError::Busy),
        }
    }

    /// Whether a name leads to this very file.
    pub(super) fn leads_to(&self, name: &str, file: &DiskFile) -> Result<bool, DiskError> {
        match (self, file) {
            (Self::Directory(directory), DiskFile::Real(file)) => {
                let here = file.metadata().map_err(failed(Operation::Inspect))?;
                match std::fs::metadata(directory.join(name)) {
                    Ok(there) => Ok((here.dev(), here.ino()) == (there.dev(), there.ino())),
                    Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
                    Err(cause) => Err(failed(Operation::Inspect)(cause)),
                }
            }
            #[cfg(test)]
            (Self::Simulated(disk), DiskFile::Simulated(file)) => Ok(disk.leads_to(name, file)),
            #[cfg(test)]
            _ => Ok(false),
        }
    }

    pub(super) fn exists(&self, name: &str) -> Result<bool, DiskError> {
        match self {
            Self::Directory(directory) => {
                directory.join(name).try_exists().map_err(failed(Operation::Inspect))
            }
            #[cfg(test)]
            Self::Simulated(disk) => Ok(disk.exists(name)),
        }
    }

    /// Creates an empty file of a name that nothing has.
    pub(super) fn reserve(&self, name: &str) -> io::Result<()> {
        match self {
            Self::Directory(directory) => {
                let mut options = OpenOptions::new();
                options.write(true).create_new(true).mode(FILE_MODE);
                options.open(directory.join(name)).map(drop)
            }
            #[cfg(test)]
            Self::Simulated(disk) => disk.reserve(name),
        }
    }

    /// Puts a file in the place of another, or of none.
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        let renamed = match self {
            Self::Directory(directory) => std::fs::rename(directory.join(from), directory.join(to)),
            #[cfg(test)]
            Self::Simulated(disk) => disk.rename(from, to),
        };
        renamed.map_err(failed(Operation::Rename))
    }

    pub(super) fn remove(&self, name: &str) -> Result<(), DiskError> {
        let removed = match self {
            Self::Directory(directory) => std::fs::remove_file(directory.join(name)),
            #[cfg(test)]
            Self::Simulated(disk) => disk.remove(name),
        };
        removed.map_err(failed(Operation::Remove))
    }

    /// Makes names last: what was created and renamed is found after a loss of power.
    pub(super) fn sync_directory(&self) -> Result<(), DiskError> {
        match self {
            Self::Directory(directory) => sync_directory(directory),
            #[cfg(test)]
            Self::Simulated(disk) => {
                disk.sync_directory().map_err(failed(Operation::SyncDirectory))
            }
        }
    }
}

fn sync_directory(directory: &Path) -> Result<(), DiskError> {
    let synced = File::open(directory).and_then(|open| open.sync_all());
    synced.map_err(failed(Operation::SyncDirectory))
}

impl Drop for DiskFile {
    /// Closing is not enough: a process that another thread is just starting holds the lock on
    /// until it has become itself.
    fn drop(&mut self) {
        match self {
            Self::Real(file) => {
                let _ = file.unlock();
            }
            #[cfg(test)]
            Self::Simulated(_) => {}
        }
    }
}

impl DiskFile {
    pub(super) fn len(&self) -> io::Result<u64> {
        match self {
            Self::Real(file) => Ok(file.metadata()?.len()),
            #[cfg(test)]
            Self::Simulated(file) => file.len(),
        }
    }

    /// Fills `out`, or fails: a file that ends before has been cut.
    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Real(file) => file.read_exact_at(out, offset),
            #[cfg(test)]
            Self::Simulated(file) => file.read(offset, out),
        }
    }

    pub(super) fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Real(file) => file.write_all_at(bytes, offset),
            #[cfg(test)]
            Self::Simulated(file) => file.write(offset, bytes),
        }
    }

    pub(super) fn set_len(&self, len: u64) -> io::Result<()> {
        match self {
            Self::Real(file) => file.set_len(len),
            #[cfg(test)]
            Self::Simulated(file) => file.set_len(len),
        }
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        match self {
            Self::Real(file) => file.sync_data(),
            #[cfg(test)]
            Self::Simulated(file) => file.sync(),
        }
    }
}
