//! `POST /api/v1/explain`: why a request is decided as it is, and what its limits have left.
//!
//! Asks the policy set in force and the real counters, and changes neither: nothing is counted,
//! in metrics neither.

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::Admin;
use crate::explain;
use crate::limit::Hits;
use crate::request::{Descriptor, Entry, Request};

/// Bytes of a body.
pub(super) const BODY_MAX: usize = 64 * 1024;
/// Each is held against every rule of its domain.
const DESCRIPTORS_MAX: usize = 16;

/// What is asked, owned.
#[derive(Debug, PartialEq, Eq)]
struct Question {
    domain: String,
    descriptors: Vec<(Vec<(String, String)>, u64)>,
}

pub(super) async fn post(
    State(admin): State<Admin>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => {
            let problem = match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => {
                    format!("the body is larger than {BODY_MAX} bytes")
                }
                _ => rejection.body_text(),
            };
            return error(rejection.status(), &problem);
        }
    };
    let question = match read(&body) {
        Ok(question) => question,
        Err(problem) => return error(StatusCode::BAD_REQUEST, &problem),
    };
    // With many rules it takes longer than a call may wait.
    let answered = tokio::task::spawn_blocking(move || answer(&admin, &question));
    answered.await.unwrap_or_else(|_| {
        error(StatusCode::INTERNAL_SERVER_ERROR, "an internal error; the log of tollgate says more")
    })
}

fn answer(admin: &Admin, question: &Question) -> Response {
    let published = admin.active.current();
    let now = admin.clock.now();
    let request = question.request();
    let reported = |domain: &str| admin.reports.load_of(domain);
    let explanation = explain::explain(&published.set, &request, now, reported, |charges| {
        admin.store.try_out(charges, now)
    });
    match explanation {
        Some(mut explanation) => {
            explanation.policy_set = Some(published.set.version);
            axum::Json(explanation).into_response()
        }
        None => {
            let domains = published.set.domains.iter();
            let known: Vec<&str> = domains.map(|domain| domain.name.as_ref()).collect();
            let problem = explain::unknown_domain(&question.domain, &known);
            let body = json!({ "error": problem, "known_domains": known });
            (StatusCode::NOT_FOUND, axum::Json(body)).into_response()
        }
    }
}

impl Question {
    fn request(&self) -> Request<'_> {
        let descriptors = self.descriptors.iter().map(|(entries, hits)| Descriptor {
            entries: entries
                .iter()
                .map(|(key, value)| Entry { key: key.as_bytes(), value: value.as_bytes() })
                .collect(),
            hits: Hits::Take(*hits),
            limit: None,
        });
        Request { domain: self.domain.as_bytes(), descriptors: descriptors.collect() }
    }
}

/// A question, or what is wrong with the field that is named.
fn read(body: &[u8]) -> Result<Question, String> {
    let body: Value = serde_json::from_slice(body)
        .map_err(|error| format!("the body is no JSON: {error}; `/` shows a good one"))?;
    let body = object(&body, "the body", &["domain", "descriptors"])?;
    let domain = text(body, "domain", "")?;
    let descriptors = list(body, "descriptors", "")?;
    if descriptors.is_empty() || descriptors.len() > DESCRIPTORS_MAX {
        return Err(format!("`descriptors` must have 1 to {DESCRIPTORS_MAX} descriptors"));
    }
    let descriptor = |(descriptor, position): (&Value, usize)| {
        let path = format!("descriptors[{position}]");
        let descriptor = object(descriptor, &format!("`{path}`"), &["entries", "hits"])?;
        let entries = list(descriptor, "entries", &path)?.iter().zip(0_usize..);
        let entry = |(entry, position): (&Value, usize)| {
            let path = format!("{path}.entries[{position}]");
            let entry = object(entry, &format!("`{path}`"), &["key", "value"])?;
            Ok((text(entry, "key", &path)?, text(entry, "value", &path)?))
        };
        let hits = match descriptor.get("hits") {
            None => 1,
            Some(hits) => hits
                .as_u64()
                .ok_or_else(|| format!("`{path}.hits` must be a whole number from 0 on"))?,
        };
        Ok((entries.map(entry).collect::<Result<_, String>>()?, hits))
    };
    let descriptors = descriptors.iter().zip(0_usize..).map(descriptor);
    Ok(Question { domain, descriptors: descriptors.collect::<Result<_, String>>()? })
}

fn object<'v>(
    value: &'v Value,
    named: &str,
    known: &[&str],
) -> Result<&'v Map<String, Value>, String> {
    let object = value.as_object().ok_or_else(|| format!("{named} must be an object"))?;
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => {
            Err(format!("{named} has no field `{key}`; it takes `{}`", known.join("`, `")))
        }
        None => Ok(object),
    }
}

fn field(name: &str, path: &str) -> String {
    let dot = if path.is_empty() { "" } else { "." };
    format!("`{path}{dot}{name}`")
}

fn text(object: &Map<String, Value>, name: &str, path: &str) -> Result<String, String> {
    match object.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(format!("{} must be text", field(name, path))),
        None => Err(format!("{} is missing", field(name, path))),
    }
}

fn list<'v>(object: &'v Map<String, Value>, name: &str, path: &str) -> Result<&'v [Value], String> {
    match object.get(name) {
        Some(Value::Array(list)) => Ok(list),
        Some(_) => Err(format!("{} must be a list", field(name, path))),
        None => Err(format!("{} is missing", field(name, path))),
    }
}

fn error(code: StatusCode, problem: &str) -> Response {
    (code, axum::Json(json!({ "error": problem }))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_read_with_one_hit_unless_it_says_otherwise() {
        let body = br#"{"domain": "d", "descriptors": [
            {"entries": [{"key": "a", "value": "1"}, {"key": "b", "value": ""}]},
            {"entries": [], "hits": 0}]}"#;
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let descriptors = vec![(vec![pair("a", "1"), pair("b", "")], 1), (Vec::new(), 0)];
        assert_eq!(read(body), Ok(Question { domain: "d".to_owned(), descriptors }));
    }

    #[test]
    fn what_is_wrong_is_named_by_its_path() {
        let many = vec![r#"{"entries": []}"#; DESCRIPTORS_MAX + 1].join(",");
        let many = format!(r#"{{"domain": "d", "descriptors": [{many}]}}"#);
        for (body, part) in [
            ("", "no JSON"),
            ("[]", "the body must be an object"),
            (r#"{"descriptors": []}"#, "`domain` is missing"),
            (r#"{"domain": 7}"#, "`domain` must be text"),
            (r#"{"domian": "d"}"#, "no field `domian`"),
            (r#"{"domain": "d"}"#, "`descriptors` is missing"),
            (r#"{"domain": "d", "descriptors": {}}"#, "`descriptors` must be a list"),
            (r#"{"domain": "d", "descriptors": []}"#, "1 to 16"),
            (&many, "1 to 16"),
            (r#"{"domain": "d", "descriptors": [[]]}"#, "`descriptors[0]` must be an object"),
            (r#"{"domain": "d", "descriptors": [{}]}"#, "`descriptors[0].entries` is missing"),
            (
                r#"{"domain": "d", "descriptors": [{"entries": [], "hits": -1}]}"#,
                "`descriptors[0].hits` must be a whole number",
            ),
            (
                r#"{"domain": "d", "descriptors": [{"entries": [{"key": "a"}]}]}"#,
                "`descriptors[0].entries[0].value` is missing",
            ),
            (
                r#"{"domain": "d", "descriptors": [{"entries": [{"key": "a", "value": 1}]}]}"#,
                "`descriptors[0].entries[0].value` must be text",
            ),
        ] {
            let problem = read(body.as_bytes()).unwrap_err();
            assert!(problem.contains(part), "{body}: {problem}");
        }
    }
}
