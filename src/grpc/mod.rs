//! Envoy's side: the gRPC services put together, with every bound of HTTP/2 set by hand.
//!
//! Wire types end here: `rls` turns them into requests and decisions, and `json` does the same
//! for people with curl.

mod connection;
mod frame;
mod front;
mod gathered;
pub mod health;
pub mod json;
mod metadata;
mod reflection;
mod refused;
pub mod rls;
mod stream;
mod turn;
pub mod undelivered;

mod values;
pub mod wire;
mod workers;

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;
use tower::ServiceBuilder;

use crate::metrics::Metrics;
use crate::pb::rls::rate_limit_service_server::RateLimitServiceServer;
use crate::readiness::Readiness;
use crate::socket::{Listener, Room};
use front::Front;
use health::HealthFromReadiness;
use refused::Named;
use rls::Rls;
pub use workers::{Ends, WORKERS_MAX, Workers};

/// Of all listeners together. An Envoy opens one for each of its worker threads.
const CONNECTIONS_MAX: usize = 4096;

/// All services of the gRPC side.
pub fn services(
    rls: Rls,
    readiness: Readiness,
    message_size_max: usize,
) -> Result<Front, tonic_reflection::server::Error> {
    let metrics = Arc::clone(&rls.metrics);
    let counted = ServiceBuilder::new().map_response(move |answer: http::Response<Body>| {
        refused::count(&metrics.invalid, answer.headers());
        undelivered::watch(answer)
    });
    let rate_limit =
        RateLimitServiceServer::new(rls.clone()).max_decoding_message_size(message_size_max);
    let routes = Routes::new(Named(counted.service(rate_limit)))
        .add_service(HealthServer::new(HealthFromReadiness(readiness)))
        .add_service(reflection::described()?.build_v1()?)
        .add_service(reflection::described()?.build_v1alpha()?);
    Ok(Front::new(rls, routes, message_size_max))
}

/// Serves on all listeners until told to stop; ends when every call that was on its way has its
/// answer. Connections that wait to be accepted at that time still are.
pub async fn serve(
    workers: Workers,
    listeners: Vec<Listener>,
    metrics: &Metrics,
    stop: &CancellationToken,
) {
    let (open, waited) = (metrics.connections.open.clone(), metrics.connections.waited.clone());
    let room = Room::new(CONNECTIONS_MAX, open, waited);
    let mut accepting = JoinSet::new();
    let room = Arc::new(room);
    for listener in listeners {
        let (room, accepted) = (Arc::clone(&room), metrics.connections_accepted.clone());
        let (dealer, stop) = (workers.dealer(), stop.clone());
        accepting.spawn(async move {
            let next = || async { room.admit(listener.accept().await, listener.address()).await };
            while let Some(connection) = stop.run_until_cancelled(next()).await {
                accepted.increment(1);
                dealer.deal(connection);
            }
            // These are no more than the queue of the operating system holds.
            for connection in listener.into_backlog() {
                accepted.increment(1);
                dealer.deal(connection);
            }
        });
    }
    while accepting.join_next().await.is_some() {}
    workers.finish().await;
}
