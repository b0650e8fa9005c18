//! What the calls of a connection come to: the one hot method by hand, the rest to the library.
//!
//! By hand goes only what is exactly as Envoy sends it; how everything else is answered is for the
//! library to say, so both ways answer alike.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use prost::Message as _;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tower::{BoxError, Service as _};

use super::frame::{self, AnswerBody, Unread};
use super::rls::{Decided, Refusal, Rls};
use super::{metadata, wire};
use crate::decide::{Answer, Decision};
use crate::pb;

/// How the hot method is asked for.
const HOT_PATH: &str = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";

/// Answers all calls.
#[derive(Clone, Debug)]
pub struct Front {
    rls: Rls,
    routes: Routes,
    message_size_max: usize,
}

/// The body of a call, wherever it comes from.
pub(super) trait CallBody:
    http_body::Body<Data = Bytes, Error: Into<BoxError> + Unpin + Send> + Unpin + Send + 'static
{
}

impl<B> CallBody for B where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError> + Unpin + Send> + Unpin + Send + 'static
{
}

/// What is left to do for a call.
#[derive(Debug)]
pub(super) enum Rest<B> {
    /// Its message is to be read to the end.
    Reading(Request<B>),
    /// There is something to wait for, until its deadline.
    Message(Option<Duration>, Bytes),
    /// It is for the library.
    Routed(Request<Body>),
}

impl Front {
    pub(super) fn new(rls: Rls, routes: Routes, message_size_max: usize) -> Self {
        Self { rls, routes: routes.prepare(), message_size_max }
    }

    /// Answers a call that waits for nothing, as nearly all do; otherwise returns what is left of
    /// it. `whole` is what was taken of its body, where that was all.
    pub(super) fn answer_at_once<B: CallBody>(
        &self,
        call: Request<B>,
        whole: Option<Bytes>,
    ) -> Result<Response<AnswerBody>, Box<Rest<B>>> {
        let is_plain = is_plain(&call);
        let Some(whole) = whole else {
            let rest =
                if is_plain { Rest::Reading(call) } else { Rest::Routed(call.map(Body::new)) };
            return Err(Box::new(rest));
        };
        match frame::message(&whole, self.message_size_max).filter(|_| is_plain) {
            Some(message) => {
                let answer = self.decided_at_once(&message);
                answer.ok_or_else(|| Box::new(Rest::Message(deadline(&call), message)))
            }
            None => {
                let call = call.map(|body| Body::new(Unread::of(whole, body)));
                Err(Box::new(Rest::Routed(call)))
            }
        }
    }

    /// Answers what is left of a call.
    pub(super) async fn answer_rest<B: CallBody>(&self, rest: Rest<B>) -> Response<AnswerBody> {
        let (deadline, message) = match rest {
            Rest::Routed(call) => return self.routed(call).await,
            Rest::Message(deadline, message) => (deadline, message),
            Rest::Reading(call) => {
                let deadline = deadline(&call);
                let (head, body) = call.into_parts();
                let message = frame::read(body, self.message_size_max);
                match in_time(deadline, message).await {
                    None => return too_late(),
                    Some(Ok(message)) => match self.decided_at_once(&message) {
                        Some(answer) => return answer,
                        None => (deadline, message),
                    },
                    Some(Err(unread)) => {
                        return self.routed(Request::from_parts(head, Body::new(unread))).await;
                    }
                }
            }
        };
        in_time(deadline, self.decided(message)).await.unwrap_or_else(too_late)
    }

    async fn routed(&self, call: Request<Body>) -> Response<AnswerBody> {
        match in_time(deadline(&call), self.routes.clone().call(call)).await {
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

/// Runs a future until the caller's own deadline. `None` when that has passed.
async fn in_time<F: Future>(deadline: Option<Duration>, future: F) -> Option<F::Output> {
    match deadline {
        Some(deadline) => tokio::time::timeout(deadline, future).await.ok(),
        None => Some(future.await),
    }
}

/// `grpc-timeout`: up to eight digits and a unit.
fn deadline<B>(call: &Request<B>) -> Option<Duration> {
    let (unit, digits) = call.headers().get("grpc-timeout")?.as_bytes().split_last()?;
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
pub(super) fn is_plain<B>(call: &Request<B>) -> bool {
    let encoding = call.headers().get("grpc-encoding").map(HeaderValue::as_bytes);
    call.uri().path() == HOT_PATH
        && call.method() == Method::POST
        && encoding.is_none_or(|encoding| encoding == b"identity")
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::{BodyExt as _, Full};
    use prost::Message as _;

    use super::*;
    use crate::grpc::rls::tests::rls;
    use crate::pb::descriptor::RateLimitDescriptor;
    use crate::pb::descriptor::rate_limit_descriptor::Entry;
    use crate::readiness::Readiness;

    const SIZE_MAX: usize = 1_000;

    impl Front {
        async fn answer<B: CallBody>(
            &self,
            call: Request<B>,
            whole: Option<Bytes>,
        ) -> Response<AnswerBody> {
            match self.answer_at_once(call, whole) {
                Ok(answer) => answer,
                Err(rest) => self.answer_rest(*rest).await,
            }
        }
    }

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
                let (in_pieces, come, routed) = (front(), front(), front());
                let theirs = seen(routed.routed(request().map(Body::new)).await).await;
                let ours = seen(in_pieces.answer(request(), None).await).await;
                assert_eq!(ours, theirs, "{method} {head:?} {body:?}");
                assert_eq!(counted(&in_pieces), counted(&routed), "{method} {head:?} {body:?}");
                // Nearly always all of it has come.
                let request = request().map(|_| http_body_util::Empty::new());
                let whole = Some(Bytes::copy_from_slice(body));
                let ours = seen(come.answer(request, whole).await).await;
                assert_eq!(ours, theirs, "{method} {head:?} {body:?}, come");
                assert_eq!(counted(&come), counted(&routed), "{method} {head:?} {body:?}, come");
            }
        }
    }

    /// Metrics, but for those of time.
    fn counted(front: &Front) -> Vec<String> {
        let text = front.rls.metrics.render();
        let lines = text.lines().filter(|line| !line.contains("_seconds"));
        let mut lines: Vec<String> = lines.map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    }

    #[test]
    fn the_hot_path_is_that_of_the_generated_service() {
        use pb::rls::rate_limit_service_server::SERVICE_NAME;
        assert_eq!(HOT_PATH, format!("/{SERVICE_NAME}/ShouldRateLimit"));
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
            let answer = seen(front.answer(call().unwrap(), None).await).await;
            assert!(answer.contains("grpc-status Some(\"1\")"), "{answer}");
            assert_eq!(begun.elapsed(), Duration::from_millis(20));
        }
    }

    #[tokio::test]
    async fn what_is_no_message_is_refused_before_its_end() {
        for body in [&b"\x07\0\0\0\x05hello"[..], b"\x01\0\0\0\x05hello", b"\0\xff\xff\xff\xff"] {
            let call = Request::post(HOT_PATH).body(endless(body)).unwrap();
            let answer = seen(front().answer(call, None).await).await;
            assert!(!answer.contains("grpc-status Some(\"0\")"), "{answer}");
        }
    }

    #[test]
    fn deadlines_are_read_as_the_protocol_has_them() {
        let read = |text: &'static str| {
            deadline(&Request::post(HOT_PATH).header("grpc-timeout", text).body(()).unwrap())
        };
        assert_eq!(read("20m"), Some(Duration::from_millis(20)));
        assert_eq!(read("99999999H"), Some(Duration::from_secs(99_999_999 * 3_600)));
        assert_eq!(read("1M"), Some(Duration::from_secs(60)));
        assert_eq!(read("7u"), Some(Duration::from_micros(7)));
        for odd in ["", "m", "20", "+1m", "100000000S", "1x", "1 S"] {
            assert_eq!(read(odd), None, "{odd}");
        }
    }

    #[tokio::test]
    async fn other_paths_are_the_librarys() {
        for (path, status) in
            [("/no.Service/Method", "12"), ("/grpc.health.v1.Health/Nothing", "12")]
        {
            let request = Request::post(path).body(Full::new(Bytes::new())).unwrap();
            let answer = seen(front().answer(request, None).await).await;
            assert!(answer.contains(status), "{path}: {answer}");
        }
    }
}
