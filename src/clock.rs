//! The only reader of the machine's clock.
//!
//! Two readings, never mixed: `now` is the wall clock that windows follow and that may step;
//! `steady` only grows and is for measuring how long something took.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime};

use crate::time::{Span, Timestamp};

#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's; holds the moment from which `steady` counts.
    System(Instant),
    /// Stands still until it is set: for tests and for scenarios in virtual time.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    pub fn system() -> Self {
        Self::System(Instant::now())
    }

    pub fn manual(now: Timestamp) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(now.as_nanos())))
    }

    /// The wall clock.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System(_) => wall_clock(),
            Self::Manual(nanos) => Timestamp::from_nanos(nanos.load(Ordering::Acquire)),
        }
    }

    /// Time since some fixed moment, never going back.
    pub fn steady(&self) -> Span {
        match self {
            Self::System(start) => steady_since(*start),
            Self::Manual(nanos) => {
                Timestamp::from_nanos(nanos.load(Ordering::Acquire)).since(Timestamp::EPOCH)
            }
        }
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

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
fn wall_clock() -> Timestamp {
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => Timestamp::EPOCH.plus(span(since)),
        Err(before) => Timestamp::EPOCH.minus(span(before.duration())),
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
fn steady_since(start: Instant) -> Span {
    span(start.elapsed())
}

fn span(duration: std::time::Duration) -> Span {
    Span::from_nanos(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = Clock::manual(Timestamp::from_seconds(100));
        let same = clock.clone();
        assert_eq!(clock.now(), Timestamp::from_seconds(100));
        same.advance(Span::from_seconds(5));
        assert_eq!(clock.now(), Timestamp::from_seconds(105));
        clock.set(Timestamp::from_seconds(50));
        assert_eq!(same.now(), Timestamp::from_seconds(50));
    }

    #[test]
    fn the_system_clock_is_in_this_century_and_steady_time_does_not_go_back() {
        let clock = Clock::system();
        assert!(clock.now() > Timestamp::from_seconds(1_700_000_000));
        let first = clock.steady();
        assert!(clock.steady() >= first);
    }
}
