//! What can go wrong with the file: each error names the operation, none says more than is known.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// An operation on the file or its directory, as an operator would look for it in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    MakeDirectory,
    Inspect,
    Create,
    Open,
    Lock,
    Read,
    Write,
    Resize,
    Sync,
    Rename,
    SyncDirectory,
    Remove,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MakeDirectory => "make the directory",
            Self::Inspect => "look at",
            Self::Create => "create",
            Self::Open => "open",
            Self::Lock => "lock",
            Self::Read => "read",
            Self::Write => "write",
            Self::Resize => "resize",
            Self::Sync => "sync",
            Self::Rename => "rename",
            Self::SyncDirectory => "sync the directory of",
            Self::Remove => "remove",
        })
    }
}

/// The file holds what was never written to it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the file of counters is damaged: {what}")]
pub struct Damage {
    pub what: String,
}

impl Damage {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into() }
    }
}

/// Why the file could not be opened. Nothing in it was changed but for `Unusable`, where a
/// restart after the cause is gone finds what the last commit left.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("another process uses the file of counters; give each process a directory of its own")]
    Busy,
    #[error("cannot {operation} `{}`: {cause}; {next_step}", path.display())]
    Unusable { operation: Operation, path: PathBuf, cause: io::Error, next_step: &'static str },
    #[error(transparent)]
    Damaged(#[from] Damage),
    #[error(
        "the file of counters has format {version}, which this release does not know; start the release that wrote it, or move the file away"
    )]
    Foreign { version: u64 },
}

/// Why a read or a commit failed. After any of them the journal refuses commits until it is healed.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("cannot {operation}{}: {cause}", object(*operation))]
    Disk { operation: Operation, cause: io::Error },
    #[error("the file of counters is gone from its directory")]
    Gone,
    #[error("another process uses the file of counters")]
    Busy,
    #[error(transparent)]
    Damaged(#[from] Damage),
    #[error("an earlier failure of the file of counters has not been healed")]
    Unhealed,
    /// More than the engine can hold in one row; nothing was written.
    #[error("a batch has {bytes} bytes in one row, which is more than the file can hold")]
    TooLarge { bytes: usize },
}

impl JournalError {
    /// Whether room on the disk is all that is wanting.
    pub fn is_full(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        match self {
            Self::Disk { cause, .. } => matches!(cause.kind(), StorageFull | QuotaExceeded),
            Self::Gone | Self::Busy | Self::Damaged(_) | Self::Unhealed | Self::TooLarge { .. } => {
                false
            }
        }
    }
}

/// What an operation was tried on, where that is not said with it.
fn object(operation: Operation) -> &'static str {
    match operation {
        Operation::MakeDirectory => " for counters",
        _ => " the file of counters",
    }
}

/// What to do about an operation that failed at start.
pub(super) fn next_step(operation: Operation, cause: &io::Error) -> &'static str {
    match (cause.kind(), operation) {
        (io::ErrorKind::PermissionDenied, _) => {
            "let the user of this process own the directory, with mode 0700"
        }
        (io::ErrorKind::ReadOnlyFilesystem, _) => "mount the directory so that it can be written",
        (io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded, _) => {
            "make room on the disk, or choose another directory"
        }
        (io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists, _) => {
            "name a directory, not a file"
        }
        (_, Operation::Read | Operation::Write | Operation::Sync) => {
            "see what the kernel says of the disk"
        }
        _ => "check the directory and its disk",
    }
}
