//! Rules of tollgate behind an Envoy that says when requests end.
//!
//! Each test has an Envoy, a tollgate and an upstream of its own; the upstream holds requests until the test says more.

use std::net::SocketAddr;

use http::Request;
use tollgate::time::Span;

use crate::support::clients::{Underway, count_of, one_after_the_other};
use crate::support::edge::{Edge, EdgeSetup, Guarded, Release};
use crate::support::http::{NoBody, request, send};
use crate::support::upstream::Upstream;
use crate::support::{TestServer, metric, within};

const BOTH: [Release; 2] = [Release::ByLease, Release::PlainPair];

/// So many requests of a tenant under way at once.
fn policy(amount: u32) -> String {
    format!(
        "domain: ends\nrules:\n  - name: under-way\n    per: [tenant]\n    limits: [{{ amount: \
         {amount}, kind: concurrent, lease: 60s }}]\n"
    )
}

fn setup(release: Release) -> EdgeSetup<'static> {
    EdgeSetup { release, ..EdgeSetup::concurrency("ends") }
}

fn get() -> Request<NoBody> {
    request("GET", "/", &[("x-tenant", b"acme"), ("x-app", b"cart")])
}

const HELD: &str = "tollgate_leases";
const DENIED: &str =
    "tollgate_rule_hits_total{domain=\"ends\",rule=\"under-way\",code=\"over_limit\"}";

/// Scrapes until a metric has this value.
async fn until(http: SocketAddr, series: &str, value: f64) {
    within(async {
        loop {
            let scraped = send(http, request("GET", "/metrics", &[])).await;
            let scraped = String::from_utf8(scraped.body.to_vec()).expect("text");
            let seen = metric(&scraped, series);
            if (seen - value).abs() < 0.5 {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn one_request_after_the_other_fits_into_a_limit_of_one() {
    for release in BOTH {
        let Some(guarded) = Guarded::start(setup(release), &policy(1)).await else { return };
        guarded.upstream.answer_all();
        let requests = (0..1_000).map(|_| get());
        let answers = one_after_the_other(guarded.edge.address, requests).await;
        let denied = count_of(429, &answers);
        println!("{release:?}: {denied} of 1000 denied");
        assert_eq!(count_of(200, &answers) + denied, 1_000);
        assert!(denied < 10, "{release:?}: {denied} of 1000 denied");
        until(guarded.tollgate.http, HELD, 0.0).await;
    }
}

#[tokio::test]
async fn of_six_at_once_two_are_let_in_however_often() {
    for release in BOTH {
        let Some(mut guarded) = Guarded::start(setup(release), &policy(2)).await else { return };
        for round in 1..=20 {
            let mut underway = Vec::new();
            for _ in 0..6 {
                underway.push(Underway::begin(guarded.edge.address, get()).await);
            }
            until(guarded.tollgate.http, DENIED, f64::from(4 * round)).await;
            for _ in 0..2 {
                guarded.upstream.next().await.answer(200);
            }
            let mut answers = Vec::new();
            for request in underway {
                answers.push(request.finish().await);
            }
            let counts = (count_of(200, &answers), count_of(429, &answers));
            assert_eq!(counts, (2, 4), "{release:?}, round {round}");
            until(guarded.tollgate.http, HELD, 0.0).await;
        }
        assert_eq!(guarded.upstream.counts().most_in_flight, 2);
    }
}

#[tokio::test]
async fn clients_that_hang_up_free_their_slots() {
    for release in BOTH {
        let Some(mut guarded) = Guarded::start(setup(release), &policy(1)).await else { return };
        for _ in 0..5 {
            let underway = Underway::begin(guarded.edge.address, get()).await;
            guarded.upstream.next().await;
            until(guarded.tollgate.http, HELD, 1.0).await;
            underway.hang_up().await;
            until(guarded.tollgate.http, HELD, 0.0).await;
        }
        guarded.upstream.answer_all();
        assert_eq!(send(guarded.edge.address, get()).await.status(), 200);
    }
}

#[tokio::test]
async fn what_another_rule_denies_holds_no_slot() {
    for release in BOTH {
        let more = "  - name: a-year\n    per: [app]\n    limits: [3/year]\n";
        let policy = format!("{}{more}", policy(2));
        let Some(guarded) = Guarded::start(setup(release), &policy).await else { return };
        guarded.upstream.answer_all();
        let answers = one_after_the_other(guarded.edge.address, (0..20).map(|_| get())).await;
        assert_eq!((count_of(200, &answers), count_of(429, &answers)), (3, 17), "{release:?}");
        until(guarded.tollgate.http, HELD, 0.0).await;
        let other = request("GET", "/", &[("x-tenant", b"acme"), ("x-app", b"other")]);
        assert_eq!(send(guarded.edge.address, other).await.status(), 200);
    }
}

#[tokio::test]
async fn slots_of_an_envoy_that_died_are_free_when_their_leases_end() {
    let server = TestServer::start(&policy(1)).await;
    let (grpc, http) = (server.grpc[0].to_string(), server.http.to_string());
    let http: SocketAddr = http.parse().expect("an address");
    let mut upstream = Upstream::start().await;
    let begin = || Edge::start(setup(Release::ByLease), &grpc, upstream.address);
    let Some(edge) = begin().await else { return };
    let second = begin().await.expect("another Envoy");
    let _lost = Underway::begin(edge.address, get()).await;
    upstream.next().await;
    until(http, HELD, 1.0).await;
    drop(edge);
    upstream.answer_all();
    server.clock.advance(Span::from_millis(59_999));
    assert_eq!(send(second.address, get()).await.status(), 429);
    server.clock.advance(Span::from_millis(1));
    until(http, HELD, 0.0).await;
    assert_eq!(send(second.address, get()).await.status(), 200);
}

#[tokio::test]
async fn requests_that_end_are_no_hits_of_a_window() {
    let policy = "
domain: ends
rules:
  - name: per-tenant
    per: [tenant]
    limits: [1000/year]
";
    for release in [Release::ByLease, Release::PlainPair] {
        let setup = EdgeSetup { release, ..EdgeSetup::concurrency("ends") };
        let Some(guarded) = Guarded::start(setup, policy).await else { return };
        guarded.upstream.answer_all();
        let requests = (0..1_010).map(|_| request("GET", "/", &[("x-tenant", b"acme")]));
        let answers = one_after_the_other(guarded.edge.address, requests).await;
        let counts = (count_of(200, &answers), count_of(429, &answers));
        assert_eq!(counts, (1_000, 10), "{release:?}");
        assert_eq!(guarded.upstream.counts().arrived, 1_000);
        let scraped = send(guarded.tollgate.http, request("GET", "/metrics", &[])).await;
        let scraped = String::from_utf8(scraped.body.to_vec()).expect("text");
        let denied =
            "tollgate_rule_hits_total{domain=\"ends\",rule=\"per-tenant\",code=\"over_limit\"}";
        assert_eq!(metric(&scraped, denied), 10.0, "{release:?}");
    }
}
