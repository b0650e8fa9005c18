//! The history of usage, compared with the ledger over a crash.
//!
//! It is read from a copy of what the killed process left, by the code that a starting server reads it with.

use tollgate::journal::{Journal, Kind, Part};
use tollgate::time::Timestamp;
use tollgate::usage::{Resolution, Usage, UsageLimits, key_ranges};

use crate::judge::{Tallies, Tally};
use crate::node::Home;

/// What counters and usage are kept apart by: this is usage.
const USAGE: Part = 256;

/// Hits of one rule that the history knows were admitted, by all who asked.
pub(crate) fn admitted(home: &Home, rule: &str) -> u64 {
    let copy = tempfile::tempdir().expect("a folder");
    for entry in std::fs::read_dir(home.data()).expect("a folder of data") {
        let entry = entry.expect("a file of data");
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("a copy");
    }
    let journal = Journal::open(copy.path(), [0, 0]).expect("what was left is sound");
    let usage = Usage::new(UsageLimits::default());
    let mut take = |part: Part, _, kind, bytes: &[u8]| match (part, kind) {
        (USAGE, Kind::Image) => usage.restore_image(bytes).expect("an image"),
        (USAGE, Kind::Change) => usage.restore_changes(bytes).expect("a change"),
        _ => {}
    };
    journal.restore(&mut take).expect("all that was written");
    usage.restored(journal.last().map_or(Timestamp::EPOCH, |(_, stamp)| stamp.at));
    let days = (0, u32::MAX);
    let mut rows = Vec::new();
    for (from, to) in key_ranges(Resolution::Day, days.0, days.1) {
        let mut take = |key: &[u8], value: &[u8]| {
            rows.push((key.to_vec(), value.to_vec()));
            std::ops::ControlFlow::Continue(())
        };
        journal.rows(&from, &to, &mut take).expect("rows");
    }
    let reading = usage.read(Resolution::Day, days, rows.into_iter());
    assert_eq!(reading.unreadable, 0);
    let of_rule = reading.series.iter().filter(|series| &*series.name.rule == rule);
    of_rule.map(|series| series.total.admitted).sum()
}

/// What all counters of a rule were asked together.
pub(crate) fn together(tallies: &Tallies, rule: &str) -> Tally {
    let mut all = Tally::default();
    for (_, tally) in tallies.iter().filter(|(key, _)| key.rule.name == rule) {
        all.admitted.extend_from_slice(&tally.admitted);
        all.denied.extend_from_slice(&tally.denied);
        all.unanswered += tally.unanswered;
    }
    all.admitted.sort_unstable();
    all
}
