//! Instructions and allocations of one request in a whole server, as callgrind counts them.
//!
//! Both are differences between two runs that differ in the number of requests alone, so what
//! starting and ending take is in neither.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use tokio::runtime::Runtime;
use tollgate::bench::drive::End;

use super::shapes::Shape;
use super::{Kind, Server};

/// Requests of the shorter run; it also makes what is made once for a connection or a key.
const REQUESTS_FEW: u64 = 2_000;
const REQUESTS_MANY: u64 = 6_000;
/// What the allocator's crate calls for memory.
const ALLOCATOR: [&str; 3] = ["mi_malloc_aligned", "mi_zalloc_aligned", "mi_realloc_aligned"];

/// Of one request, in user space.
pub(crate) struct Counted {
    pub(crate) instructions: f64,
    pub(crate) allocations: f64,
}

struct Sums {
    instructions: u64,
    allocations: u64,
}

#[expect(clippy::cast_precision_loss, reason = "counts of a bench are small")]
pub(crate) fn count(
    kind: Kind,
    shape: &Shape,
    runtime: &Runtime,
    folder: &Path,
) -> anyhow::Result<Counted> {
    let few = run(kind, (shape, REQUESTS_FEW), runtime, folder)?;
    let many = run(kind, (shape, REQUESTS_MANY), runtime, folder)?;
    let of_one =
        |few: u64, many: u64| (many as f64 - few as f64) / (REQUESTS_MANY - REQUESTS_FEW) as f64;
    Ok(Counted {
        instructions: of_one(few.instructions, many.instructions),
        allocations: of_one(few.allocations, many.allocations),
    })
}

fn run(
    kind: Kind,
    (shape, requests): (&Shape, u64),
    runtime: &Runtime,
    folder: &Path,
) -> anyhow::Result<Sums> {
    let profile = folder.join("profile");
    let watched = kind.command(folder)?;
    let mut command = Command::new("valgrind");
    command.args(["--quiet", "--tool=callgrind"]);
    command.arg(format!("--callgrind-out-file={}", profile.display()));
    command.arg(watched.get_program()).args(watched.get_args());
    // No setting comes in by the environment.
    command.env_clear().envs(std::env::vars_os().filter(|(name, _)| name == "PATH"));
    let server = Server::start(kind.name(), command)?;
    shape.send(&server, runtime, (End::Requests(requests), 1))?;
    server.stop()?;
    let text = fs::read_to_string(&profile).context("callgrind has written what it counted")?;
    sums(&text).context("callgrind's file has a sum")
}

/// Reads callgrind's own format, in which a name stands in full where it comes first, and as its
/// number from then on.
fn sums(text: &str) -> Option<Sums> {
    let mut allocators = HashSet::new();
    let mut is_allocator = false;
    let mut sums = Sums { instructions: 0, allocations: 0 };
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("fn=").or_else(|| line.strip_prefix("cfn=")) {
            let (number, name) = name.split_once(' ').unwrap_or((name, ""));
            if ALLOCATOR.contains(&name) {
                allocators.insert(number);
            }
            is_allocator = allocators.contains(number);
        } else if let Some(calls) = line.strip_prefix("calls=")
            && is_allocator
        {
            sums.allocations += calls.split(' ').next()?.parse::<u64>().ok()?;
        } else if let Some(total) = line.strip_prefix("totals: ") {
            sums.instructions = total.parse().ok()?;
        }
    }
    (sums.instructions > 0).then_some(sums)
}

/// Fails with what is missing.
pub(crate) fn check_possible() -> anyhow::Result<()> {
    let output = Command::new("valgrind").arg("--version").output();
    let output =
        output.context("valgrind is not installed; on Debian: apt-get install valgrind")?;
    ensure!(output.status.success(), "valgrind does not run");
    Ok(())
}
