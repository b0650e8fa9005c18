//! One tollgate in a process of its own, on a folder that outlives it.
//!
//! Ports are those that the system chose, read from the log; a process never outlives its `Node`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::form;
use crate::support::http;
use crate::support::process::Process;

/// Between two looks at something that is waited for.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Looks until there is an answer; gives it and how long it took, or `None` at the deadline.
pub(crate) async fn until<T>(
    limit: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> Option<(T, Duration)> {
    let begin = Instant::now();
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    loop {
        looks.tick().await;
        if let Some(found) = look().await {
            return Some((found, begin.elapsed()));
        }
        if begin.elapsed() > limit {
            return None;
        }
    }
}

/// Folders that a server is started on, again and again.
#[derive(Debug)]
pub(crate) struct Home {
    folder: TempDir,
    store: String,
}

impl Home {
    pub(crate) fn new(policy: &str) -> Self {
        Self::with_store(policy, form::store())
    }

    pub(crate) fn with_store(policy: &str, store: impl Into<String>) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let home = Self { folder, store: store.into() };
        std::fs::create_dir(home.path().join("policies")).expect("a folder for policies");
        std::fs::create_dir(home.data()).expect("a folder for data");
        std::fs::write(home.path().join("policies/policy.yaml"), policy).expect("a policy");
        home
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Whether anything is written.
    pub(crate) fn keeps(&self) -> bool {
        self.store != "memory"
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// The program with its arguments, without the settings of whoever runs the tests.
    pub(crate) fn command(&self, more: &[&str]) -> Command {
        self.command_on(&self.data(), more)
    }

    /// The same on another data folder.
    pub(crate) fn command_on(&self, data: &Path, more: &[&str]) -> Command {
        let mut command = Command::new(form::binary());
        command.env_clear().args(["serve", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        command.arg("--policies").arg(self.path().join("policies"));
        command.args(["--store", &self.store, "--data-dir"]).arg(data).args(more);
        command
    }

    pub(crate) fn start(&self) -> Node {
        self.start_with(&[])
    }

    pub(crate) fn start_with(&self, more: &[&str]) -> Node {
        Node::start(self.command(more))
    }

    /// With room for so many counters; the store that keeps nothing has no such bound.
    pub(crate) fn start_with_room(&self, counters: u32) -> Node {
        if self.store == "memory" {
            return self.start();
        }
        self.start_with(&["--max-counters", &counters.to_string()])
    }

    /// The size of all files in the data folder.
    pub(crate) fn data_bytes(&self) -> u64 {
        let files = std::fs::read_dir(self.data()).expect("the data folder");
        files.map(|file| file.expect("a file").metadata().map_or(0, |data| data.len())).sum()
    }
}

/// Runs a command by way of another program, which ends in `exec`.
pub(crate) fn by_way_of(program: &str, arguments: &[&str], command: &Command) -> Command {
    let mut outer = Command::new(program);
    outer.args(arguments).arg(command.get_program()).args(command.get_args()).env_clear();
    let path = crate::support::tools::environment("PATH").unwrap_or_default();
    outer.env("PATH", path);
    outer
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) process: Process,
    pub(crate) grpc: String,
    http: SocketAddr,
    pub(crate) spawned: Instant,
}

impl Node {
    /// Waits until it has said where it listens.
    pub(crate) fn start(command: Command) -> Self {
        let spawned = Instant::now();
        let mut process = Process::start(command);
        let grpc = process.value_logged("listening grpc=");
        let http = process.value_logged("listening http=");
        let http = http.parse().unwrap_or_else(|error| panic!("`{http}`: {error}"));
        Self { process, grpc, http, spawned }
    }

    /// Ends it as a crash does; gives the moment before and the moment when it was certainly gone.
    pub(crate) fn kill(&mut self) -> (Instant, Instant) {
        let before = Instant::now();
        self.process.kill();
        let after = Instant::now();
        let log = self.process.log();
        assert!(!log.contains("panicked"), "{log}");
        (before, after)
    }

    pub(crate) async fn metrics(&self) -> String {
        http(&self.http.to_string(), "GET", "/metrics", "").await.1
    }

    /// The value of a series, given up to its value; `None` when there is none.
    pub(crate) async fn metric(&self, series: &str) -> Option<f64> {
        let text = self.metrics().await;
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map(|value| value.parse().expect("a number"))
    }

    /// The status of `/readyz` and what it says of the store.
    pub(crate) async fn store_state(&self) -> (u16, String) {
        let (status, body) = http(&self.http.to_string(), "GET", "/readyz", "").await;
        let body: Value = serde_json::from_str(&body).expect("JSON");
        (status, body["parts"]["store"].as_str().unwrap_or_default().to_owned())
    }

    /// The largest value of all series of one name.
    pub(crate) async fn metric_max(&self, name: &str) -> Option<f64> {
        let text = self.metrics().await;
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse().ok()).reduce(f64::max)
    }

    /// Whether gauge and `/readyz` both say that what is decided does not last.
    pub(crate) async fn is_degraded(&self) -> bool {
        let (status, state) = self.store_state().await;
        let gauge = self.metric("tollgate_store_degraded").await;
        status == 200 && state.starts_with("degraded: ") && gauge == Some(1.0)
    }

    /// Whether gauge and `/readyz` both say that all is well.
    pub(crate) async fn is_healthy(&self) -> bool {
        let (status, state) = self.store_state().await;
        // A machine that is busy with other things may be slow at any time; that is said too, and no failure.
        status == 200 && (state == "ok" || state.starts_with("degraded: the disk is slow"))
    }

    /// Waits until everything answered until now is on disk: what is not is younger than the wait. A store that does not
    /// say has nothing on disk.
    pub(crate) async fn saved(&self) -> bool {
        let begin = Instant::now();
        let unsaved = "tollgate_store_unsaved_seconds";
        if self.metric(unsaved).await.is_none() {
            return false;
        }
        let saved = async || {
            let waited = begin.elapsed().as_secs_f64();
            let unsaved = self.metric(unsaved).await?;
            (unsaved == 0.0 || unsaved < waited).then_some(())
        };
        until(Duration::from_secs(30), saved).await.is_some()
    }

    /// Memory of the process.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(path).expect("a process that runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib * 1_024
    }
}

/// Waits for the end of a process; `None` when it runs on.
pub(crate) async fn end_of(
    process: &mut Process,
    limit: Duration,
) -> Option<(ExitStatus, Duration)> {
    until(limit, async || process.ended()).await
}
