//! What goes out with a decision: limit headers by dialect, Retry-After, and a denial's body.
//!
//! Numbers round so that a client which believes them is never early. Values hold printable
//! ASCII only, whatever a policy's names are made of.

use std::fmt::{self, Write as _};
use std::time::{Duration, UNIX_EPOCH};

use httpdate::HttpDate;
use smallvec::SmallVec;

use super::{Answer, Binding, Code, Decision, Headers, LoadReading, body};
use crate::limit::Kind;
use crate::policy::respond::{Body, Dialect, Respond, RetryAfter};
use crate::policy::set::DescriptorDomain;
use crate::time::Timestamp;

/// Limits listed in one header at the most, so that no request makes an answer too large for
/// whoever reads it.
const LISTED_MAX: usize = 16;

const PROBLEM_TYPE: &str = "application/problem+json";

/// What a decision is answered with, besides code and statuses.
#[inline]
pub fn answer<'s>(decision: &Decision<'s>, now: Timestamp) -> Answer<'s> {
    let mut answer = Answer::default();
    fill(&mut answer, decision, now);
    answer
}

/// Answers where the answer lies: it is large to move.
fn fill<'s>(answer: &mut Answer<'s>, decision: &Decision<'s>, now: Timestamp) {
    if let Some(load) = decision.load.filter(|load| load.is_shown) {
        push_load(answer, load);
    }
    let format = decision.domain.and_then(|domain| domain.descriptors.as_ref());
    if let Some(format) = format {
        push_descriptor_headers(answer, format, decision);
    }
    let Some(binding) = decision.binding() else {
        return;
    };
    let Some(respond) = respond_for(decision, binding) else {
        return;
    };
    if decision.is_shed() {
        push_retry_after(answer, respond, binding, now);
        if respond.body != Body::Empty {
            answer.body = body::shed(binding);
            answer.headers.begin("content-type").text(PROBLEM_TYPE);
        }
        return;
    }
    for dialect in &respond.headers {
        match dialect {
            Dialect::XRateLimit | Dialect::XRateLimit03 => {
                answer.headers.begin("x-ratelimit-limit").number(binding.limit.amount);
                if *dialect == Dialect::XRateLimit03 {
                    push_policies(answer, decision);
                }
                push_x_ratelimit(answer, binding);
            }
            Dialect::RateLimit => push_ratelimit(answer, decision, binding),
        }
    }
    if decision.code == Code::OverLimit {
        push_retry_after(answer, respond, binding, now);
        answer.body = body::render(decision, binding, respond);
        if let Some(content_type) = content_type(respond) {
            push_printable(answer.headers.begin("content-type"), content_type);
        }
    }
}

fn push_load<'s>(answer: &mut Answer<'s>, load: LoadReading<'s>) {
    let names = &load.load.headers;
    if let Some(name) = &names.load {
        answer.headers.begin(name).number(load.percent.into());
    }
    if let (Some(name), Some(status)) = (&names.status, load.status()) {
        answer.headers.begin(name).text(status);
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
    let bindings = decision.bindings();
    let denies =
        |binding: &&Binding<'_>| binding.verdict.is_denial() && !format.is_quota(binding.rule);
    let denying = bindings.clone().rfind(denies);
    let Some(told) = denying.or_else(|| bindings.min_by_key(|binding| binding.remaining)) else {
        return;
    };
    let reset = told.reset.unwrap_or_default().seconds_ceil();
    answer.headers.begin(&names.limit).number(told.limit.amount);
    answer.headers.begin(&names.remaining).number(told.remaining);
    answer.headers.begin(&names.reset).number(reset);
}

/// The rule's own way of answering; the domain's for a limit that the caller brought along.
fn respond_for<'s>(decision: &Decision<'s>, binding: &Binding<'s>) -> Option<&'s Respond> {
    let shared = || decision.domain.map(|domain| domain.respond.as_ref());
    binding.rule.map(|rule| rule.respond.as_ref()).or_else(shared)
}

fn push_x_ratelimit(answer: &mut Answer<'_>, binding: &Binding<'_>) {
    answer.headers.begin("x-ratelimit-remaining").number(binding.remaining);
    if let Some(reset) = binding.reset {
        answer.headers.begin("x-ratelimit-reset").number(reset.seconds_ceil());
    }
}

/// As Envoy writes it from the statuses: behind the binding amount each descriptor's policy.
fn push_policies(answer: &mut Answer<'_>, decision: &Decision<'_>) {
    let value = &mut answer.headers;
    for listed in decision.bindings().take(LISTED_MAX) {
        value.text(", ");
        value.number(listed.limit.amount);
        if let Some(window) = listed.limit.window() {
            value.text(";w=");
            value.number(window.nominal_span().seconds_floor());
        }
        if let Some(rule) = listed.rule.filter(|rule| !rule.wire_name.is_empty()) {
            value.text(";name=\"");
            value.text(&rule.wire_name);
            value.text("\"");
        }
    }
}

/// `ratelimit-policy` and `ratelimit` as RFC 9651 lists of strings, the binding limit first.
fn push_ratelimit<'s>(answer: &mut Answer<'_>, decision: &Decision<'s>, binding: &Binding<'s>) {
    let mut listed: SmallVec<[&Binding<'s>; LISTED_MAX]> = SmallVec::new();
    for candidate in std::iter::once(binding).chain(&decision.limits) {
        if listed.len() < LISTED_MAX && !listed.iter().any(|held| is_same_policy(held, candidate)) {
            listed.push(candidate);
        }
    }
    let policies = answer.headers.begin("ratelimit-policy");
    for (limit, position) in listed.iter().zip(0..) {
        push_policy_name(policies, limit, position);
        policies.text(";q=");
        policies.number(limit.limit.amount.min(SF_INTEGER_MAX));
        match limit.limit.window() {
            Some(window) => {
                policies.text(";w=");
                policies.number(window.nominal_span().seconds_floor());
            }
            None => policies.text(";qu=\"concurrent-requests\""),
        }
    }
    let states = answer.headers.begin("ratelimit");
    for (limit, position) in listed.iter().zip(0..) {
        push_policy_name(states, limit, position);
        states.text(";r=");
        states.number(limit.remaining.min(SF_INTEGER_MAX));
        if let Some(reset) = limit.reset {
            states.text(";t=");
            states.number(reset.seconds_ceil());
        }
    }
}

/// The name of an item of a list, as a string.
fn push_policy_name(list: &mut Headers<'_>, limit: &Binding<'_>, position: usize) {
    list.text(if position > 0 { ", \"" } else { "\"" });
    let _ = write!(list, "{}", PolicyName(limit));
    list.text("\"");
}

/// The largest Integer of RFC 9651: fifteen digits.
const SF_INTEGER_MAX: u64 = 999_999_999_999_999;

fn is_same_policy(a: &Binding<'_>, b: &Binding<'_>) -> bool {
    let rule = |binding: &Binding<'_>| binding.rule.map(|rule| rule.index);
    rule(a) == rule(b) && a.limit.identity() == b.limit.identity()
}

/// What headers and problem details call a limit: the rule's name, with the window where a rule has several. Rule names that leave hold neither
/// quotes nor backslashes.
pub(super) struct PolicyName<'s>(pub(super) &'s Binding<'s>);

impl fmt::Display for PolicyName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(rule) = self.0.rule else { return f.write_str("request") };
        f.write_str(&rule.wire_name)?;
        if rule.limits.len() < 2 {
            return Ok(());
        }
        let kind = self.0.limit.kind;
        match (kind, kind.window()) {
            (Kind::Fixed(window), _) => write!(f, "/{window}"),
            (_, Some(window)) => write!(f, "/{} {window}", kind.name()),
            (_, None) => write!(f, "/{}", kind.name()),
        }
    }
}

fn push_retry_after(
    answer: &mut Answer<'_>,
    respond: &Respond,
    binding: &Binding<'_>,
    now: Timestamp,
) {
    let Some(reset) = binding.reset else { return };
    match respond.retry_after {
        RetryAfter::Off => {}
        RetryAfter::Seconds => answer.headers.begin("retry-after").number(reset.seconds_ceil()),
        RetryAfter::HttpDate => {
            let nanos = now.plus(reset).as_nanos().max(0).cast_unsigned();
            let seconds = nanos.div_ceil(1_000_000_000);
            let date = HttpDate::from(UNIX_EPOCH + Duration::from_secs(seconds));
            let _ = write!(answer.headers.begin("retry-after"), "{date}");
        }
    }
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

fn push_printable(value: &mut Headers<'_>, text: &str) {
    let printable = text.chars().map(|c| if matches!(c, ' '..='~') { c } else { '_' });
    printable.for_each(|c| _ = value.write_char(c));
}
