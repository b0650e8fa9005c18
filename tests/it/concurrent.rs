//! Concurrency limits over the wire: leases out and back, the plain pair, calls that end early.

use prost::Message as _;
use prost_types::value::Kind;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tollgate::pb::descriptor::RateLimitDescriptor;
use tollgate::pb::rls::rate_limit_response::rate_limit::Unit;
use tollgate::pb::rls::{RateLimitRequest, RateLimitResponse};
use tollgate::time::Span;

use crate::support::*;

const TWO_AT_A_TIME: &str = "\
domain: shop
rules:
  - name: under-way
    per: [tenant]
    limits: [{ amount: 2, kind: concurrent, lease: 60s }]
respond: { headers: [x-ratelimit, ratelimit] }
";

fn lease_of(response: &RateLimitResponse) -> Option<String> {
    match response.dynamic_metadata.as_ref()?.fields.get("lease")?.kind.clone()? {
        Kind::StringValue(text) => Some(text),
        other => panic!("{other:?}"),
    }
}

/// What Envoy sends when a request of this tenant has ended.
fn ended(tenant: &str, lease: Option<&str>) -> RateLimitRequest {
    let mut entries = vec![("tenant", tenant)];
    entries.extend(lease.map(|lease| ("lease", lease)));
    let release = descriptor(&entries);
    call("shop", vec![RateLimitDescriptor { is_negative_hits: true, ..release }])
}

async fn ask(client: &mut Client, call: RateLimitRequest) -> RateLimitResponse {
    client.should_rate_limit(call).await.unwrap().into_inner()
}

async fn leases_held(server: &TestServer) -> f64 {
    metric(&server.get("/metrics").await.1, "tollgate_leases")
}

#[tokio::test]
async fn a_lease_goes_out_and_comes_back_once() {
    let server = TestServer::start(TWO_AT_A_TIME).await;
    let mut client = server.client();
    let first = lease_of(&ask(&mut client, tenant("shop", "acme")).await).unwrap();
    let second = lease_of(&ask(&mut client, tenant("shop", "acme")).await).unwrap();
    assert_ne!(first, second);
    let denied = ask(&mut client, tenant("shop", "acme")).await;
    assert!(!is_ok(&denied));
    assert_eq!(lease_of(&denied), None);
    assert_eq!(leases_held(&server).await, 2.0);

    for (lease, left) in [(first.as_str(), 1), (&first, 1), ("no lease", 1), (&second, 2)] {
        let back = ask(&mut client, ended("acme", Some(lease))).await;
        assert!(is_ok(&back));
        assert_eq!(lease_of(&back), None);
        assert_eq!(only_status(&back).limit_remaining, left, "{lease}");
    }
    assert_eq!(leases_held(&server).await, 0.0);
}

#[tokio::test]
async fn a_plain_pair_counts_the_end_of_denied_requests_too() {
    let server = TestServer::start(TWO_AT_A_TIME).await;
    let mut client = server.client();
    for _ in 0..5 {
        let mut admitted = 0;
        for _ in 0..6 {
            admitted += u32::from(is_ok(&ask(&mut client, tenant("shop", "acme")).await));
        }
        assert_eq!(admitted, 2);
        for _ in 0..4 {
            let still = ask(&mut client, ended("acme", None)).await;
            assert_eq!(only_status(&still).limit_remaining, 0);
        }
        for left in 1..=2 {
            let back = ask(&mut client, ended("acme", None)).await;
            assert_eq!(only_status(&back).limit_remaining, left);
        }
    }
}

#[tokio::test]
async fn a_status_has_no_unit_and_a_reset_only_when_denied() {
    let server = TestServer::start(TWO_AT_A_TIME).await;
    let mut client = server.client();
    let admitted = ask(&mut client, tenant("shop", "acme")).await;
    let status = only_status(&admitted).clone();
    assert_eq!((status.duration_until_reset, status.limit_remaining), (None, 1));
    let limit = status.current_limit.unwrap();
    assert_eq!(
        (limit.unit(), limit.requests_per_unit, limit.unit_multiplier),
        (Unit::Unknown, 2, None)
    );
    assert_eq!(limit.name, "under-way");

    server.clock.advance(Span::from_seconds(15));
    ask(&mut client, tenant("shop", "acme")).await;
    let denied = ask(&mut client, tenant("shop", "acme")).await;
    assert_eq!(only_status(&denied).duration_until_reset.unwrap().seconds, 45);
    assert_eq!(header(&denied, "retry-after"), Some("45"));
    assert_eq!(header(&denied, "x-ratelimit-limit"), Some("2"));
    assert_eq!(
        header(&denied, "ratelimit-policy"),
        Some("\"under-way\";q=2;qu=\"concurrent-requests\"")
    );
    let body: Value = serde_json::from_slice(&denied.raw_body).unwrap();
    assert_eq!(body["status"], 429);

    server.clock.advance(Span::from_seconds(45));
    assert!(is_ok(&ask(&mut client, tenant("shop", "acme")).await), "the first has run out");
}

#[tokio::test]
async fn hits_take_slots_and_more_than_all_never_fit() {
    let server = TestServer::start(TWO_AT_A_TIME).await;
    let mut client = server.client();
    let mut three = tenant("shop", "acme");
    three.hits_addend = 3;
    let denied = ask(&mut client, three).await;
    let reason = denied.dynamic_metadata.unwrap().fields["reason"].kind.clone();
    assert_eq!(reason, Some(Kind::StringValue("exceeds_amount".to_owned())));
    let mut both = tenant("shop", "acme");
    both.hits_addend = 2;
    let lease = lease_of(&ask(&mut client, both).await).unwrap();
    assert!(!is_ok(&ask(&mut client, tenant("shop", "acme")).await));
    let back = ask(&mut client, ended("acme", Some(&lease))).await;
    assert_eq!(only_status(&back).limit_remaining, 2);
}

#[tokio::test]
async fn one_lease_is_for_all_limits_and_none_goes_out_when_another_rule_denies() {
    let more = "  - name: by-user
    per: [user]
    limits: [concurrent 1]
  - name: a-minute
    per: [app]
    limits: [1/minute]
respond:";
    let policy = TWO_AT_A_TIME.replace("respond:", more);
    let server = TestServer::start(&policy).await;
    let mut client = server.client();
    let request = |app: &str| {
        call(
            "shop",
            vec![descriptor(&[("tenant", "acme")]), descriptor(&[("user", "ann"), ("app", app)])],
        )
    };
    let lease = lease_of(&ask(&mut client, request("a")).await).unwrap();
    assert_eq!(leases_held(&server).await, 2.0);
    ask(&mut client, ended("acme", Some(&lease))).await;
    assert_eq!(leases_held(&server).await, 0.0);

    let denied = ask(&mut client, request("a")).await;
    assert!(!is_ok(&denied));
    assert_eq!((lease_of(&denied), leases_held(&server).await), (None, 0.0));
    assert!(is_ok(&ask(&mut client, request("b")).await));
}

#[tokio::test]
async fn leases_come_back_whatever_has_become_of_the_rule() {
    let server = TestServer::start(TWO_AT_A_TIME).await;
    let mut client = server.client();
    let mut leases = Vec::new();
    for _ in 0..2 {
        leases.push(lease_of(&ask(&mut client, tenant("shop", "acme")).await).unwrap());
    }
    let no_match = call(
        "shop",
        vec![RateLimitDescriptor {
            is_negative_hits: true,
            ..descriptor(&[("colour", "red"), ("lease", leases[0].as_str())])
        }],
    );
    ask(&mut client, no_match).await;
    assert_eq!(leases_held(&server).await, 1.0);
    let mut vanished = ended("acme", Some(&leases[1]));
    vanished.domain = b"gone".to_vec().into();
    assert!(is_ok(&ask(&mut client, vanished).await));
    assert_eq!(leases_held(&server).await, 0.0);
}

#[tokio::test]
async fn a_person_with_curl_takes_a_slot_and_gives_it_back() {
    let server = TestServer::start(TWO_AT_A_TIME).await;
    let body = |lease: Option<&Value>| {
        let mut entries = vec![json!({ "key": "tenant", "value": "acme" })];
        entries.extend(lease.map(|lease| json!({ "key": "lease", "value": lease })));
        let descriptor = json!({ "entries": entries, "isNegativeHits": lease.is_some() });
        json!({ "domain": "shop", "descriptors": [descriptor] }).to_string()
    };
    let (code, text) = server.post("/json", &body(None)).await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, leases_held(&server).await), (200, 1.0));
    let lease = &answer["dynamicMetadata"]["lease"];
    assert!(lease.is_string(), "{text}");
    assert_eq!(server.post("/json", &body(Some(lease))).await.0, 200);
    assert_eq!(leases_held(&server).await, 0.0);
}

#[tokio::test]
async fn parallel_calls_never_hold_more_than_the_amount() {
    let server = TestServer::start(TWO_AT_A_TIME).await;
    let holding = std::sync::Arc::new(std::sync::atomic::AtomicI64::new(0));
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (mut client, holding) = (server.client(), std::sync::Arc::clone(&holding));
        calls.spawn(async move {
            use std::sync::atomic::Ordering::SeqCst;
            for _ in 0..10 {
                let answer = ask(&mut client, tenant("shop", "acme")).await;
                if let Some(lease) = lease_of(&answer) {
                    assert!(holding.fetch_add(1, SeqCst) < 2);
                    tokio::task::yield_now().await;
                    holding.fetch_sub(1, SeqCst);
                    ask(&mut client, ended("acme", Some(&lease))).await;
                }
            }
        });
    }
    within(calls.join_all()).await;
    assert_eq!(leases_held(&server).await, 0.0);
}

/// HTTP/2 by hand, so that a call and its end arrive at the same moment.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// The head of a call, as literal fields without index.
fn head() -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"),
        (":authority", "tollgate"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    let mut head = Vec::new();
    for (name, value) in fields {
        head.push(0);
        for text in [name, value] {
            head.push(u8::try_from(text.len()).unwrap());
            head.extend_from_slice(text.as_bytes());
        }
    }
    head
}

#[tokio::test]
async fn calls_that_were_cancelled_hold_nothing() {
    let server = TestServer::start(TWO_AT_A_TIME).await;
    let mut connection = TcpStream::connect(server.grpc[0].to_string()).await.unwrap();
    let message = tenant("shop", "acme").encode_to_vec();
    let mut body = vec![0];
    body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    body.extend(message);
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    sent.extend(frame(4, 0, 0, &[]));
    for stream in [1, 3, 5] {
        sent.extend(frame(1, 4, stream, &head()));
        sent.extend(frame(0, 1, stream, &body));
        // RST_STREAM with CANCEL.
        sent.extend(frame(3, 0, stream, &8_u32.to_be_bytes()));
    }
    // Answered when all before it were read.
    sent.extend(frame(6, 0, 0, b"are you?"));
    connection.write_all(&sent).await.unwrap();
    let mut read = Vec::new();
    while !read.windows(8).any(|bytes| bytes == b"are you?") {
        assert_ne!(within(connection.read_buf(&mut read)).await.unwrap(), 0, "closed: {read:?}");
    }
    let decided = "tollgate_decisions_total{domain=\"shop\",code=\"ok\"}";
    assert!(metric(&server.metrics.render(), decided) > 0.0, "calls were decided");
    assert_eq!(leases_held(&server).await, 0.0);
}
