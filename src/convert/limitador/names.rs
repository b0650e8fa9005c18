//! Names of rules: that of the limit, or one that says when it applies and what it counts by.
//!
//! Counters are known by the names of their rules, so the same file always gives the same names.

use std::collections::HashMap;

use crate::convert::attributes::unique;
use crate::convert::draft::{DraftPattern, DraftRule};
use crate::policy::when::{Tables, When};

/// Characters of a name that was made up.
const LONGEST: usize = 60;
/// Values that say nothing without the name of their attribute.
const FLAGS: [&str; 4] = ["true", "false", "yes", "no"];

/// A name for a rule that no other has; `taken` knows the last number of each.
pub(super) fn of(rule: &DraftRule, own: Option<&str>, taken: &mut HashMap<String, u32>) -> String {
    let own = own.map(|name| name.replace(char::is_control, "-").trim().to_owned());
    let name = own.filter(|name| !name.is_empty()).unwrap_or_else(|| described(rule));
    let window = rule.limits.first().map(|limit| limit.window.as_str()).unwrap_or_default();
    match taken.contains_key(&name) {
        true => unique(&format!("{name}-{window}"), '-', taken),
        false => unique(&name, '-', taken),
    }
}

fn described(rule: &DraftRule) -> String {
    let mut words: Vec<String> =
        rule.matches.iter().map(|(attribute, pattern)| word(attribute, pattern)).collect();
    if words.is_empty() {
        words.extend(rule.when.as_deref().map(asked));
    }
    if !rule.per.is_empty() {
        let per: Vec<String> = rule.per.iter().map(|attribute| slug(attribute)).collect();
        words.push(format!("per-{}", per.join("-and-")));
    }
    words.retain(|word| !word.is_empty());
    match words.join("-") {
        name if name.is_empty() => "all".to_owned(),
        name => name.chars().take(LONGEST).collect::<String>().trim_end_matches('-').to_owned(),
    }
}

/// What a condition reads.
fn asked(when: &str) -> String {
    let read = When::compile(when, &Tables::new());
    let names = read.iter().flat_map(|when| when.names()).map(|name| slug(&name.to_string()));
    format!("when-{}", names.collect::<Vec<_>>().join("-and-"))
}

fn word(attribute: &str, pattern: &DraftPattern) -> String {
    match pattern {
        DraftPattern::Equals(text) | DraftPattern::Prefix(text) => {
            let text = slug(text);
            let says_much = text.contains(char::is_alphabetic);
            match says_much && !FLAGS.contains(&text.as_str()) {
                true => text,
                false => format!("{}-{text}", slug(attribute)).trim_end_matches('-').to_owned(),
            }
        }
        DraftPattern::AnyOf(patterns) => either(attribute, patterns),
        DraftPattern::Not(patterns) => format!("not-{}", either(attribute, patterns)),
        DraftPattern::Present => format!("with-{}", slug(attribute)),
        DraftPattern::Absent => format!("without-{}", slug(attribute)),
    }
}

fn either(attribute: &str, patterns: &[DraftPattern]) -> String {
    let words: Vec<String> = patterns.iter().map(|pattern| word(attribute, pattern)).collect();
    words.join("-or-")
}

/// Lower-case letters and digits, with `-` for all else.
fn slug(text: &str) -> String {
    let lower = text.to_lowercase();
    let parts = lower.split(|c: char| !c.is_alphanumeric());
    parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}
