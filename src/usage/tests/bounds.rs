//! What is bounded stays so, and who is used most has a name.

use super::*;

const OK: [Made; 1] = [(RuleCode::Ok, 1, 1)];
const BY_USER: &str = "domain: d\nrules: [{ name: r, per: [user], limits: [9/day] }]";

fn users(reading: &Reading) -> Vec<String> {
    let names = reading.series.iter().filter_map(|series| match &series.name.values {
        Values::Counted(values) => Some(values[0].1.to_string()),
        Values::Other => None,
    });
    names.collect()
}

#[test]
fn memory_and_disk_stay_bounded_however_many_keys_come() {
    const KEYS: u32 = 100_000;
    let (usage, set) = (Usage::new(UsageLimits { keep_days: 35, series_max: 50 }), policy(BY_USER));
    let mut disk = Disk::default();
    for key in 0..KEYS {
        let now = START.plus(Span::from_seconds(u64::from(key / 10)));
        // Some are used a little, so that names change hands.
        let hits = if key % 97 == 0 { 900 } else { 1 };
        let user = format!("u{key}");
        let made = [(RuleCode::Ok, hits, 1)];
        record((&usage, &set), &[("user", &user)], &made, (Code::Ok, now));
        if key % 1_000 == 0 {
            disk.save(&usage, now);
            // The named, the rest, and those that leave: a tenth.
            assert!(usage.series_count() <= 50 + 1 + 5 + 5, "{}", usage.series_count());
            assert!(usage.named_count() <= 50);
        }
    }
    let hours = KEYS / 10 / 3_600 + 2;
    let names = disk.rows.keys().filter(|key| key[0] == u8::MAX).count();
    assert!(names > 0 && names <= 50 + 1 + 5 * hours as usize, "{names}");
    let total = disk.read(&usage, Resolution::Day, ALWAYS);
    let hits: u64 = total.series.iter().map(|series| series.total.admitted).sum();
    let sent: u64 = (0..KEYS).map(|key| if key % 97 == 0 { 900 } else { 1 }).sum();
    assert_eq!(hits, sent);
}

#[test]
fn who_is_used_more_takes_over_and_who_comes_once_does_not() {
    let (usage, set) = (Usage::new(UsageLimits { keep_days: 35, series_max: 10 }), policy(BY_USER));
    let mut disk = Disk::default();
    let hit = |user: String, now| {
        record((&usage, &set), &[("user", &user)], &OK, (Code::Ok, now));
    };
    (0..10).for_each(|user| hit(format!("first{user}"), START));
    let next = START.plus(Span::from_seconds(60));
    (0..5_000).for_each(|user| hit(format!("once{user}"), next));
    let reading = disk.read(&usage, Resolution::Minute, ALWAYS);
    assert!(users(&reading).iter().all(|user| user.starts_with("first")), "{reading:?}");
    (0..40).for_each(|_| hit("often".to_owned(), next));
    disk.save_all(&usage, next);
    let reading = disk.read(&usage, Resolution::Minute, ALWAYS);
    assert!(users(&reading).contains(&"often".to_owned()));
    assert_eq!(users(&reading).len(), 11, "who gave up its name keeps what it counted");
    assert_eq!(usage.named_count(), 10);
}

#[test]
fn so_many_names_change_hands_in_an_hour() {
    let (usage, set) = (Usage::new(UsageLimits { keep_days: 35, series_max: 10 }), policy(BY_USER));
    let mut disk = Disk::default();
    let hit = |user: String, hits, now| {
        let made = [(RuleCode::Ok, hits, 1)];
        record((&usage, &set), &[("user", &user)], &made, (Code::Ok, now));
    };
    let begin = Timestamp::from_seconds(START.seconds_floor() / 3_600 * 3_600);
    (0..10).for_each(|user| hit(format!("a{user}"), 1, begin));
    for hour in 0..3_u64 {
        for minute in 1..50_u64 {
            let now = begin.plus(Span::from_seconds(hour * 3_600 + minute * 60));
            hit(format!("b{hour}-{minute}"), 1_000 * (minute + 1), now);
            disk.save_all(&usage, now);
        }
        let reading = disk.read(&usage, Resolution::Minute, ALWAYS);
        let taken = users(&reading).iter().filter(|user| user.starts_with('b')).count();
        assert_eq!(taken as u64, hour + 1);
    }
}

#[test]
fn rows_and_names_go_when_their_time_is_over() {
    let (usage, set) = (Usage::new(UsageLimits { keep_days: 5, series_max: 10 }), policy(BY_USER));
    let mut disk = Disk::default();
    let mut now = START;
    let mut rows_max = 0;
    // Somebody comes all the time, and somebody else once.
    record((&usage, &set), &[("user", "once")], &OK, (Code::Ok, now));
    for _ in 0..70 * 24 {
        record((&usage, &set), &[("user", "always")], &OK, (Code::Ok, now));
        now = now.plus(Span::from_seconds(3_600));
        disk.save(&usage, now);
        rows_max = rows_max.max(disk.rows.len());
    }
    disk.save_all(&usage, now);
    let reading = disk.read(&usage, Resolution::Minute, ALWAYS);
    assert_eq!(users(&reading), ["always"]);
    let slots = reading.series[0].slots.len();
    assert!((5 * 24..=6 * 24).contains(&slots), "{slots}");
    assert!(rows_max < 2 * (8 * 25 + 3), "{rows_max}");
    // After long silence nothing is left at all.
    now = now.plus(Span::from_seconds(80 * 86_400));
    // A clock that jumped may be wrong, so nothing goes at once.
    disk.save_all(&usage, now);
    assert!(!disk.rows.is_empty());
    for _ in 0..2 {
        now = now.plus(Span::from_seconds(3_600));
        disk.save_all(&usage, now);
    }
    assert_eq!((disk.rows.len(), usage.series_count()), (0, 0));
}

#[test]
fn without_a_disk_memory_stays_bounded_and_days_are_whole() {
    let (usage, set) = (Usage::default(), policy(BY_USER));
    const MINUTES: u64 = 10 * 24 * 60;
    for minute in 0..MINUTES {
        let now = START.plus(Span::from_seconds(minute * 60));
        record((&usage, &set), &[("user", "u")], &OK, (Code::Ok, now));
    }
    let read = |resolution| usage.read(resolution, ALWAYS, std::iter::empty()).series.remove(0);
    assert_eq!(read(Resolution::Day).total.admitted, MINUTES);
    let (hours, minutes) = (read(Resolution::Hour).slots, read(Resolution::Minute).slots);
    assert!((72..=125).contains(&hours.len()), "{}", hours.len());
    assert!((180..=300).contains(&minutes.len()), "{}", minutes.len());
}

#[test]
fn batches_are_small_and_what_failed_is_handed_out_again() {
    let (usage, set) = (Usage::default(), policy(BY_USER));
    for user in 0..500 {
        record((&usage, &set), &[("user", &format!("u{user}"))], &OK, (Code::Ok, START));
    }
    let later = START.plus(Span::from_seconds(3_600));
    let first = usage.changes(later);
    let names =
        |changes: &Changes| changes.rows.iter().filter(|(key, _)| key[0] == u8::MAX).count();
    assert_eq!((first.rows.len(), names(&first)), (128, 64), "64 strips and their names");
    usage.failed();
    let again = usage.changes(later);
    assert_eq!((&again.section, &again.rows), (&first.section, &first.rows));
    usage.saved();
    let mut disk = Disk::default();
    disk.commit(again, None);
    disk.save_all(&usage, later);
    let strips = disk.rows.keys().filter(|key| key[0] == 0).count();
    assert_eq!((strips, disk.rows.len()), (500, 1_000));
    assert!(usage.changes(later).is_empty());
}

#[test]
fn a_name_stays_on_disk_while_rows_of_its_series_may_follow() {
    let (usage, set) = (Usage::new(UsageLimits { keep_days: 5, series_max: 10 }), policy(BY_USER));
    let mut disk = Disk::default();
    let hit = |now| drop(record((&usage, &set), &[("user", "u")], &OK, (Code::Ok, now)));
    let day = Span::from_seconds(86_400);
    hit(START);
    let next = START.plus(day);
    disk.save_all(&usage, next);
    hit(next);
    // Nothing was written for days, and then the first hits are too old while the next are not.
    let later = next.plus(Span::from_seconds(5 * 86_400 + 3_600));
    disk.save_all(&usage, later);
    let reading = disk.read(&usage, Resolution::Minute, ALWAYS);
    assert_eq!((users(&reading), reading.unreadable), (vec!["u".to_owned()], 0));
    assert_eq!(reading.series[0].slots.last().map(|slot| slot.tally.admitted), Some(1));
    let after = later.plus(day).plus(day).plus(day);
    for hours in 0..3 {
        disk.save_all(&usage, after.plus(Span::from_seconds(hours * 3_600)));
    }
    assert_eq!((disk.rows.len(), usage.series_count()), (0, 0));
}
