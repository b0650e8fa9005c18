//! Unix sockets and several listeners at once.

use std::os::unix::fs::PermissionsExt as _;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tollgate::pb::rls::rate_limit_service_client::RateLimitServiceClient;
use tollgate::socket::{Address, Listener};
use tonic::transport::{Channel, Endpoint};

use crate::support::*;

async fn unix_channel(path: std::path::PathBuf) -> Channel {
    let connect = move |_| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    };
    let endpoint = Endpoint::from_static("http://ratelimit");
    endpoint.connect_with_connector(tower::service_fn(connect)).await.unwrap()
}

#[tokio::test]
async fn tcp_and_unix_listeners_serve_the_same_counters() {
    let sockets = tempfile::tempdir().unwrap();
    let path = sockets.path().join("rls.sock");
    let address = Address::Unix(path.clone());
    let server = TestServer::start_with(FIVE_A_MINUTE, |settings| {
        settings.grpc.push(address);
    })
    .await;
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let mut by_unix = RateLimitServiceClient::new(unix_channel(path.clone()).await);
    let mut by_tcp = server.client();
    by_unix.should_rate_limit(tenant("shop", "acme")).await.unwrap();
    let response = by_tcp.should_rate_limit(tenant("shop", "acme")).await.unwrap().into_inner();
    assert_eq!(only_status(&response).limit_remaining, 3);
    drop((by_unix, by_tcp));
    server.shut_down().await;
    assert!(!path.exists(), "the socket file goes with its server");
}

#[tokio::test]
async fn a_stale_socket_file_is_replaced_and_a_live_one_is_not() {
    let sockets = tempfile::tempdir().unwrap();
    let path = sockets.path().join("rls.sock");
    let address = Address::Unix(path.clone());
    // A listener that is closed leaves its file, as a killed server does.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let listener = Listener::bind(&address).await.unwrap();
    let error = Listener::bind(&address).await.unwrap_err().to_string();
    assert!(error.contains(path.to_str().unwrap()), "{error}");
    assert!(error.contains("another process listens"), "{error}");
    drop(listener);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("precious");
    std::fs::write(&path, "text").unwrap();
    let error = Listener::bind(&Address::Unix(path.clone())).await.unwrap_err().to_string();
    assert!(error.contains("no socket"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "text");
    let missing = Address::Unix(folder.path().join("none/rls.sock"));
    let error = Listener::bind(&missing).await.unwrap_err().to_string();
    assert!(error.contains("folder"), "{error}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_abstract_name_is_listened_on_once() {
    let name = format!("tollgate-test-{}", std::process::id());
    let address = Address::parse(&format!("unix:@{name}")).unwrap();
    let _listener = Listener::bind(&address).await.unwrap();
    let error = Listener::bind(&address).await.unwrap_err().to_string();
    assert!(error.contains("another process listens"), "{error}");
}

#[tokio::test]
async fn a_port_in_use_is_named_with_the_next_step() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address::Tcp(taken.local_addr().unwrap().to_string());
    let error = Listener::bind(&address).await.unwrap_err().to_string();
    assert!(error.contains(&address.to_string()), "{error}");
    assert!(error.contains("in use"), "{error}");
    assert!(error.contains("another port"), "{error}");
}

#[tokio::test]
async fn a_server_out_of_file_descriptors_serves_again_when_some_are_free() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("policy.yaml"), FIVE_A_MINUTE).unwrap();
    let mut server = ServerProcess::start_limited(folder.path(), 48);
    let address = server.grpc.clone();
    let mut held = Vec::new();
    for _ in 0..64 {
        held.push(tokio::net::TcpStream::connect(&address).await.unwrap());
    }
    server.process.wait_for("cannot accept connections; trying again ");
    drop(held);
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let mut client = RateLimitServiceClient::new(within(endpoint.connect()).await.unwrap());
    let response = within(client.should_rate_limit(tenant("shop", "acme"))).await.unwrap();
    assert!(is_ok(response.get_ref()));
}
