//! The operator's side, over HTTP:
//!
//! | path | answers |
//! |---|---|
//! | `/` | what is here |
//! | `/healthz` | 200 while the process runs |
//! | `/readyz` | 200 when policies are in force and nothing drains, else 503; the parts as JSON |
//! | `/healthcheck` | the same as envoyproxy/ratelimit has it: 200 `OK` or 500 |
//! | `/metrics` | Prometheus metrics |
//!
//! `/json` comes from the gRPC side, since it speaks that side's messages.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get};

use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::socket::{Address, Connection, Listener};

/// What the endpoints read.
#[derive(Clone, Debug)]
pub struct Admin {
    pub readiness: Readiness,
    pub metrics: Arc<Metrics>,
}

/// All endpoints; `others` are added to ours.
pub fn router(admin: Admin, others: Router) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/healthcheck", any(healthcheck))
        .route("/metrics", get(metrics))
        .with_state(admin)
        .merge(others)
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
}

/// Serves until told to stop, and then until the answers on their way are out.
pub async fn serve(
    router: Router,
    listener: Listener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(AxumListener(listener), router).with_graceful_shutdown(stop).await
}

/// A listener of ours in the form that axum takes.
struct AxumListener(Listener);

impl axum::serve::Listener for AxumListener {
    type Io = Connection;
    type Addr = Address;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        (self.0.accept().await, self.0.address().clone())
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        Ok(self.0.address().clone())
    }
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
    let named: serde_json::Map<String, serde_json::Value> =
        parts.named().into_iter().map(|(name, state)| (name.to_owned(), state.into())).collect();
    let body = serde_json::json!({ "ready": parts.is_ready(), "parts": named });
    (code, axum::Json(body)).into_response()
}

async fn healthcheck(State(admin): State<Admin>) -> Response {
    match admin.readiness.parts().is_ready() {
        true => "OK".into_response(),
        false => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (headers, admin.metrics.render()).into_response()
}

async fn not_found(uri: Uri) -> Response {
    let problem = format!("nothing is at `{}`; `/` lists what is here", uri.path());
    (StatusCode::NOT_FOUND, axum::Json(serde_json::json!({ "error": problem }))).into_response()
}

async fn wrong_method(uri: Uri) -> Response {
    let expected = if uri.path() == "/json" { "POST" } else { "GET" };
    let problem = format!("`{}` takes {expected}", uri.path());
    let body = axum::Json(serde_json::json!({ "error": problem }));
    (StatusCode::METHOD_NOT_ALLOWED, body).into_response()
}
