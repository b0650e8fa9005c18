//! T-DISK-2 and T-ONE: a data folder that cannot be used, and one that another server uses.
//!
//! A server that must have its folder refuses with the cause and the next step; one that need not serves, and says so.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::caller::{CENTURY, Caller, Rule, policy};
use crate::figures::Figures;
use crate::form;
use crate::node::{Home, Node, by_way_of, end_of, until};
use crate::support::process::Process;

const WIDE: Rule = Rule { name: "wide", amount: 1_000 };

const REFUSED_MAX: Duration = Duration::from_secs(1);
const HEALED_MAX: Duration = Duration::from_secs(5);

fn home() -> Home {
    Home::new(&policy(&[WIDE.yaml(CENTURY, "")]))
}

/// How a server that must not start ended.
#[derive(Debug)]
struct Refusal {
    code: Option<i32>,
    took: Duration,
    log: String,
}

async fn refusal(command: Command) -> Refusal {
    let mut process = Process::start(command);
    let ended = end_of(&mut process, Duration::from_secs(10)).await;
    process.kill();
    let code = ended.and_then(|(status, _)| status.code());
    Refusal { code, took: ended.map_or(Duration::MAX, |(_, took)| took), log: process.log() }
}

impl Refusal {
    /// What is wrong with it, if anything: it must name the path, and after a semicolon what to do.
    fn faults(&self, what: &str, path: &Path) -> Vec<String> {
        let mut faults = Vec::new();
        if self.code.is_none_or(|code| code == 0) {
            faults.push(format!("{what}: it did not refuse: {:?}", self.code));
        }
        if self.took > REFUSED_MAX {
            faults.push(format!("{what}: it took {:?}", self.took));
        }
        let told = self.log.lines().find(|line| line.contains(&*path.to_string_lossy()));
        if !told.is_some_and(|line| line.contains("; ")) {
            faults.push(format!("{what}: no line names it and the next step:\n{}", self.log));
        }
        if self.log.contains("panicked") {
            faults.push(format!("{what}: it panicked:\n{}", self.log));
        }
        faults
    }
}

/// A folder that nobody may write to, not even root where something can be mounted; and how to start there.
fn read_only(home: &Home) -> (PathBuf, Option<&'static str>) {
    let folder = home.path().join("read-only");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o555)).unwrap();
    if std::fs::write(folder.join("probe"), "").is_err() {
        return (folder, None);
    }
    std::fs::remove_file(folder.join("probe")).unwrap();
    (folder, Some("mount --bind \"$0\" \"$0\" && mount -o remount,ro,bind \"$0\""))
}

/// The command in a mount namespace where the folder is read-only; `None` where that cannot be made.
fn started_read_only(home: &Home) -> Option<(PathBuf, Command)> {
    let (folder, mount) = read_only(home);
    let command = home.command_on(&folder, &[]);
    let Some(mount) = mount else { return Some((folder, command)) };
    let path = folder.to_str().expect("a readable path");
    let probe = Command::new("unshare").args(["-m", "sh", "-c", mount, path]).output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        return None;
    }
    let script = format!("{mount} && exec \"$@\"");
    let command = by_way_of("unshare", &["-m", "sh", "-c", &script, path], &command);
    Some((folder, command))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_cannot_be_used_is_refused_with_the_next_step() {
    let _turn = form::turn().await;
    let home = home();
    let mut figures = Figures::new("T-DISK-2-REFUSE");
    let file = home.path().join("file");
    std::fs::write(&file, "not a folder\n").unwrap();
    let mut slowest = Duration::ZERO;
    let mut check = async |what: &str, path: &Path, command: Command| {
        let refusal = refusal(command).await;
        slowest = slowest.max(refusal.took);
        refusal.faults(what, path)
    };
    let below = file.join("data");
    let mut faults = check("a file", &file, home.command_on(&file, &[])).await;
    faults.extend(check("below a file", &below, home.command_on(&below, &[])).await);
    let read_only = started_read_only(&home);
    figures.add("read_only", if read_only.is_some() { "tried" } else { "left-out" });
    if let Some((folder, command)) = read_only {
        faults.extend(check("a read-only folder", &folder, command).await);
    }
    figures.add_ms("refused_max", slowest).add("bound_ms", REFUSED_MAX.as_millis());
    for fault in faults {
        figures.hold(false, fault);
    }
    figures.finish();
}

/// A folder whose parent is missing is no mistake: it is made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_is_missing_is_made() {
    let _turn = form::turn().await;
    let mut figures = Figures::new("T-DISK-2-MISSING");
    let home = home();
    let folder = home.path().join("some/where/else");
    let mut process = Process::start(home.command_on(&folder, &[]));
    let serves = until(Duration::from_secs(10), async || {
        let is_listening = process.log().contains("listening http=");
        (is_listening || process.ended().is_some()).then_some(is_listening)
    });
    let is_serving = serves.await.is_some_and(|(is_listening, _)| is_listening);
    figures.add("serves", is_serving).add("is_made", folder.is_dir());
    figures.hold(is_serving && folder.is_dir(), format!("it is not made:\n{}", process.log()));
    figures.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_need_not_keep_anything_serves_and_heals() {
    let _turn = form::turn().await;
    let mut figures = Figures::new("T-DISK-2-SERVE");
    let home = home();
    let data = home.data();
    std::fs::remove_dir(&data).unwrap();
    std::fs::write(&data, "not a folder\n").unwrap();
    let mut node = home.start_with(&["--data-required", "false"]);
    let mut caller = Caller::connect(&node.grpc).await;
    caller.touch(WIDE, 0..100).await;
    let is_said = until(REFUSED_MAX, async || node.is_degraded().await.then_some(())).await;
    std::fs::remove_file(&data).unwrap();
    std::fs::create_dir(&data).unwrap();
    let healed = until(HEALED_MAX, async || node.is_healthy().await.then_some(())).await;
    let state = node.store_state().await.1;
    caller.touch(WIDE, 100..200).await;
    let is_saved = node.saved().await;
    node.kill();
    let node: Node = home.start();
    let used = Caller::connect(&node.grpc).await.used(WIDE, 0..200).await;
    let missing = used.iter().filter(|used| **used != 1).count();
    figures.add("said", is_said.is_some());
    figures.add_ms("healed", healed.map_or(Duration::MAX, |(_, took)| took));
    figures.add("bound_ms", HEALED_MAX.as_millis()).add("missing", missing);
    figures.hold(is_said.is_some(), "nothing said that it is degraded");
    figures.hold(healed.is_some(), format!("it did not heal within 5 s: {state}"));
    figures.hold(is_saved, "what was decided was not on disk within 30 s");
    figures.hold(missing == 0, "what was decided meanwhile is not there after a crash");
    figures.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_in_use_is_refused_and_its_server_goes_on() {
    let _turn = form::turn().await;
    let mut figures = Figures::new("T-ONE");
    let home = home();
    let node = home.start();
    let mut caller = Caller::connect(&node.grpc).await;
    caller.touch(WIDE, 0..10).await;
    let refusal = refusal(home.command(&[])).await;
    let mut faults = refusal.faults("a second server", &home.data());
    let says = ["in use", "another", "locked"].iter().any(|text| refusal.log.contains(text));
    if !says {
        faults.push(format!("nothing says that another one uses the folder:\n{}", refusal.log));
    }
    caller.touch(WIDE, 0..10).await;
    let used = caller.used(WIDE, 0..10).await;
    figures.add_ms("refused", refusal.took).add("bound_ms", REFUSED_MAX.as_millis());
    figures.hold(used.iter().all(|used| *used == 2), "the first server lost its counters");
    for fault in faults {
        figures.hold(false, fault);
    }
    figures.finish();
}
