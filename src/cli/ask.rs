//! Asks the HTTP port of a running server one thing.
//!
//! Every wait is bounded, and so is what is read; whatever goes wrong is one line that says what
//! to try next.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use http::header::{CONTENT_TYPE, HOST};
use http::{Request, StatusCode, Uri};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Longer than the server takes for any answer.
const PATIENCE: Duration = Duration::from_secs(15);
const ANSWER_MAX: usize = 64 << 20;
const HINT: &str = "`--server` takes what `--http` of `tollgate serve` says";

/// `http://127.0.0.1:8080`, or without the scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// With a port.
    address: String,
}

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("`{text}` is no address of a server; write it such as `http://127.0.0.1:8080`")
        };
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        match uri.scheme_str() {
            None | Some("http") => {}
            Some("https") => return Err("tollgate's HTTP port has no TLS; write `http://`".into()),
            Some(_) => return Err(wrong()),
        }
        let authority = uri.authority().ok_or_else(wrong)?;
        let is_bare = uri.query().is_none() && ["", "/"].contains(&uri.path());
        if !is_bare || authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(wrong());
        }
        let port = authority.port_u16().unwrap_or(80);
        Ok(Self { address: format!("{}:{port}", authority.host()) })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.address)
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("nobody listens at `{0}`: {1}; {HINT}")]
    Unreachable(Server, std::io::Error),
    #[error("what listens at `{0}` does not speak HTTP/1.1 ({1}); {HINT}, not what `--grpc` says")]
    NotHttp(Server, hyper::Error),
    #[error("the answer of `{0}` could not be read: {1}")]
    Cut(Server, axum::Error),
    #[error("`{server}` gave no answer within {} s", PATIENCE.as_secs())]
    TooSlow { server: Server },
    #[error("the question cannot be sent: {0}")]
    Unsendable(#[from] http::Error),
    #[error("the client cannot be set up: {0}")]
    Runtime(std::io::Error),
}

/// Posts JSON; gives the status and the body of the answer.
pub(super) fn post(
    server: &Server,
    path: &str,
    body: String,
) -> Result<(StatusCode, Vec<u8>), AskError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(AskError::Runtime)?.block_on(async {
        let asked = tokio::time::timeout(PATIENCE, ask(server, path, body));
        asked.await.unwrap_or_else(|_| Err(AskError::TooSlow { server: server.clone() }))
    })
}

async fn ask(server: &Server, path: &str, body: String) -> Result<(StatusCode, Vec<u8>), AskError> {
    let not_http = |error| AskError::NotHttp(server.clone(), error);
    let stream = TcpStream::connect(&server.address).await;
    let stream = stream.map_err(|error| AskError::Unreachable(server.clone(), error))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(not_http)?;
    // Ends with the runtime.
    tokio::spawn(connection);
    let request = Request::post(path)
        .header(HOST, &server.address)
        .header(CONTENT_TYPE, "application/json")
        .body(Body::from(body))?;
    let answer = sender.send_request(request).await.map_err(not_http)?;
    let status = answer.status();
    let body = to_bytes(Body::new(answer.into_body()), ANSWER_MAX).await;
    let body = body.map_err(|error| AskError::Cut(server.clone(), error))?;
    Ok((status, body.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_with_and_without_scheme_and_port() {
        for (text, address) in [
            ("http://127.0.0.1:8080", Some("127.0.0.1:8080")),
            ("127.0.0.1:8080", Some("127.0.0.1:8080")),
            ("http://tollgate/", Some("tollgate:80")),
            ("http://[::1]:9", Some("[::1]:9")),
            ("https://tollgate", None),
            ("ftp://tollgate", None),
            ("http://tollgate/path", None),
            ("http://user@tollgate", None),
            ("/path", None),
            ("", None),
        ] {
            let read: Result<Server, String> = text.parse();
            assert_eq!(read.ok().map(|server| server.address).as_deref(), address, "{text}");
        }
    }
}
