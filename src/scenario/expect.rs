//! Reads `expect`: what answers must be, in the words of the policy's author.

use serde_json::{Map, Number, Value as Json};

use super::engine::Code;
use super::model::{Check, Expect, Expected, ExpectedHeader};
use super::read::{digits, number};
use super::{spans, step};
use crate::policy::findings::{Fields, Findings, Keys, Standing, one_or_more, shown};
use crate::policy::model::Placed;
use crate::yaml::{Node, Scalar, Value};

pub(super) const KEYS: &Keys = &[
    ("code", Standing::Read),
    ("admitted", Standing::Read),
    ("rule", Standing::Read),
    ("limit", Standing::Read),
    ("remaining", Standing::Read),
    ("reset", Standing::Read),
    ("reason", Standing::Read),
    ("status", Standing::Read),
    ("headers", Standing::Read),
    ("body", Standing::Read),
    ("body_contains", Standing::Read),
    ("statuses", Standing::Read),
    ("window", Standing::Elsewhere("write it with the limit: `limit: 50/minute`")),
    ("retry_after", Standing::Elsewhere("write `headers: { retry-after: \"60\" }`")),
    ("denied", Standing::Elsewhere("write how many are `admitted`; the others are denied")),
];

const WHOLE_ANSWER: Standing =
    Standing::Elsewhere("write it in `expect` itself, for it is about the whole answer");

pub(super) const STATUS_KEYS: &Keys = &[
    ("code", Standing::Read),
    ("rule", Standing::Read),
    ("limit", Standing::Read),
    ("remaining", Standing::Read),
    ("reset", Standing::Read),
    ("reason", WHOLE_ANSWER),
    ("status", WHOLE_ANSWER),
    ("headers", WHOLE_ANSWER),
    ("body", WHOLE_ANSWER),
    ("body_contains", WHOLE_ANSWER),
];

const CODES: &[(&str, Code)] = &[("ok", Code::Ok), ("over_limit", Code::OverLimit)];
const A_CODE: &str = "an answer: `ok` or `over_limit`";

/// `times` is how often the request is sent, if the step says so.
pub(super) fn read(findings: &mut Findings, node: &Node, times: Option<u64>) -> Expect {
    let mut expect = Expect::default();
    if node.scalar().is_some() {
        let code = findings.word(node, A_CODE, CODES);
        expect.every_code = code.map(|code| findings.placed(Expected::Code(code), node));
        return expect;
    }
    let Some(fields) = findings.fields(node, "what is expected", KEYS) else { return expect };
    expect.admitted = fields.value("admitted").and_then(|node| admitted(findings, node, times));
    let code = fields.value("code").and_then(|node| {
        let code = findings.word(node, A_CODE, CODES)?;
        Some(findings.placed(Expected::Code(code), node))
    });
    match fields.value("admitted") {
        Some(_) => expect.last.extend(code),
        None => expect.every_code = code,
    }
    expect.last.extend(of_limit(findings, &fields));
    expect.last.extend(of_answer(findings, &fields));
    if let Some(list) = fields.value("statuses") {
        let read = |item: &Node| status(findings, item);
        let statuses = one_or_more(list).iter().map(read).collect();
        expect.statuses = Some(findings.placed(statuses, list));
    }
    if expect.is_empty() && findings.errors() == 0 {
        let hint = "write `expect: ok` or `expect: over_limit`";
        findings.error("nothing-expected", &node.bytes, "nothing is expected here", hint);
    }
    expect
}

fn admitted(findings: &mut Findings, node: &Node, times: Option<u64>) -> Option<Placed<u64>> {
    let admitted = number(findings, node, "how many are admitted")?;
    let sent = times.unwrap_or(1);
    if admitted > sent {
        let message = format!("{admitted} of {sent} cannot be admitted");
        findings.error("bad-times", &node.bytes, message, "write a larger `times`, or fewer here");
        return None;
    }
    Some(findings.placed(admitted, node))
}

fn status(findings: &mut Findings, node: &Node) -> Vec<Check> {
    if node.scalar().is_some() {
        let code = findings.word(node, A_CODE, CODES);
        return code.map(|code| findings.placed(Expected::Code(code), node)).into_iter().collect();
    }
    let Some(fields) = findings.fields(node, "a status", STATUS_KEYS) else { return Vec::new() };
    let mut checks = Vec::new();
    if let Some(node) = fields.value("code") {
        let code = findings.word(node, A_CODE, CODES);
        checks.extend(code.map(|code| findings.placed(Expected::Code(code), node)));
    }
    checks.extend(of_limit(findings, &fields));
    checks
}

/// What is said about the limit that binds.
fn of_limit(findings: &mut Findings, fields: &Fields<'_>) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut push = |findings: &Findings, node: &Node, expected: Option<Expected>| {
        checks.extend(expected.map(|expected| findings.placed(expected, node)));
    };
    if let Some(node) = fields.value("rule") {
        let name = findings.text(node, "the name of a rule", "write the `name` of a rule");
        push(findings, node, name.map(|name| Expected::Rule(name.text.clone())));
    }
    if let Some(node) = fields.value("limit") {
        let limit = limit(findings, node);
        push(findings, node, limit);
    }
    if let Some(node) = fields.value("remaining") {
        let remaining = number(findings, node, "what is left");
        push(findings, node, remaining.map(Expected::Remaining));
    }
    if let Some(node) = fields.value("reset") {
        let is_none = node.scalar().is_some_and(|reset| reset.text == "none");
        let reset = if is_none { Some(None) } else { step::span(findings, node).map(Some) };
        push(findings, node, reset.map(Expected::Reset));
    }
    checks
}

/// `50`, `50/minute` or `unlimited`.
fn limit(findings: &mut Findings, node: &Node) -> Option<Expected> {
    let hint = "write `50`, `50/minute`, or `unlimited` where nothing limits the request";
    let text = &findings.text(node, "a limit", hint)?.text;
    if text == "unlimited" {
        return Some(Expected::Unlimited);
    }
    if let Some(amount) = digits(text) {
        return Some(Expected::Amount(amount));
    }
    let parts = text.split_once('/');
    let limit = parts.and_then(|(amount, window)| {
        Some((digits(amount.trim())?, spans::window_seconds(window)?))
    });
    if limit.is_none() {
        let message = format!("{} is not a limit", shown(text));
        let hint = match without_zone(text) {
            Some(limit) => format!("write `{limit}`; the time zone is not compared"),
            None => hint.to_owned(),
        };
        findings.error("bad-limit", &node.bytes, message, hint);
    }
    limit.map(|(amount, seconds)| Expected::Limit(amount, seconds, text.clone()))
}

/// The limit to type for `50/day in Europe/Berlin`, as answers tell it.
fn without_zone(text: &str) -> Option<&str> {
    let (limit, _) = text.split_once(" in ").or_else(|| text.rsplit_once(' '))?;
    let (amount, window) = limit.split_once('/')?;
    digits(amount.trim())?;
    spans::window_seconds(window).map(|_| limit)
}

/// What is said about the answer as a whole.
fn of_answer(findings: &mut Findings, fields: &Fields<'_>) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(node) = fields.value("reason") {
        let hint = "write `over_limit`, `exceeds_amount`, `paused` or `shed`";
        let reason = findings.text(node, "a reason", hint);
        checks.extend(
            reason.map(|reason| findings.placed(Expected::Reason(reason.text.clone()), node)),
        );
    }
    if let Some(node) = fields.value("status") {
        let status = number(findings, node, "an HTTP status");
        checks.extend(status.map(|status| findings.placed(Expected::Status(status), node)));
    }
    if let Some(node) = fields.value("headers") {
        headers(findings, node, &mut checks);
    }
    if let Some(node) = fields.value("body") {
        let expected = match &node.value {
            Value::Scalar(scalar) if !scalar.quoted && scalar.text == "absent" => Expected::NoBody,
            Value::Scalar(scalar) if scalar.text.is_empty() || node.is_null() => Expected::NoBody,
            Value::Scalar(scalar) => Expected::BodyText(scalar.text.clone()),
            Value::Sequence(_) | Value::Mapping(_) => Expected::Body(json(node)),
        };
        checks.push(findings.placed(expected, node));
    }
    if let Some(node) = fields.value("body_contains") {
        for item in one_or_more(node) {
            let expected = match &item.value {
                Value::Mapping(_) => Some(Expected::BodyPart(json(item))),
                Value::Scalar(_) | Value::Sequence(_) => {
                    let hint = "write a text, or keys and values of a JSON body";
                    let text = findings.text(item, "a part of the body", hint);
                    text.map(|text| Expected::BodyContains(text.text.clone()))
                }
            };
            checks.extend(expected.map(|expected| findings.placed(expected, item)));
        }
    }
    checks
}

fn headers(findings: &mut Findings, node: &Node, checks: &mut Vec<Check>) {
    let hint = "write `headers: { retry-after: \"60\" }`, with `present` or `absent` for a value";
    let Value::Mapping(pairs) = &node.value else {
        findings.unexpected(node, "headers as a mapping", hint);
        return;
    };
    for (name, value) in pairs {
        let Some(name) = findings.text(name, "the name of a header", hint) else { continue };
        let expected = match value.scalar() {
            Some(Scalar { text, quoted: false, .. }) if text == "absent" => ExpectedHeader::Absent,
            Some(Scalar { text, quoted: false, .. }) if text == "present" => {
                ExpectedHeader::Present
            }
            Some(scalar) => ExpectedHeader::Value(scalar.text.clone()),
            None => {
                findings.unexpected(value, "the value of a header", hint);
                continue;
            }
        };
        let expected = Expected::Header(name.text.to_ascii_lowercase(), expected);
        checks.push(findings.placed(expected, value));
    }
}

/// YAML as the JSON it means.
fn json(node: &Node) -> Json {
    match &node.value {
        Value::Mapping(pairs) => {
            let name = |key: &Node| key.scalar().map_or_else(String::new, |key| key.text.clone());
            Json::Object(
                pairs.iter().map(|(key, value)| (name(key), json(value))).collect::<Map<_, _>>(),
            )
        }
        Value::Sequence(items) => Json::Array(items.iter().map(json).collect()),
        Value::Scalar(_) if node.is_null() => Json::Null,
        Value::Scalar(scalar) => match scalar.as_bool() {
            Some(truth) => Json::Bool(truth),
            None => {
                json_number(scalar).map_or_else(|| Json::from(scalar.text.as_str()), Json::Number)
            }
        },
    }
}

fn json_number(scalar: &Scalar) -> Option<Number> {
    if scalar.quoted {
        return None;
    }
    serde_json::from_str(&scalar.text).ok()
}
