//! Listening sockets: TCP and Unix, one type for both, and the connections they accept.
//!
//! Accepting never fails for good: out of file descriptors, a listener waits and tries again. A
//! Unix socket file is made with mode 0660, so whoever shares the server's group may ask; it is
//! removed at exit, and a stale one is replaced only after a connect showed that nobody listens.

mod connection;
mod room;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

pub use connection::{Connection, Detached};
pub use room::Room;

/// Connections that wait to be accepted, for each listener.
const BACKLOG: u32 = 1024;
/// Between tries while the process is out of file descriptors or memory.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
const SOCKET_MODE: u32 = 0o660;
/// In bytes; the operating system takes no longer path or abstract name.
const SOCKET_NAME_MAX: usize = 107;

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
pub enum AddressError {
    #[error("`{0}` is not an address; write `host:port` such as `127.0.0.1:8081`, or `unix:/path`")]
    Unknown(String),
    #[error(
        "the socket of `{text}` has a name of {length} bytes, and {SOCKET_NAME_MAX} is the most; \
         choose a shorter path"
    )]
    TooLong { text: String, length: usize },
}

impl Address {
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let error = || AddressError::Unknown(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            let length = path.strip_prefix('@').unwrap_or(path).len();
            if length > SOCKET_NAME_MAX {
                return Err(AddressError::TooLong { text: text.to_owned(), length });
            }
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
    fn a_socket_name_that_is_too_long_says_how_long_it_may_be() {
        for (prefix, length, is_good) in [
            ("unix:", 107, true),
            ("unix:", 108, false),
            ("unix:@", 107, true),
            ("unix:@", 108, false),
        ] {
            let parsed = Address::parse(&format!("{prefix}{}", "x".repeat(length)));
            match parsed {
                Ok(_) => assert!(is_good, "{prefix} {length}"),
                Err(error) => {
                    assert!(
                        !is_good && error.to_string().contains("and 107 is the most"),
                        "{error}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_no_address_says_what_to_write() {
        for text in ["", "localhost", ":8081", "8081", "a:b", "1.2.3.4:70000", "::1:80", "unix:"] {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(error.contains("write `host:port`"), "{text}: {error}");
        }
    }
}
