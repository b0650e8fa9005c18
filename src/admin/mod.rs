//! The operator's side, over HTTP:
//!
//! | path | answers |
//! |---|---|
//! | `/` | what is here |
//! | `/healthz` | 200 while the process runs |
//! | `/readyz` | 200 when policies are in force and nothing drains, else 503; the parts as JSON |
//! | `/healthcheck` | the same as envoyproxy/ratelimit has it: 200 `OK` or 500 |
//! | `/metrics` | Prometheus metrics |
//! | `/api/v1/load` | the load that is reported of each domain; POST reports |
//! | `/api/v1/explain` | why a request is decided as it is; counts nothing |
//!
//! `/json` comes from the gRPC side, since it speaks that side's messages.

mod explain;
mod load;
mod serve;

use std::sync::Arc;
use std::time::Duration;

use axum::error_handling::HandleErrorLayer;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{BoxError, Router};
use tower::ServiceBuilder;

use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::reports::Reports;
use crate::source::Active;
use crate::store::Store;
pub use serve::serve;

/// From the last header of a request to its answer, the reading of its body included. Ours take
/// milliseconds; a body that trickles in would hold its connection for ever.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// Where requests are explained.
pub const EXPLAIN: &str = "/api/v1/explain";

/// What the endpoints read.
#[derive(Clone, Debug)]
pub struct Admin {
    pub readiness: Readiness,
    pub active: Arc<Active>,
    pub metrics: Arc<Metrics>,
    pub store: Arc<Store>,
    pub clock: Clock,
    pub reports: Arc<Reports>,
}

/// All endpoints; `others` are added to ours.
pub fn router(admin: Admin, others: Router) -> Router {
    let deadline =
        ServiceBuilder::new().layer(HandleErrorLayer::new(too_slow)).timeout(ANSWER_DEADLINE);
    Router::new()
        .route("/", get(index))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/healthcheck", any(healthcheck))
        .route("/metrics", get(metrics))
        .route("/api/v1/load", load::routes())
        .route(EXPLAIN, post(explain::post).layer(DefaultBodyLimit::max(explain::BODY_MAX)))
        .with_state(admin)
        .merge(others)
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(deadline)
}

async fn index() -> Html<&'static str> {
    Html(include_str!("index.html"))
}

async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(State(admin): State<Admin>) -> Response {
    let parts = admin.readiness.parts();
    let code = if parts.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut named: serde_json::Map<String, serde_json::Value> =
        parts.named().into_iter().map(|(name, state)| (name.to_owned(), state.into())).collect();
    // A disk in trouble is no reason to send requests elsewhere: decisions go on.
    let store = match admin.store.degraded(admin.clock.steady()) {
        Some(why) => format!("degraded: {why}"),
        None => "ok".to_owned(),
    };
    named.insert("store".to_owned(), store.into());
    let body = serde_json::json!({ "ready": parts.is_ready(), "parts": named });
    (code, axum::Json(body)).into_response()
}

async fn healthcheck(State(admin): State<Admin>) -> Response {
    match admin.readiness.parts().is_ready() {
        true => "OK".into_response(),
        false => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Written apart from the threads that answer calls: with many rules it takes longer than a call
/// may wait.
async fn metrics(State(admin): State<Admin>) -> Response {
    let text = tokio::task::spawn_blocking(move || {
        admin.metrics.state.tell(&admin.store, admin.clock.now(), admin.clock.steady());
        load::gauge(&admin);
        admin.metrics.render()
    });
    let headers = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    match text.await {
        Ok(text) => (headers, text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn too_slow(_: BoxError) -> Response {
    let problem = format!("the request was not there within {} s", ANSWER_DEADLINE.as_secs());
    (StatusCode::REQUEST_TIMEOUT, axum::Json(serde_json::json!({ "error": problem })))
        .into_response()
}

async fn not_found(uri: Uri) -> Response {
    let problem = format!("nothing is at `{}`; `/` lists what is here", uri.path());
    (StatusCode::NOT_FOUND, axum::Json(serde_json::json!({ "error": problem }))).into_response()
}

async fn wrong_method(uri: Uri) -> Response {
    let expected = match uri.path() {
        "/json" | EXPLAIN => "POST",
        "/api/v1/load" => "GET or POST",
        _ => "GET",
    };
    let problem = format!("`{}` takes {expected}", uri.path());
    let body = axum::Json(serde_json::json!({ "error": problem }));
    (StatusCode::METHOD_NOT_ALLOWED, body).into_response()
}
