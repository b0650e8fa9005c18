//! One HTTP/2 connection: its calls in, their answers out, its silence and its end.
//!
//! Nearly all calls are decided right where they are accepted, and what is answered in one turn leaves in one
//! write. Only what has to wait becomes a task.

use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{self, SendResponse};
use h2::{Ping, PingPong, Reason};
use http::Request;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

use super::front::{self, Front};
use super::gathered::Gathered;
use super::stream::{self, Incoming};
use super::turn::Turns;
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
const CONNECTION_WINDOW: u32 = 8 << 20;
const STREAM_WINDOW: u32 = 1 << 20;
/// What small frames may wait: the library closes a connection when the bytes by which waiting DATA frames
/// fall short of 256 each come to this. Envoy's calls are not counted, since their only frame
/// ends the stream; clients that end it with a second frame are. So as many of theirs fit as resets
/// may wait.
const SMALL_FRAMES_BUDGET: usize = PENDING_RESETS_MAX * 256;
/// Streams that we had to reset for the client's fault; the library's own default, made explicit.
const LOCAL_ERROR_RESETS_MAX: usize = 1024;

/// A peer that was silent for so long is asked whether it is there, and has so long to say so.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Between once and twice as long the rest of a call may come before a task waits for it. Waiting for the sockets with a
/// timer that is due within a tick or two of the kernel costs some microseconds each time on virtual machines.
const GRACE: Duration = Duration::from_millis(10);

/// A connection that was accepted at the last moment has so long for its first call.
const FIRST_CALL_WITHIN: Duration = Duration::from_millis(200);

/// Serves a connection until it closes; from `leaving` on it takes no new calls.
pub(super) async fn serve(front: Arc<Front>, connection: Connection, leaving: CancellationToken) {
    let io = Gathered::new(connection);
    let first_call_due = tokio::time::sleep(FIRST_CALL_WITHIN);
    let mut is_told = pin!(leaving.cancelled());
    let mut first_call_due = pin!(first_call_due);
    let opened = {
        let mut opening = pin!(settings().handshake::<_, Bytes>(io.clone()));
        let told = async {
            is_told.as_mut().await;
            first_call_due.as_mut().await;
        };
        tokio::select! {
            // After a freeze both may be ready.
            biased;
            opened = opening.as_mut() => opened,
            () = told => return,
        }
    };
    let mut h2 = match opened {
        Ok(h2) => h2,
        Err(error) => return tracing::debug!(%error, "a connection broke down"),
    };
    io.gather();
    let Some(pings) = h2.ping_pong() else { return };
    let keepalive = KeepAlive::new(pings);
    let mut serving = Serving {
        h2,
        io,
        front,
        keepalive,
        turns: Turns::default(),
        was_called: false,
        unfinished: Vec::new(),
        grace: None,
    };
    let (mut is_leaving, mut has_left) = (false, false);
    let ended = poll_fn(|cx| {
        let ended = serving.poll(cx);
        is_leaving = is_leaving || is_told.as_mut().poll(cx).is_ready();
        let mut is_due = |cx: &mut Context<'_>| first_call_due.as_mut().poll(cx).is_ready();
        if ended.is_pending() && is_leaving && !has_left && (serving.was_called || is_due(cx)) {
            has_left = true;
            serving.h2.graceful_shutdown();
            return serving.poll(cx);
        }
        ended
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, "a connection broke down");
    }
}

/// Why a connection ended before it was closed.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Http2(#[from] h2::Error),
    #[error("nothing can be sent: {0}")]
    Io(#[from] io::Error),
    #[error("its peer does not answer")]
    Silent,
}

struct Serving {
    h2: server::Connection<Gathered, Bytes>,
    io: Gathered,
    front: Arc<Front>,
    keepalive: KeepAlive,
    turns: Turns,
    was_called: bool,
    /// Calls of the hot method of which not all has come. They are looked at again in every turn.
    unfinished: Vec<Unfinished>,
    /// When those of them that are old become tasks; `None` until there are any.
    grace: Option<Pin<Box<Sleep>>>,
}

struct Unfinished {
    call: Request<Incoming>,
    respond: SendResponse<Bytes>,
    /// Whether it has been there for a whole grace.
    is_old: bool,
}

impl Serving {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.turns.begin(cx);
        let polled = self.poll_turn();
        self.turns.end();
        polled
    }

    fn poll_turn(&mut self) -> Poll<Result<(), Broken>> {
        loop {
            // Each poll that accepts also takes in what was answered before.
            while let Poll::Ready(accepted) = pin!(self.h2.accept()).poll(&mut self.turns.next())? {
                let Some((call, respond)) = accepted else { return Poll::Ready(Ok(())) };
                self.was_called = true;
                let mut call = call.map(Incoming::new);
                let whole = call.body_mut().take_whole();
                if whole.is_some() || call.body().is_in_pieces() || !front::is_plain(&call) {
                    answer(&self.front, call, whole, respond);
                } else {
                    self.unfinished.push(Unfinished { call, respond, is_old: false });
                }
            }
            if !self.finish_calls() {
                break;
            }
        }
        self.hand_over_old_calls();
        let cx = &mut self.turns.context();
        if let Poll::Ready(sent) = self.io.poll_send(cx) {
            sent?;
        }
        if self.keepalive.poll_over(cx, &self.io).is_ready() {
            self.h2.abrupt_shutdown(Reason::NO_ERROR);
            // Who does not hear us is not waited for.
            let _ = pin!(self.h2.accept()).poll(cx);
            let _ = self.io.poll_send(cx);
            return Poll::Ready(Err(Broken::Silent));
        }
        Poll::Pending
    }

    /// Answers the calls of which the rest has come, and hands over those that come in pieces; whether
    /// there were any.
    fn finish_calls(&mut self) -> bool {
        let before = self.unfinished.len();
        let finished = self.unfinished.extract_if(.., |it| {
            let body = it.call.body_mut();
            body.is_all_here() || body.is_in_pieces()
        });
        for Unfinished { mut call, respond, .. } in finished {
            let whole = call.body_mut().take_whole();
            answer(&self.front, call, whole, respond);
        }
        self.unfinished.len() < before
    }

    /// Tasks wait for what does not come soon, and for the deadlines of those calls. One timer for all
    /// of them costs less than one for each.
    fn hand_over_old_calls(&mut self) {
        let cx = &mut self.turns.context();
        while !self.unfinished.is_empty() {
            let grace = self.grace.get_or_insert_with(|| Box::pin(tokio::time::sleep(GRACE)));
            if grace.as_mut().poll(cx).is_pending() {
                return;
            }
            self.grace = None;
            for Unfinished { call, respond, .. } in self.unfinished.extract_if(.., |it| it.is_old) {
                answer(&self.front, call, None, respond);
            }
            self.unfinished.iter_mut().for_each(|it| it.is_old = true);
        }
    }
}

/// Answers a call at once, or has a task do it when that is to wait for something.
fn answer(
    front: &Arc<Front>,
    call: Request<Incoming>,
    whole: Option<Bytes>,
    mut respond: SendResponse<Bytes>,
) {
    let answer = match front.answer_at_once(call, whole) {
        Ok(answer) => match stream::send_at_once(answer, &mut respond) {
            None => return,
            Some(answer) => Ok(answer),
        },
        Err(rest) => Err(rest),
    };
    let front = Arc::clone(front);
    tokio::spawn(async move {
        let answer = match answer {
            Ok(answer) => Some(*answer),
            Err(rest) => stream::unless_reset(front.answer_rest(*rest), &mut respond).await,
        };
        if let Some(answer) = answer {
            stream::log(stream::send(answer, respond).await);
        }
    });
}

/// Whether a silent peer is still there.
struct KeepAlive {
    pings: PingPong,
    check: Pin<Box<Sleep>>,
    is_asked: bool,
}

impl KeepAlive {
    fn new(pings: PingPong) -> Self {
        let check = Box::pin(tokio::time::sleep(KEEPALIVE_INTERVAL));
        Self { pings, check, is_asked: false }
    }

    /// Ready when the peer is gone; else wakes the task when there is something to do.
    fn poll_over(&mut self, cx: &mut Context<'_>, io: &Gathered) -> Poll<()> {
        if self.is_asked && self.pings.poll_pong(cx).is_ready() {
            self.is_asked = false;
            self.check.set(tokio::time::sleep(KEEPALIVE_INTERVAL));
        }
        while self.check.as_mut().poll(cx).is_ready() {
            if self.is_asked {
                return Poll::Ready(());
            }
            // From now on, not from when it was due: a process that was frozen starts afresh.
            let next = match io.take_was_heard() {
                true => KEEPALIVE_INTERVAL,
                false => {
                    self.is_asked = self.pings.send_ping(Ping::opaque()).is_ok();
                    KEEPALIVE_TIMEOUT
                }
            };
            self.check.set(tokio::time::sleep(next));
        }
        Poll::Pending
    }
}

fn settings() -> server::Builder {
    let mut settings = server::Builder::new();
    settings
        .max_concurrent_streams(STREAMS_MAX)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_window_size(STREAM_WINDOW)
        .data_frame_budget(SMALL_FRAMES_BUDGET)
        .max_header_list_size(HEADER_LIST_SIZE_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_local_error_reset_streams(Some(LOCAL_ERROR_RESETS_MAX));
    settings
}

#[cfg(test)]
mod tests {
    use h2::RecvStream;
    use http::Response;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixStream;
    use tokio::task::JoinHandle;
    use tokio::time::Instant;

    use super::*;
    use crate::grpc::rls::tests::rls;
    use crate::readiness::Readiness;

    /// What every client sends first, with settings that change nothing.
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

    fn serving(leaving: &CancellationToken) -> (JoinHandle<()>, UnixStream) {
        let policy = "domain: d\nrules: [{ name: r, limits: [concurrent 1] }]";
        let front = crate::grpc::services(rls(policy), Readiness::default(), 1_000).unwrap();
        let (ours, peer) = UnixStream::pair().unwrap();
        (tokio::spawn(serve(Arc::new(front), ours.into(), leaving.clone())), peer)
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_answers_no_ping_is_let_go() {
        let (serving, mut peer) = serving(&CancellationToken::new());
        let begun = Instant::now();
        peer.write_all(PREFACE).await.unwrap();
        serving.await.unwrap();
        // It was heard of in the first interval.
        assert_eq!(begun.elapsed(), 2 * KEEPALIVE_INTERVAL + KEEPALIVE_TIMEOUT);
        peer.read_to_end(&mut Vec::new()).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_answers_pings_stays_and_is_answered() {
        let (serving, peer) = serving(&CancellationToken::new());
        let (calls, connection) = h2::client::handshake(peer).await.unwrap();
        let connection = tokio::spawn(connection);
        tokio::time::sleep(20 * KEEPALIVE_INTERVAL).await;
        assert!(!serving.is_finished());
        let mut calls = calls.ready().await.unwrap();
        let call = Request::post("http://any/no.Service/Method").body(()).unwrap();
        let (answer, _) = calls.send_request(call, true).unwrap();
        let answer: Response<_> = answer.await.unwrap();
        assert_eq!(answer.headers()["grpc-status"], "12");
        drop((answer, calls));
        connection.await.unwrap().unwrap();
        serving.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_young_connection_that_is_to_leave_has_some_time_for_its_first_call() {
        let leaving = CancellationToken::new();
        leaving.cancel();
        let (serving_idle, mut peer) = serving(&leaving);
        let begun = Instant::now();
        peer.write_all(PREFACE).await.unwrap();
        let mut heard = Vec::new();
        while !heard.ends_with(GOODBYE) {
            heard.push(peer.read_u8().await.unwrap());
        }
        assert_eq!(begun.elapsed(), FIRST_CALL_WITHIN);
        drop(peer);
        serving_idle.await.unwrap();

        let (serving_mute, peer) = serving(&leaving);
        let begun = Instant::now();
        serving_mute.await.unwrap();
        assert_eq!(begun.elapsed(), FIRST_CALL_WITHIN);
        drop(peer);
    }

    /// The only slot is held, so the second call waits for it.
    #[tokio::test(start_paused = true)]
    async fn a_call_that_waits_is_answered_though_its_connection_is_to_leave() {
        let leaving = CancellationToken::new();
        let (serving, peer) = serving(&leaving);
        let (mut calls, connection) = client(peer).await;
        assert_eq!(asked(&mut calls).await.unwrap()[5..7], [8, 1], "OK");
        let begun = Instant::now();
        let waiting = asked(&mut calls);
        let leaving = async {
            tokio::task::yield_now().await;
            leaving.cancel();
        };
        let (answer, ()) = tokio::join!(waiting, leaving);
        assert_eq!(answer.unwrap()[5..7], [8, 2], "OVER_LIMIT");
        assert!(!begun.elapsed().is_zero());
        serving.await.unwrap();
        connection.await.unwrap().unwrap();
    }

    /// What a caller waits for who says no more before it has an answer.
    async fn waited(head: Request<()>, data: &'static [u8]) -> (String, Duration) {
        let (_serving, peer) = serving(&CancellationToken::new());
        let (mut calls, _) = client(peer).await;
        let begun = Instant::now();
        let (answer, mut body) = calls.send_request(head, false).unwrap();
        body.send_data(Bytes::from_static(data), false).unwrap();
        let (head, mut body) = answer.await.unwrap().into_parts();
        let status = match head.headers.get("grpc-status") {
            Some(status) => status.to_str().unwrap().to_owned(),
            None => format!("{} bytes", body.data().await.unwrap().unwrap().len()),
        };
        (status, begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_not_ended_is_answered_all_the_same() {
        let ask = |path| Request::post(format!("http://any/{path}")).body(()).unwrap();
        let (answer, waiting) = waited(ask("no.Service/Method"), b"\x07").await;
        assert_eq!((answer.as_str(), waiting), ("12", Duration::ZERO));
        // Lists services, and leaves the stream open for more.
        let reflection = ask("grpc.reflection.v1.ServerReflection/ServerReflectionInfo");
        let (answer, waiting) = waited(reflection, b"\0\0\0\0\x02\x3a\0").await;
        assert!(answer.ends_with("bytes") && waiting.is_zero(), "{answer} {waiting:?}");
        for piece in [b"".as_slice(), b"\0\0\0"] {
            let mut half = head();
            half.headers_mut().insert("grpc-timeout", "20m".parse().unwrap());
            let (answer, waiting) = waited(half, piece).await;
            assert_eq!(answer, "1", "cancelled");
            let deadline = Duration::from_millis(20);
            let soon = deadline..deadline + 2 * GRACE + Duration::from_millis(5);
            assert!(soon.contains(&waiting), "{waiting:?}");
        }
        let (answer, waiting) = waited(head(), b"\x07\0\0\0\x05hello").await;
        assert_eq!(answer, "13", "refused before its end");
        assert!(waiting < 2 * GRACE + Duration::from_millis(5), "{waiting:?}");
        // What is not in one piece is not waited for.
        let mut long = call();
        long[4] += 100;
        long.extend([0x1a, 98].iter().chain(&[b'x'; 98]));
        let (_serving, peer) = serving(&CancellationToken::new());
        let (mut calls, _) = client(peer).await;
        let begun = Instant::now();
        let (answer, mut body) = calls.send_request(head(), false).unwrap();
        body.send_data(Bytes::copy_from_slice(&long[..50]), false).unwrap();
        body.send_data(Bytes::copy_from_slice(&long[50..]), true).unwrap();
        answer.await.unwrap();
        assert!(begun.elapsed().is_zero());
    }

    #[tokio::test]
    async fn a_call_in_pieces_is_answered_like_any_other() {
        let (_serving, peer) = serving(&CancellationToken::new());
        let (mut calls, _) = client(peer).await;
        let (answer, mut body) = calls.send_request(head(), false).unwrap();
        for byte in call() {
            body.send_data(Bytes::from(vec![byte]), false).unwrap();
            tokio::task::yield_now().await;
        }
        body.send_data(Bytes::new(), true).unwrap();
        let answer = answer.await.unwrap().into_body();
        assert_eq!(whole(answer).await.unwrap()[5..7], [8, 1], "OK");
    }

    /// A caller, and the task of its connection.
    async fn client(
        peer: UnixStream,
    ) -> (h2::client::SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
        let (calls, connection) = h2::client::handshake(peer).await.unwrap();
        let connection = tokio::spawn(connection);
        (calls.ready().await.unwrap(), connection)
    }

    async fn asked(calls: &mut h2::client::SendRequest<Bytes>) -> Result<Vec<u8>, h2::Error> {
        let (answer, mut body) = calls.send_request(head(), false)?;
        body.send_data(call().into(), true)?;
        whole(answer.await?.into_body()).await
    }

    async fn whole(mut body: RecvStream) -> Result<Vec<u8>, h2::Error> {
        let mut whole = Vec::new();
        while let Some(data) = body.data().await {
            whole.extend_from_slice(&data?);
        }
        let trailers = body.trailers().await?.unwrap_or_default();
        assert_eq!(trailers["grpc-status"], "0");
        Ok(whole)
    }

    fn head() -> Request<()> {
        let path = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";
        let call = Request::post(format!("http://any{path}"));
        call.header("content-type", "application/grpc").header("te", "trailers").body(()).unwrap()
    }

    /// Domain `d`, and a descriptor without entries.
    fn call() -> Vec<u8> {
        b"\0\0\0\0\x05\x0a\x01d\x12\0".to_vec()
    }

    /// The end of a GOAWAY: no stream is refused yet, and there is no error.
    const GOODBYE: &[u8] = b"\0\0\x08\x07\0\0\0\0\0\x7f\xff\xff\xff\0\0\0\0";
}
