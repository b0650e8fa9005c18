//! What one would write with the libraries at hand: tonic, prost, and a keyed limiter of governor.
//!
//! It decides what the bench's policy says, with a text for each key. It tells no amounts and no
//! times, keeps no history and counts no metrics, all of which tollgate does.

use std::num::NonZeroU32;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio::net::TcpListener;
use tollgate::pb::descriptor::RateLimitDescriptor;
use tollgate::pb::rls::rate_limit_response::{Code, DescriptorStatus};
use tollgate::pb::rls::rate_limit_service_server::{RateLimitService, RateLimitServiceServer};
use tollgate::pb::rls::{RateLimitRequest, RateLimitResponse};
use tonic::transport::server::TcpIncoming;

#[derive(Debug)]
struct Rule {
    name: &'static str,
    condition: (&'static str, &'static str),
    per: &'static str,
}

const RULES: [Rule; 3] = [
    Rule { name: "per-tenant", condition: ("method", "GET"), per: "tenant" },
    Rule { name: "per-app", condition: ("endpoint", "/v1/orders"), per: "app" },
    Rule { name: "per-user", condition: ("region", "eu"), per: "user" },
];

#[derive(Debug)]
struct Ordinary {
    limiter: DefaultKeyedRateLimiter<String>,
}

impl Ordinary {
    fn status(&self, domain: &str, descriptor: &RateLimitDescriptor) -> DescriptorStatus {
        let value = |key: &str| {
            let entry = descriptor.entries.iter().find(|entry| entry.key == key)?;
            std::str::from_utf8(&entry.value).ok()
        };
        let mut is_over = false;
        for rule in &RULES {
            let (key, wanted) = rule.condition;
            if value(key) == Some(wanted)
                && let Some(counted) = value(rule.per)
            {
                let counter = format!("{domain}|{}|{counted}", rule.name);
                is_over |= self.limiter.check_key(&counter).is_err();
            }
        }
        let code = if is_over { Code::OverLimit } else { Code::Ok };
        DescriptorStatus { code: code.into(), ..Default::default() }
    }
}

#[tonic::async_trait]
impl RateLimitService for Ordinary {
    async fn should_rate_limit(
        &self,
        call: tonic::Request<RateLimitRequest>,
    ) -> Result<tonic::Response<RateLimitResponse>, tonic::Status> {
        let call = call.into_inner();
        let domain = std::str::from_utf8(&call.domain)
            .map_err(|_| tonic::Status::invalid_argument("`domain` is no text"))?;
        let statuses: Vec<DescriptorStatus> =
            call.descriptors.iter().map(|descriptor| self.status(domain, descriptor)).collect();
        let is_over = statuses.iter().any(|status| status.code() == Code::OverLimit);
        let overall_code = if is_over { Code::OverLimit } else { Code::Ok }.into();
        let response = RateLimitResponse { overall_code, statuses, ..Default::default() };
        Ok(tonic::Response::new(response))
    }
}

pub(super) async fn serve(listener: TcpListener) -> anyhow::Result<()> {
    let limiter = RateLimiter::keyed(Quota::per_second(NonZeroU32::MAX));
    let service = RateLimitServiceServer::new(Ordinary { limiter });
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = tonic::transport::Server::builder().add_service(service);
    Ok(server.serve_with_incoming(incoming).await?)
}
