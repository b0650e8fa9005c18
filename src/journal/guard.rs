//! The rim of the engine: what it panics in is caught, what it reports gets a name of ours.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::backend::Record;
use super::{Damage, JournalError, Operation};

/// Why work inside the engine stopped.
pub(super) enum Stop {
    Engine(redb::Error),
    Own(JournalError),
}

impl<E: Into<redb::Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Engine(error.into())
    }
}

pub(super) fn disk(operation: Operation) -> impl FnOnce(io::Error) -> JournalError {
    move |cause| JournalError::Disk { operation, cause }
}

pub(super) fn damaged(damage: Damage) -> Stop {
    Stop::Own(JournalError::Damaged(damage))
}

/// Runs what the engine may panic in. It asserts what it takes for granted of a file, and a
/// damaged file grants nothing.
pub(super) fn guarded<T>(
    record: &Record,
    work: impl FnOnce() -> Result<T, Stop>,
) -> Result<T, JournalError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(Stop::Own(error))) => Err(error),
        Ok(Err(Stop::Engine(error))) => Err(named(record, error)),
        Err(panic) => Err(match record.first() {
            Some((operation, cause)) => JournalError::Disk { operation, cause },
            None => JournalError::Damaged(Damage::new(format!(
                "the engine stopped at what it found ({})",
                words(panic.as_ref())
            ))),
        }),
    }
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no reason")
}

/// What an error of the engine means here. The latch knows better which operation it was.
fn named(record: &Record, error: redb::Error) -> JournalError {
    if let Some((operation, cause)) = record.first() {
        return match (operation, cause.kind()) {
            (Operation::Read, io::ErrorKind::UnexpectedEof) => {
                Damage::new("it is shorter than it says").into()
            }
            _ => JournalError::Disk { operation, cause },
        };
    }
    match error {
        redb::Error::ValueTooLarge(bytes) => JournalError::TooLarge { bytes },
        redb::Error::Corrupted(what) => Damage::new(what).into(),
        redb::Error::DatabaseAlreadyOpen => JournalError::Busy,
        other => Damage::new(other.to_string()).into(),
    }
}
