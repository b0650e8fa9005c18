//! Hits by values of requests, of rules that ask for it (`detailed_metric`, `value_to_metric`).
//!
//! Bounded: a rule has so many series at the most, whatever callers send; what comes later shares
//! one. They outlive a reload, and so does the bound.

use std::collections::HashMap;
use std::sync::Arc;

use metrics::Counter;
use metrics_exporter_prometheus::PrometheusRecorder;
use parking_lot::Mutex;

use super::{DETAILED_HITS, HITS_COUNTED_MAX, code_name, counter};
use crate::decide::RuleCode;

/// Values told of one rule.
const DETAILS_MAX: usize = 1_000;
/// What stands for all other values.
const REST: &str = "(other)";
/// Those of all rules, by domain and rule.
#[derive(Debug, Default)]
pub(super) struct AllDetails(Mutex<HashMap<(String, String), Arc<RuleDetails>>>);

#[derive(Debug)]
pub(super) struct RuleDetails {
    recorder: Arc<PrometheusRecorder>,
    domain: String,
    rule: String,
    /// By value, then by [`RuleCode`].
    series: Mutex<HashMap<Box<str>, [Option<Counter>; 4]>>,
}

impl AllDetails {
    pub(super) fn of(
        &self,
        recorder: &Arc<PrometheusRecorder>,
        domain: &str,
        rule: &str,
    ) -> Arc<RuleDetails> {
        let mut all = self.0.lock();
        let new = || {
            Arc::new(RuleDetails {
                recorder: Arc::clone(recorder),
                domain: domain.to_owned(),
                rule: rule.to_owned(),
                series: Mutex::default(),
            })
        };
        Arc::clone(all.entry((domain.to_owned(), rule.to_owned())).or_insert_with(new))
    }
}

impl RuleDetails {
    pub(super) fn count(&self, mut detail: &str, code: RuleCode, hits: u64) {
        let mut series = self.series.lock();
        if series.len() >= DETAILS_MAX && !series.contains_key(detail) {
            detail = REST;
        }
        let counters = match series.get_mut(detail) {
            Some(counters) => counters,
            None => series.entry(detail.into()).or_default(),
        };
        let register = || {
            let labels = [
                ("domain", self.domain.as_str()),
                ("rule", &self.rule),
                ("detail", detail),
                ("code", code_name(code)),
            ];
            counter(&self.recorder, DETAILED_HITS, &labels)
        };
        let counter = counters[code as usize].get_or_insert_with(register);
        counter.increment(hits.min(HITS_COUNTED_MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn a_rule_tells_so_many_values_and_then_the_rest_together() {
        let metrics = Metrics::new().unwrap();
        let details = metrics.details.of(&metrics.recorder, "d", "r");
        for value in 0..DETAILS_MAX + 50 {
            details.count(&format!("user={value}"), RuleCode::Ok, 2);
        }
        // Those that are known go on, also after a reload.
        let again = metrics.details.of(&metrics.recorder, "d", "r");
        again.count("user=7", RuleCode::OverLimit, u64::MAX);
        let text = metrics.render();
        let lines = || text.lines().filter(|line| line.starts_with(DETAILED_HITS));
        assert_eq!(lines().count(), DETAILS_MAX + 2);
        let value = |detail: &str, code: &str| {
            let (detail, code) = (format!("detail=\"{detail}\""), format!("code=\"{code}\""));
            let mut found = lines().filter(|line| line.contains(&detail) && line.contains(&code));
            found.next().and_then(|line| line.rsplit(' ').next()).map(str::to_owned)
        };
        assert_eq!(value("user=999", "ok").as_deref(), Some("2"));
        assert_eq!(value("user=1000", "ok"), None);
        assert_eq!(value(REST, "ok").as_deref(), Some("100"));
        assert_eq!(value("user=7", "over_limit").as_deref(), Some("1000000000"));
    }
}
