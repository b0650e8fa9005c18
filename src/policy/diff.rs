//! What changes between two policy sets, in an operator's words.
//!
//! A rule is known by its domain and name, as its counters are: what is said here to keep its
//! usage does keep it.

use std::collections::BTreeMap;

use crate::policy::model::Mode;
use crate::policy::set::{PolicySet, Rule, RuleLimit};

/// One sentence for each rule or domain that came, went or changed, ordered by domain and rule.
pub fn changes(before: &PolicySet, after: &PolicySet) -> Vec<String> {
    let (old_rules, new_rules) = (rules(before), rules(after));
    let mut names: Vec<_> = old_rules.keys().chain(new_rules.keys()).copied().collect();
    names.sort_unstable();
    names.dedup();
    let mut changes = Vec::new();
    for name @ (domain, rule) in names {
        match (old_rules.get(&name), new_rules.get(&name)) {
            (None, Some(new)) => {
                changes.push(format!("rule `{rule}` of `{domain}` added: {}", limits(new)));
            }
            (Some(_), None) => changes.push(format!("rule `{rule}` of `{domain}` removed")),
            (Some(old), Some(new)) => {
                let parts = rule_changes(old, new);
                if !parts.is_empty() {
                    changes.push(format!("rule `{rule}` of `{domain}`: {}", parts.join(", ")));
                }
            }
            (None, None) => {}
        }
    }
    changes
}

type RuleName<'s> = (&'s str, &'s str);

fn rules(set: &PolicySet) -> BTreeMap<RuleName<'_>, &Rule> {
    let domains = set.domains.iter();
    domains
        .flat_map(|domain| domain.rules.iter().map(|rule| ((&*domain.name, &*rule.name), rule)))
        .collect()
}

fn rule_changes(old: &Rule, new: &Rule) -> Vec<String> {
    let mut parts = Vec::new();
    if !old.limits.iter().map(|old| old.limit).eq(new.limits.iter().map(|new| new.limit)) {
        let usage = if has_same_counters(old, new) {
            "usage so far is kept"
        } else {
            "a changed window starts at zero"
        };
        parts.push(format!("{} → {}; {usage}", limits(old), limits(new)));
    }
    if old.mode != new.mode {
        parts.push(match new.mode {
            Mode::Enforce => "now enforced".to_owned(),
            Mode::Shadow => "now in shadow mode".to_owned(),
        });
    }
    if old.charge != new.charge {
        parts.push("counts denied requests differently".to_owned());
    }
    if old.respond != new.respond {
        parts.push("answers differently".to_owned());
    }
    parts
}

/// Whether every window that is limited afterwards was limited before.
fn has_same_counters(old: &Rule, new: &Rule) -> bool {
    let identity = |of: &RuleLimit| of.limit.window.identity();
    new.limits.iter().all(|new| old.limits.iter().any(|old| identity(old) == identity(new)))
}

fn limits(rule: &Rule) -> String {
    if rule.limits.is_empty() {
        return "unlimited".to_owned();
    }
    let texts = rule.limits.iter().map(|RuleLimit { limit, .. }| match limit.window.count.get() {
        1 => format!("{}/{}", limit.amount, limit.window),
        _ => format!("{} per {}", limit.amount, limit.window),
    });
    texts.collect::<Vec<_>>().join(" and ")
}
