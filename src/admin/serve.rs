//! HTTP/1 on a listener, with every wait of a connection bounded.
//!
//! Few clients have business here: probes, a scraper, people. Whoever says nothing, or says it too
//! slowly, makes room for them within seconds.

use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::metrics::Metrics;
use crate::socket::{Connection, Listener, Room};

/// For the whole head of a request, from when the connection is free for it: it also ends
/// connections that are kept without being used.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);
const CONNECTIONS_MAX: usize = 512;

/// Serves until told to stop, and then until the answers on their way are out.
pub async fn serve(
    router: Router,
    listener: Listener,
    metrics: &Metrics,
    stop: &CancellationToken,
) {
    let counted = &metrics.http_connections;
    let room = Room::new(CONNECTIONS_MAX, counted.open.clone(), counted.waited.clone());
    let next = || async { room.admit(listener.accept().await, listener.address()).await };
    let connections = TaskTracker::new();
    while let Some(connection) = stop.run_until_cancelled(next()).await {
        connections.spawn(answer(connection, HEAD_DEADLINE, router.clone(), stop.clone()));
    }
    connections.close();
    connections.wait().await;
}

/// Answers the requests of one connection. How it ends is its peer's business alone.
async fn answer(
    connection: Connection,
    head_deadline: Duration,
    router: Router,
    stop: CancellationToken,
) {
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_deadline)
        .serve_connection(TokioIo::new(connection), TowerToHyperService::new(router));
    let mut serving = pin!(serving);
    tokio::select! {
        _ = serving.as_mut() => return,
        () = stop.cancelled() => serving.as_mut().graceful_shutdown(),
    }
    let _ = serving.await;
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn a_connection_ends_when_a_request_does_not_begin_or_does_not_go_on() {
        for said in ["", "GET / HTTP/1.1\r\nhost: tollgate\r\nx-slow: "] {
            let (ours, mut peer) = UnixStream::pair().unwrap();
            peer.write_all(said.as_bytes()).await.unwrap();
            let (deadline, stop) = (Duration::from_millis(1), CancellationToken::new());
            answer(Connection::from(ours), deadline, Router::new(), stop).await;
            let mut heard = Vec::new();
            peer.read_to_end(&mut heard).await.unwrap();
            assert!(!heard.starts_with(b"HTTP/1.1 2"), "{heard:?}");
        }
    }
}
