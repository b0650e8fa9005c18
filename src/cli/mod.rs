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

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use crate::policy::model::{DescriptorOptions, Options};

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

/// For commands that read policies as `serve` is told to by its settings.
#[derive(Debug, clap::Args)]
struct Merging {
    /// Take `descriptors:` documents of one domain for one policy, as MERGE_DOMAIN_CONFIG does
    #[arg(long)]
    descriptors_merge_domains: bool,
}

impl Merging {
    fn options(&self) -> Options {
        let merges_domains = self.descriptors_merge_domains;
        let descriptors = DescriptorOptions { merges_domains, ..DescriptorOptions::default() };
        Options { descriptors, ..Options::default() }
    }
}

/// What the program is called where a deployment of envoyproxy/ratelimit starts it: that server
/// takes no arguments.
const REFERENCE_NAME: &str = "ratelimit";

const FAILED: u8 = 1;
const USAGE: u8 = 2;

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let mut words: Vec<OsString> = std::env::args_os().collect();
    let stands_in =
        words.len() == 1 && Path::new(&words[0]).file_name() == Some(REFERENCE_NAME.as_ref());
    if stands_in {
        words.push("serve".into());
    }
    match Arguments::parse_from(words).command {
        Command::Serve(arguments) => serve::run(&arguments, stands_in),
        Command::Check(arguments) => check::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Convert(arguments) => convert::run(&arguments),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
    }
}

/// Of a file in a folder of policies of envoyproxy/ratelimit.
fn unread(file: &Path) -> String {
    format!(
        "`{}` is not read, unlike by envoyproxy/ratelimit: policies are the files right in their \
         folder whose names end in `.yaml` or `.yml`",
        file.display()
    )
}

/// Prints what a command is asked for. Where it cannot be written that is said, and the command has
/// failed; a reader that has seen enough is no failure.
fn print(text: &str) -> Result<(), ExitCode> {
    let mut stream = anstream::stdout();
    match stream.write_all(text.as_bytes()).and_then(|()| stream.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(&format_args!("cannot write to standard output: {error}"));
            Err(ExitCode::from(FAILED))
        }
        _ => Ok(()),
    }
}

/// As `print`, where printing is all that can fail.
fn print_all(text: &str) -> ExitCode {
    print(text).err().unwrap_or(ExitCode::SUCCESS)
}

/// Prints one line about what went wrong.
fn complain(problem: &dyn std::fmt::Display) {
    anstream::eprintln!("error: {problem}");
}
