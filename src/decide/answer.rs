//! What goes out with a decision: limit headers by dialect, Retry-After, and a denial's body.
//!
//! Numbers round so that a client which believes them is never early. Values hold printable
//! ASCII only, whatever a policy's names are made of.

use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

use smallvec::SmallVec;

use super::{Answer, Binding, Code, Decision, LoadReading, body};
use crate::limit::Kind;
use crate::policy::respond::{Body, Dialect, Respond, RetryAfter};
use crate::policy::set::DescriptorDomain;
use crate::time::Timestamp;

/// Limits listed in one header at the most, so that no request makes an answer too large for
/// whoever reads it.
const LISTED_MAX: usize = 16;

const PROBLEM_TYPE: &str = "application/problem+json";

pub fn answer<'s>(decision: &Decision<'s>, now: Timestamp) -> Answer<'s> {
    let mut answer = Answer::default();
    if let Some(load) = decision.load.filter(|load| load.is_shown) {
        push_load(&mut answer, load);
    }
    let format = decision.domain.and_then(|domain| domain.descriptors.as_ref());
    if let Some(format) = format {
        push_descriptor_headers(&mut answer, format, decision);
    }
    let Some(binding) = decision.binding else {
        return answer;
    };
    let Some(respond) = respond_for(decision, binding) else {
        return answer;
    };
    if decision.is_shed() {
        push_retry_after(&mut answer, respond, binding, now);
        if respond.body != Body::Empty {
            answer.body = body::shed(binding);
            answer.headers.push(("content-type", PROBLEM_TYPE.to_owned()));
        }
        return answer;
    }
    for dialect in &respond.headers {
        match dialect {
            Dialect::XRateLimit => {
                let limit = binding.limit.amount.to_string();
                push_x_ratelimit(&mut answer, limit, binding);
            }
            Dialect::XRateLimit03 => {
                push_x_ratelimit(&mut answer, draft_03_limit(decision, binding), binding);
            }
            Dialect::RateLimit => push_ratelimit(&mut answer, decision, binding),
        }
    }
    if decision.code == Code::OverLimit {
        push_retry_after(&mut answer, respond, binding, now);
        answer.body = body::render(decision, binding, respond);
        if let Some(content_type) = content_type(respond) {
            answer.headers.push(("content-type", printable(content_type)));
        }
    }
    answer
}

fn push_load<'s>(answer: &mut Answer<'s>, load: LoadReading<'s>) {
    let names = &load.load.headers;
    if let Some(name) = &names.load {
        answer.headers.push((name, load.percent.to_string()));
    }
    if let (Some(name), Some(status)) = (&names.status, load.status()) {
        answer.headers.push((name, status.to_owned()));
    }
}

/// As envoyproxy/ratelimit has them: of the last limit that denies by itself, else of the first
/// with the least left.
fn push_descriptor_headers<'s>(
    answer: &mut Answer<'s>,
    format: &'s DescriptorDomain,
    decision: &Decision<'s>,
) {
    let Some(names) = &format.headers else { return };
    let bindings = decision.statuses.iter().filter_map(|status| status.binding);
    let denies =
        |binding: &Binding<'_>| binding.verdict.is_denial() && !format.is_quota(binding.rule);
    let denying = bindings.clone().rfind(denies);
    let Some(told) = denying.or_else(|| bindings.min_by_key(|binding| binding.remaining)) else {
        return;
    };
    let reset = told.reset.unwrap_or_default().seconds_ceil();
    answer.headers.push((&names.limit, told.limit.amount.to_string()));
    answer.headers.push((&names.remaining, told.remaining.to_string()));
    answer.headers.push((&names.reset, reset.to_string()));
}

/// The rule's own way of answering; the domain's for a limit that the caller brought along.
fn respond_for<'s>(decision: &Decision<'s>, binding: Binding<'s>) -> Option<&'s Respond> {
    let shared = || decision.domain.map(|domain| domain.respond.as_ref());
    binding.rule.map(|rule| rule.respond.as_ref()).or_else(shared)
}

fn push_x_ratelimit(answer: &mut Answer<'_>, limit: String, binding: Binding<'_>) {
    answer.headers.push(("x-ratelimit-limit", limit));
    answer.headers.push(("x-ratelimit-remaining", binding.remaining.to_string()));
    if let Some(reset) = binding.reset {
        answer.headers.push(("x-ratelimit-reset", reset.seconds_ceil().to_string()));
    }
}

/// As Envoy writes it from the statuses: the binding amount, then each descriptor's policy.
fn draft_03_limit(decision: &Decision<'_>, binding: Binding<'_>) -> String {
    let mut value = binding.limit.amount.to_string();
    let listed = decision.statuses.iter().filter_map(|status| status.binding).take(LISTED_MAX);
    for listed in listed {
        let _ = write!(value, ", {}", listed.limit.amount);
        if let Some(window) = listed.limit.window() {
            let _ = write!(value, ";w={}", window.nominal_span().seconds_floor());
        }
        if let Some(rule) = listed.rule.filter(|rule| !rule.wire_name.is_empty()) {
            let _ = write!(value, ";name=\"{}\"", rule.wire_name);
        }
    }
    value
}

/// `ratelimit-policy` and `ratelimit` as RFC 9651 lists of strings, the binding limit first.
fn push_ratelimit<'s>(answer: &mut Answer<'_>, decision: &Decision<'s>, binding: Binding<'s>) {
    let mut listed: SmallVec<[Binding<'s>; LISTED_MAX]> = SmallVec::new();
    for candidate in std::iter::once(&binding).chain(&decision.limits) {
        if listed.len() < LISTED_MAX && !listed.iter().any(|held| is_same_policy(held, candidate)) {
            listed.push(*candidate);
        }
    }
    let (mut policies, mut states) = (String::new(), String::new());
    for limit in listed {
        let separator = if policies.is_empty() { "" } else { ", " };
        let name = policy_name(limit);
        let amount = limit.limit.amount.min(SF_INTEGER_MAX);
        let remaining = limit.remaining.min(SF_INTEGER_MAX);
        let _ = write!(policies, "{separator}\"{name}\";q={amount}");
        let _ = match limit.limit.window() {
            Some(window) => write!(policies, ";w={}", window.nominal_span().seconds_floor()),
            None => write!(policies, ";qu=\"concurrent-requests\""),
        };
        let _ = write!(states, "{separator}\"{name}\";r={remaining}");
        if let Some(reset) = limit.reset {
            let _ = write!(states, ";t={}", reset.seconds_ceil());
        }
    }
    answer.headers.push(("ratelimit-policy", policies));
    answer.headers.push(("ratelimit", states));
}

/// The largest Integer of RFC 9651: fifteen digits.
const SF_INTEGER_MAX: u64 = 999_999_999_999_999;

fn is_same_policy(a: &Binding<'_>, b: &Binding<'_>) -> bool {
    let rule = |binding: &Binding<'_>| binding.rule.map(|rule| rule.index);
    rule(a) == rule(b) && a.limit.identity() == b.limit.identity()
}

/// What headers and problem details call a limit: the rule's name, with the window where a rule has several. Rule names that leave hold neither
/// quotes nor backslashes.
pub(super) fn policy_name(binding: Binding<'_>) -> String {
    match binding.rule {
        None => "request".to_owned(),
        Some(rule) if rule.limits.len() > 1 => {
            let kind = binding.limit.kind;
            match (kind, kind.window()) {
                (Kind::Fixed(window), _) => format!("{}/{window}", rule.wire_name),
                (_, Some(window)) => format!("{}/{} {window}", rule.wire_name, kind.name()),
                (_, None) => format!("{}/{}", rule.wire_name, kind.name()),
            }
        }
        Some(rule) => rule.wire_name.to_string(),
    }
}

fn push_retry_after(
    answer: &mut Answer<'_>,
    respond: &Respond,
    binding: Binding<'_>,
    now: Timestamp,
) {
    let Some(reset) = binding.reset else { return };
    let value = match respond.retry_after {
        RetryAfter::Off => return,
        RetryAfter::Seconds => reset.seconds_ceil().to_string(),
        RetryAfter::HttpDate => {
            let nanos = now.plus(reset).as_nanos().max(0).cast_unsigned();
            let seconds = nanos.div_ceil(1_000_000_000);
            httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
        }
    };
    answer.headers.push(("retry-after", value));
}

fn content_type(respond: &Respond) -> Option<&str> {
    let fitting = match respond.body {
        Body::Empty => return None,
        Body::Problem => PROBLEM_TYPE,
        Body::Json(_) => "application/json",
        Body::Text(_) => "text/plain; charset=utf-8",
    };
    Some(respond.content_type.as_deref().unwrap_or(fitting))
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if matches!(c, ' '..='~') { c } else { '_' }).collect()
}
