//! gRPC's framing of the one hot method: a message in, a message out, without a copy of either.
//!
//! What is not one plain message is left as it came, for the library to judge.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header};
use http_body::{Body, Frame, SizeHint};
use tonic::Status;

use super::undelivered::Held;
use super::wire::Backwards;

/// In front of every message: whether it is compressed, and its length in 4 bytes.
pub(super) const PREFIX: usize = 5;

static HEADERS: LazyLock<HeaderMap> = LazyLock::new(|| {
    HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"))])
});
pub(super) static TRAILERS: LazyLock<HeaderMap> =
    LazyLock::new(|| HeaderMap::from_iter([(Status::GRPC_STATUS, HeaderValue::from_static("0"))]));

/// The message in the body of a call; `None` where that is not one message as it is wanted: whole,
/// uncompressed, no longer than `size_max`.
pub(super) fn message(body: &Bytes, size_max: usize) -> Option<Bytes> {
    let is_whole = announced(body) == Some(body.len()) && body.first() == Some(&0);
    (is_whole && body.len() - PREFIX <= size_max).then(|| body.slice(PREFIX..))
}

/// Reads the message of a call, or returns all of its body again where that is not one message as it is wanted.
pub(super) async fn read<B>(mut body: B, size_max: usize) -> Result<Bytes, Unread<B>>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut read = Read::default();
    let mut error = None;
    while !is_odd(read.bytes(), size_max) && !body.is_end_stream() {
        match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            None => break,
            Some(Ok(frame)) => {
                // Trailers of a call say nothing.
                if let Ok(data) = frame.into_data() {
                    read.push(data);
                }
            }
            Some(Err(broken)) => {
                error = Some(broken);
                break;
            }
        }
    }
    let read = read.into_bytes();
    match message(&read, size_max).filter(|_| error.is_none()) {
        Some(message) => Ok(message),
        None => Err(Unread { read, error, body }),
    }
}

/// Whether no good call begins like this. No more is held than a good one may be long.
fn is_odd(read: &[u8], size_max: usize) -> bool {
    let size = read.len().max(announced(read).unwrap_or_default());
    size > size_max.saturating_add(PREFIX) || read.first().is_some_and(|flag| *flag != 0)
}

/// What came of a body. Envoy sends all in one frame, which is not copied.
#[derive(Debug, Default)]
struct Read {
    first: Bytes,
    /// With the first, from the second frame on.
    all: BytesMut,
}

impl Read {
    fn push(&mut self, data: Bytes) {
        if self.bytes().is_empty() {
            self.first = data;
            return;
        }
        self.all.extend_from_slice(&std::mem::take(&mut self.first));
        self.all.extend_from_slice(&data);
    }

    fn bytes(&self) -> &[u8] {
        if self.all.is_empty() { &self.first } else { &self.all }
    }

    fn into_bytes(self) -> Bytes {
        if self.all.is_empty() { self.first } else { self.all.freeze() }
    }
}

/// The length of a message with what stands in front of it.
fn announced(read: &[u8]) -> Option<usize> {
    let [_, length @ ..] = read.first_chunk::<PREFIX>()?;
    usize::try_from(u32::from_be_bytes(*length)).ok()?.checked_add(PREFIX)
}

/// A body of which some was read, as if nothing had been.
#[derive(Debug)]
pub(super) struct Unread<B: Body> {
    read: Bytes,
    error: Option<B::Error>,
    body: B,
}

impl<B: Body<Data = Bytes>> Unread<B> {
    /// Of a body of which this has come.
    pub(super) fn of(read: Bytes, body: B) -> Self {
        Self { read, error: None, body }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Unread<B>
where
    B::Error: Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if !self.read.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.read)))));
        }
        match self.error.take() {
            Some(error) => Poll::Ready(Some(Err(error))),
            None => Pin::new(&mut self.body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty() && self.error.is_none() && self.body.is_end_stream()
    }
}

/// An answer of one message, which holds slots until it has left.
pub(super) fn answer(mut message: Backwards, held: Option<Held>) -> http::Response<AnswerBody> {
    // Answers are far from 4 GiB.
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    message.bytes(&length.to_be_bytes());
    message.byte(0);
    let body = AnswerBody::Message { frame: message.into_bytes(), held };
    let mut answer = http::Response::new(body);
    answer.headers_mut().clone_from(&HEADERS);
    answer
}

/// The body of an answer.
#[derive(Debug)]
pub(super) enum AnswerBody {
    /// To be sent, then trailers.
    Message {
        frame: Bytes,
        held: Option<Held>,
    },
    Trailers {
        held: Option<Held>,
    },
    Ended,
    /// Made by the library.
    Routed(tonic::body::Body),
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Self::Routed(body) = &mut *self {
            return Poll::Ready(ready!(Pin::new(body).poll_frame(cx)));
        }
        Poll::Ready(match std::mem::replace(&mut *self, Self::Ended) {
            Self::Message { frame, held } => {
                *self = Self::Trailers { held };
                Some(Ok(Frame::data(frame)))
            }
            Self::Trailers { held } => {
                // Asked for when the message has been taken: from now on the caller holds.
                if let Some(held) = held {
                    held.keep();
                }
                Some(Ok(Frame::trailers(TRAILERS.clone())))
            }
            Self::Ended | Self::Routed(_) => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Ended => true,
            Self::Routed(body) => body.is_end_stream(),
            Self::Message { .. } | Self::Trailers { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Routed(body) => body.size_hint(),
            Self::Message { .. } | Self::Trailers { .. } | Self::Ended => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    const HELLO: &[u8] = b"\0\0\0\0\x05hello";

    /// What comes of a body of these frames, and what the library would see of it otherwise.
    async fn read(frames: &[&[u8]], size_max: usize) -> Result<Vec<u8>, Vec<u8>> {
        let frames: Vec<_> = frames.iter().map(|bytes| Bytes::copy_from_slice(bytes)).collect();
        let frames = frames.into_iter().map(|data| Ok::<_, Infallible>(Frame::data(data)));
        let body = StreamBody::new(tokio_stream::iter(frames));
        match super::read(body, size_max).await {
            Ok(message) => Ok(message.to_vec()),
            Err(unread) => Err(unread.collect().await.unwrap().to_bytes().to_vec()),
        }
    }

    #[tokio::test]
    async fn a_message_is_read_however_it_is_cut() {
        for cut in 0..=HELLO.len() {
            let (head, tail) = HELLO.split_at(cut);
            assert_eq!(read(&[head, tail], 5).await.unwrap(), b"hello", "{cut}");
            assert_eq!(read(&[head, b"", tail, b""], 5).await.unwrap(), b"hello", "{cut}");
        }
        let bytes: Vec<&[u8]> = HELLO.chunks(1).collect();
        assert_eq!(read(&bytes, 5).await.unwrap(), b"hello");
        assert_eq!(read(&[b"\0\0\0\0\0"], 5).await.unwrap(), b"");
    }

    #[tokio::test]
    async fn what_is_no_plain_message_is_left_whole() {
        let odd: [&[u8]; 8] = [
            b"",
            b"\0\0\0\0",
            b"\0\0\0\0\x06hello",
            b"\0\0\0\0\x04hello",
            b"\0\0\0\0\x05hello\0\0\0\0\x05again",
            b"\x01\0\0\0\x05hello",
            b"\x02\0\0\0\x05hello",
            b"\0\xff\xff\xff\xffhello",
        ];
        for body in odd {
            for cut in 0..=body.len() {
                let (head, tail) = body.split_at(cut);
                assert_eq!(read(&[head, tail], 100).await.unwrap_err(), body, "{body:?} {cut}");
            }
        }
    }

    #[tokio::test]
    async fn a_message_that_is_too_long_is_not_read_to_its_end() {
        let mut polled = 0;
        let frames = (0..100).map(|_| {
            polled += 1;
            Ok::<_, Infallible>(Frame::data(Bytes::from_static(HELLO)))
        });
        let body = StreamBody::new(tokio_stream::iter(frames));
        assert!(super::read(body, 4).await.is_err());
        assert_eq!(polled, 1);
        assert_eq!(read(&[HELLO], 4).await.unwrap_err(), HELLO);
    }

    #[tokio::test]
    async fn an_error_comes_after_what_was_read_before() {
        let frames = [Ok(Frame::data(Bytes::from_static(&HELLO[..7]))), Err("gone")];
        let mut unread =
            super::read(StreamBody::new(tokio_stream::iter(frames)), 9).await.unwrap_err();
        assert_eq!(unread.frame().await.unwrap().unwrap().into_data().unwrap(), HELLO[..7]);
        assert_eq!(unread.frame().await.unwrap().unwrap_err(), "gone");
    }

    #[tokio::test]
    async fn an_answer_is_its_length_its_message_and_a_good_end() {
        let mut message = Backwards::with_capacity(5);
        message.bytes(b"hello");
        let answer = answer(message, None);
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/grpc");
        let collected = answer.into_body().collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
        assert_eq!(collected.to_bytes(), HELLO);
    }
}
