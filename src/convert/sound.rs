//! Drafts as our own compiler takes them.
//!
//! One rule that it refuses never keeps the others from being converted: it is left out, and a note
//! says so with the rule and the reason.

use std::collections::{BTreeMap, HashSet};

use super::draft::{Draft, DraftRule};
use super::write;
use crate::policy::compile;
use crate::policy::diagnostic::{Diagnostic, Severity};
use crate::policy::model::{Options, Source};
use crate::policy::set::CounterSeed;
use crate::yaml;

/// What the compiler says of a rule that no request can meet.
const NEVER: &str = "never-applies";

/// The drafts without the rules that do not compile, each with a note.
pub(super) fn sound(drafts: Vec<Draft>) -> Vec<Draft> {
    drafts.into_iter().map(without_unsound).collect()
}

fn without_unsound(draft: Draft) -> Draft {
    let text = write::document(&draft);
    // What is too large is so with any of its rules; whoever writes it says so.
    if text.len() > yaml::MAX_BYTES || errors(text).is_empty() {
        return draft;
    }
    let Draft { rules, .. } = draft;
    let mut sound = Draft { rules: Vec::new(), ..draft };
    for rule in rules {
        let found = errors(write::document(&alone(&sound, &rule)));
        match found.first() {
            None => sound.rules.push(rule),
            Some(first) => {
                let is_never = found.iter().all(|error| error.code == NEVER);
                leave_out(&mut sound, &rule, first, is_never);
            }
        }
    }
    let names: HashSet<String> = sound.rules.iter().map(|rule| rule.name.clone()).collect();
    for rule in &mut sound.rules {
        rule.replaces.retain(|name| names.contains(name));
    }
    let Draft { rules, attributes, .. } = &mut sound;
    attributes.retain(|name, _| rules.iter().any(|rule| reads(rule, name)));
    sound
}

fn errors(text: String) -> Vec<Diagnostic> {
    let source = Source { name: String::new(), text };
    let mut found = compile(&[source], CounterSeed([0, 0]), &Options::default()).diagnostics;
    found.retain(|it| it.severity == Severity::Error);
    found
}

/// Whether a rule may read an attribute.
fn reads(rule: &DraftRule, attribute: &str) -> bool {
    rule.matches.iter().any(|(name, _)| name == attribute)
        || rule.per.iter().any(|name| name == attribute)
        || rule.when.as_ref().is_some_and(|when| when.contains(attribute))
}

/// The policy with one rule only, which then replaces none.
fn alone(draft: &Draft, rule: &DraftRule) -> Draft {
    let rule = DraftRule { replaces: Vec::new(), notes: Vec::new(), ..rule.clone() };
    let read = draft.attributes.iter().filter(|(name, _)| reads(&rule, name));
    Draft {
        domain: draft.domain.clone(),
        attributes: read.map(|(name, keys)| (name.clone(), keys.clone())).collect(),
        rules: vec![rule],
        charges_always: draft.charges_always,
        ..Draft::default()
    }
}

fn leave_out(draft: &mut Draft, rule: &DraftRule, error: &Diagnostic, is_never: bool) {
    let written = write::document(&Draft { attributes: BTreeMap::new(), ..alone(draft, rule) });
    let written = written.split_once("rules:").map_or("", |(_, rules)| rules);
    let written = written.split_whitespace().collect::<Vec<_>>().join(" ");
    let called = match rule.origin.as_str() {
        "" => format!("`{}`", rule.name),
        origin => origin.to_owned(),
    };
    let why = &error.message;
    let is_limit = !is_never && !rule.limits.is_empty();
    draft.notes.push(match is_limit {
        false => format!("left out: {called}: {why}. It would be: {written}"),
        true => format!(
            "not carried, so nothing limits this yet: {called}: {why}. Write a rule for it by hand; \
             it would be: {written}"
        ),
    });
    draft.uncarried.extend(is_limit.then_some(called));
    draft.notes.extend(rule.notes.iter().map(|note| format!("of the rule above: {note}")));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::draft::{DraftLimit, DraftPattern};

    fn rule(name: &str, attribute: &str, pattern: DraftPattern) -> DraftRule {
        DraftRule {
            name: name.to_owned(),
            matches: vec![(attribute.to_owned(), pattern)],
            per: vec!["a".to_owned()],
            limits: vec![DraftLimit {
                amount: 1,
                window: "minute".to_owned(),
                begins_with_first_hit: false,
            }],
            ..DraftRule::default()
        }
    }

    #[test]
    fn a_rule_that_is_refused_is_left_out_with_its_reason_and_the_others_stay() {
        let starred = DraftPattern::Prefix("a*b".to_owned());
        let replacing = DraftRule {
            replaces: vec!["good".to_owned(), "never".to_owned()],
            ..rule("replacing", "b", DraftPattern::Present)
        };
        let draft = Draft {
            domain: "d".to_owned(),
            rules: vec![
                rule("good", "b", DraftPattern::Present),
                rule("never", "a", DraftPattern::Absent),
                rule("starred", "b", starred),
                replacing,
                rule("keyless", "none", DraftPattern::Present),
            ],
            attributes: BTreeMap::from(
                [("none", ""), ("b", "c")]
                    .map(|(name, key)| (name.to_owned(), vec![key.to_owned()])),
            ),
            ..Draft::default()
        };
        let [sound] = sound(vec![draft]).try_into().unwrap();
        let names: Vec<&str> = sound.rules.iter().map(|rule| rule.name.as_str()).collect();
        assert_eq!(names, ["good", "replacing"]);
        assert_eq!(sound.rules[1].replaces, ["good"]);
        assert_eq!(sound.uncarried, ["`starred`", "`keyless`"]);
        let [never, starred, keyless] = sound.notes.as_slice() else { panic!("{:?}", sound.notes) };
        assert!(never.starts_with("left out: `never`: this rule never applies"), "{never}");
        assert!(never.contains("- name: never match: { a: absent }"), "{never}");
        assert!(
            starred.starts_with("not carried, so nothing limits this yet: `starred`: a `*`"),
            "{starred}"
        );
        assert!(keyless.contains("the attribute `none` has no keys"), "{keyless}");
        assert_eq!(sound.attributes.keys().collect::<Vec<_>>(), ["b"]);
        assert!(errors(write::document(&sound)).is_empty());
    }

    #[test]
    fn what_is_sound_stays_as_it_is() {
        let draft = Draft {
            domain: "d".to_owned(),
            notes: vec!["note".to_owned()],
            rules: vec![rule("good", "b", DraftPattern::Present)],
            ..Draft::default()
        };
        let kept = sound(vec![draft.clone()]).remove(0);
        assert_eq!(write::document(&kept), write::document(&draft));
    }
}
