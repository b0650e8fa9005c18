//! An accepted connection, TCP or Unix, that does not outlive a silent peer.
//!
//! As long as it is open it holds its place among the connections that are allowed.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::room::Place;

/// A connection is closed when nothing came from its peer in two checks this far apart. Live gRPC
/// peers answer a ping every 30 seconds, so this ends the ones that never said what they want and
/// HTTP requests that do not go on. They would hold file descriptors and memory for ever.
const SILENCE_CHECK: Duration = Duration::from_secs(60);

/// An accepted connection; TCP sends small answers at once.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    /// `None` where whoever reads looks after silent peers.
    silence: Option<Silence>,
    /// Set while the connection counts as open.
    place: Option<Place>,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl From<TcpStream> for Connection {
    fn from(stream: TcpStream) -> Self {
        // A peer that is gone already fails here; reading from it will say so.
        let _ = stream.set_nodelay(true);
        Stream::Tcp(stream).into()
    }
}

impl From<UnixStream> for Connection {
    fn from(stream: UnixStream) -> Self {
        Stream::Unix(stream).into()
    }
}

impl From<Stream> for Connection {
    fn from(stream: Stream) -> Self {
        Self { stream, silence: Some(Silence::new(SILENCE_CHECK)), place: None }
    }
}

/// A connection on its way from one thread to another.
#[derive(Debug)]
pub struct Detached {
    stream: DetachedStream,
    place: Option<Place>,
}

#[derive(Debug)]
enum DetachedStream {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl Detached {
    /// Needs to be called within the runtime that is to serve it.
    pub fn attach(self) -> io::Result<Connection> {
        let connection: Connection = match self.stream {
            DetachedStream::Tcp(stream) => TcpStream::from_std(stream)?.into(),
            DetachedStream::Unix(stream) => UnixStream::from_std(stream)?.into(),
        };
        Ok(Connection { place: self.place, ..connection })
    }
}

impl Connection {
    /// Takes it from its runtime, for another.
    pub fn detach(self) -> io::Result<Detached> {
        let stream = match self.stream {
            Stream::Tcp(stream) => DetachedStream::Tcp(stream.into_std()?),
            Stream::Unix(stream) => DetachedStream::Unix(stream.into_std()?),
        };
        Ok(Detached { stream, place: self.place })
    }

    /// From now on whoever reads is to find out by itself whether its peer is still there.
    pub fn expect_silence(&mut self) {
        self.silence = None;
    }

    /// Keeps a place for as long as the connection is open.
    pub(super) fn holding(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }
}

/// Whether the peer was heard of since the last check. A flag, so that a read costs no look at the
/// clock.
#[derive(Debug)]
struct Silence {
    check: Pin<Box<tokio::time::Sleep>>,
    interval: Duration,
    was_heard: bool,
}

impl Silence {
    fn new(interval: Duration) -> Self {
        Self { check: Box::pin(tokio::time::sleep(interval)), interval, was_heard: false }
    }

    /// Ready when the peer has been silent for too long; else wakes the task at the next check.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        while self.check.as_mut().poll(cx).is_ready() {
            if !std::mem::take(&mut self.was_heard) {
                return Poll::Ready(io::ErrorKind::TimedOut.into());
            }
            // From now on, not from when it was due: a process that was frozen starts afresh.
            self.check.set(tokio::time::sleep(self.interval));
        }
        Poll::Pending
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let connection = self.get_mut();
        let read = match &mut connection.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        };
        let Some(silence) = &mut connection.silence else { return read };
        if read.is_ready() {
            silence.was_heard = true;
            return read;
        }
        silence.poll_over(cx).map(Err)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Stream::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_ends_when_its_peer_falls_silent_and_not_before() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (ours, mut peer) = UnixStream::pair().unwrap();
        let mut connection = Connection::from(ours);
        connection.silence = Some(Silence::new(Duration::from_millis(1)));
        peer.write_all(b"hello").await.unwrap();
        let mut heard = [0; 5];
        connection.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
        let silent = connection.read(&mut heard).await.unwrap_err();
        assert_eq!(silent.kind(), io::ErrorKind::TimedOut);
    }
}
