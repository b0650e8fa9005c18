//! `/json`: a decision over plain HTTP, for people and tests without a gRPC client.
//!
//! Body and answer are `RateLimitRequest` and `RateLimitResponse` in proto3 JSON. The call goes
//! through the same code as one over gRPC, metrics included.

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};

use super::rls::{Decided, Refusal, Rls};
use crate::pb;

/// Both messages in their official form, in which entries are text.
#[derive(Clone, Debug)]
struct JsonRls {
    rls: Rls,
    request: MessageDescriptor,
    response: MessageDescriptor,
    message_size_max: usize,
}

/// Why the compiled-in descriptors cannot serve; a test keeps this from happening.
#[derive(Debug, thiserror::Error)]
pub enum DescriptorError {
    #[error("the compiled-in descriptors cannot be read: {0}")]
    Unreadable(#[from] prost_reflect::DescriptorError),
    #[error("the compiled-in descriptors lack `{0}`")]
    Missing(&'static str),
}

/// The route; bodies may be as large as gRPC messages.
pub fn routes(rls: Rls, message_size_max: usize) -> Result<Router, DescriptorError> {
    let pool = DescriptorPool::decode(pb::DESCRIPTORS)?;
    let message = |name| pool.get_message_by_name(name).ok_or(DescriptorError::Missing(name));
    let state = JsonRls {
        rls,
        request: message("envoy.service.ratelimit.v3.RateLimitRequest")?,
        response: message("envoy.service.ratelimit.v3.RateLimitResponse")?,
        message_size_max,
    };
    Ok(Router::new()
        .route("/json", post(decide))
        .layer(DefaultBodyLimit::max(message_size_max))
        .with_state(state))
}

async fn decide(State(json): State<JsonRls>, body: Result<Bytes, BytesRejection>) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => {
            json.rls.metrics.invalid.bad_json.increment(1);
            return json.unread(&rejection);
        }
    };
    let call = match json.read(&body) {
        Ok(call) => call,
        Err(problem) => {
            json.rls.metrics.invalid.bad_json.increment(1);
            return error(StatusCode::BAD_REQUEST, &problem);
        }
    };
    match json.rls.should_rate_limit(&call).await {
        Ok(decided) => json.write(&decided),
        Err(refusal @ (Refusal::EmptyDomain | Refusal::NoDescriptors)) => {
            error(StatusCode::BAD_REQUEST, &refusal.to_string())
        }
        Err(refusal @ Refusal::Internal) => {
            error(StatusCode::INTERNAL_SERVER_ERROR, &refusal.to_string())
        }
    }
}

impl JsonRls {
    fn unread(&self, rejection: &BytesRejection) -> Response {
        let problem = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => format!(
                "the body is larger than the {} bytes that `message-size-max` allows",
                self.message_size_max
            ),
            _ => rejection.body_text(),
        };
        error(rejection.status(), &problem)
    }

    fn read(&self, body: &[u8]) -> Result<pb::rls::RateLimitRequest, String> {
        let problem = |error: serde_json::Error| {
            format!("the body is no RateLimitRequest in proto3 JSON: {error}; `/` shows a good one")
        };
        let mut reader = serde_json::Deserializer::from_slice(body);
        let message =
            DynamicMessage::deserialize(self.request.clone(), &mut reader).map_err(problem)?;
        reader.end().map_err(problem)?;
        pb::rls::RateLimitRequest::decode(message.encode_to_vec().as_slice())
            .map_err(|error| format!("the body cannot be turned into a call: {error}"))
    }

    /// What the answer holds is held once it is written: whoever reads it gives back, or lets the
    /// lease run out.
    fn write(
        &self,
        Decided { answer, status, held }: &Decided<pb::rls::RateLimitResponse>,
    ) -> Response {
        let code = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let bytes = answer.encode_to_vec();
        let text = DynamicMessage::decode(self.response.clone(), bytes.as_slice())
            .map_err(|error| error.to_string())
            .and_then(|message| serde_json::to_string(&message).map_err(|error| error.to_string()));
        match text {
            Ok(text) => {
                if let Some(held) = held {
                    held.keep();
                }
                (code, [(header::CONTENT_TYPE, "application/json")], text).into_response()
            }
            Err(cause) => {
                self.rls.metrics.internal_errors.increment(1);
                tracing::error!(cause, "a decision cannot be written as JSON");
                error(StatusCode::INTERNAL_SERVER_ERROR, &Refusal::Internal.to_string())
            }
        }
    }
}

fn error(code: StatusCode, problem: &str) -> Response {
    (code, axum::Json(serde_json::json!({ "error": problem }))).into_response()
}
