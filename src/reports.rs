//! What is reported of the load of domains: what is in force, and who said what and why.
//!
//! Reports are kept by the name of their domain, so a reload of policies keeps them. Requests read
//! without a lock; a report ends by itself.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::decide::Reported;
use crate::time::Timestamp;

/// Changes that are remembered.
const CHANGES_MAX: usize = 1_000;

/// What one party says of the load of one domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub domain: String,
    pub load: Reported,
    pub who: String,
    pub why: String,
}

/// A report, and when it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub at: Timestamp,
    pub report: Report,
}

#[derive(Debug, Default)]
pub struct Reports {
    /// By domain, the last of each.
    in_force: ArcSwap<HashMap<String, Arc<Report>>>,
    /// The newest last; whoever writes holds it.
    changes: Mutex<VecDeque<Change>>,
}

impl Reports {
    /// Takes a report in place of the one before of its domain; one of 0 takes that back.
    pub fn take(&self, report: Report, now: Timestamp) {
        let mut changes = self.changes.lock();
        let mut in_force = HashMap::clone(&self.in_force.load());
        in_force.retain(|_, held| held.load.is_in_force(now));
        if report.load.percent == 0 {
            in_force.remove(&report.domain);
        } else {
            in_force.insert(report.domain.clone(), Arc::new(report.clone()));
        }
        self.in_force.store(Arc::new(in_force));
        if changes.len() == CHANGES_MAX {
            changes.pop_front();
        }
        changes.push_back(Change { at: now, report });
    }

    /// The last load that was reported of a domain; it may have ended.
    pub fn load_of(&self, domain: &str) -> Option<Reported> {
        self.in_force.load().get(domain).map(|report| report.load)
    }

    /// The report that is in force for a domain.
    pub fn of(&self, domain: &str, now: Timestamp) -> Option<Arc<Report>> {
        let report = self.in_force.load().get(domain).map(Arc::clone);
        report.filter(|report| report.load.is_in_force(now))
    }

    /// The last changes, the newest last.
    pub fn changes(&self) -> Vec<Change> {
        self.changes.lock().iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Span;

    const NOW: Timestamp = Timestamp::from_seconds(1_000);

    fn report(domain: &str, percent: u8, lasts: u64) -> Report {
        let load = Reported { percent, until: NOW.plus(Span::from_seconds(lasts)) };
        let (who, why) = ("ops".to_owned(), "a sale".to_owned());
        Report { domain: domain.to_owned(), load, who, why }
    }

    #[test]
    fn a_report_is_in_force_until_it_ends_or_another_comes() {
        let reports = Reports::default();
        reports.take(report("shop", 90, 10), NOW);
        reports.take(report("shop", 95, 20), NOW);
        reports.take(report("depot", 50, 20), NOW);
        let percent = |seconds| {
            let now = NOW.plus(Span::from_seconds(seconds));
            reports.of("shop", now).map(|report| report.load.percent)
        };
        assert_eq!((percent(0), percent(19), percent(20)), (Some(95), Some(95), None));
        assert_eq!(reports.load_of("depot").map(|load| load.percent), Some(50));
        assert_eq!(reports.load_of("elsewhere"), None);
        reports.take(report("depot", 0, 20), NOW);
        assert_eq!((reports.load_of("depot"), reports.changes().len()), (None, 4));
    }

    #[test]
    fn the_last_changes_are_remembered_and_no_more() {
        let reports = Reports::default();
        for count in 0..CHANGES_MAX + 5 {
            let domain = format!("d{count}");
            reports.take(report(&domain, 1, 1), NOW);
        }
        let changes = reports.changes();
        assert_eq!(changes.len(), CHANGES_MAX);
        assert_eq!(changes.last().map(|change| &*change.report.domain), Some("d1004"));
    }
}
