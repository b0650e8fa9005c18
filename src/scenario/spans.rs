//! Spans and times as scenarios write them: `10s`, `1m 30s`, `31d`, `2026-02-01T00:00:00Z`.
//!
//! What is written out here reads back as the same span, to the nanosecond.

use std::fmt::Write as _;

use crate::time::{Span, Timestamp};

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Every spelling of every unit, and its nanoseconds. Months and years are no spans: how long
/// they are depends on which.
const UNITS: [(&[&str], u64); 6] = [
    (&["ms", "millisecond", "milliseconds"], 1_000_000),
    (&["s", "sec", "secs", "second", "seconds"], NANOS_PER_SECOND),
    (&["m", "min", "mins", "minute", "minutes"], 60 * NANOS_PER_SECOND),
    (&["h", "hr", "hrs", "hour", "hours"], 3_600 * NANOS_PER_SECOND),
    (&["d", "day", "days"], 86_400 * NANOS_PER_SECOND),
    (&["w", "week", "weeks"], 604_800 * NANOS_PER_SECOND),
];
const MONTHS: [&str; 3] = ["mo", "month", "months"];
const YEARS: [&str; 3] = ["y", "year", "years"];

/// `1h 30m`, `0.250s` or `0`; `None` for what is no span.
pub(super) fn span(text: &str) -> Option<Span> {
    let mut rest = text.trim();
    if rest == "0" {
        return Some(Span::ZERO);
    }
    let mut nanos: u64 = 0;
    loop {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_')?;
        let (number, after) = rest.split_at(number_end);
        let after = after.trim_start();
        let unit_end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let (_, unit) = UNITS.iter().find(|(spellings, _)| spellings.contains(&unit))?;
        nanos = nanos.checked_add(times(number, *unit)?)?;
        rest = after.trim_start();
        if rest.is_empty() {
            return Some(Span::from_nanos(nanos));
        }
    }
}

/// A whole or decimal number of units, in nanoseconds; `None` where that is no whole number.
fn times(number: &str, unit: u64) -> Option<u64> {
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let whole = super::read::digits(whole)?.checked_mul(unit)?;
    if part.len() > 9 {
        return None;
    }
    let scale = 10_u64.checked_pow(u32::try_from(part.len()).ok()?)?;
    let part = u128::from(super::read::digits(part)?) * u128::from(unit);
    let scale = u128::from(scale);
    let is_whole = part.is_multiple_of(scale);
    is_whole.then(|| u64::try_from(part / scale).ok()).flatten()?.checked_add(whole)
}

/// The seconds of a window as a policy writes it, such as `minute` or `15 minutes`; a month
/// counts 30 days and a year 365.
pub(super) fn window_seconds(text: &str) -> Option<u64> {
    let text = text.trim();
    let number_end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (number, unit) = (&text[..number_end], text[number_end..].trim());
    let count = if number.is_empty() { 1 } else { super::read::digits(number)? };
    let seconds = if MONTHS.contains(&unit) {
        2_592_000
    } else if YEARS.contains(&unit) {
        31_536_000
    } else {
        let (_, nanos) = UNITS.iter().find(|(spellings, _)| spellings.contains(&unit))?;
        // Windows are no shorter than a second.
        (*nanos >= NANOS_PER_SECOND).then(|| nanos / NANOS_PER_SECOND)?
    };
    count.checked_mul(seconds)
}

/// A date, which is its first moment in UTC, or a date and a time with its zone.
pub(super) fn moment(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let parsed: Result<jiff::Timestamp, _> = text.parse();
    let parsed = parsed.or_else(|error| {
        let is_date = text.len() == "2026-01-01".len();
        if is_date { format!("{text}T00:00:00Z").parse() } else { Err(error) }
    });
    let nanos = parsed.ok()?.as_nanosecond();
    i64::try_from(nanos).ok().map(Timestamp::from_nanos)
}

/// Every part of a span: `1d 1h 30m 0.5s`.
pub(super) fn in_words(span: Span) -> String {
    let total = span.seconds_floor();
    let mut text = String::new();
    for (count, unit) in [(total / 86_400, "d"), (total / 3_600 % 24, "h"), (total / 60 % 60, "m")]
    {
        if count > 0 {
            let _ = write!(text, "{count}{unit} ");
        }
    }
    let (seconds, nanos) = (total % 60, span.subsecond_nanos());
    if nanos > 0 {
        let part = format!("{nanos:09}");
        let _ = write!(text, "{seconds}.{}s", part.trim_end_matches('0'));
    } else if seconds > 0 || text.is_empty() {
        let _ = write!(text, "{seconds}s");
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_people_write_them() {
        for (text, nanos) in [
            ("0", Some(0)),
            ("10s", Some(10_000_000_000)),
            ("1m 30s", Some(90_000_000_000)),
            ("1m30s", Some(90_000_000_000)),
            ("1.5 hours", Some(5_400_000_000_000)),
            ("0.250s", Some(250_000_000)),
            ("250ms", Some(250_000_000)),
            ("31d", Some(2_678_400_000_000_000)),
            ("2 weeks", Some(1_209_600_000_000_000)),
            ("", None),
            ("10", None),
            ("s", None),
            ("-1s", None),
            ("1 month", None),
            ("1.s", None),
            ("soon", None),
            ("99999999999999w", None),
            ("0.0000001ms", None),
        ] {
            assert_eq!(span(text).map(Span::as_nanos), nanos, "{text}");
        }
    }

    #[test]
    fn spans_in_words_read_back_as_they_were() {
        for nanos in [0, 1, 1_000_000, 59_999_999_999, 60_000_000_000, 90_061_500_000_001] {
            let text = in_words(Span::from_nanos(nanos));
            assert_eq!(span(&text), Some(Span::from_nanos(nanos)), "{text}");
        }
        assert_eq!(in_words(Span::from_seconds(90_000)), "1d 1h");
        assert_eq!(in_words(Span::from_millis(61_500)), "1m 1.5s");
    }

    #[test]
    fn windows_have_their_nominal_seconds() {
        for (text, seconds) in [
            ("minute", Some(60)),
            ("15 minutes", Some(900)),
            ("10s", Some(10)),
            ("month", Some(2_592_000)),
            ("2y", Some(63_072_000)),
            ("500ms", None),
            ("fortnight", None),
            ("", None),
        ] {
            assert_eq!(window_seconds(text), seconds, "{text}");
        }
    }

    #[test]
    fn moments_are_dates_or_times_with_a_zone() {
        let new_year = Timestamp::from_seconds(1_767_225_600);
        for (text, moment_of) in [
            ("2026-01-01", Some(new_year)),
            ("2026-01-01T00:00:00Z", Some(new_year)),
            ("2026-01-01T01:00:00+01:00", Some(new_year)),
            ("2026-01-01T00:00:00.5Z", Some(new_year.plus(Span::from_millis(500)))),
            ("2026-01-01T00:00:00", None),
            ("2026-13-01", None),
            ("9000-01-01", None),
            ("tomorrow", None),
        ] {
            assert_eq!(moment(text), moment_of, "{text}");
        }
    }
}
