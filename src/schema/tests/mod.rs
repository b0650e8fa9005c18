//! The schemas against the readers: the same keys, nothing refused that is read without an error,
//! and what a schema can see is seen.

mod grammar;

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Map, Value as Json, json};

use super::{POLICY, SCENARIOS};
use crate::policy::diagnostic::{Diagnostic, Severity};
use crate::policy::findings::{Keys, Standing};
use crate::policy::model::Source;
use crate::yaml::{self, Node, Scalar, Value};
use crate::{policy, scenario};

/// Kinds of findings that a schema sees. The others are about what texts mean, about names
/// elsewhere in the files, or about YAML itself.
const SEEN: [&str; 15] = [
    "bad-limit",
    "bad-percent",
    "bad-row",
    "bad-template",
    "bad-time",
    "bad-window",
    "conflict",
    "duplicate-item",
    "empty-list",
    "misplaced-key",
    "missing-key",
    "too-many-items",
    "unknown-key",
    "unknown-word",
    "wrong-type",
];

/// Parts of messages of these kinds that no schema could give.
const BEYOND: [&str; 18] = [
    // A number to editors, and none to the server whose format it is.
    "found `08`",
    // Numbers, and what has to be compared.
    " has no length",
    " is too long",
    " is captured twice",
    " is above `",
    "the load and its status are two headers",
    "is not more than 0% and at most 100%",
    "is neither a day nor a moment",
    "what is held at a time has no window",
    // What other parts of the policy say.
    "is captured by `base` already",
    "has a limit for each endpoint",
    "is unlimited: there is nothing to share",
    "the other rule has no limit with this window",
    // Patterns that would take longer to read than they are worth.
    "path templates are no regular expressions",
    "a captured segment needs a plain name",
    "a path template has at most 100 segments",
    // A number in YAML, which is all that an editor tells the schema.
    "found `010`",
    // A row of `each` puts it in for `$limit`.
    "how often to send, found `many`",
];

fn schema(text: &str) -> Json {
    serde_json::from_str(text).unwrap()
}

static POLICY_VALIDATOR: LazyLock<Validator> =
    LazyLock::new(|| jsonschema::draft7::new(&schema(POLICY)).unwrap());
static SCENARIOS_VALIDATOR: LazyLock<Validator> =
    LazyLock::new(|| jsonschema::draft7::new(&schema(SCENARIOS)).unwrap());

/// What an editor takes a document for: the core schema of YAML 1.2.
fn to_json(node: &Node) -> Json {
    match &node.value {
        Value::Mapping(pairs) => {
            let pair = |(key, value): &(Node, Node)| {
                (key.scalar().map_or_else(String::new, |key| key.text.clone()), to_json(value))
            };
            Json::Object(pairs.iter().map(pair).collect::<Map<_, _>>())
        }
        Value::Sequence(items) => Json::Array(items.iter().map(to_json).collect()),
        Value::Scalar(_) if node.is_null() => Json::Null,
        Value::Scalar(scalar) => scalar_to_json(scalar),
    }
}

fn scalar_to_json(scalar: &Scalar) -> Json {
    let text = scalar.text.as_str();
    if let Some(truth) = scalar.as_bool() {
        return Json::Bool(truth);
    }
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte))
        && text.contains(|c: char| c.is_ascii_digit());
    if scalar.quoted || !is_number {
        return Json::from(text);
    }
    let whole =
        text.parse::<u64>().map(Json::from).or_else(|_| text.parse::<i64>().map(Json::from));
    whole.unwrap_or_else(|_| text.parse::<f64>().map_or_else(|_| Json::from(text), Json::from))
}

/// What the schema says against the documents of a text, each with the bytes that it is about.
fn refusals(validator: &Validator, text: &str) -> Vec<(Range<usize>, String)> {
    let mut found = Vec::new();
    for document in &yaml::parse(text).documents {
        let value = to_json(document);
        for error in validator.iter_errors(&value) {
            let path = error.instance_path().to_string();
            found.push((bytes_at(document, &path), format!("{path}: {error}")));
        }
    }
    found
}

/// Where a value stands, with its key if it has one.
fn bytes_at(document: &Node, pointer: &str) -> Range<usize> {
    let (mut node, mut bytes) = (document, document.bytes.clone());
    for name in pointer.split('/').skip(1).map(|name| name.replace("~1", "/").replace("~0", "~")) {
        let (key, value) = match &node.value {
            Value::Sequence(items) => {
                let item = &items[name.parse::<usize>().unwrap()];
                (item, item)
            }
            Value::Mapping(pairs) => {
                let is_named = |key: &Node| key.scalar().is_some_and(|key| key.text == name);
                let pair = pairs.iter().find(|(key, _)| is_named(key)).unwrap();
                (&pair.0, &pair.1)
            }
            Value::Scalar(_) => panic!("{pointer} leads nowhere"),
        };
        (node, bytes) = (value, key.bytes.start..value.bytes.end);
    }
    bytes
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &str, ending: &str) -> Vec<(PathBuf, String)> {
    let entries = fs::read_dir(repository().join(folder)).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.to_string_lossy().ends_with(ending));
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// The fenced YAML blocks of the pages that begin with a key.
fn examples(key: &str) -> Vec<(PathBuf, String)> {
    let pages = [files("docs", ".md"), files(".", "README.md")].concat();
    let mut examples = Vec::new();
    for (path, page) in pages {
        let blocks = page.split("```yaml\n").skip(1);
        let blocks = blocks.map(|rest| rest.split("```").next().unwrap_or_default());
        let blocks = blocks.filter(|block| block.starts_with(key));
        examples.extend(blocks.map(|block| (path.clone(), block.to_owned())));
    }
    examples
}

fn read_policy(text: &str) -> Vec<Diagnostic> {
    policy::read::read(&[Source { name: "p.yaml".to_owned(), text: text.to_owned() }]).1
}

fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|found| found.severity == Severity::Error)
}

#[test]
fn the_schemas_are_schemas() {
    for text in [POLICY, SCENARIOS] {
        assert!(jsonschema::draft7::meta::is_valid(&schema(text)));
    }
}

fn names<'s>(of: impl IntoIterator<Item = &'s str>) -> BTreeSet<&'s str> {
    of.into_iter().collect()
}

/// The keys that a definition has properties for.
fn properties<'s>(schema: &'s Json, definition: &str) -> BTreeSet<&'s str> {
    let properties = schema["definitions"][definition]["properties"].as_object();
    names(properties.into_iter().flat_map(|properties| properties.keys()).map(String::as_str))
}

/// The keys that a reader takes.
fn read_keys(keys: &'static Keys) -> BTreeSet<&'static str> {
    let read = keys.iter().filter(|(_, standing)| matches!(standing, Standing::Read));
    names(read.map(|(key, _)| *key))
}

/// The definitions that refuse keys that they do not know.
fn strict(schema: &Json) -> BTreeSet<&str> {
    let definitions = schema["definitions"].as_object().into_iter().flatten();
    let strict = definitions.filter(|(_, it)| it["additionalProperties"] == json!(false));
    names(strict.map(|(name, _)| name.as_str()))
}

#[test]
fn policies_have_the_keys_that_are_read() {
    let (schema, tables) = (schema(POLICY), policy::key_tables());
    for (name, keys) in &tables {
        let read = read_keys(keys);
        assert_eq!(properties(&schema, name), read, "the keys of the definition `{name}`");
    }
    let with_table = names(tables.iter().map(|(name, _)| *name));
    assert_eq!(strict(&schema), with_table, "definitions, and tables of keys");
}

#[test]
fn scenario_files_have_the_keys_that_are_read() {
    let (schema, tables) = (schema(SCENARIOS), scenario::key_tables());
    for (name, keys) in &tables {
        let mut read = read_keys(keys);
        if *name == "scenario" {
            // Its rows are filled in before a scenario is read.
            read.insert("each");
        }
        assert_eq!(properties(&schema, name), read, "the keys of the definition `{name}`");
    }
    assert_eq!(strict(&schema), names(tables.iter().map(|(name, _)| *name)));
}

/// The names that source files give to their tables of keys.
fn tables_in_source(folders: &[&str]) -> usize {
    let declared = |(_, text): &(PathBuf, String)| text.matches("KEYS: &Keys =").count();
    folders.iter().flat_map(|folder| files(folder, ".rs")).map(|file| declared(&file)).sum()
}

#[test]
fn no_table_of_keys_is_left_out() {
    let distinct = |tables: Vec<(&str, &'static Keys)>| {
        tables.iter().map(|(_, keys)| format!("{keys:?}")).collect::<BTreeSet<_>>().len()
    };
    let in_source = tables_in_source(&["src/policy", "src/policy/native", "src/policy/envoy"]);
    assert_eq!(distinct(policy::key_tables()), in_source);
    assert_eq!(distinct(scenario::key_tables()), tables_in_source(&["src/scenario"]));
}

fn each_schema(schema: &Json, path: &str, look: &mut impl FnMut(&str, &Json)) {
    look(path, schema);
    match schema {
        Json::Object(members) => {
            for (name, member) in members {
                each_schema(member, &format!("{path}/{name}"), look);
            }
        }
        Json::Array(items) => {
            for (item, number) in items.iter().zip(0..) {
                each_schema(item, &format!("{path}/{number}"), look);
            }
        }
        _ => {}
    }
}

#[test]
fn every_key_is_explained_and_every_reference_leads_somewhere() {
    for text in [POLICY, SCENARIOS] {
        let schema = schema(text);
        for (name, definition) in schema["definitions"].as_object().unwrap() {
            let properties = definition["properties"].as_object().into_iter().flatten();
            for (key, property) in properties.filter(|(_, property)| **property != json!(false)) {
                let text = property["description"].as_str().unwrap_or_default();
                assert!(text.ends_with('.'), "`{key}` of `{name}` has no description: {text}");
            }
        }
        let mut used = BTreeSet::new();
        each_schema(&schema, "#", &mut |path, schema| {
            if let Some(target) = schema.get("$ref").and_then(Json::as_str) {
                let found = schema_at(target, text);
                assert!(found, "{path} refers to {target}");
                used.insert(target.to_owned());
            }
        });
        for name in schema["definitions"].as_object().unwrap().keys() {
            assert!(used.contains(&format!("#/definitions/{name}")), "nothing uses `{name}`");
        }
    }
}

fn schema_at(target: &str, text: &str) -> bool {
    target.strip_prefix('#').is_some_and(|pointer| schema(text).pointer(pointer).is_some())
}

#[test]
fn good_policies_are_valid() {
    let mut texts =
        [files("tests/policies/good", ".yaml"), files("policies", ".yaml"), examples("domain:")]
            .concat();
    texts.retain(|(path, _)| !path.to_string_lossy().ends_with(".test.yaml"));
    assert!(texts.len() >= 20, "only {} policies", texts.len());
    for (path, text) in texts {
        let found = refusals(&POLICY_VALIDATOR, &text);
        assert!(found.is_empty(), "{}: {found:#?}\n{text}", path.display());
    }
}

#[test]
fn good_scenarios_are_valid() {
    let texts = [files("policies", ".test.yaml"), examples("scenarios:")].concat();
    assert!(texts.len() >= 5, "only {} scenario files", texts.len());
    for (path, text) in texts {
        let found = refusals(&SCENARIOS_VALIDATOR, &text);
        assert!(found.is_empty(), "{}: {found:#?}\n{text}", path.display());
    }
}

/// What was found and the schema lets pass, of the kinds that it sees.
fn unseen(validator: &Validator, text: &str, found: &[Diagnostic]) -> Vec<String> {
    let refusals = refusals(validator, text);
    let is_seen =
        |place: usize| refusals.iter().any(|(bytes, _)| (bytes.start..=bytes.end).contains(&place));
    let is_beyond = |found: &Diagnostic| BEYOND.iter().any(|part| found.message.contains(part));
    let found = found.iter().filter(|found| SEEN.contains(&found.code) && !is_beyond(found));
    let found = found.filter(|found| !is_seen(found.place.bytes.start));
    let line = |found: &Diagnostic| {
        let line = text[..found.place.bytes.start].lines().count();
        format!("{line}: {} {} ({})", found.code, found.message, found.hint)
    };
    found.map(line).collect()
}

#[test]
fn what_a_schema_can_see_of_bad_policies_it_refuses() {
    let (mut codes, mut unseen_of_all) = (BTreeSet::new(), Vec::new());
    for (path, text) in files("tests/policies/bad", ".yaml") {
        let found = read_policy(&text);
        codes.extend(found.iter().map(|found| found.code));
        if !has_errors(&found) {
            let refused = refusals(&POLICY_VALIDATOR, &text);
            assert!(refused.is_empty(), "{} is only doubtful: {refused:?}", path.display());
        }
        for unseen in unseen(&POLICY_VALIDATOR, &text, &found) {
            unseen_of_all.push(format!("{}:{unseen}", path.display()));
        }
    }
    assert_eq!(unseen_of_all, Vec::<String>::new(), "{unseen_of_all:#?}");
    for code in ["unknown-key", "misplaced-key", "missing-key", "unknown-word", "bad-limit"] {
        assert!(codes.contains(code), "no bad policy is one for {code}");
    }
}

#[test]
fn what_a_schema_can_see_of_bad_scenarios_it_refuses() {
    let mut unseen_of_all = Vec::new();
    for (path, text) in files("tests/scenarios/bad", ".yaml") {
        let source = Source { name: "p.test.yaml".to_owned(), text: text.clone() };
        let found = scenario::read(&source).diagnostics;
        for unseen in unseen(&SCENARIOS_VALIDATOR, &text, &found) {
            unseen_of_all.push(format!("{}:{unseen}", path.display()));
        }
    }
    assert_eq!(unseen_of_all, Vec::<String>::new(), "{unseen_of_all:#?}");
}
