//! The history against a slow one that remembers every hit, on a disk that is a map.

use std::collections::BTreeMap;

use super::*;
use crate::decide::{Plan, RuleCode, conclude, plan};
use crate::limit::{Hits, Outcome, Verdict};
use crate::policy::compile;
use crate::policy::model::{Mode, Source};
use crate::policy::set::{CounterSeed, PolicySet};
use crate::request::{Descriptor, Entry};
use crate::time::Span;

mod bounds;
mod bytes;
mod counting;
mod sums;
mod wrong_clocks;

const START: Timestamp = Timestamp::from_seconds(1_795_000_020);
const POLICY: &str = "\
domain: d
rules:
  - { name: by-user, per: [user], limits: [1000/day] }
  - { name: by-app, per: [user, app], limits: [1000/day] }
  - { name: all, limits: [1000/day] }
";

fn policy(text: &str) -> PolicySet {
    let source = Source { name: "policy.yaml".to_owned(), text: text.to_owned() };
    compile(&[source], CounterSeed([1, 2]), &Mode::Enforce.into()).set.unwrap()
}

/// What one rule is to have made of a request.
type Made = (RuleCode, u64, u16);

/// Records a request as if its rules had decided so, each in its turn. What each rule made of it,
/// with its name.
fn record(
    (usage, set): (&Usage, &PolicySet),
    entries: &[(&str, &str)],
    made: &[Made],
    (code, now): (Code, Timestamp),
) -> Vec<(String, Made)> {
    let entries =
        entries.iter().map(|(key, value)| Entry { key: key.as_bytes(), value: value.as_bytes() });
    let descriptor = Descriptor { entries: entries.collect(), hits: Hits::Take(1), limit: None };
    let request = Request { domain: b"d", descriptors: [descriptor].into_iter().collect() };
    let plan = plan(set, &request, now, |_| None);
    let mut decision = conclude(&plan, &rooms(&plan));
    decision.code = code;
    let mut told = Vec::new();
    for (outcome, (code, hits, peak)) in decision.rules.iter_mut().zip(made.iter().cycle()) {
        (outcome.code, outcome.hits, outcome.peak) = (*code, *hits, *peak);
        told.push((outcome.rule.name.to_string(), (*code, *hits, *peak)));
    }
    usage.record(&request, &decision, now);
    told
}

/// Every limit has room.
fn rooms(plan: &Plan<'_>) -> Vec<Outcome> {
    let verdict = Verdict::Admitted;
    let room = Outcome {
        verdict,
        remaining: 1,
        reset: None,
        lease: None,
        again: None,
        is_overflow: false,
    };
    vec![room; plan.charges.len()]
}

/// What a batch is written to: all of it or nothing.
#[derive(Clone, Debug, Default)]
struct Disk {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    image: Option<Vec<u8>>,
    sections: Vec<Vec<u8>>,
}

impl Disk {
    /// Some sections from before the image are left, as where cleaning up was cut short.
    fn commit(&mut self, changes: Changes, image: Option<Vec<u8>>) {
        if !changes.section.is_empty() {
            self.sections.push(changes.section);
        }
        if image.is_some() {
            self.image = image;
            let outdated = self.sections.len().saturating_sub(3);
            self.sections.drain(..outdated);
        }
        for (key, value) in changes.rows {
            match value {
                Some(value) => self.rows.insert(key, value),
                None => self.rows.remove(&key),
            };
        }
    }

    fn restore(&self, limits: UsageLimits, now: Timestamp) -> Usage {
        let usage = Usage::new(limits);
        if let Some(image) = &self.image {
            usage.restore_image(image).unwrap();
        }
        for section in &self.sections {
            usage.restore_changes(section).unwrap();
        }
        usage.restored(now);
        usage
    }

    fn read(&self, usage: &Usage, resolution: Resolution, range: (u32, u32)) -> Reading {
        let rows = key_ranges(resolution, range.0, range.1).into_iter().flat_map(|(first, end)| {
            self.rows.range(first..end).map(|(key, value)| (key.clone(), value.clone()))
        });
        usage.read(resolution, range, rows)
    }

    fn save(&mut self, usage: &Usage, now: Timestamp) {
        self.commit(usage.changes(now), None);
        usage.saved();
    }

    /// Batches until nothing is left to write.
    fn save_all(&mut self, usage: &Usage, now: Timestamp) {
        for _ in 0..10_000 {
            let changes = usage.changes(now);
            let is_last = changes.is_empty();
            self.commit(changes, None);
            usage.saved();
            if is_last {
                return;
            }
        }
        panic!("there is always more to write");
    }
}

/// Everything since the epoch.
const ALWAYS: (u32, u32) = (0, u32::MAX);

/// By rule and slot, over all series.
fn by_rule(reading: &Reading) -> BTreeMap<(String, u32), Tally> {
    assert_eq!(reading.unreadable, 0);
    let mut sums: BTreeMap<(String, u32), Tally> = BTreeMap::new();
    for series in &reading.series {
        for slot in &series.slots {
            sums.entry((series.name.rule.to_string(), slot.number)).or_default().add(slot.tally);
        }
    }
    sums
}
