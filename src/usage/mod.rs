//! Usage history: what each rule let through and denied, by the values that it counts.
//!
//! In memory, and written behind: hits are counted by series and minute, and rolled up into hours
//! and days. Series are bounded, the rest of each rule is counted together, and sums are exact whatever is
//! named. What does not belong here: files, and what pages show.

mod batch;
mod codec;
mod history;
mod keep;
mod name;
mod read;
mod series;
mod state;
mod tally;
#[cfg(test)]
mod tests;
mod top;

use parking_lot::Mutex;

use crate::decide::{Code, Decision, RuleOutcome};
use crate::policy::set::Domain;
use crate::request::Request;
use crate::time::Timestamp;
use history::History;
use series::Standing;

pub use codec::Damage;
pub use name::{Name, Values};
pub use read::{Reading, SeriesUsage, key_ranges};
pub use tally::{Resolution, Slot, Tally};

/// What is kept of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageLimits {
    /// How long rows are kept. Days of one row go together, up to 31 days later.
    pub keep_days: u32,
    /// Series with a name of their own at once.
    pub series_max: usize,
}

impl UsageLimits {
    /// Series give up their names after two days without hits, and rows must not outlive names.
    pub const KEEP_DAYS_MIN: u32 = 3;
    pub const KEEP_DAYS_MAX: u32 = 3_660;
}

impl Default for UsageLimits {
    fn default() -> Self {
        Self { keep_days: 35, series_max: 1_000 }
    }
}

/// A key and what is put there; `None` removes it.
pub type Row = (Vec<u8>, Option<Vec<u8>>);

/// What one batch writes: all of it or nothing.
#[derive(Debug, Default)]
pub struct Changes {
    /// Goes after those before it; empty where there is nothing to say.
    pub section: Vec<u8>,
    pub rows: Vec<Row>,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.section.is_empty() && self.rows.is_empty()
    }
}

/// The history of decisions. Its lock is held for the time of some additions.
#[derive(Debug)]
pub struct Usage(Mutex<History>);

impl Default for Usage {
    fn default() -> Self {
        Self::new(UsageLimits::default())
    }
}

impl Usage {
    pub fn new(limits: UsageLimits) -> Self {
        Self(Mutex::new(History::new(limits)))
    }

    /// Counts what the rules made of one request, at `now` or, where that is before the newest
    /// minute, in that.
    pub fn record(&self, request: &Request<'_>, decision: &Decision<'_>, now: Timestamp) {
        let Some(domain) = decision.domain.filter(|_| !decision.rules.is_empty()) else { return };
        let is_let_through = decision.code == Code::Ok;
        let mut history = self.0.lock();
        history.advance(Resolution::Minute.slot_at(now));
        for outcome in &decision.rules {
            let Some(tally) = Tally::of(outcome, is_let_through) else { continue };
            let place = history.place_of(outcome.series).or_else(|| {
                let name = |standing| name_of(domain, request, (outcome, now), standing);
                history.meet((outcome.series, outcome.rule.salt), tally.hits(), name)
            });
            if let Some(place) = place {
                history.count(place, tally);
            }
        }
    }

    /// What has changed since the last batch. It is to be followed by [`Self::saved`] or
    /// [`Self::failed`]; being called again stands for the latter.
    pub fn changes(&self, now: Timestamp) -> Changes {
        self.0.lock().changes(Resolution::Minute.slot_at(now))
    }

    /// What was handed out is on disk.
    pub fn saved(&self) {
        self.0.lock().saved();
    }

    /// What was handed out is not on disk; the next batch has it again.
    pub fn failed(&self) {
        self.0.lock().failed();
    }

    /// All that is in memory; takes the place of the image and all sections before it.
    pub fn image(&self) -> Vec<u8> {
        self.0.lock().image()
    }

    /// Forgets everything, as if nothing had been restored.
    pub fn clear(&self) {
        let mut history = self.0.lock();
        *history = History::new(history.limits);
    }

    /// Before all sections. Where the image is damaged, nothing changes.
    pub fn restore_image(&self, image: &[u8]) -> Result<(), Damage> {
        self.0.lock().restore_image(image)
    }

    /// In the order in which they were written. Where one is damaged, nothing of it is taken.
    pub fn restore_changes(&self, section: &[u8]) -> Result<(), Damage> {
        self.0.lock().restore_section(section)
    }

    /// After all sections, before the first request.
    pub fn restored(&self, now: Timestamp) {
        let mut history = self.0.lock();
        history.settle();
        history.advance(Resolution::Minute.slot_at(now));
    }

    /// The slots from `from` to before `to`, of the rows that [`key_ranges`] names and of memory.
    pub fn read(
        &self,
        resolution: Resolution,
        (from, to): (u32, u32),
        rows: impl Iterator<Item = (Vec<u8>, Vec<u8>)>,
    ) -> Reading {
        self.0.lock().read(resolution, (from, to), rows)
    }

    /// Series that have names of their own.
    pub fn named_count(&self) -> usize {
        self.0.lock().named_count()
    }

    /// Series in memory: those with names, one more for each rule that has others, and those that
    /// are about to leave.
    pub fn series_count(&self) -> usize {
        self.0.lock().series_count()
    }
}

fn name_of(
    domain: &Domain,
    request: &Request<'_>,
    (outcome, now): (&RuleOutcome<'_>, Timestamp),
    standing: Standing,
) -> Name {
    let (name, rule) = (&domain.name, outcome.rule);
    if standing == Standing::Rest {
        return Name::other(name, &rule.name);
    }
    let descriptor = request.descriptors.get(outcome.descriptor as usize);
    let values = descriptor.map(|it| domain.counted_by(rule, &it.entries, now));
    Name::counted(name, &rule.name, &values.unwrap_or_default())
}
