//! Making the file good after an error, by what failed on it.
//!
//! A write that failed left the last commit as it was: the same file is opened again and gone on
//! with. After a failed sync nobody knows what the disk holds, and asking again may be answered
//! with a lie: a whole file takes its place.

use std::sync::Arc;

use super::engine::{Engine, NAME, NAME_UNFINISHED};
use super::index::Index;
use super::open::{discard_unfinished, suspect, trust};
use super::{Batch, Failure, Healed, Journal, JournalError, Operation};

impl Failure {
    pub(super) fn of(error: &JournalError) -> Option<Self> {
        match error {
            JournalError::Disk { operation, .. } => Some(match operation {
                Operation::Sync | Operation::SyncDirectory | Operation::Rename => Self::Rewrite,
                Operation::MakeDirectory
                | Operation::Inspect
                | Operation::Create
                | Operation::Open
                | Operation::Lock
                | Operation::Read
                | Operation::Write
                | Operation::Resize
                | Operation::Remove => Self::Reopen,
            }),
            JournalError::Gone => Some(Self::Rewrite),
            JournalError::Damaged(_) | JournalError::Busy | JournalError::Unhealed => {
                Some(Self::Reopen)
            }
            // Refused before anything was written.
            JournalError::TooLarge { .. } => None,
        }
    }
}

pub(super) fn heal(journal: &mut Journal, all: &Batch) -> Result<Healed, JournalError> {
    if journal.failed != Some(Failure::Rewrite) {
        match go_on(journal, all) {
            Ok(healed) => return Ok(healed),
            Err(error @ JournalError::TooLarge { .. }) => return Err(error),
            // A whole file beside the old one needs more room, not less. After a failed sync it is
            // needed all the same, also where what failed it is want of room.
            Err(error) if error.is_full() && Failure::of(&error) == Some(Failure::Reopen) => {
                journal.failed = Some(Failure::Reopen);
                return Err(error);
            }
            Err(_) => {
                suspect(&journal.files);
                journal.failed = Some(Failure::Rewrite);
            }
        }
    }
    rewrite(journal, all)
}

/// Opens the same file again and commits to it.
fn go_on(journal: &mut Journal, all: &Batch) -> Result<Healed, JournalError> {
    if journal.engine.take().is_some_and(Engine::close) {
        return Err(JournalError::Unhealed);
    }
    if !journal.files.leads_to(NAME, &journal.file)? {
        return Err(JournalError::Gone);
    }
    let engine = Engine::open(journal.file.clone())?;
    let (index, committed) = engine.commit(&engine.index()?, all)?;
    journal.index = index;
    journal.engine = Some(engine);
    journal.failed = None;
    Ok(Healed { rewritten: false, rows_lost: 0, committed })
}

/// Writes a whole file and puts it in the place of the old one.
fn rewrite(journal: &mut Journal, all: &Batch) -> Result<Healed, JournalError> {
    journal.engine = None;
    journal.files.prepare()?;
    let built = build(journal, all);
    let (engine, healed) = match built {
        Ok(built) => built,
        Err(error) => {
            discard_unfinished(&journal.files);
            return Err(error);
        }
    };
    // From here on the name leads to the whole file, whether that lasts or not.
    journal.file = engine.file.clone();
    journal.engine = Some(engine);
    journal.files.sync_directory()?;
    trust(&journal.files);
    journal.failed = None;
    Ok(healed)
}

fn build(journal: &mut Journal, all: &Batch) -> Result<(Engine, Healed), JournalError> {
    let file = journal.files.create(NAME_UNFINISHED)?;
    let engine = Engine::create(file, journal.seed)?;
    let (rows, rows_copied) = match Engine::open_untouched(journal.file.clone()) {
        Ok(old) => old.copy_rows(&engine)?,
        Err(_) => (None, 0),
    };
    let before = Index { last: journal.index.last, ..Index::default() };
    let (index, committed) = engine.commit(&before, all)?;
    // Memory is what counts, so a file that somebody has put there meanwhile gives way, but not
    // one that another process is using.
    let _there = match journal.files.leads_to(NAME, &journal.file)? {
        true => None,
        false => journal.files.open(NAME)?.map(Arc::new),
    };
    journal.files.rename(NAME_UNFINISHED, NAME)?;
    let rows_lost = rows.unwrap_or(journal.index.rows).saturating_sub(rows_copied);
    journal.index = index;
    Ok((engine, Healed { rewritten: true, rows_lost, committed }))
}
