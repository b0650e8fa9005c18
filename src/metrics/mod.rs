//! Every metric, with its help text and labels, in one table.
//!
//! Labels are bounded by construction: domains and rules of the policies, and fixed words. Only
//! rules that ask for it tell values of callers, so many and no more. The request path touches
//! handles that were registered beforehand, but for those.

mod detail;
mod state;

use std::sync::Arc;

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusRecorder};

use crate::clock::discipline::{Event, Observed};
use crate::decide::{Code, Decision, RuleCode};
use crate::policy::set::PolicySet;
use crate::request::Request;
use crate::time::Timestamp;
use detail::{AllDetails, RuleDetails};
use state::StateMetrics;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// What a metric is called, what it means, and which labels it carries.
#[derive(Debug)]
pub struct Description {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

macro_rules! metrics_table {
    ($($constant:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(const $constant: &str = $name;)*
        /// All metrics, in the order in which they are declared.
        pub const TABLE: &[Description] = &[
            $(Description {
                name: $name,
                kind: Kind::$kind,
                labels: &[$($label),*],
                help: $help,
            },)*
        ];
    };
}

metrics_table! {
    DECISIONS: Counter "tollgate_decisions_total" ["domain", "code"]
        "Requests decided, by domain and answer (`ok`, `over_limit`).";
    RULE_HITS: Counter "tollgate_rule_hits_total" ["domain", "rule", "code"]
        "Hits that a rule was asked for: it let them through (`ok`), denied them (`over_limit`), \
         would have denied them (`shadow_over_limit`), or had room while another rule denied \
         (`denied_elsewhere`). One request adds at most 1000000000.";
    DETAILED_HITS: Counter "tollgate_detailed_hits_total" ["domain", "rule", "detail", "code"]
        "Hits of a rule by the values of requests, of rules that ask for it (`detailed_metric`, \
         `value_to_metric`). A rule tells 1000 values; what comes later counts as `(other)`.";
    EXPRESSION_FAILURES: Counter "tollgate_expression_failures_total" ["domain", "rule"]
        "Requests for which an expression of a rule could not be worked out: `when` then does not \
         match, `cost` counts 1.";
    UNKNOWN_DOMAIN: Counter "tollgate_unknown_domain_total" []
        "Requests for a domain that no policy has; they are let through.";
    INVALID_REQUESTS: Counter "tollgate_invalid_requests_total" ["reason"]
        "Requests refused as malformed (`empty_domain`, `no_descriptors`, `bad_json`; \
         `bad_message` for bytes that do not decode, `too_large` for more than is accepted).";
    INTERNAL_ERRORS: Counter "tollgate_internal_errors_total" []
        "Requests that failed for a fault of tollgate itself.";
    DECISION_DURATION: Histogram "tollgate_decision_duration_seconds" []
        "Time from the decoded request to the finished answer.";
    STORE_ERRORS: Counter "tollgate_store_errors_total" []
        "Requests whose counters could not be charged.";
    POLICY_RELOADS: Counter "tollgate_policy_reloads_total" ["result"]
        "Policy loads after a change, the first one included (`ok`, `failed`).";
    POLICY_LAST_RELOAD_TIMESTAMP: Gauge "tollgate_policy_last_reload_timestamp_seconds" []
        "When policies were last taken into force, in seconds since the Unix epoch.";
    POLICY_LAST_RELOAD_SUCCESSFUL: Gauge "tollgate_policy_last_reload_successful" []
        "1 if the last policy load succeeded; 0 if it failed and an older set is in force.";
    POLICY_SET_VERSION: Gauge "tollgate_policy_set_version" []
        "Version of the policy set in force; grows by one with every set.";
    POLICY_RULES: Gauge "tollgate_policy_rules" []
        "Rules in force.";
    SHADOW_MODE: Gauge "tollgate_shadow_mode" []
        "1 if the whole server is in shadow mode and denies nothing, else 0.";
    COUNTERS: Gauge "tollgate_counters" []
        "Counters held in memory.";
    COUNTERS_MAX: Gauge "tollgate_counters_max" []
        "The most counters that are held at a time; one of a rolling window, a bucket or slots \
         counts as several.";
    COUNTERS_EVICTED: Counter "tollgate_counters_evicted_total" []
        "Counters in use that were given up to make room for others; none near its limit.";
    OVERFLOW_HITS: Counter "tollgate_overflow_hits_total" ["domain", "rule"]
        "Hits of new keys that shared one counter for their rule, for want of room.";
    STORE_DEGRADED: Gauge "tollgate_store_degraded" []
        "1 if counters are not as safe on disk as promised (`/readyz` says why), else 0.";
    STORE_LOSS_BOUND: Gauge "tollgate_store_loss_bound_seconds" []
        "A crash forgets no hit older than this, as the last minute tells; 0 where nothing is written.";
    STORE_UNSAVED: Gauge "tollgate_store_unsaved_seconds" []
        "Age of the oldest hit that may not be on disk yet.";
    STORE_BYTES: Gauge "tollgate_store_bytes" []
        "Size of the file of counters and usage.";
    STORE_COMMITS: Counter "tollgate_store_commits_total" []
        "Times that counters were written to disk.";
    STORE_FAILURES: Counter "tollgate_store_failures_total" []
        "Times that counters could not be written to disk; they are written later.";
    STRICT_UNRESERVED: Counter "tollgate_strict_unreserved_total" []
        "Charges of strict rules that were denied only because the disk did not count them in time.";
    STORE_SET_ASIDE: Gauge "tollgate_store_set_aside" []
        "1 if damaged counters were found at start and kept aside, else 0.";
    LEASES: Gauge "tollgate_leases" []
        "Slots of concurrency limits that are held now.";
    SHED: Counter "tollgate_shed_total" ["domain"]
        "Requests refused for load, of domains that shed it.";
    LOAD_PERCENT: Gauge "tollgate_load_percent" ["domain"]
        "Load of a domain that sheds it, as of its last request: the greater of what is measured \
         and what is reported, 0 to 100.";
    LOAD_REPORTED: Gauge "tollgate_load_reported_percent" ["domain"]
        "Load that is reported of a domain now, 0 to 100; 0 when nothing is.";
    CONNECTIONS: Gauge "tollgate_connections" []
        "Open gRPC connections.";
    CONNECTIONS_ACCEPTED: Counter "tollgate_connections_accepted_total" []
        "gRPC connections accepted.";
    HTTP_CONNECTIONS: Gauge "tollgate_http_connections" []
        "Open connections of the HTTP port.";
    CONNECTIONS_WAITED: Counter "tollgate_connections_waited_total" ["port"]
        "Connections that had to wait, since as many were open as may be (`grpc`: 4096, \
         `http`: 512).";
    CLOCK_STEPS: Counter "tollgate_clock_steps_total" ["event"]
        "Steps of the wall clock: noticed (`seen`), and followed because they lasted (`followed`).";
    CLOCK_OFFSET: Gauge "tollgate_clock_offset_seconds" []
        "Wall clock minus the time that limits go by; far from 0 while a step is not followed yet.";
    BUILD_INFO: Gauge "tollgate_build_info" ["version"]
        "Always 1; the label says which version runs.";
}

/// Upper bounds in seconds: 10 µs to 1 s, with steps where Envoy's 20 ms deadline is.
const DURATION_BUCKETS: [f64; 15] = [
    0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05,
    0.1, 0.25, 1.0,
];

/// The most that one request adds to `tollgate_rule_hits_total`: as much as Envoy can be
/// configured to send. Hits of 64 bits would make the counter run over.
const HITS_COUNTED_MAX: u64 = 1_000_000_000;

/// Typed handles of everything but what depends on the policy set.
#[derive(Debug)]
pub struct Metrics {
    recorder: Arc<PrometheusRecorder>,
    details: AllDetails,
    pub unknown_domain: Counter,
    pub invalid: InvalidRequests,
    pub internal_errors: Counter,
    pub decision_duration: Histogram,
    pub store_errors: Counter,
    pub shadow_mode: Gauge,
    pub state: StateMetrics,
    pub connections: Connections,
    pub connections_accepted: Counter,
    pub http_connections: Connections,
    clock: ClockMetrics,
    reloads: Reloads,
}

#[derive(Debug)]
pub struct InvalidRequests {
    pub empty_domain: Counter,
    pub no_descriptors: Counter,
    pub bad_json: Counter,
    pub bad_message: Counter,
    pub too_large: Counter,
}

/// Those of one port.
#[derive(Debug)]
pub struct Connections {
    pub open: Gauge,
    pub waited: Counter,
}

#[derive(Debug)]
struct ClockMetrics {
    seen: Counter,
    followed: Counter,
    offset: Gauge,
}

#[derive(Debug)]
struct Reloads {
    ok: Counter,
    failed: Counter,
    last_timestamp: Gauge,
    last_successful: Gauge,
    version: Gauge,
    rules: Gauge,
}

/// Handles for the domains and rules of one policy set. Registering a name again finds the same
/// series, so what stays over a reload counts on.
#[derive(Debug)]
pub struct SetMetrics {
    /// By [`crate::policy::set::Domain::index`].
    domains: Vec<DomainMetrics>,
    /// By [`crate::policy::set::Rule::index`].
    rules: Vec<RuleMetrics>,
}

#[derive(Debug)]
struct DomainMetrics {
    ok: Counter,
    over_limit: Counter,
    /// Of a domain that sheds load.
    load: Option<LoadMetrics>,
}

#[derive(Debug)]
struct LoadMetrics {
    shed: Counter,
    percent: Gauge,
}

#[derive(Debug)]
struct RuleMetrics {
    /// By [`RuleCode`].
    hits: [Counter; 4],
    overflow: Counter,
    /// Of rules that have any.
    expression_failures: Option<Counter>,
    /// Of rules that tell values of requests.
    detail: Option<Arc<RuleDetails>>,
}

impl Metrics {
    /// Nothing is installed globally: each server, in tests many in a process, has its own.
    pub fn new() -> Result<Self, BuildError> {
        let recorder = PrometheusBuilder::new().set_buckets(&DURATION_BUCKETS)?.build_recorder();
        let recorder = Arc::new(recorder);
        for metric in TABLE {
            let (name, help) = (metric.name.into(), metric.help.into());
            match metric.kind {
                Kind::Counter => recorder.describe_counter(name, None, help),
                Kind::Gauge => recorder.describe_gauge(name, None, help),
                Kind::Histogram => recorder.describe_histogram(name, None, help),
            }
        }
        let counter = |name, labels: &[(&'static str, &str)]| counter(&recorder, name, labels);
        let gauge = |name| gauge(&recorder, name, &[]);
        gauge_of_build(&recorder);
        let invalid = |reason| counter(INVALID_REQUESTS, &[("reason", reason)]);
        let waited = |port| counter(CONNECTIONS_WAITED, &[("port", port)]);
        Ok(Self {
            unknown_domain: counter(UNKNOWN_DOMAIN, &[]),
            invalid: InvalidRequests {
                empty_domain: invalid("empty_domain"),
                no_descriptors: invalid("no_descriptors"),
                bad_json: invalid("bad_json"),
                bad_message: invalid("bad_message"),
                too_large: invalid("too_large"),
            },
            internal_errors: counter(INTERNAL_ERRORS, &[]),
            decision_duration: recorder
                .register_histogram(&Key::from_static_name(DECISION_DURATION), &METADATA),
            store_errors: counter(STORE_ERRORS, &[]),
            shadow_mode: gauge(SHADOW_MODE),
            state: StateMetrics::new(&recorder),
            connections: Connections { open: gauge(CONNECTIONS), waited: waited("grpc") },
            connections_accepted: counter(CONNECTIONS_ACCEPTED, &[]),
            http_connections: Connections { open: gauge(HTTP_CONNECTIONS), waited: waited("http") },
            clock: ClockMetrics {
                seen: counter(CLOCK_STEPS, &[("event", "seen")]),
                followed: counter(CLOCK_STEPS, &[("event", "followed")]),
                offset: gauge(CLOCK_OFFSET),
            },
            reloads: Reloads {
                ok: counter(POLICY_RELOADS, &[("result", "ok")]),
                failed: counter(POLICY_RELOADS, &[("result", "failed")]),
                last_timestamp: gauge(POLICY_LAST_RELOAD_TIMESTAMP),
                last_successful: gauge(POLICY_LAST_RELOAD_SUCCESSFUL),
                version: gauge(POLICY_SET_VERSION),
                rules: gauge(POLICY_RULES),
            },
            details: AllDetails::default(),
            recorder,
        })
    }

    /// The handles for a set that is about to be published.
    pub fn for_set(&self, set: &PolicySet) -> SetMetrics {
        let mut domains = Vec::with_capacity(set.domains.len());
        let mut rules: Vec<RuleMetrics> = Vec::new();
        for domain in &set.domains {
            let name: &str = &domain.name;
            let decisions =
                |code| counter(&self.recorder, DECISIONS, &[("domain", name), ("code", code)]);
            let labels = [("domain", name)];
            let load = domain.load.as_ref().map(|_| LoadMetrics {
                shed: counter(&self.recorder, SHED, &labels),
                percent: gauge(&self.recorder, LOAD_PERCENT, &labels),
            });
            let (ok, over_limit) = (decisions("ok"), decisions("over_limit"));
            domains.push(DomainMetrics { ok, over_limit, load });
            rules.extend(domain.rules.iter().map(|rule| {
                let hits = |code| {
                    let code = code_name(code);
                    let labels = [("domain", name), ("rule", &*rule.name), ("code", code)];
                    counter(&self.recorder, RULE_HITS, &labels)
                };
                RuleMetrics {
                    hits: RuleCode::ALL.map(hits),
                    overflow: {
                        let labels = [("domain", name), ("rule", &*rule.name)];
                        counter(&self.recorder, OVERFLOW_HITS, &labels)
                    },
                    expression_failures: rule.has_expressions().then(|| {
                        let labels = [("domain", name), ("rule", &*rule.name)];
                        counter(&self.recorder, EXPRESSION_FAILURES, &labels)
                    }),
                    detail: rule
                        .has_detail()
                        .then(|| self.details.of(&self.recorder, name, &rule.name)),
                }
            }));
        }
        SetMetrics { domains, rules }
    }

    /// A set was taken into force.
    pub fn reload_succeeded(&self, set: &PolicySet, now: Timestamp) {
        self.reloads.ok.increment(1);
        self.reloads.last_successful.set(1.0);
        self.reloads.last_timestamp.set(as_f64(now.seconds_floor().max(0).unsigned_abs()));
        self.reloads.version.set(as_f64(set.version));
        let rules = set.domains.iter().map(|domain| domain.rules.len() as u64).sum();
        self.reloads.rules.set(as_f64(rules));
    }

    /// A candidate was refused; the set in force stays.
    pub fn reload_failed(&self) {
        self.reloads.failed.increment(1);
        self.reloads.last_successful.set(0.0);
    }

    /// The wall clock was looked at.
    pub fn clock_observed(&self, observed: &Observed) {
        self.clock.offset.set(seconds(observed.difference));
        match observed.event {
            Some(Event::Seen { .. }) => self.clock.seen.increment(1),
            Some(Event::Followed { .. }) => self.clock.followed.increment(1),
            Some(Event::Withdrawn) | None => {}
        }
    }

    /// What load is reported of a domain now; for whoever renders next.
    pub fn load_reported(&self, domain: &str, percent: u8) {
        gauge(&self.recorder, LOAD_REPORTED, &[("domain", domain)]).set(f64::from(percent));
    }

    /// The Prometheus text form of everything. With thousands of rules this takes milliseconds.
    pub fn render(&self) -> String {
        self.recorder.handle().render()
    }

    /// Folds recorded durations into their buckets; called every few seconds, so that they do
    /// not pile up while nobody scrapes.
    pub fn upkeep(&self) {
        self.recorder.handle().run_upkeep();
    }
}

impl SetMetrics {
    /// Counts one decision of a request.
    pub fn decided(&self, request: &Request<'_>, decision: &Decision<'_>) {
        if let Some(domain) = decision.domain.and_then(|domain| self.domains.get(domain.index)) {
            match decision.code {
                Code::Ok => domain.ok.increment(1),
                Code::OverLimit => domain.over_limit.increment(1),
            }
            if let (Some(load), Some(reading)) = (&domain.load, decision.load) {
                load.percent.set(f64::from(reading.percent));
                load.shed.increment(u64::from(decision.is_shed()));
            }
        }
        for outcome in &decision.rules {
            let Some(rule) = self.rules.get(outcome.rule.index) else {
                continue;
            };
            let counter = &rule.hits[outcome.code as usize];
            counter.increment(outcome.hits.min(HITS_COUNTED_MAX));
            if outcome.is_overflow {
                rule.overflow.increment(outcome.hits.min(HITS_COUNTED_MAX));
            }
            if let Some(details) = &rule.detail
                && let Some(descriptor) = request.descriptors.get(outcome.descriptor as usize)
                && let Some(detail) = outcome.rule.detail(&descriptor.entries)
            {
                details.count(&detail, outcome.code, outcome.hits);
            }
        }
        for rule in &decision.failures {
            let metrics = self.rules.get(rule.index);
            if let Some(counter) = metrics.and_then(|rule| rule.expression_failures.as_ref()) {
                counter.increment(1);
            }
        }
    }
}

/// What the label `code` says.
fn code_name(code: RuleCode) -> &'static str {
    match code {
        RuleCode::Ok => "ok",
        RuleCode::OverLimit => "over_limit",
        RuleCode::ShadowOverLimit => "shadow_over_limit",
        RuleCode::DeniedElsewhere => "denied_elsewhere",
    }
}

const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, None);

fn key(name: &'static str, labels: &[(&'static str, &str)]) -> Key {
    let labels = labels.iter().map(|(label, value)| Label::new(*label, (*value).to_owned()));
    Key::from_parts(name, labels.collect::<Vec<_>>())
}

fn counter(
    recorder: &PrometheusRecorder,
    name: &'static str,
    labels: &[(&'static str, &str)],
) -> Counter {
    recorder.register_counter(&key(name, labels), &METADATA)
}

fn gauge(
    recorder: &PrometheusRecorder,
    name: &'static str,
    labels: &[(&'static str, &str)],
) -> Gauge {
    recorder.register_gauge(&key(name, labels), &METADATA)
}

fn gauge_of_build(recorder: &PrometheusRecorder) {
    gauge(recorder, BUILD_INFO, &[("version", env!("CARGO_PKG_VERSION"))]).set(1.0);
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floating point; 2^53 is far away")]
fn as_f64(value: u64) -> f64 {
    value as f64
}

#[expect(
    clippy::cast_precision_loss,
    reason = "gauges are floating point; nobody counts nanoseconds of years"
)]
fn seconds(nanos: i64) -> f64 {
    nanos as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Span;

    #[test]
    fn steps_of_the_clock_are_counted_and_how_far_it_is_off_is_told() {
        let metrics = Metrics::new().unwrap();
        let settling = Span::from_seconds(60);
        let seen = Some(Event::Seen { by: -1_500_000_000, settling });
        metrics.clock_observed(&Observed { difference: -1_500_000_000, event: seen });
        let text = metrics.render();
        assert!(text.contains("tollgate_clock_steps_total{event=\"seen\"} 1\n"), "{text}");
        assert!(text.contains("tollgate_clock_offset_seconds -1.5\n"), "{text}");
        for event in [Some(Event::Followed { by: -1_500_000_000 }), Some(Event::Withdrawn), None] {
            metrics.clock_observed(&Observed { difference: 0, event });
        }
        let text = metrics.render();
        assert!(text.contains("tollgate_clock_steps_total{event=\"seen\"} 1\n"), "{text}");
        assert!(text.contains("tollgate_clock_steps_total{event=\"followed\"} 1\n"), "{text}");
        assert!(text.contains("tollgate_clock_offset_seconds 0\n"), "{text}");
    }
}
