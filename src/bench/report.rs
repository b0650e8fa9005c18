//! What a run found: calls by answer, failures by gRPC status, latencies; as text and as JSON.
//!
//! Every call that was sent is in exactly one of the counts.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hdrhistogram::Histogram;
use serde_json::json;
use tonic::{Code, Status};

use crate::pb::rls::RateLimitResponse;
use crate::pb::rls::rate_limit_response::Code as Answer;
use crate::time::Span;

/// Latencies above this count as this.
const LATENCY_MAX: Span = Span::from_seconds(60);
/// Digits of a latency that are kept.
const LATENCY_DIGITS: u8 = 3;
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// Counts while the run goes on.
#[derive(Clone, Debug)]
pub struct Tally {
    pub ok: u64,
    pub over_limit: u64,
    /// By what went wrong: how often, and what the first one said.
    failures: BTreeMap<String, (u64, String)>,
    /// Of answers, in nanoseconds.
    latencies: Histogram<u64>,
}

/// A finished run.
#[derive(Clone, Debug)]
pub struct Report {
    pub tally: Tally,
    /// How the load was offered, such as `2 connections x 32 in flight`.
    pub load: String,
    /// From the first counted request to the last answer.
    pub elapsed: Span,
    /// Requests that were due before the end but not sent, because all streams were waiting.
    pub unsent: u64,
}

impl Tally {
    pub fn new() -> Result<Self, hdrhistogram::CreationError> {
        Ok(Self {
            ok: 0,
            over_limit: 0,
            failures: BTreeMap::new(),
            latencies: Histogram::new_with_bounds(1, LATENCY_MAX.as_nanos(), LATENCY_DIGITS)?,
        })
    }

    pub fn record(&mut self, answer: Result<RateLimitResponse, Status>, latency: Span) {
        let code = match answer {
            Ok(response) => response.overall_code(),
            Err(status) => return self.fail(status_name(status.code()), status.message()),
        };
        match code {
            Answer::Ok => self.ok += 1,
            Answer::OverLimit => self.over_limit += 1,
            Answer::Unknown => {
                return self
                    .fail("no code".to_owned(), "the answer says neither OK nor OVER_LIMIT");
            }
        }
        self.latencies.saturating_record(latency.min(LATENCY_MAX).as_nanos());
    }

    fn fail(&mut self, what: String, message: &str) {
        let (count, _) = self.failures.entry(what).or_insert_with(|| (0, message.to_owned()));
        *count += 1;
    }

    pub fn add(&mut self, other: &Self) -> Result<(), hdrhistogram::AdditionError> {
        self.ok += other.ok;
        self.over_limit += other.over_limit;
        for (what, (count, message)) in &other.failures {
            let (sum, _) =
                self.failures.entry(what.clone()).or_insert_with(|| (0, message.clone()));
            *sum += count;
        }
        self.latencies.add(&other.latencies)
    }

    pub fn failure_count(&self) -> u64 {
        self.failures.values().map(|(count, _)| count).sum()
    }

    /// Whether not one answer came, and every failure is one that gRPC's own servers hardly give.
    pub fn looks_unlike_grpc(&self) -> bool {
        let odd = [Code::Unknown, Code::Internal, Code::Unimplemented].map(status_name);
        self.ok + self.over_limit == 0 && self.failures.keys().all(|what| odd.contains(what))
    }

    pub fn call_count(&self) -> u64 {
        self.ok + self.over_limit + self.failure_count()
    }

    /// The latency that this share of the answers did not exceed.
    pub fn latency(&self, quantile: f64) -> Span {
        Span::from_nanos(self.latencies.value_at_quantile(quantile))
    }
}

impl Report {
    pub fn requests_per_second(&self) -> f64 {
        let seconds = seconds(self.elapsed);
        if seconds > 0.0 { count(self.tally.call_count()) / seconds } else { 0.0 }
    }

    pub fn text(&self) -> String {
        let tally = &self.tally;
        let mut text = format!("load        {}\n", self.load);
        let _ = writeln!(
            text,
            "requests    {} in {:.2} s, {:.0} per second",
            tally.call_count(),
            seconds(self.elapsed),
            self.requests_per_second(),
        );
        let _ = writeln!(text, "ok          {}", tally.ok);
        let _ = writeln!(text, "over_limit  {}", tally.over_limit);
        let _ = writeln!(text, "failed      {}", tally.failure_count());
        for (what, (count, message)) in &tally.failures {
            let _ = writeln!(text, "  {what}: {count}, the first: {message}");
        }
        if self.unsent > 0 {
            let unsent = self.unsent;
            let _ = writeln!(text, "unsent      {unsent}, all streams were waiting for answers");
        }
        if tally.latencies.is_empty() {
            text.push_str("latency     no answers\n");
            return text;
        }
        let _ = write!(text, "latency     mean {}", duration(tally.latencies.mean()));
        for (name, quantile) in QUANTILES {
            let nanos = count(tally.latency(quantile).as_nanos());
            let _ = write!(text, "  {name} {}", duration(nanos));
        }
        let _ = writeln!(text, "  max {}", duration(count(tally.latencies.max())));
        text
    }

    pub fn json(&self) -> String {
        let tally = &self.tally;
        let failures = tally.failures.iter().map(
            |(what, (count, message))| json!({"status": what, "count": count, "first": message}),
        );
        let mut latencies = serde_json::Map::new();
        let mut put = |name: &str, nanos: f64| latencies.insert(name.to_owned(), micros(nanos));
        put("mean", tally.latencies.mean());
        for (name, quantile) in QUANTILES {
            put(name, count(tally.latency(quantile).as_nanos()));
        }
        put("max", count(tally.latencies.max()));
        let document = json!({
            "load": self.load,
            "requests": tally.call_count(),
            "ok": tally.ok,
            "over_limit": tally.over_limit,
            "failed": tally.failure_count(),
            "failures": failures.collect::<Vec<_>>(),
            "unsent": self.unsent,
            "duration_seconds": seconds(self.elapsed),
            "requests_per_second": self.requests_per_second(),
            "latency_microseconds": latencies,
        });
        format!("{document:#}\n")
    }
}

/// As the gRPC specification writes it: `DEADLINE_EXCEEDED`.
fn status_name(code: Code) -> String {
    let camel = format!("{code:?}");
    let mut name = String::new();
    for letter in camel.chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

fn seconds(span: Span) -> f64 {
    span.to_duration().as_secs_f64()
}

/// To a tenth, as precise as the histogram is.
fn micros(nanos: f64) -> serde_json::Value {
    ((nanos / 100.0).round() / 10.0).into()
}

/// Nanoseconds as people read latencies.
fn duration(nanos: f64) -> String {
    match nanos {
        ..1_000_000.0 => format!("{:.0} µs", nanos / 1e3),
        ..1_000_000_000.0 => format!("{:.2} ms", nanos / 1e6),
        _ => format!("{:.2} s", nanos / 1e9),
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people; 53 bits are enough")]
fn count(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: Answer) -> Result<RateLimitResponse, Status> {
        let mut response = RateLimitResponse::default();
        response.set_overall_code(code);
        Ok(response)
    }

    fn report() -> Report {
        let mut tally = Tally::new().unwrap();
        for micros in 1..=98 {
            tally.record(answer(Answer::Ok), Span::from_nanos(micros * 1_000));
        }
        tally.record(answer(Answer::OverLimit), Span::from_millis(5));
        tally.record(answer(Answer::OverLimit), Span::from_seconds(61));
        tally.record(Err(Status::deadline_exceeded("too late")), Span::ZERO);
        tally.record(Err(Status::deadline_exceeded("later still")), Span::ZERO);
        tally.record(answer(Answer::Unknown), Span::ZERO);
        Report {
            tally,
            load: "1 connection x 1 in flight".to_owned(),
            elapsed: Span::from_millis(500),
            unsent: 0,
        }
    }

    #[test]
    fn every_call_is_in_one_count() {
        let tally = report().tally;
        assert_eq!((tally.ok, tally.over_limit, tally.failure_count()), (98, 2, 3));
        assert_eq!(tally.call_count(), 103);
    }

    #[test]
    fn text_names_failures_and_percentiles() {
        let expected = "\
load        1 connection x 1 in flight
requests    103 in 0.50 s, 206 per second
ok          98
over_limit  2
failed      3
  DEADLINE_EXCEEDED: 2, the first: too late
  no code: 1, the first: the answer says neither OK nor OVER_LIMIT
";
        let text = report().text();
        assert!(text.starts_with(expected), "{text}");
        let latency = text.lines().last().unwrap();
        assert!(latency.contains("p50 50 µs  p90 90 µs  p99 5.00 ms"), "{latency}");
        assert!(latency.contains("max 60.0"), "{latency}");
    }

    #[test]
    fn json_has_the_same_facts() {
        let document: serde_json::Value = serde_json::from_str(&report().json()).unwrap();
        assert_eq!(document["requests"], 103);
        assert_eq!(document["ok"], 98);
        assert_eq!(document["over_limit"], 2);
        assert_eq!(document["failures"][0]["status"], "DEADLINE_EXCEEDED");
        assert_eq!(document["failures"][0]["count"], 2);
        assert_eq!(document["requests_per_second"], 206.0);
        assert_eq!(document["latency_microseconds"]["p50"], 50.0);
    }

    #[test]
    fn tallies_add_up() {
        let mut sum = report().tally;
        sum.add(&report().tally).unwrap();
        assert_eq!((sum.ok, sum.over_limit, sum.failure_count()), (196, 4, 6));
        assert_eq!(sum.call_count(), 206);
    }

    #[test]
    fn a_run_without_answers_says_so() {
        let report = Report {
            tally: Tally::new().unwrap(),
            load: String::new(),
            elapsed: Span::ZERO,
            unsent: 7,
        };
        assert!(report.text().ends_with("latency     no answers\n"));
        assert!(report.text().contains("unsent      7"));
    }
}
