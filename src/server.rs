//! The whole server from its parts: builds, joins, drains, in that order.
//!
//! Sockets, clock and stop signal are handed in, so a test runs all of it on port 0 at a chosen
//! time. After start nothing ends the process but the signal.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{self, Admin};
use crate::clock::Clock;
use crate::clock::discipline::Event;
use crate::grpc::json::DescriptorError;
use crate::grpc::rls::Rls;
use crate::grpc::{self, Workers};
use crate::metrics::Metrics;
use crate::policy::model::Mode;
use crate::policy::set::CounterSeed;
use crate::readiness::Readiness;
use crate::reports::Reports;
use crate::settings::{Data, Settings, StoreChoice};
use crate::socket::{BindError, Listener};
use crate::source::{Active, LoadError, PolicyFiles};
use crate::store::durable::{self, Closing, Place, Writer};
use crate::store::{Store, bound};
use crate::time::{Span, Timestamp};
use crate::usage::Usage;

/// Between visits to one shard of the store; all shards have their turn within some seconds.
const SWEEP_INTERVAL: Duration = Duration::from_millis(100);
/// Between two looks at the wall clock.
const CLOCK_INTERVAL: Duration = Duration::from_millis(100);
/// Between two lines in the log about steps that are not followed: a clock that flaps is told once.
const CLOCK_LOG_INTERVAL: Span = Span::from_seconds(60);
/// The process is gone so long after it stops to take calls, however slow the disk is; but the disk
/// has some time in any case.
const END_WITHIN: Duration = Duration::from_millis(1_900);
const CLOSE_LEAST: Duration = Duration::from_millis(300);
/// For threads to end that are told to; none of them waits for anything then.
const ABORT_WITHIN: Duration = Duration::from_millis(100);
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Store(#[from] durable::OpenError),
    #[error("no thread to answer calls with: {0}")]
    Workers(std::io::Error),
    #[error("no random numbers from the operating system: {0}")]
    Random(getrandom::Error),
    #[error("metrics cannot be set up: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    #[error("reflection cannot be set up: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    #[error(transparent)]
    Descriptors(#[from] DescriptorError),
}

/// The sockets of a server, bound before it runs.
#[derive(Debug)]
pub struct Listeners {
    pub grpc: Vec<Listener>,
    pub http: Option<Listener>,
}

impl Listeners {
    pub async fn bind(settings: &Settings) -> Result<Self, BindError> {
        let mut grpc = Vec::with_capacity(settings.grpc.len());
        for address in &settings.grpc {
            grpc.push(Listener::bind(address).await?);
        }
        let http = match &settings.http {
            Some(address) => Some(Listener::bind(address).await?),
            None => None,
        };
        Ok(Self { grpc, http })
    }

    fn log(&self) {
        for listener in &self.grpc {
            tracing::info!(grpc = %listener.address(), "listening");
        }
        match &self.http {
            Some(listener) => tracing::info!(http = %listener.address(), "listening"),
            None => tracing::info!(http = "off", "no health, metrics and /json"),
        }
    }
}

/// A server that is ready to run: its policies are loaded.
#[derive(Debug)]
pub struct Server {
    rls: Rls,
    readiness: Readiness,
    policy_files: PolicyFiles,
    /// Of a store that is written to disk.
    writer: Option<Writer>,
    drain_delay: Duration,
    drain_timeout: Duration,
    workers: Workers,
    routes: axum::Router,
}

impl Server {
    pub fn build(settings: &Settings, clock: Clock) -> Result<Self, BuildError> {
        let metrics = Arc::new(Metrics::new()?);
        metrics.shadow_mode.set(f64::from(u8::from(settings.mode == Mode::Shadow)));
        let readiness = Readiness::default();
        let usage = Arc::new(Usage::new(settings.usage));
        let Kept { store, seed, writer } = keep(settings, &usage, clock.now())?;
        let policy_files = PolicyFiles::load(
            &settings.policies,
            seed,
            settings.policy_options(),
            Arc::clone(&metrics),
            clock.clone(),
        )?;
        let active = Arc::clone(policy_files.active());
        let is_kept = settings.store == StoreChoice::Durable;
        if !is_kept && active.current().set.rules().any(|(_, rule)| rule.is_strict) {
            tracing::warn!("rules are `strict`, which the store `memory` cannot keep: it forgets");
        }
        let reports = Arc::new(Reports::default());
        let rls = Rls { active, store, clock, metrics, reports, usage };
        let message_size_max = settings.message_size_max;
        let front = grpc::services(rls.clone(), readiness.clone(), message_size_max)?;
        let workers = Workers::start(settings.workers, &front).map_err(BuildError::Workers)?;
        let admin = Admin {
            readiness: readiness.clone(),
            active: Arc::clone(&rls.active),
            metrics: Arc::clone(&rls.metrics),
            store: Arc::clone(&rls.store),
            clock: rls.clock.clone(),
            reports: Arc::clone(&rls.reports),
        };
        let routes = admin::router(admin, grpc::json::routes(rls.clone(), message_size_max)?);
        Ok(Self {
            rls,
            readiness,
            policy_files,
            writer,
            drain_delay: settings.drain_delay,
            drain_timeout: settings.drain_timeout,
            workers,
            routes,
        })
    }

    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.rls.metrics
    }

    pub fn active(&self) -> &Arc<Active> {
        &self.rls.active
    }

    /// Serves until `stop`, goes on for the delay while readiness says no, then answers what is on
    /// its way, for as long as the drain may take.
    pub async fn run(self, listeners: Listeners, stop: CancellationToken) {
        let Self { rls, readiness, policy_files, writer, workers, routes, .. } = self;
        let writing = writer.and_then(|writer| start_writing(writer, &rls.clock));
        // Background work, the accepting of calls and the HTTP side end one after the other.
        let (background, accepting, http) =
            (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        // The policies were loaded before: whoever reads where we listen may ask at once.
        readiness.policies_in_force();
        listeners.log();
        let tasks = TaskTracker::new();
        tasks.spawn(policy_files.watch(background.clone()));
        tasks.spawn(until(background.clone(), sweep(rls.clone())));
        tasks.spawn(until(background.clone(), follow_wall_clock(rls.clone())));
        tasks.spawn(until(background.clone(), keep_up(rls.clone())));
        let ends = workers.ends();
        let serving = tasks.spawn({
            let (metrics, accepting) = (Arc::clone(&rls.metrics), accepting.clone());
            async move { grpc::serve(workers, listeners.grpc, &metrics, &accepting).await }
        });
        if let Some(listener) = listeners.http {
            let (metrics, stop) = (Arc::clone(&rls.metrics), http.clone());
            tasks.spawn(async move { admin::serve(routes, listener, &metrics, &stop).await });
        }
        tasks.close();

        stop.cancelled().await;
        if !self.drain_delay.is_zero() {
            // Who sends calls here hears of it only in a moment, and must find nobody gone before.
            readiness.leaving();
            tracing::info!(delay = ?self.drain_delay, "told to stop; still answering everything");
            tokio::time::sleep(self.drain_delay).await;
        }
        tracing::info!("told to stop; answering what is on its way");
        let stopped = rls.clock.steady();
        readiness.draining();
        background.cancel();
        accepting.cancel();
        let drained = tokio::time::timeout(self.drain_timeout, async {
            let _ = serving.await;
            http.cancel();
            tasks.wait().await;
        });
        let drained = drained.await;
        // What is not answered by now is not decided after the last write either.
        ends.abort.cancel();
        let _ = tokio::time::timeout(ABORT_WITHIN, ends.ended.cancelled()).await;
        if let Some(writing) = writing {
            let taken = rls.clock.steady().minus(stopped).to_duration();
            let left = END_WITHIN.saturating_sub(taken).max(CLOSE_LEAST);
            // Waits for the disk, after the last answer, but not for ever.
            let closed = tokio::task::spawn_blocking(|| writing.close());
            if tokio::time::timeout(left, closed).await.is_err() {
                tracing::warn!("stopped before the last hits were on disk, which is slow");
            }
        }
        match drained {
            Ok(()) => tracing::info!("stopped"),
            Err(_) => tracing::warn!("stopped with connections still open"),
        }
    }
}

fn random_seed() -> Result<[u64; 2], BuildError> {
    let word = || getrandom::u64().map_err(BuildError::Random);
    Ok([word()?, word()?])
}

/// A store, what its counters are kept under, and who writes it down.
struct Kept {
    store: Arc<Store>,
    seed: CounterSeed,
    writer: Option<Writer>,
}

fn keep(settings: &Settings, usage: &Arc<Usage>, now: Timestamp) -> Result<Kept, BuildError> {
    let seed = random_seed()?;
    let (store, seed, writer) = match settings.store {
        StoreChoice::Memory => (Store::memory(), seed, None),
        StoreChoice::Durable => {
            let Data { directory, on_damage, is_required } = settings.data.clone();
            let place = Place { directory, on_damage, is_required, seed };
            let opened = durable::open(place, usage, now)?;
            let directory = settings.data.directory.display();
            if !opened.store.status().is_failing() {
                tracing::info!(
                    %directory,
                    restored = opened.restored,
                    "counters are kept; a crash forgets no hit older than {} ms when the process \
                     is killed, {} ms when power is lost",
                    durable::PROMISE_KILL.as_nanos() / 1_000_000,
                    durable::PROMISE_POWER.as_nanos() / 1_000_000,
                );
            }
            (Store::Durable(opened.store), opened.seed, Some(opened.writer))
        }
    };
    let (counters_max, reason) = match settings.max_counters {
        Some(max) => (max, "as it is set".to_owned()),
        None => bound::default_counters_max(),
    };
    tracing::info!(counters_max, "the most counters at a time, {reason}");
    let found = store.counters().counter_count();
    store.counters().set_counters_max(counters_max, now);
    let given_up = found.saturating_sub(store.counters().counter_count());
    if given_up > 0 {
        tracing::warn!(found, given_up, "more counters were found than are held at a time");
    }
    Ok(Kept { store: Arc::new(store), seed: CounterSeed(seed), writer })
}

/// Decisions go on without it, and whoever asks is told.
fn start_writing(writer: Writer, clock: &Clock) -> Option<Closing> {
    let store = Arc::clone(writer.store());
    writer
        .spawn(clock.clone())
        .inspect_err(|error| {
            tracing::error!(%error, "no thread to write counters with");
            store.cannot_write(error.to_string());
        })
        .ok()
}

async fn until(stop: CancellationToken, work: impl Future<Output = ()>) {
    let _ = stop.run_until_cancelled(work).await;
}

/// Forgets idle counters, one shard at a time, for ever.
async fn sweep(rls: Rls) {
    let mut turn = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        turn.tick().await;
        rls.store.counters().sweep_step(rls.clock.now());
    }
}

/// Looks whether somebody set the wall clock, for ever.
async fn follow_wall_clock(rls: Rls) {
    let mut turn = tokio::time::interval(CLOCK_INTERVAL);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut told, mut is_told): (Option<Span>, bool) = (None, false);
    loop {
        turn.tick().await;
        let Some(observed) = rls.clock.observe(|by| rls.store.shift(by)) else { return };
        rls.metrics.clock_observed(&observed);
        let now = rls.clock.steady();
        let is_due = told.is_none_or(|told| now >= told.plus(CLOCK_LOG_INTERVAL));
        match observed.event {
            Some(Event::Seen { by, settling }) if is_due => {
                (told, is_told) = (Some(now), true);
                tracing::warn!(
                    by = %Step(by),
                    "the wall clock was set; limits go on as if it had not been, and follow when \
                     it has stayed so for {settling}"
                );
            }
            Some(Event::Withdrawn) if is_told => {
                is_told = false;
                tracing::info!("the wall clock is where it was before; limits never left it");
            }
            Some(Event::Followed { by }) => {
                is_told = false;
                tracing::warn!(
                    by = %Step(by),
                    "the wall clock has stayed as it was set; limits follow it from here on, and \
                     what is used stays used"
                );
            }
            Some(Event::Seen { .. } | Event::Withdrawn) | None => {}
        }
    }
}

/// By how many nanoseconds a clock was set, as people say it.
struct Step(i64);

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = if self.0 > 0 { "ahead" } else { "back" };
        write!(f, "{} {direction}", Span::from_nanos(self.0.unsigned_abs()))
    }
}

async fn keep_up(rls: Rls) {
    let mut turn = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        turn.tick().await;
        // Some hundred thousand samples under load: not on a thread that answers calls.
        let metrics = Arc::clone(&rls.metrics);
        let _ = tokio::task::spawn_blocking(move || metrics.upkeep()).await;
        if let Store::Memory(_) = *rls.store {
            // Nobody writes it down: what would go to disk is forgotten, or it would pile up.
            rls.usage.changes(rls.clock.now());
            rls.usage.saved();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_read_as_people_say_them() {
        assert_eq!(Step(3_600_000_000_000).to_string(), "1h ahead");
        assert_eq!(Step(-1_500_000_000).to_string(), "1.500s back");
    }
}
