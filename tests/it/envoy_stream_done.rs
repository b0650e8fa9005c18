//! What Envoy itself does when requests end, and with the metadata of a denial.
//!
//! Nothing of tollgate's is tried here: the rate limit service only records. A call that must not come is looked for
//! after one that Envoy sends later on the same connection.

use http::Request;
use tollgate::pb::core::HeaderValue;
use tollgate::pb::rls::RateLimitResponse;
use tollgate::pb::rls::rate_limit_response::Code;

use crate::support::clients::{Underway, at_once, count_of, one_after_the_other};
use crate::support::edge::{Edge, EdgeSetup, Release};
use crate::support::http::{Answer, NoBody, request, send};
use crate::support::recorder::{Call, Recorder, response};
use crate::support::upstream::Upstream;

struct Scene {
    edge: Edge,
    calls: Recorder,
    upstream: Upstream,
}

async fn scene(setup: EdgeSetup<'_>) -> Option<Scene> {
    let (calls, upstream) = (Recorder::start().await, Upstream::start().await);
    let edge = Edge::start(setup, &calls.address.to_string(), upstream.address).await?;
    Some(Scene { edge, calls, upstream })
}

async fn with_lease() -> Option<Scene> {
    scene(EdgeSetup::concurrency("stream-done")).await
}

async fn with_plain_pair() -> Option<Scene> {
    let setup = EdgeSetup::concurrency("stream-done");
    scene(EdgeSetup { release: Release::PlainPair, ..setup }).await
}

impl Scene {
    /// Sends a request and gives its call to the rate limit service.
    async fn begin(&mut self, tenant: &str) -> (Underway, Call) {
        let underway = Underway::begin(self.edge.address, get(tenant)).await;
        let call = self.calls.next().await;
        assert_acquires(&call, tenant);
        (underway, call)
    }

    /// A whole request that is admitted with a lease: whatever Envoy had to say before it has been
    /// said after it, and the release of this one is the next call.
    async fn pass(&mut self, lease: &str) {
        let (underway, call) = self.begin("globex").await;
        call.admit(lease);
        self.upstream.next().await.answer(200);
        assert_eq!(underway.finish().await.status(), 200);
        let release = self.calls.next().await;
        assert_releases(&release, "globex", lease);
        release.answer(RateLimitResponse::default());
        assert!(!self.calls.has_more());
    }
}

fn get(tenant: &str) -> Request<NoBody> {
    request("GET", "/jobs/1", &[("x-tenant", tenant.as_bytes())])
}

fn assert_acquires(call: &Call, tenant: &str) {
    assert_eq!(call.entry("tenant"), tenant, "{call:?}");
    assert!(!call.is_release(), "{call:?}");
    assert_eq!(call.entry("lease"), "", "{call:?}");
    assert_eq!(call.only_descriptor().hits_addend, Some(1));
    assert_eq!(call.request.domain, "stream-done");
}

fn assert_releases(call: &Call, tenant: &str, lease: &str) {
    assert_eq!(call.entry("tenant"), tenant, "{call:?}");
    assert!(call.is_release(), "{call:?}");
    assert_eq!(call.entry("lease"), lease, "{call:?}");
    assert_eq!(call.only_descriptor().hits_addend, Some(1));
    assert_eq!(call.request.domain, "stream-done");
}

#[tokio::test]
async fn admitted_request_gives_its_lease_back_after_its_last_byte() {
    let Some(mut scene) = with_lease().await else { return };

    let (underway, acquire) = scene.begin("acme").await;
    let entries = acquire.only_descriptor().entries.clone();
    acquire.admit("lease-1");
    let arrival = scene.upstream.next().await;
    assert!(arrival.head.headers.values().all(|value| value != "lease-1"), "{arrival:?}");
    let pieces = arrival.answer_in_pieces(200);
    pieces.send("first");
    let mut reading = underway.answered().await;
    assert_eq!(reading.status(), 200);
    assert_eq!(reading.piece().await.expect("a piece"), "first");
    // A release of the first one, whose answer is not out yet, would come before this.
    scene.pass("lease-2").await;

    pieces.send("last");
    drop(pieces);
    assert_eq!(reading.piece().await.expect("a piece"), "last");
    assert_eq!(reading.piece().await, None);
    let release = scene.calls.next().await;
    assert_releases(&release, "acme", "lease-1");
    let released = &release.only_descriptor().entries;
    assert_eq!(released[..entries.len()], entries, "the same counter, and the lease after it");
    assert_eq!(released.len(), entries.len() + 1);
}

#[tokio::test]
async fn denied_request_without_a_lease_gives_nothing_back() {
    let Some(mut scene) = with_lease().await else { return };

    let (underway, acquire) = scene.begin("acme").await;
    acquire.deny();
    assert_eq!(underway.finish().await.status(), 429);
    scene.pass("lease-1").await;
    assert_eq!(scene.upstream.counts().arrived, 1);
}

#[tokio::test]
async fn admitted_request_without_a_lease_gives_nothing_back() {
    let Some(mut scene) = with_lease().await else { return };

    let (underway, acquire) = scene.begin("acme").await;
    acquire.answer(response(Code::Ok, []));
    scene.upstream.next().await.answer(200);
    assert_eq!(underway.finish().await.status(), 200);
    scene.pass("lease-1").await;
}

#[tokio::test]
async fn plain_pair_gives_back_what_was_denied_too() {
    let Some(mut scene) = with_plain_pair().await else { return };

    let (underway, acquire) = scene.begin("acme").await;
    let entries = acquire.only_descriptor().entries.clone();
    acquire.deny();
    assert_eq!(underway.finish().await.status(), 429);
    let release = scene.calls.next().await;
    assert_releases(&release, "acme", "");
    assert_eq!(release.only_descriptor().entries, entries);
    release.answer(RateLimitResponse::default());

    let (underway, acquire) = scene.begin("acme").await;
    acquire.admit("nobody asks for it");
    scene.upstream.next().await.answer(200);
    assert_eq!(underway.finish().await.status(), 200);
    assert_releases(&scene.calls.next().await, "acme", "");
}

#[tokio::test]
async fn sign_is_lost_in_the_rules_of_a_route() {
    let setup = EdgeSetup::concurrency("stream-done");
    let setup = EdgeSetup { release: Release::PlainPairInRoute, ..setup };
    let Some(mut scene) = scene(setup).await else { return };

    let underway = Underway::begin(scene.edge.address, get("acme")).await;
    let acquire = scene.calls.next().await;
    assert_eq!(acquire.only_descriptor().hits_addend, None);
    acquire.answer(response(Code::Ok, []));
    scene.upstream.next().await.answer(200);
    assert_eq!(underway.finish().await.status(), 200);
    let done = scene.calls.next().await;
    assert!(!done.is_release(), "{done:?}");
    assert_eq!(done.only_descriptor().hits_addend, None);
}

#[tokio::test]
async fn client_that_hangs_up_gives_its_lease_back() {
    let Some(mut scene) = with_lease().await else { return };

    let (underway, acquire) = scene.begin("acme").await;
    acquire.admit("before the answer");
    let _held = scene.upstream.next().await;
    underway.hang_up().await;
    assert_releases(&scene.calls.next().await, "acme", "before the answer");

    let (underway, acquire) = scene.begin("acme").await;
    acquire.admit("in the middle of it");
    let pieces = scene.upstream.next().await.answer_in_pieces(200);
    pieces.send("first");
    let mut reading = underway.answered().await;
    assert_eq!(reading.piece().await.expect("a piece"), "first");
    reading.hang_up().await;
    assert_releases(&scene.calls.next().await, "acme", "in the middle of it");
    scene.upstream.until(|counts| counts.in_flight == 0).await;
}

#[tokio::test]
async fn client_that_hangs_up_before_the_decision_takes_the_call_back() {
    for plain in [false, true] {
        let scene = if plain { with_plain_pair().await } else { with_lease().await };
        let Some(mut scene) = scene else { return };

        let (underway, acquire) = scene.begin("acme").await;
        underway.hang_up().await;
        acquire.cancelled().await;
        let next = scene.begin("globex").await;
        next.1.deny();
        assert_eq!(next.0.finish().await.status(), 429);
        if plain {
            assert_releases(&scene.calls.next().await, "globex", "");
        }
        assert!(!scene.calls.has_more());
    }
}

#[tokio::test]
async fn failing_upstream_gives_the_lease_back() {
    let Some(mut scene) = with_lease().await else { return };

    let (underway, acquire) = scene.begin("acme").await;
    acquire.admit("lease-1");
    scene.upstream.next().await.fail();
    assert_eq!(underway.finish().await.status(), 503);
    assert_releases(&scene.calls.next().await, "acme", "lease-1");
}

#[tokio::test]
async fn call_that_fails_is_followed_by_the_release_of_a_plain_pair_alone() {
    let Some(mut scene) = with_lease().await else { return };
    let (underway, acquire) = scene.begin("acme").await;
    drop(acquire);
    assert_eq!(underway.finish().await.status(), 500, "this Envoy fails closed");
    scene.pass("lease-1").await;

    let Some(mut scene) = with_plain_pair().await else { return };
    let (underway, acquire) = scene.begin("acme").await;
    drop(acquire);
    assert_eq!(underway.finish().await.status(), 500);
    assert_releases(&scene.calls.next().await, "acme", "");
}

#[tokio::test]
async fn every_one_of_many_requests_gives_back_the_lease_it_was_given() {
    const CLIENTS: usize = 40;
    let Some(mut scene) = with_lease().await else { return };

    let address = scene.edge.address;
    let clients =
        tokio::spawn(async move { at_once(address, (0..CLIENTS).map(|_| get("acme"))).await });
    for number in 0..CLIENTS {
        let acquire = scene.calls.next().await;
        assert_acquires(&acquire, "acme");
        match number % 4 {
            0 => acquire.deny(),
            _ => acquire.admit(&number.to_string()),
        }
    }
    let admitted = CLIENTS * 3 / 4;
    let counts = scene.upstream.until(|counts| counts.in_flight == admitted).await;
    assert_eq!((counts.most_in_flight, counts.arrived), (admitted, admitted));
    scene.upstream.answer_all();
    let answers = clients.await.expect("clients");
    assert_eq!((count_of(200, &answers), count_of(429, &answers)), (admitted, CLIENTS / 4));

    let mut leases = Vec::new();
    for _ in 0..admitted {
        let release = scene.calls.next().await;
        assert!(release.is_release(), "{release:?}");
        leases.push(release.entry("lease").parse::<usize>().expect("a lease of ours"));
    }
    leases.sort_unstable();
    let expected: Vec<usize> = (0..CLIENTS).filter(|number| number % 4 != 0).collect();
    assert_eq!(leases, expected);
    scene.upstream.hold();
    scene.pass("the last").await;
}

#[tokio::test]
async fn requests_of_one_connection_are_asked_about_one_by_one() {
    let Some(mut scene) = with_lease().await else { return };

    scene.upstream.answer_all();
    let address = scene.edge.address;
    let client =
        tokio::spawn(
            async move { one_after_the_other(address, (0..50).map(|_| get("acme"))).await },
        );
    let (mut acquires, mut releases) = (0, 0);
    while (acquires, releases) != (50, 50) {
        let call = scene.calls.next().await;
        if call.is_release() {
            releases += 1;
            call.answer(RateLimitResponse::default());
        } else {
            acquires += 1;
            call.admit("lease");
        }
    }
    let answers = client.await.expect("a client");
    assert_eq!(count_of(200, &answers), 50);
    assert_eq!(scene.upstream.counts().most_in_flight, 1);
}

fn header(key: &str, value: &str) -> HeaderValue {
    HeaderValue { key: key.to_owned(), value: value.to_owned(), ..Default::default() }
}

/// The answer of the load shedding example to a denial with this `status` in its metadata.
async fn denied_with(scene: &mut Scene, status: Option<f64>) -> Answer {
    let sent = tokio::spawn(send(scene.edge.address, get("acme")));
    let call = scene.calls.next().await;
    let metadata = status.map(|status| [("status", prost_types::value::Kind::NumberValue(status))]);
    let mut denial = match metadata {
        Some(metadata) => response(Code::OverLimit, metadata),
        None => response(Code::OverLimit, []),
    };
    denial.raw_body = r#"{"title":"Temporary Reduced Capacity"}"#.into();
    denial.response_headers_to_add = vec![
        header("content-type", "application/problem+json"),
        header("retry-after", "7"),
        header("x-load", "101"),
    ];
    call.answer(denial);
    sent.await.expect("an answer")
}

#[tokio::test]
async fn mapper_makes_503_of_a_denial_that_says_so_and_changes_nothing_else() {
    let Some(mut scene) = scene(EdgeSetup::load_shedding("stream-done")).await else { return };

    for (status, expected) in [(Some(503.0), 503), (Some(429.0), 429), (None, 429)] {
        let answer = denied_with(&mut scene, status).await;
        assert_eq!(answer.status(), expected, "{answer:?}");
        assert_eq!(answer.json()["title"], "Temporary Reduced Capacity", "{answer:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.header("retry-after"), "7");
        assert_eq!(answer.header("x-load"), "101");
    }

    // What is no denial keeps its status: an upstream's 429, and an answer of Envoy's own, here to a
    // header that no answer can have.
    let status = || prost_types::value::Kind::NumberValue(503.0);
    let underway = Underway::begin(scene.edge.address, get("acme")).await;
    scene.calls.next().await.answer(response(Code::Ok, [("status", status())]));
    scene.upstream.next().await.answer(429);
    assert_eq!(underway.finish().await.status(), 429);

    let underway = Underway::begin(scene.edge.address, get("acme")).await;
    let mut odd = response(Code::Ok, [("status", status())]);
    odd.response_headers_to_add.push(header(":status", "200"));
    scene.calls.next().await.answer(odd);
    scene.upstream.next().await.answer(200);
    assert_eq!(underway.finish().await.status(), 502);
    assert!(!scene.calls.has_more());
}
