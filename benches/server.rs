//! What a request costs tollgate's server, as a ratio to a gRPC server that does nothing.
//!
//! The ratio is between servers that took turns within one run, under one generator: a busy
//! machine slows both. CPU time is the kernel's account of the whole process, so threads, locks
//! and system calls are all in it.
//!
//! ```text
//! cargo bench --bench server                     all rounds
//! cargo bench --bench server -- --pin            servers and generator on one processor: the steadiest
//! cargo bench --bench server -- --write          and into docs/performance.md
//! cargo bench --bench server -- --instructions   of whole servers, and nothing else
//! cargo bench --bench server -- --quick          a short run that shows that it works
//! ```
#![expect(clippy::print_stdout, reason = "a bench prints its result")]

mod servers;
mod tables;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::thread;

use anyhow::Context as _;
use rustix::thread::{CpuSet, sched_setaffinity};
use tokio::runtime::{self, Runtime};
use tollgate::bench::drive::End;
use tollgate::clock::Clock;
use tollgate::time::Span;

use servers::shapes::{MANY, MANY_KEYS, ONE_BY_ONE, Shape, open_loop};
use servers::{Kind, Server, counted, tollgate, write_rules};
use tables::{Idle, Row, Rows, Turn, median};

/// The same allocator as in the product, so that no ratio is about allocators.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long all of it takes.
#[derive(Clone, Copy)]
struct Effort {
    rounds: usize,
    turn: Span,
    warmup: Span,
    starts: usize,
}

const WHOLE: Effort =
    Effort { rounds: 9, turn: Span::from_seconds(2), warmup: Span::from_seconds(1), starts: 9 };
const SMOKE: Effort =
    Effort { rounds: 1, turn: Span::from_millis(200), warmup: Span::from_millis(50), starts: 1 };
/// The rules of the policy whose start is timed.
const RULES_AT_START: u32 = 1_000;

fn main() -> anyhow::Result<ExitCode> {
    if servers::serve_if_asked()? {
        return Ok(ExitCode::SUCCESS);
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if has("--list") {
        return Ok(ExitCode::SUCCESS);
    }
    // `cargo bench` says `--bench`; `cargo test --benches` does not, and wants a smoke test.
    let is_whole = has("--bench") && !has("--quick");
    let bench = Bench {
        effort: if is_whole { WHOLE } else { SMOKE },
        is_pinned: has("--pin"),
        runtime: runtime::Builder::new_current_thread().enable_all().build()?,
        folder: tempfile::tempdir()?,
    };
    if has("--instructions") {
        counted::check_possible()?;
        println!("{}", tables::counted(&bench.counted()?));
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = bench.conditions();
    text.push_str(&tables::loads(&bench.loads()?));
    text.push_str(&tables::idle(&bench.idle()?));
    match counted::check_possible() {
        Ok(()) if is_whole => text.push_str(&tables::counted(&bench.counted()?)),
        Ok(()) => {}
        Err(missing) => println!("instructions are not counted: {missing}"),
    }
    println!("{text}");
    if has("--write") {
        tables::write(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}

struct Bench {
    effort: Effort,
    is_pinned: bool,
    runtime: Runtime,
    folder: tempfile::TempDir,
}

impl Bench {
    fn conditions(&self) -> String {
        let Effort { rounds, turn, .. } = self.effort;
        let place = match self.is_pinned {
            true => "servers and generator on one processor (in the open loop the servers alone)",
            false => "nothing pinned to a processor",
        };
        let processors = thread::available_parallelism().map_or(1, usize::from);
        format!(
            "{rounds} rounds, in which each server had a turn of {} s; {place}; {processors} \
             processors in all.\n\n",
            turn.to_duration().as_secs_f64()
        )
    }

    /// Every server under every load.
    fn loads(&self) -> anyhow::Result<Vec<Rows>> {
        self.pin()?;
        let start = |kind: Kind| Server::start(kind.name(), kind.command(self.folder.path())?);
        let servers: Vec<Server> = Kind::ALL.into_iter().map(start).collect::<Result<_, _>>()?;
        let mut loads = Vec::new();
        for shape in [ONE_BY_ONE, MANY, MANY_KEYS] {
            loads.push(self.rounds(&shape, &servers)?);
        }
        // Half a core of the floor, by what a request of its own costs it, one by one.
        let floor = loads[0].rows[0].cpu_micros;
        self.unpin()?;
        loads.push(self.rounds(&open_loop(tables::rate(0.5e6 / floor)), &servers)?);
        Ok(loads)
    }

    fn rounds(&self, shape: &Shape, servers: &[Server]) -> anyhow::Result<Rows> {
        for server in servers {
            shape.send(server, &self.runtime, (End::After(self.effort.warmup), 0))?;
        }
        let mut rounds = Vec::new();
        for round in 0..self.effort.rounds {
            let mut turns: Vec<Option<Turn>> = servers.iter().map(|_| None).collect();
            // Nobody always follows the same neighbour.
            for place in (0..servers.len()).map(|place| (place + round) % servers.len()) {
                turns[place] = Some(self.turn(&servers[place], shape, round as u64 + 1)?);
            }
            rounds.push(turns.into_iter().flatten().collect());
        }
        let row = |(place, server): (usize, &Server)| Row::of(&server.name, place, &rounds);
        Ok(Rows { shape: *shape, rows: servers.iter().enumerate().map(row).collect() })
    }

    fn turn(&self, server: &Server, shape: &Shape, seed: u64) -> anyhow::Result<Turn> {
        let before = server.cpu_seconds()?;
        let report = shape.send(server, &self.runtime, (End::After(self.effort.turn), seed))?;
        Ok(Turn::of(&report, server.cpu_seconds()? - before))
    }

    /// Memory of servers that were asked once, and the time until they had answered. tollgate writes its
    /// counters to disk here, as it does when nobody says otherwise.
    fn idle(&self) -> anyhow::Result<Vec<Idle>> {
        let folder = self.folder.path();
        let rules = write_rules(folder, RULES_AT_START)?;
        let with_rules = |place: usize| {
            let mut command = tollgate(&rules);
            command.arg("--data-dir").arg(folder.join(format!("data-{place}")));
            command
        };
        let mut idle = Vec::new();
        for kind in [Kind::NoOp, Kind::Tollgate] {
            let start = |_| kind.command(folder);
            idle.push(self.starts(kind.name(), start)?);
        }
        let name = format!("tollgate, {RULES_AT_START} rules, durable");
        idle.push(self.starts(&name, |place| Ok(with_rules(place)))?);
        Ok(idle)
    }

    fn starts(
        &self,
        name: &str,
        command: impl Fn(usize) -> anyhow::Result<std::process::Command>,
    ) -> anyhow::Result<Idle> {
        let clock = Clock::system();
        let mut mebibytes = Vec::new();
        let mut millis = Vec::new();
        for place in 0..self.effort.starts {
            let command = command(place)?;
            let begun = clock.steady();
            let server = Server::start(name, command)?;
            ONE_BY_ONE.send(&server, &self.runtime, (End::Requests(1), 1))?;
            millis.push(clock.steady().minus(begun).to_duration().as_secs_f64() * 1e3);
            mebibytes.push(server.resident_mebibytes()?);
        }
        Ok(Idle {
            name: name.to_owned(),
            mebibytes: median(mebibytes),
            first_answer_millis: median(millis),
        })
    }

    /// Instructions are the same wherever they are run.
    fn counted(&self) -> anyhow::Result<Vec<(Shape, Kind, counted::Counted)>> {
        let mut figures = Vec::new();
        for shape in [ONE_BY_ONE, MANY] {
            for kind in [Kind::NoOp, Kind::Bare, Kind::Tollgate, Kind::TollgateHeaders] {
                let figure = counted::count(kind, &shape, &self.runtime, self.folder.path())?;
                figures.push((shape, kind, figure));
            }
        }
        Ok(figures)
    }

    /// What is started from now on stays on the first processor, as does the generator.
    fn pin(&self) -> anyhow::Result<()> {
        if self.is_pinned {
            let mut first = CpuSet::new();
            first.set(0);
            sched_setaffinity(None, &first).context("processor 0 cannot be chosen")?;
        }
        Ok(())
    }

    /// The generator may run anywhere; servers that were started stay where they are.
    fn unpin(&self) -> anyhow::Result<()> {
        if self.is_pinned {
            let mut all = CpuSet::new();
            (0..CpuSet::MAX_CPU).for_each(|processor| all.set(processor));
            sched_setaffinity(None, &all).context("all processors cannot be chosen")?;
        }
        Ok(())
    }
}

/// The part of a page between two marks, made anew.
pub(crate) fn replace_between(path: &Path, marks: [&str; 2], text: &str) -> anyhow::Result<()> {
    let page = fs::read_to_string(path)?;
    let [begin, end] = marks;
    let (before, rest) =
        page.split_once(begin).with_context(|| format!("the page has `{begin}`"))?;
    let (_, after) = rest.split_once(end).with_context(|| format!("the page has `{end}`"))?;
    fs::write(path, format!("{before}{begin}\n\n{text}\n{end}{after}"))?;
    Ok(())
}
