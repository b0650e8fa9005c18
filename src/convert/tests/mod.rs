//! Policies of other servers in, native ones out.
//!
//! `tests/convert` holds what is converted and what comes out; `TOLLGATE_GOLDEN=write` writes that
//! anew.

mod same;
mod written;

use std::fs;
use std::path::{Path, PathBuf};

use super::{Format, convert, write};
use crate::policy::compile;
use crate::policy::diagnostic::Severity;
use crate::policy::model::{DescriptorOptions, Options, Source};
use crate::policy::render::render;
use crate::policy::set::{CounterSeed, PolicySet};

/// What the source says so, or what the original warns of as well.
const WARNINGS: [&str; 5] =
    ["no-effect", "zero-amount", "no-rules", "doubtful-name", "mutual-replaces"];

fn source(name: &str, text: &str) -> Source {
    Source { name: name.to_owned(), text: text.to_owned() }
}

/// What a text is converted to.
fn converted(text: &str, from: Option<Format>) -> String {
    let sources = [source("source.yaml", text)];
    let converted = convert(&sources, from, &DescriptorOptions::default());
    let shown = render(&sources, &converted.diagnostics, false);
    let drafts = converted.drafts.unwrap_or_else(|| panic!("{shown}{:?}", converted.problems));
    write::documents(&drafts)
}

/// A policy without errors, and with no warnings but those it is meant to have.
fn set(text: &str) -> PolicySet {
    let sources = [source("converted.yaml", text)];
    let compiled = compile(&sources, CounterSeed([1, 2]), &Options::default());
    let is_meant = |code: &str| WARNINGS.contains(&code);
    let odd = compiled
        .diagnostics
        .iter()
        .any(|found| found.severity == Severity::Error || !is_meant(found.code));
    assert!(!odd, "{text}\n{}", render(&sources, &compiled.diagnostics, false));
    compiled.set.unwrap()
}

fn corpus(format: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/convert").join(format);
    let entries = fs::read_dir(&folder).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    paths
}

#[test]
fn policies_come_out_as_expected() {
    #[expect(clippy::disallowed_methods, reason = "a switch of the test run, not a setting")]
    let write = std::env::var("TOLLGATE_GOLDEN").is_ok_and(|value| value == "write");
    let (of_ratelimit, of_limitador) = (corpus("ratelimit"), corpus("limitador"));
    assert!(of_ratelimit.len() >= 12 && of_limitador.len() >= 10);
    for path in [of_ratelimit, of_limitador].concat() {
        let text = converted(&fs::read_to_string(&path).unwrap(), None);
        set(&text);
        let expected = path.with_extension("expected");
        if write {
            fs::write(&expected, &text).unwrap();
        }
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        assert_eq!(text, expected, "{}", path.display());
    }
}

#[test]
fn faults_of_the_source_have_their_places_and_nothing_comes_out() {
    let sources = [source("p.yaml", "domain: d\ndescriptors:\n  - value: x\n")];
    let converted = convert(&sources, None, &DescriptorOptions::default());
    assert!(converted.drafts.is_none());
    let shown = render(&sources, &converted.diagnostics, false);
    assert!(shown.contains("missing-key") && shown.contains("p.yaml:3"), "{shown}");
}

#[test]
fn a_limit_that_no_policy_can_have_does_not_stop_the_others() {
    let per: Vec<String> = (0..100).map(|number| format!("'descriptors[0].v{number}'")).collect();
    let limit = |name: &str, variables: &str| {
        format!(
            "- {{ namespace: d, max_value: 1, seconds: 1, name: {name}, variables: [{variables}] }}\n"
        )
    };
    let sources = [source("l.yaml", &(limit("good", "") + &limit("wide", &per.join(", "))))];
    let drafts = convert(&sources, None, &DescriptorOptions::default()).drafts.unwrap();
    assert_eq!(drafts[0].uncarried, ["`wide` of line 2"]);
    let native = set(&write::documents(&drafts));
    assert_eq!(native.domains[0].rules.len(), 1);
}

#[test]
fn keys_of_any_script_name_rules_and_no_name_is_empty() {
    let keys = ["é", "用户", "**", "//"];
    let limit = "rate_limit: { unit: minute, requests_per_unit: 5 }";
    let nodes = keys.map(|key| format!("- {{ key: \"{key}\", {limit} }}\n"));
    let native = set(&converted(&format!("domain: d\ndescriptors:\n{}", nodes.concat()), None));
    let names: Vec<&str> = native.domains[0].rules.iter().map(|rule| rule.name.as_ref()).collect();
    assert_eq!(names, ["é", "用户", "rule", "rule-2"]);
}

#[test]
fn no_text_under_any_key_keeps_a_limit_from_being_carried() {
    let keys = [
        "path",
        ":path",
        "url",
        "uri",
        "route",
        "request_path",
        "endpoint",
        "method",
        ":method",
        "ip",
        "remote_address",
        "a.b",
        "a, b",
        "a*",
        " a ",
        "é",
        "attributes",
        "in",
        "size",
    ];
    let texts = [
        "/toys/{id}",
        "/api/*",
        "/api/**",
        "*",
        "!a",
        "~a",
        "!",
        "not a",
        "not_present",
        "present",
        "absent",
        "{present}",
        "10.0.0.0/8",
        "10.0.0.1",
        "get",
        "GET,POST",
        "a/b",
        "/x?y",
        "{a}",
        "",
        " ",
        "用户",
        "#",
        "- a",
        "a: b",
        "\\n",
        "\\\"",
    ];
    let mut conditions = Vec::new();
    for entry in keys.map(|key| format!("descriptors[0]['{key}']")) {
        for text in texts {
            conditions.push(format!("{entry} == '{text}'"));
            conditions.push(format!("{entry} != '{text}'"));
            conditions.push(format!("{entry} in ['{text}', 'x']"));
            conditions.push(format!("{entry}.startsWith('{text}')"));
            conditions.push(format!("!{entry}.startsWith('{text}')"));
        }
    }
    let limits = conditions.iter().map(|condition| {
        let condition = serde_json::Value::from(condition.as_str());
        format!("- {{ namespace: d, max_value: 1, seconds: 1, conditions: [{condition}] }}\n")
    });
    let native = converted(&limits.collect::<String>(), None);
    assert_eq!(set(&native).domains[0].rules.len(), conditions.len(), "{native}");
}

#[test]
fn files_of_one_domain_come_out_as_one_policy_where_that_is_wanted() {
    let sources = ["a", "b"].map(|key| {
        let limit = "rate_limit: { unit: minute, requests_per_unit: 5 }";
        source(key, &format!("domain: d\ndescriptors: [{{ key: {key}, {limit} }}]\n"))
    });
    assert!(convert(&sources, None, &DescriptorOptions::default()).drafts.is_none());
    let merging = DescriptorOptions { merges_domains: true, ..DescriptorOptions::default() };
    let drafts = convert(&sources, None, &merging).drafts.unwrap();
    assert_eq!((drafts.len(), drafts[0].rules.len()), (1, 2));
}

#[test]
fn a_native_policy_is_not_converted_whatever_is_said_of_it() {
    for from in [None, Some(Format::Ratelimit), Some(Format::Limitador)] {
        let sources = [source("p.yaml", "domain: d\nrules: []\n")];
        let converted = convert(&sources, from, &DescriptorOptions::default());
        assert!(converted.drafts.is_none());
        assert!(converted.problems[0].contains("native policy already"), "{converted:?}");
    }
}

#[test]
fn a_condition_that_would_be_too_long_is_cut_and_says_so() {
    let mut text = "domain: d\ndescriptors:\n- { key: a, rate_limit: { unit: minute, \
                    requests_per_unit: 1 } }\n"
        .to_owned();
    for number in 0..300 {
        text.push_str(&format!("- {{ key: a, value: '*-{number}-end' }}\n"));
    }
    let native = converted(&text, None);
    assert!(native.contains("Applies to more values than there"), "{native}");
    set(&native);
}
