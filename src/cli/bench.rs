//! `tollgate bench`: drives an RLS server and prints how it answered.
//!
//! A run is a success only if every call was answered, so that a script can rely on its figures.

use std::num::{NonZeroU32, NonZeroU64};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{FAILED, USAGE, complain};
use crate::bench::drive::{End, Load, drive};
use crate::bench::keys::Distribution;
use crate::bench::report::Report;
use crate::bench::template::{DescriptorTemplate, RequestTemplate};
use crate::clock::Clock;
use crate::socket::Address;
use crate::time::Span;

/// As many as a connection of Envoy carries.
const STREAMS_MAX: u64 = 1_024;
const CONNECTIONS_MAX: u64 = 1_024;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: how fast is a server when 2 connections keep 32 calls each in flight?
  tollgate bench --domain quickstart --descriptor 'tenant=t{key}' --keys 1000 --connections 2 \
--streams 32

Exit codes: 0 every call was answered, 1 a call failed or the server cannot be reached, 2 wrong \
usage.")]
pub(super) struct Arguments {
    /// Server to drive: `host:port` or `unix:/path`
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081", value_parser = Address::parse)]
    target: Address,

    /// Domain of every request
    #[arg(long)]
    domain: String,

    /// A descriptor of every request, such as `tenant=t{key},method=GET`; `{key}` becomes the key
    /// number that the request is about. Repeat it for several descriptors in one request
    #[arg(
        long = "descriptor",
        value_name = "KEY=VALUE,...",
        required = true,
        value_parser = DescriptorTemplate::parse
    )]
    descriptors: Vec<DescriptorTemplate>,

    /// Draw key numbers from 0 to one less than this
    #[arg(long, value_name = "N", default_value = "1", value_parser = positive::<NonZeroU64>)]
    keys: NonZeroU64,

    /// How often each key number comes
    #[arg(long, value_enum, default_value_t = Distribution::Uniform)]
    distribution: Distribution,

    /// Runs with the same seed draw the same key numbers
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Hits that every request takes
    #[arg(long, value_name = "N", default_value = "1", value_parser = positive::<NonZeroU32>)]
    hits: NonZeroU32,

    /// Connections to open
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=CONNECTIONS_MAX)
    )]
    connections: usize,

    /// Calls in flight on each connection
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=STREAMS_MAX)
    )]
    streams: usize,

    /// Send for this long, such as `10s` or `500ms`
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = positive_span)]
    duration: Span,

    /// Send this many requests, however long it takes
    #[arg(long, value_name = "N", conflicts_with = "duration", value_parser = positive::<NonZeroU64>)]
    requests: Option<NonZeroU64>,

    /// Send requests at this rate per second, answered or not, and count latencies from the time
    /// each was due. Without it, a stream sends its next request when it has its answer
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<NonZeroU64>,

    /// Send for this long first, without counting
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = span)]
    warmup: Span,

    /// Give up on an answer after this long
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = positive_span)]
    timeout: Span,

    /// How the result is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One JSON document
    Json,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let load = arguments.load();
    if arguments.keys.get() > 1 && !load.template.is_numbered() {
        complain(&format_args!(
            "`--keys {}` has no effect: no value of a `--descriptor` has `{{key}}` in it",
            arguments.keys
        ));
        return ExitCode::from(USAGE);
    }
    match measure(load) {
        Err(error) => {
            complain(&format_args!("{error:#}"));
            ExitCode::from(FAILED)
        }
        Ok(report) => {
            let text = match arguments.format {
                Format::Text => report.text(),
                Format::Json => report.json(),
            };
            super::print(&text).err().unwrap_or_else(|| finish(&report, &arguments.target))
        }
    }
}

/// Failed calls are told on standard error as well, where whoever only keeps the report sees them.
fn finish(report: &Report, target: &Address) -> ExitCode {
    let failed = report.tally.failure_count();
    let calls = report.tally.call_count();
    if calls == 0 {
        complain(&"no call was answered in time to be counted; allow a longer `--duration`");
        return ExitCode::from(FAILED);
    }
    if failed == 0 {
        return ExitCode::SUCCESS;
    }
    complain(&format_args!("{failed} of {calls} calls failed; the report says why"));
    if report.tally.looks_unlike_grpc() {
        anstream::eprintln!(
            "hint: `{target}` does not look like the gRPC port of a rate limit service; `--target` is \
             what `--grpc` of the server says"
        );
    }
    ExitCode::from(FAILED)
}

/// One thread for each connection, as far as there are processors; a single one needs no others.
fn measure(load: Load) -> anyhow::Result<Report> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let runtime = match processors.min(load.connections) {
        1 => tokio::runtime::Builder::new_current_thread().enable_all().build(),
        threads => {
            tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()
        }
    };
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let report = runtime?.block_on(async {
        let clock = Clock::system();
        let watch = (!bar.is_hidden()).then(|| watch(bar.clone(), &load, clock.clone()));
        let watching = watch.map(tokio::spawn);
        let report = drive(load, clock).await;
        if let Some(watching) = watching {
            watching.abort();
        }
        report
    });
    bar.finish_and_clear();
    report
}

/// How long the bar stands still.
const PROGRESS_STEP: Duration = Duration::from_millis(100);

/// Moves the bar until it is dropped. A terminal alone sees it.
fn watch(bar: ProgressBar, load: &Load, clock: Clock) -> impl Future<Output = ()> + use<> {
    let style = ProgressStyle::with_template("{bar:40} {percent:>3}%  {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let (end, warmup, ended) = (load.end, load.warmup, Arc::clone(&load.ended));
    async move {
        let begun = clock.steady();
        let mut steps = tokio::time::interval(PROGRESS_STEP);
        loop {
            steps.tick().await;
            let ended = ended.load(Ordering::Relaxed);
            let (position, length) = progress(end, warmup, clock.steady().minus(begun), ended);
            bar.set_length(length);
            bar.set_position(position);
            bar.set_message(format!("{ended} calls"));
        }
    }
}

/// How far a run is, of how much: in milliseconds or in calls, by what ends it.
fn progress(end: End, warmup: Span, passed: Span, ended: u64) -> (u64, u64) {
    let millis = |span: Span| span.as_nanos() / 1_000_000;
    let (position, length) = match end {
        End::After(span) => (millis(passed), millis(warmup.plus(span))),
        End::Requests(count) => (ended, count),
    };
    (position.min(length), length)
}

impl Arguments {
    fn load(&self) -> Load {
        Load {
            target: self.target.clone(),
            template: RequestTemplate {
                domain: self.domain.clone().into(),
                descriptors: self.descriptors.clone(),
                hits: self.hits.get(),
            },
            keys: self.keys.get(),
            distribution: self.distribution,
            seed: self.seed,
            connections: self.connections,
            streams: self.streams,
            end: match self.requests {
                Some(requests) => End::Requests(requests.get()),
                None => End::After(self.duration),
            },
            warmup: self.warmup,
            rate: self.rate,
            timeout: self.timeout,
            ended: Arc::default(),
        }
    }
}

fn positive<N: FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| "write a whole number of at least 1".to_owned())
}

/// No more than anything can send, so that what is due can be counted.
fn rate(text: &str) -> Result<NonZeroU64, String> {
    const MAX: u64 = 100_000_000;
    let rate = text.parse().ok().filter(|rate: &NonZeroU64| rate.get() <= MAX);
    rate.ok_or_else(|| format!("write a whole number from 1 to {MAX}"))
}

/// `10s`, `500ms`, `1m 30s`.
fn span(text: &str) -> Result<Span, String> {
    let wrong = || format!("`{text}` is not a time; write it such as `10s` or `500ms`");
    let duration: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    let nanos = u64::try_from(duration.as_nanos()).map_err(|_| wrong())?;
    Ok(Span::from_nanos(nanos))
}

fn positive_span(text: &str) -> Result<Span, String> {
    match span(text)? {
        Span::ZERO => Err("the time must be longer than 0".to_owned()),
        span => Ok(span),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_by_what_ends_the_run() {
        let (warmup, second) = (Span::from_seconds(1), Span::from_seconds(1));
        let after = |passed| progress(End::After(Span::from_seconds(4)), warmup, passed, 7);
        assert_eq!(after(Span::ZERO), (0, 5_000));
        assert_eq!(after(second), (1_000, 5_000));
        assert_eq!(after(Span::from_seconds(60)), (5_000, 5_000));
        assert_eq!(progress(End::Requests(100), warmup, second, 7), (7, 100));
        // Calls of the warm-up are among those that ended.
        assert_eq!(progress(End::Requests(100), warmup, second, 130), (100, 100));
    }

    #[test]
    fn times_read_as_people_write_them() {
        for (text, parsed) in [
            ("10s", Some(Span::from_seconds(10))),
            ("500ms", Some(Span::from_millis(500))),
            ("1m 30s", Some(Span::from_seconds(90))),
            ("0s", Some(Span::ZERO)),
            ("-1s", None),
            ("10", None),
            ("soon", None),
        ] {
            assert_eq!(span(text).ok(), parsed, "{text}");
        }
        assert!(positive_span("0s").is_err());
    }
}
