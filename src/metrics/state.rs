//! Metrics of what is held: read from the store when somebody asks, not kept up on the request path.

use metrics::{Counter, Gauge};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::{
    COUNTERS, COUNTERS_EVICTED, COUNTERS_MAX, LEASES, STORE_BYTES, STORE_COMMITS, STORE_DEGRADED,
    STORE_FAILURES, STORE_LOSS_BOUND, STORE_SET_ASIDE, STORE_UNSAVED, STRICT_UNRESERVED, as_f64,
    counter, gauge,
};
use crate::store::Store;
use crate::time::{Span, Timestamp};

#[derive(Debug)]
pub struct StateMetrics {
    counters: Gauge,
    counters_max: Gauge,
    evicted: Counter,
    leases: Gauge,
    degraded: Gauge,
    loss_bound: Gauge,
    unsaved: Gauge,
    bytes: Gauge,
    commits: Counter,
    failures: Counter,
    unreserved: Counter,
    set_aside: Gauge,
}

impl StateMetrics {
    pub(super) fn new(recorder: &PrometheusRecorder) -> Self {
        let gauge = |name| gauge(recorder, name, &[]);
        let counter = |name| counter(recorder, name, &[]);
        Self {
            counters: gauge(COUNTERS),
            counters_max: gauge(COUNTERS_MAX),
            evicted: counter(COUNTERS_EVICTED),
            leases: gauge(LEASES),
            degraded: gauge(STORE_DEGRADED),
            loss_bound: gauge(STORE_LOSS_BOUND),
            unsaved: gauge(STORE_UNSAVED),
            bytes: gauge(STORE_BYTES),
            commits: counter(STORE_COMMITS),
            failures: counter(STORE_FAILURES),
            unreserved: counter(STRICT_UNRESERVED),
            set_aside: gauge(STORE_SET_ASIDE),
        }
    }

    /// Tells what a store holds now; for whoever renders next. `steady` is the time of the clock
    /// that only grows.
    pub fn tell(&self, store: &Store, now: Timestamp, steady: Span) {
        let counters = store.counters();
        self.counters.set(as_f64(counters.counter_count() as u64));
        self.counters_max.set(as_f64(counters.counters_max() as u64));
        self.evicted.absolute(counters.evicted());
        self.leases.set(as_f64(counters.slots_held(now)));
        let Store::Durable(durable) = store else { return };
        let status = durable.status();
        let seconds = |span: Span| span.to_duration().as_secs_f64();
        self.degraded.set(f64::from(u8::from(status.degraded(steady).is_some())));
        self.loss_bound.set(seconds(status.loss_bound(steady)));
        self.unsaved.set(seconds(status.unsaved(steady)));
        self.bytes.set(as_f64(status.file_bytes));
        self.commits.absolute(status.commits);
        self.failures.absolute(status.failures);
        self.unreserved.absolute(counters.unreserved());
        self.set_aside.set(f64::from(u8::from(status.set_aside.is_some())));
    }
}
