//! `/api/v1/load`: what a service, or an operator, says of the load of a domain.
//!
//! A report names who and why and ends by itself, so nobody has to remember to take it back. Only
//! `application/json` is taken: a page in a browser cannot send that to another origin unasked.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use serde_json::{Map, Value, json};

use super::Admin;
use crate::decide::Reported;
use crate::reports::Report;
use crate::time::{Span, Timestamp};

/// A report is a few lines.
const BODY_MAX: usize = 16 * 1024;
/// Characters of `who` and `why`.
const TEXT_MAX: usize = 500;
/// Whoever means longer writes it into the policy.
const LASTS_MAX: Span = Span::from_seconds(24 * 3_600);

const FIELDS: [&str; 5] = ["domain", "percent", "who", "why", "until"];

pub(super) fn routes() -> MethodRouter<Admin> {
    get(list).post(report).layer(DefaultBodyLimit::max(BODY_MAX))
}

/// Sets the gauge of every domain that sheds load.
pub(super) fn gauge(admin: &Admin) {
    let now = admin.clock.now();
    for domain in &admin.active.current().set.domains {
        if domain.load.is_some() {
            let report = admin.reports.of(&domain.name, now);
            let percent = report.map_or(0, |report| report.load.percent);
            admin.metrics.load_reported(&domain.name, percent);
        }
    }
}

async fn list(State(admin): State<Admin>) -> Response {
    let now = admin.clock.now();
    let published = admin.active.current();
    let domains = published.set.domains.iter().filter(|domain| domain.load.is_some());
    let item = |domain: &str| match admin.reports.of(domain, now) {
        Some(report) => shown(&report),
        None => json!({
            "domain": domain, "percent": null, "who": null, "why": null, "until": null,
        }),
    };
    let items: Vec<Value> = domains.map(|domain| item(&domain.name)).collect();
    Json(json!({ "num_items": items.len(), "items": items })).into_response()
}

async fn report(
    State(admin): State<Admin>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match take(&admin, &headers, body) {
        Ok(report) => Json(shown(&report)).into_response(),
        Err(Refused { code, error, description }) => {
            (code, Json(json!({ "error": error, "description": description }))).into_response()
        }
    }
}

/// Why a report is not taken.
struct Refused {
    code: StatusCode,
    error: &'static str,
    description: String,
}

fn bad(description: impl Into<String>) -> Refused {
    let (code, description) = (StatusCode::BAD_REQUEST, description.into());
    Refused { code, error: "BadRequest", description }
}

fn take(
    admin: &Admin,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Report, Refused> {
    if !is_json(headers) {
        let code = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        let description = "send `content-type: application/json`".to_owned();
        return Err(Refused { code, error: "UnsupportedMediaType", description });
    }
    let body = body.map_err(|rejection| match rejection.status() {
        code @ StatusCode::PAYLOAD_TOO_LARGE => {
            let description = format!("the body is larger than {BODY_MAX} bytes");
            Refused { code, error: "PayloadTooLarge", description }
        }
        _ => bad(rejection.body_text()),
    })?;
    let now = admin.clock.now();
    let report = read(&body, now)?;
    let published = admin.active.current();
    let domain = published.set.domain(report.domain.as_bytes());
    let missing = match domain.map(|domain| domain.load.is_some()) {
        Some(true) => None,
        Some(false) => Some("the policy of this `domain` has no `load`"),
        None => Some("no policy has this `domain`"),
    };
    if let Some(missing) = missing {
        let (code, description) = (StatusCode::NOT_FOUND, missing.to_owned());
        return Err(Refused { code, error: "NotFound", description });
    }
    tracing::info!(
        domain = report.domain,
        percent = report.load.percent,
        until = rfc3339(report.load.until),
        who = report.who,
        why = report.why,
        "load reported"
    );
    admin.reports.take(report.clone(), now);
    Ok(report)
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

fn read(body: &[u8], now: Timestamp) -> Result<Report, Refused> {
    let fields: Map<String, Value> = serde_json::from_slice(body).map_err(|error| {
        bad(format!("the body is no JSON object with `{}`: {error}", FIELDS.join("`, `")))
    })?;
    if let Some(unknown) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        let known = FIELDS.join("`, `");
        return Err(bad(format!("`{unknown}` is no field of a report, which has `{known}`")));
    }
    let percent = fields.get("percent").and_then(Value::as_u64);
    let percent = percent.and_then(|percent| u8::try_from(percent).ok()).filter(|it| *it <= 100);
    let domain = text(&fields, "domain")?;
    let percent = percent.ok_or_else(|| bad("`percent` must be a whole number from 0 to 100"))?;
    let (who, why) = (text(&fields, "who")?, text(&fields, "why")?);
    let until = match fields.get("until") {
        None | Some(Value::Null) => now.plus(Reported::LASTS),
        Some(until) => read_until(until, now)?,
    };
    Ok(Report { domain, load: Reported { percent, until }, who, why })
}

fn text(fields: &Map<String, Value>, name: &str) -> Result<String, Refused> {
    let text = fields.get(name).and_then(Value::as_str).map(str::trim).unwrap_or_default();
    if text.is_empty() {
        return Err(bad(format!("`{name}` must be a text that is not empty")));
    }
    if text.chars().count() > TEXT_MAX || text.contains(char::is_control) {
        let problem = format!("`{name}` must be one line of {TEXT_MAX} characters at most");
        return Err(bad(problem));
    }
    Ok(text.to_owned())
}

fn read_until(until: &Value, now: Timestamp) -> Result<Timestamp, Refused> {
    let moment = until.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let nanos = moment.and_then(|moment| i64::try_from(moment.as_nanosecond()).ok());
    let until = nanos.map(Timestamp::from_nanos).ok_or_else(|| {
        bad("`until` must be a moment as in RFC 3339, such as `2026-12-31T18:00:00Z`")
    })?;
    if until <= now {
        return Err(bad(format!("`until` is over: it is {} now", rfc3339(now))));
    }
    if until.since(now) > LASTS_MAX {
        return Err(bad(format!("`until` must be within {LASTS_MAX}")));
    }
    Ok(until)
}

fn shown(report: &Report) -> Value {
    json!({
        "domain": report.domain,
        "percent": report.load.percent,
        "who": report.who,
        "why": report.why,
        "until": rfc3339(report.load.until),
    })
}

fn rfc3339(moment: Timestamp) -> String {
    let moment = jiff::Timestamp::from_nanosecond(moment.as_nanos().into());
    moment.unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}
