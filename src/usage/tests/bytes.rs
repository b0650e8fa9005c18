//! What is on disk reads back as it was, and damage is refused.

use proptest::prelude::*;

use super::super::codec::{Reader, RowKey, SeriesId, Writer};
use super::*;

fn any_slots() -> impl Strategy<Value = Vec<Slot>> {
    let number = prop_oneof![Just(0), any::<u64>(), 0..300_u64];
    let tally = (number.clone(), number.clone(), number, 0..=10_000_u16).prop_map(
        |(admitted, denied, shadow_denied, peak)| Tally { admitted, denied, shadow_denied, peak },
    );
    prop::collection::btree_map(0..60_u32, tally, 0..60)
        .prop_map(|slots| slots.into_iter().map(|(number, tally)| Slot { number, tally }).collect())
}

proptest! {
    #[test]
    fn strips_read_back(
        slots in any_slots(),
        which in 0..3_usize,
        strip in 0..3_000_000_u32,
        id in any::<u128>(),
    ) {
        let resolution = Resolution::ALL[which];
        let len = resolution.strip_len();
        let mut slots = slots;
        slots.retain(|slot| slot.number < len);
        slots.iter_mut().for_each(|slot| slot.number += strip * len);
        let key = RowKey::Strip { resolution, strip, id: SeriesId(id) };
        prop_assert_eq!(RowKey::read(&key.bytes()), Ok(key));
        let read = RowKey::read_strip(&key.bytes(), &key.strip_value(&slots));
        prop_assert_eq!(read, Ok(slots));
    }

    #[test]
    fn names_read_back(texts in prop::collection::vec((".*", ".*"), 0..4), is_other: bool) {
        let name = match is_other {
            true => Name::other("d", "r"),
            false => Name::counted("d", "r", &texts),
        };
        let key = RowKey::Name { id: SeriesId(7) };
        let read = RowKey::read_name(&key.bytes(), &key.name_value(&name));
        prop_assert_eq!(read, Ok(name));
    }

    #[test]
    fn bytes_that_nobody_wrote_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let usage = Usage::default();
        prop_assert!(usage.restore_image(&bytes).is_err());
        prop_assert!(usage.restore_changes(&bytes).is_err());
        prop_assert!(RowKey::read_strip(&bytes, &bytes).is_err());
        prop_assert!(RowKey::read_name(&bytes, &bytes).is_err());
    }

    #[test]
    fn a_body_that_is_well_sealed_and_senseless_is_no_panic(
        body in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        for key in [b"image".as_slice(), b"section"] {
            let mut into = Writer::new();
            into.raw(&body);
            let bytes = into.sealed(key);
            let usage = Usage::default();
            let _ = usage.restore_image(&bytes);
            let _ = usage.restore_changes(&bytes);
            usage.restored(START);
            usage.changes(START.plus(Span::from_seconds(100_000)));
            usage.saved();
        }
    }
}

/// With strips, names, folds, and series of each standing.
fn busy() -> (Usage, Changes) {
    let (usage, set) = (Usage::new(UsageLimits { keep_days: 35, series_max: 2 }), policy(POLICY));
    let mut disk = Disk::default();
    let mut now = START;
    for user in ["u1", "u2", "u3"] {
        let made = [(RuleCode::OverLimit, 300, 10_000), (RuleCode::Ok, 1, 7)];
        record((&usage, &set), &[("user", user), ("app", "a")], &made, (Code::Ok, now));
        now = now.plus(Span::from_seconds(1_800));
        disk.save(&usage, now);
    }
    record((&usage, &set), &[("user", "u1")], &[(RuleCode::Ok, 5, 5)], (Code::Ok, now));
    let changes = usage.changes(now.plus(Span::from_seconds(90_000)));
    assert!(!changes.section.is_empty() && changes.rows.len() > 3);
    (usage, changes)
}

fn damaged(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let cut = (0..bytes.len()).map(|length| bytes[..length].to_vec());
    let flipped = (0..bytes.len() * 8).map(|bit| {
        let mut bytes = bytes.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    });
    cut.chain(flipped)
}

#[test]
fn every_cut_and_every_flipped_bit_is_refused() {
    let (usage, changes) = busy();
    let (image, section) = (usage.image(), changes.section);
    let fresh = Usage::default();
    let before = fresh.image();
    for bytes in damaged(&image) {
        assert!(fresh.restore_image(&bytes).is_err());
    }
    for bytes in damaged(&section) {
        assert!(fresh.restore_changes(&bytes).is_err());
    }
    assert_eq!(fresh.image(), before, "nothing was taken of what is damaged");
    assert_eq!(fresh.restore_image(&section), Err(Damage::Damaged));
    assert_eq!(fresh.restore_image(&image), Ok(()));
    assert_eq!(fresh.image(), image);
    for (key, value) in &changes.rows {
        let value = value.as_ref().unwrap();
        let read = |key: &[u8], value: &[u8]| match RowKey::read(key)? {
            RowKey::Name { .. } => RowKey::read_name(key, value).map(|_| ()),
            RowKey::Strip { .. } => RowKey::read_strip(key, value).map(|_| ()),
        };
        assert_eq!(read(key, value), Ok(()));
        assert!(damaged(value).all(|value| read(key, &value).is_err()));
        assert!(damaged(key).all(|key| read(&key, value).is_err()), "nor is a row of another key");
    }
}

#[test]
fn another_version_is_told() {
    let mut bytes = vec![2_u8, 0];
    bytes.extend(codec::sum(b"key", &[2, 0]));
    assert_eq!(Reader::open(b"key", &bytes).map(|_| ()), Err(Damage::Version(2)));
}

#[test]
fn a_damaged_row_is_left_out_and_counted() {
    let (usage, set) = (Usage::default(), policy(POLICY));
    let mut disk = Disk::default();
    record((&usage, &set), &[("user", "u1")], &[(RuleCode::Ok, 5, 5)], (Code::Ok, START));
    let later = START.plus(Span::from_seconds(7_200));
    disk.save_all(&usage, later);
    assert_eq!(disk.read(&usage, Resolution::Minute, ALWAYS).series.len(), 2);
    let (_, value) = disk.rows.iter_mut().next().unwrap();
    value[1] ^= 1;
    let reading = disk.read(&usage, Resolution::Minute, ALWAYS);
    assert_eq!((reading.series.len(), reading.unreadable), (1, 1));
}

/// The figures of docs/operations.md.
#[test]
fn a_day_of_a_busy_series_takes_as_many_bytes_as_the_manual_says() {
    let day = START.seconds_floor() / 86_400 + 1;
    let begin = Timestamp::from_seconds(day * 86_400);
    let (usage, set) = (Usage::default(), policy(POLICY));
    let mut disk = Disk::default();
    for minute in 0..24 * 60 {
        let now = begin.plus(Span::from_seconds(minute * 60));
        let made = [(RuleCode::Ok, 1_000, 5_000)];
        record((&usage, &set), &[], &made, (Code::Ok, now));
        disk.save(&usage, now);
    }
    disk.save_all(&usage, begin.plus(Span::from_seconds(86_400)));
    let strips = disk.rows.iter().filter(|(key, _)| key[0] != u8::MAX);
    let sizes: Vec<usize> = strips.map(|(key, value)| key.len() + value.len()).collect();
    assert_eq!(sizes.len(), 25, "24 rows of minutes and one of hours");
    let kilobytes = sizes.iter().sum::<usize>() as f64 / 1_000.0;
    let manual = include_str!("../../../docs/operations.md");
    let told = format!("about {kilobytes:.1} kB a day");
    assert!(manual.contains(&told), "{told}");
}
