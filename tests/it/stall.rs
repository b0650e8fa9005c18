//! A server that stands still for 300 ms while Envoy gives up on every call after 20 ms.

use std::time::Duration;

use tokio::task::JoinSet;
use tollgate::pb::rls::rate_limit_service_client::RateLimitServiceClient;

use crate::support::*;

const DEADLINE: Duration = Duration::from_millis(20);
const WAVES: usize = 15;
const CALLS: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stall_of_300_ms_loses_no_connection() {
    let folder = tempfile::tempdir().unwrap();
    let policy = FIVE_A_MINUTE.replace("5/minute", "1000000/minute");
    std::fs::write(folder.path().join("policy.yaml"), policy).unwrap();
    let server = ServerProcess::start(folder.path(), &[]);
    let address = format!("http://{}", server.grpc);
    let client = RateLimitServiceClient::connect(address).await.unwrap();
    client.clone().should_rate_limit(tenant("shop", "acme")).await.unwrap();

    server.process.signal("-STOP");
    for _ in 0..WAVES {
        let mut wave = JoinSet::new();
        for _ in 0..CALLS {
            let mut client = client.clone();
            // A call that is given up on is reset on the wire, as Envoy does.
            let call = async move { client.should_rate_limit(tenant("shop", "acme")).await };
            wave.spawn(tokio::time::timeout(DEADLINE, call));
        }
        let given_up = wave.join_all().await.into_iter().filter(Result::is_err).count();
        assert_eq!(given_up, CALLS, "nobody answers while the server stands still");
    }
    server.process.signal("-CONT");

    for _ in 0..CALLS {
        let mut client = client.clone();
        within(client.should_rate_limit(tenant("shop", "acme"))).await.unwrap();
    }
    let (_, metrics) = http(&server.http.to_string(), "GET", "/metrics", "").await;
    assert_eq!(metric(&metrics, "tollgate_connections_accepted_total"), 1.0);
    assert_eq!(metric(&metrics, "tollgate_connections"), 1.0);
}
