//! What a batch with an image leaves out, and clocks that are wrong for a while.

use super::*;

const MIN: u64 = 60;
const HOUR_S: u64 = 3_600;
const DAY_S: u64 = 86_400;

/// After a midnight.
fn at(s: u64) -> Timestamp {
    Timestamp::from_seconds(1_795_046_400).plus(Span::from_seconds(s))
}

fn hit(usage: &Usage, set: &PolicySet, user: &str, now: Timestamp) {
    record((usage, set), &[("user", user)], &[(RuleCode::Ok, 1, 1)], (Code::Ok, now));
}

/// As the writer does: an image takes the place of the section of its batch.
fn save_like_writer(disk: &mut Disk, usage: &Usage, now: Timestamp, with_image: bool) {
    let mut changes = usage.changes(now);
    if with_image {
        disk.image = Some(usage.image());
        disk.sections.clear();
        changes.section.clear();
    }
    disk.commit(changes, None);
    usage.saved();
}

fn sums(disk: &Disk, usage: &Usage, res: Resolution) -> u64 {
    let r = disk.read(usage, res, ALWAYS);
    r.series.iter().filter(|s| &*s.name.rule == "all").map(|s| s.total.admitted).sum()
}

#[test]
fn an_image_in_the_batch_of_a_fold_loses_nothing() {
    let set = policy(POLICY);
    let limits = UsageLimits { keep_days: 20, series_max: 100 };
    let usage = Usage::new(limits);
    let mut disk = Disk::default();
    let day = at(0).seconds_floor().rem_euclid(86_400);
    assert_eq!(day, 0);
    for hour in 0..24 {
        hit(&usage, &set, "a", at(hour * HOUR_S + 5 * MIN));
        // settle
        for _ in 0..6 {
            save_like_writer(&mut disk, &usage, at(hour * HOUR_S + 6 * MIN), false);
        }
    }
    let midnight = at(DAY_S + 1);
    save_like_writer(&mut disk, &usage, midnight, true); // folds minutes of 23h, image
    for _ in 0..2 {
        save_like_writer(&mut disk, &usage, midnight, false);
    } // folds hours
    for r in Resolution::ALL {
        assert_eq!(sums(&disk, &usage, r), 24, "before {r:?}");
    }
    let usage = disk.restore(limits, midnight);
    disk.save_all(&usage, midnight);
    let got: Vec<u64> = Resolution::ALL.into_iter().map(|r| sums(&disk, &usage, r)).collect();
    assert_eq!(got, [24, 24, 24]);
}

fn all_sums(disk: &Disk, usage: &Usage) -> Vec<u64> {
    Resolution::ALL.into_iter().map(|resolution| sums(disk, usage, resolution)).collect()
}

/// At any batch there may be an image, and after any there may be a crash.
#[test]
fn a_series_that_leaves_keeps_its_sums_wherever_an_image_is_written() {
    let set = policy("domain: d\nrules: [{ name: all, per: [user], limits: [1000/day] }]");
    let limits = UsageLimits { keep_days: 20, series_max: 100 };
    let usage = Usage::new(limits);
    let mut disk = Disk::default();
    for hour in 0..50 {
        hit(&usage, &set, "a", at(hour * HOUR_S + 5 * MIN));
        for _ in 0..6 {
            save_like_writer(&mut disk, &usage, at(hour * HOUR_S + 6 * MIN), false);
        }
    }
    // Nobody for more than two days, but another one.
    let now = at((50 + 49) * HOUR_S + 10);
    hit(&usage, &set, "b", now);
    save_like_writer(&mut disk, &usage, now, false);
    for batches in 0..20 {
        let mut crashed = disk.clone();
        let usage = crashed.restore(limits, now);
        (0..batches).for_each(|_| save_like_writer(&mut crashed, &usage, now, false));
        save_like_writer(&mut crashed, &usage, now, true);
        for more in 0..6 {
            save_like_writer(&mut crashed, &usage, now, false);
            let mut after = crashed.clone();
            let usage = after.restore(limits, now);
            after.save_all(&usage, now);
            assert_eq!(all_sums(&after, &usage), [51, 51, 51], "image at {batches}, then {more}");
        }
    }
}

#[test]
fn a_clock_ahead_over_the_end_of_hours_and_back_loses_nothing() {
    let set = policy("domain: d\nrules: [{ name: all, per: [user], limits: [1000/day] }]");
    let limits = UsageLimits { keep_days: 20, series_max: 100 };
    let usage = Usage::new(limits);
    let mut disk = Disk::default();
    for _ in 0..10 {
        hit(&usage, &set, "a", at(5 * MIN));
    }
    save_like_writer(&mut disk, &usage, at(5 * MIN), false);
    // three hours ahead, nobody calls with `a`
    for _ in 0..6 {
        save_like_writer(&mut disk, &usage, at(3 * HOUR_S), false);
    }
    // and back
    for _ in 0..10 {
        hit(&usage, &set, "a", at(10 * MIN));
    }
    save_like_writer(&mut disk, &usage, at(10 * MIN), false);
    let mut d2 = disk.clone();
    let u2 = d2.restore(limits, at(11 * MIN));
    let crashed: Vec<u64> = Resolution::ALL.into_iter().map(|r| sums(&d2, &u2, r)).collect();
    d2.save_all(&u2, at(11 * MIN));
    for _ in 0..6 {
        save_like_writer(&mut disk, &usage, at(2 * HOUR_S), false);
    }
    let got: Vec<u64> = Resolution::ALL.into_iter().map(|r| sums(&disk, &usage, r)).collect();
    assert_eq!((crashed, got), (vec![20, 20, 20], vec![20, 20, 20]));
}

#[test]
fn one_start_with_the_clock_ahead_forgets_nothing() {
    let set = policy("domain: d\nrules: [{ name: all, per: [user], limits: [1000/day] }]");
    let limits = UsageLimits { keep_days: 35, series_max: 100 };
    let usage = Usage::new(limits);
    let mut disk = Disk::default();
    for day in 0..30 {
        for hour in 0..24 {
            let now = at(day * DAY_S + hour * HOUR_S);
            hit(&usage, &set, "a", now);
            for _ in 0..3 {
                save_like_writer(&mut disk, &usage, now, false);
            }
        }
    }
    let now = at(30 * DAY_S);
    let before: Vec<u64> = Resolution::ALL.into_iter().map(|r| sums(&disk, &usage, r)).collect();
    let ahead = at(400 * DAY_S);
    let usage = disk.restore(limits, ahead);
    for _ in 0..40 {
        save_like_writer(&mut disk, &usage, ahead, false);
    }
    let usage = disk.restore(limits, now);
    let after: Vec<u64> = Resolution::ALL.into_iter().map(|r| sums(&disk, &usage, r)).collect();
    assert_eq!(before, after);
}
