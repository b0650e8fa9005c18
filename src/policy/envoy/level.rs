//! Checks between the descriptors of one level.
//!
//! An exact value comes before wildcards, those in the order written before the key alone; what
//! an earlier wildcard takes, a later one never sees.

use std::collections::HashMap;

use crate::policy::findings::{Findings, shown};
use crate::policy::model::{Node as Descriptor, NodeValue};

/// More wildcards of one key than this are not held against each other.
const MOST_WILDCARDS: usize = 200;

pub(super) fn check(findings: &mut Findings, descriptors: &[Descriptor]) {
    let mut firsts: HashMap<(&str, Option<String>), &Descriptor> = HashMap::new();
    let mut wildcards: HashMap<&str, Vec<(String, &Descriptor)>> = HashMap::new();
    for descriptor in descriptors {
        let value = value_text(&descriptor.value);
        let slot = (descriptor.key.as_str(), value.clone());
        if let Some(first) = firsts.get(&slot) {
            let message = format!("{} stands twice on this level", label(descriptor));
            let hint = "keep one of the two, and put the `descriptors` of both into it";
            findings.error("duplicate-descriptor", &descriptor.place.bytes, message, hint);
            findings.relate(&first.place.bytes, "first written here");
            continue;
        }
        firsts.insert(slot, descriptor);
        if let (NodeValue::Wildcard(_), Some(pattern)) = (&descriptor.value, value) {
            let earlier = wildcards.entry(&descriptor.key).or_default();
            if let Some((_, taker)) = earlier.iter().find(|(wider, _)| covers(wider, &pattern)) {
                unreachable(findings, descriptor, taker, NARROWER_FIRST);
            }
            if earlier.len() < MOST_WILDCARDS {
                earlier.push((pattern, descriptor));
            }
        }
    }
    for descriptor in descriptors.iter().filter(|node| node.value == NodeValue::Any) {
        let every_value = |(pattern, _): &&(String, _)| pattern.bytes().all(|byte| byte == b'*');
        let of_key = wildcards.get(descriptor.key.as_str());
        if let Some((_, taker)) = of_key.and_then(|of_key| of_key.iter().find(every_value)) {
            let hint = "a `*` takes every value, the empty one too; remove one of the two";
            unreachable(findings, descriptor, taker, hint);
        }
    }
}

const NARROWER_FIRST: &str =
    "what it matches is taken by the other; put the narrower wildcard first";

fn unreachable(findings: &mut Findings, descriptor: &Descriptor, taker: &Descriptor, hint: &str) {
    let message = format!("{} is never reached", label(descriptor));
    findings.warning("unreachable", &descriptor.place.bytes, message, hint);
    findings.relate(&taker.place.bytes, "taken by this one");
}

/// What a message calls a descriptor.
pub(crate) fn label(descriptor: &Descriptor) -> String {
    match value_text(&descriptor.value) {
        None => format!("the key {}", shown(&descriptor.key)),
        Some(value) => format!("the key {} with value {}", shown(&descriptor.key), shown(&value)),
    }
}

pub(crate) fn value_text(value: &NodeValue) -> Option<String> {
    match value {
        NodeValue::Any => None,
        NodeValue::Exact(text) => Some(text.clone()),
        NodeValue::Wildcard(parts) => Some(parts.join("*")),
    }
}

/// Whether `pattern` matches all that `other` matches. A star of `other` is compared as if it
/// were a letter: only a star of `pattern` can take it.
fn covers(pattern: &str, other: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == other;
    };
    let Some(mut left) = other.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(found) = left.find(part) else {
            return false;
        };
        left = &left[found + part.len()..];
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn wider_wildcards_cover_narrower_ones() {
        for (pattern, other, expected) in [
            ("*", "b*", true),
            ("*", "*", true),
            ("b*", "*", false),
            ("*z", "b*yz", true),
            ("*z", "b*", false),
            ("*m*z", "xm*z", true),
            ("*m*z", "x*z", false),
            ("a*a", "a*", false),
            ("a*a", "a*ba", true),
        ] {
            assert_eq!(covers(pattern, other), expected, "{pattern} over {other}");
        }
    }
}
