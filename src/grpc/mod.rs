//! Envoy's side: the gRPC services put together, with every bound of HTTP/2 set by hand.
//!
//! Wire types end here: `rls` turns them into requests and decisions, and `json` does the same
//! for people with curl.

pub mod health;
pub mod json;
mod metadata;
mod reflection;
mod refused;
pub mod rls;
pub mod undelivered;
mod values;
pub mod wire;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::transport::server::{Connected, Router};
use tonic_health::pb::health_server::HealthServer;
use tower::ServiceBuilder;

use crate::metrics::Metrics;
use crate::pb::rls::rate_limit_service_server::RateLimitServiceServer;
use crate::readiness::Readiness;
use crate::socket::{Connection, Listener, Room};
use health::HealthFromReadiness;
use refused::Named;
use rls::Rls;

/// Envoy opens up to 1024 streams before it has seen our settings, and lets the requests of those
/// that we refuse pass unlimited. So exactly as many are allowed.
const STREAMS_MAX: u32 = 1024;
const HEADER_LIST_SIZE_MAX: u32 = 16 * 1024;
/// Streams that the client reset before we came to accept them. The library's default of 20 guards
/// against floods of resets, and takes Envoy for one: it cancels every call after its 20 ms
/// deadline, all on one connection, so a stall of 300 ms with all 1024 streams in use leaves
/// 15 x 1024 resets. Closing the connection then would fail every call on it. A reset that waits
/// costs a few hundred bytes, so this bound is some megabytes of a connection at worst.
const PENDING_RESETS_MAX: usize = 16 * 1024;
/// Also bounds what small frames may wait: the library closes a connection when the bytes by which
/// waiting DATA frames fall short of 256 each come to half of this window. Envoy's calls are not
/// counted, since their only frame ends the stream; clients that end it with a second frame are.
/// So as many of theirs fit as resets may wait: 16384 x 256 x 2 bytes.
const CONNECTION_WINDOW: u32 = 8 << 20;
/// Streams that we had to reset for the client's fault; the library's own default, made explicit.
const LOCAL_ERROR_RESETS_MAX: usize = 1024;
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections that were accepted and wait for the server to take them over.
const HANDOVER_QUEUE: usize = 64;
/// Of all listeners together. An Envoy opens one for each of its worker threads.
const CONNECTIONS_MAX: usize = 4096;

/// All services of the gRPC side.
pub fn services(
    rls: Rls,
    readiness: Readiness,
    message_size_max: usize,
) -> Result<Router, tonic_reflection::server::Error> {
    let metrics = Arc::clone(&rls.metrics);
    let counted = ServiceBuilder::new().map_response(move |answer: http::Response<Body>| {
        refused::count(&metrics.invalid, answer.headers());
        undelivered::watch(answer)
    });
    let rate_limit = RateLimitServiceServer::new(rls).max_decoding_message_size(message_size_max);
    Ok(tonic::transport::Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_max_header_list_size(HEADER_LIST_SIZE_MAX)
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS_MAX))
        .http2_max_local_error_reset_streams(Some(LOCAL_ERROR_RESETS_MAX))
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .add_service(Named(counted.service(rate_limit)))
        .add_service(HealthServer::new(HealthFromReadiness(readiness)))
        .add_service(reflection::described()?.build_v1()?)
        .add_service(reflection::described()?.build_v1alpha()?))
}

/// Serves on all listeners until told to stop; ends when every call that was on its way has its
/// answer. Connections that wait to be accepted at that time still are.
pub async fn serve(
    services: Router,
    listeners: Vec<Listener>,
    metrics: &Metrics,
    stop: &CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let connections = accepted(listeners, metrics, stop).map(Ok::<_, std::convert::Infallible>);
    // The stream of connections ends by itself, after the backlog; the library would drop it.
    services.serve_with_incoming_shutdown(connections, std::future::pending()).await
}

/// The connections of all listeners, as many at a time as there is room for.
fn accepted(
    listeners: Vec<Listener>,
    metrics: &Metrics,
    stop: &CancellationToken,
) -> impl Stream<Item = Connection> + use<> {
    let (open, waited) = (metrics.connections.open.clone(), metrics.connections.waited.clone());
    let room = Arc::new(Room::new(CONNECTIONS_MAX, open, waited));
    let (sender, receiver) = mpsc::channel(HANDOVER_QUEUE);
    for listener in listeners {
        let (room, accepted) = (Arc::clone(&room), metrics.connections_accepted.clone());
        let (sender, stop) = (sender.clone(), stop.clone());
        tokio::spawn(async move {
            let next = || async { room.admit(listener.accept().await, listener.address()).await };
            while let Some(connection) = stop.run_until_cancelled(next()).await {
                accepted.increment(1);
                if sender.send(connection).await.is_err() {
                    return;
                }
            }
            // These are no more than the queue of the operating system holds.
            for connection in listener.into_backlog() {
                accepted.increment(1);
                if sender.send(connection).await.is_err() {
                    return;
                }
            }
        });
    }
    ReceiverStream::new(receiver)
}

impl Connected for Connection {
    /// Nothing of the peer matters to a decision.
    type ConnectInfo = ();

    fn connect_info(&self) {}
}
