//! `dynamic_metadata` of an answer, which Envoy's access logs and other filters read.
//!
//! Only what is asked for goes out: of what passes leases alone, unless the server is told to tell
//! more of the envoyproxy/ratelimit format.

use std::borrow::Cow;

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

use crate::decide::{self, Binding, Code, Decision};
use crate::pb;
use crate::pb::descriptor::RateLimitDescriptor;
use crate::pb::descriptor::rate_limit_descriptor::RateLimitOverride;
use crate::pb::rls::rate_limit_response::rate_limit::Unit;
use crate::policy::model::Metadata;

/// `whole` is the call, asked for only where the answer is to tell it.
pub(super) fn of<'c>(
    decision: &Decision<'_>,
    whole: impl FnOnce() -> Option<Cow<'c, pb::rls::RateLimitRequest>>,
) -> Option<Struct> {
    let mut told = match (decision.code, decision.binding()) {
        (Code::OverLimit, Some(binding)) => denial(binding, decision.status()),
        (Code::OverLimit, None) => Struct::default(),
        (Code::Ok, _) => leases(decision),
    };
    if decision.has_metadata {
        told.fields.extend(whole().map(|call| request(&call).fields).into_iter().flatten());
        let metadata = merged(decision);
        if !metadata.is_empty() {
            told.fields.insert("metadata".to_owned(), object(&metadata));
        }
    }
    (!told.fields.is_empty()).then_some(told)
}

/// What is found about a denial.
fn denial(binding: &Binding<'_>, status: u16) -> Struct {
    let reset = binding.reset.unwrap_or_default();
    fields([
        ("rule", text(decide::rule_name(binding))),
        ("reason", text(decide::reason(binding.verdict))),
        ("limit", number(binding.limit.amount)),
        ("remaining", number(binding.remaining)),
        ("reset_seconds", number(reset.seconds_ceil())),
        ("status", number(status.into())),
    ])
}

/// What an admitted request gives back when it ends.
fn leases(decision: &Decision<'_>) -> Struct {
    if decision.leases.is_empty() {
        return Struct::default();
    }
    let name = String::from_utf8_lossy(decide::lease::ENTRY).into_owned();
    Struct { fields: [(name, text(&decide::lease::write(&decision.leases)))].into() }
}

/// Descriptors of a call that are told at the most: more than Envoy sends, and little enough that no call
/// makes an answer that nobody takes.
const DESCRIPTORS_TOLD_MAX: usize = 64;

/// The call, in the words that envoyproxy/ratelimit has for it.
fn request(call: &pb::rls::RateLimitRequest) -> Struct {
    let descriptors = call.descriptors.iter().take(DESCRIPTORS_TOLD_MAX);
    let descriptors = descriptors.map(descriptor).collect();
    let mut told = fields([("domain", bytes(&call.domain)), ("descriptors", list(descriptors))]);
    if call.hits_addend != 0 {
        told.fields.insert("hitsAddend".to_owned(), number(call.hits_addend.into()));
    }
    told
}

fn descriptor(descriptor: &RateLimitDescriptor) -> Value {
    let entry = |entry: &pb::descriptor::rate_limit_descriptor::Entry| {
        bytes(&[&entry.key, b"=".as_slice(), &entry.value].concat())
    };
    let mut told = fields([("entries", list(descriptor.entries.iter().map(entry).collect()))]);
    if let Some(limit) = &descriptor.limit {
        told.fields.insert("limit".to_owned(), text(&brought(limit)));
    }
    if let Some(hits) = descriptor.hits_addend {
        told.fields.insert("hitsAddend".to_owned(), number(hits));
    }
    Value { kind: Some(Kind::StructValue(told)) }
}

fn brought(limit: &RateLimitOverride) -> String {
    // What is zero goes unsaid in this text form of messages.
    let amount = (limit.requests_per_unit != 0)
        .then(|| format!("requests_per_unit:{}", limit.requests_per_unit));
    let unit = (limit.unit != 0).then(|| match Unit::try_from(limit.unit) {
        Ok(unit) => format!("unit:{}", unit.as_str_name()),
        Err(_) => format!("unit:{}", limit.unit),
    });
    amount.into_iter().chain(unit).collect::<Vec<_>>().join(" ")
}

/// The metadata of all limits that let their descriptor pass; what comes first stays.
fn merged(decision: &Decision<'_>) -> Metadata {
    let mut merged = Metadata::new();
    let passed = decision.statuses.iter().filter(|status| status.code == Code::Ok);
    let rules = passed.filter_map(|status| decision.binding_of(status)?.rule?.descriptor.as_ref());
    for metadata in rules.filter_map(|rule| rule.metadata.as_ref()) {
        merge(&mut merged, metadata);
    }
    merged
}

fn merge(into: &mut Metadata, from: &Metadata) {
    for (name, value) in from {
        match (into.get_mut(name), value) {
            (Some(serde_json::Value::Object(held)), serde_json::Value::Object(more)) => {
                merge(held, more);
            }
            (Some(_), _) => {}
            (None, value) => {
                into.insert(name.clone(), value.clone());
            }
        }
    }
}

fn object(map: &Metadata) -> Value {
    let fields = map.iter().map(|(name, value)| (name.clone(), any(value))).collect();
    Value { kind: Some(Kind::StructValue(Struct { fields })) }
}

fn any(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value { kind: Some(Kind::NullValue(0)) },
        serde_json::Value::Bool(flag) => Value { kind: Some(Kind::BoolValue(*flag)) },
        serde_json::Value::Number(number) => {
            Value { kind: Some(Kind::NumberValue(number.as_f64().unwrap_or_default())) }
        }
        serde_json::Value::String(value) => text(value),
        serde_json::Value::Array(items) => list(items.iter().map(any).collect()),
        serde_json::Value::Object(map) => object(map),
    }
}

fn fields<const N: usize>(fields: [(&str, Value); N]) -> Struct {
    Struct { fields: fields.map(|(name, value)| (name.to_owned(), value)).into() }
}

fn list(values: Vec<Value>) -> Value {
    Value { kind: Some(Kind::ListValue(ListValue { values })) }
}

fn text(text: &str) -> Value {
    Value { kind: Some(Kind::StringValue(text.to_owned())) }
}

/// A Struct holds text alone.
fn bytes(bytes: &[u8]) -> Value {
    text(&String::from_utf8_lossy(bytes))
}

#[expect(clippy::cast_precision_loss, reason = "numbers of a Struct are floating point")]
fn number(number: u64) -> Value {
    Value { kind: Some(Kind::NumberValue(number as f64)) }
}
