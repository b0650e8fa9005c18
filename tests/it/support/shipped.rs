//! The policies of this repository behind a server, and all that an answer tells about them.
//!
//! An answer is compared whole, as one value: what is not expected of it is seen too.

use prost_types::value::Kind;
use serde_json::Value;
use tollgate::pb::descriptor::RateLimitDescriptor;
use tollgate::pb::rls::rate_limit_response::rate_limit::Unit;
use tollgate::pb::rls::{RateLimitRequest, RateLimitResponse};
use tollgate::time::Span;

use super::{Client, START, TestServer, call, descriptor, header, is_ok, only_status, tools};

/// A shipped policy that serves, and a client that sends to one of its domains.
pub(crate) struct Shipped {
    pub(crate) server: TestServer,
    client: Client,
    domain: &'static str,
}

impl Shipped {
    pub(crate) async fn start(file: &str, domain: &'static str) -> Self {
        let policy = std::fs::read_to_string(tools::repository().join("policies").join(file));
        let server = TestServer::start(&policy.unwrap()).await;
        let client = server.client();
        Self { server, client, domain }
    }

    /// Moves the clock to so long after the start.
    pub(crate) fn at(&self, since_start: Span) {
        self.server.clock.set(START.plus(since_start));
    }

    /// Sends one descriptor that takes so many hits.
    pub(crate) async fn take(&mut self, entries: &[(&str, &str)], hits: u32) -> RateLimitResponse {
        let sent = RateLimitDescriptor { hits_addend: Some(hits.into()), ..descriptor(entries) };
        self.send(sent).await
    }

    /// Gives back so many slots, with a lease or without.
    pub(crate) async fn give_back(
        &mut self,
        entries: &[(&str, &str)],
        hits: u64,
        lease: Option<&str>,
    ) {
        let mut entries = entries.to_vec();
        entries.extend(lease.map(|lease| ("lease", lease)));
        let given = RateLimitDescriptor {
            hits_addend: Some(hits),
            is_negative_hits: true,
            ..descriptor(&entries)
        };
        assert!(is_ok(&self.send(given).await));
    }

    pub(crate) async fn send(&mut self, descriptor: RateLimitDescriptor) -> RateLimitResponse {
        let request: RateLimitRequest = call(self.domain, vec![descriptor]);
        self.client.should_rate_limit(request).await.unwrap().into_inner()
    }

    pub(crate) async fn passes(&mut self, entries: &[(&str, &str)], hits: u32) -> bool {
        is_ok(&self.take(entries, hits).await)
    }

    /// Uses up an amount, at its edge one by one, and returns the answer to the first hit too many.
    pub(crate) async fn use_up(
        &mut self,
        entries: &[(&str, &str)],
        amount: u32,
    ) -> RateLimitResponse {
        let singles = amount.min(10);
        if amount > singles {
            let first = told(&self.take(entries, amount - singles).await);
            assert_eq!((first.ok, first.left), (true, singles), "{entries:?}: {first:?}");
        }
        for left in (0..singles).rev() {
            let one = told(&self.take(entries, 1).await);
            assert_eq!((one.ok, one.left), (true, left), "{entries:?}: {one:?}");
        }
        let denied = self.take(entries, 1).await;
        assert!(!is_ok(&denied), "{entries:?}: {:?}", told(&denied));
        denied
    }
}

/// What the only status of an answer tells.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) ok: bool,
    pub(crate) rule: String,
    pub(crate) amount: u32,
    /// In seconds; 0 where there is none.
    pub(crate) window: u32,
    pub(crate) left: u32,
    pub(crate) reset: Option<Span>,
}

impl Told {
    pub(crate) fn ok(rule: &str, (amount, window): (u32, u32), left: u32, reset: Span) -> Self {
        Self { ok: true, rule: rule.to_owned(), amount, window, left, reset: Some(reset) }
    }

    /// Nothing is left.
    pub(crate) fn denied(rule: &str, limit: (u32, u32), reset: Span) -> Self {
        Self { ok: false, ..Self::ok(rule, limit, 0, reset) }
    }

    /// Nothing limits the request.
    pub(crate) fn unlimited() -> Self {
        let rule = String::new();
        Self { ok: true, rule, amount: 0, window: 0, left: 0, reset: None }
    }
}

pub(crate) fn told(response: &RateLimitResponse) -> Told {
    let status = only_status(response);
    assert_eq!(status.code(), response.overall_code());
    let limit = status.current_limit.clone().unwrap_or_default();
    let unit = match limit.unit() {
        Unit::Unknown => 0,
        Unit::Second => 1,
        Unit::Minute => 60,
        Unit::Hour => 3_600,
        Unit::Day => 86_400,
        Unit::Week => 604_800,
        Unit::Month | Unit::Year => panic!("no policy here has such a window"),
    };
    let reset = status.duration_until_reset.map(|reset| {
        let (seconds, nanos) = (u64::try_from(reset.seconds), u64::try_from(reset.nanos));
        Span::from_nanos(seconds.unwrap() * 1_000_000_000 + nanos.unwrap())
    });
    Told {
        ok: is_ok(response),
        rule: limit.name,
        amount: limit.requests_per_unit,
        window: unit * limit.unit_multiplier.unwrap_or(1),
        left: status.limit_remaining,
        reset,
    }
}

/// A field of the dynamic metadata.
pub(crate) fn metadata(response: &RateLimitResponse, field: &str) -> Value {
    let fields = response.dynamic_metadata.as_ref().map(|metadata| &metadata.fields);
    match fields.and_then(|fields| fields.get(field)?.kind.as_ref()) {
        None => Value::Null,
        Some(Kind::StringValue(text)) => text.as_str().into(),
        Some(Kind::NumberValue(number)) => (*number).into(),
        Some(other) => panic!("{other:?}"),
    }
}

/// That a denial says the same in status, metadata and Retry-After.
pub(crate) fn assert_denied(
    response: &RateLimitResponse,
    rule: &str,
    limit: (u32, u32),
    reset: Span,
) {
    assert_eq!(told(response), Told::denied(rule, limit, reset));
    assert_eq!(metadata(response, "rule"), rule);
    assert_eq!(metadata(response, "limit"), f64::from(limit.0));
    assert_eq!(metadata(response, "remaining"), 0.0);
    assert_eq!(metadata(response, "status"), 429.0);
    let seconds = u32::try_from(reset.seconds_ceil()).unwrap();
    assert_eq!(metadata(response, "reset_seconds"), f64::from(seconds));
    assert_eq!(header(response, "retry-after"), Some(seconds.to_string().as_str()));
}

/// The body of a denial.
pub(crate) fn body(response: &RateLimitResponse) -> Value {
    serde_json::from_slice(&response.raw_body).unwrap()
}
