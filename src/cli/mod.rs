//! The command line: one file for each command.
//!
//! Exit codes: 0 done, 1 it did not work out (problems found, server cannot start), 2 wrong usage.

mod ask;
mod bench;
mod check;
mod convert;
mod explain;
mod schema;
mod serve;
mod test;

use std::process::ExitCode;

use clap::Parser;

/// A quota sidecar: answers Envoy's rate limit protocol from YAML policies.
#[derive(Debug, Parser)]
#[command(name = "tollgate", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Run the sidecar
    Serve(Box<serve::Arguments>),
    /// Load policies and print every problem
    Check(check::Arguments),
    /// Say how a request would be decided now: by which rules, what they have left, why others do not apply
    Explain(explain::Arguments),
    /// Run scenario files in virtual time
    Test(test::Arguments),
    /// Convert policies of envoyproxy/ratelimit and Limitador to native ones
    Convert(convert::Arguments),
    /// Print the JSON Schema that editors complete and check policies by
    Schema(schema::Arguments),
    /// Drive an RLS server and print throughput and latencies
    Bench(Box<bench::Arguments>),
}

const FAILED: u8 = 1;
const USAGE: u8 = 2;

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    match Arguments::parse().command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Convert(arguments) => convert::run(&arguments),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
    }
}

/// Prints one line about what went wrong.
fn complain(problem: &dyn std::fmt::Display) {
    anstream::eprintln!("error: {problem}");
}
