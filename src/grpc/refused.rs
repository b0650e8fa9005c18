//! Counts the calls that the gRPC library refuses before `rls` sees them.
//!
//! They would be in no metric, and Envoy lets their requests pass. A decision has its status in the
//! trailers, so on the usual way this is one look for a header that is not there.

use std::task::{Context, Poll};

use http::HeaderMap;
use tonic::server::NamedService;
use tonic::{Code, Status};
use tower::Service;

use super::rls::Refusal;
use crate::metrics::InvalidRequests;
use crate::pb::rls::rate_limit_service_server::SERVICE_NAME;

/// Counts an answer that holds the library's refusal; ours are counted where they are made.
pub(super) fn count(invalid: &InvalidRequests, headers: &HeaderMap) {
    let Some(status) = Status::from_header_map(headers) else { return };
    match status.code() {
        Code::OutOfRange => invalid.too_large.increment(1),
        Code::Internal if status.message() != Refusal::Internal.to_string() => {
            invalid.bad_message.increment(1);
        }
        // A compression that we do not speak; the call was not read.
        Code::Unimplemented => invalid.bad_message.increment(1),
        _ => {}
    }
}

/// The rate limit service in layers, under its name: a layer takes it off.
#[derive(Clone, Debug)]
pub(super) struct Named<S>(pub(super) S);

impl<S> NamedService for Named<S> {
    const NAME: &'static str = SERVICE_NAME;
}

impl<S: Service<R>, R> Service<R> for Named<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        self.0.call(request)
    }
}
