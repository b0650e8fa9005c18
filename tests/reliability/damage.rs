//! T-COR: a data file that is damaged never stops a server for long, is never trusted and never thrown away.
//!
//! What to do with it is the operator's choice: begin empty and keep the file aside, or refuse to start.

use std::path::PathBuf;
use std::time::Duration;

use crate::caller::{CENTURY, Caller, Rule, policy};
use crate::figures::Figures;
use crate::form::{self, Dice};
use crate::node::{Home, end_of};
use crate::support::process::Process;

const WIDE: Rule = Rule { name: "wide", amount: 1_000 };
const KEYS: u32 = 1_000;

const START_MAX: Duration = Duration::from_secs(2);

/// A way in which a file is damaged.
type Damage = fn(&mut Vec<u8>);

const DAMAGES: [(&str, Damage); 5] = [
    ("cut to half", |bytes| bytes.truncate(bytes.len() / 2)),
    ("cut to 100 bytes", |bytes| bytes.truncate(100)),
    ("text", |bytes| *bytes = b"these are not counters\n".repeat(1_000)),
    ("random bytes", |bytes| randomise(bytes)),
    ("a random beginning", |bytes| {
        let end = bytes.len().min(4_096);
        randomise(&mut bytes[..end]);
    }),
];

fn randomise(bytes: &mut [u8]) {
    let mut dice = Dice::new("damage");
    for byte in bytes {
        *byte = u8::try_from(dice.below(256)).expect("a byte");
    }
}

/// The only file of the store.
fn data_file(home: &Home) -> PathBuf {
    let files = std::fs::read_dir(home.data()).unwrap().map(|file| file.unwrap().path());
    files.max_by_key(|file| file.metadata().map_or(0, |data| data.len())).expect("a data file")
}

/// A folder with counters whose file is damaged; gives the file and what it now is.
async fn damaged(damage: Damage) -> (Home, PathBuf, Vec<u8>) {
    let home = Home::new(&policy(&[WIDE.yaml(CENTURY, "")]));
    let mut node = home.start();
    Caller::connect(&node.grpc).await.touch(WIDE, 0..KEYS).await;
    assert!(node.saved().await, "what was decided is on disk");
    node.kill();
    let file = data_file(&home);
    let mut bytes = std::fs::read(&file).unwrap();
    damage(&mut bytes);
    std::fs::write(&file, &bytes).unwrap();
    (home, file, bytes)
}

/// The name under which the damaged file was kept, and whether it still is what it was.
fn kept_aside(home: &Home, file: &PathBuf, bytes: &[u8]) -> Option<(String, bool)> {
    let files = std::fs::read_dir(home.data()).unwrap().map(|file| file.unwrap().path());
    let aside = files.into_iter().find(|other| other != file)?;
    let is_untouched = std::fs::read(&aside).is_ok_and(|kept| kept == bytes);
    Some((aside.file_name()?.to_string_lossy().into_owned(), is_untouched))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_is_kept_aside_and_the_server_serves() {
    let _turn = form::turn().await;
    let mut figures = Figures::new("T-COR-EMPTY");
    let (mut slowest, mut changed) = (Duration::ZERO, 0);
    for (what, damage) in DAMAGES {
        let (home, file, bytes) = damaged(damage).await;
        let mut node = home.start_with(&["--data-damaged", "empty"]);
        let mut caller = Caller::connect(&node.grpc).await;
        let used = caller.used(WIDE, 0..KEYS).await;
        slowest = slowest.max(node.spawned.elapsed());
        let invented = used.iter().filter(|used| **used > 1).count();
        figures.hold(invented == 0, format!("{what}: {invented} counters are wrong"));
        caller.touch(WIDE, KEYS..KEYS + 10).await;
        let log = node.process.log();
        let aside = kept_aside(&home, &file, &bytes);
        let is_said = aside.as_ref().is_some_and(|(aside, _)| log.contains(aside));
        changed += u32::from(aside.as_ref().is_some_and(|(_, is_untouched)| !is_untouched));
        figures.hold(aside.is_some(), format!("{what}: the file is not kept"));
        figures.hold(is_said, format!("{what}: nothing says where the file is:\n{log}"));
        figures.hold(node.saved().await, format!("{what}: nothing is kept since"));
        node.kill();
        let node = home.start();
        let mut caller = Caller::connect(&node.grpc).await;
        let used = caller.used(WIDE, KEYS..KEYS + 10).await;
        let is_kept = used.iter().all(|used| *used == 1);
        figures.hold(is_kept, format!("{what}: what was decided since is lost"));
    }
    figures.add("damages", DAMAGES.len()).add_ms("start_max", slowest);
    figures.add("bound_ms", START_MAX.as_millis()).add("files_changed", changed);
    figures.hold(slowest <= START_MAX, "the start took too long");
    figures.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_is_refused_when_that_is_wanted() {
    let _turn = form::turn().await;
    let mut figures = Figures::new("T-COR-REFUSE");
    let (mut slowest, mut changed) = (Duration::ZERO, 0);
    for (what, damage) in DAMAGES {
        let (home, file, bytes) = damaged(damage).await;
        let mut process = Process::start(home.command(&["--data-damaged", "refuse"]));
        let ended = end_of(&mut process, Duration::from_secs(10)).await;
        process.kill();
        let log = process.log();
        slowest = slowest.max(ended.map_or(Duration::MAX, |(_, took)| took));
        let code = ended.and_then(|(status, _)| status.code());
        figures.hold(code.is_some_and(|code| code != 0), format!("{what}: it did not refuse"));
        let folder = home.data();
        let is_told = log.contains("--data-damaged") && log.contains(&*folder.to_string_lossy());
        figures.hold(is_told, format!("{what}: folder or next step are missing:\n{log}"));
        figures.hold(!log.contains("panicked"), format!("{what}: it panicked:\n{log}"));
        changed += u32::from(!std::fs::read(&file).is_ok_and(|now| now == bytes));
    }
    figures.add("damages", DAMAGES.len()).add_ms("refused_max", slowest);
    figures.add("bound_ms", START_MAX.as_millis()).add("files_changed", changed);
    figures.hold(slowest <= START_MAX, "refusing took too long");
    figures.finish();
}
