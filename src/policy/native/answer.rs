//! Reads `respond`: what a policy, or a rule of it, says about answers.
//!
//! A rule's keys win over its policy's one by one; only a body brings its content type along.

use crate::policy::findings::{Findings, Keys, Standing};
use crate::policy::native::body;
use crate::policy::respond::{Body, Dialect, Respond, RetryAfter};
use crate::policy::units;
use crate::time::Span;
use crate::yaml::{Node, Value};

pub(super) const RESPOND_KEYS: &Keys = &[
    ("retry_after", Standing::Read),
    ("headers", Standing::Read),
    ("body", Standing::Read),
    ("content_type", Standing::Read),
    ("status", Standing::Elsewhere("a denial is 429; Envoy's `rate_limited_status` changes it")),
    ("max", Standing::Elsewhere("write `retry_after: { max: 30m }`")),
];

pub(super) const RETRY_AFTER_KEYS: &Keys = &[("format", Standing::Read), ("max", Standing::Read)];

const FORMATS: &[(&str, RetryAfter)] = &[
    ("seconds", RetryAfter::Seconds),
    ("http-date", RetryAfter::HttpDate),
    ("off", RetryAfter::Off),
];

const DIALECTS: &[(&str, Dialect)] = &[
    ("x-ratelimit", Dialect::XRateLimit),
    ("x-ratelimit-03", Dialect::XRateLimit03),
    ("ratelimit", Dialect::RateLimit),
];

/// Outside of a list there may be none.
const DIALECTS_OR_OFF: &[(&str, Option<Dialect>)] = &[
    ("x-ratelimit", Some(Dialect::XRateLimit)),
    ("x-ratelimit-03", Some(Dialect::XRateLimit03)),
    ("ratelimit", Some(Dialect::RateLimit)),
    ("off", None),
];

/// What one `respond` says; `None` is left to the layer below.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer {
    retry_after: Option<RetryAfter>,
    retry_after_max: Option<Span>,
    headers: Option<Vec<Dialect>>,
    body: Option<Body>,
    content_type: Option<String>,
}

impl Layer {
    pub(super) fn over(self, below: &Self) -> Self {
        // The type below was said of the body below.
        let content_type = match self.body {
            Some(_) => self.content_type,
            None => self.content_type.or_else(|| below.content_type.clone()),
        };
        Self {
            retry_after: self.retry_after.or(below.retry_after),
            retry_after_max: self.retry_after_max.or(below.retry_after_max),
            headers: self.headers.or_else(|| below.headers.clone()),
            body: self.body.or_else(|| below.body.clone()),
            content_type,
        }
    }

    pub(super) fn complete(&self) -> Respond {
        let native = Respond::NATIVE;
        Respond {
            retry_after: self.retry_after.unwrap_or(native.retry_after),
            retry_after_max: self.retry_after_max.or(native.retry_after_max),
            headers: self.headers.clone().unwrap_or(native.headers),
            body: self.body.clone().unwrap_or(native.body),
            content_type: self.content_type.clone().or(native.content_type),
        }
    }
}

pub(super) fn read(findings: &mut Findings, node: &Node) -> Layer {
    let mut layer = Layer::default();
    let Some(fields) = findings.fields(node, "`respond`", RESPOND_KEYS) else {
        return layer;
    };
    if let Some(node) = fields.value("retry_after") {
        read_retry_after(findings, node, &mut layer);
    }
    layer.headers = fields.value("headers").map(|node| read_headers(findings, node));
    if let Some((body, content_type)) =
        fields.value("body").and_then(|node| body::read(findings, node))
    {
        layer.body = Some(body);
        layer.content_type = content_type.map(str::to_owned);
    }
    if let Some(content_type) =
        fields.value("content_type").and_then(|node| read_content_type(findings, node))
    {
        layer.content_type = Some(content_type);
    }
    layer
}

fn read_retry_after(findings: &mut Findings, node: &Node, layer: &mut Layer) {
    let format = |findings: &mut Findings, node: &Node| {
        findings.word(node, "a form of `retry-after`", FORMATS)
    };
    if !matches!(node.value, Value::Mapping(_)) {
        layer.retry_after = format(findings, node);
        return;
    }
    let Some(fields) = findings.fields(node, "`retry_after`", RETRY_AFTER_KEYS) else {
        return;
    };
    layer.retry_after = fields.value("format").and_then(|node| format(findings, node));
    layer.retry_after_max = fields.value("max").and_then(|node| {
        let scalar = findings.text(node, "a span of time", "write a span, as in `30m`")?;
        match units::span(&scalar.text) {
            Ok(window) => Some(window.nominal_span()),
            Err(misread) => {
                findings.misread(node, misread);
                None
            }
        }
    });
}

fn read_headers(findings: &mut Findings, node: &Node) -> Vec<Dialect> {
    let Value::Sequence(items) = &node.value else {
        let dialect = findings.word(node, "a family of headers", DIALECTS_OR_OFF);
        return dialect.flatten().into_iter().collect();
    };
    let mut dialects = Vec::new();
    for item in items {
        let Some(dialect) = findings.word(item, "a family of headers", DIALECTS) else {
            continue;
        };
        if dialects.contains(&dialect) {
            let message = "this family of headers stands twice in the list";
            findings.error("duplicate-item", &item.bytes, message, "keep one of the two");
        } else {
            dialects.push(dialect);
        }
    }
    if dialects.contains(&Dialect::XRateLimit) && dialects.contains(&Dialect::XRateLimit03) {
        let message = "`x-ratelimit` and `x-ratelimit-03` write the same headers";
        findings.error("conflict", &node.bytes, message, "keep one of the two");
    }
    dialects
}

fn read_content_type(findings: &mut Findings, node: &Node) -> Option<String> {
    let hint = "write a media type, as in `application/json`";
    let scalar = findings.text(node, "a content type", hint)?;
    let is_value = scalar.text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if !is_value || !scalar.text.contains('/') {
        findings.unexpected(node, "a content type", hint);
        return None;
    }
    Some(scalar.text.clone())
}
