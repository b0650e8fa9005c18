//! A server inside the test, and clients for it.

mod call;
pub(crate) mod clients;
pub(crate) mod edge;
pub(crate) mod envoy;
pub(crate) mod http;
pub(crate) mod process;
mod program;
pub(crate) mod recorder;
pub(crate) mod shipped;
pub(crate) mod tools;
pub(crate) mod upstream;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::bytes::Bytes;
use tokio_util::sync::CancellationToken;
use tollgate::clock::Clock;
use tollgate::metrics::Metrics;
use tollgate::pb::rls::rate_limit_service_client::RateLimitServiceClient;
use tollgate::policy::model::Mode;
use tollgate::server::{Listeners, Server};
use tollgate::settings::{Data, Settings, StoreChoice};
use tollgate::socket::Address;
use tollgate::source::Active;
use tollgate::store::durable::OnDamage;
use tollgate::telemetry::LogFormat;
use tollgate::time::Timestamp;
use tollgate::usage::UsageLimits;
use tonic::transport::{Channel, Endpoint};

pub(crate) use call::*;
pub(crate) use program::*;

/// Long enough for anything on a busy machine; only a failing test waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// 2026-01-01 00:00:10 UTC, a Thursday.
pub(crate) const START: Timestamp = Timestamp::from_seconds(1_767_225_610);

/// 5 a minute for each tenant.
pub(crate) const FIVE_A_MINUTE: &str = "\
domain: shop
rules:
  - name: per-tenant
    per: [tenant]
    limits: [5/minute]
";

pub(crate) type Client = RateLimitServiceClient<Channel>;

/// A running server with its policy folder.
pub(crate) struct TestServer {
    pub(crate) clock: Clock,
    pub(crate) stop: CancellationToken,
    pub(crate) running: JoinHandle<()>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) active: Arc<Active>,
    pub(crate) grpc: Vec<Address>,
    pub(crate) http: Address,
    pub(crate) folder: TempDir,
}

/// What a test may want otherwise.
pub(crate) fn settings(policies: &Path) -> Settings {
    Settings {
        policies: vec![policies.to_owned()],
        grpc: vec![Address::parse("127.0.0.1:0").unwrap()],
        http: Some(Address::parse("127.0.0.1:0").unwrap()),
        store: StoreChoice::Memory,
        data: Data { directory: "data".into(), on_damage: OnDamage::Refuse, is_required: true },
        max_counters: None,
        workers: 1,
        usage: UsageLimits::default(),
        mode: Mode::Enforce,
        descriptors: Default::default(),
        message_size_max: 1 << 20,
        drain_delay: Duration::ZERO,
        drain_timeout: Duration::from_millis(1_500),
        log_level: "info".to_owned(),
        log_format: LogFormat::Text,
    }
}

impl TestServer {
    /// Serves one policy.
    pub(crate) async fn start(policy: &str) -> Self {
        Self::start_with(policy, |_| {}).await
    }

    pub(crate) async fn start_with(policy: &str, change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("policy.yaml"), policy).unwrap();
        Self::start_in(folder, change).await
    }

    /// Serves what is in a folder.
    pub(crate) async fn start_in(folder: TempDir, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = settings(folder.path());
        change(&mut settings);
        let clock = Clock::manual(START);
        let server = Server::build(&settings, clock.clone()).unwrap();
        let listeners = Listeners::bind(&settings).await.unwrap();
        let grpc = listeners.grpc.iter().map(|listener| listener.address().clone()).collect();
        let http = listeners.http.as_ref().unwrap().address().clone();
        let (metrics, active) = (Arc::clone(server.metrics()), Arc::clone(server.active()));
        let stop = CancellationToken::new();
        let running = tokio::spawn(server.run(listeners, stop.clone()));
        Self { clock, stop, running, metrics, active, grpc, http, folder }
    }

    /// A channel to the first address, connected with the first call.
    pub(crate) fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.grpc[0])).unwrap().connect_lazy()
    }

    pub(crate) fn client(&self) -> Client {
        RateLimitServiceClient::new(self.channel())
    }

    /// Tells the server to stop, and waits until it has.
    pub(crate) async fn shut_down(self) {
        self.stop.cancel();
        within(self.running).await.unwrap();
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        http(&self.http.to_string(), "GET", path, "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> (u16, String) {
        http(&self.http.to_string(), "POST", path, body).await
    }

    pub(crate) async fn post_json(&self, path: &str, body: &Value) -> (u16, Value) {
        post_json(&self.http.to_string(), path, body).await
    }
}

/// Waits for what must happen soon.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("this takes too long")
}

/// One HTTP/1.1 request on a connection of its own.
pub(crate) async fn http(address: &str, method: &str, path: &str, body: &str) -> (u16, String) {
    http_with(address, method, path, &[], body).await
}

pub(crate) async fn post_json(address: &str, path: &str, body: &Value) -> (u16, Value) {
    let headers = [("content-type", "application/json")];
    let (status, text) = http_with(address, "POST", path, &headers, &body.to_string()).await;
    (status, serde_json::from_str(&text).unwrap())
}

pub(crate) async fn http_with(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, String) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let driving = tokio::spawn(connection);
    let mut request = hyper::Request::builder().method(method).uri(path).header("host", address);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
    let response = within(sender.send_request(request)).await.unwrap();
    let status = response.status().as_u16();
    let bytes = within(response.into_body().collect()).await.unwrap().to_bytes();
    driving.abort();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

/// The value of one metric line, given up to its value.
pub(crate) fn metric(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no series `{series}` in:\n{text}")).parse().unwrap()
}
