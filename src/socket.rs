//! Listening sockets: TCP and Unix, one type for both, and the connections they accept.
//!
//! Accepting never fails for good: out of file descriptors, a listener waits and tries again. A
//! Unix socket file is made with mode 0660, so whoever shares the server's group may ask; it is
//! removed at exit, and a stale one is replaced only after a connect showed that nobody listens.

use std::fmt;
use std::future::Future as _;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use metrics::Gauge;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Connections that wait to be accepted, for each listener.
const BACKLOG: u32 = 1024;
/// Between tries while the process is out of file descriptors or memory.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
const SOCKET_MODE: u32 = 0o660;
/// A connection is closed when nothing came from its peer in two checks this far apart. Live gRPC
/// peers answer a ping every 30 seconds, so this ends the ones that never said what they want and
/// HTTP requests that do not go on. They would hold file descriptors and memory for ever.
const SILENCE_CHECK: Duration = Duration::from_secs(60);

/// Where to listen, as written in the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `host:port`; port 0 takes a free one.
    Tcp(String),
    /// `unix:/path`
    Unix(PathBuf),
    /// `unix:@name`: a name without a file, on Linux.
    Abstract(String),
}

#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not an address; write `host:port` such as `127.0.0.1:8081`, or `unix:/path`")]
pub struct AddressError(String);

impl Address {
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let error = || AddressError(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            return match (path.strip_prefix('@'), path) {
                (_, "" | "@") => Err(error()),
                (Some(name), _) => Ok(Self::Abstract(name.to_owned())),
                (None, _) => Ok(Self::Unix(PathBuf::from(path))),
            };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(error)?;
        let is_plain = !host.is_empty() && !host.contains(['/', ' ']);
        let is_bracketed = host.starts_with('[') && host.ends_with(']');
        if port.parse::<u16>().is_err() || !is_plain || (host.contains(':') && !is_bracketed) {
            return Err(error());
        }
        Ok(Self::Tcp(text.to_owned()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Abstract(name) => write!(f, "unix:@{name}"),
        }
    }
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error(
        "cannot listen on `{address}`: the port is in use; stop what listens there, or choose \
         another port"
    )]
    PortInUse { address: Address },
    #[error(
        "cannot listen on `{address}`: another process listens on this socket; stop it, or choose \
         another path"
    )]
    SocketInUse { address: Address },
    #[error(
        "cannot listen on `{address}`: a file is there that is no socket; remove it, or choose \
         another path"
    )]
    NotASocket { address: Address },
    #[error("cannot listen on `{address}`: {source}; {hint}")]
    Other { address: Address, source: io::Error, hint: &'static str },
}

/// A bound socket.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: Address,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    /// The file is `None` for an abstract name.
    Unix(UnixListener, Option<SocketFile>),
}

impl Listener {
    /// Listens on `address`. Needs to be called within the runtime.
    pub async fn bind(address: &Address) -> Result<Self, BindError> {
        match address {
            Address::Tcp(text) => bind_tcp(address, text).await,
            Address::Unix(path) => bind_unix(address, path),
            Address::Abstract(name) => bind_abstract(address, name),
        }
    }

    /// The real address: with the port that was taken when port 0 was asked for.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The next connection. Waits out every error.
    pub async fn accept(&self) -> Connection {
        let mut is_stuck = false;
        loop {
            let accepted = match &self.socket {
                Socket::Tcp(listener) => listener.accept().await.map(|(tcp, _)| tcp.into()),
                Socket::Unix(listener, _) => listener.accept().await.map(|(unix, _)| unix.into()),
            };
            match accepted {
                Ok(connection) => return connection,
                Err(error) if is_about_the_peer(&error) => {}
                Err(error) => {
                    if !is_stuck {
                        let address = self.address.to_string();
                        tracing::warn!(%error, address, "cannot accept connections; trying again");
                        is_stuck = true;
                    }
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    /// Closes the listener after taking every connection that was already waiting.
    pub fn into_backlog(self) -> Vec<Connection> {
        let mut waiting = Vec::new();
        match self.socket {
            Socket::Tcp(listener) => {
                if let Ok(listener) = listener.into_std() {
                    let accepted = std::iter::from_fn(|| listener.accept().ok());
                    waiting.extend(accepted.filter_map(|(tcp, _)| {
                        tcp.set_nonblocking(true).ok()?;
                        TcpStream::from_std(tcp).ok().map(Connection::from)
                    }));
                }
            }
            Socket::Unix(listener, file) => {
                // Without its file nobody can come anew.
                drop(file);
                if let Ok(listener) = listener.into_std() {
                    let accepted = std::iter::from_fn(|| listener.accept().ok());
                    waiting.extend(accepted.filter_map(|(unix, _)| {
                        unix.set_nonblocking(true).ok()?;
                        UnixStream::from_std(unix).ok().map(Connection::from)
                    }));
                }
            }
        }
        waiting
    }
}

/// Errors of `accept` that concern one connection, not the listener.
fn is_about_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

async fn bind_tcp(address: &Address, text: &str) -> Result<Listener, BindError> {
    let other = |source, hint| BindError::Other { address: address.clone(), source, hint };
    let mut candidates: Vec<SocketAddr> = tokio::net::lookup_host(text)
        .await
        .map_err(|error| other(error, "write an address of this machine, or check the name"))?
        .collect();
    // A name such as `localhost` may stand for both; most clients that are told a number use v4.
    candidates.sort_by_key(SocketAddr::is_ipv6);
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for candidate in candidates {
        match listen_tcp(candidate) {
            Ok(listener) => {
                let bound = listener.local_addr().unwrap_or(candidate);
                let address = Address::Tcp(bound.to_string());
                return Ok(Listener { socket: Socket::Tcp(listener), address });
            }
            Err(error) => last = error,
        }
    }
    Err(match last.kind() {
        io::ErrorKind::AddrInUse => BindError::PortInUse { address: address.clone() },
        io::ErrorKind::PermissionDenied => other(last, "choose a port of 1024 or above"),
        _ => other(last, "choose an address of this machine, such as `127.0.0.1` or `0.0.0.0`"),
    })
}

fn listen_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
        SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
    };
    // A restarted server must not wait for old connections of its port to time out.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn bind_unix(address: &Address, path: &Path) -> Result<Listener, BindError> {
    let other = |source| BindError::Other {
        address: address.clone(),
        source,
        hint: "check that its folder is there and may be written to",
    };
    remove_stale(address, path)?;
    let listener = UnixListener::bind(path).map_err(other)?;
    // Until the mode is set, the umask keeps others out: connecting takes write permission.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE)).map_err(other)?;
    let file = SocketFile::of(path.to_owned()).map_err(other)?;
    Ok(Listener { socket: Socket::Unix(listener, Some(file)), address: address.clone() })
}

/// Removes a socket file that a killed server left behind, and nothing else.
fn remove_stale(address: &Address, path: &Path) -> Result<(), BindError> {
    let other = |source| BindError::Other {
        address: address.clone(),
        source,
        hint: "remove the socket file by hand, or choose another path",
    };
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(other(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(BindError::NotASocket { address: address.clone() });
        }
        Ok(_) => {}
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(BindError::SocketInUse { address: address.clone() }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(other)
        }
        Err(error) => Err(other(error)),
    }
}

fn bind_abstract(address: &Address, name: &str) -> Result<Listener, BindError> {
    let listener = listen_abstract(name).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::SocketInUse { address: address.clone() },
        _ => BindError::Other {
            address: address.clone(),
            source,
            hint: "abstract names work on Linux only; use `unix:/path`",
        },
    })?;
    Ok(Listener { socket: Socket::Unix(listener, None), address: address.clone() })
}

#[cfg(target_os = "linux")]
fn listen_abstract(name: &str) -> io::Result<UnixListener> {
    use std::os::linux::net::SocketAddrExt as _;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
    let listener = std::os::unix::net::UnixListener::bind_addr(&address)?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

#[cfg(not(target_os = "linux"))]
fn listen_abstract(_name: &str) -> io::Result<UnixListener> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A socket file that is removed with its listener, unless somebody has put another in its place.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn of(path: PathBuf) -> io::Result<Self> {
        let identity = file_identity(&path)?;
        Ok(Self { path, identity })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if file_identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn file_identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = std::fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// An accepted connection; TCP sends small answers at once.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    silence: Silence,
    open: Option<OpenCount>,
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
        Self { stream: Stream::Tcp(stream), silence: Silence::new(SILENCE_CHECK), open: None }
    }
}

impl From<UnixStream> for Connection {
    fn from(stream: UnixStream) -> Self {
        Self { stream: Stream::Unix(stream), silence: Silence::new(SILENCE_CHECK), open: None }
    }
}

impl Connection {
    /// Counts the connection in `gauge` for as long as it is open.
    #[must_use]
    pub fn counted(mut self, gauge: &Gauge) -> Self {
        gauge.increment(1.0);
        self.open = Some(OpenCount(gauge.clone()));
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

#[derive(Debug)]
struct OpenCount(Gauge);

impl Drop for OpenCount {
    fn drop(&mut self) {
        self.0.decrement(1.0);
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
        if read.is_ready() {
            connection.silence.was_heard = true;
            return read;
        }
        connection.silence.poll_over(cx).map(Err)
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

    #[test]
    fn addresses_read_as_they_are_written() {
        let texts =
            ["127.0.0.1:8081", "localhost:0", "[::1]:8081", "unix:/run/tollgate.sock", "unix:@rls"];
        for text in texts {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_says_what_to_write() {
        for text in ["", "localhost", ":8081", "8081", "a:b", "1.2.3.4:70000", "::1:80", "unix:"] {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(error.contains("write `host:port`"), "{text}: {error}");
        }
    }

    #[tokio::test]
    async fn a_connection_ends_when_its_peer_falls_silent_and_not_before() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (ours, mut peer) = UnixStream::pair().unwrap();
        let mut connection = Connection::from(ours);
        connection.silence = Silence::new(Duration::from_millis(1));
        peer.write_all(b"hello").await.unwrap();
        let mut heard = [0; 5];
        connection.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
        let silent = connection.read(&mut heard).await.unwrap_err();
        assert_eq!(silent.kind(), io::ErrorKind::TimedOut);
    }
}
