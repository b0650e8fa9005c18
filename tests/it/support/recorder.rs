//! A rate limit service that decides nothing: the test sees each call and answers it.
//!
//! Calls are seen in the order in which they arrived. It shows what Envoy itself does.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tollgate::pb::descriptor::RateLimitDescriptor;
use tollgate::pb::rls::rate_limit_response::Code;
use tollgate::pb::rls::rate_limit_service_server::{RateLimitService, RateLimitServiceServer};
use tollgate::pb::rls::{RateLimitRequest, RateLimitResponse};
use tonic::{Request, Response, Status};

use super::within;

#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    calls: mpsc::UnboundedReceiver<Call>,
    serving: JoinHandle<()>,
}

impl Recorder {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (sender, calls) = mpsc::unbounded_channel();
        let service = RateLimitServiceServer::new(Desk { sender });
        let serving = tonic::transport::Server::builder().add_service(service);
        let serving = serving.serve_with_incoming(TcpListenerStream::new(listener));
        let serving = tokio::spawn(async move { serving.await.expect("it serves") });
        Self { address, calls, serving }
    }

    pub(crate) async fn next(&mut self) -> Call {
        within(self.calls.recv()).await.expect("the service runs")
    }

    /// Whether a call has arrived that nobody has looked at.
    pub(crate) fn has_more(&self) -> bool {
        !self.calls.is_empty()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A call that waits for its answer. Dropped, it fails.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) request: RateLimitRequest,
    reply: oneshot::Sender<RateLimitResponse>,
}

impl Call {
    pub(crate) fn only_descriptor(&self) -> &RateLimitDescriptor {
        assert_eq!(self.request.descriptors.len(), 1, "{:?}", self.request);
        &self.request.descriptors[0]
    }

    /// The value of an entry of its only descriptor; empty when it has none.
    pub(crate) fn entry(&self, key: &str) -> String {
        let entry = self.only_descriptor().entries.iter().find(|entry| entry.key == key.as_bytes());
        entry.map_or_else(String::new, |entry| String::from_utf8_lossy(&entry.value).into_owned())
    }

    /// Whether it says that a request has ended.
    pub(crate) fn is_release(&self) -> bool {
        self.only_descriptor().is_negative_hits
    }

    pub(crate) fn answer(self, response: RateLimitResponse) {
        // The caller may be gone, which is what some tests are about.
        let _ = self.reply.send(response);
    }

    /// Admits, and hands out a lease.
    pub(crate) fn admit(self, lease: &str) {
        let lease = prost_types::value::Kind::StringValue(lease.to_owned());
        self.answer(response(Code::Ok, [("lease", lease)]));
    }

    pub(crate) fn deny(self) {
        self.answer(response(Code::OverLimit, []));
    }

    /// Waits until the caller has taken the call back.
    pub(crate) async fn cancelled(mut self) {
        within(self.reply.closed()).await;
    }
}

/// An answer with dynamic metadata.
pub(crate) fn response<const N: usize>(
    code: Code,
    metadata: [(&str, prost_types::value::Kind); N],
) -> RateLimitResponse {
    let fields = metadata
        .into_iter()
        .map(|(key, kind)| (key.to_owned(), prost_types::Value { kind: Some(kind) }))
        .collect();
    RateLimitResponse {
        overall_code: code.into(),
        dynamic_metadata: (N > 0).then_some(prost_types::Struct { fields }),
        ..Default::default()
    }
}

#[derive(Debug)]
struct Desk {
    sender: mpsc::UnboundedSender<Call>,
}

#[tonic::async_trait]
impl RateLimitService for Desk {
    async fn should_rate_limit(
        &self,
        request: Request<RateLimitRequest>,
    ) -> Result<Response<RateLimitResponse>, Status> {
        let (reply, answered) = oneshot::channel();
        let call = Call { request: request.into_inner(), reply };
        let gone = |_| Status::unavailable("the test wants no answer");
        self.sender.send(call).map_err(|_| Status::unavailable("the test is over"))?;
        answered.await.map(Response::new).map_err(gone)
    }
}
