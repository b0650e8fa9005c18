//! Anchors: a date and time of the local calendar at which one window begins.
//!
//! One form serves all units: of a day's anchor the time matters, of a week's the weekday, of a
//! month's the day, of a year's day and month. For windows of several units the date also says
//! which of them begin one.

use std::fmt;

use jiff::civil::{Date, DateTime, Time, Weekday};

use super::Unit;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Anchor {
    date: Date,
    minute_of_day: u16,
}

const EPOCH: Date = Date::constant(1970, 1, 1);
/// The Monday before the epoch.
const FIRST_MONDAY: Date = Date::constant(1969, 12, 29);
/// A leap year, so every day of a year has its date in it.
const FIRST_YEAR: Date = Date::constant(0, 1, 1);

const SECONDS_PER_DAY: i64 = 86_400;
const MINUTES_PER_DAY: u16 = 1_440;

impl Anchor {
    /// Where windows of this unit begin when nothing is said: days are counted from the epoch,
    /// weeks from the Monday before it, months and years from January of year 0.
    pub const fn of(unit: Unit) -> Self {
        let date = match unit {
            Unit::Second | Unit::Minute | Unit::Hour | Unit::Day => EPOCH,
            Unit::Week => FIRST_MONDAY,
            Unit::Month | Unit::Year => FIRST_YEAR,
        };
        Self { date, minute_of_day: 0 }
    }

    /// For days; a time beyond the day is its last minute.
    pub fn time_of_day(minutes: u16) -> Self {
        Self { date: EPOCH, minute_of_day: minutes.min(MINUTES_PER_DAY - 1) }
    }

    /// For weeks; several weeks are counted from this day of the week of the epoch.
    pub fn weekday(weekday: Weekday) -> Self {
        let days = i64::from(weekday.to_monday_zero_offset());
        Self::date(date_of_day(day_of_date(FIRST_MONDAY) + days).unwrap_or(FIRST_MONDAY))
    }

    /// For months, which begin on their last day where they are too short. `None` unless 1 to 31.
    pub fn day_of_month(day: i8) -> Option<Self> {
        Self::month_day(1, day)
    }

    /// For years. `None` when no year has such a day; 29 February is the 28th in most years.
    pub fn month_day(month: i8, day: i8) -> Option<Self> {
        Date::new(FIRST_YEAR.year(), month, day).ok().map(Self::date)
    }

    /// For every unit of the calendar.
    pub const fn date(date: Date) -> Self {
        Self { date, minute_of_day: 0 }
    }

    /// In days since the epoch.
    pub(super) fn day(self) -> i64 {
        day_of_date(self.date)
    }

    /// In months since January of year 0.
    pub(super) fn month(self) -> i64 {
        month_of_date(self.date)
    }

    pub(super) fn day_in_month(self) -> i8 {
        self.date.day()
    }

    pub(super) const fn minute_of_day(self) -> u16 {
        self.minute_of_day
    }

    /// Since the epoch, were the clock that of UTC.
    pub(super) fn seconds(self) -> i64 {
        self.day() * SECONDS_PER_DAY + i64::from(self.minute_of_day) * 60
    }

    /// As it is said after `from`, of windows of this unit.
    pub(super) fn shown(self, unit: Unit) -> impl fmt::Display {
        fmt::from_fn(move |f| {
            let (date, minute) = (self.date, self.minute_of_day);
            let is_in_first_week = (0..7).contains(&(self.day() - day_of_date(FIRST_MONDAY)));
            match unit {
                Unit::Week if is_in_first_week => f.write_str(weekday_name(date.weekday())),
                Unit::Month if (date.year(), date.month()) == (FIRST_YEAR.year(), 1) => {
                    write!(f, "day {}", date.day())
                }
                Unit::Year if date.year() == FIRST_YEAR.year() => {
                    write!(f, "{:02}-{:02}", date.month(), date.day())
                }
                Unit::Day if date == EPOCH => write!(f, "{:02}:{:02}", minute / 60, minute % 60),
                Unit::Second
                | Unit::Minute
                | Unit::Hour
                | Unit::Day
                | Unit::Week
                | Unit::Month
                | Unit::Year => write!(f, "{date}"),
            }
        })
    }
}

pub const WEEKDAYS: [(&str, Weekday); 7] = [
    ("monday", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("saturday", Weekday::Saturday),
    ("sunday", Weekday::Sunday),
];

fn weekday_name(weekday: Weekday) -> &'static str {
    WEEKDAYS.iter().find(|(_, day)| *day == weekday).map_or("monday", |(name, _)| name)
}

pub(super) fn day_of_date(date: Date) -> i64 {
    date.duration_since(EPOCH).as_secs() / SECONDS_PER_DAY
}

pub(super) fn month_of_date(date: Date) -> i64 {
    i64::from(date.year()) * 12 + i64::from(date.month()) - 1
}

/// `None` where the calendar ends.
pub(super) fn date_of_day(day: i64) -> Option<Date> {
    let seconds = day.checked_mul(SECONDS_PER_DAY)?;
    let midnight = jiff::Timestamp::from_second(seconds).ok()?;
    Some(jiff::tz::Offset::UTC.to_datetime(midnight).date())
}

/// The day of a month, or its last one when it has fewer days; `None` where the calendar ends.
pub(super) fn date_in_month(month: i64, day: i8) -> Option<Date> {
    let year = i16::try_from(month.div_euclid(12)).ok()?;
    let first = Date::new(year, i8::try_from(month.rem_euclid(12) + 1).ok()?, 1).ok()?;
    Date::new(year, first.month(), day.min(first.days_in_month())).ok()
}

pub(super) fn at_minute(date: Date, minute_of_day: u16) -> Option<DateTime> {
    let hour = i8::try_from(minute_of_day / 60).ok()?;
    let minute = i8::try_from(minute_of_day % 60).ok()?;
    Some(date.to_datetime(Time::new(hour, minute, 0, 0).ok()?))
}
