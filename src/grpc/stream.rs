//! One HTTP/2 stream: the body of its call, and the sending of its answer.
//!
//! What may have to wait for the caller's windows goes by [`send`]; what a caller gave up is not sent on.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::Response;
use http_body::{Body as _, Frame};

use super::frame::{AnswerBody, TRAILERS};

/// Bytes of a call that count against the window of its connection until it is answered. All of 1024 such calls are far
/// from filling it.
const HELD_MAX: usize = 1024;

/// The body of a call.
#[derive(Debug)]
pub(super) struct Incoming {
    stream: RecvStream,
    /// What was read of it ahead, in order; empty is nothing.
    ahead: [Bytes; 2],
    is_data_read: bool,
}

impl Incoming {
    pub(super) fn new(stream: RecvStream) -> Self {
        Self { stream, ahead: Default::default(), is_data_read: false }
    }

    /// All of it, if all has come and in one piece. Nearly always it has: callers send a message in one frame,
    /// and end it with that or with an empty one. Wakes nobody when more comes.
    pub(super) fn take_whole(&mut self) -> Option<Bytes> {
        self.is_all_here().then(|| std::mem::take(&mut self.ahead[0]))
    }

    /// Whether more than one piece has come, so that it is never taken as a whole.
    pub(super) fn is_in_pieces(&self) -> bool {
        !self.ahead[1].is_empty()
    }

    /// Whether [`Self::take_whole`] would take it.
    pub(super) fn is_all_here(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        while self.ahead[1].is_empty()
            && let Poll::Ready(Some(Ok(data))) = self.stream.poll_data(&mut cx)
        {
            // The window of a stream that has ended is taken back with it. Much is not held until then.
            if data.len() > HELD_MAX || !self.stream.is_end_stream() {
                self.release(data.len());
            }
            let place = usize::from(!self.ahead[0].is_empty());
            self.ahead[place] = data;
        }
        // An error or the end will be told again.
        self.ahead[1].is_empty() && self.stream.is_end_stream()
    }

    fn release(&mut self, length: usize) {
        // A stream that is gone has no window.
        let _ = self.stream.flow_control().release_capacity(length);
    }
}

impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let ahead = self.ahead.iter_mut().find(|ahead| !ahead.is_empty());
        if let Some(ahead) = ahead.map(std::mem::take) {
            return Poll::Ready(Some(Ok(Frame::data(ahead))));
        }
        if !self.is_data_read {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    self.release(data.len());
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(ended_early(error)),
                None => self.is_data_read = true,
            }
        }
        Poll::Ready(match ready!(self.stream.poll_trailers(cx)) {
            Ok(trailers) => trailers.map(|trailers| Ok(Frame::trailers(trailers))),
            Err(error) => ended_early(error),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.iter().all(Bytes::is_empty) && self.stream.is_end_stream()
    }
}

/// A caller that wants no answer any more ends its call without an error.
fn ended_early(error: h2::Error) -> Option<Result<Frame<Bytes>, h2::Error>> {
    match error.reason() {
        Some(Reason::NO_ERROR | Reason::CANCEL) => None,
        _ => Some(Err(error)),
    }
}

/// Works out an answer, unless the caller gives the call up before.
pub(super) async fn unless_reset<A>(
    answering: impl Future<Output = A>,
    respond: &mut SendResponse<Bytes>,
) -> Option<A> {
    let mut answering = pin!(answering);
    poll_fn(|cx| match respond.poll_reset(cx) {
        // Before the answer, since a call that was given up looks like a broken one.
        Poll::Ready(_) => Poll::Ready(None),
        Poll::Pending => answering.as_mut().poll(cx).map(Some),
    })
    .await
}

/// Sends what never waits: a short answer, which the library keeps until there are windows for it, and one without a
/// body. Anything else comes back.
pub(super) fn send_at_once(
    answer: Response<AnswerBody>,
    respond: &mut SendResponse<Bytes>,
) -> Option<Box<Response<AnswerBody>>> {
    let (head, body) = answer.into_parts();
    let is_short = matches!(body, AnswerBody::Message { held: None, .. });
    if !is_short && !body.is_end_stream() {
        return Some(Box::new(Response::from_parts(head, body)));
    }
    let send = || {
        let mut stream = respond.send_response(Response::from_parts(head, ()), !is_short)?;
        if let AnswerBody::Message { frame, .. } = body {
            stream.send_data(frame, false)?;
            stream.send_trailers(TRAILERS.clone())?;
        }
        Ok(())
    };
    log(send());
    None
}

/// Sends an answer as far as the caller's windows go.
pub(super) async fn send(
    answer: Response<AnswerBody>,
    mut respond: SendResponse<Bytes>,
) -> Result<(), h2::Error> {
    let (head, mut body) = answer.into_parts();
    let is_ended = body.is_end_stream();
    let mut stream = respond.send_response(Response::from_parts(head, ()), is_ended)?;
    if is_ended {
        return Ok(());
    }
    loop {
        let next = poll_fn(|cx| {
            if let Poll::Ready(reason) = stream.poll_reset(cx)? {
                return Poll::Ready(Err(h2::Error::from(reason)));
            }
            Pin::new(&mut body).poll_frame(cx).map(Ok)
        });
        match next.await? {
            None => return stream.send_data(Bytes::new(), true),
            Some(Err(_)) => {
                stream.send_reset(Reason::INTERNAL_ERROR);
                return Ok(());
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => send_data(&mut stream, data).await?,
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        return stream.send_trailers(trailers);
                    }
                }
            },
        }
    }
}

/// Hands data over when there is a window for some of it.
async fn send_data(stream: &mut SendStream<Bytes>, data: Bytes) -> Result<(), h2::Error> {
    if !data.is_empty() {
        stream.reserve_capacity(1);
        poll_fn(|cx| {
            if let Poll::Ready(reason) = stream.poll_reset(cx)? {
                return Poll::Ready(Err(reason.into()));
            }
            while stream.capacity() == 0 {
                match ready!(stream.poll_capacity(cx)) {
                    Some(capacity) => _ = capacity?,
                    // The stream is closed.
                    None => return Poll::Ready(Err(Reason::CANCEL.into())),
                }
            }
            Poll::Ready(Ok::<_, h2::Error>(()))
        })
        .await?;
    }
    stream.send_data(data, false)
}

/// Calls end early all the time.
pub(super) fn log(sent: Result<(), h2::Error>) {
    if let Err(error) = sent {
        tracing::debug!(%error, "an answer was not sent");
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http_body_util::BodyExt as _;
    use tokio::net::UnixStream;

    use super::*;

    /// What comes of a body of these frames, of which the last is the end: all of it at once, or
    /// piece by piece.
    async fn read(frames: &'static [&'static [u8]]) -> Result<Bytes, Bytes> {
        let (ours, peer) = UnixStream::pair().unwrap();
        let calling = tokio::spawn(async move {
            let (mut calls, connection) = h2::client::handshake(peer).await.unwrap();
            let (answer, mut body) =
                calls.send_request(Request::post("http://any/").body(()).unwrap(), false).unwrap();
            for (frame, position) in frames.iter().zip(1..) {
                body.send_data(Bytes::from_static(frame), position == frames.len()).unwrap();
            }
            tokio::spawn(connection);
            drop(answer.await.unwrap());
        });
        let mut connection = h2::server::handshake(ours).await.unwrap();
        let (call, mut respond) = connection.accept().await.unwrap().unwrap();
        let mut body = Incoming::new(call.into_body());
        let come = match body.take_whole() {
            Some(whole) => Ok(whole),
            None => Err(body.collect().await.unwrap().to_bytes()),
        };
        respond.send_response(Response::new(()), true).unwrap();
        assert!(poll_fn(|cx| connection.poll_closed(cx)).await.is_ok());
        calling.await.unwrap();
        come
    }

    #[tokio::test]
    async fn what_comes_in_one_piece_is_read_at_once() {
        assert_eq!(read(&[b"hello"]).await, Ok("hello".into()));
        assert_eq!(read(&[b"hello", b""]).await, Ok("hello".into()));
        assert_eq!(read(&[b"", b"hello", b"", b""]).await, Ok("hello".into()));
        assert_eq!(read(&[b""]).await, Ok("".into()));
        assert_eq!(read(&[b"hel", b"lo"]).await, Err("hello".into()));
        let pieces = read(&[b"", b"h", b"e", b"", b"l", b"l", b"o", b""]).await;
        assert_eq!(pieces, Err("hello".into()));
    }
}
