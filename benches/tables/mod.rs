//! The figures of `server`: medians over rounds, as tables that a page can hold as they are.
//!
//! A ratio is one of a round: both servers had their turn in it. Medians are taken of ratios, never
//! ratios of medians.

use std::fmt::Write as _;
use std::num::NonZeroU64;
use std::path::Path;

use tollgate::bench::report::Report;

use crate::replace_between;
use crate::servers::Kind;
use crate::servers::counted::Counted;
use crate::servers::shapes::Shape;

const PAGE: &str = "docs/performance.md";
const MARKS: [&str; 2] =
    ["<!-- written by benches/server.rs -->", "<!-- end of what it writes -->"];

/// What one server showed in one turn.
pub(crate) struct Turn {
    /// Of the server, for each request.
    cpu_micros: f64,
    p50_micros: f64,
    p99_micros: f64,
    per_second: f64,
}

/// What one server showed under one load.
pub(crate) struct Row {
    name: String,
    pub(crate) cpu_micros: f64,
    cpu_ratio: f64,
    /// The least and the most of all rounds.
    spread: [f64; 2],
    p50_micros: f64,
    p50_ratio: f64,
    p99_micros: f64,
    p99_ratio: f64,
    per_second: f64,
}

pub(crate) struct Rows {
    pub(crate) shape: Shape,
    pub(crate) rows: Vec<Row>,
}

pub(crate) struct Idle {
    pub(crate) name: String,
    pub(crate) mebibytes: f64,
    pub(crate) first_answer_millis: f64,
}

impl Turn {
    #[expect(clippy::cast_precision_loss, reason = "counts and times of a bench are small")]
    pub(crate) fn of(report: &Report, cpu_seconds: f64) -> Self {
        let micros = |quantile| report.tally.latency(quantile).as_nanos() as f64 / 1e3;
        Self {
            cpu_micros: cpu_seconds * 1e6 / report.tally.call_count() as f64,
            p50_micros: micros(0.5),
            p99_micros: micros(0.99),
            per_second: report.requests_per_second(),
        }
    }
}

impl Row {
    /// Of the server at this place; the first one is what it is held against.
    pub(crate) fn of(name: &str, place: usize, rounds: &[Vec<Turn>]) -> Self {
        let all =
            |figure: fn(&Turn) -> f64| rounds.iter().map(|round| figure(&round[place])).collect();
        let ratios = |figure: fn(&Turn) -> f64| -> Vec<f64> {
            rounds.iter().map(|round| figure(&round[place]) / figure(&round[0])).collect()
        };
        let cpu_ratios = ratios(|turn| turn.cpu_micros);
        let least = cpu_ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let most = cpu_ratios.iter().copied().fold(0.0, f64::max);
        Self {
            name: name.to_owned(),
            cpu_micros: median(all(|turn| turn.cpu_micros)),
            cpu_ratio: median(cpu_ratios),
            spread: [least, most],
            p50_micros: median(all(|turn| turn.p50_micros)),
            p50_ratio: median(ratios(|turn| turn.p50_micros)),
            p99_micros: median(all(|turn| turn.p99_micros)),
            p99_ratio: median(ratios(|turn| turn.p99_micros)),
            per_second: median(all(|turn| turn.per_second)),
        }
    }
}

pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// A rate of whole hundreds that a generator on one thread can keep.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bounded before it is made whole"
)]
pub(crate) fn rate(per_second: f64) -> NonZeroU64 {
    let hundreds = (per_second / 100.0).floor().clamp(1.0, 500.0) as u64;
    NonZeroU64::MIN.saturating_add(hundreds * 100 - 1)
}

pub(crate) fn loads(loads: &[Rows]) -> String {
    let mut text = format!(
        "| {:<24} | {:<24} | {:>6} | {:>5} | {:>11} | {:>6} | {:>5} | {:>6} | {:>5} | {:>6} |\n",
        "load",
        "server",
        "CPU µs",
        "ratio",
        "spread",
        "p50 µs",
        "ratio",
        "p99 µs",
        "ratio",
        "per s"
    );
    text.push_str("|---|---|---|---|---|---|---|---|---|---|\n");
    for Rows { shape, rows } in loads {
        let load = match shape.rate {
            None => shape.name.to_owned(),
            Some(rate) => format!("{}, {rate} per s", shape.name),
        };
        for row in rows {
            let spread = format!("{:.2}-{:.2}", row.spread[0], row.spread[1]);
            let _ = writeln!(
                text,
                "| {load:<24} | {:<24} | {:>6.1} | {:>5.2} | {spread:>11} | {:>6.0} | {:>5.2} | \
                 {:>6.0} | {:>5.2} | {:>6.0} |",
                row.name,
                row.cpu_micros,
                row.cpu_ratio,
                row.p50_micros,
                row.p50_ratio,
                row.p99_micros,
                row.p99_ratio,
                row.per_second
            );
        }
    }
    text
}

pub(crate) fn idle(idle: &[Idle]) -> String {
    let mut text = format!(
        "\n| {:<30} | {:>8} | {:>23} |\n|---|---|---|\n",
        "server", "idle MiB", "start to first answer ms"
    );
    for Idle { name, mebibytes, first_answer_millis } in idle {
        let _ = writeln!(text, "| {name:<30} | {mebibytes:>8.1} | {first_answer_millis:>24.0} |");
    }
    text
}

pub(crate) fn counted(figures: &[(Shape, Kind, Counted)]) -> String {
    let mut text = format!(
        "\n| {:<5} | {:<24} | {:>12} | {:>5} | {:>11} |\n|---|---|---|---|---|\n",
        "load", "server", "instructions", "ratio", "allocations"
    );
    for (shape, kind, Counted { instructions, allocations }) in figures {
        let floor = figures.iter().find(|(other, _, _)| other.name == shape.name);
        let ratio = floor.map_or(1.0, |(_, _, floor)| instructions / floor.instructions);
        let _ = writeln!(
            text,
            "| {:<5} | {:<24} | {instructions:>12.0} | {ratio:>5.2} | {allocations:>11.1} |",
            shape.name,
            kind.name()
        );
    }
    text
}

pub(crate) fn write(text: &str) -> anyhow::Result<()> {
    replace_between(&Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE), MARKS, text)
}
