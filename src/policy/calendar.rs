//! Time zones and anchors as operators write them: `Europe/Berlin`; `06:00`, `sunday`, `15`,
//! `04-06`, `2026-01-15`.
//!
//! Each has one spelling; what is written otherwise is refused with the spelling to type.

use jiff::civil::Date;

use crate::limit::window::WEEKDAYS;
use crate::limit::{Anchor, Unit, Zone};
use crate::policy::findings::shown;
use crate::policy::suggest;
use crate::policy::units::Misread;

const REGION: &str = "write a region of the IANA database, as in `Europe/Berlin`";

/// Names of the database that stand for a fixed offset, or for the rules of a continent: whoever
/// writes one most often means a place.
const ABBREVIATIONS: [(&str, &str); 17] = [
    ("CET", "Europe/Berlin"),
    ("MET", "Europe/Berlin"),
    ("EET", "Europe/Athens"),
    ("WET", "Europe/Lisbon"),
    ("EST", "America/New_York"),
    ("EST5EDT", "America/New_York"),
    ("CST6CDT", "America/Chicago"),
    ("MST", "America/Denver"),
    ("MST7MDT", "America/Denver"),
    ("PST8PDT", "America/Los_Angeles"),
    ("HST", "Pacific/Honolulu"),
    ("GMT", "UTC"),
    ("GMT0", "UTC"),
    ("GMT+0", "UTC"),
    ("GMT-0", "UTC"),
    ("Greenwich", "UTC"),
    ("Z", "UTC"),
];

/// Abbreviations that the database does not have.
const SPOKEN: [(&str, &str); 12] = [
    ("CEST", "Europe/Berlin"),
    ("MEZ", "Europe/Berlin"),
    ("MESZ", "Europe/Berlin"),
    ("BST", "Europe/London"),
    ("EDT", "America/New_York"),
    ("CST", "America/Chicago"),
    ("CDT", "America/Chicago"),
    ("MDT", "America/Denver"),
    ("PST", "America/Los_Angeles"),
    ("PDT", "America/Los_Angeles"),
    ("IST", "Asia/Kolkata"),
    ("JST", "Asia/Tokyo"),
];

/// No name of a zone is longer, so a longer text is not compared with all of them.
const LONGEST_NAME: usize = 40;

/// A zone of the IANA database. What was meant is looked for among all of them only if
/// `is_looked_for`.
pub(super) fn zone(text: &str, is_looked_for: bool) -> Result<Zone, Misread> {
    let refusal = |what: &str, hint: String| {
        let message = format!("{} is {what}", shown(text));
        misread("bad-timezone", text, message, hint)
    };
    let abbreviations = || ABBREVIATIONS.iter().chain(&SPOKEN);
    if let Some((_, place)) = abbreviations().find(|(known, _)| known.eq_ignore_ascii_case(text)) {
        let hint = match *place {
            "UTC" => "write `UTC`".to_owned(),
            _ => format!("write a region, which knows its summer time, as in `{place}`"),
        };
        return Err(refusal("an abbreviation, not a time zone", hint));
    }
    if let Some(zone) = Zone::named(text) {
        return Ok(zone);
    }
    if is_offset(text) {
        let hint = "write a region, which knows its summer time, as in `Europe/Berlin`, or `UTC`";
        return Err(refusal("an offset, not a time zone", hint.to_owned()));
    }
    let near = is_looked_for.then(|| meant_zone(text)).flatten();
    let hint = near.map_or(REGION.to_owned(), |name| format!("did you mean `{name}`?"));
    Err(refusal("not a time zone", hint))
}

/// `+02:00`, `-5`, `UTC+2`, `GMT-03:30`.
fn is_offset(text: &str) -> bool {
    let upper = text.to_ascii_uppercase();
    let offset = ["UTC", "GMT"].iter().find_map(|name| upper.strip_prefix(name)).unwrap_or(&upper);
    let Some(digits) = offset.trim_start().strip_prefix(['+', '-', '−']) else {
        return false;
    };
    digits.starts_with(|c: char| c.is_ascii_digit())
}

/// The zone that was probably meant: its letters in another case or with other marks between
/// them, its city alone or on another continent, or a name that is spelt almost so.
fn meant_zone(text: &str) -> Option<&'static str> {
    if text.len() > LONGEST_NAME {
        return None;
    }
    let city = |name: &str| letters(name.rsplit('/').next().unwrap_or_default());
    let (whole, place) = (letters(text), city(text));
    Zone::names()
        .find(|name| letters(name) == whole)
        .or_else(|| Zone::names().find(|name| city(name) == place))
        .or_else(|| suggest::nearest(text, Zone::names()))
}

fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Where windows of this unit begin: a time for days, a weekday for weeks, a day for months, a
/// month and a day for years, or a date for all of them.
pub(super) fn anchor(text: &str, unit: Unit) -> Result<Anchor, Misread> {
    if let Some(found) = date(text) {
        return found;
    }
    let (read, meant, what, form) = match unit {
        Unit::Second | Unit::Minute | Unit::Hour | Unit::Day => {
            let form = "the time at which days begin, as in `06:00`";
            (time_of_day(text), meant_time(text), "a time of day", form)
        }
        Unit::Week => {
            let form = "the day on which weeks begin, as in `monday`";
            (weekday(text), meant_weekday(text), "a day of the week", form)
        }
        Unit::Month => {
            let form = "the day on which months begin, `1` to `31`";
            (day_of_month(text), meant_day(text), "a day of the month", form)
        }
        Unit::Year => {
            let form = "the month and day on which years begin, as in `04-06`";
            (month_day(text), meant_month_day(text), "a day of the year", form)
        }
    };
    read.ok_or_else(|| {
        let hint = meant.unwrap_or_else(|| format!("write {form}, or a date, as in `2026-01-15`"));
        misread("bad-anchor", text, format!("{} is not {what}", shown(text)), hint)
    })
}

fn misread(code: &'static str, text: &str, message: String, hint: String) -> Misread {
    Misread { code, message, hint, bytes: 0..text.len() }
}

/// Digits of exactly this length.
fn digits(text: &str, length: usize) -> Option<i16> {
    let is_number = text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

fn small(number: i16) -> Option<i8> {
    i8::try_from(number).ok()
}

/// `2026-01-15`; `None` for what is no date in any spelling.
fn date(text: &str) -> Option<Result<Anchor, Misread>> {
    let (number, rest) = text.split_at_checked(10).unwrap_or((text, ""));
    let parts: Vec<&str> = number.split('-').collect();
    let refusal = |message: &str, hint: String| {
        Some(Err(misread("bad-anchor", text, format!("{} {message}", shown(text)), hint)))
    };
    let strict = match parts[..] {
        [year, month, day] => digits(year, 4).zip(digits(month, 2)).zip(digits(day, 2)),
        _ => None,
    };
    let Some(((year, month), day)) = strict else {
        let hint = meant_date(text)?;
        return refusal("is not written as a date is", hint);
    };
    let (month, day) = (small(month)?, small(day)?);
    if !rest.is_empty() {
        return refusal("is more than a date", format!("write `{number}`; it begins at midnight"));
    }
    if let Ok(date) = Date::new(year, month, day) {
        return Some(Ok(Anchor::date(date)));
    }
    let last = Date::new(year, month, 1).map(Date::last_of_month);
    let hint = match last {
        Ok(last) => format!("the last day of that month is `{last}`"),
        Err(_) => "write year, month and day, as in `2026-01-15`".to_owned(),
    };
    refusal("is not in the calendar", hint)
}

/// A hint for `2026/1/15`, `15.01.2026` and the like.
fn meant_date(text: &str) -> Option<String> {
    let groups: Vec<&str> = text.split(['-', '/', '.', ' ']).collect();
    let [first, second, third] = groups[..] else {
        return None;
    };
    let number = |text: &str| (text.len() <= 4).then(|| digits(text, text.len())).flatten();
    let (first_number, second, last) = (number(first)?, number(second)?, number(third)?);
    let (year, month, day) = match (first.len(), third.len()) {
        (4, _) => (first_number, second, last),
        // Which of day and month comes first is told apart only by a day that is no month.
        (_, 4) if first_number > 12 || text.contains('.') => (last, second, first_number),
        (_, 4) if second > 12 => (last, first_number, second),
        (_, 4) => return Some("write year, month and day, as in `2026-01-15`".to_owned()),
        _ => return None,
    };
    let date = Date::new(year, small(month)?, small(day)?).ok()?;
    Some(format!("write `{date}`"))
}

fn time_of_day(text: &str) -> Option<Anchor> {
    let (hour, minute) = text.split_once(':')?;
    let (hour, minute) = (digits(hour, 2)?, digits(minute, 2)?);
    let is_time = hour < 24 && minute < 60;
    is_time.then(|| Anchor::time_of_day(hour.unsigned_abs() * 60 + minute.unsigned_abs()))
}

/// A hint for `6`, `6am`, `6:00`, `0600`, `06:00:00`, `24:00`, `midnight`.
fn meant_time(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let numbers = lower.trim_end_matches(['a', 'p', 'm', 'h', ' ', '.']);
    let half = lower[numbers.len()..].trim_matches([' ', '.']).replace('.', "");
    let groups: Vec<&str> = numbers.split([':', '.', 'h']).collect();
    let (hour, minute) = match groups[..] {
        _ if lower == "midnight" => ("0", "00"),
        _ if lower == "noon" => ("12", "00"),
        [number] if number.len() == 4 => number.split_at_checked(2)?,
        [hour] => (hour, "00"),
        [hour, minute] | [hour, minute, "00"] => (hour, minute),
        _ => return None,
    };
    let (hour, minute) = (digits(hour, hour.len().clamp(1, 2))?, digits(minute, 2)?);
    let hour = match half.as_str() {
        "am" | "pm" if !(1..=12).contains(&hour) => return None,
        "am" => hour % 12,
        "pm" => hour % 12 + 12,
        _ => hour,
    };
    let is_end = (hour, minute) == (24, 0);
    let hour = if is_end { 0 } else { hour };
    (hour < 24 && minute < 60).then(|| format!("write `{hour:02}:{minute:02}`"))
}

fn weekday(text: &str) -> Option<Anchor> {
    WEEKDAYS.iter().find(|(name, _)| *name == text).map(|(_, day)| Anchor::weekday(*day))
}

/// A hint for `Mon`, `MONDAY`, `mondays`; also for `1`, and for Sundays as `0` and as `7`.
fn meant_weekday(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let names = WEEKDAYS.map(|(name, _)| name);
    let short = |name: &&&str| lower.len() >= 2 && name.starts_with(lower.trim_end_matches('.'));
    let name = match lower.as_str() {
        "0" => Some("sunday"),
        number if number.len() == 1 && number.as_bytes()[0].is_ascii_digit() => {
            let day = usize::try_from(digits(number, 1)?).ok()?;
            names.get(day - 1).copied()
        }
        _ => names.iter().find(short).copied().or_else(|| suggest::nearest(&lower, names)),
    };
    name.map(|name| format!("write `{name}`"))
}

fn day_of_month(text: &str) -> Option<Anchor> {
    let day = digits(text, if text.len() == 1 { 1 } else { 2 })?;
    // `01` is refused with the rest, so that a day has one spelling.
    (!text.starts_with('0')).then(|| Anchor::day_of_month(small(day)?)).flatten()
}

/// A hint for `1st`, `15.`, `01`, `32`, `last`.
fn meant_day(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let is_last = ["last", "end", "eom", "-1", "last day"].contains(&lower.as_str());
    let number = without_ordinal(&lower);
    let day = match lower.as_str() {
        _ if is_last => None,
        "first" => Some(1),
        _ => Some(digits(number, number.len().clamp(1, 3))?),
    };
    match day {
        Some(0) => Some("the first day is `1`".to_owned()),
        Some(day @ 1..=31) => Some(format!("write `{day}`")),
        Some(_) | None => Some("write `31` for the last day of every month".to_owned()),
    }
}

fn without_ordinal(text: &str) -> &str {
    text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == '.')
}

fn month_day(text: &str) -> Option<Anchor> {
    let (month, day) = text.split_once('-')?;
    Anchor::month_day(small(digits(month, 2)?)?, small(digits(day, 2)?)?)
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// A hint for `0401`, `4-1`, `1.4.`, `1 April`, `apr-1st`, `02-30`.
fn meant_month_day(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let groups = lower.split(['-', '/', '.', ' ', ',']).filter(|group| !group.is_empty());
    let groups: Vec<&str> = groups.collect();
    let (month, day) = match groups[..] {
        [number] if number.len() == 4 => number.split_at_checked(2)?,
        // A dot stands after the day, a month name on either side of it.
        [day, month] if text.contains('.') || named_month(month).is_some() => (month, day),
        [month, day] => (month, day),
        _ => return None,
    };
    let number = |text: &str| digits(text, text.len().clamp(1, 2)).and_then(small);
    let month = named_month(month).or_else(|| number(month))?;
    let day = number(without_ordinal(day))?;
    let (month, day) = if month > 12 { (day, month) } else { (month, day) };
    if Anchor::month_day(month, day).is_some() {
        return Some(format!("write `{month:02}-{day:02}`"));
    }
    // Of a leap year, as every day of the year is.
    let last = Date::new(2024, month, 1).ok()?.last_of_month().day();
    (day > last).then(|| format!("the last day of that month is `{month:02}-{last:02}`"))
}

fn named_month(text: &str) -> Option<i8> {
    let is_name = |name: &&str| text.len() >= 3 && name.starts_with(text);
    MONTHS.iter().zip(1..).find(|(name, _)| is_name(name)).map(|(_, number)| number)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn zones_read_by_their_names() {
        for name in ["Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "Japan"] {
            assert_eq!(zone(name, true).map(Zone::name), Ok(name));
        }
        for name in ["UTC", "Etc/UTC", "Zulu"] {
            assert_eq!(zone(name, true), Ok(Zone::UTC), "{name}");
        }
    }

    #[test]
    fn other_zones_are_told_what_to_type() {
        for (text, hint) in [
            ("europe/berlin", "did you mean `Europe/Berlin`?"),
            ("utc", "did you mean `UTC`?"),
            ("America/New York", "did you mean `America/New_York`?"),
            ("america-new_york", "did you mean `America/New_York`?"),
            ("Berlin", "did you mean `Europe/Berlin`?"),
            ("Asia/Berlin", "did you mean `Europe/Berlin`?"),
            ("Europe/Berln", "did you mean `Europe/Berlin`?"),
            ("Mars/Olympus_Mons", "as in `Europe/Berlin`"),
            ("+02:00", "a region, which knows its summer time"),
            ("-5", "a region, which knows its summer time"),
            ("UTC+2", "a region, which knows its summer time"),
            ("GMT-03:30", "a region, which knows its summer time"),
            ("CET", "`Europe/Berlin`"),
            ("cest", "`Europe/Berlin`"),
            ("EST", "`America/New_York`"),
            ("GMT", "write `UTC`"),
            ("Z", "write `UTC`"),
        ] {
            let misread = zone(text, true).expect_err(text);
            assert_eq!((misread.code, misread.bytes.clone()), ("bad-timezone", 0..text.len()));
            assert!(misread.hint.contains(hint), "{text}: {misread:?}");
        }
        assert_eq!(zone("Europe/Berln", false).map_err(|misread| misread.hint), Err(REGION.into()));
    }

    #[test]
    fn every_abbreviation_stands_for_a_zone() {
        for (_, place) in ABBREVIATIONS.iter().chain(&SPOKEN) {
            assert!(Zone::named(place).is_some(), "{place}");
        }
        assert!(Zone::names().all(|name| name.len() <= LONGEST_NAME));
    }

    #[test]
    fn anchors_read_as_written() {
        let on = |year, month, day| Some(Anchor::date(date(year, month, day)));
        for (text, unit, expected) in [
            ("06:00", Unit::Day, Some(Anchor::time_of_day(360))),
            ("00:00", Unit::Day, Some(Anchor::of(Unit::Day))),
            ("23:59", Unit::Day, Some(Anchor::time_of_day(1_439))),
            ("monday", Unit::Week, Some(Anchor::of(Unit::Week))),
            ("sunday", Unit::Week, on(1970, 1, 4)),
            ("1", Unit::Month, Some(Anchor::of(Unit::Month))),
            ("31", Unit::Month, Anchor::day_of_month(31)),
            ("04-06", Unit::Year, Anchor::month_day(4, 6)),
            ("02-29", Unit::Year, Anchor::month_day(2, 29)),
            ("2026-01-15", Unit::Day, on(2026, 1, 15)),
            ("2026-01-15", Unit::Week, on(2026, 1, 15)),
            ("2024-02-29", Unit::Month, on(2024, 2, 29)),
            ("2026-01-15", Unit::Year, on(2026, 1, 15)),
        ] {
            assert_eq!(anchor(text, unit).ok(), expected, "{text}");
        }
    }

    #[test]
    fn other_anchors_are_told_what_to_type() {
        for (text, unit, hint) in [
            ("6", Unit::Day, "write `06:00`"),
            ("6am", Unit::Day, "write `06:00`"),
            ("6 p.m.", Unit::Day, "write `18:00`"),
            ("12am", Unit::Day, "write `00:00`"),
            ("6:30", Unit::Day, "write `06:30`"),
            ("0600", Unit::Day, "write `06:00`"),
            ("06:00:00", Unit::Day, "write `06:00`"),
            ("6h", Unit::Day, "write `06:00`"),
            ("24:00", Unit::Day, "write `00:00`"),
            ("midnight", Unit::Day, "write `00:00`"),
            ("25:00", Unit::Day, "as in `06:00`"),
            ("monday", Unit::Day, "as in `06:00`"),
            ("é", Unit::Day, "as in `06:00`"),
            ("Mon", Unit::Week, "write `monday`"),
            ("MONDAY", Unit::Week, "write `monday`"),
            ("mondays", Unit::Week, "write `monday`"),
            ("su", Unit::Week, "write `sunday`"),
            ("0", Unit::Week, "write `sunday`"),
            ("7", Unit::Week, "write `sunday`"),
            ("8", Unit::Week, "as in `monday`"),
            ("06:00", Unit::Week, "as in `monday`"),
            ("1st", Unit::Month, "write `1`"),
            ("15.", Unit::Month, "write `15`"),
            ("01", Unit::Month, "write `1`"),
            ("0", Unit::Month, "the first day is `1`"),
            ("32", Unit::Month, "write `31` for the last day"),
            ("last", Unit::Month, "write `31` for the last day"),
            ("monday", Unit::Month, "`1` to `31`"),
            ("0401", Unit::Year, "write `04-01`"),
            ("4-1", Unit::Year, "write `04-01`"),
            ("04/06", Unit::Year, "write `04-06`"),
            ("6.4.", Unit::Year, "write `04-06`"),
            ("6 April", Unit::Year, "write `04-06`"),
            ("apr-6th", Unit::Year, "write `04-06`"),
            ("31-12", Unit::Year, "write `12-31`"),
            ("02-30", Unit::Year, "`02-29`"),
            ("13-13", Unit::Year, "as in `04-06`"),
            ("april", Unit::Year, "as in `04-06`"),
            ("2026-02-30", Unit::Month, "`2026-02-28`"),
            ("2026-13-01", Unit::Month, "as in `2026-01-15`"),
            ("2026-1-5", Unit::Week, "write `2026-01-05`"),
            ("2026/01/15", Unit::Week, "write `2026-01-15`"),
            ("15.1.2026", Unit::Year, "write `2026-01-15`"),
            ("1/15/2026", Unit::Year, "write `2026-01-15`"),
            ("1/2/2026", Unit::Year, "as in `2026-01-15`"),
            ("2026-01-15T06:00", Unit::Day, "write `2026-01-15`"),
            ("", Unit::Day, "as in `06:00`"),
        ] {
            let misread = anchor(text, unit).expect_err(text);
            assert_eq!((misread.code, misread.bytes.clone()), ("bad-anchor", 0..text.len()));
            assert!(misread.hint.contains(hint), "{text}: {misread:?}");
        }
    }
}
