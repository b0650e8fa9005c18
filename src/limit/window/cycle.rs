//! Windows of whole local days or months: which of them begin one, and when that is.
//!
//! A window begins when the local clock reaches its date and time for the first time; it ends
//! when the next one begins. Beginnings never go back, so windows tile time whatever the clock on
//! the wall does; a window that the clock jumps over whole is none.

use super::Zone;
use super::anchor::{self, Anchor};
use crate::time::Timestamp;

/// What the length of a window is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// Numbered from the epoch.
    Days,
    /// Numbered from January of year 0.
    Months,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Cycle {
    pub(super) zone: Zone,
    pub(super) step: Step,
    /// In steps.
    pub(super) length: i64,
    /// One window begins in its day or month.
    pub(super) anchor: Anchor,
}

/// How far beyond the next beginning the search goes: a clock set back by a day and more has
/// reached the following ones before.
const MOST_AHEAD: i64 = 3;

/// The windows that begin beyond it all begin here, and none of them holds it.
const END_OF_TIME: Timestamp = Timestamp::from_nanos(i64::MAX);

impl Cycle {
    pub(super) fn end(self, now: Timestamp) -> Timestamp {
        let current = self.step_of_start(now);
        let mut following = (1..=MOST_AHEAD).map(|ahead| self.beginning(current, ahead));
        following.find(|begin| *begin > now).unwrap_or(END_OF_TIME)
    }

    pub(super) fn start(self, now: Timestamp) -> Timestamp {
        let current = self.step_of_start(now);
        let begins = (0..MOST_AHEAD).map(|ahead| self.beginning(current, ahead));
        let past = begins.take_while(|begin| *begin <= now && *begin < END_OF_TIME);
        past.last().unwrap_or(Timestamp::from_nanos(i64::MIN))
    }

    /// Which steps begin windows: those that leave this when divided by the length.
    pub(super) fn phase(self) -> i64 {
        let anchor = match self.step {
            Step::Days => self.anchor.day(),
            Step::Months => self.anchor.month(),
        };
        anchor.rem_euclid(self.length)
    }

    /// The last step whose window has begun by what the clock shows now. It has begun; the next
    /// may have too, when the clock was set back.
    fn step_of_start(self, now: Timestamp) -> i64 {
        let clock = self.zone.clock(now);
        let date = clock.date();
        let step = match self.step {
            Step::Days => anchor::day_of_date(date),
            Step::Months => anchor::month_of_date(date),
        };
        let has_begun = self.reading(step).is_none_or(|begin| begin <= clock);
        let last = if has_begun { step } else { step - 1 };
        last - (last - self.phase()).rem_euclid(self.length)
    }

    /// When the window begins that comes `ahead` windows after one that begins in `step`.
    fn beginning(self, step: i64, ahead: i64) -> Timestamp {
        let step = step.saturating_add(self.length.saturating_mul(ahead));
        let moment = self.reading(step).and_then(|reading| self.zone.first(reading));
        // The calendar reaches further than a timestamp, to both sides.
        let limit = if step > 0 { i64::MAX } else { i64::MIN };
        moment.unwrap_or(Timestamp::from_nanos(limit))
    }

    /// What the clock on the wall shows when a window begins in `step`.
    fn reading(self, step: i64) -> Option<jiff::civil::DateTime> {
        let date = match self.step {
            Step::Days => anchor::date_of_day(step),
            Step::Months => anchor::date_in_month(step, self.anchor.day_in_month()),
        };
        anchor::at_minute(date?, self.anchor.minute_of_day())
    }
}
