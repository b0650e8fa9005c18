//! Where policies come from, and the set that is in force.
//!
//! One task reads, compiles and swaps. A candidate is taken whole or not at all: whatever is
//! wrong with it, the set in force stays. Readers take the published set once per request.

pub mod files;
mod notice;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::{Notify, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::metrics::{Metrics, SetMetrics};
use crate::policy::diagnostic::{Diagnostic, Severity};
use crate::policy::model::{Options, Source};
use crate::policy::set::{CounterSeed, PolicySet};
use crate::policy::{Compiled, diff};
use files::ReadError;
use notice::watch_folders;

/// How often texts are compared even if no change was notified: notices get lost on network file
/// systems, over links, and when a folder goes away and comes back.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// A change counts once two readings this far apart agree, so that no half-written file is taken.
const SETTLE_SPAN: Duration = Duration::from_millis(200);
/// A file that never stops changing is read all the same after so many tries: with the poll
/// interval before them a change is in force within two seconds.
const SETTLE_TRIES: u32 = 3;
/// A busy folder must not keep the task reading.
const READ_GAP: Duration = Duration::from_millis(50);
/// Bytes of an unknown domain that are logged.
const DOMAIN_SHOWN_MAX: usize = 100;
/// Changes named in the log line of one reload.
const CHANGES_NAMED_MAX: usize = 20;

/// A policy set and what is counted by its rules.
#[derive(Debug)]
pub struct Published {
    pub set: PolicySet,
    pub metrics: SetMetrics,
    /// Whether a call for a domain that this set does not have was logged.
    has_met_unknown_domain: AtomicBool,
}

impl Published {
    fn new(set: PolicySet, metrics: &Metrics) -> Self {
        let metrics = metrics.for_set(&set);
        Self { set, metrics, has_met_unknown_domain: AtomicBool::new(false) }
    }

    /// A misspelt domain means no limits at all, so the first call that names one is logged; only
    /// the first, because callers choose the text.
    pub fn met_unknown_domain(&self, domain: &[u8]) {
        if self.has_met_unknown_domain.swap(true, Ordering::Relaxed) {
            return;
        }
        let known = self.set.domains.iter().map(|domain| domain.name.as_ref());
        let known: Vec<&str> = known.take(CHANGES_NAMED_MAX).collect();
        let shown = &domain[..domain.len().min(DOMAIN_SHOWN_MAX)];
        tracing::warn!(
            domain = %shown.escape_ascii(),
            known = known.join(", "),
            "a call names a domain that no policy has, so it passes without limits; others are \
             only counted, in tollgate_unknown_domain_total"
        );
    }
}

/// How reloads went, for whoever waits for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reloads {
    /// Version of the set in force.
    pub version: u64,
    /// Candidates refused so far.
    pub failed_count: u64,
}

/// The set in force: read by every request, written by one task.
#[derive(Debug)]
pub struct Active {
    published: ArcSwap<Published>,
    reloads: watch::Sender<Reloads>,
}

impl Active {
    fn new(published: Published) -> Self {
        let (reloads, _) =
            watch::channel(Reloads { version: published.set.version, failed_count: 0 });
        Self { published: ArcSwap::from_pointee(published), reloads }
    }

    pub fn current(&self) -> Guard<Arc<Published>> {
        self.published.load()
    }

    pub fn subscribe(&self) -> watch::Receiver<Reloads> {
        self.reloads.subscribe()
    }
}

/// Why there is no set to begin with.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the policies have problems")]
    Problems { sources: Vec<Source>, diagnostics: Vec<Diagnostic> },
}

/// What was last read, and tried: equal readings are no change.
type Reading = Result<Vec<Source>, ReadError>;

/// Reads the policy files and keeps what is in force up to date.
#[derive(Debug)]
pub struct PolicyFiles {
    paths: Arc<[PathBuf]>,
    seed: CounterSeed,
    options: Options,
    metrics: Arc<Metrics>,
    clock: Clock,
    active: Arc<Active>,
    last: Reading,
}

impl PolicyFiles {
    /// The first load; without it there is nothing to serve.
    pub fn load(
        paths: &[PathBuf],
        seed: CounterSeed,
        options: Options,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> Result<Self, LoadError> {
        let sources = files::read(paths)?;
        let Compiled { set, diagnostics } = compile(&sources, seed, &options);
        let Some(mut set) = set else {
            return Err(LoadError::Problems { sources, diagnostics });
        };
        set.version = 1;
        log_diagnostics(&sources, &diagnostics);
        metrics.reload_succeeded(&set, clock.now());
        let rule_count: usize = set.domains.iter().map(|domain| domain.rules.len()).sum();
        tracing::info!(
            files = sources.len(),
            domains = set.domains.len(),
            rules = rule_count,
            "policies in force"
        );
        let published = Published::new(set, &metrics);
        let active = Arc::new(Active::new(published));
        Ok(Self { paths: paths.into(), seed, options, metrics, clock, active, last: Ok(sources) })
    }

    pub fn active(&self) -> &Arc<Active> {
        &self.active
    }

    /// Takes every change into force, until told to stop.
    pub async fn watch(mut self, stop: CancellationToken) {
        let changed = Arc::new(Notify::new());
        let mut watcher = watch_folders(&self.paths, &changed);
        let mut poll = tokio::time::interval(POLL_INTERVAL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = changed.notified() => {}
                _ = poll.tick() => {}
            }
            if let Some(reading) = self.changed_reading().await {
                self.take(reading).await;
                // A folder that was replaced has lost its watch.
                watcher = watch_folders(&self.paths, &changed);
            }
            tokio::time::sleep(READ_GAP).await;
        }
        drop(watcher);
    }

    /// What the files say, once that has settled, if it is not what they said before.
    async fn changed_reading(&self) -> Option<Reading> {
        let mut reading = self.read().await?;
        if reading == self.last {
            return None;
        }
        for _ in 0..SETTLE_TRIES {
            tokio::time::sleep(SETTLE_SPAN).await;
            let again = self.read().await?;
            let is_settled = again == reading;
            reading = again;
            if is_settled {
                break;
            }
        }
        (reading != self.last).then_some(reading)
    }

    async fn read(&self) -> Option<Reading> {
        let paths = Arc::clone(&self.paths);
        tokio::task::spawn_blocking(move || files::read(&paths)).await.ok()
    }

    async fn take(&mut self, reading: Reading) {
        let candidate = match &reading {
            Ok(sources) => self.compile(sources.clone()).await,
            Err(error) => Err(error.to_string()),
        };
        match candidate {
            Ok(set) => self.publish(set),
            Err(problem) => self.refuse(&problem),
        }
        self.last = reading;
    }

    async fn compile(&self, sources: Vec<Source>) -> Result<PolicySet, String> {
        let (seed, options) = (self.seed, self.options.clone());
        // Large sets take a while to compile; requests go on meanwhile.
        let compiled = tokio::task::spawn_blocking(move || {
            let compiled = compile(&sources, seed, &options);
            log_diagnostics(&sources, &compiled.diagnostics);
            compiled
        });
        let Ok(Compiled { set, diagnostics }) = compiled.await else {
            return Err("the compiler failed on it; this is a fault of tollgate".to_owned());
        };
        set.ok_or_else(|| {
            let is_error = |found: &&Diagnostic| found.severity == Severity::Error;
            match diagnostics.iter().filter(is_error).count() {
                1 => "1 problem, listed above".to_owned(),
                count => format!("{count} problems, listed above"),
            }
        })
    }

    fn publish(&self, mut set: PolicySet) {
        let before = self.active.published.load_full();
        set.version = before.set.version + 1;
        let changes = named_changes(diff::changes(&before.set, &set));
        let version = set.version;
        self.metrics.reload_succeeded(&set, self.clock.now());
        let published = Published::new(set, &self.metrics);
        self.active.published.store(Arc::new(published));
        self.active.reloads.send_modify(|reloads| reloads.version = version);
        tracing::info!(version, changes, "policies reloaded");
    }

    fn refuse(&self, problem: &str) {
        self.metrics.reload_failed();
        self.active.reloads.send_modify(|reloads| reloads.failed_count += 1);
        let version = self.active.published.load().set.version;
        tracing::error!(version, problem, "policies not taken; the set in force stays");
    }
}

/// Compiles what was read. Files without a single policy are refused: nothing would be limited any
/// more, and that is also how a file looks that was cut off before it is written anew.
pub fn compile(sources: &[Source], seed: CounterSeed, options: &Options) -> Compiled {
    let mut compiled = crate::policy::compile(sources, seed, options);
    if compiled.set.as_ref().is_some_and(|set| set.domains.is_empty()) {
        compiled.set = None;
        for empty_file in &mut compiled.diagnostics {
            empty_file.severity = Severity::Error;
        }
    }
    compiled
}

fn named_changes(mut changes: Vec<String>) -> String {
    if changes.is_empty() {
        return "the same rules with the same limits".to_owned();
    }
    let more = changes.len().saturating_sub(CHANGES_NAMED_MAX);
    changes.truncate(CHANGES_NAMED_MAX);
    if more > 0 {
        changes.push(format!("and {more} more"));
    }
    changes.join("; ")
}

fn log_diagnostics(sources: &[Source], diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        let problem = crate::policy::render::line(sources, diagnostic);
        match diagnostic.severity {
            Severity::Error => tracing::error!("{problem}"),
            Severity::Warning => tracing::warn!("{problem}"),
        }
    }
}
