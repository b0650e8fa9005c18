//! From texts to checked models, with everything that is wrong with all of them.
//!
//! The models are fit for compiling only when no diagnostic is an error.

use crate::policy::check;
use crate::policy::diagnostic::{Diagnostic, Severity};
use crate::policy::envoy;
use crate::policy::findings::{Findings, MOST_DIAGNOSTICS};
use crate::policy::merge;
use crate::policy::model::{DescriptorOptions, Place, Policy, Source};
use crate::policy::native;
use crate::policy::tables::{AllTables, TableFiles};
use crate::yaml::{self, Node};

/// As [`read_with`], where nothing is said of the envoyproxy/ratelimit format.
pub fn read(sources: &[Source]) -> (Vec<Policy>, Vec<Diagnostic>) {
    read_with(sources, &DescriptorOptions::default())
}

/// Reads and checks all texts. Diagnostics come sorted by source and place.
///
/// A text without a policy is an error, and so is no text at all: limits are lifted by saying so,
/// never by a file that was emptied or cut off while it was saved.
pub fn read_with(
    sources: &[Source],
    options: &DescriptorOptions,
) -> (Vec<Policy>, Vec<Diagnostic>) {
    let mut policies = Vec::new();
    let mut diagnostics = Vec::new();
    let mut dropped = 0;
    let table_names = AllTables::names(sources);
    let is_table = |source: &Source| table_names.contains(&source.name);
    let mut tables = AllTables::default();
    let mut order: Vec<usize> = (0..sources.len()).collect();
    // Policies need the rows of their tables.
    order.sort_by_key(|index| !is_table(&sources[*index]));
    for index in order {
        let source = &sources[index];
        let mut findings = Findings::new(index);
        let parsed = yaml::parse(&source.text);
        let is_empty = parsed.documents.is_empty() && parsed.faults.is_empty();
        if is_empty && !is_table(source) {
            let hint = "write a policy with `domain` and `rules`, or remove the file";
            findings.error("empty-file", &(0..0), "this file holds no policy", hint);
        }
        for fault in parsed.faults {
            findings.fault(fault);
        }
        if is_table(source) {
            tables.add(&mut findings, &source.name, &parsed.documents);
        } else {
            let files = tables.of(&source.name);
            let read = |document| read_document(&mut findings, document, files);
            policies.extend(parsed.documents.iter().filter_map(read));
        }
        let (found, more) = findings.into_diagnostics();
        diagnostics.extend(found);
        dropped += more;
    }
    if options.merges_domains {
        let (merged, found) = merge::merge(policies);
        policies = merged;
        diagnostics.extend(found);
    }
    diagnostics.extend(check::check(&policies));
    if sources.is_empty() {
        diagnostics.push(no_sources());
    }
    diagnostics.sort_by_key(|found| {
        let place = &found.place;
        (place.source, place.bytes.start, place.bytes.end, found.severity)
    });
    cut_short(&mut diagnostics, dropped);
    (policies, diagnostics)
}

fn no_sources() -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        code: "no-policy",
        message: "there is no policy to load".to_owned(),
        place: Place::default(),
        related: None,
        hint: "write a policy with `domain` and `rules`".to_owned(),
    }
}

fn read_document(
    findings: &mut Findings,
    document: &Node,
    files: TableFiles<'_>,
) -> Option<Policy> {
    let (rules, descriptors) = (document.member("rules"), document.member("descriptors"));
    let start = document.bytes.start..document.bytes.start;
    match (rules, descriptors) {
        (Some(_), None) => native::read(findings, document, files),
        (None, Some(_)) => envoy::read(findings, document),
        (Some(rules), Some(descriptors)) => {
            let message = "a document has either `rules` or `descriptors`";
            let hint = "put the two into documents of their own, separated by `---`";
            let later = rules.bytes.start.max(descriptors.bytes.start);
            let bytes = if later == rules.bytes.start { &rules.bytes } else { &descriptors.bytes };
            findings.error("conflict", &(bytes.start..bytes.start), message, hint);
            None
        }
        (None, None) if native::looks_alike(document) => native::read(findings, document, files),
        (None, None) if is_domain_alone(document) => envoy::read(findings, document),
        (None, None) => {
            let message = "this is no policy: it has neither `rules` nor `descriptors`";
            findings.error("no-policy", &start, message, hint_for(document));
            None
        }
    }
}

/// What to do with a document that is no policy, by what it looks like.
fn hint_for(document: &Node) -> &'static str {
    let kind = document.member("kind").and_then(Node::scalar).map(|kind| kind.text.as_str());
    let is_limit = |item: &Node| item.member("namespace").is_some();
    match (&document.value, kind) {
        (yaml::Value::Sequence(items), _) if items.first().is_some_and(is_limit) => {
            "these are limits of Limitador: `tollgate convert` makes a policy of them"
        }
        (_, Some("Limitador")) => {
            "this is an object of Limitador: `tollgate convert` makes a policy of its limits"
        }
        (_, Some("ConfigMap")) => {
            "this is a ConfigMap: write the text that stands under its `data` into a file"
        }
        _ if looks_like_a_table(document) => {
            "if it is a table file, name it in a policy of its folder: `tables: { NAME: { \
             file: ... } }`"
        }
        _ => "write `domain: NAME` and `rules:`, or remove the document",
    }
}

/// What envoyproxy/ratelimit takes for a domain without limits.
fn is_domain_alone(document: &Node) -> bool {
    let yaml::Value::Mapping(pairs) = &document.value else { return false };
    pairs.len() == 1 && document.member("domain").is_some()
}

/// Rows of fields, and no key of a policy.
fn looks_like_a_table(document: &Node) -> bool {
    let yaml::Value::Mapping(rows) = &document.value else { return false };
    let is_row = |row: &Node| match &row.value {
        yaml::Value::Mapping(fields) => fields.iter().all(|(_, value)| value.scalar().is_some()),
        yaml::Value::Scalar(_) | yaml::Value::Sequence(_) => false,
    };
    !rows.is_empty() && rows.iter().all(|(_, row)| is_row(row))
}

/// `dropped` findings were counted and not kept.
pub(crate) fn cut_short(diagnostics: &mut Vec<Diagnostic>, dropped: usize) {
    let left_out = diagnostics.len().saturating_sub(MOST_DIAGNOSTICS) + dropped;
    if left_out == 0 {
        return;
    }
    let rest = diagnostics.split_off(MOST_DIAGNOSTICS);
    let Some(first) = rest.first() else { return };
    // An error that is left out must still refuse the set.
    let severity = rest.iter().map(|found| found.severity).min().unwrap_or(Severity::Error);
    diagnostics.push(Diagnostic {
        severity,
        code: "too-many-findings",
        message: format!("{left_out} more findings are not shown"),
        place: first.place.clone(),
        related: None,
        hint: "fix some of those above, then check again".to_owned(),
    });
}
