//! Clients that come in numbers, one after the other on a connection, or leave too early.
//!
//! Everything waits for an event and none of it for a time.

use std::net::SocketAddr;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};

use super::http::{Answer, NoBody, send};
use super::within;

/// The answers to requests that are all sent at once, in the order in which they came.
pub(crate) async fn at_once(
    address: SocketAddr,
    requests: impl IntoIterator<Item = Request<NoBody>>,
) -> Vec<Answer> {
    let mut sending: JoinSet<Answer> =
        requests.into_iter().map(|request| send(address, request)).collect();
    let mut answers = Vec::new();
    while let Some(answer) = within(sending.join_next()).await {
        answers.push(answer.expect("a request"));
    }
    answers
}

/// How many answers have this status.
pub(crate) fn count_of(status: u16, answers: &[Answer]) -> usize {
    answers.iter().filter(|answer| answer.status() == status).count()
}

/// The answers to requests that one connection sends, each as soon as the one before is answered.
pub(crate) async fn one_after_the_other(
    address: SocketAddr,
    requests: impl IntoIterator<Item = Request<NoBody>>,
) -> Vec<Answer> {
    let (mut sender, connection) = connect(address).await;
    let connection = tokio::spawn(connection);
    let mut answers = Vec::new();
    for request in requests {
        within(sender.ready()).await.expect("a connection that stays");
        let answer = within(sender.send_request(request)).await.expect("an answer");
        answers.push(Answer::read(answer).await);
    }
    connection.abort();
    answers
}

/// A request under way whose client may leave.
#[derive(Debug)]
pub(crate) struct Underway {
    connection: JoinHandle<Result<(), hyper::Error>>,
    answering: JoinHandle<Result<Response<Incoming>, hyper::Error>>,
}

impl Underway {
    pub(crate) async fn begin(address: SocketAddr, request: Request<NoBody>) -> Self {
        let (mut sender, connection) = connect(address).await;
        let connection = tokio::spawn(connection);
        let answering = tokio::spawn(async move { sender.send_request(request).await });
        Self { connection, answering }
    }

    /// Closes the connection, whatever is still to come.
    pub(crate) async fn hang_up(self) {
        self.answering.abort();
        self.connection.abort();
        let ended = within(self.connection).await;
        assert!(ended.is_err_and(|error| error.is_cancelled()), "it was still open");
    }

    /// Waits for the head of the answer.
    pub(crate) async fn answered(self) -> Reading {
        let answer = within(self.answering).await.expect("a task").expect("an answer");
        Reading { connection: self.connection, answer }
    }

    /// Waits for the whole answer.
    pub(crate) async fn finish(self) -> Answer {
        let Reading { connection, answer } = self.answered().await;
        let answer = Answer::read(answer).await;
        connection.abort();
        answer
    }
}

/// An answer whose body is still coming.
#[derive(Debug)]
pub(crate) struct Reading {
    connection: JoinHandle<Result<(), hyper::Error>>,
    answer: Response<Incoming>,
}

impl Reading {
    pub(crate) fn status(&self) -> u16 {
        self.answer.status().as_u16()
    }

    /// The next piece of the body; `None` at its end.
    pub(crate) async fn piece(&mut self) -> Option<Bytes> {
        let frame = within(self.answer.body_mut().frame()).await?;
        frame.expect("a body").into_data().ok()
    }

    /// Closes the connection in the middle of the body.
    pub(crate) async fn hang_up(self) {
        self.connection.abort();
        let ended = within(self.connection).await;
        assert!(ended.is_err_and(|error| error.is_cancelled()), "it was still open");
    }
}

async fn connect(
    address: SocketAddr,
) -> (SendRequest<NoBody>, Connection<TokioIo<TcpStream>, NoBody>) {
    let stream = within(TcpStream::connect(address)).await.expect("a listener");
    handshake(TokioIo::new(stream)).await.expect("HTTP")
}
