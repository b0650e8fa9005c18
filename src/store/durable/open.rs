//! Opening: the file found, read and trusted, or kept aside and said so.
//!
//! Nothing is decided before all of it is read, and no counter is guessed at: what is damaged is
//! refused whole, kept for whoever wants to look, and never taken for an empty file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{DurableStore, Writer};
use crate::journal::{self, Damage, Journal, JournalError, Stamp};
use crate::store::memory::MemoryStore;
use crate::time::Timestamp;
use crate::usage::Usage;

/// For so long, in all 5 s.
const BUSY_TRIES: u32 = 50;
const BUSY_PAUSE: Duration = Duration::from_millis(100);

/// What to do about a file that is damaged or of another format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDamage {
    /// Keep it aside and begin with nothing used.
    Empty,
    /// Do not start.
    Refuse,
}

/// Where counters are written, and what happens when that cannot be.
#[derive(Clone, Debug)]
pub struct Place {
    pub directory: PathBuf,
    pub on_damage: OnDamage,
    /// Whether to start only when the directory can be used.
    pub is_required: bool,
    /// Under which counters are kept when the file is made.
    pub seed: [u64; 2],
}

/// A store with what was found, and who writes it down.
#[derive(Debug)]
pub struct Opened {
    pub store: Arc<DurableStore>,
    pub writer: Writer,
    /// Under which counters are kept.
    pub seed: [u64; 2],
    /// Counters that were found.
    pub restored: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("counters cannot be kept in `{}`: {cause}", directory.display())]
    Unusable { directory: PathBuf, cause: journal::OpenError },
    #[error(
        "the counters in `{}` cannot be used: {why}. To begin with nothing used, move the file away or start with `--data-damaged empty`, which keeps it aside",
        directory.display()
    )]
    Damaged { directory: PathBuf, why: String },
    #[error("the damaged counters in `{}` cannot be kept aside: {cause}; move the file away", directory.display())]
    Aside { directory: PathBuf, cause: std::io::Error },
}

/// Opens or makes the file in a directory, and reads what it holds.
pub fn open(place: Place, usage: &Arc<Usage>, now: Timestamp) -> Result<Opened, OpenError> {
    let opened = match find_when_free(&place, usage, now) {
        Err(Fault::Unsound(why)) => {
            if place.on_damage == OnDamage::Refuse {
                return Err(OpenError::Damaged { directory: place.directory, why });
            }
            let aside = set_aside(&place.directory, now)?;
            usage.clear();
            let told = format!("{why}; the file is kept as `{}`", aside.display());
            tracing::error!("nothing is known of earlier usage: {told}");
            find(&place.directory, place.seed, usage, now).map(|found| (found, Some(told)))
        }
        found => found.map(|found| (found, None)),
    };
    match opened {
        Ok((Found { journal, memory }, set_aside)) => {
            let (seed, restored) = (journal.seed(), memory.counter_count());
            let store = DurableStore::new(memory);
            {
                let mut status = store.status.lock();
                status.set_aside = set_aside;
                status.file_bytes = journal.file_bytes();
            }
            let place = Place { seed, ..place };
            let writer = Writer::new(Arc::clone(&store), Arc::clone(usage), place, Some(journal));
            Ok(Opened { store, writer, seed, restored })
        }
        // Its counters are good: to begin without them would be to forget them.
        Err(Fault::Unusable(cause @ journal::OpenError::Busy)) => {
            Err(OpenError::Unusable { directory: place.directory, cause })
        }
        Err(Fault::Unusable(cause)) if !place.is_required => {
            tracing::error!("counters are in memory alone for now: {cause}");
            let store = DurableStore::new(MemoryStore::new(true));
            store.status.lock().failed(cause.to_string());
            let seed = place.seed;
            let writer = Writer::new(Arc::clone(&store), Arc::clone(usage), place, None);
            Ok(Opened { store, writer, seed, restored: 0 })
        }
        Err(Fault::Unusable(cause)) => {
            Err(OpenError::Unusable { directory: place.directory, cause })
        }
        Err(Fault::Unsound(why)) => Err(OpenError::Damaged { directory: place.directory, why }),
    }
}

impl Place {
    /// Opens the file after the store has begun without it. What an earlier process left there is
    /// of other fingerprints, so it is kept aside.
    pub(super) fn open_late(&self, now: Timestamp) -> Result<Journal, LateError> {
        match Journal::open(&self.directory, self.seed) {
            Ok(journal) if journal.seed() == self.seed => return Ok(journal),
            Ok(_) | Err(journal::OpenError::Damaged(_) | journal::OpenError::Foreign { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let aside = journal::set_aside(&self.directory, now)?;
        tracing::error!(
            "the counters that are in `{}` were not there when this process began; they are kept as `{}`",
            self.directory.display(),
            aside.display()
        );
        Ok(Journal::open(&self.directory, self.seed)?)
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum LateError {
    #[error(transparent)]
    Open(#[from] journal::OpenError),
    #[error("a file of counters that is there cannot be kept aside: {0}")]
    Aside(#[from] std::io::Error),
}

struct Found {
    journal: Journal,
    memory: MemoryStore,
}

enum Fault {
    Unusable(journal::OpenError),
    /// Damaged, or of another format.
    Unsound(String),
}

impl From<journal::OpenError> for Fault {
    fn from(error: journal::OpenError) -> Self {
        match error {
            journal::OpenError::Busy | journal::OpenError::Unusable { .. } => Self::Unusable(error),
            journal::OpenError::Damaged(_) | journal::OpenError::Foreign { .. } => {
                Self::Unsound(error.to_string())
            }
        }
    }
}

impl From<JournalError> for Fault {
    fn from(error: JournalError) -> Self {
        Self::Unsound(error.to_string())
    }
}

/// Where another process is just ending, which a server that need not keep anything waits for.
#[expect(clippy::disallowed_methods, reason = "nothing is served yet, and no lock tells")]
fn find_when_free(place: &Place, usage: &Usage, now: Timestamp) -> Result<Found, Fault> {
    let mut found = find(&place.directory, place.seed, usage, now);
    let tries = if place.is_required { 0 } else { BUSY_TRIES };
    for _ in 0..tries {
        if !matches!(found, Err(Fault::Unusable(journal::OpenError::Busy))) {
            break;
        }
        std::thread::sleep(BUSY_PAUSE);
        found = find(&place.directory, place.seed, usage, now);
    }
    found
}

fn find(directory: &Path, seed: [u64; 2], usage: &Usage, now: Timestamp) -> Result<Found, Fault> {
    let journal = Journal::open(directory, seed)?;
    let memory = read(&journal, usage, now)?;
    Ok(Found { journal, memory })
}

/// All that a file holds, in memory.
pub(super) fn read(
    journal: &Journal,
    usage: &Usage,
    now: Timestamp,
) -> Result<MemoryStore, JournalError> {
    let memory = MemoryStore::new(true);
    let mut refused = None;
    let restored = journal.restore(&mut |part, stamp, kind, bytes| {
        let taken = match part {
            super::writer::USAGE_PART => read_usage(usage, kind, bytes),
            shard => memory.read(usize::from(shard), kind, bytes, (stamp.shifted, now)),
        };
        if taken.is_none() {
            refused.get_or_insert(part);
        }
    })?;
    if let Some(part) = refused {
        let what = format!("part {part} does not hold what is written there");
        return Err(JournalError::Damaged(Damage { what }));
    }
    let fresh = Stamp { at: Timestamp::from_nanos(i64::MIN), shifted: 0 };
    memory.restored(restored.last.unwrap_or(fresh), now);
    usage.restored(now);
    Ok(memory)
}

fn read_usage(usage: &Usage, kind: journal::Kind, bytes: &[u8]) -> Option<()> {
    match kind {
        journal::Kind::Image => usage.restore_image(bytes).ok(),
        journal::Kind::Change => usage.restore_changes(bytes).ok(),
    }
}

fn set_aside(directory: &Path, now: Timestamp) -> Result<PathBuf, OpenError> {
    journal::set_aside(directory, now)
        .map_err(|cause| OpenError::Aside { directory: directory.to_path_buf(), cause })
}
