//! How scenario files went, for people and for programs.
//!
//! A report is a success only if every file could be run and every scenario went as expected.

use std::fmt::Write as _;

use serde_json::json;

use super::run::{Difference, Failure, Outcome};
use super::spans;
use crate::policy::diagnostic::Diagnostic;
use crate::policy::findings::clean;
use crate::policy::model::{Place, Source};
use crate::policy::render::{self, Position};

/// Steps of one scenario, and differences of one step, that people are shown.
const MOST_SHOWN: usize = 10;
/// A difference longer than this takes a line for each side.
const ONE_LINE: usize = 70;

#[derive(Debug, Default)]
pub struct Report {
    pub files: Vec<FileReport>,
}

#[derive(Debug)]
pub struct FileReport {
    /// The scenario file.
    pub source: Source,
    /// Why it could not be run; then it has no scenarios here.
    pub problems: Vec<Problems>,
    pub scenarios: Vec<ScenarioReport>,
}

/// What is wrong with some texts: with the scenario file, or with policies that it names.
#[derive(Debug)]
pub struct Problems {
    pub sources: Vec<Source>,
    pub diagnostics: Vec<Diagnostic>,
}

#[derive(Debug)]
pub struct ScenarioReport {
    pub name: String,
    /// In the scenario file.
    pub place: Place,
    pub outcome: Outcome,
}

impl Report {
    pub fn scenario_count(&self) -> usize {
        self.files.iter().map(|file| file.scenarios.len()).sum()
    }

    pub fn failed_count(&self) -> usize {
        self.files.iter().map(FileReport::failed_count).sum()
    }

    /// Files that could not be run.
    pub fn bad_file_count(&self) -> usize {
        self.files.iter().filter(|file| !file.problems.is_empty()).count()
    }

    pub fn is_success(&self) -> bool {
        self.failed_count() == 0 && self.bad_file_count() == 0
    }

    /// A line for each file, every failure, and a summary.
    pub fn human(&self, colour: bool) -> String {
        let paint = Paint(colour);
        let mut text = String::new();
        for file in &self.files {
            let name = clean(file.source.name.clone());
            let verdict = match (file.problems.len(), file.failed_count()) {
                (0, 0) => paint.good("ok"),
                (0, failed) => paint.bad(&format!("{failed} failed")),
                _ => paint.bad("cannot be run"),
            };
            let _ = match file.problems.len() {
                0 => {
                    let scenarios = counted(file.scenarios.len(), "scenario");
                    writeln!(text, "{name}: {scenarios}, {verdict}")
                }
                _ => writeln!(text, "{name}: {verdict}"),
            };
        }
        for file in &self.files {
            for problems in &file.problems {
                text.push('\n');
                let shown = render::render(&problems.sources, &problems.diagnostics, colour);
                text.push_str(shown.trim_end());
                text.push('\n');
            }
            for scenario in file.failed() {
                text.push('\n');
                human_scenario(&mut text, file, scenario, paint);
            }
        }
        let _ = writeln!(text, "\n{}", self.summary());
        text
    }

    /// `12 scenarios, 0 failed`.
    pub fn summary(&self) -> String {
        let scenarios = counted(self.scenario_count(), "scenario");
        let mut summary = format!("{scenarios}, {} failed", self.failed_count());
        if self.bad_file_count() > 0 {
            let files = counted(self.bad_file_count(), "file");
            let _ = write!(summary, "; {files} cannot be run");
        }
        summary
    }

    pub fn json(&self) -> serde_json::Value {
        json!({
            "ok": self.is_success(),
            "scenarios": self.scenario_count(),
            "failed": self.failed_count(),
            "files": self.files.iter().map(json_file).collect::<Vec<_>>(),
        })
    }
}

impl FileReport {
    fn failed(&self) -> impl Iterator<Item = &ScenarioReport> {
        self.scenarios.iter().filter(|scenario| !scenario.outcome.failures.is_empty())
    }

    pub fn failed_count(&self) -> usize {
        self.failed().count()
    }

    /// The line of a place of this file, counted from 1.
    pub fn line(&self, place: &Place) -> usize {
        Position::of(&self.source.text, place.bytes.start).line
    }
}

impl Failure {
    /// The step and its time, as a heading.
    pub(super) fn heading(&self) -> String {
        format!("step {}, {} after the start", self.step, spans::in_words(self.at))
    }
}

/// Colours, which never say what words do not.
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    fn bad(self, text: &str) -> String {
        self.with("1;31", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        match self.0 {
            true => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        }
    }
}

pub(super) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn human_scenario(text: &mut String, file: &FileReport, scenario: &ScenarioReport, paint: Paint) {
    let (failed, name) = (paint.bad("FAILED"), clean(scenario.name.clone()));
    let place = |place| format!("{}:{}", clean(file.source.name.clone()), file.line(place));
    let _ = writeln!(text, "{failed} {name} ({})", place(&scenario.place));
    let failures = &scenario.outcome.failures;
    for failure in failures.iter().take(MOST_SHOWN) {
        let _ = writeln!(text, "  {} ({})", failure.heading(), place(&failure.place));
        let _ = writeln!(text, "    {}", clean(failure.action.clone()));
        for line in difference_lines(&failure.differences) {
            let _ = writeln!(text, "      {line}");
        }
        if !failure.note.is_empty() {
            let _ = writeln!(text, "    {}", clean(failure.note.clone()));
        }
    }
    if failures.len() > MOST_SHOWN {
        let more = counted(failures.len() - MOST_SHOWN, "more failing step");
        let _ = writeln!(text, "  and {more}");
    }
}

/// `remaining: expected 49, found 48`; long ones below each other.
pub(super) fn difference_lines(differences: &[Difference]) -> Vec<String> {
    let mut lines = Vec::new();
    for Difference { field, expected, found, .. } in differences.iter().take(MOST_SHOWN) {
        let sides = [expected, found].map(|side| clean(side.clone()));
        let [expected, found] = &sides;
        if expected.chars().count() + found.chars().count() <= ONE_LINE {
            lines.push(format!("{field}: expected {expected}, found {found}"));
        } else {
            lines.push(format!("{field}:"));
            lines.push(format!("  expected {expected}"));
            lines.push(format!("  found    {found}"));
        }
    }
    if differences.len() > MOST_SHOWN {
        lines.push(format!("and {}", counted(differences.len() - MOST_SHOWN, "more difference")));
    }
    lines
}

fn json_file(file: &FileReport) -> serde_json::Value {
    let problems = file.problems.iter();
    let problems = problems.flat_map(|p| match render::to_json(&p.sources, &p.diagnostics) {
        serde_json::Value::Array(problems) => problems,
        other => vec![other],
    });
    json!({
        "file": file.source.name,
        "problems": problems.collect::<Vec<_>>(),
        "scenarios": file.scenarios.iter().map(|scenario| json!({
            "name": scenario.name,
            "line": file.line(&scenario.place),
            "ok": scenario.outcome.failures.is_empty(),
            "sent": scenario.outcome.sent,
            "failures": scenario.outcome.failures.iter().map(|failure| json!({
                "step": failure.step,
                "line": file.line(&failure.place),
                "at": spans::in_words(failure.at),
                "action": failure.action,
                "differences": failure.differences.iter().map(|difference| json!({
                    "field": difference.field,
                    "expected": difference.expected,
                    "found": difference.found,
                    "line": file.line(&difference.place),
                })).collect::<Vec<_>>(),
                "note": failure.note,
            })).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
    })
}
