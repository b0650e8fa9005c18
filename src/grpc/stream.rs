//! One HTTP/2 stream: the body of its call, and the sending of its answer.
//!
//! What may have to wait for the caller's windows goes by [`send`]; what a caller gave up is not sent on.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::Response;
use http_body::{Body as _, Frame};

use super::frame::{AnswerBody, TRAILERS};

/// The body of a call.
#[derive(Debug)]
pub(super) struct Incoming {
    stream: RecvStream,
    is_data_read: bool,
}

impl Incoming {
    pub(super) fn new(stream: RecvStream) -> Self {
        Self { stream, is_data_read: false }
    }

    /// What has come of it, where anything has, which is then read. Nearly always that is all.
    pub(super) fn take_come(&mut self, cx: &mut Context<'_>) -> Option<Bytes> {
        match self.stream.poll_data(cx) {
            Poll::Ready(Some(Ok(data))) => {
                // The window of a stream that has ended is taken back with it.
                if !self.stream.is_end_stream() {
                    self.release(data.len());
                }
                Some(data)
            }
            // It will be told again, as the end of the data is.
            Poll::Ready(Some(Err(_)) | None) | Poll::Pending => None,
        }
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
        self.stream.is_end_stream()
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
    poll_fn(|cx| match answering.as_mut().poll(cx) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        Poll::Pending => respond.poll_reset(cx).map(|_| None),
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
