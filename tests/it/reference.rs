//! tollgate told what other servers were told: their recordings in `tests/reference`, replayed in virtual time.
//!
//! The recordings of envoyproxy/ratelimit come from a model in Python that shares no code with tollgate.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Value, json};
use tollgate::decide::{self, Code};
use tollgate::grpc::rls::{request_of, response_of};
use tollgate::pb;
use tollgate::pb::descriptor::rate_limit_descriptor::{Entry, RateLimitOverride};
use tollgate::pb::rls::rate_limit_response as wire;
use tollgate::pb::rls::{RateLimitRequest, RateLimitResponse};
use tollgate::policy::diagnostic::{Diagnostic, Severity};
use tollgate::policy::model::{DescriptorHeaders, DescriptorOptions, Mode, Options, Source};
use tollgate::policy::set::{CounterSeed, PolicySet};
use tollgate::store::memory::MemoryStore;
use tollgate::time::Timestamp;

use crate::support::*;

/// A file of recordings. What it says about itself is for people.
#[derive(Debug, Deserialize)]
struct Recording {
    sequences: Vec<Sequence>,
}

/// Steps asked of one server, one after the other.
#[derive(Debug, Deserialize)]
struct Sequence {
    name: String,
    files: BTreeMap<String, String>,
    #[serde(default)]
    settings: BTreeMap<String, String>,
    /// Whether a native policy can say the same, for all that the steps ask.
    #[serde(default)]
    converts: bool,
    /// None where the configuration is refused.
    #[serde(default)]
    steps: Vec<Step>,
}

#[derive(Debug, Deserialize)]
struct Step {
    /// Unix seconds.
    at: f64,
    request: Asked,
    answer: Value,
}

#[derive(Debug, Deserialize)]
struct Asked {
    domain: String,
    #[serde(default)]
    hits_addend: u32,
    descriptors: Vec<AskedDescriptor>,
}

#[derive(Debug, Deserialize)]
struct AskedDescriptor {
    entries: Vec<(String, String)>,
    hits_addend: Option<u64>,
    #[serde(default)]
    is_negative_hits: bool,
    limit: Option<AskedLimit>,
}

#[derive(Debug, Deserialize)]
struct AskedLimit {
    requests_per_unit: u32,
    unit: String,
}

impl Asked {
    fn call(&self) -> RateLimitRequest {
        RateLimitRequest {
            domain: self.domain.clone().into(),
            hits_addend: self.hits_addend,
            descriptors: self.descriptors.iter().map(AskedDescriptor::wire).collect(),
        }
    }
}

impl AskedDescriptor {
    fn wire(&self) -> pb::descriptor::RateLimitDescriptor {
        let entry = |(key, value): &(String, String)| Entry {
            key: key.clone().into(),
            value: value.clone().into(),
        };
        let limit = |limit: &AskedLimit| RateLimitOverride {
            requests_per_unit: limit.requests_per_unit,
            unit: pb::envoy::r#type::v3::RateLimitUnit::from_str_name(&limit.unit).unwrap().into(),
            unit_multiplier: None,
        };
        pb::descriptor::RateLimitDescriptor {
            entries: self.entries.iter().map(entry).collect(),
            limit: self.limit.as_ref().map(limit),
            hits_addend: self.hits_addend,
            is_negative_hits: self.is_negative_hits,
        }
    }
}

impl Sequence {
    fn sources(&self) -> Vec<Source> {
        let source =
            |(name, text): (&String, &String)| Source { name: name.clone(), text: text.clone() };
        self.files.iter().map(source).collect()
    }

    /// What that server takes from its environment.
    fn options(&self) -> Options {
        let says = |name: &str| self.settings.get(name).is_some_and(|value| value == "true");
        let header = |setting: &str, default: &str| {
            self.settings.get(setting).map_or(default, String::as_str).to_owned()
        };
        let headers = says("LIMIT_RESPONSE_HEADERS_ENABLED").then(|| DescriptorHeaders {
            limit: header("LIMIT_LIMIT_HEADER", "RateLimit-Limit"),
            remaining: header("LIMIT_REMAINING_HEADER", "RateLimit-Remaining"),
            reset: header("LIMIT_RESET_HEADER", "RateLimit-Reset"),
        });
        Options {
            mode: if says("SHADOW_MODE") { Mode::Shadow } else { Mode::Enforce },
            descriptors: DescriptorOptions {
                merges_domains: says("MERGE_DOMAIN_CONFIG"),
                quota_mode: says("QUOTA_MODE"),
                spares_others: says("STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT"),
                headers,
                has_metadata: says("RESPONSE_DYNAMIC_METADATA"),
            },
        }
    }

    fn compile(&self) -> Result<PolicySet, Vec<Diagnostic>> {
        compile(&self.sources(), &self.options())
    }

    /// Whether the wire refuses a step, before anything is decided.
    fn has_errors(&self) -> bool {
        self.steps.iter().any(|step| step.answer.get("error").is_some())
    }
}

fn compile(sources: &[Source], options: &Options) -> Result<PolicySet, Vec<Diagnostic>> {
    let compiled = tollgate::policy::compile(sources, CounterSeed([1, 2]), options);
    compiled.set.ok_or_else(|| {
        let found = compiled.diagnostics.into_iter();
        found.filter(|found| found.severity == Severity::Error).collect()
    })
}

fn folder(name: &str) -> PathBuf {
    tools::repository().join("tests/reference").join(name)
}

/// Every recording of envoyproxy/ratelimit by its name, but for what it refuses.
fn recordings() -> Vec<(String, Recording)> {
    let listed = std::fs::read_dir(folder("ratelimit")).unwrap();
    let paths = listed.map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|it| it.extension() == Some("json".as_ref())).collect();
    paths.retain(|path| !path.ends_with("refused.json"));
    paths.sort();
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
    };
    paths.into_iter().map(read).collect()
}

/// A server in virtual time.
struct Replay {
    set: PolicySet,
    store: MemoryStore,
}

impl Replay {
    fn new(set: PolicySet) -> Self {
        Self { set, store: MemoryStore::default() }
    }

    fn ask(&self, step: &Step) -> RateLimitResponse {
        #[expect(clippy::cast_possible_truncation, reason = "moments of this century")]
        let (seconds, nanos) = (step.at.floor() as i64, (step.at.fract() * 1e9).round() as i64);
        let now = Timestamp::from_nanos(seconds * 1_000_000_000 + nanos);
        let call = step.request.call();
        let plan = decide::plan(&self.set, &request_of(&call), now, |_| None);
        let outcomes = self.store.charge(&plan.charges, now);
        let decision = decide::conclude(&plan, &outcomes);
        assert_eq!(decision.code == Code::Ok, decision.status() == 200);
        response_of(&call, &decision, decide::answer(&decision, now))
    }
}

/// A response in the form of the recordings, with as much of it as `expected` tells.
fn told(response: &RateLimitResponse, expected: &Value) -> Value {
    let mut told = json!({
        "overall": code_name(response.overall_code),
        "statuses": response.statuses.iter().map(told_status).collect::<Vec<_>>(),
        "headers": told_headers(response),
    });
    if expected.get("metadata").is_some() {
        told["metadata"] = response.dynamic_metadata.as_ref().map_or(Value::Null, told_metadata);
    }
    told
}

fn code_name(code: i32) -> &'static str {
    wire::Code::try_from(code).unwrap().as_str_name()
}

fn told_status(status: &wire::DescriptorStatus) -> Value {
    let limit = |limit: &wire::RateLimit| {
        assert_eq!(limit.unit_multiplier, None);
        let unit = wire::rate_limit::Unit::try_from(limit.unit).unwrap().as_str_name();
        json!({ "requests_per_unit": limit.requests_per_unit, "unit": unit, "name": limit.name })
    };
    let reset = |reset: &prost_types::Duration| match reset.nanos {
        0 => json!(reset.seconds),
        nanos => json!(format!("{}.{nanos:09}", reset.seconds)),
    };
    json!({
        "code": code_name(status.code),
        "limit": status.current_limit.as_ref().map(limit),
        "remaining": status.limit_remaining,
        "reset": status.duration_until_reset.as_ref().map(reset),
    })
}

fn told_headers(response: &RateLimitResponse) -> Value {
    let headers = response.response_headers_to_add.iter();
    Value::Object(headers.map(|header| (header.key.clone(), json!(header.value))).collect())
}

/// What that server tells. Of a denial tollgate tells more.
fn told_metadata(fields: &prost_types::Struct) -> Value {
    let known = |name: &String| {
        ["domain", "descriptors", "hitsAddend", "metadata"].contains(&name.as_str())
    };
    let fields = fields.fields.iter().filter(|(name, _)| known(name));
    Value::Object(fields.map(|(name, value)| (name.clone(), json_of(value))).collect())
}

fn json_of_struct(fields: &prost_types::Struct) -> Value {
    Value::Object(fields.fields.iter().map(|(key, it)| (key.clone(), json_of(it))).collect())
}

fn json_of(value: &prost_types::Value) -> Value {
    use prost_types::value::Kind;
    match value.kind.as_ref().unwrap() {
        Kind::NullValue(_) => Value::Null,
        #[expect(clippy::cast_possible_truncation, reason = "whole numbers are told as such")]
        Kind::NumberValue(number) if number.fract() == 0.0 => json!(*number as i64),
        Kind::NumberValue(number) => json!(number),
        Kind::StringValue(text) => json!(text),
        Kind::BoolValue(value) => json!(value),
        Kind::StructValue(fields) => json_of_struct(fields),
        Kind::ListValue(list) => Value::Array(list.values.iter().map(json_of).collect()),
    }
}

/// An answer without headers is recorded without the key.
fn expected(answer: &Value) -> Value {
    let headers = answer.get("headers").cloned().unwrap_or_else(|| json!({}));
    let mut expected = answer.clone();
    expected["headers"] = headers;
    expected
}

/// The first step of a sequence that is told otherwise than recorded.
fn difference(sequence: &Sequence) -> Result<(), String> {
    let set = sequence.compile().map_err(|found| format!("does not load: {found:#?}"))?;
    let replay = Replay::new(set);
    for (number, step) in sequence.steps.iter().enumerate() {
        let expected = expected(&step.answer);
        let told = told(&replay.ask(step), &expected);
        if told != expected {
            let number = number + 1;
            return Err(format!("step {number}\n  expected {expected}\n  told     {told}"));
        }
    }
    Ok(())
}

/// Fails with all differences, so that one run shows how far apart two servers are.
fn assert_same(differences: &[String], count: usize) {
    let texts = differences.join("\n");
    assert!(differences.is_empty(), "{} of {count} differ\n{texts}", differences.len());
}

#[test]
fn descriptors_are_answered_as_envoyproxy_ratelimit_answers() {
    let (mut differences, mut count) = (Vec::new(), 0);
    for (file, recording) in recordings() {
        for sequence in recording.sequences.iter().filter(|sequence| !sequence.has_errors()) {
            count += 1;
            if let Err(text) = difference(sequence) {
                differences.push(format!("{file}: {}: {text}", sequence.name));
            }
        }
    }
    assert_same(&differences, count);
    assert!(count >= 300, "{count} sequences are too few");
}

#[tokio::test]
async fn calls_that_envoyproxy_ratelimit_refuses_are_refused() {
    let mut count = 0;
    for (file, recording) in recordings() {
        for sequence in recording.sequences.iter().filter(|sequence| sequence.has_errors()) {
            let server = TestServer::start(sequence.files.values().next().unwrap()).await;
            for step in &sequence.steps {
                let refused = server.client().should_rate_limit(step.request.call()).await;
                let code = format!("{:?}", refused.unwrap_err().code());
                assert_eq!(code, "InvalidArgument", "{file}: {}", sequence.name);
                assert_eq!(step.answer["error"], "INVALID_ARGUMENT");
                count += 1;
            }
        }
    }
    assert!(count >= 4, "{count} calls are too few");
}

#[test]
fn configurations_that_envoyproxy_ratelimit_refuses_are_refused() {
    let text = std::fs::read_to_string(folder("ratelimit/refused.json")).unwrap();
    let refused: Recording = serde_json::from_str(&text).unwrap();
    let loads = |sequence: &&Sequence| sequence.compile().is_ok();
    let loaded = refused.sequences.iter().filter(loads).map(|sequence| sequence.name.clone());
    assert_same(&loaded.collect::<Vec<_>>(), refused.sequences.len());
    assert!(refused.sequences.len() >= 40);
}

/// The policies that `tollgate convert` writes.
fn converted(sources: &[Source]) -> Result<Vec<Source>, String> {
    let converted = tollgate::convert::convert(sources, None, &DescriptorOptions::default());
    let drafts = converted.drafts.ok_or(format!("does not convert: {:?}", converted.problems))?;
    let text = tollgate::convert::write::documents(&drafts);
    Ok(vec![Source { name: "converted.yaml".to_owned(), text }])
}

/// The first step whose overall code is told otherwise once the configuration is converted.
fn difference_of_converted(sources: &[Source], steps: &[Step]) -> Result<(), String> {
    let native = converted(sources)?;
    let policies = native[0].text.clone();
    let set = compile(&native, &Options::default());
    let set = set.map_err(|found| format!("does not load: {found:#?}\n{policies}"))?;
    let replay = Replay::new(set);
    for (number, step) in steps.iter().enumerate() {
        let told = code_name(replay.ask(step).overall_code);
        if told != step.answer["overall"] {
            let (number, expected) = (number + 1, &step.answer["overall"]);
            return Err(format!("step {number}: expected {expected}, told {told}\n{policies}"));
        }
    }
    Ok(())
}

#[test]
fn converted_descriptors_decide_as_envoyproxy_ratelimit_decides() {
    let (mut differences, mut count) = (Vec::new(), 0);
    for (file, recording) in recordings() {
        for sequence in recording.sequences.iter().filter(|sequence| sequence.converts) {
            count += 1;
            if let Err(text) = difference_of_converted(&sequence.sources(), &sequence.steps) {
                differences.push(format!("{file}: {}: {text}", sequence.name));
            }
        }
    }
    assert_same(&differences, count);
    assert!(count >= 200, "{count} sequences are too few");
}

/// What the Limitador library answered to the limits of one file.
#[derive(Debug, Deserialize)]
struct LimitadorRecording {
    limits: String,
    steps: Vec<Step>,
}

/// Files that say `differs-` show what tollgate does otherwise on purpose.
#[test]
fn converted_limits_decide_as_limitador_decides() {
    let listed = std::fs::read_dir(folder("limitador")).unwrap();
    let names = listed.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let is_recording = |name: &String| name.ends_with(".json") && !name.ends_with(".calls.json");
    let mut names: Vec<_> = names.filter(is_recording).collect();
    names.retain(|name| !name.starts_with("differs-"));
    names.sort();
    let mut differences = Vec::new();
    for name in &names {
        let read = |name: &str| std::fs::read_to_string(folder("limitador").join(name)).unwrap();
        let recording: LimitadorRecording = serde_json::from_str(&read(name)).unwrap();
        let text = read(&recording.limits);
        let limits = Source { name: recording.limits, text };
        if let Err(text) = difference_of_converted(&[limits], &recording.steps) {
            differences.push(format!("{name}: {text}"));
        }
    }
    assert_same(&differences, names.len());
    assert!(names.len() >= 30);
}
