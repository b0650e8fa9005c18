//! A report as JUnit XML, which build servers read.
//!
//! The document is well formed whatever names, values and bodies are made of: what XML cannot hold
//! is replaced.

use std::fmt::Write as _;

use super::report::{FileReport, Report, ScenarioReport, difference_lines};
use crate::policy::diagnostic::Diagnostic;
use crate::policy::render;

/// One suite for each file; a file that cannot be run has a case of its own.
pub fn document(report: &Report) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let (failed, bad) = (report.failed_count(), report.bad_file_count());
    let tests = report.scenario_count() + bad;
    let _ = writeln!(
        xml,
        "<testsuites name=\"tollgate\" tests=\"{tests}\" failures=\"{failed}\" errors=\"{bad}\">"
    );
    for file in &report.files {
        suite(&mut xml, file);
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn suite(xml: &mut String, file: &FileReport) {
    let (name, failed) = (escaped(&file.source.name), file.failed_count());
    let bad = usize::from(!file.problems.is_empty());
    let tests = file.scenarios.len() + bad;
    let _ = writeln!(
        xml,
        "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failed}\" errors=\"{bad}\" \
         time=\"0\">"
    );
    if bad > 0 {
        let _ = writeln!(xml, "    <testcase classname=\"{name}\" name=\"load\" time=\"0\">");
        let mut lines = Vec::new();
        for problems in &file.problems {
            let line = |found: &Diagnostic| render::line(&problems.sources, found);
            lines.extend(problems.diagnostics.iter().map(line));
        }
        let first = lines.first().map_or("", String::as_str);
        let (first, all) = (escaped(first), escaped_lines(&lines));
        let _ = writeln!(xml, "      <error message=\"{first}\">{all}</error>");
        xml.push_str("    </testcase>\n");
    }
    for scenario in &file.scenarios {
        case(xml, file, scenario);
    }
    xml.push_str("  </testsuite>\n");
}

fn case(xml: &mut String, file: &FileReport, scenario: &ScenarioReport) {
    let (class, name) = (escaped(&file.source.name), escaped(&scenario.name));
    let line = file.line(&scenario.place);
    let start = format!(
        "    <testcase classname=\"{class}\" name=\"{name}\" file=\"{class}\" line=\"{line}\" \
         time=\"0\""
    );
    if scenario.outcome.failures.is_empty() {
        let _ = writeln!(xml, "{start}/>");
        return;
    }
    let _ = writeln!(xml, "{start}>");
    // A case holds one failure, so it tells of every step.
    let mut lines = Vec::new();
    for failure in &scenario.outcome.failures {
        let place = format!("{}:{}", file.source.name, file.line(&failure.place));
        lines.push(format!("{} ({place})", failure.heading()));
        lines.push(failure.action.clone());
        lines.extend(difference_lines(&failure.differences));
        lines.push(failure.note.clone());
    }
    let first = scenario.outcome.failures.first();
    let message = first.map_or_else(String::new, |failure| {
        let differences = difference_lines(&failure.differences);
        let what = differences.first().unwrap_or(&failure.note);
        format!("{}: {what}", failure.heading())
    });
    let (message, all) = (escaped(&message), escaped_lines(&lines));
    let _ = writeln!(xml, "      <failure message=\"{message}\">{all}</failure>");
    xml.push_str("    </testcase>\n");
}

/// Lines of an element, where people may read them as lines.
fn escaped_lines(lines: &[String]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| escaped(line)).collect();
    lines.join("\n")
}

/// Text of an element or an attribute in double quotes.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&apos;"),
            '\n' => safe.push_str("&#10;"),
            '\t' => safe.push_str("&#9;"),
            '\u{fffe}' | '\u{ffff}' => safe.push('\u{fffd}'),
            c if c.is_control() => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_breaks_the_document() {
        assert_eq!(escaped("a<b>&\"c'\n\t"), "a&lt;b&gt;&amp;&quot;c&apos;&#10;&#9;");
        assert_eq!(escaped("\u{0}\u{1b}[31m\r\u{ffff}ü"), "\u{fffd}\u{fffd}[31m\u{fffd}\u{fffd}ü");
    }
}
