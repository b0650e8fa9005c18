//! `tollgate check`: loads policies and prints every problem.
//!
//! Problems are its result, so they go to standard output; standard error is for wrong usage.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{FAILED, Merging, USAGE, complain};
use crate::policy::diagnostic::{Diagnostic, Severity};
use crate::policy::model::Source;
use crate::policy::set::{CounterSeed, PolicySet};
use crate::policy::{Compiled, render};
use crate::source::{self, files};

#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 no errors, 1 the policies have errors, 2 wrong usage.")]
pub(super) struct Arguments {
    /// Files or folders with policies
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    merging: Merging,

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
    let compiled = source::compile(&sources, CounterSeed([0, 0]), &arguments.merging.options());
    let text = match arguments.format {
        Format::Human => human(&sources, &compiled),
        Format::Json => json(&sources, &compiled),
    };
    if let Err(failed) = super::print(&text) {
        return failed;
    }
    if matches!(arguments.format, Format::Human) {
        let has_descriptors = compiled.set.as_ref().is_some_and(PolicySet::has_descriptors);
        let unread = arguments.paths.iter().flat_map(|folder| files::passed_over(folder));
        for file in unread.filter(|_| has_descriptors) {
            anstream::eprintln!("note: {}", super::unread(&file));
        }
    }
    match compiled.set {
        Some(_) => ExitCode::SUCCESS,
        None => ExitCode::from(FAILED),
    }
}

fn human(sources: &[Source], compiled: &Compiled) -> String {
    let problems = render::render(sources, &compiled.diagnostics, true);
    let files = counted(sources.len(), "file", "files");
    let of =
        |severity| compiled.diagnostics.iter().filter(|found| found.severity == severity).count();
    let errors = counted(of(Severity::Error), "error", "errors");
    let warnings = counted(of(Severity::Warning), "warning", "warnings");
    match &compiled.set {
        Some(set) => {
            let policies = counted(set.domains.len(), "policy", "policies");
            let rules = counted(set.rules().count(), "rule", "rules");
            let verdict = if of(Severity::Warning) == 0 { "ok" } else { &warnings };
            format!("{problems}{policies}, {rules}: {verdict}\n")
        }
        None => format!("{problems}{files}: {errors}, {warnings}\n"),
    }
}

fn json(sources: &[Source], compiled: &Compiled) -> String {
    let document = serde_json::json!({
        "ok": compiled.set.is_some(),
        "files": sources.len(),
        "policies": compiled.set.as_ref().map(|set| set.domains.len()),
        "rules": compiled.set.as_ref().map(|set| set.rules().count()),
        "problems": render::to_json(sources, &compiled.diagnostics),
    });
    format!("{document:#}\n")
}

pub(super) fn counted(count: usize, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

/// Complains about problems, with the text they are about, for commands whose result is another.
/// The stream drops colours where none are wanted.
pub(super) fn print_problems(sources: &[Source], diagnostics: &[Diagnostic]) {
    anstream::eprint!("{}", render::render(sources, diagnostics, true));
}
