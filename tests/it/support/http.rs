//! One HTTP request and its answer, over loopback.

use std::net::SocketAddr;

use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use serde_json::Value;

use super::within;

pub(crate) type NoBody = Empty<Bytes>;

pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &[u8])]) -> Request<NoBody> {
    let mut request = Request::builder().method(method).uri(path).header("host", "rig");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Empty::new()).expect("a request")
}

#[derive(Debug)]
pub(crate) struct Answer {
    parts: http::response::Parts,
    pub(crate) body: Bytes,
}

impl Answer {
    /// Waits for the end of the body.
    pub(super) async fn read(answer: Response<Incoming>) -> Self {
        let (parts, body) = answer.into_parts();
        let body = within(body.collect()).await.expect("a whole body").to_bytes();
        Self { parts, body }
    }

    pub(crate) fn status(&self) -> u16 {
        self.parts.status.as_u16()
    }

    /// The only value of a header; empty when the answer has no such header.
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut values = self.parts.headers.get_all(name).iter();
        let value = values.next().map_or("", |value| value.to_str().expect("readable"));
        assert!(values.next().is_none(), "`{name}` came twice: {:?}", self.parts.headers);
        value
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {:?}", self.body))
    }
}

/// Sends a request on a connection of its own.
pub(crate) async fn send(address: SocketAddr, request: Request<NoBody>) -> Answer {
    let stream = tokio::net::TcpStream::connect(address).await.expect("a listener");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(request).await.expect("an answer");
    let answer = Answer::read(answer).await;
    connection.abort();
    answer
}
