//! What the engine reads and writes: our file, behind a latch.
//!
//! The first failure of a write, a resize or a sync closes the latch: nothing more reaches the
//! file through this backend, so no sync is ever tried twice.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use redb::StorageBackend;

use super::Operation;
use super::disk::DiskFile;

/// The first failure on a file, and how much has been written to it.
#[derive(Debug, Default)]
pub(super) struct Record {
    first: Mutex<Option<(Operation, Cause)>>,
    written_bytes: AtomicU64,
}

/// Enough of an error to make it again: `io::Error` cannot be cloned.
#[derive(Clone, Debug)]
struct Cause {
    code: Option<i32>,
    kind: io::ErrorKind,
    text: String,
}

impl Cause {
    fn of(error: &io::Error) -> Self {
        Self { code: error.raw_os_error(), kind: error.kind(), text: error.to_string() }
    }

    fn error(&self) -> io::Error {
        match self.code {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(self.kind, self.text.clone()),
        }
    }
}

impl Record {
    /// The first operation that failed, with its cause.
    pub(super) fn first(&self) -> Option<(Operation, io::Error)> {
        self.first.lock().as_ref().map(|(operation, cause)| (*operation, cause.error()))
    }

    pub(super) fn written_bytes(&self) -> u64 {
        self.written_bytes.load(Ordering::Relaxed)
    }

    fn note<T>(&self, operation: Operation, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            self.first.lock().get_or_insert_with(|| (operation, Cause::of(error)));
        }
        result
    }

    /// Refuses to change the file once anything has failed on it.
    fn check(&self) -> io::Result<()> {
        match self.first.lock().as_ref() {
            Some((_, cause)) => Err(cause.error()),
            None => Ok(()),
        }
    }
}

/// The file itself.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) file: Arc<DiskFile>,
    pub(super) record: Arc<Record>,
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.record.note(Operation::Inspect, self.file.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.record.note(Operation::Read, self.file.read(offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.record.check()?;
        self.record.note(Operation::Resize, self.file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.record.check()?;
        self.record.note(Operation::Sync, self.file.sync())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.record.check()?;
        self.record.note(Operation::Write, self.file.write(offset, data))?;
        self.record.written_bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

/// The file as it would be after the engine's repair, which stays in memory: for reading a file
/// that is not to be written to any more.
#[derive(Debug)]
pub(super) struct Overlay {
    file: Arc<DiskFile>,
    record: Arc<Record>,
    above: Mutex<Above>,
}

#[derive(Debug)]
struct Above {
    len: u64,
    /// Of the file, what is below this is still to be seen.
    file_len: u64,
    /// Blocks that have been written, by number.
    blocks: BTreeMap<u64, Box<[u8; BLOCK]>>,
}

const BLOCK: usize = 4096;

impl Overlay {
    pub(super) fn new(file: Arc<DiskFile>, record: Arc<Record>) -> io::Result<Self> {
        let len = file.len()?;
        let above = Mutex::new(Above { len, file_len: len, blocks: BTreeMap::new() });
        Ok(Self { file, record, above })
    }

    /// Bytes of the file, with zeroes behind its end.
    fn read_below(&self, file_len: u64, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let there = file_len.saturating_sub(offset);
        let there = usize::try_from(there).unwrap_or(usize::MAX).min(out.len());
        let (inside, behind) = out.split_at_mut(there);
        behind.fill(0);
        if inside.is_empty() { Ok(()) } else { self.file.read(offset, inside) }
    }

    fn read_merged(&self, above: &Above, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.read_below(above.file_len, offset, out)?;
        for (block, start, piece) in pieces(offset, out) {
            if let Some(bytes) = above.blocks.get(&block)
                && let Some(bytes) = bytes.get(start..start + piece.len())
            {
                piece.copy_from_slice(bytes);
            }
        }
        Ok(())
    }
}

/// A span of bytes cut at the edges of blocks: the block, where in it, and the bytes.
fn pieces(offset: u64, mut out: &mut [u8]) -> Vec<(u64, usize, &mut [u8])> {
    let mut pieces = Vec::new();
    let mut offset = offset;
    while !out.is_empty() {
        let block = offset / BLOCK as u64;
        let start = usize::try_from(offset % BLOCK as u64).unwrap_or_default();
        let (piece, rest) = out.split_at_mut((BLOCK - start).min(out.len()));
        offset = offset.saturating_add(piece.len() as u64);
        pieces.push((block, start, piece));
        out = rest;
    }
    pieces
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.above.lock().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let above = self.above.lock();
        if offset.saturating_add(out.len() as u64) > above.len {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        self.record.note(Operation::Read, self.read_merged(&above, offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut above = self.above.lock();
        above.len = len;
        above.file_len = above.file_len.min(len);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut above = self.above.lock();
        let mut data = data.to_vec();
        for (block, start, piece) in pieces(offset, &mut data) {
            if !above.blocks.contains_key(&block) {
                let mut bytes = Box::new([0; BLOCK]);
                let at = block.saturating_mul(BLOCK as u64);
                let below = self.read_below(above.file_len, at, bytes.as_mut_slice());
                self.record.note(Operation::Read, below)?;
                above.blocks.insert(block, bytes);
            }
            if let Some(bytes) = above.blocks.get_mut(&block)
                && let Some(bytes) = bytes.get_mut(start..start + piece.len())
            {
                bytes.copy_from_slice(piece);
            }
        }
        Ok(())
    }
}
