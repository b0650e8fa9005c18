//! Many callers at once: in every window exactly the amount is admitted, not one hit more or less.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinSet;
use tollgate::pb::rls::RateLimitRequest;
use tollgate::settings::Settings;
use tollgate::time::Span;

use crate::support::*;

const STREAMS: usize = 64;

/// Each has one of the two connections of a storm.
fn two_workers(settings: &mut Settings) {
    settings.workers = 2;
}

/// Sends `calls` of every stream at once over two connections and adds up the hits admitted.
async fn storm(server: &TestServer, requests: &[RateLimitRequest], calls: usize) -> u64 {
    let admitted = Arc::new(AtomicU64::new(0));
    let clients = [server.client(), server.client()];
    let mut streams = JoinSet::new();
    for stream in 0..STREAMS {
        let mut client = clients[stream % clients.len()].clone();
        let request = requests[stream % requests.len()].clone();
        let hits = u64::from(request.hits_addend.max(1));
        let admitted = Arc::clone(&admitted);
        streams.spawn(async move {
            for _ in 0..calls {
                let answer = client.should_rate_limit(request.clone()).await.unwrap();
                if is_ok(answer.get_ref()) {
                    admitted.fetch_add(hits, Ordering::Relaxed);
                }
            }
        });
    }
    within(streams.join_all()).await;
    admitted.load(Ordering::Relaxed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_streams_on_one_key_share_exactly_the_amount_of_each_window() {
    let policy = FIVE_A_MINUTE.replace("5/minute", "100/minute, 10000/hour");
    let server = TestServer::start_with(&policy, two_workers).await;
    for window in 0..20 {
        let admitted = storm(&server, &[tenant("shop", "acme")], 4).await;
        assert_eq!(admitted, 100, "window {window}");
        server.clock.advance(Span::from_seconds(60));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn weights_never_add_up_to_more_than_the_amount_and_leave_no_room_for_one() {
    let policy = FIVE_A_MINUTE.replace("5/minute", "200/minute");
    let server = TestServer::start_with(&policy, two_workers).await;
    let weighing = |hits_addend| RateLimitRequest { hits_addend, ..tenant("shop", "acme") };
    let requests = [weighing(1), weighing(2), weighing(3), weighing(7)];
    for window in 0..10 {
        // 64 streams x 4 calls ask for far more than 200; single hits fill the last gaps.
        let admitted = storm(&server, &requests, 4).await;
        assert_eq!(admitted, 200, "window {window}");
        server.clock.advance(Span::from_seconds(60));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_narrow_rule_denies_without_taking_from_the_wide_one() {
    let policy = "\
domain: shop
rules:
  - { name: wide, limits: [1000/day] }
  - { name: narrow, per: [tenant], limits: [50/day] }
";
    let server = TestServer::start(policy).await;
    let tenants: Vec<_> = (0..8).map(|n| tenant("shop", &format!("tenant-{n}"))).collect();
    assert_eq!(storm(&server, &tenants, 20).await, 8 * 50);
    // 1,280 requests were sent, 400 admitted: 600 are left of the wide limit, to the last one.
    let others: Vec<_> = (0..64).map(|n| tenant("shop", &format!("other-{n}"))).collect();
    assert_eq!(storm(&server, &others, 30).await, 600);
}
