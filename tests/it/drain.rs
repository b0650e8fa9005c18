//! Stopping: what is on its way is answered, and then the process is gone.

use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio_stream::StreamExt as _;
use tollgate::pb::rls::rate_limit_service_client::RateLimitServiceClient;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_that_is_decided_is_answered_when_the_server_stops_under_load() {
    let policy = FIVE_A_MINUTE.replace("5/minute", "1000000/minute");
    let server = TestServer::start(&policy).await;
    let mut callers = tokio::task::JoinSet::new();
    let (answered, mut answers) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..16 {
        let (mut client, answered) = (server.client(), answered.clone());
        callers.spawn(async move {
            loop {
                match client.should_rate_limit(tenant("shop", "acme")).await {
                    Ok(_) => answered.send(()).unwrap(),
                    Err(error) => return error,
                }
            }
        });
    }
    drop(answered);
    for _ in 0..500 {
        within(answers.recv()).await.unwrap();
    }
    server.stop.cancel();
    tokio::time::timeout(Duration::from_secs(2), server.running).await.unwrap().unwrap();
    for error in within(callers.join_all()).await {
        assert!(was_not_sent(&error), "{error:?}");
    }
    let mut answer_count = 500;
    while within(answers.recv()).await.is_some() {
        answer_count += 1;
    }
    let series = "tollgate_decisions_total{domain=\"shop\",code=\"ok\"}";
    assert_eq!(metric(&server.metrics.render(), series), f64::from(answer_count));
}

#[tokio::test]
async fn a_connection_that_waits_to_be_accepted_is_still_answered() {
    let server = TestServer::start(FIVE_A_MINUTE).await;
    // One call makes sure that the server runs.
    server.client().should_rate_limit(tenant("shop", "acme")).await.unwrap();
    let address = server.grpc[0].to_string();
    // On one thread, the server has no chance to accept before it is told to stop.
    let waiting = std::net::TcpStream::connect(&address).unwrap();
    server.stop.cancel();
    waiting.set_nonblocking(true).unwrap();
    let mut waiting = Some(tokio::net::TcpStream::from_std(waiting).unwrap());
    let connect = move |_| {
        let stream = waiting.take().map(TokioIo::new);
        async move { stream.ok_or_else(|| std::io::Error::other("only once")) }
    };
    let endpoint = Endpoint::from_static("http://ratelimit");
    let channel = endpoint.connect_with_connector(tower::service_fn(connect)).await.unwrap();
    let mut client = RateLimitServiceClient::new(channel);
    let response = client.should_rate_limit(tenant("shop", "acme")).await.unwrap();
    assert!(is_ok(response.get_ref()));
    drop(client);
    within(server.running).await.unwrap();
}

#[tokio::test]
async fn before_the_drain_probes_say_no_and_new_connections_are_still_answered() {
    let server = TestServer::start_with(FIVE_A_MINUTE, |settings| {
        settings.drain_delay = Duration::from_secs(3_600);
    })
    .await;
    let mut health = HealthClient::new(server.channel());
    let question = || HealthCheckRequest { service: String::new() };
    let mut watch = health.watch(question()).await.unwrap().into_inner();
    assert_eq!(watch.next().await.unwrap().unwrap().status(), ServingStatus::Serving);

    server.stop.cancel();
    assert_eq!(within(watch.next()).await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert_eq!(server.get("/healthcheck").await.0, 500);
    let (code, text) = server.get("/readyz").await;
    assert!(code == 503 && text.contains("leaving"), "{text}");
    let response = health.check(question()).await.unwrap();
    assert_eq!(response.get_ref().status(), ServingStatus::NotServing);
    // A client of its own is a connection of its own.
    let response = server.client().should_rate_limit(tenant("shop", "acme")).await.unwrap();
    assert!(is_ok(response.get_ref()));
    assert!(!server.running.is_finished());
}

#[tokio::test]
async fn after_its_delay_the_drain_ends_the_server() {
    let server = TestServer::start_with(FIVE_A_MINUTE, |settings| {
        settings.drain_delay = Duration::from_millis(1);
    })
    .await;
    server.shut_down().await;
}

#[tokio::test]
async fn a_second_signal_ends_the_process_within_the_delay() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("policy.yaml"), FIVE_A_MINUTE).unwrap();
    let mut server = ServerProcess::start(folder.path(), &["--drain-delay", "60m"]);
    server.process.signal("-TERM");
    server.process.wait_for("still answering everything");
    server.process.signal("-TERM");
    let ended = tokio::task::spawn_blocking(move || server.process.exit_code());
    assert_eq!(within(ended).await.unwrap(), 1);
}

#[tokio::test]
async fn a_process_ends_with_success_on_sigterm_and_removes_its_socket() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("policy.yaml"), FIVE_A_MINUTE).unwrap();
    let socket = folder.path().join("rls.sock");
    let unix = format!("unix:{}", socket.display());
    let more = ["--grpc", unix.as_str()];
    let mut server = ServerProcess::start(folder.path(), &more);
    assert!(socket.exists());
    let address = format!("http://{}", server.grpc);
    let mut client = RateLimitServiceClient::connect(address).await.unwrap();
    client.should_rate_limit(tenant("shop", "acme")).await.unwrap();
    server.process.signal("-TERM");
    let ended = tokio::task::spawn_blocking(move || server.process.exit_code());
    let code = tokio::time::timeout(Duration::from_secs(2), ended).await.unwrap().unwrap();
    assert_eq!(code, 0);
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_client_that_never_lets_go_holds_the_end_up_no_longer_than_the_drain() {
    let server = TestServer::start_with(FIVE_A_MINUTE, |settings| {
        settings.drain_timeout = Duration::from_millis(50);
    })
    .await;
    // A connection on which nothing is ever said.
    let _silent = tokio::net::TcpStream::connect(server.grpc[0].to_string()).await.unwrap();
    server.client().should_rate_limit(tenant("shop", "acme")).await.unwrap();
    server.stop.cancel();
    within(server.running).await.unwrap();
}

#[tokio::test]
async fn a_hangup_does_not_end_the_process() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("policy.yaml"), FIVE_A_MINUTE).unwrap();
    let mut server = ServerProcess::start(folder.path(), &[]);
    server.process.signal("-HUP");
    let address = format!("http://{}", server.grpc);
    let mut client = RateLimitServiceClient::connect(address).await.unwrap();
    client.should_rate_limit(tenant("shop", "acme")).await.unwrap();
    server.process.signal("-TERM");
    let ended = tokio::task::spawn_blocking(move || server.process.exit_code());
    assert_eq!(within(ended).await.unwrap(), 0);
}
