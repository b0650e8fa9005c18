//! From the text of a scenario file to its scenarios, with everything that is wrong with it.
//!
//! A file can be run only when none of the findings is an error. A scenario that expects nothing
//! is one, because it could never fail.

use std::collections::HashSet;

use super::bounds::{Expanded, Sends};
use super::model::{Action, PolicySource, Scenario, ScenarioFile};
use super::rows::{self, Filled};
use super::{spans, step};
use crate::policy::diagnostic::{Diagnostic, Severity};
use crate::policy::findings::{Fields, Findings, Keys, Standing, one_or_more, shown};
use crate::policy::model::{Placed, Source};
use crate::policy::read::cut_short;
use crate::time::Timestamp;
use crate::yaml::{self, Node, Value};

/// 2026-01-01 00:00:00 UTC, a Thursday.
const START: Timestamp = Timestamp::from_seconds(1_767_225_600);

const OF_POLICIES: Standing =
    Standing::Elsewhere("a policy has a file of its own; name it with `policies: [FILE]`");

pub(super) const FILE_KEYS: &Keys = &[
    ("policies", Standing::Read),
    ("domain", Standing::Read),
    ("start", Standing::Read),
    ("scenarios", Standing::Read),
    ("description", Standing::Read),
    ("rules", OF_POLICIES),
    ("descriptors", OF_POLICIES),
    ("steps", Standing::Elsewhere("steps stand in an item of `scenarios`")),
];

pub(super) const SCENARIO_KEYS: &Keys = &[
    ("name", Standing::Read),
    ("description", Standing::Read),
    ("domain", Standing::Read),
    ("start", Standing::Read),
    ("steps", Standing::Read),
    ("each", Standing::Elsewhere("it was filled in")),
    ("policies", Standing::Elsewhere("policies are named once, at the top of the file")),
    ("send", Standing::Elsewhere("write it as an item of `steps`")),
    ("expect", Standing::Elsewhere("write it beside a `send` of `steps`")),
];

pub(super) const POLICY_KEYS: &Keys = &[("text", Standing::Read)];

/// What the scenarios of a file share while they are read.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) policies: Vec<Vec<PolicySource>>,
    pub(super) sends: Sends,
}

/// What holds for the steps of one scenario.
#[derive(Debug)]
pub(super) struct Defaults {
    pub(super) domain: Option<Placed<String>>,
    pub(super) start: Timestamp,
}

/// What came of reading a file: the scenarios if there was no error, and all findings.
#[derive(Debug)]
pub struct ReadFile {
    pub file: Option<ScenarioFile>,
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads one scenario file; places are of the source with the number 0.
pub fn read(source: &Source) -> ReadFile {
    let mut findings = Findings::new(0);
    let parsed = yaml::parse(&source.text);
    let is_yaml = parsed.faults.is_empty();
    for fault in parsed.faults {
        findings.fault(fault);
    }
    let file = match parsed.documents.as_slice() {
        [] if !is_yaml => None,
        [] => {
            let hint = "write a list of `scenarios`, or remove the file";
            findings.error("empty-file", &(0..0), "this file holds no scenario", hint);
            None
        }
        [document] => read_document(&mut findings, document),
        [_, second, ..] => {
            let start = second.bytes.start..second.bytes.start;
            let message = "a scenario file is one document";
            let hint = "put this one into a file of its own, or join the two lists";
            findings.error("several-documents", &start, message, hint);
            None
        }
    };
    let (mut diagnostics, dropped) = findings.into_diagnostics();
    // Every row of a table says again what is wrong with the steps.
    let mut told = HashSet::new();
    diagnostics.retain(|found| {
        told.insert((found.place.bytes.start, found.place.bytes.end, found.message.clone()))
    });
    diagnostics.sort_by_key(|found| (found.place.bytes.start, found.place.bytes.end));
    cut_short(&mut diagnostics, dropped);
    let has_errors = diagnostics.iter().any(|found| found.severity == Severity::Error);
    ReadFile { file: file.filter(|_| !has_errors), diagnostics }
}

fn read_document(findings: &mut Findings, document: &Node) -> Option<ScenarioFile> {
    let is_policy = document.member("rules").or(document.member("descriptors")).is_some();
    if is_policy && document.member("scenarios").is_none() {
        let start = document.bytes.start..document.bytes.start;
        let message = "this is a policy, and no scenario file";
        let hint = "name its scenario file, `NAME.test.yaml` for `NAME.yaml`, or the folder";
        findings.error("no-scenarios", &start, message, hint);
        return None;
    }
    let what = "a scenario file";
    let fields = findings.fields(document, what, FILE_KEYS)?;
    let own = fields.value("policies").map_or_else(Vec::new, |node| policies(findings, node));
    let mut shared = Shared { policies: vec![own], sends: Sends::default() };
    let domain = fields.value("domain").and_then(|node| domain(findings, node));
    let start = fields.value("start").and_then(|node| moment(findings, node)).unwrap_or(START);
    let hint = "write `scenarios:` and a list of `name` and `steps`";
    let list = findings.require(&fields, "scenarios", (what, document), hint)?;
    let Value::Sequence(items) = &list.value else {
        findings.unexpected(list, "a list of scenarios", hint);
        return None;
    };
    if items.is_empty() {
        findings.error("no-scenarios", &list.bytes, "there is no scenario here", hint);
    }
    let mut scenarios: Vec<Scenario> = Vec::new();
    let mut expanded = Expanded::default();
    for item in items {
        for filled in rows::expand(findings, &mut expanded, item) {
            let defaults = Defaults { domain: domain.clone(), start };
            scenarios.extend(read_scenario(findings, &mut shared, &filled, defaults));
        }
    }
    check_names(findings, &scenarios);
    Some(ScenarioFile { policies: shared.policies, scenarios })
}

fn read_scenario(
    findings: &mut Findings,
    shared: &mut Shared,
    filled: &Filled,
    mut defaults: Defaults,
) -> Option<Scenario> {
    let (what, node) = ("a scenario", &filled.node);
    let fields = findings.fields(node, what, SCENARIO_KEYS)?;
    let name = name(findings, &fields, node);
    if let Some(own) = fields.value("domain").and_then(|node| domain(findings, node)) {
        defaults.domain = Some(own);
    }
    if let Some(own) = fields.value("start").and_then(|node| moment(findings, node)) {
        defaults.start = own;
    }
    let hint = "write a list of steps, such as `- send: { tenant: acme }`";
    let list = findings.require(&fields, "steps", (what, node), hint)?;
    let Value::Sequence(items) = &list.value else {
        findings.unexpected(list, "a list of steps", hint);
        return None;
    };
    let errors_before = findings.errors();
    let steps = step::read_all(findings, shared, &defaults, items);
    let expects = |action: &Action| match action {
        Action::Send(send) => !send.expect.is_empty(),
        Action::Reload(_) | Action::Load(_) | Action::Release(_) => false,
    };
    let is_whole = findings.errors() == errors_before;
    if is_whole && !steps.iter().any(|step| expects(&step.action)) {
        let message = "this scenario expects nothing, so it cannot fail";
        let hint = "write `expect: ok` or `expect: over_limit` beside a `send`";
        let start = list.bytes.start;
        findings.error("nothing-expected", &(start..start), message, hint);
    }
    let place = findings.place(&filled.shown.bytes);
    Some(Scenario { name: name?, place, start: defaults.start, steps })
}

fn name(findings: &mut Findings, fields: &Fields<'_>, node: &Node) -> Option<String> {
    let hint = "say what the scenario proves, such as `name: five requests a minute`";
    let name = findings.require(fields, "name", ("a scenario", node), hint)?;
    findings.text(name, "a name", hint).map(|scalar| scalar.text.clone())
}

/// A name that stands twice could not be told apart in a report.
fn check_names(findings: &mut Findings, scenarios: &[Scenario]) {
    let mut names = HashSet::new();
    for scenario in scenarios {
        if !names.insert(scenario.name.as_str()) {
            let message = format!("another scenario is named {} too", shown(&scenario.name));
            let hint = "give each scenario a name of its own; rows of `each` may be named by \
                        `$column`";
            findings.error("duplicate-name", &scenario.place.bytes, message, hint);
        }
    }
}

/// Paths, and texts of policies.
pub(super) fn policies(findings: &mut Findings, node: &Node) -> Vec<PolicySource> {
    let hint = "write the path of a policy file, relative to this file";
    let mut sources = Vec::new();
    for item in one_or_more(node) {
        if let Value::Mapping(_) = &item.value {
            let fields = findings.fields(item, "a policy", POLICY_KEYS);
            let text = fields.as_ref().and_then(|fields| {
                findings.require(fields, "text", ("a policy", item), "write `text: |` and a policy")
            });
            let text = text.and_then(|node| Some((node, findings.text(node, "a policy", hint)?)));
            let placed = text.map(|(node, text)| findings.placed(text.text.clone(), node));
            sources.extend(placed.map(PolicySource::Text));
        } else if let Some(path) = findings.text(item, "a path", hint) {
            sources.push(PolicySource::Path(findings.placed(path.text.clone(), item)));
        }
    }
    sources
}

pub(super) fn domain(findings: &mut Findings, node: &Node) -> Option<Placed<String>> {
    let scalar = findings.text(node, "a domain", "write the `domain` of a policy")?;
    Some(findings.placed(scalar.text.clone(), node))
}

pub(super) fn moment(findings: &mut Findings, node: &Node) -> Option<Timestamp> {
    let hint = "write it as `2026-01-01` or `2026-01-01T10:30:00Z`";
    let scalar = findings.text(node, "a time", hint)?;
    let read = spans::moment(&scalar.text);
    if read.is_none() {
        let message = format!("{} is not a time", shown(&scalar.text));
        findings.error("bad-time", &node.bytes, message, hint);
    }
    read
}

/// Decimal digits, which single underscores may group.
pub(super) fn digits(text: &str) -> Option<u64> {
    let grouped = text.split('_').all(|group| !group.is_empty());
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    let is_number = grouped && plain.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| plain.parse().ok()).flatten()
}

pub(super) fn number(findings: &mut Findings, node: &Node, what: &str) -> Option<u64> {
    let hint = "write a whole number, such as `50`";
    let scalar = findings.text(node, what, hint)?;
    let number = digits(&scalar.text);
    if number.is_none() {
        findings.unexpected(node, what, hint);
    }
    number
}
