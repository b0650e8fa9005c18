//! What the conditions of a rule ask of an attribute, and whether that can be had.
//!
//! A pattern is judged by whether it can hold for a present attribute and for an absent one;
//! where that is not certain it is taken to hold, so nothing that could apply is reported.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write;

use crate::policy::diagnostic::Diagnostic;
use crate::policy::findings::shown;
use crate::policy::model::{Condition, Pattern, Rule};
use crate::policy::suggest;
use crate::policy::template::{Segment, Template};

use super::{error, warning};

pub(super) fn check(found: &mut Vec<Diagnostic>, rule: &Rule, declared: &HashSet<&str>) {
    for condition in &rule.conditions {
        let (name, place) = (&condition.attribute.value, &condition.attribute.place);
        check_dotted(found, condition, declared);
        check_holds(found, condition);
        let can = can_hold(&condition.pattern);
        if !can.present
            && can.absent
            && let Some(per) = rule.per.iter().find(|per| per.value == *name)
        {
            let message = format!("this rule never applies: {} is to be absent", shown(name));
            let hint = "a rule needs every attribute of its `per`; remove one of the two";
            let related = (per.place.clone(), "and counted by here");
            found.push(error("never-applies", place, message, hint).with(related));
        }
    }
    check_captures(found, rule, declared);
}

/// A name with a dot that is no field of a table.
pub(super) fn check_dotted(
    found: &mut Vec<Diagnostic>,
    condition: &Condition,
    declared: &HashSet<&str>,
) {
    let name = &condition.attribute.value;
    if name.contains('.') && !declared.contains(name.as_str()) {
        let message = format!("{} is matched by an entry of this whole name", shown(name));
        let hint = "a field needs its table under `tables`; if Envoy does send such an entry, \
                    list it under `attributes`";
        found.push(warning("dotted-attribute", &condition.attribute.place, message, hint));
    }
}

/// A condition that no request can meet.
pub(super) fn check_holds(found: &mut Vec<Diagnostic>, condition: &Condition) {
    let can = can_hold(&condition.pattern);
    if !can.present && !can.absent {
        let name = shown(&condition.attribute.value);
        let message = format!("this condition on {name} never holds");
        let hint = "no request can match it; change the pattern or remove the rule";
        found.push(error("never-applies", &condition.attribute.place, message, hint));
    }
}

/// `per` attributes that some templates of the rule capture and others do not, and those that
/// are probably misspelt captures.
fn check_captures(found: &mut Vec<Diagnostic>, rule: &Rule, declared: &HashSet<&str>) {
    let mut templates = Vec::new();
    for condition in &rule.conditions {
        collect_templates(&condition.pattern, &mut templates);
    }
    for per in &rule.per {
        let captures = |template: &&Template| template.captures().any(|name| name == per.value);
        let capturing = templates.iter().copied().filter(captures).count();
        if declared.contains(per.value.as_str()) || capturing == templates.len() {
            continue;
        }
        if capturing > 0 {
            let message =
                format!("{} is captured by only some of the templates", shown(&per.value));
            let hint = "capture it in each, or make two rules: where it is absent, the rule does \
                        not apply";
            found.push(warning("capture-missing", &per.place, message, hint));
            continue;
        }
        let names: BTreeSet<_> =
            templates.iter().flat_map(|template| template.captures()).collect();
        let matched = rule.conditions.iter().any(|known| known.attribute.value == per.value);
        if let Some(near) = suggest::nearest(&per.value, names).filter(|_| !matched) {
            let message = format!("no template captures {}", shown(&per.value));
            let hint = format!("did you mean `{near}`, which is captured?");
            found.push(warning("capture-missing", &per.place, message, hint));
        }
    }
}

/// All attributes that the match and the `per` of a rule name, some more than once.
pub(super) fn attributes(rule: &Rule) -> impl Iterator<Item = &str> {
    let per = rule.per.iter().map(|per| per.value.as_str());
    attributes_of(&rule.conditions).chain(per)
}

/// All attributes that conditions match or capture, some more than once.
pub(super) fn attributes_of(conditions: &[Condition]) -> impl Iterator<Item = &str> {
    let mut templates = Vec::new();
    for condition in conditions {
        collect_templates(&condition.pattern, &mut templates);
    }
    let matched = conditions.iter().map(|condition| condition.attribute.value.as_str());
    matched.chain(templates.into_iter().flat_map(Template::captures))
}

/// The templates that may be what lets a rule match; those under `not` capture nothing.
fn collect_templates<'p>(pattern: &'p Pattern, templates: &mut Vec<&'p Template>) {
    match pattern {
        Pattern::Endpoint(template) => templates.push(template),
        Pattern::AnyOf(patterns) => {
            for pattern in patterns {
                collect_templates(pattern, templates);
            }
        }
        Pattern::Equals(_)
        | Pattern::Prefix(_)
        | Pattern::Not(_)
        | Pattern::Present
        | Pattern::Absent
        | Pattern::Network(_) => {}
    }
}

#[derive(Clone, Copy)]
struct Can {
    present: bool,
    absent: bool,
}

fn can_hold(pattern: &Pattern) -> Can {
    match pattern {
        Pattern::Equals(_)
        | Pattern::Prefix(_)
        | Pattern::Present
        | Pattern::Endpoint(_)
        | Pattern::Network(_) => Can { present: true, absent: false },
        Pattern::Absent => Can { present: false, absent: true },
        Pattern::AnyOf(patterns) => Can {
            present: patterns.iter().any(|pattern| can_hold(pattern).present),
            absent: patterns.iter().any(|pattern| can_hold(pattern).absent),
        },
        // Of an absent attribute a pattern holds or does not, whatever the request.
        Pattern::Not(inner) => {
            Can { present: !holds_if_present(inner), absent: !can_hold(inner).absent }
        }
    }
}

/// Whether a pattern surely holds for every value.
fn holds_if_present(pattern: &Pattern) -> bool {
    match pattern {
        Pattern::Present => true,
        Pattern::Prefix(prefix) => prefix.is_empty(),
        Pattern::Endpoint(template) => template.segments == [Segment::Rest],
        Pattern::AnyOf(patterns) => patterns.iter().any(holds_if_present),
        Pattern::Not(inner) => !can_hold(inner).present,
        Pattern::Equals(_) | Pattern::Absent | Pattern::Network(_) => false,
    }
}

/// A text that two rules share exactly when they count the same requests by the same key.
pub(super) fn counted(rule: &Rule) -> String {
    let mut conditions: Vec<String> = rule
        .conditions
        .iter()
        .map(|condition| format!("{:?} {:?}", condition.attribute.value, condition.pattern))
        .collect();
    conditions.sort_unstable();
    let mut text = conditions.join("\n");
    if rule.are_others_absent {
        text.push_str("\nothers absent");
    }
    // Writing to a string cannot fail.
    if let Some(when) = &rule.when {
        let _ = write!(text, "\nwhen {}", when.value);
    }
    if let Some(cost) = &rule.cost {
        let _ = write!(text, "\ncost {}", cost.value);
    }
    for per in &rule.per {
        let _ = write!(text, "\nper {:?}", per.value);
    }
    text
}
