//! Sends the load: connections, calls in flight on each, and when every call is due.
//!
//! In an open loop a latency counts from the time at which the call was due, so a server that
//! stalls is charged with every call it held up, not with the one that happened to be under way.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::Context as _;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

use super::keys::{Distribution, KeyDraw};
use super::report::{Report, Tally};
use super::template::RequestTemplate;
use crate::clock::Clock;
use crate::pb::rls::rate_limit_service_client::RateLimitServiceClient;
use crate::socket::Address;
use crate::time::Span;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// What to send where, how fast and for how long.
#[derive(Clone, Debug)]
pub struct Load {
    pub target: Address,
    pub template: RequestTemplate,
    pub keys: u64,
    pub distribution: Distribution,
    pub seed: u64,
    pub connections: usize,
    /// Calls in flight on each connection.
    pub streams: usize,
    pub end: End,
    /// Calls that begin this early are sent, and not counted.
    pub warmup: Span,
    /// Calls per second, whether or not answers come; `None` sends the next call of a stream when
    /// its last one is answered.
    pub rate: Option<NonZeroU64>,
    pub timeout: Span,
    /// Grows by one with every call that has ended, those of the warm-up included, for whoever
    /// watches.
    pub ended: Arc<AtomicU64>,
}

#[derive(Clone, Copy, Debug)]
pub enum End {
    After(Span),
    Requests(u64),
}

/// What all streams of a run share.
#[derive(Debug)]
struct Run {
    load: Load,
    clock: Clock,
    /// In nanoseconds of the steady clock, as all times here.
    start: u64,
    warm: u64,
    next: AtomicU64,
    /// Numbers given to calls that count, of which a closed loop may end after some.
    counted: AtomicU64,
    pace: Option<Pace>,
}

/// When the calls of an open loop are due. A permit is a call that is due.
#[derive(Debug)]
struct Pace {
    rate: NonZeroU64,
    /// Calls of the whole run, warm-up included, and those of the warm-up.
    total: u64,
    warmup: u64,
    due: Semaphore,
}

/// Leave to send one call.
#[derive(Clone, Copy, Debug)]
struct Ticket {
    number: u64,
    /// From when its latency counts.
    begun: u64,
}

/// Runs a load to its end.
pub async fn drive(load: Load, clock: Clock) -> anyhow::Result<Report> {
    let mut channels = Vec::new();
    for _ in 0..load.connections {
        channels.push(connect(&load.target, load.streams).await?);
    }
    let run = Arc::new(Run::new(load, clock));
    let pacer = run.start_pacer()?;
    let mut streams = JoinSet::new();
    let mut tallies = Vec::new();
    for channel in channels {
        let tally = Arc::new(Mutex::new(Tally::new()?));
        for _ in 0..run.load.streams {
            // Far apart, so that no two streams draw the same numbers.
            let seed = run.load.seed ^ (streams.len() as u64).wrapping_mul(0xD6E8_FEB8_6659_FD93);
            let keys = KeyDraw::new(run.load.keys, run.load.distribution, seed);
            let (run, channel, tally) = (Arc::clone(&run), channel.clone(), Arc::clone(&tally));
            streams.spawn(async move { run.stream(channel, keys, &tally).await });
        }
        tallies.push(tally);
    }
    while let Some(ended) = streams.join_next().await {
        ended.context("a stream of calls broke down")?;
    }
    let finished = run.now();
    if let Some(pacer) = pacer {
        pacer.thread().unpark();
    }
    let mut sum = Tally::new()?;
    for tally in tallies {
        sum.add(&tally.lock())?;
    }
    Ok(run.report(sum, finished))
}

async fn connect(target: &Address, streams: usize) -> anyhow::Result<Channel> {
    let uri = match target {
        Address::Tcp(address) => format!("http://{address}"),
        Address::Unix(path) => format!("unix:{}", path.display()),
        Address::Abstract(name) => format!("unix:\0{name}"),
    };
    let endpoint = Endpoint::from_shared(uri)
        .with_context(|| format!("`{target}` cannot be called"))?
        .tcp_nodelay(true)
        .buffer_size(streams);
    endpoint.connect().await.map_err(|error| {
        let cause = root_cause(&error).to_string();
        anyhow::anyhow!(
            "cannot connect to `{target}`: {cause}; `--target` is the gRPC address of a running \
             server"
        )
    })
}

/// The library says no more than "transport error"; what happened is at the end of the chain.
fn root_cause<'e>(error: &'e (dyn std::error::Error + 'static)) -> &'e dyn std::error::Error {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause
}

impl Run {
    fn new(load: Load, clock: Clock) -> Self {
        let pace = load.rate.map(|rate| Pace::new(rate, load.warmup, load.end));
        let start = clock.steady().as_nanos();
        Self {
            start,
            warm: start.saturating_add(load.warmup.as_nanos()),
            load,
            clock,
            next: AtomicU64::new(0),
            counted: AtomicU64::new(0),
            pace,
        }
    }

    fn now(&self) -> u64 {
        self.clock.steady().as_nanos()
    }

    /// Calls one after the other, until there are no more tickets.
    async fn stream(&self, channel: Channel, mut keys: KeyDraw, tally: &Mutex<Tally>) {
        let mut client = RateLimitServiceClient::new(channel);
        while let Some(ticket) = self.ticket().await {
            let key = keys.draw(ticket.number);
            let mut call = tonic::Request::new(self.load.template.filled(key));
            call.set_timeout(self.load.timeout.to_duration());
            let answer = client.should_rate_limit(call).await;
            let latency = Span::from_nanos(self.now().saturating_sub(ticket.begun));
            self.load.ended.fetch_add(1, Ordering::Relaxed);
            if ticket.begun >= self.warm {
                let answer = answer.map(tonic::Response::into_inner);
                tally.lock().record(answer, latency);
            }
        }
    }

    async fn ticket(&self) -> Option<Ticket> {
        let Some(pace) = &self.pace else {
            return self.closed_ticket();
        };
        pace.due.acquire().await.ok()?.forget();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let is_over = match self.load.end {
            End::After(span) => self.now() >= self.warm.saturating_add(span.as_nanos()),
            End::Requests(_) => false,
        };
        let begun = self.start.saturating_add(pace.due_after(number));
        (number < pace.total && !is_over).then_some(Ticket { number, begun })
    }

    fn closed_ticket(&self) -> Option<Ticket> {
        let begun = self.now();
        let goes_on = match self.load.end {
            End::After(span) => begun < self.warm.saturating_add(span.as_nanos()),
            End::Requests(count) => {
                begun < self.warm || self.counted.fetch_add(1, Ordering::Relaxed) < count
            }
        };
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        goes_on.then_some(Ticket { number, begun })
    }

    /// A thread of its own releases the calls of an open loop: the runtime's timers are exact to
    /// the millisecond only.
    fn start_pacer(self: &Arc<Self>) -> anyhow::Result<Option<thread::JoinHandle<()>>> {
        if self.pace.is_none() {
            return Ok(None);
        }
        let run = Arc::clone(self);
        let pacer = thread::Builder::new().name("pacer".to_owned()).spawn(move || run.release());
        Ok(Some(pacer.context("cannot start the thread that paces the load")?))
    }

    fn release(&self) {
        let Some(pace) = &self.pace else { return };
        let mut released = 0;
        while released < pace.total {
            let since = self.now().saturating_sub(self.start);
            let due = pace.due_by(since);
            pace.due.add_permits(permits(due - released));
            released = due;
            if released < pace.total {
                let wait = pace.due_after(released).saturating_sub(since);
                thread::park_timeout(Span::from_nanos(wait).to_duration());
            }
        }
        // Every stream learns from one more permit that there are no more calls.
        pace.due.add_permits(self.load.connections.saturating_mul(self.load.streams));
    }

    fn report(&self, tally: Tally, finished: u64) -> Report {
        let due = self.pace.as_ref().map_or(0, |pace| pace.total - pace.warmup);
        Report {
            load: self.load.describe(),
            elapsed: Span::from_nanos(finished.saturating_sub(self.warm)),
            unsent: due.saturating_sub(tally.call_count()),
            tally,
        }
    }
}

impl Pace {
    fn new(rate: NonZeroU64, warmup: Span, end: End) -> Self {
        let warmup = calls_within(rate, warmup.as_nanos());
        let total = match end {
            End::Requests(count) => warmup.saturating_add(count),
            End::After(span) => warmup.saturating_add(calls_within(rate, span.as_nanos())),
        };
        Self { rate, total, warmup, due: Semaphore::new(0) }
    }

    /// When a call is due, in nanoseconds from the start.
    fn due_after(&self, number: u64) -> u64 {
        let nanos = (u128::from(number) * NANOS_PER_SECOND).div_ceil(self.rate.get().into());
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }

    /// Calls due by a time: one at the very start.
    fn due_by(&self, nanos: u64) -> u64 {
        let passed = u128::from(nanos) * u128::from(self.rate.get()) / NANOS_PER_SECOND;
        u64::try_from(passed + 1).map_or(self.total, |due| due.min(self.total))
    }
}

/// Calls that are due before a span from the start is over.
fn calls_within(rate: NonZeroU64, nanos: u64) -> u64 {
    let calls = (u128::from(nanos) * u128::from(rate.get())).div_ceil(NANOS_PER_SECOND);
    u64::try_from(calls).unwrap_or(u64::MAX)
}

/// No run is long enough for more permits than a semaphore holds.
fn permits(calls: u64) -> usize {
    usize::try_from(calls).map_or(Semaphore::MAX_PERMITS, |calls| calls.min(Semaphore::MAX_PERMITS))
}

impl Load {
    fn describe(&self) -> String {
        let (connections, streams) = (self.connections, self.streams);
        let plural = if connections == 1 { "" } else { "s" };
        let offered = match self.rate {
            None => "closed loop".to_owned(),
            Some(rate) => format!("open loop at {rate} per second"),
        };
        format!("{connections} connection{plural} x {streams} in flight, {offered}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(rate: u64, warmup: Span, end: End) -> Pace {
        Pace::new(NonZeroU64::new(rate).unwrap(), warmup, end)
    }

    #[test]
    fn calls_of_an_open_loop_are_due_evenly() {
        let pace = pace(1_000, Span::ZERO, End::After(Span::from_seconds(2)));
        assert_eq!((pace.total, pace.warmup), (2_000, 0));
        assert_eq!(pace.due_after(0), 0);
        assert_eq!(pace.due_after(1_500), 1_500_000_000);
        assert_eq!(pace.due_by(0), 1);
        assert_eq!(pace.due_by(999_999), 1);
        assert_eq!(pace.due_by(1_000_000), 2);
        assert_eq!(pace.due_by(u64::MAX), 2_000);
    }

    #[test]
    fn every_call_is_due_when_its_time_has_come() {
        for rate in [1, 3, 7, 999, 1_000_003] {
            let pace = pace(rate, Span::ZERO, End::Requests(10_000));
            for number in 0..10_000 {
                let due = pace.due_after(number);
                assert_eq!(pace.due_by(due), number + 1);
                assert!(due == 0 || pace.due_by(due - 1) <= number);
            }
        }
    }

    #[test]
    fn warm_up_comes_before_the_calls_that_count() {
        let pace = pace(100, Span::from_seconds(3), End::Requests(50));
        assert_eq!((pace.total, pace.warmup), (350, 300));
    }
}
