//! The body of a denial: problem details, or the policy's own template filled in.
//!
//! Text that comes from names is escaped for JSON, so that no name can break the document.

use super::{Binding, Decision};
use crate::limit::Verdict;
use crate::policy::respond::{Body, Field, Piece, Respond};

/// Problem type of draft-ietf-httpapi-ratelimit-headers.
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

pub(super) fn render(decision: &Decision<'_>, binding: Binding<'_>, respond: &Respond) -> Vec<u8> {
    match &respond.body {
        Body::Empty => Vec::new(),
        Body::Problem => problem(binding),
        Body::Template(pieces) => {
            let mut text = String::new();
            for piece in pieces {
                match piece {
                    Piece::Text(literal) => text.push_str(literal),
                    Piece::Field(field) => text.push_str(&value(*field, decision, binding)),
                }
            }
            text.into_bytes()
        }
    }
}

/// Why a request was denied, as metadata and bodies name it.
pub fn reason(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Admitted | Verdict::OverLimit => "over_limit",
        Verdict::ExceedsAmount => "exceeds_amount",
    }
}

/// The name of the rule that denied; a limit of the caller's own is called `request`.
pub fn rule_name(binding: Binding<'_>) -> &str {
    binding.rule.map_or("request", |rule| &rule.name)
}

fn value(field: Field, decision: &Decision<'_>, binding: Binding<'_>) -> String {
    match field {
        Field::Domain => escaped(decision.domain.map_or("", |domain| &domain.name)),
        Field::Rule => escaped(rule_name(binding)),
        Field::Limit => binding.limit.amount.to_string(),
        Field::Remaining => binding.remaining.to_string(),
        Field::ResetSeconds => binding.reset.seconds_ceil().to_string(),
        Field::WindowSeconds => window_seconds(binding).to_string(),
        Field::WindowMillis => window_seconds(binding).saturating_mul(1_000).to_string(),
        Field::Reason => reason(binding.verdict).to_owned(),
    }
}

fn window_seconds(binding: Binding<'_>) -> u64 {
    binding.limit.window.nominal_span().seconds_floor()
}

fn problem(binding: Binding<'_>) -> Vec<u8> {
    let rule = escaped(rule_name(binding));
    let limit = binding.limit;
    let reset = binding.reset.seconds_ceil();
    let detail = match binding.verdict {
        Verdict::Admitted | Verdict::OverLimit => {
            format!("{} per {} is used up; try again in {reset} s", limit.amount, limit.window)
        }
        Verdict::ExceedsAmount => format!(
            "the request takes more than the whole amount of {} per {} and can never pass",
            limit.amount, limit.window
        ),
    };
    format!(
        concat!(
            r#"{{"type":"{}","title":"Quota Exceeded","status":429,"detail":"{}","#,
            r#""violated-policies":["{}"],"limit":{},"window":"{}","remaining":{},"#,
            r#""reset_seconds":{},"reason":"{}"}}"#
        ),
        QUOTA_EXCEEDED,
        detail,
        rule,
        limit.amount,
        limit.window,
        binding.remaining,
        reset,
        reason(binding.verdict),
    )
    .into_bytes()
}

/// The inside of a JSON string.
fn escaped(text: &str) -> String {
    let mut inside = serde_json::Value::from(text).to_string();
    inside.pop();
    inside.remove(0);
    inside
}
