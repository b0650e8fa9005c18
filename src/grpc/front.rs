//! What the calls of a connection come to: the one hot method by hand, the rest to the library.
//!
//! By hand goes only what is exactly as Envoy sends it; how everything else is answered is for the
//! library to say, so both ways answer alike.

use std::borrow::Cow;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use prost::Message as _;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tower::{BoxError, Service as _};

use super::frame::{self, AnswerBody, message};
use super::rls::{Decided, Refusal, Rls};
use super::{metadata, wire};
use crate::decide::{Answer, Decision};
use crate::pb;
use crate::socket::Connection;

/// Envoy opens up to 1024 streams before it has seen our settings, and lets the requests of those
/// that we refuse pass unlimited. So exactly as many are allowed.
const STREAMS_MAX: u32 = 1024;
const HEADER_LIST_SIZE_MAX: u32 = 16 * 1024;
/// Streams that the client reset before we came to accept them. The library's default of 20 guards
/// against floods of resets, and takes Envoy for one: it cancels every call after its 20 ms
/// deadline, all on one connection, so a stall of 300 ms with all 1024 streams in use leaves
/// 15 x 1024 resets. Closing the connection then would fail every call on it. A reset that waits
/// costs a few hundred bytes, so this bound is some megabytes of a connection at worst.
const PENDING_RESETS_MAX: usize = 16 * 1024;
/// Also bounds what small frames may wait: the library closes a connection when the bytes by which
/// waiting DATA frames fall short of 256 each come to half of this window. Envoy's calls are not
/// counted, since their only frame ends the stream; clients that end it with a second frame are.
/// So as many of theirs fit as resets may wait: 16384 x 256 x 2 bytes.
const CONNECTION_WINDOW: u32 = 8 << 20;
/// Streams that we had to reset for the client's fault; the library's own default, made explicit.
const LOCAL_ERROR_RESETS_MAX: usize = 1024;
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How the hot method is asked for.
const HOT_PATH: &str = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";

/// Answers all calls.
#[derive(Clone, Debug)]
pub struct Front {
    rls: Rls,
    routes: Routes,
    message_size_max: usize,
}

impl Front {
    pub(super) fn new(rls: Rls, routes: Routes, message_size_max: usize) -> Self {
        Self { rls, routes: routes.prepare(), message_size_max }
    }

    /// Serves a connection until it closes; from `leaving` on it takes no new calls.
    pub(super) async fn serve(self: Arc<Self>, connection: Connection, leaving: CancellationToken) {
        let service = service_fn(move |call| {
            let front = Arc::clone(&self);
            async move { Ok::<_, Infallible>(front.answer(call).await) }
        });
        let mut serving =
            pin!(http2_settings().serve_connection(TokioIo::new(connection), service));
        let ended = tokio::select! {
            ended = serving.as_mut() => ended,
            () = leaving.cancelled() => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection broke down");
        }
    }

    async fn answer<B>(&self, call: Request<B>) -> Response<AnswerBody>
    where
        B: http_body::Body<Data = Bytes, Error: Into<BoxError> + Unpin + Send>
            + Unpin
            + Send
            + 'static,
    {
        let (parts, body) = call.into_parts();
        if !is_plain(&parts) {
            return Box::pin(self.routed(Request::from_parts(parts, Body::new(body)))).await;
        }
        match message(body, self.message_size_max).await {
            Ok(message) => match self.decided_at_once(&message) {
                Some(answer) => answer,
                None => Box::pin(self.decided(message)).await,
            },
            Err(unread) => {
                Box::pin(self.routed(Request::from_parts(parts, Body::new(unread)))).await
            }
        }
    }

    async fn routed(&self, call: Request<Body>) -> Response<AnswerBody> {
        match self.routes.clone().call(call).await {
            Ok(answer) => answer.map(AnswerBody::Routed),
            Err(error) => refused(Status::from_error(error.into())),
        }
    }

    /// Without a wait, as nearly all calls are; `None` where there is something to wait for.
    fn decided_at_once(&self, message: &[u8]) -> Option<Response<AnswerBody>> {
        let mut request = crate::request::Request::default();
        if let Err(error) = wire::decode(message, &mut request) {
            return Some(self.undecodable(error));
        }
        let decided = self
            .rls
            .decided_at_once(&request, |decision, answer| write(message, decision, &answer));
        decided.map(answered)
    }

    /// Of a message that can be decoded.
    async fn decided(&self, message: Bytes) -> Response<AnswerBody> {
        let mut request = crate::request::Request::default();
        if let Err(error) = wire::decode(&message, &mut request) {
            return self.undecodable(error);
        }
        let write =
            |decision: &Decision<'_>, answer: Answer<'_>| write(&message, decision, &answer);
        answered(self.rls.decided(&request, write).await)
    }

    #[cold]
    fn undecodable(&self, error: wire::DecodeError) -> Response<AnswerBody> {
        self.rls.metrics.invalid.bad_message.increment(1);
        refused(Status::internal(format!("the call cannot be decoded: {error}")))
    }
}

fn write(message: &[u8], decision: &Decision<'_>, answer: &Answer<'_>) -> wire::Backwards {
    let whole = || pb::rls::RateLimitRequest::decode(message).ok().map(Cow::Owned);
    let metadata = metadata::of(decision, whole);
    wire::encode(decision, answer, metadata.as_ref(), frame::PREFIX)
}

fn answered(decided: Result<Decided<wire::Backwards>, Refusal>) -> Response<AnswerBody> {
    match decided {
        Ok(Decided { answer, held, .. }) => frame::answer(answer, held),
        Err(refusal) => refused(refusal.into()),
    }
}

fn refused(status: Status) -> Response<AnswerBody> {
    status.into_http::<Body>().map(AnswerBody::Routed)
}

/// Whether a call is for the hot method and its message is not compressed.
fn is_plain(call: &Parts) -> bool {
    let encoding = call.headers.get("grpc-encoding").map(HeaderValue::as_bytes);
    call.uri.path() == HOT_PATH
        && call.method == Method::POST
        && encoding.is_none_or(|encoding| encoding == b"identity")
}

fn http2_settings() -> http2::Builder<TokioExecutor> {
    let mut settings = http2::Builder::new(TokioExecutor::new());
    settings
        .timer(TokioTimer::new())
        // Callers do not ask for it, and it would be in every answer.
        .auto_date_header(false)
        .max_concurrent_streams(STREAMS_MAX)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEADER_LIST_SIZE_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_local_error_reset_streams(LOCAL_ERROR_RESETS_MAX)
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    settings
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Full};
    use prost::Message as _;

    use super::*;
    use crate::grpc::rls::tests::rls;
    use crate::pb::descriptor::RateLimitDescriptor;
    use crate::pb::descriptor::rate_limit_descriptor::Entry;
    use crate::readiness::Readiness;

    const SIZE_MAX: usize = 1_000;

    fn call() -> Vec<u8> {
        let entry = Entry { key: "user".into(), value: "ann".into() };
        let descriptor = RateLimitDescriptor { entries: vec![entry], ..Default::default() };
        let call = pb::rls::RateLimitRequest {
            domain: "d".into(),
            descriptors: vec![descriptor],
            hits_addend: 0,
        };
        call.encode_to_vec()
    }

    fn framed(message: &[u8]) -> Vec<u8> {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&[0], &length[..], message].concat()
    }

    /// What a caller sees of an answer, but for words that only people read.
    async fn seen(answer: Response<AnswerBody>) -> String {
        let (head, body) = answer.into_parts();
        let collected = body.collect().await.unwrap();
        let trailers = collected.trailers().cloned().unwrap_or_default();
        let status = |name: &str| head.headers.get(name).or(trailers.get(name)).cloned();
        format!(
            "{} {:?} grpc-status {:?} {:?}",
            head.status,
            head.headers.get("content-type"),
            status("grpc-status"),
            collected.to_bytes()
        )
    }

    /// The library judges all of these when it is asked itself.
    #[tokio::test]
    async fn both_ways_answer_alike() {
        let good = framed(&call());
        let cut = |body: &[u8], by: usize| body[..body.len() - by].to_vec();
        let flagged = |flag: u8| [&[flag], &good[1..]].concat();
        let bodies = [
            good.clone(),
            Vec::new(),
            b"\0\0".to_vec(),
            b"\0\0\0\0\0".to_vec(),
            cut(&good, 1),
            flagged(1),
            flagged(7),
            framed(&cut(&call(), 1)),
            framed(b"\x0a"),
            framed(&[0xff; 20]),
            framed(&vec![0; SIZE_MAX + 1]),
            [good.clone(), good.clone()].concat(),
            [good.clone(), b"\0\0\0".to_vec()].concat(),
        ];
        let heads: [&[(&str, &str)]; 6] = [
            &[("content-type", "application/grpc"), ("te", "trailers")],
            &[("content-type", "application/grpc+proto"), ("grpc-timeout", "20m")],
            &[],
            &[("grpc-encoding", "identity")],
            &[("grpc-encoding", "gzip")],
            &[("grpc-encoding", "unheard-of"), ("grpc-accept-encoding", "gzip")],
        ];
        for method in [Method::POST, Method::GET] {
            for (head, body) in heads.iter().flat_map(|head| bodies.iter().map(move |b| (head, b)))
            {
                let request = || {
                    let request = Request::builder().method(&method).uri(HOT_PATH);
                    let request =
                        head.iter().fold(request, |it, (name, value)| it.header(*name, *value));
                    request.body(Full::new(Bytes::copy_from_slice(body))).unwrap()
                };
                let ours = seen(front().answer(request()).await).await;
                let theirs = seen(front().routed(request().map(Body::new)).await).await;
                assert_eq!(ours, theirs, "{method} {head:?} {body:?}");
            }
        }
    }

    fn front() -> Front {
        let policy = "domain: d\nrules: [{ name: r, per: [user], limits: [2/day] }]";
        crate::grpc::services(rls(policy), Readiness::default(), SIZE_MAX).unwrap()
    }

    /// It is moved from one place to the next for every call.
    #[tokio::test]
    async fn an_answer_under_way_is_small() {
        let front = front();
        let answer = front.answer(Request::post(HOT_PATH).body(Full::new(Bytes::new())).unwrap());
        assert!(size_of_val(&answer) <= 1_024, "{}", size_of_val(&answer));
    }

    #[tokio::test]
    async fn other_paths_are_the_librarys() {
        for (path, status) in
            [("/no.Service/Method", "12"), ("/grpc.health.v1.Health/Nothing", "12")]
        {
            let request = Request::post(path).body(Full::new(Bytes::new())).unwrap();
            let answer = seen(front().answer(request).await).await;
            assert!(answer.contains(status), "{path}: {answer}");
        }
    }
}
