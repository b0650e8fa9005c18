//! What the steps of a decision cost in instructions, which neighbours on the machine do not change.
//!
//! Callgrind counts what runs inside of `measured`, one dump for each case, so that what the
//! cases are put together with is in no figure. Kernel and caches are not in it either.
//!
//! ```text
//! cargo bench --bench instructions --profile instructions               the table
//! cargo bench --bench instructions --profile instructions -- --check    fails where a budget is passed
//! cargo bench --bench instructions --profile instructions -- --write    makes the figures the budget
//! ```
#![expect(clippy::expect_used, reason = "a bench stops at what it did not expect")]
#![expect(clippy::print_stdout, reason = "a bench prints its result")]

mod budget;
mod cases;

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use tollgate::decide::{Code, Plan, answer, conclude, plan};
use tollgate::request::Request;
use tollgate::time::Span;
use tollgate::usage::Usage;

use budget::Figure;
use cases::policies::{many_rules, three_descriptors, three_descriptors_with_headers, two_windows};
use cases::wire;
use cases::{Case, Turn};

/// The product's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Makes this the process that callgrind watches.
const COUNTED: &str = "--counted";
/// Each figure is the mean of so many requests, of keys of their own.
const REQUESTS: u32 = 200;

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if has("--list") {
        return Ok(ExitCode::SUCCESS);
    }
    if has(COUNTED) {
        every_case(&mut |name, work| {
            measured(work);
            println!("{name}");
        });
        return Ok(ExitCode::SUCCESS);
    }
    // `cargo bench` says `--bench`; `cargo test --benches` does not, and wants a smoke test.
    if !has("--bench") {
        every_case(&mut |_, work| work());
        return Ok(ExitCode::SUCCESS);
    }
    let figures = counted()?;
    if has("--write") {
        budget::write(&figures)?;
    }
    let is_kept = budget::compare(&figures)?;
    Ok(ExitCode::from(u8::from(has("--check") && !is_kept)))
}

/// What callgrind counts. The box keeps it a call of its own.
#[inline(never)]
fn measured(work: &mut dyn FnMut()) {
    work();
    black_box(());
}

/// Runs this program under callgrind.
fn counted() -> anyhow::Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let profile = folder.path().join("profile");
    let output = Command::new("valgrind")
        // Of two options about the same pattern callgrind 3.19 takes the first alone.
        .args(["--tool=callgrind", "--toggle-collect=*measured*"])
        .arg("--dump-after=instructions::measured*")
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(std::env::current_exe()?)
        .arg(COUNTED)
        .stdin(Stdio::null())
        .output()
        .context("valgrind cannot be started; on Debian: apt-get install valgrind")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the counted run failed:\n{errors}");
    let names = String::from_utf8(output.stdout)?;
    let figure = |(name, number): (&str, u32)| {
        let total = total(&profile.with_extension(number.to_string()))?;
        let instructions = total / u64::from(REQUESTS);
        Ok(Figure { name: name.to_owned(), instructions })
    };
    names.lines().zip(1..).map(figure).collect()
}

/// The sum of one dump.
fn total(dump: &Path) -> anyhow::Result<u64> {
    let text = fs::read_to_string(dump)
        .with_context(|| format!("callgrind has not written `{}`", dump.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    match total.map(str::parse) {
        Some(Ok(total)) if total > 0 => Ok(total),
        _ => bail!("callgrind has counted nothing in `{}`", dump.display()),
    }
}

/// Hands over each case under its name: the work of `REQUESTS` requests.
fn every_case(measure: &mut dyn FnMut(&str, &mut dyn FnMut())) {
    let case = three_descriptors(REQUESTS);
    every_step(&case, "", measure);
    all("all", &case, None, measure);
    let usage = Usage::default();
    all("all, usage", &case, Some(&usage), measure);
    let case = three_descriptors_with_headers(REQUESTS);
    all("all, usage, headers", &case, Some(&usage), measure);
    let case = two_windows(REQUESTS);
    every_step(&case, "two windows: ", measure);
    all("two windows: all", &case, None, measure);
    for rules in [10, 100_000] {
        all(&format!("{rules} rules: all"), &many_rules(rules), None, measure);
    }
}

/// From bytes to bytes, after a first time that makes room for the counters.
fn all(
    name: &str,
    case: &Case,
    usage: Option<&Usage>,
    measure: &mut dyn FnMut(&str, &mut dyn FnMut()),
) {
    let calls = calls(case);
    let mut serve = || {
        for call in &calls {
            let code = wire::serve(case, usage, call);
            assert_eq!(code, Code::Ok, "{name}");
        }
    };
    serve();
    measure(name, &mut serve);
}

/// The bytes of so many requests, in the order in which the case has its turns.
fn calls(case: &Case) -> Vec<Bytes> {
    (0..REQUESTS).map(|_| wire::bytes(case, case.advance().place)).collect()
}

/// Each step by itself, given what the steps before it made.
fn every_step(case: &Case, label: &str, measure: &mut dyn FnMut(&str, &mut dyn FnMut())) {
    let bytes = calls(case);
    let Turn { now, .. } = case.turn.get();
    measure(&format!("{label}decode"), &mut || {
        for bytes in &bytes {
            black_box(wire::decode(bytes));
        }
    });
    let requests: Vec<Request<'_>> = bytes.iter().map(|bytes| wire::decode(bytes)).collect();
    measure(&format!("{label}plan"), &mut || {
        for request in &requests {
            black_box(plan(&case.set, request, now, |_| None));
        }
    });
    let plans: Vec<Plan<'_>> =
        requests.iter().map(|request| plan(&case.set, request, now, |_| None)).collect();
    let charge = |plan: &Plan<'_>| case.charge(&plan.charges, now);
    plans.iter().for_each(|plan| drop(charge(plan)));
    measure(&format!("{label}charge"), &mut || {
        for plan in &plans {
            black_box(charge(plan));
        }
    });
    let outcomes: Vec<_> = plans.iter().map(charge).collect();
    measure(&format!("{label}conclude"), &mut || {
        for (plan, outcomes) in plans.iter().zip(&outcomes) {
            black_box(conclude(plan, outcomes));
        }
    });
    let decisions: Vec<_> =
        plans.iter().zip(&outcomes).map(|(plan, outcomes)| conclude(plan, outcomes)).collect();
    measure(&format!("{label}encode"), &mut || {
        for decision in &decisions {
            black_box(wire::encode(decision, &answer(decision, now)));
        }
    });
    let usage = Usage::default();
    let record = || {
        for (request, decision) in requests.iter().zip(&decisions) {
            usage.record(request, decision, now.plus(Span::from_seconds(1)));
        }
    };
    record();
    measure(&format!("{label}usage"), &mut { record });
}
