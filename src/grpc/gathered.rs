//! A connection whose output is gathered, so that many answers are one write.
//!
//! Bytes leave in the order they came in. Who gathers sees to it that they leave, by
//! [`Gathered::poll_send`]; without that the peer would wait for ever.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::socket::Connection;

/// Where so much waits no more is taken in before that has left.
const WAITING_MAX: usize = 16 * 1024;

/// A clone is of the same connection: one end is HTTP/2's, the other whoever gathers for it.
#[derive(Clone, Debug)]
pub(super) struct Gathered(Arc<Mutex<Shared>>);

#[derive(Debug)]
struct Shared {
    connection: Connection,
    waiting: Vec<u8>,
    /// How much of what waits has left.
    sent: usize,
    is_gathering: bool,
    was_heard: bool,
}

impl Gathered {
    /// Gathers nothing yet.
    pub(super) fn new(connection: Connection) -> Self {
        Self(Arc::new(Mutex::new(Shared {
            connection,
            waiting: Vec::new(),
            sent: 0,
            is_gathering: false,
            was_heard: false,
        })))
    }

    /// From now on output waits to be sent, and silent peers are for who gathers to find.
    pub(super) fn gather(&self) {
        let mut shared = self.0.lock();
        shared.is_gathering = true;
        shared.connection.expect_silence();
    }

    /// Sends what waits; ready when none is left.
    pub(super) fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.lock().poll_send(cx)
    }

    /// Whether the peer was heard of since this was asked last.
    pub(super) fn take_was_heard(&self) -> bool {
        std::mem::take(&mut self.0.lock().was_heard)
    }
}

impl Shared {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest @ [_, ..]) = self.waiting.get(self.sent..) {
            match ready!(Pin::new(&mut self.connection).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.sent += sent,
            }
        }
        self.sent = 0;
        self.waiting.clear();
        // A connection that once had much to say does not keep the memory.
        self.waiting.shrink_to(2 * WAITING_MAX);
        Poll::Ready(Ok(()))
    }

    /// Makes room for more.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.waiting.len() < WAITING_MAX {
            true => Poll::Ready(Ok(())),
            false => self.poll_send(cx),
        }
    }
}

impl AsyncRead for Gathered {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut shared = self.0.lock();
        let read = Pin::new(&mut shared.connection).poll_read(cx, buffer);
        shared.was_heard |= read.is_ready();
        read
    }
}

impl AsyncWrite for Gathered {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut shared = self.0.lock();
        ready!(shared.poll_room(cx))?;
        shared.waiting.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut shared = self.0.lock();
        ready!(shared.poll_room(cx))?;
        let before = shared.waiting.len();
        slices.iter().for_each(|slice| shared.waiting.extend_from_slice(slice));
        Poll::Ready(Ok(shared.waiting.len() - before))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.0.lock();
        match shared.is_gathering {
            true => Poll::Ready(Ok(())),
            false => shared.poll_send(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.0.lock();
        ready!(shared.poll_send(cx))?;
        Pin::new(&mut shared.connection).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Waker;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixStream;

    use super::*;

    fn pair() -> (Gathered, UnixStream) {
        let (ours, peer) = UnixStream::pair().unwrap();
        (Gathered::new(ours.into()), peer)
    }

    async fn sent(gathered: &Gathered) {
        poll_fn(|cx| gathered.poll_send(cx)).await.unwrap();
    }

    #[tokio::test]
    async fn output_waits_from_gathering_on_until_it_is_sent() {
        let (mut gathered, mut peer) = pair();
        gathered.write_all(b"at once, ").await.unwrap();
        gathered.flush().await.unwrap();
        gathered.gather();
        let outlet = gathered.clone();
        gathered.write_all(b"then ").await.unwrap();
        let slices = [io::IoSlice::new(b"all "), io::IoSlice::new(b"together")];
        assert_eq!(gathered.write_vectored(&slices).await.unwrap(), 12);
        gathered.flush().await.unwrap();
        let mut heard = [0; 100];
        let length = peer.read(&mut heard).await.unwrap();
        assert_eq!(&heard[..length], b"at once, ");
        sent(&outlet).await;
        let length = peer.read(&mut heard).await.unwrap();
        assert_eq!(&heard[..length], b"then all together");
    }

    #[tokio::test]
    async fn a_shutdown_sends_what_waits() {
        let (mut gathered, mut peer) = pair();
        gathered.gather();
        gathered.write_all(b"goodbye").await.unwrap();
        gathered.shutdown().await.unwrap();
        let mut heard = Vec::new();
        peer.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"goodbye");
    }

    #[tokio::test]
    async fn a_peer_that_does_not_read_is_not_gathered_for_without_end() {
        let (mut gathered, mut peer) = pair();
        gathered.gather();
        let mut cx = Context::from_waker(Waker::noop());
        let bytes: Vec<u8> = (0..=255).cycle().take(1_000).collect();
        let mut written = 0;
        while let Poll::Ready(length) = Pin::new(&mut gathered).poll_write(&mut cx, &bytes) {
            written += length.unwrap();
        }
        assert!(gathered.0.lock().waiting.len() < WAITING_MAX + bytes.len());
        let outlet = gathered.clone();
        let sending = tokio::spawn(async move { sent(&outlet).await });
        let mut heard = vec![0; written];
        peer.read_exact(&mut heard).await.unwrap();
        assert!(heard.chunks(bytes.len()).all(|chunk| chunk == bytes));
        sending.await.unwrap();
        assert_eq!(gathered.0.lock().waiting.len(), 0);
    }

    #[tokio::test]
    async fn a_peer_is_heard_of_once_for_what_it_says() {
        let (mut gathered, mut peer) = pair();
        assert!(!gathered.take_was_heard());
        peer.write_all(b"hello").await.unwrap();
        gathered.read_exact(&mut [0; 5]).await.unwrap();
        assert!(gathered.take_was_heard());
        assert!(!gathered.take_was_heard());
    }
}
