//! A disk in memory that fails, fills up and loses power as a seed says, the same way every time.
//!
//! Every file keeps what is synced apart from what is only written; a loss of power decides over
//! each unsynced write, resize and name on its own. After a crash every handle is dead until its
//! file is opened again.

mod loss;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::disk::DiskError;
pub(crate) use loss::Random;
use loss::{Change, NameChange, keep_some, shuffle};

const NO_SPACE: i32 = 28;
const IO_ERROR: i32 = 5;

/// What may be told to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Action {
    Read,
    Write,
    SetLen,
    Sync,
    Rename,
    SyncDirectory,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Io,
    NoSpace,
}

impl Fault {
    fn error(self) -> io::Error {
        io::Error::from_raw_os_error(match self {
            Self::Io => IO_ERROR,
            Self::NoSpace => NO_SPACE,
        })
    }
}

/// What the disk has been asked to do since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) reads: u64,
    pub(crate) writes: u64,
    pub(crate) written_bytes: u64,
    pub(crate) set_lens: u64,
    pub(crate) syncs: u64,
    pub(crate) renames: u64,
    pub(crate) directory_syncs: u64,
    /// Syncs of a file on which one has failed before: always a mistake.
    pub(crate) syncs_after_failure: u64,
    /// Syncs that took their time, as `slow_syncs` says.
    pub(crate) slow_syncs: u64,
}

/// A disk with one directory. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Simulated(Arc<Mutex<State>>);

/// An open file of it.
#[derive(Debug)]
pub(crate) struct SimulatedFile {
    disk: Simulated,
    file: u64,
    epoch: u64,
}

#[derive(Debug, Default)]
struct State {
    /// By number; a file keeps its number under every name.
    files: BTreeMap<u64, Contents>,
    names: BTreeMap<String, u64>,
    names_synced: BTreeMap<String, u64>,
    names_pending: Vec<NameChange>,
    next_file: u64,
    /// Counts crashes: handles of an earlier one are dead.
    epoch: u64,
    counts: Counts,
    /// How often each action has been asked for.
    asked: BTreeMap<Action, u64>,
    /// Fails the n-th of an action, counted from when it was set.
    faults: Vec<(Action, u64, Fault)>,
    /// Operations that change something until the process dies in one; with the seed that says
    /// how much of it is done.
    dies_in: Option<(u64, u64)>,
    dead: bool,
    /// Whether a fault that was set came up since the last crash.
    has_failed: bool,
    capacity: Option<u64>,
    slow_syncs: bool,
}

#[derive(Debug, Default)]
struct Contents {
    bytes: Vec<u8>,
    synced: Vec<u8>,
    pending: Vec<Change>,
    locked: bool,
    /// In which life of the process a sync of it failed.
    sync_failed: Option<u64>,
}

fn dead() -> io::Error {
    io::Error::other("the process is dead")
}

impl State {
    /// Counts an action, and fails it when it is to fail.
    fn ask(&mut self, action: Action) -> io::Result<()> {
        if self.dead {
            return Err(dead());
        }
        let count = self.asked.entry(action).or_default();
        *count += 1;
        let count = *count;
        let found = self.faults.iter().position(|(kind, at, _)| (*kind, *at) == (action, count));
        match found {
            Some(at) => {
                self.has_failed = true;
                Err(self.faults.remove(at).2.error())
            }
            None => Ok(()),
        }
    }

    /// Whether the process dies in this operation; then with the randomness for what is left.
    fn dies(&mut self) -> Option<Random> {
        let (left, seed) = self.dies_in.as_mut()?;
        if *left > 0 {
            *left -= 1;
            return None;
        }
        let seed = *seed;
        self.dies_in = None;
        self.dead = true;
        Some(Random(seed))
    }

    fn used(&self) -> u64 {
        let named = self.files.iter().filter(|(file, contents)| {
            contents.locked || self.names.values().any(|name| name == *file)
        });
        named.map(|(_, contents)| contents.bytes.len() as u64).sum()
    }

    fn check_room(&self, more: usize) -> io::Result<()> {
        match self.capacity {
            Some(capacity) if more > 0 && self.used() + more as u64 > capacity => {
                Err(Fault::NoSpace.error())
            }
            _ => Ok(()),
        }
    }

    fn change(&mut self, file: u64, change: Change) -> io::Result<()> {
        let contents = self.files.get_mut(&file).ok_or_else(dead)?;
        change.apply(&mut contents.bytes);
        contents.pending.push(change);
        Ok(())
    }

    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.names_pending.push(change);
    }

    fn end_handles(&mut self) {
        self.epoch += 1;
        self.dead = false;
        self.dies_in = None;
        self.faults.clear();
        self.has_failed = false;
        for contents in self.files.values_mut() {
            contents.locked = false;
        }
    }
}

impl Simulated {
    /// Fails the n-th of an action from here on, once.
    pub(crate) fn fail(&self, action: Action, nth: u64, fault: Fault) {
        let mut state = self.0.lock();
        let asked = state.asked.get(&action).copied().unwrap_or_default();
        state.faults.push((action, asked + nth, fault));
    }

    /// Whether a fault that was set has not come up yet.
    pub(crate) fn fault_waits(&self) -> bool {
        !self.0.lock().faults.is_empty()
    }

    /// Whether the process has died in an operation.
    pub(crate) fn is_dead(&self) -> bool {
        self.0.lock().dead
    }

    /// Whether anything has been told to fail in this life of the process and did.
    pub(crate) fn has_failed(&self) -> bool {
        self.0.lock().has_failed
    }

    /// Nothing fails from here on, and there is room.
    pub(crate) fn calm(&self) {
        let mut state = self.0.lock();
        state.faults.clear();
        state.dies_in = None;
        state.capacity = None;
    }

    /// The process dies in the n-th operation that changes something, from 0.
    pub(crate) fn die_in(&self, operations: u64, seed: u64) {
        self.0.lock().dies_in = Some((operations, seed));
    }

    /// Bytes that fit on the disk; `None` is no limit.
    pub(crate) fn limit(&self, capacity: Option<u64>) {
        self.0.lock().capacity = capacity;
    }

    pub(crate) fn slow_syncs(&self, slow: bool) {
        self.0.lock().slow_syncs = slow;
    }

    pub(crate) fn counts(&self) -> Counts {
        self.0.lock().counts
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.0.lock().names.keys().cloned().collect()
    }

    pub(crate) fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.0.lock();
        let file = state.names.get(name)?;
        state.files.get(file).map(|contents| contents.bytes.clone())
    }

    /// A file as somebody else put it there, synced.
    pub(crate) fn put(&self, name: &str, bytes: Vec<u8>) {
        let mut state = self.0.lock();
        let file = state.next_file;
        state.next_file += 1;
        let contents = Contents { synced: bytes.clone(), bytes, ..Contents::default() };
        state.files.insert(file, contents);
        state.names.insert(name.to_owned(), file);
        state.names_synced.insert(name.to_owned(), file);
    }

    /// The process is gone; the kernel still has all that was written.
    pub(crate) fn crash_process(&self) {
        self.0.lock().end_handles();
    }

    /// The machine is gone: each change that was not synced is kept, dropped, torn at sectors or
    /// done out of order.
    pub(crate) fn crash_power(&self, seed: u64) {
        let mut random = Random(seed);
        let mut state = self.0.lock();
        state.end_handles();
        let keep_in = 1 + random.below(4);
        for contents in state.files.values_mut() {
            let mut changes = std::mem::take(&mut contents.pending);
            if random.one_in(3) {
                shuffle(&mut changes, &mut random);
            }
            for change in changes {
                keep_some(&change, &mut contents.synced, keep_in, &mut random);
            }
            contents.bytes.clone_from(&contents.synced);
            contents.sync_failed = None;
        }
        let mut names = state.names_synced.clone();
        for change in std::mem::take(&mut state.names_pending) {
            if random.one_in(2) {
                change.apply(&mut names);
            }
        }
        state.names_synced.clone_from(&names);
        let kept: Vec<u64> = names.values().copied().collect();
        state.names = names;
        state.files.retain(|file, _| kept.contains(file));
    }

    fn file(&self, number: u64, epoch: u64) -> SimulatedFile {
        SimulatedFile { disk: self.clone(), file: number, epoch }
    }

    fn lock_file(&self, state: &mut State, number: u64) -> Result<SimulatedFile, DiskError> {
        let Some(contents) = state.files.get_mut(&number) else { return Err(DiskError::Busy) };
        if std::mem::replace(&mut contents.locked, true) {
            return Err(DiskError::Busy);
        }
        Ok(self.file(number, state.epoch))
    }

    pub(super) fn prepare(&self) -> io::Result<()> {
        if self.0.lock().dead { Err(dead()) } else { Ok(()) }
    }

    pub(super) fn open(&self, name: &str) -> Result<Option<SimulatedFile>, DiskError> {
        let mut state = self.0.lock();
        match state.names.get(name).copied() {
            Some(number) => self.lock_file(&mut state, number).map(Some),
            None => Ok(None),
        }
    }

    pub(super) fn create(&self, name: &str) -> Result<SimulatedFile, DiskError> {
        let mut state = self.0.lock();
        if state.dead {
            return Err(DiskError::Failed { operation: super::Operation::Create, cause: dead() });
        }
        let number = state.next_file;
        state.next_file += 1;
        state.files.insert(number, Contents::default());
        state.change_name(NameChange::Link(name.to_owned(), number));
        self.lock_file(&mut state, number)
    }

    pub(super) fn reserve(&self, name: &str) -> io::Result<()> {
        if self.exists(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        match self.create(name) {
            Ok(_) => Ok(()),
            Err(DiskError::Failed { cause, .. }) => Err(cause),
            Err(DiskError::Busy) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    pub(super) fn exists(&self, name: &str) -> bool {
        self.0.lock().names.contains_key(name)
    }

    pub(super) fn leads_to(&self, name: &str, file: &SimulatedFile) -> bool {
        self.0.lock().names.get(name) == Some(&file.file)
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.ask(Action::Rename)?;
        state.counts.renames += 1;
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let number = state.names.get(from).copied().ok_or_else(missing)?;
        let died = state.dies();
        if died.clone().is_none_or(|mut random| random.one_in(2)) {
            state.change_name(NameChange::Rename(from.to_owned(), to.to_owned(), number));
        }
        died.map_or(Ok(()), |_| Err(dead()))
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        if state.dead {
            return Err(dead());
        }
        if !state.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change_name(NameChange::Remove(name.to_owned()));
        Ok(())
    }

    pub(super) fn sync_directory(&self) -> io::Result<()> {
        let mut state = self.0.lock();
        state.ask(Action::SyncDirectory)?;
        if state.dies().is_some() {
            return Err(dead());
        }
        state.counts.directory_syncs += 1;
        state.names_pending.clear();
        state.names_synced = state.names.clone();
        Ok(())
    }
}

impl SimulatedFile {
    fn state(&self) -> io::Result<parking_lot::MutexGuard<'_, State>> {
        let state = self.disk.0.lock();
        if state.epoch != self.epoch || state.dead { Err(dead()) } else { Ok(state) }
    }

    pub(super) fn len(&self) -> io::Result<u64> {
        let state = self.state()?;
        Ok(state.files.get(&self.file).ok_or_else(dead)?.bytes.len() as u64)
    }

    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.state()?;
        state.ask(Action::Read)?;
        state.counts.reads += 1;
        let bytes = &state.files.get(&self.file).ok_or_else(dead)?.bytes;
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let there = bytes.get(from..).and_then(|rest| rest.get(..out.len()));
        out.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    pub(super) fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state()?;
        state.ask(Action::Write)?;
        let at = usize::try_from(offset).map_err(|_| dead())?;
        let len = state.files.get(&self.file).ok_or_else(dead)?.bytes.len();
        state.check_room((at + data.len()).saturating_sub(len))?;
        state.counts.writes += 1;
        state.counts.written_bytes += data.len() as u64;
        if let Some(mut random) = state.dies() {
            let done = usize::try_from(random.below(data.len() as u64 + 1)).unwrap();
            state.change(self.file, Change::Write(at, data[..done].to_vec()))?;
            return Err(dead());
        }
        state.change(self.file, Change::Write(at, data.to_vec()))
    }

    pub(super) fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state()?;
        state.ask(Action::SetLen)?;
        let len = usize::try_from(len).map_err(|_| dead())?;
        let before = state.files.get(&self.file).ok_or_else(dead)?.bytes.len();
        state.check_room(len.saturating_sub(before))?;
        state.counts.set_lens += 1;
        let died = state.dies();
        if died.clone().is_none_or(|mut random| random.one_in(2)) {
            state.change(self.file, Change::SetLen(len))?;
        }
        died.map_or(Ok(()), |_| Err(dead()))
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        let mut state = self.state()?;
        let epoch = state.epoch;
        let failed = state.files.get(&self.file).ok_or_else(dead)?.sync_failed;
        state.counts.syncs_after_failure += u64::from(failed == Some(epoch));
        state.counts.slow_syncs += u64::from(state.slow_syncs);
        let asked = state.ask(Action::Sync);
        let died = asked.is_ok() && state.dies().is_some();
        state.counts.syncs += 1;
        let contents = state.files.get_mut(&self.file).ok_or_else(dead)?;
        if let Err(error) = asked {
            // As kernels do it: the pages count as clean although they are lost, readers still
            // see them, and the next sync has nothing to say about them.
            contents.sync_failed = Some(epoch);
            contents.pending.clear();
            return Err(error);
        }
        if died {
            return Err(dead());
        }
        for change in contents.pending.drain(..) {
            change.apply(&mut contents.synced);
        }
        Ok(())
    }
}

impl Drop for SimulatedFile {
    fn drop(&mut self) {
        let mut state = self.disk.0.lock();
        if state.epoch == self.epoch
            && let Some(contents) = state.files.get_mut(&self.file)
        {
            contents.locked = false;
        }
    }
}
