//! Windows: the spans to which amounts apply, and where on the clock they begin and end.
//!
//! Windows of seconds, minutes and hours, whatever the multiple, are aligned to the Unix epoch.
//! Days, weeks, months and years follow the calendar of a time zone, from an anchor (without one
//! weeks begin on Monday) unless the window is epoch-aligned as a whole, which the
//! envoyproxy/ratelimit format asks for: there a month is 30 days and a year 365 days, counted
//! from the epoch. The windows of one kind tile time: each moment is in exactly one. Windows that
//! begin with the first hit are each counter's own.

mod anchor;
mod cycle;
#[cfg(test)]
mod tests;
mod zone;

use std::fmt;
use std::num::NonZeroU32;

use crate::time::{Span, Timestamp};
pub use anchor::{Anchor, WEEKDAYS};
use cycle::{Cycle, Step};
pub use zone::Zone;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl Unit {
    pub const ALL: [Self; 7] =
        [Self::Second, Self::Minute, Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];

    /// Nominal length in seconds; a month counts 30 days and a year 365.
    pub const fn seconds(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
            Self::Week => 604_800,
            Self::Month => 2_592_000,
            Self::Year => 31_536_000,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Alignment {
    /// Whole multiples of the nominal length since the Unix epoch.
    Epoch,
    /// Days, weeks, months and years as the calendar of the zone has them, one of which begins
    /// at the anchor. Shorter windows are aligned to the epoch all the same.
    Calendar { zone: Zone, anchor: Anchor },
    /// Each counter's windows begin with the first hit that it counts, and last the nominal length.
    FirstHit,
}

/// `count` times `unit`, such as 15 minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Window {
    pub count: NonZeroU32,
    pub unit: Unit,
    pub alignment: Alignment,
}

/// A window without its spelling; part of a counter's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WindowIdentity {
    Seconds(u64),
    MondayWeeks(u64),
    Months(u64),
    /// Days that begin elsewhere than those of UTC.
    LocalDays(LocalIdentity),
    /// Months that begin elsewhere than those of UTC.
    LocalMonths(LocalIdentity),
    /// Of so many seconds, from the first hit.
    FirstHit(u64),
}

/// Where windows begin that do not begin with those of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LocalIdentity {
    pub zone: Zone,
    /// In days or months.
    pub length: u64,
    /// Windows begin in the days since the epoch, or months since year 0, that leave this when
    /// divided by the length.
    pub phase: u64,
    /// Of the month; 1 for windows of days.
    pub day: i8,
    pub minute_of_day: u16,
}

/// How the ends of a window are found.
enum Shape {
    /// All of one length; one begins at `origin`, in seconds since the epoch.
    Even {
        origin: i64,
    },
    Local(Cycle),
}

const SECONDS_PER_WEEK: u64 = Unit::Week.seconds();

impl Window {
    /// In UTC, without an anchor.
    pub const fn calendar(count: NonZeroU32, unit: Unit) -> Self {
        let alignment = Alignment::Calendar { zone: Zone::UTC, anchor: Anchor::of(unit) };
        Self { count, unit, alignment }
    }

    /// The same length, from the first hit.
    #[must_use]
    pub const fn from_first_hit(self) -> Self {
        Self { alignment: Alignment::FirstHit, ..self }
    }

    pub fn begins_with_first_hit(self) -> bool {
        self.alignment == Alignment::FirstHit
    }

    pub const fn epoch(unit: Unit) -> Self {
        Self { count: NonZeroU32::MIN, unit, alignment: Alignment::Epoch }
    }

    /// The same window in a time zone, from an anchor if there is one.
    #[must_use]
    pub fn placed(self, zone: Zone, anchor: Option<Anchor>) -> Self {
        let anchor = anchor.unwrap_or(Anchor::of(self.unit));
        Self { alignment: Alignment::Calendar { zone, anchor }, ..self }
    }

    fn shape(self) -> Shape {
        let count = i64::from(self.count.get());
        let Alignment::Calendar { zone, anchor } = self.alignment else {
            return Shape::Even { origin: 0 };
        };
        let (step, length) = match self.unit {
            Unit::Second | Unit::Minute | Unit::Hour => return Shape::Even { origin: 0 },
            // Every day of UTC has 24 hours.
            Unit::Day | Unit::Week if zone == Zone::UTC => {
                return Shape::Even { origin: anchor.seconds() };
            }
            Unit::Day => (Step::Days, count),
            Unit::Week => (Step::Days, count * 7),
            Unit::Month => (Step::Months, count),
            Unit::Year => (Step::Months, count * 12),
        };
        Shape::Local(Cycle { zone, step, length, anchor })
    }

    /// What makes two windows the same, however they are written: 60 seconds are one minute.
    pub fn identity(self) -> WindowIdentity {
        if self.begins_with_first_hit() {
            return WindowIdentity::FirstHit(self.nominal_span().seconds_floor());
        }
        match self.shape() {
            Shape::Even { origin } => self.even_identity(origin),
            Shape::Local(cycle) => {
                let day = match cycle.step {
                    Step::Days => 1,
                    Step::Months => cycle.anchor.day_in_month(),
                };
                let local = LocalIdentity {
                    zone: cycle.zone,
                    length: cycle.length.unsigned_abs(),
                    phase: cycle.phase().unsigned_abs(),
                    day,
                    minute_of_day: cycle.anchor.minute_of_day(),
                };
                let is_plain = local
                    == LocalIdentity {
                        zone: Zone::UTC,
                        phase: 0,
                        day: 1,
                        minute_of_day: 0,
                        ..local
                    };
                match cycle.step {
                    Step::Days => WindowIdentity::LocalDays(local),
                    Step::Months if is_plain => WindowIdentity::Months(local.length),
                    Step::Months => WindowIdentity::LocalMonths(local),
                }
            }
        }
    }

    fn even_identity(self, origin: i64) -> WindowIdentity {
        let seconds = self.unit.seconds().saturating_mul(u64::from(self.count.get()));
        let length = seconds.cast_signed();
        let first_monday = Anchor::of(Unit::Week).seconds();
        let phase = origin.rem_euclid(length);
        if phase == 0 {
            return WindowIdentity::Seconds(seconds);
        }
        if seconds.is_multiple_of(SECONDS_PER_WEEK) && phase == first_monday.rem_euclid(length) {
            return WindowIdentity::MondayWeeks(seconds / SECONDS_PER_WEEK);
        }
        let (day, second) = (phase.unsigned_abs() / 86_400, phase.unsigned_abs() % 86_400);
        WindowIdentity::LocalDays(LocalIdentity {
            zone: Zone::UTC,
            length: seconds / 86_400,
            phase: day,
            day: 1,
            minute_of_day: u16::try_from(second / 60).unwrap_or_default(),
        })
    }

    /// Nominal length: exact for all but calendar months and years, and days in time zones.
    pub const fn nominal_span(self) -> Span {
        Span::from_seconds(self.unit.seconds().saturating_mul(self.count.get() as u64))
    }

    /// The end of the window that `now` is in: the first moment that is no longer in it. Where
    /// windows begin with the first hit, that one is now.
    pub fn end(self, now: Timestamp) -> Timestamp {
        if self.begins_with_first_hit() {
            return now.plus(self.nominal_span());
        }
        match self.shape() {
            Shape::Even { origin } => self.even_begin(now, origin, 1),
            Shape::Local(cycle) => cycle.end(now),
        }
    }

    /// The first moment of the window that `now` is in.
    pub fn start(self, now: Timestamp) -> Timestamp {
        match self.shape() {
            Shape::Even { origin } => self.even_begin(now, origin, 0),
            Shape::Local(cycle) => cycle.start(now),
        }
    }

    /// Where the window begins that comes `ahead` windows after that of `now`.
    fn even_begin(self, now: Timestamp, origin: i64, ahead: i64) -> Timestamp {
        let length = self.nominal_span().seconds_floor().cast_signed();
        let since_origin = now.seconds_floor().saturating_sub(origin);
        let index = since_origin.div_euclid(length);
        let begin = index.saturating_add(ahead).saturating_mul(length).saturating_add(origin);
        Timestamp::from_seconds(begin)
    }
}

/// As written in a policy: `minute`, `15 minutes`, `month from day 15 in America/New_York`.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count.get() {
            1 => f.write_str(self.unit.name())?,
            count => write!(f, "{count} {}s", self.unit.name())?,
        }
        if self.begins_with_first_hit() {
            return f.write_str(" from the first hit");
        }
        let Alignment::Calendar { zone, anchor } = self.alignment else {
            return Ok(());
        };
        if anchor != Anchor::of(self.unit) {
            write!(f, " from {}", anchor.shown(self.unit))?;
        }
        if zone != Zone::UTC {
            write!(f, " in {zone}")?;
        }
        Ok(())
    }
}
