//! The only reader of the machine's clocks.
//!
//! `now` is a line that never steps by itself: the time since the machine booted, which runs on
//! while it sleeps and which nobody sets, and an offset that made it the wall clock at start.
//! What the wall clock does since then is followed as [`discipline`] says. `steady` only grows
//! and is for measuring how long something took.

pub mod discipline;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;

use parking_lot::Mutex;

use crate::time::{Span, Timestamp};
use discipline::{Discipline, Event, Observed};

#[derive(Clone, Debug)]
pub enum Clock {
    System(Arc<Line>),
    /// Stands still until it is set: for tests and for scenarios in virtual time.
    Manual(Arc<AtomicI64>),
}

/// The machine's time.
#[derive(Debug)]
pub struct Line {
    /// From the time since boot to that of the line, in nanoseconds.
    offset: AtomicI64,
    /// Held while the wall clock is looked at and while stored times are moved.
    discipline: Mutex<Discipline>,
}

impl Clock {
    pub fn system() -> Self {
        let offset = wall_nanos().saturating_sub(boot_nanos());
        let discipline = Mutex::new(Discipline::new(offset));
        Self::System(Arc::new(Line { offset: AtomicI64::new(offset), discipline }))
    }

    pub fn manual(now: Timestamp) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(now.as_nanos())))
    }

    /// What windows follow.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_nanos(match self {
            Self::System(line) => boot_nanos().saturating_add(line.offset.load(Ordering::Acquire)),
            Self::Manual(nanos) => nanos.load(Ordering::Acquire),
        })
    }

    /// Time since some fixed moment, never going back.
    pub fn steady(&self) -> Span {
        let nanos = match self {
            Self::System(_) => boot_nanos(),
            Self::Manual(nanos) => nanos.load(Ordering::Acquire),
        };
        Timestamp::from_nanos(nanos).since(Timestamp::EPOCH)
    }

    /// Looks at the wall clock; to be called every tenth of a second or so. Where a step is
    /// followed `shift` moves all stored times along. `None` of a manual clock, which has none.
    pub fn observe(&self, shift: impl FnOnce(i64)) -> Option<Observed> {
        let Self::System(line) = self else { return None };
        let (wall, boot) = both_nanos();
        Some(line.observe(wall, boot, shift))
    }

    /// Moves a manual clock on; the machine's clock is not ours to move.
    pub fn advance(&self, span: Span) {
        if let Self::Manual(_) = self {
            self.set(self.now().plus(span));
        }
    }

    /// Sets a manual clock, backwards too; the machine's clock is not ours to set.
    pub fn set(&self, now: Timestamp) {
        if let Self::Manual(nanos) = self {
            nanos.store(now.as_nanos(), Ordering::Release);
        }
    }
}

impl Line {
    /// Between the two moves times must look too late rather than too early: so what is stored
    /// moves first when time goes ahead, and last when it goes back.
    fn observe(&self, wall: i64, boot: i64, shift: impl FnOnce(i64)) -> Observed {
        let mut discipline = self.discipline.lock();
        let observed = discipline.observe(wall, boot);
        let set = || self.offset.store(discipline.offset(), Ordering::Release);
        match observed.event {
            Some(Event::Followed { by }) if by > 0 => {
                shift(by);
                set();
            }
            Some(Event::Followed { by }) => {
                set();
                shift(by);
            }
            Some(Event::Seen { .. } | Event::Withdrawn) | None => set(),
        }
        observed
    }
}

/// Wall clock and time since boot, of one moment: where the thread was kept waiting between the
/// two, another try is better.
fn both_nanos() -> (i64, i64) {
    let read = || {
        let (before, wall, after) = (boot_nanos(), wall_nanos(), boot_nanos());
        let gap = after.saturating_sub(before);
        (gap, wall, before.saturating_add(gap / 2))
    };
    let tries = [read(), read(), read()];
    let (_, wall, boot) = tries.into_iter().min_by_key(|(gap, ..)| *gap).unwrap_or_else(read);
    (wall, boot)
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
fn wall_nanos() -> i64 {
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => nanos(since),
        Err(before) => nanos(before.duration()).saturating_neg(),
    }
}

/// Since the machine booted, sleep included.
#[cfg(target_os = "linux")]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
fn boot_nanos() -> i64 {
    let read = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    read.tv_sec.saturating_mul(1_000_000_000).saturating_add(read.tv_nsec)
}

/// Since it was first asked: elsewhere there is no such clock of the machine in the standard
/// library. Where this one stands still while the machine sleeps, waking up is a step ahead.
#[cfg(not(target_os = "linux"))]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
fn boot_nanos() -> i64 {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    nanos(START.get_or_init(std::time::Instant::now).elapsed())
}

fn nanos(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
