//! The standard gRPC health service, fed from readiness.
//!
//! A watch ends when the process drains: an open stream would hold up its end. Before that, while
//! the process leaves, it goes on: a client whose watch ends asks again at once.

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::readiness::{Parts, Readiness, Stage};

/// What may be asked for; the short name is what envoyproxy/ratelimit answers to.
const SERVICES: [&str; 3] = ["", "envoy.service.ratelimit.v3.RateLimitService", "ratelimit"];

#[derive(Clone, Debug)]
pub struct HealthFromReadiness(pub Readiness);

fn status(parts: Parts) -> HealthCheckResponse {
    let status = match parts.is_ready() {
        true => ServingStatus::Serving,
        false => ServingStatus::NotServing,
    };
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Health for HealthFromReadiness {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !SERVICES.contains(&request.get_ref().service.as_str()) {
            return Err(Status::not_found("no such service here; ask for the empty name"));
        }
        Ok(Response::new(status(self.0.parts())))
    }

    type WatchStream = ReceiverStream<Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let is_known = SERVICES.contains(&request.get_ref().service.as_str());
        let mut parts = self.0.subscribe();
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                let seen = *parts.borrow_and_update();
                let unknown = HealthCheckResponse { status: ServingStatus::ServiceUnknown.into() };
                let response = if is_known { status(seen) } else { unknown };
                if sender.send(Ok(response)).await.is_err() || seen.stage == Stage::Draining {
                    return;
                }
                tokio::select! {
                    changed = parts.changed() => if changed.is_err() { return },
                    () = sender.closed() => return,
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}
