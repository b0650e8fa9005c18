//! `tollgate test`: runs scenario files in virtual time and prints what is other than expected.
//!
//! Failures are its result, so they go to standard output; standard error is for wrong usage.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{FAILED, USAGE, complain};
use crate::policy::diagnostic::{Diagnostic, Severity};
use crate::policy::model::{Options, Place, Source};
use crate::policy::set::PolicySet;
use crate::scenario::model::{PolicySource, ScenarioFile};
use crate::scenario::report::{FileReport, Problems, Report, ScenarioReport};
use crate::scenario::{self, junit};
use crate::source;
use crate::source::files::{self, ReadError};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A scenario file `NAME.test.yaml` stands beside the policy `NAME.yaml`:
  scenarios:
    - name: two orders a minute
      steps:
        - send: { tenant: acme, method: POST, endpoint: /orders }
          times: 3
          expect: { admitted: 2, rule: create-orders, reset: 1m }
        - after: 1m
          send: { tenant: acme, method: POST, endpoint: /orders }
          expect: ok

Examples:
  tollgate test policies
  tollgate test policies/quickstart.test.yaml --filter orders
  tollgate test policies --format junit --output results.xml

Exit codes: 0 all went as expected, 1 a scenario failed or a file has errors, 2 wrong usage.")]
pub(super) struct Arguments {
    /// Scenario files, or folders with them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Run only scenarios with this text in their names, in upper or lower case
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,

    /// How results are written
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,

    /// Write results to this file; standard output then has them for people
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    /// For people
    Human,
    /// One JSON document
    Json,
    /// JUnit XML, which build servers read
    Junit,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let usage = |problem: &dyn std::fmt::Display| {
        complain(problem);
        ExitCode::from(USAGE)
    };
    let sources = match files::read_scenarios(&arguments.paths) {
        Ok(sources) => sources,
        Err(error) => return usage(&error),
    };
    let filter = arguments.filter.as_deref().map(str::to_lowercase);
    let run = |source| run_file(source, filter.as_deref());
    let mut report = Report { files: sources.into_iter().map(run).collect() };
    if let Some(filter) = &arguments.filter {
        if report.scenario_count() == 0 && report.bad_file_count() == 0 {
            return usage(&format_args!(
                "no scenario has `{filter}` in its name; without `--filter`, `--format json` \
                 lists all names"
            ));
        }
        report.files.retain(|file| !file.scenarios.is_empty() || !file.problems.is_empty());
    }
    if let Some(output) = &arguments.output
        && let Err(error) = std::fs::write(output, text(&report, arguments.format, false))
    {
        let output = output.display();
        return usage(&format_args!("cannot write `{output}`: {error}; name another file"));
    }
    // The stream drops colours where none are wanted.
    let shown = if arguments.output.is_some() { Format::Human } else { arguments.format };
    if let Err(failed) = super::print(&text(&report, shown, true)) {
        return failed;
    }
    match report.is_success() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(FAILED),
    }
}

fn text(report: &Report, format: Format, colour: bool) -> String {
    match format {
        Format::Human => report.human(colour),
        Format::Json => format!("{:#}\n", report.json()),
        Format::Junit => junit::document(report),
    }
}

fn run_file(source: Source, filter: Option<&str>) -> FileReport {
    let mut problems = Vec::new();
    let mut scenarios = Vec::new();
    match load(&source) {
        Ok((file, sets)) => {
            let is_chosen =
                |name: &str| filter.is_none_or(|filter| name.to_lowercase().contains(filter));
            let chosen = file.scenarios.into_iter().filter(|scenario| is_chosen(&scenario.name));
            scenarios.extend(chosen.map(|scenario| {
                let outcome = scenario::run(&scenario, &sets);
                ScenarioReport { name: scenario.name, place: scenario.place, outcome }
            }));
        }
        Err(found) => problems = found,
    }
    FileReport { source, problems, scenarios }
}

/// The scenarios of a file and the policies they run against, or all that is wrong with them.
fn load(source: &Source) -> Result<(ScenarioFile, Vec<PolicySet>), Vec<Problems>> {
    let of_file = |diagnostics| Problems { sources: vec![source.clone()], diagnostics };
    let scenario::ReadFile { file, diagnostics } = scenario::read(source);
    let Some(file) = file else { return Err(vec![of_file(diagnostics)]) };
    let (mut sets, mut problems) = (Vec::new(), Vec::new());
    for list in &file.policies {
        let compiled = match policy_texts(source, list) {
            Ok(sources) => {
                let compiled = source::compile(&sources, scenario::SEED, &Options::default());
                let found = compiled.diagnostics;
                compiled.set.ok_or(Problems { sources, diagnostics: found })
            }
            Err(diagnostic) => Err(of_file(vec![*diagnostic])),
        };
        match compiled {
            Ok(set) => sets.push(set),
            Err(found) => problems.push(found),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let unlinked = scenario::link(&file, &sets);
    if !unlinked.is_empty() {
        return Err(vec![of_file(unlinked)]);
    }
    Ok((file, sets))
}

/// The texts of one list of policies; an empty list is the policy beside the scenario file.
fn policy_texts(source: &Source, list: &[PolicySource]) -> Result<Vec<Source>, Box<Diagnostic>> {
    let scenario_file = Path::new(&source.name);
    let folder = scenario_file.parent().unwrap_or(Path::new(""));
    let read = |path: PathBuf, place: Place| {
        files::read(&[path]).map_err(|error| {
            let hint = "name the policies of these scenarios, relative to this file: \
                        `policies: [FILE]`";
            Box::new(Diagnostic {
                severity: Severity::Error,
                code: "no-policy",
                message: unread(&error),
                place,
                related: None,
                hint: hint.to_owned(),
            })
        })
    };
    if list.is_empty() {
        return read(policy_beside(scenario_file), Place::default());
    }
    let mut sources = Vec::new();
    for policy in list {
        match policy {
            PolicySource::Path(path) => {
                sources.extend(read(folder.join(&path.value), path.place.clone())?);
            }
            PolicySource::Text(text) => {
                let name = format!("{}, policy", source.name);
                sources.push(Source { name, text: text.value.clone() });
            }
        }
    }
    Ok(sources)
}

/// The error without its hint, which is about arguments and not about what stands in a file.
fn unread(error: &ReadError) -> String {
    match error {
        ReadError::Unreadable { path, cause, .. } => {
            format!("cannot read the policy `{}`: {cause}", path.display())
        }
        ReadError::Scenario { path } => {
            format!("`{}` is a scenario file, and no policy", path.display())
        }
        other @ (ReadError::NoFiles { .. } | ReadError::NoScenarios { .. }) => other.to_string(),
    }
}

/// `quickstart.yaml` for `quickstart.test.yaml`; the other spelling where only that is there.
fn policy_beside(scenario_file: &Path) -> PathBuf {
    let name = scenario_file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let stem = [".test.yaml", ".test.yml"].iter().find_map(|end| name.strip_suffix(end));
    let stem = stem.unwrap_or(name);
    let (yaml, yml) = (
        scenario_file.with_file_name(format!("{stem}.yaml")),
        scenario_file.with_file_name(format!("{stem}.yml")),
    );
    if !yaml.exists() && yml.exists() { yml } else { yaml }
}
