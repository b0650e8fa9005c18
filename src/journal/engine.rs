//! The one place that talks to the engine: its tables, and what a commit does to them.
//!
//! Commits are one-phase. Of an order of writes inside a sync nothing is taken for granted: both
//! commit slots lie in one sector, each with a checksum over all pages below it, and opening after
//! a crash verifies the newer one whole and falls back to the other, whose pages no commit since
//! has touched. Two phases would spend a second sync on each commit and give that fall-back away:
//! the engine then trusts the slot it finds and has nothing left where a disk did not keep its
//! word. What a second phase protects from, writes chosen by an attacker who also controls which
//! of them reach the disk, is not a risk of a file that one process owns.

use std::any::Any;
use std::cell::Cell;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use redb::{
    Builder, Database, Durability, ReadableDatabase as _, ReadableTable as _,
    ReadableTableMetadata as _, TableDefinition,
};

use super::backend::{Backend, Overlay, Record};
use super::blob::{self, Origin};
use super::disk::DiskFile;
use super::guard::{Stop, damaged, disk, guarded};
use super::index::Index;
use super::{
    Batch, Committed, Damage, Failure, JournalError, Kind, OpenError, Operation, Part, Restored,
    Row, TakeRecord, TakeRow,
};

pub(super) const NAME: &str = "tollgate.redb";
/// A whole file in the making; under the real name only whole files are ever seen.
pub(super) const NAME_UNFINISHED: &str = "tollgate.redb.new";
/// Empty; there while a file is in use of which a sync has failed.
pub(super) const NAME_SUSPECT: &str = "tollgate.redb.suspect";

/// Pages held in memory. A commit touches a handful; reading goes through all of them once.
const CACHE_BYTES: usize = 4 << 20;
const PAGE_BYTES: u32 = 4096;
const FORMAT: u64 = 1;

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const IMAGES: TableDefinition<'_, Part, &[u8]> = TableDefinition::new("images");
const USAGE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("usage");
const META_FORMAT: &str = "format";
const META_SEED: &str = "seed";

/// An open database over one file.
#[derive(Debug)]
pub(super) struct Engine {
    /// `None` only while it is dropped.
    database: Option<Database>,
    pub(super) file: Arc<DiskFile>,
    record: Arc<Record>,
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

/// Refuses a header whose sizes do not fit the file, before anything is allocated by them. What
/// is covered by checksums is left to the engine.
fn check_header(file: &DiskFile) -> Result<(), JournalError> {
    const MAGIC: &[u8] = b"redb\x1A\x0A\xA9\x0D\x0A";
    let mut header = [0; 320];
    let refuse = |what: &str| Err(Damage::new(what).into());
    let len = file.len().map_err(disk(Operation::Inspect))?;
    if len < u64::from(PAGE_BYTES) * 2 {
        return refuse(&format!("it has {len} bytes, less than an empty one has"));
    }
    file.read(0, &mut header).map_err(disk(Operation::Read))?;
    let word = |at: usize| {
        let bytes = header.get(at..).and_then(|rest| rest.first_chunk::<4>());
        bytes.map_or(u32::MAX, |bytes| u32::from_le_bytes(*bytes))
    };
    let (page, region_header, region) = (word(12), word(16), word(20));
    if !header.starts_with(MAGIC) {
        return refuse("it is no file of counters");
    }
    // The engine makes every file with these, and never changes them.
    if page != PAGE_BYTES || region_header != 0 || !region.is_power_of_two() || region < 1 << 10 {
        return refuse("its header gives sizes that no such file has");
    }
    let recovers = header[9] & 2 != 0;
    let pages = u64::from(word(24)) * u64::from(region) + u64::from(word(28));
    if !recovers && pages.saturating_add(1).saturating_mul(u64::from(PAGE_BYTES)) > len {
        return refuse("its header counts more pages than it has");
    }
    Ok(())
}

impl Engine {
    /// A new database in an empty file, of our format.
    pub(super) fn create(file: DiskFile, seed: [u64; 2]) -> Result<Self, JournalError> {
        Self::create_of_format(file, seed, FORMAT)
    }

    pub(super) fn create_of_format(
        file: DiskFile,
        seed: [u64; 2],
        format: u64,
    ) -> Result<Self, JournalError> {
        let engine = Self::create_empty(file)?;
        engine.make_tables(seed, format)?;
        Ok(engine)
    }

    /// A new database in an empty file.
    pub(super) fn create_empty(file: DiskFile) -> Result<Self, JournalError> {
        let (file, record) = (Arc::new(file), Arc::new(Record::default()));
        let backend = Backend { file: file.clone(), record: record.clone() };
        let database = guarded(&record, || Ok(builder().create_with_backend(backend)?))?;
        Ok(Self { database: Some(database), file, record })
    }

    fn make_tables(&self, seed: [u64; 2], format: u64) -> Result<(), JournalError> {
        let mut seed_bytes = [0; 16];
        let (low, high) = seed_bytes.split_at_mut(8);
        low.copy_from_slice(&seed[0].to_le_bytes());
        high.copy_from_slice(&seed[1].to_le_bytes());
        guarded(&self.record, || {
            let transaction = self.begin()?;
            {
                let mut meta = transaction.open_table(META)?;
                let format = blob::write_meta(META_FORMAT, &format.to_le_bytes());
                meta.insert(META_FORMAT, format.as_slice())?;
                meta.insert(META_SEED, blob::write_meta(META_SEED, &seed_bytes).as_slice())?;
                transaction.open_table(LOG)?;
                transaction.open_table(IMAGES)?;
                transaction.open_table(USAGE)?;
            }
            Ok(transaction.commit()?)
        })
    }

    /// Opens a database and verifies every page of it.
    pub(super) fn open(file: Arc<DiskFile>) -> Result<Self, JournalError> {
        check_header(&file)?;
        let record = Arc::new(Record::default());
        let backend = Backend { file: file.clone(), record: record.clone() };
        let database = guarded(&record, || Ok(builder().create_with_backend(backend)?))?;
        Ok(Self { database: Some(database), file, record })
    }

    /// The same without ever writing to the file: what opening repairs stays in memory.
    pub(super) fn open_untouched(file: Arc<DiskFile>) -> Result<Self, JournalError> {
        check_header(&file)?;
        let record = Arc::new(Record::default());
        let overlay = Overlay::new(file.clone(), record.clone());
        let overlay = overlay.map_err(disk(Operation::Inspect))?;
        let database = guarded(&record, || Ok(builder().create_with_backend(overlay)?))?;
        Ok(Self { database: Some(database), file, record })
    }

    fn database(&self) -> Result<&Database, Stop> {
        self.database.as_ref().ok_or(Stop::Own(JournalError::Unhealed))
    }

    fn begin(&self) -> Result<redb::WriteTransaction, Stop> {
        let mut transaction = self.database()?.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        transaction.set_two_phase_commit(false);
        Ok(transaction)
    }

    /// The seed, once the format has been found to be ours.
    pub(super) fn seed(
        &self,
        at_open: impl FnOnce(JournalError) -> OpenError,
    ) -> Result<[u64; 2], OpenError> {
        let (format, seed) = guarded(&self.record, || {
            let transaction = self.database()?.begin_read()?;
            let meta = transaction.open_table(META)?;
            let read = |name: &'static str| -> Result<Vec<u8>, Stop> {
                let missing = || damaged(Damage::new(format!("`{name}` is missing")));
                let value = meta.get(name)?.ok_or_else(missing)?;
                Ok(blob::read_meta(name, value.value()).map_err(damaged)?.to_vec())
            };
            Ok((read(META_FORMAT)?, read(META_SEED)?))
        })
        .map_err(at_open)?;
        let version = format.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        if version != FORMAT {
            return Err(OpenError::Foreign { version });
        }
        match (seed.first_chunk(), seed.last_chunk()) {
            (Some(low), Some(high)) => Ok([u64::from_le_bytes(*low), u64::from_le_bytes(*high)]),
            _ => Err(Damage::new("`seed` is cut off").into()),
        }
    }

    /// Reads every record once: what the file holds, or that it is damaged.
    pub(super) fn index(&self) -> Result<Index, JournalError> {
        guarded(&self.record, || {
            let mut index = Index::default();
            let transaction = self.database()?.begin_read()?;
            for entry in transaction.open_table(IMAGES)?.iter()? {
                let (part, bytes) = entry?;
                let (origin, contents) =
                    blob::read_image(part.value(), bytes.value()).map_err(damaged)?;
                index.add_image(part.value(), origin.sequence, contents.len() as u64);
            }
            for entry in transaction.open_table(LOG)?.iter()? {
                let (sequence, bytes) = entry?;
                let (sequence, bytes) = (sequence.value(), bytes.value());
                let (origin, changes) = blob::read_log(sequence, bytes).map_err(damaged)?;
                for (part, change) in changes {
                    index.add_change(part, sequence, change.len() as u64);
                }
                index.add_log_row(sequence, origin.stamp, bytes.len() as u64);
            }
            index.rows = transaction.open_table(USAGE)?.len()?;
            let last = index.last.map_or(0, |(sequence, _)| sequence);
            if index.parts.values().any(|part| part.image.is_some_and(|image| image > last)) {
                return Err(damaged(Damage::new("an image is later than the last commit")));
            }
            Ok(index)
        })
    }

    pub(super) fn restore(
        &self,
        index: &Index,
        take: &mut TakeRecord<'_>,
    ) -> Result<Restored, JournalError> {
        let last = index.last.map(|(_, stamp)| stamp);
        let mut restored = Restored { last, ..Restored::default() };
        self.handing_out(|hand_out| {
            let transaction = self.database()?.begin_read()?;
            for entry in transaction.open_table(IMAGES)?.iter()? {
                let (part, bytes) = entry?;
                let part = part.value();
                let (origin, contents) = blob::read_image(part, bytes.value()).map_err(damaged)?;
                hand_out(&mut || take(part, origin.stamp, Kind::Image, contents));
                restored.images += 1;
                restored.bytes += contents.len() as u64;
            }
            for entry in transaction.open_table(LOG)?.iter()? {
                let (sequence, bytes) = entry?;
                let sequence = sequence.value();
                let (origin, changes) = blob::read_log(sequence, bytes.value()).map_err(damaged)?;
                for (part, change) in changes {
                    let image = index.parts.get(&part).and_then(|state| state.image);
                    if image.is_some_and(|image| sequence <= image) {
                        continue;
                    }
                    hand_out(&mut || take(part, origin.stamp, Kind::Change, change));
                    restored.changes += 1;
                    restored.bytes += change.len() as u64;
                }
            }
            Ok(())
        })?;
        Ok(restored)
    }

    pub(super) fn rows(
        &self,
        from: &[u8],
        to: &[u8],
        take: &mut TakeRow<'_>,
    ) -> Result<(), JournalError> {
        if from >= to {
            return Ok(());
        }
        self.handing_out(|hand_out| {
            let transaction = self.database()?.begin_read()?;
            for entry in transaction.open_table(USAGE)?.range::<&[u8]>(from..to)? {
                let (key, bytes) = entry?;
                let value = blob::read_row(key.value(), bytes.value()).map_err(damaged)?;
                let mut flow = ControlFlow::Continue(());
                hand_out(&mut || flow = take(key.value(), value));
                if flow.is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Reads under guard, but lets a panic of the caller's own closure through.
    fn handing_out(
        &self,
        work: impl FnOnce(&mut dyn FnMut(&mut dyn FnMut())) -> Result<(), Stop>,
    ) -> Result<(), JournalError> {
        let panicked: Cell<Option<Box<dyn Any + Send>>> = Cell::new(None);
        let result = guarded(&self.record, || {
            let mut hand_out = |take: &mut dyn FnMut()| {
                if let Err(panic) = catch_unwind(AssertUnwindSafe(take)) {
                    panicked.set(Some(panic));
                    resume_unwind(Box::new("of the caller"));
                }
            };
            work(&mut hand_out)
        });
        match panicked.take() {
            Some(panic) => resume_unwind(panic),
            None => result,
        }
    }

    /// Writes a batch after what `index` knows of. What it returns is true once it has returned.
    pub(super) fn commit(
        &self,
        index: &Index,
        batch: &Batch,
    ) -> Result<(Index, Committed), JournalError> {
        let sequence = index.next_sequence();
        let origin = Origin { sequence, stamp: batch.stamp };
        let row = blob::write_log(origin, &batch.changes)
            .ok_or(JournalError::TooLarge { bytes: usize::MAX })?;
        let (mut after, overtaken) = index.after(batch, sequence, row.len() as u64);
        let written_before = self.record.written_bytes();
        let mut image_bytes = 0;
        after.rows = guarded(&self.record, || {
            let transaction = self.begin()?;
            {
                let mut log = transaction.open_table(LOG)?;
                log.insert(sequence, row.as_slice())?;
                for old in overtaken {
                    log.remove(old)?;
                }
                let mut images = transaction.open_table(IMAGES)?;
                for (part, contents) in &batch.images {
                    let record = blob::write_image(origin, *part, contents);
                    image_bytes += record.len() as u64;
                    images.insert(part, record.as_slice())?;
                }
            }
            let rows = write_rows(&transaction, &batch.rows)?;
            transaction.commit()?;
            Ok(rows)
        })?;
        let file_bytes = self.file.len().unwrap_or_default();
        let committed = Committed {
            sequence,
            change_bytes: row.len() as u64,
            image_bytes,
            log_bytes: after.log_bytes,
            file_bytes,
            written_bytes: self.record.written_bytes().saturating_sub(written_before),
        };
        Ok((after, committed))
    }

    /// Copies every record into an empty file, as they are.
    pub(super) fn copy_all(&self, to: &Self) -> Result<(), JournalError> {
        guarded(&to.record, || {
            let reading = self.database()?.begin_read()?;
            let transaction = to.begin()?;
            copy_table(&reading, &transaction, META)?;
            copy_table(&reading, &transaction, LOG)?;
            copy_table(&reading, &transaction, IMAGES)?;
            copy_table(&reading, &transaction, USAGE)?;
            Ok(transaction.commit()?)
        })
    }

    /// Copies the history into another file, as far as it can be read. How many rows there are,
    /// when that can be read, and how many came over.
    pub(super) fn copy_rows(&self, to: &Self) -> Result<(Option<u64>, u64), JournalError> {
        let (mut total, mut copied) = (None, 0);
        guarded(&to.record, || {
            let transaction = to.begin()?;
            {
                let mut table = transaction.open_table(USAGE)?;
                // Failing to read ends the copy, failing to write fails it.
                let mut failed = None;
                let read = guarded(&self.record, || {
                    let reading = self.database()?.begin_read()?.open_table(USAGE)?;
                    total = Some(reading.len()?);
                    for entry in reading.iter()? {
                        let (key, bytes) = entry?;
                        if blob::read_row(key.value(), bytes.value()).is_err() {
                            continue;
                        }
                        if let Err(error) = table.insert(key.value(), bytes.value()) {
                            failed = Some(error);
                            break;
                        }
                        copied += 1;
                    }
                    Ok(())
                });
                drop(read);
                if let Some(error) = failed {
                    return Err(error.into());
                }
            }
            Ok(transaction.commit()?)
        })?;
        Ok((total, copied))
    }
}

impl Engine {
    /// Ends the file in good order; what failed on it, now or before.
    pub(super) fn end(self) -> Option<Failure> {
        let record = self.record.clone();
        drop(self);
        let (operation, cause) = record.first()?;
        Failure::of(&JournalError::Disk { operation, cause })
    }
}

impl Drop for Engine {
    /// The engine ends a file in good order on its own, where the latch lets it; a database that a
    /// panic went through may panic again.
    fn drop(&mut self) {
        let database = self.database.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(database)));
    }
}

fn copy_table<K: redb::Key + 'static>(
    from: &redb::ReadTransaction,
    to: &redb::WriteTransaction,
    table: TableDefinition<'_, K, &[u8]>,
) -> Result<(), Stop> {
    let mut copy = to.open_table(table)?;
    for entry in from.open_table(table)?.iter()? {
        let (key, bytes) = entry?;
        copy.insert(key.value(), bytes.value())?;
    }
    Ok(())
}

fn write_rows(transaction: &redb::WriteTransaction, rows: &[Row]) -> Result<u64, Stop> {
    let mut usage = transaction.open_table(USAGE)?;
    for Row { key, value } in rows {
        match value {
            Some(value) => usage.insert(&**key, blob::write_row(key, value).as_slice())?,
            None => usage.remove(&**key)?,
        };
    }
    Ok(usage.len()?)
}
