//! Windows: the spans to which amounts apply, and where on the clock they begin and end.
//!
//! Windows of seconds, minutes and hours, whatever the multiple, are aligned to the Unix epoch.
//! Days, weeks, months and years follow the calendar in UTC (weeks begin on Monday) unless the
//! window is epoch-aligned as a whole, which the envoyproxy/ratelimit format asks for: there a
//! month is 30 days and a year 365 days, counted from the epoch.

use std::fmt;
use std::num::NonZeroU32;

use jiff::civil::Date;

use crate::time::{Span, Timestamp};

const SECONDS_PER_DAY: i64 = 86_400;
/// 1969-12-29, the Monday before the epoch, in days since the epoch.
const MONDAY_BEFORE_EPOCH: i64 = -3;

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
    /// Days, weeks, months and years as the calendar in UTC has them.
    Calendar,
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
}

impl Window {
    pub const fn calendar(count: NonZeroU32, unit: Unit) -> Self {
        Self { count, unit, alignment: Alignment::Calendar }
    }

    pub const fn epoch(unit: Unit) -> Self {
        Self { count: NonZeroU32::MIN, unit, alignment: Alignment::Epoch }
    }

    /// What makes two windows the same, however they are written: 60 seconds are one minute.
    pub const fn identity(self) -> WindowIdentity {
        let count = self.count.get() as u64;
        match (self.alignment, self.unit) {
            (Alignment::Calendar, Unit::Month) => WindowIdentity::Months(count),
            (Alignment::Calendar, Unit::Year) => WindowIdentity::Months(count.saturating_mul(12)),
            (Alignment::Calendar, Unit::Week) => WindowIdentity::MondayWeeks(count),
            (Alignment::Calendar, Unit::Second | Unit::Minute | Unit::Hour | Unit::Day)
            | (Alignment::Epoch, _) => {
                WindowIdentity::Seconds(self.unit.seconds().saturating_mul(count))
            }
        }
    }

    /// Nominal length: exact for all but calendar months and years.
    pub const fn nominal_span(self) -> Span {
        Span::from_seconds(self.unit.seconds().saturating_mul(self.count.get() as u64))
    }

    /// The end of the window that `now` is in: the first moment that is no longer in it.
    pub fn end(self, now: Timestamp) -> Timestamp {
        match (self.alignment, self.unit) {
            (Alignment::Calendar, Unit::Month) => self.months_end(now, 1),
            (Alignment::Calendar, Unit::Year) => self.months_end(now, 12),
            (Alignment::Calendar, Unit::Week) => {
                self.span_end(now, MONDAY_BEFORE_EPOCH * SECONDS_PER_DAY)
            }
            (Alignment::Calendar, Unit::Second | Unit::Minute | Unit::Hour | Unit::Day)
            | (Alignment::Epoch, _) => self.span_end(now, 0),
        }
    }

    /// Windows of one fixed length, one of which begins at `origin` (seconds since the epoch).
    fn span_end(self, now: Timestamp, origin: i64) -> Timestamp {
        let length = self.nominal_span().seconds_floor().cast_signed();
        let since_origin = now.seconds_floor().saturating_sub(origin);
        let index = since_origin.div_euclid(length);
        let end = index.saturating_add(1).saturating_mul(length).saturating_add(origin);
        Timestamp::from_seconds(end)
    }

    /// Windows of whole months, counted from January of year 0.
    fn months_end(self, now: Timestamp, months_per_unit: i64) -> Timestamp {
        let length = i64::from(self.count.get()).saturating_mul(months_per_unit);
        let today = civil_date(now);
        let month = i64::from(today.year()) * 12 + i64::from(today.month()) - 1;
        let next = month.div_euclid(length).saturating_add(1).saturating_mul(length);
        first_of_month(next)
    }
}

fn civil_date(now: Timestamp) -> Date {
    // Every `Timestamp` lies between 1677 and 2262, well inside jiff's range.
    let seconds = jiff::Timestamp::from_second(now.seconds_floor()).unwrap_or_default();
    seconds.to_zoned(jiff::tz::TimeZone::UTC).date()
}

/// Midnight in UTC of the first day of a month counted from January of year 0; the end of time
/// for months that no calendar has.
fn first_of_month(month: i64) -> Timestamp {
    let year = i16::try_from(month.div_euclid(12));
    let month_of_year = i8::try_from(month.rem_euclid(12) + 1);
    let (Ok(year), Ok(month_of_year)) = (year, month_of_year) else {
        return Timestamp::from_nanos(i64::MAX);
    };
    Date::new(year, month_of_year, 1)
        .and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC))
        .map_or(Timestamp::from_nanos(i64::MAX), |zoned| {
            Timestamp::from_seconds(zoned.timestamp().as_second())
        })
}

/// As written in a policy: `minute`, `15 minutes`.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count.get() {
            1 => f.write_str(self.unit.name()),
            count => write!(f, "{count} {}s", self.unit.name()),
        }
    }
}
