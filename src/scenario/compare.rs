//! What an answer is, held against what it is expected to be.
//!
//! Every difference is told by itself, in the words in which it was expected.

use serde_json::Value as Json;

use super::engine::{Code, Seen, SeenLimit};
use super::model::{Check, Expected, ExpectedHeader};
use super::run::Difference;
use super::spans;

/// Differences of one body that are told.
const MOST_IN_BODY: usize = 20;

const NOTHING: &str = "no limit";

pub(super) fn code_word(code: Code) -> &'static str {
    match code {
        Code::Ok => "ok",
        Code::OverLimit => "over_limit",
    }
}

/// Holds the whole answer against one expectation.
pub(super) fn answer(check: &Check, seen: &Seen, differences: &mut Vec<Difference>) {
    let mut tell = Teller { check, prefix: String::new(), differences };
    let text = || String::from_utf8_lossy(&seen.body);
    match &check.value {
        Expected::Reason(reason) => {
            let found = seen.limit.as_ref().and_then(|limit| limit.reason);
            tell.unless(found == Some(reason), "reason", reason, found.unwrap_or("none"));
        }
        Expected::Status(status) => {
            tell.unless(
                seen.status == *status,
                "status",
                &status.to_string(),
                &seen.status.to_string(),
            );
        }
        Expected::Header(name, expected) => {
            let value = seen.headers.iter().find(|(held, _)| held == name);
            header(&mut tell, name, expected, value.map(|(_, value)| value.as_str()));
        }
        Expected::NoBody => {
            tell.unless(seen.body.is_empty(), "body", "no body", &text());
        }
        Expected::BodyText(expected) => {
            tell.unless(text() == *expected, "body", expected, &text());
        }
        Expected::BodyContains(part) => {
            tell.unless(
                text().contains(part.as_str()),
                "body",
                &format!("a text with {part}"),
                &text(),
            );
        }
        Expected::Body(expected) | Expected::BodyPart(expected) => {
            let is_part = matches!(check.value, Expected::BodyPart(_));
            match serde_json::from_slice::<Json>(&seen.body) {
                Ok(found) => json(&mut tell, "body", (expected, &found), is_part),
                Err(_) => tell.unless(false, "body", &expected.to_string(), &body_words(&text())),
            }
        }
        Expected::Code(_)
        | Expected::Rule(_)
        | Expected::Amount(_)
        | Expected::Limit(..)
        | Expected::Unlimited
        | Expected::Remaining(_)
        | Expected::Reset(_) => limit(&mut tell, seen.code, seen.limit.as_ref()),
    }
}

/// Holds what one descriptor, counted from 1, is told against an expectation.
pub(super) fn status(
    check: &Check,
    (number, code, seen): (usize, Code, Option<&SeenLimit>),
    differences: &mut Vec<Difference>,
) {
    let prefix = format!("descriptor {number} ");
    limit(&mut Teller { check, prefix, differences }, code, seen);
}

struct Teller<'t> {
    check: &'t Check,
    /// Before the name of a field.
    prefix: String,
    differences: &'t mut Vec<Difference>,
}

impl Teller<'_> {
    fn unless(&mut self, is_same: bool, field: &str, expected: &str, found: &str) {
        if !is_same {
            self.differences.push(Difference {
                field: format!("{}{field}", self.prefix),
                expected: expected.to_owned(),
                found: found.to_owned(),
                place: self.check.place.clone(),
            });
        }
    }
}

fn limit(tell: &mut Teller<'_>, code: Code, seen: Option<&SeenLimit>) {
    let check = tell.check;
    let of_seen = |words: &dyn Fn(&SeenLimit) -> String| seen.map_or(NOTHING.to_owned(), words);
    match &check.value {
        Expected::Code(expected) => {
            tell.unless(code == *expected, "code", code_word(*expected), code_word(code));
        }
        Expected::Rule(rule) => {
            let is_same = seen.is_some_and(|seen| seen.rule == *rule);
            tell.unless(is_same, "rule", rule, &of_seen(&|seen| seen.rule.clone()));
        }
        Expected::Amount(amount) => {
            let is_same = seen.is_some_and(|seen| seen.amount == *amount);
            let found = of_seen(&|seen| seen.amount.to_string());
            tell.unless(is_same, "limit", &amount.to_string(), &found);
        }
        Expected::Limit(amount, seconds, words) => {
            let is_same =
                |seen: &SeenLimit| seen.amount == *amount && seen.window_seconds == Some(*seconds);
            let found = of_seen(&|seen| seen.words.clone());
            tell.unless(seen.is_some_and(is_same), "limit", words, &found);
        }
        Expected::Unlimited => {
            tell.unless(seen.is_none(), "limit", "unlimited", &of_seen(&|seen| seen.words.clone()));
        }
        Expected::Remaining(remaining) => {
            let is_same = seen.is_some_and(|seen| seen.remaining == *remaining);
            let found = of_seen(&|seen| seen.remaining.to_string());
            tell.unless(is_same, "remaining", &remaining.to_string(), &found);
        }
        Expected::Reset(reset) => {
            let words = |reset: Option<_>| reset.map_or("none".to_owned(), spans::in_words);
            let is_same = seen.map_or(reset.is_none(), |seen| seen.reset == *reset);
            tell.unless(is_same, "reset", &words(*reset), &of_seen(&|seen| words(seen.reset)));
        }
        Expected::Reason(_)
        | Expected::Status(_)
        | Expected::Header(..)
        | Expected::NoBody
        | Expected::Body(_)
        | Expected::BodyText(_)
        | Expected::BodyPart(_)
        | Expected::BodyContains(_) => {}
    }
}

fn header(tell: &mut Teller<'_>, name: &str, expected: &ExpectedHeader, found: Option<&str>) {
    let (is_same, expected) = match expected {
        ExpectedHeader::Value(value) => (found == Some(value), value.as_str()),
        ExpectedHeader::Present => (found.is_some(), "present"),
        ExpectedHeader::Absent => (found.is_none(), "absent"),
    };
    tell.unless(is_same, &format!("header {name}"), expected, found.unwrap_or("absent"));
}

/// Goes down to where two documents differ; a part may leave out keys of mappings.
fn json(tell: &mut Teller<'_>, path: &str, (expected, found): (&Json, &Json), is_part: bool) {
    if tell.differences.len() >= MOST_IN_BODY {
        return;
    }
    let (Json::Object(expected_keys), Json::Object(found_keys)) = (expected, found) else {
        tell.unless(expected == found, path, &expected.to_string(), &found.to_string());
        return;
    };
    for (key, expected) in expected_keys {
        let path = format!("{path}.{key}");
        match found_keys.get(key) {
            Some(found) => json(tell, &path, (expected, found), is_part),
            None => tell.unless(false, &path, &expected.to_string(), "absent"),
        }
    }
    if is_part {
        return;
    }
    for (key, found) in found_keys.iter().filter(|(key, _)| !expected_keys.contains_key(*key)) {
        tell.unless(false, &format!("{path}.{key}"), "absent", &found.to_string());
    }
}

fn body_words(text: &str) -> String {
    if text.is_empty() { "no body".to_owned() } else { text.to_owned() }
}
