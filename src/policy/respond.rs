//! What a policy says about answers: header dialects, Retry-After, the body of a denial.
//!
//! Everything that can be worked out at load is: rendering an answer only fills in numbers.

use std::sync::Arc;

use crate::time::Span;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Respond {
    pub retry_after: RetryAfter,
    /// Hints are capped at this; `None` keeps them honest.
    pub retry_after_max: Option<Span>,
    pub headers: Vec<Dialect>,
    pub body: Body,
    /// `None` is what fits the body: `application/problem+json` or `application/json`.
    pub content_type: Option<String>,
}

impl Respond {
    /// What a native policy without `respond` gets.
    pub const NATIVE: Self = Self {
        retry_after: RetryAfter::Seconds,
        retry_after_max: None,
        headers: Vec::new(),
        body: Body::Problem,
        content_type: None,
    };

    /// What the envoyproxy/ratelimit format gets: that server sends neither headers nor a body.
    pub const BARE: Self = Self {
        retry_after: RetryAfter::Off,
        retry_after_max: None,
        headers: Vec::new(),
        body: Body::Empty,
        content_type: None,
    };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    Off,
    Seconds,
    HttpDate,
}

/// A family of limit headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `x-ratelimit-limit`, `-remaining`, `-reset` of the binding limit.
    XRateLimit,
    /// The same names, with all policies in the limit, as Envoy's `DRAFT_VERSION_03`.
    XRateLimit03,
    /// `ratelimit-policy` and `ratelimit` of draft-ietf-httpapi-ratelimit-headers-10.
    RateLimit,
}

/// Rules that take their policy's body share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    Empty,
    /// RFC 9457 problem details.
    Problem,
    /// A JSON document whose placeholders are filled in per denial; texts are escaped for it.
    Json(Arc<[Piece]>),
    /// Plain text whose placeholders are filled in per denial.
    Text(Arc<[Piece]>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Text(String),
    Field(Field),
}

/// What a body template may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Domain,
    Rule,
    Limit,
    Remaining,
    ResetSeconds,
    WindowSeconds,
    WindowMillis,
    Reason,
}

impl Field {
    pub const ALL: [(&'static str, Self); 8] = [
        ("domain", Self::Domain),
        ("rule", Self::Rule),
        ("limit", Self::Limit),
        ("remaining", Self::Remaining),
        ("reset_seconds", Self::ResetSeconds),
        ("window_seconds", Self::WindowSeconds),
        ("window_ms", Self::WindowMillis),
        ("reason", Self::Reason),
    ];
}
