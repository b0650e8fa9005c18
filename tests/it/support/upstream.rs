//! An upstream whose answers the test decides, one request at a time.
//!
//! A request is in flight from its arrival until its answer is out whole, or its connection is gone.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::within;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Requests so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) in_flight: usize,
    pub(crate) most_in_flight: usize,
    pub(crate) arrived: usize,
}

#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    counts: watch::Sender<Counts>,
    arrivals: mpsc::UnboundedReceiver<Arrival>,
    gate: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Upstream {
    /// Holds every request until it is told what to answer, or until `answer_all`.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (sender, arrivals) = mpsc::unbounded_channel();
        let (counts, _) = watch::channel(Counts::default());
        let (gate, is_open) = watch::channel(false);
        let desk = Arc::new(Desk { sender, counts: counts.clone(), is_open });
        let accepting = tokio::spawn(accept(listener, desk));
        Self { address, counts, arrivals, gate, accepting }
    }

    /// From now on nothing is held; what is held gets 200.
    pub(crate) fn answer_all(&self) {
        self.gate.send_replace(true);
    }

    /// Later requests are held again.
    pub(crate) fn hold(&self) {
        self.gate.send_replace(false);
    }

    /// The next request that is held. Dropped without an answer, it waits for `answer_all`.
    pub(crate) async fn next(&mut self) -> Arrival {
        loop {
            let arrival = within(self.arrivals.recv()).await.expect("the upstream runs");
            if !arrival.reply.is_closed() {
                return arrival;
            }
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    /// Waits until the counts are as wanted.
    pub(crate) async fn until(&self, wanted: impl FnMut(&Counts) -> bool) -> Counts {
        *within(self.counts.subscribe().wait_for(wanted)).await.expect("the upstream runs")
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A request that waits for its answer.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) head: http::request::Parts,
    reply: oneshot::Sender<Reply>,
}

#[derive(Debug)]
enum Reply {
    Body(u16, mpsc::UnboundedReceiver<Bytes>),
    Nothing,
}

impl Arrival {
    pub(crate) fn answer(self, status: u16) {
        let pieces = self.answer_in_pieces(status);
        pieces.send("answered\n");
    }

    /// Begins an answer whose body comes as the test sends it, and ends when the pieces are dropped.
    pub(crate) fn answer_in_pieces(self, status: u16) -> Pieces {
        let (sender, receiver) = mpsc::unbounded_channel();
        // Who asked may be gone, which is what some tests are about.
        let _ = self.reply.send(Reply::Body(status, receiver));
        Pieces { sender }
    }

    /// Ends the connection without an answer.
    pub(crate) fn fail(self) {
        let _ = self.reply.send(Reply::Nothing);
    }
}

#[derive(Debug)]
pub(crate) struct Pieces {
    sender: mpsc::UnboundedSender<Bytes>,
}

impl Pieces {
    pub(crate) fn send(&self, piece: &'static str) {
        let _ = self.sender.send(Bytes::from_static(piece.as_bytes()));
    }
}

/// What every connection needs.
#[derive(Debug)]
struct Desk {
    sender: mpsc::UnboundedSender<Arrival>,
    counts: watch::Sender<Counts>,
    is_open: watch::Receiver<bool>,
}

/// A request in flight; dropping it ends that.
struct InFlight(watch::Sender<Counts>);

impl InFlight {
    fn begin(counts: &watch::Sender<Counts>) -> Self {
        counts.send_modify(|counts| {
            counts.arrived += 1;
            counts.in_flight += 1;
            counts.most_in_flight = counts.most_in_flight.max(counts.in_flight);
        });
        Self(counts.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.send_modify(|counts| counts.in_flight -= 1);
    }
}

async fn accept(listener: TcpListener, desk: Arc<Desk>) {
    while let Ok((stream, _)) = listener.accept().await {
        let desk = Arc::clone(&desk);
        let service = service_fn(move |request| respond(Arc::clone(&desk), request));
        let serving = hyper::server::conn::http1::Builder::new();
        tokio::spawn(serving.serve_connection(TokioIo::new(stream), service));
    }
}

/// A refusal to answer, which ends the connection.
#[derive(Debug, thiserror::Error)]
#[error("the test wants no answer")]
struct NoAnswer;

async fn respond(desk: Arc<Desk>, request: Request<Incoming>) -> Result<Response<Body>, NoAnswer> {
    let in_flight = InFlight::begin(&desk.counts);
    let (reply, answered) = oneshot::channel();
    let (head, _) = request.into_parts();
    let _ = desk.sender.send(Arrival { head, reply });
    let mut is_open = desk.is_open.clone();
    let reply = tokio::select! {
        biased;
        Ok(reply) = answered => reply,
        _ = is_open.wait_for(|is_open| *is_open) => {
            let (pieces, receiver) = mpsc::unbounded_channel();
            let _ = pieces.send(Bytes::from_static(b"answered\n"));
            Reply::Body(200, receiver)
        }
    };
    let Reply::Body(status, pieces) = reply else { return Err(NoAnswer) };
    let frames = UnboundedReceiverStream::new(pieces).map(move |piece| {
        // The body owns the request in flight, and is dropped when it is out.
        let _ = &in_flight;
        Ok(Frame::data(piece))
    });
    let body = StreamBody::new(frames).boxed_unsync();
    Ok(Response::builder().status(status).body(body).expect("an answer"))
}
