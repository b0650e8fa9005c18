//! The body of a denial: problem details, or the policy's own template filled in.
//!
//! Text that comes from names is escaped for JSON, so that no name can break the document.

use super::answer::PolicyName;
use super::{Binding, Decision};
use crate::limit::{Kind, Verdict};
use crate::policy::respond::{Body, Field, Piece, Respond};

/// Problem types of draft-ietf-httpapi-ratelimit-headers.
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

const REDUCED_CAPACITY: &str =
    "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";

pub(super) fn render(decision: &Decision<'_>, binding: &Binding<'_>, respond: &Respond) -> Vec<u8> {
    match &respond.body {
        Body::Empty => Vec::new(),
        Body::Problem => problem(binding),
        Body::Json(pieces) => fill(pieces, |field| match value(field, decision, binding) {
            Value::Text(text) => escaped(&text),
            Value::Number(number) => number.to_string(),
        }),
        Body::Text(pieces) => fill(pieces, |field| match value(field, decision, binding) {
            Value::Text(text) => text,
            Value::Number(number) => number.to_string(),
        }),
    }
}

fn fill(pieces: &[Piece], value: impl Fn(Field) -> String) -> Vec<u8> {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(literal) => text.push_str(literal),
            Piece::Field(field) => text.push_str(&value(*field)),
        }
    }
    text.into_bytes()
}

/// Why a request was denied, as metadata and bodies name it.
pub fn reason(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Admitted | Verdict::OverLimit => "over_limit",
        Verdict::ExceedsAmount => "exceeds_amount",
        Verdict::Paused => "paused",
        Verdict::Shed => "shed",
    }
}

/// The name of the rule that denied; a limit of the caller's own is called `request`.
pub fn rule_name<'s>(binding: &Binding<'s>) -> &'s str {
    binding.rule.map_or("request", |rule| &rule.name)
}

enum Value {
    Text(String),
    Number(u64),
}

fn value(field: Field, decision: &Decision<'_>, binding: &Binding<'_>) -> Value {
    match field {
        Field::Domain => {
            Value::Text(decision.domain.map_or_else(String::new, |domain| domain.name.to_string()))
        }
        Field::Rule => Value::Text(rule_name(binding).to_owned()),
        Field::Limit => Value::Number(binding.limit.amount),
        Field::Remaining => Value::Number(binding.remaining),
        Field::ResetSeconds => Value::Number(reset_seconds(binding)),
        Field::WindowSeconds => Value::Number(window_seconds(binding)),
        Field::WindowMillis => Value::Number(window_seconds(binding).saturating_mul(1_000)),
        Field::Reason => Value::Text(reason(binding.verdict).to_owned()),
    }
}

fn window_seconds(binding: &Binding<'_>) -> u64 {
    binding.limit.window().map_or(0, |window| window.nominal_span().seconds_floor())
}

fn reset_seconds(binding: &Binding<'_>) -> u64 {
    binding.reset.unwrap_or_default().seconds_ceil()
}

fn problem(binding: &Binding<'_>) -> Vec<u8> {
    let policy = escaped(&PolicyName(binding).to_string());
    let window = binding.limit.window().map(|window| format!(r#""window":"{window}","#));
    format!(
        concat!(
            r#"{{"type":"{}","title":"Quota Exceeded","status":429,"detail":"{}","#,
            r#""violated-policies":["{}"],"rule":"{}","limit":{},{}"remaining":{},"#,
            r#""reset_seconds":{},"reason":"{}"}}"#
        ),
        QUOTA_EXCEEDED,
        detail(binding),
        policy,
        escaped(rule_name(binding)),
        binding.limit.amount,
        window.unwrap_or_default(),
        binding.remaining,
        reset_seconds(binding),
        reason(binding.verdict),
    )
    .into_bytes()
}

/// The body of a request that is shed. What the service can carry is not its callers' business.
pub(super) fn shed(binding: &Binding<'_>) -> Vec<u8> {
    format!(
        concat!(
            r#"{{"type":"{}","title":"Temporary Reduced Capacity","status":503,"#,
            r#""detail":"{}","reset_seconds":{},"reason":"{}"}}"#
        ),
        REDUCED_CAPACITY,
        detail(binding),
        reset_seconds(binding),
        reason(binding.verdict),
    )
    .into_bytes()
}

/// What happened, for people.
fn detail(binding: &Binding<'_>) -> String {
    let Binding { limit, remaining, .. } = *binding;
    let amount = limit.amount;
    let reset = reset_seconds(binding);
    let per = match limit.window() {
        Some(window) => format!("{amount} per {window}"),
        None => format!("{amount} at a time"),
    };
    match (binding.verdict, limit.kind) {
        (Verdict::ExceedsAmount, _) if limit.capacity() == 0 => {
            "nothing is admitted here".to_owned()
        }
        (Verdict::ExceedsAmount, _) => {
            let most = match limit.kind {
                Kind::Bucket { burst, .. } => burst.to_string(),
                Kind::Fixed(_) | Kind::Rolling(_) | Kind::Concurrent { .. } => per,
            };
            format!("more than {most} never passes at once; ask for less")
        }
        (Verdict::Shed, _) => format!("too busy to take more requests; try again in {reset} s"),
        (Verdict::Paused, _) => {
            format!("of {per} too much is used to go on; try again in {reset} s")
        }
        (_, Kind::Concurrent { .. }) if remaining == 0 => {
            format!("{per} are in use; try again when one is done, or in {reset} s")
        }
        (Verdict::Admitted | Verdict::OverLimit, _) if remaining == 0 => {
            format!("{per} is used up; try again in {reset} s")
        }
        (Verdict::Admitted | Verdict::OverLimit, _) => {
            format!("of {per} only {remaining} is left; try again in {reset} s")
        }
    }
}

/// The inside of a JSON string.
fn escaped(text: &str) -> String {
    let mut inside = serde_json::Value::from(text).to_string();
    inside.pop();
    inside.remove(0);
    inside
}
