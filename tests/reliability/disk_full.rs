//! T-DISK-1: the disk is full while the server runs. Nobody is refused for it, it is said, and it heals by itself.
//!
//! Everywhere the server's writes are made to fail by a limit of file sizes, which needs no rights. Where a file system
//! can be mounted, one of 64 MiB fills up besides.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::caller::{CENTURY, Caller, Rule, policy};
use crate::crash::{KILL_BOUND, end};
use crate::figures::Figures;
use crate::form::{self, Dice, sized};
use crate::load::Load;
use crate::node::{Home, Node, by_way_of, until};
use crate::support::process::Process;

const WIDE: Rule = Rule { name: "wide", amount: 1_000_000 };
const FILLING: Rule = Rule { name: "filling", amount: 1_000_000 };
const KEYS: u32 = 200;

const TOLD_MAX: Duration = Duration::from_secs(1);
const HEALED_MAX: Duration = Duration::from_secs(5);

/// Answers while nothing can be written.
const ANSWERS_MEANWHILE: u64 = 1_000;

/// What happened from the moment when the disk was full.
#[derive(Debug, Default)]
struct Course {
    told: Option<Duration>,
    healed: Option<Duration>,
    failures: usize,
    /// What the server says of its store when it should be healed.
    state: String,
    lost: Duration,
    invented: u64,
}

impl Course {
    fn finish(&self, mut figures: Figures, rate: u32) {
        figures.add("rate", rate).add("failures", self.failures);
        figures.add_ms("told", self.told.unwrap_or(Duration::MAX));
        figures.add_ms("healed", self.healed.unwrap_or(Duration::MAX));
        figures.add_ms("lost_max", self.lost).add("invented", self.invented);
        figures.hold(self.failures == 0, "calls failed because of the disk");
        figures.hold(self.told.is_some_and(|took| took <= TOLD_MAX), "it was not said within 1 s");
        let is_healed = self.healed.is_some_and(|took| took <= HEALED_MAX);
        figures.hold(is_healed, format!("it did not heal within 5 s: {}", self.state));
        figures.hold(
            self.lost <= KILL_BOUND,
            format!("a hit of {:?} before the kill is lost", self.lost),
        );
        figures.hold(self.invented == 0, "more is counted than was asked for");
        figures.finish();
    }
}

async fn load(node: &Node, rate: u32) -> Load {
    let mut dice = Dice::new("disk full");
    Load::start(&node.grpc, rate, move || WIDE.key(dice.below(KEYS))).await
}

async fn degraded(node: &Node, limit: Duration) -> Option<Duration> {
    let said = until(limit, async || node.is_degraded().await.then_some(())).await;
    said.map(|(_, took)| took)
}

async fn healthy(node: &Node) -> Option<Duration> {
    let said = until(HEALED_MAX, async || node.is_healthy().await.then_some(())).await;
    said.map(|(_, took)| took)
}

/// Kills the healed server under its load and looks at what the next one restores.
async fn judge_after_kill(
    course: &mut Course,
    mut node: Node,
    load: Load,
    again: impl FnOnce() -> Node,
) {
    let crash = end(&mut node, load).await;
    course.failures = crash.failures().len();
    let node = again();
    let restored = Caller::connect(&node.grpc).await.used(WIDE, 0..KEYS).await;
    for (key, tally) in crash.tallies() {
        let restored = restored[usize::try_from(key.number).unwrap()];
        course.lost = course.lost.max(tally.lost(0, restored, crash.killed));
        course.invented += tally.invented(0, restored);
    }
}

/// Limits, or no longer limits, how large the files of a process may be.
fn limit_files(process: &Process, bytes: &str) {
    let process = process.id().to_string();
    let limit = format!("--fsize={bytes}:");
    let set = Command::new("prlimit").args(["--pid", &process, &limit]).status();
    assert!(set.expect("`prlimit` runs, of util-linux").success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_that_fail_fail_no_call_and_heal() {
    let _turn = form::turn().await;
    let mut figures = Figures::new("T-DISK-1");
    figures.add("way", "file-size-limit");
    let rate = sized(1_000, 5_000);
    let home = Home::new(&policy(&[WIDE.yaml(CENTURY, "")]));
    // The signal that goes with the limit would end the process; ignored, writes fail instead.
    let ignoring = ["-c", "trap '' XFSZ; exec \"$@\"", "sh"];
    let node = Node::start(by_way_of("sh", &ignoring, &home.command(&[])));
    let mut course = Course::default();
    let mut load = load(&node, rate).await;
    load.answers(ANSWERS_MEANWHILE).await;
    limit_files(&node.process, "4096");
    course.told = degraded(&node, TOLD_MAX).await;
    load.answers(ANSWERS_MEANWHILE).await;
    limit_files(&node.process, "unlimited");
    course.healed = healthy(&node).await;
    course.state = node.store_state().await.1;
    load.answers(ANSWERS_MEANWHILE).await;
    judge_after_kill(&mut course, node, load, || home.start()).await;
    course.finish(figures, rate);
}

/// A file system of its own, in a mount namespace that a process of its own keeps.
struct SmallDisk {
    keeper: Process,
    enter: Vec<String>,
}

impl SmallDisk {
    /// `None` where nothing can be mounted, or by nobody but root.
    fn mount(at: &Path) -> Option<Self> {
        let script = "mount -t tmpfs -o size=64m none \"$1\" && echo mounted >&2 && exec sleep 1d";
        for (unshare, enter) in
            [("-m", &["-m"][..]), ("-Urm", &["-U", "-m", "--preserve-credentials"][..])]
        {
            let probe = "mount -t tmpfs none \"$1\"";
            let mut tried = Command::new("unshare");
            tried.args([unshare, "sh", "-c", probe, "sh"]).arg(at);
            if !tried.output().is_ok_and(|tried| tried.status.success()) {
                continue;
            }
            let mut command = Command::new("unshare");
            command.args([unshare, "sh", "-c", script, "sh"]).arg(at);
            let mut keeper = Process::start(command);
            keeper.wait_for("mounted");
            let target = ["-t".to_owned(), keeper.id().to_string()];
            let enter = enter.iter().map(|part| (*part).to_owned());
            return Some(Self { enter: target.into_iter().chain(enter).collect(), keeper });
        }
        None
    }

    fn start(&self, command: &Command) -> Node {
        let arguments: Vec<&str> = self.enter.iter().map(String::as_str).chain(["--"]).collect();
        Node::start(by_way_of("nsenter", &arguments, command))
    }

    /// A path as it is inside.
    fn inside(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.keeper.id()));
        root.join(path.strip_prefix("/").expect("a whole path"))
    }

    /// Takes all the space that is left.
    fn fill(&self, path: &Path) {
        use std::io::Write as _;
        let mut filler = std::fs::File::create(self.inside(path)).expect("a file");
        while filler.write_all(&[0x55; 4_096]).is_ok() {}
    }
}

/// New counters until the server says that it cannot write them: how long it kept that to itself.
async fn fill_up(node: &Node) -> Option<Duration> {
    let mut caller = Caller::connect(&node.grpc).await;
    let mut numbers = (0..).step_by(2_000);
    let mut late = Duration::ZERO;
    let said = until(Duration::from_secs(30), async || {
        let from = numbers.next().expect("numbers without end");
        caller.touch(FILLING, from..from + 2_000).await;
        let unsaved = node.metric("tollgate_store_unsaved_seconds").await.unwrap_or(f64::MAX);
        let is_degraded = node.is_degraded().await;
        if !is_degraded {
            late = late.max(Duration::try_from_secs_f64(unsaved).unwrap_or(Duration::MAX));
        }
        is_degraded.then_some(())
    });
    said.await.map(|_| late)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fills_up_fails_no_call_and_heals() {
    let _turn = form::turn().await;
    let mut figures = Figures::new("T-DISK-1");
    figures.add("way", "small-disk");
    let rate = sized(500, 5_000);
    let home = Home::new(&policy(&[WIDE.yaml(CENTURY, ""), FILLING.yaml(CENTURY, "")]));
    let Some(disk) = SmallDisk::mount(&home.data()) else {
        figures.add("left_out", "nothing-can-be-mounted");
        figures.finish();
        return;
    };
    let node = disk.start(&home.command(&[]));
    let mut course = Course::default();
    let mut load = load(&node, rate).await;
    load.answers(ANSWERS_MEANWHILE).await;
    let filler = home.data().join("filler");
    disk.fill(&filler);
    course.told = fill_up(&node).await;
    load.answers(ANSWERS_MEANWHILE).await;
    std::fs::remove_file(disk.inside(&filler)).expect("the file that filled the disk");
    course.healed = healthy(&node).await;
    course.state = node.store_state().await.1;
    load.answers(ANSWERS_MEANWHILE).await;
    judge_after_kill(&mut course, node, load, || disk.start(&home.command(&[]))).await;
    course.finish(figures, rate);
}
