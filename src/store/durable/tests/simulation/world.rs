//! The machine of one seed: clocks, a disk, and the process on it, while one lives.
//!
//! Nothing here judges but what the machine itself promises: that the line of time runs evenly.

use std::path::PathBuf;
use std::sync::Arc;

use super::ledger::Moment;
use super::{Judged, ensure};
use crate::clock::discipline::{Discipline, Event};
use crate::journal::simulated::{Action, Fault, Random, Simulated};
use crate::journal::{Files, Journal, OpenError};
use crate::store::durable::open::{OnDamage, Place, read};
use crate::store::durable::{DurableStore, Writer};
use crate::store::memory::MemoryStore;
use crate::time::{Span, Timestamp};
use crate::usage::{Usage, UsageLimits};

const SECOND: i64 = 1_000_000_000;
/// 2026-11-21 18:00:30 UTC.
const START: i64 = 1_795_284_030 * SECOND;
pub(super) const SEED: [u64; 2] = [7, 11];

pub(super) struct Process {
    pub(super) store: Arc<DurableStore>,
    pub(super) usage: Arc<Usage>,
    pub(super) writer: Writer,
}

impl Process {
    pub(super) fn memory(&self) -> &MemoryStore {
        &self.store.memory
    }
}

pub(super) struct World {
    pub(super) disk: Simulated,
    /// Since boot.
    boot: i64,
    wall: i64,
    discipline: Discipline,
    /// Line minus judged time.
    pub(super) judge_shift: i64,
    real: i64,
    moves: u32,
    moved_to: i64,
    /// For how long nobody has looked at the clock.
    unlooked: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Killed,
    PowerLost,
    Orderly,
}

impl World {
    pub(super) fn new(random: &mut Random) -> Self {
        let boot = 100 * SECOND;
        let wall = START + random.below(90_000).cast_signed() * SECOND / 10;
        Self {
            disk: Simulated::default(),
            boot,
            wall,
            discipline: Discipline::new(wall - boot),
            judge_shift: 0,
            real: 0,
            moves: 0,
            moved_to: 0,
            unlooked: 0,
        }
    }

    fn line(&self) -> i64 {
        self.boot.saturating_add(self.discipline.offset())
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.line())
    }

    pub(super) fn steady(&self) -> Span {
        Span::from_nanos(self.boot.unsigned_abs())
    }

    pub(super) fn moment(&self) -> Moment {
        let line = self.line();
        let Self { real, moves, moved_to, .. } = *self;
        Moment { line, judged: line - self.judge_shift, real, moves, moved_to }
    }

    pub(super) fn set_wall(&mut self, by: i64) {
        self.wall = self.wall.saturating_add(by);
    }

    /// Time passes and the server looks at its clock; by how much the line moved, each time.
    pub(super) fn pass(&mut self, nanos: i64) -> Judged<Vec<i64>> {
        let (mut left, mut moved) = (nanos, Vec::new());
        let each = SECOND.max(nanos / 300);
        while left > 0 {
            let span = left.min(each);
            left -= span;
            let before = self.line();
            self.boot += span;
            self.wall = self.wall.saturating_add(span);
            self.real += span;
            let observed = self.discipline.observe(self.wall, self.boot);
            let mut passed = self.line() - before;
            if let Some(Event::Followed { by }) = observed.event {
                passed -= by;
                self.judge_shift += by;
                self.moves += 1;
                self.moved_to = self.line();
                moved.push(by);
            }
            let wrong = (passed - span).abs();
            let unlooked = span + std::mem::take(&mut self.unlooked);
            ensure!(wrong <= unlooked / 100 + 1, "{passed} ns of the line in {span} ns");
        }
        Ok(moved)
    }

    /// Time passes within one request: nobody looks at the clock.
    pub(super) fn wait(&mut self, nanos: i64) {
        self.boot += nanos;
        self.wall = self.wall.saturating_add(nanos);
        self.real += nanos;
        self.unlooked += nanos;
    }

    /// The machine without a process, for so long; `jump` sets the wall clock meanwhile.
    pub(super) fn rest(&mut self, (nanos, jump): (i64, i64), has_booted: bool) {
        self.boot = if has_booted { 7 * SECOND } else { self.boot + nanos };
        self.wall = self.wall.saturating_add(nanos).saturating_add(jump);
        self.real += nanos;
        self.discipline = Discipline::new(self.wall - self.boot);
        self.unlooked = 0;
    }

    /// Judged time after a restart: it never goes back, and what was saved at `saved_shift` is no
    /// older than the new line says.
    pub(super) fn judge_from(&mut self, before: Moment, shift: i64) {
        let judged = self.line() - shift;
        self.judge_shift = shift;
        self.real += (judged - before.judged).max(0);
        if judged - before.judged != self.line() - before.line {
            self.moves += 1;
            self.moved_to = self.line();
        }
    }

    /// What the next shift of judged time is, where that was `before` and the state is of `saved`.
    pub(super) fn shift_after(&self, before: Moment, saved_shift: i64) -> i64 {
        let judged = before.judged.max(self.line().saturating_sub(saved_shift));
        self.line() - judged
    }

    /// Opens what is on the disk, until nothing comes in between; how often something did.
    pub(super) fn start(&self, random: &mut Random) -> Judged<(Process, u64)> {
        self.disk.limit(None);
        for attempt in 0.. {
            if attempt < 2 && random.one_in(5) {
                self.disk.die_in(random.below(12), random.next());
            }
            if attempt < 2 && random.one_in(10) {
                self.disk.fail(any_action(random), 1 + random.below(4), Fault::Io);
            }
            match self.open() {
                Ok(process) => return Ok((process, attempt)),
                Err(Some(wrong)) => return Err(wrong),
                Err(None) if random.one_in(2) => self.disk.crash_process(),
                Err(None) => self.disk.crash_power(random.next()),
            }
        }
        unreachable!("the third attempt meets no fault")
    }

    fn open(&self) -> Result<Process, Option<String>> {
        let usage = Arc::new(Usage::new(UsageLimits { keep_days: 3_660, series_max: 6 }));
        let journal = match Journal::open_in(Files::Simulated(self.disk.clone()), SEED) {
            Ok(journal) => journal,
            Err(OpenError::Unusable { .. }) => return Err(None),
            Err(error) => return Err(Some(format!("the file does not open: {error}"))),
        };
        let memory = match read(&journal, &usage, self.now()) {
            Ok(memory) => memory,
            Err(_) if self.disk.is_dead() || self.disk.has_failed() => return Err(None),
            Err(error) => return Err(Some(format!("the file is not read: {error}"))),
        };
        if journal.seed() != SEED {
            return Err(Some("another seed is in the file".to_owned()));
        }
        let store = DurableStore::new(memory);
        let place = Place {
            directory: PathBuf::new(),
            on_damage: OnDamage::Refuse,
            is_required: true,
            seed: SEED,
        };
        let writer = Writer::new(Arc::clone(&store), Arc::clone(&usage), place, Some(journal));
        Ok(Process { store, usage, writer })
    }

    /// The process is gone.
    pub(super) fn end(&self, process: Process, how: Ending, random: &mut Random) {
        match how {
            Ending::Orderly => {
                drop(process);
                self.disk.crash_process();
            }
            Ending::Killed => {
                self.disk.crash_process();
                drop(process);
            }
            Ending::PowerLost => {
                self.disk.crash_power(random.next());
                drop(process);
            }
        }
    }
}

pub(super) fn any_action(random: &mut Random) -> Action {
    let actions = [
        Action::Write,
        Action::Write,
        Action::Sync,
        Action::Sync,
        Action::SetLen,
        Action::Rename,
        Action::SyncDirectory,
        Action::Read,
    ];
    actions[usize::try_from(random.below(8)).unwrap()]
}
