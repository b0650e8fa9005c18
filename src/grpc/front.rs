//! What the calls of a connection come to: the one hot method by hand, the rest to the library.
//!
//! By hand goes only what is exactly as Envoy sends it; how everything else is answered is for the
//! library to say, so both ways answer alike.

use std::borrow::Cow;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use prost::Message as _;
use tokio::sync::Notify;
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

/// A connection that was accepted at the last moment has so long for its first call.
const FIRST_CALL_WITHIN: Duration = Duration::from_millis(200);

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
        let called = Arc::new(Notify::new());
        let service = service_fn({
            let called = Arc::clone(&called);
            move |call| {
                called.notify_one();
                let front = Arc::clone(&self);
                async move { Ok::<_, Infallible>(front.answer(call).await) }
            }
        });
        let mut serving =
            pin!(http2_settings().serve_connection(TokioIo::new(connection), service));
        let ended = tokio::select! {
            ended = serving.as_mut() => ended,
            () = left(&leaving, &called) => {
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
        match in_time(|| deadline(&parts.headers), message(body, self.message_size_max)).await {
            None => too_late(),
            Some(Ok(message)) => match self.decided_at_once(&message) {
                Some(answer) => answer,
                None => {
                    let decided =
                        Box::pin(in_time(|| deadline(&parts.headers), self.decided(message)));
                    decided.await.unwrap_or_else(too_late)
                }
            },
            Some(Err(unread)) => {
                Box::pin(self.routed(Request::from_parts(parts, Body::new(unread)))).await
            }
        }
    }

    async fn routed(&self, call: Request<Body>) -> Response<AnswerBody> {
        let deadline = deadline(call.headers());
        match in_time(|| deadline, self.routes.clone().call(call)).await {
            None => too_late(),
            Some(Ok(answer)) => answer.map(AnswerBody::Routed),
            Some(Err(error)) => refused(Status::from_error(error.into())),
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

/// When a connection is to be told to go: it may have waited to be accepted until now, and is to
/// have its first call answered.
async fn left(leaving: &CancellationToken, called: &Notify) {
    let is_old = tokio::time::sleep(FIRST_CALL_WITHIN);
    leaving.cancelled().await;
    tokio::select! {
        () = called.notified() => {}
        () = is_old => {}
    }
}

/// Runs a future until the caller's own deadline, which only what waits has to look at. `None`
/// when that has passed.
async fn in_time<F: Future>(
    deadline: impl FnOnce() -> Option<Duration>,
    future: F,
) -> Option<F::Output> {
    let mut future = pin!(future);
    let at_once = poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    });
    if let Some(output) = at_once.await {
        return Some(output);
    }
    match deadline() {
        Some(deadline) => tokio::time::timeout(deadline, future).await.ok(),
        None => Some(future.await),
    }
}

/// `grpc-timeout`: up to eight digits and a unit.
fn deadline(headers: &HeaderMap) -> Option<Duration> {
    let (unit, digits) = headers.get("grpc-timeout")?.as_bytes().split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(count * 3_600),
        b'M' => Duration::from_secs(count * 60),
        b'S' => Duration::from_secs(count),
        b'm' => Duration::from_millis(count),
        b'u' => Duration::from_micros(count),
        b'n' => Duration::from_nanos(count),
        _ => return None,
    })
}

fn too_late() -> Response<AnswerBody> {
    refused(Status::cancelled("the caller's deadline has passed"))
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

    /// A body that is never ended.
    fn endless(
        bytes: &'static [u8],
    ) -> impl http_body::Body<Data = Bytes, Error = Infallible> + Unpin + Send {
        let first = tokio_stream::once(Ok(http_body::Frame::data(Bytes::from_static(bytes))));
        http_body_util::StreamBody::new(tokio_stream::StreamExt::chain(
            first,
            tokio_stream::pending(),
        ))
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_does_not_go_on_ends_at_its_own_deadline() {
        for body in [&b"\0\0\0\0\x05hel"[..], b"\0\0\0\0\x05hello"] {
            let call = || Request::post(HOT_PATH).header("grpc-timeout", "20m").body(endless(body));
            let (front, begun) = (front(), tokio::time::Instant::now());
            let answer = seen(front.answer(call().unwrap()).await).await;
            assert!(answer.contains("grpc-status Some(\"1\")"), "{answer}");
            assert_eq!(begun.elapsed(), Duration::from_millis(20));
        }
    }

    #[tokio::test]
    async fn what_is_no_message_is_refused_before_its_end() {
        for body in [&b"\x07\0\0\0\x05hello"[..], b"\x01\0\0\0\x05hello", b"\0\xff\xff\xff\xff"] {
            let call = Request::post(HOT_PATH).body(endless(body)).unwrap();
            let answer = seen(front().answer(call).await).await;
            assert!(!answer.contains("grpc-status Some(\"0\")"), "{answer}");
        }
    }

    #[test]
    fn deadlines_are_read_as_the_protocol_has_them() {
        let read = |text: &'static str| {
            deadline(&HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-timeout"),
                HeaderValue::from_static(text),
            )]))
        };
        assert_eq!(read("20m"), Some(Duration::from_millis(20)));
        assert_eq!(read("99999999H"), Some(Duration::from_secs(99_999_999 * 3_600)));
        assert_eq!(read("1M"), Some(Duration::from_secs(60)));
        assert_eq!(read("7u"), Some(Duration::from_micros(7)));
        for odd in ["", "m", "20", "+1m", "100000000S", "1x", "1 S"] {
            assert_eq!(read(odd), None, "{odd}");
        }
    }

    /// It is moved from one place to the next for every call.
    #[tokio::test]
    async fn an_answer_under_way_is_small() {
        let front = front();
        let answer = front.answer(Request::post(HOT_PATH).body(Full::new(Bytes::new())).unwrap());
        assert!(size_of_val(&answer) <= 1_200, "{}", size_of_val(&answer));
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
