//! The floor: a tonic server that decodes each request with prost, and answers OK.
//!
//! Its messages are tollgate's own, with `bytes` for text, which cost less to read than strings.

use tokio::net::TcpListener;
use tollgate::pb::rls::rate_limit_service_server::{RateLimitService, RateLimitServiceServer};
use tollgate::pb::rls::{RateLimitRequest, RateLimitResponse};
use tonic::transport::server::TcpIncoming;

#[derive(Debug)]
struct NoOp;

#[tonic::async_trait]
impl RateLimitService for NoOp {
    async fn should_rate_limit(
        &self,
        call: tonic::Request<RateLimitRequest>,
    ) -> Result<tonic::Response<RateLimitResponse>, tonic::Status> {
        std::hint::black_box(call.into_inner());
        Ok(tonic::Response::new(super::fixed_answer()))
    }
}

pub(super) async fn serve(listener: TcpListener) -> anyhow::Result<()> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = tonic::transport::Server::builder().add_service(RateLimitServiceServer::new(NoOp));
    Ok(server.serve_with_incoming(incoming).await?)
}
