//! What changes between two policy sets, in an operator's words.
//!
//! A rule is known by its domain and name, as its counters are: what is said here to keep its
//! usage does keep it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::policy::matcher::readable;
use crate::policy::model::{Mode, Row};
use crate::policy::set::{Domain, Matcher, PolicySet, Rule, RuleLimit};

/// One sentence for each rule that came, went or changed, ordered by domain and rule, and one for
/// each attribute that is read from other entries.
pub fn changes(before: &PolicySet, after: &PolicySet) -> Vec<String> {
    let (old_rules, new_rules) = (rules(before), rules(after));
    let mut names: Vec<_> = old_rules.keys().chain(new_rules.keys()).copied().collect();
    names.sort_unstable();
    names.dedup();
    let mut changes: Vec<String> = gone(before, after)
        .map(|domain| format!("domain `{domain}` has no policy any more: nothing limits it"))
        .collect();
    for name @ (domain, rule) in names {
        match (old_rules.get(&name), new_rules.get(&name)) {
            (None, Some(new)) => {
                changes.push(format!("rule `{rule}` of `{domain}` added: {}", limits(new.1)));
            }
            (Some(_), None) => changes.push(format!("rule `{rule}` of `{domain}` removed")),
            (Some(old), Some(new)) => {
                let parts = rule_changes(*old, *new);
                if !parts.is_empty() {
                    changes.push(format!("rule `{rule}` of `{domain}`: {}", parts.join(", ")));
                }
            }
            (None, None) => {}
        }
    }
    changes.extend(after.domains.iter().flat_map(|new| attribute_changes(before, new)));
    changes.extend(after.domains.iter().filter_map(|new| load_change(before, new)));
    changes.extend(after.domains.iter().flat_map(|new| table_changes(before, new)));
    changes.extend(limitless_changes(before, after, "added: it has no limit"));
    changes.extend(limitless_changes(after, before, "without a limit removed"));
    changes
}

/// Domains that have no policy any more.
fn gone<'b>(before: &'b PolicySet, after: &PolicySet) -> impl Iterator<Item = &'b str> {
    let domains = before.domains.iter().map(|domain| &*domain.name);
    domains.filter(|domain| after.domain(domain.as_bytes()).is_none())
}

/// Descriptors without a limit that are in `there` and not in `here`.
fn limitless_changes(here: &PolicySet, there: &PolicySet, what: &str) -> Vec<String> {
    let mut changes = Vec::new();
    for domain in &there.domains {
        let known: HashSet<&String> = here
            .domain(domain.name.as_bytes())
            .into_iter()
            .flat_map(|domain| &domain.limitless)
            .collect();
        let new = domain.limitless.iter().filter(|path| !known.contains(path));
        changes.extend(new.map(|path| format!("descriptor `{path}` of `{}` {what}", domain.name)));
    }
    changes
}

/// Attributes that rules named before and after, and that are now read from other entries.
fn attribute_changes(before: &PolicySet, new: &Domain) -> Vec<String> {
    let old = before.domain(new.name.as_bytes()).map(|old| &old.matcher);
    let (Some(Matcher::Native(old)), Matcher::Native(matcher)) = (old, &new.matcher) else {
        return Vec::new();
    };
    let (old, attributes) = (old.attributes(), matcher.attributes());
    let known: HashSet<&String> = old.names().iter().collect();
    let names = attributes.names().iter().filter(|name| known.contains(name));
    names
        .filter(|name| old.keys_of(name) != attributes.keys_of(name))
        .map(|name| {
            let keys = attributes.keys_of(name).join("`, `");
            format!("attribute `{name}` of `{}` is now read from `{keys}`", new.name)
        })
        .collect()
}

/// Of a domain that was there before: its rules say nothing of load.
fn load_change(before: &PolicySet, new: &Domain) -> Option<String> {
    let old = before.domain(new.name.as_bytes());
    let what = match (old.and_then(|old| old.load.as_ref()), &new.load) {
        (None, Some(_)) => "now sheds load",
        (Some(_), None) => "no longer sheds load",
        (Some(old), Some(new)) if !old.is_same(new) => "sheds load differently",
        (Some(_), Some(_)) | (None, None) => return None,
    };
    Some(format!("`{}` {what}", new.name))
}

/// Rows named for each table; of the others only their number.
const ROWS_NAMED_MAX: usize = 20;

/// Rows of tables that came, went or changed.
fn table_changes(before: &PolicySet, new: &Domain) -> Vec<String> {
    let old = before.domain(new.name.as_bytes()).map(|old| &old.matcher);
    let (Some(Matcher::Native(old)), Matcher::Native(matcher)) = (old, &new.matcher) else {
        return Vec::new();
    };
    let old: BTreeMap<&str, BTreeMap<&[u8], &Row>> = old.attributes().tables().collect();
    let mut changes = Vec::new();
    for (table, new_rows) in matcher.attributes().tables() {
        let Some(old_rows) = old.get(table) else { continue };
        let names: BTreeSet<&[u8]> = old_rows.keys().chain(new_rows.keys()).copied().collect();
        let rows = names.into_iter().filter_map(|name| {
            let parts = row_changes(old_rows.get(name).copied(), new_rows.get(name).copied())?;
            Some(format!("row `{}` of table `{table}` of `{}`{parts}", readable(name), new.name))
        });
        let mut rows: Vec<String> = rows.collect();
        let more = rows.len().saturating_sub(ROWS_NAMED_MAX);
        rows.truncate(ROWS_NAMED_MAX);
        changes.extend(rows);
        if more > 0 {
            changes.push(format!("{more} more rows of table `{table}` of `{}`", new.name));
        }
    }
    changes
}

fn row_changes(old: Option<&Row>, new: Option<&Row>) -> Option<String> {
    let (old, new) = match (old, new) {
        (None, Some(_)) => return Some(" added".to_owned()),
        (Some(_), None) => return Some(" removed".to_owned()),
        (Some(old), Some(new)) => (old, new),
        (None, None) => return None,
    };
    let fields: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let text = |row: &Row, field: &String| {
        row.get(field).map_or("nothing".to_owned(), |value| value.text.clone())
    };
    let parts = fields.into_iter().filter(|field| old.get(*field) != new.get(*field));
    let parts = parts.map(|field| format!("{field} {} → {}", text(old, field), text(new, field)));
    let parts: Vec<String> = parts.collect();
    (!parts.is_empty()).then(|| format!(": {}", parts.join(", ")))
}

type RuleName<'s> = (&'s str, &'s str);

fn rules(set: &PolicySet) -> BTreeMap<RuleName<'_>, (&Domain, &Rule)> {
    set.rules().map(|(domain, rule)| ((&*domain.name, &*rule.name), (domain, rule))).collect()
}

fn rule_changes(
    (old_domain, old): (&Domain, &Rule),
    (new_domain, new): (&Domain, &Rule),
) -> Vec<String> {
    let mut parts = Vec::new();
    if old.applies_to != new.applies_to {
        let now = if new.applies_to.is_empty() { "every request" } else { &new.applies_to };
        parts.push(format!("now applies to {now}"));
    }
    if old.per != new.per {
        let per = if new.per.is_empty() { "nothing" } else { &new.per.join(" and ") };
        parts.push(format!("now counts per {per}, from zero"));
    }
    if replaced(old_domain, old) != replaced(new_domain, new) {
        parts.push("replaces other rules".to_owned());
    }
    if old.when != new.when {
        parts.push(match &new.when {
            Some(when) => format!("now applies when {when}"),
            None => "now applies without a condition".to_owned(),
        });
    }
    if old.cost != new.cost {
        let cost = new.cost.as_deref().unwrap_or("1");
        parts.push(format!("each hit now counts {cost}"));
    }
    if old.has_refund != new.has_refund {
        parts.push("treats negative hits differently".to_owned());
    }
    if old.is_strict != new.is_strict {
        parts.push(match new.is_strict {
            true => "hits are on disk before they are admitted".to_owned(),
            false => "hits are written after they are admitted".to_owned(),
        });
    }
    if old.limits != new.limits {
        let fresh = new_counters(old, new);
        let usage = if old.per != new.per {
            "counted from zero".to_owned()
        } else if fresh.is_empty() {
            "usage so far is kept".to_owned()
        } else if fresh.len() == new.limits.len() {
            "usage starts at zero".to_owned()
        } else {
            format!("{} starts at zero, other usage is kept", fresh.join(" and "))
        };
        let (before, after) = (limits(old), limits(new));
        // Where only rows of a table changed, those are named.
        if before != after {
            parts.push(format!("{before} → {after}; {usage}"));
        }
    }
    if old.overrides != new.overrides {
        parts.push("has other overrides".to_owned());
    }
    if old.mode != new.mode {
        parts.push(match new.mode {
            Mode::Enforce => "now enforced".to_owned(),
            Mode::Shadow => "now in shadow mode".to_owned(),
        });
    }
    if old.descriptor != new.descriptor {
        parts.push("has another quota mode, metric or metadata".to_owned());
    }
    if old.charge != new.charge {
        parts.push("counts denied requests differently".to_owned());
    }
    if old.respond != new.respond {
        parts.push("answers differently".to_owned());
    }
    parts
}

fn replaced<'s>(domain: &'s Domain, rule: &Rule) -> Vec<&'s str> {
    let name = |position: &u32| &*domain.rules[*position as usize].name;
    rule.replaces.iter().flat_map(|positions| positions.iter()).map(name).collect()
}

/// The limits whose counters were not there before.
fn new_counters(old: &Rule, new: &Rule) -> Vec<String> {
    let identity = |of: &RuleLimit| of.any().identity();
    let is_known = |new: &RuleLimit| old.limits.iter().any(|old| identity(old) == identity(new));
    let fresh = new.limits.iter().filter(|new| !is_known(new));
    fresh.map(ToString::to_string).collect()
}

fn limits(rule: &Rule) -> String {
    if rule.limits.is_empty() {
        return "unlimited".to_owned();
    }
    let texts = rule.limits.iter().map(ToString::to_string);
    texts.collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::compile;
    use crate::policy::model::Source;
    use crate::policy::set::CounterSeed;

    const BEFORE: &str =
        "domain: shop\nrules:\n  - { name: a, per: [user], limits: [100/minute] }\n";

    fn set(text: &str) -> PolicySet {
        let source = Source { name: "p.yaml".to_owned(), text: text.to_owned() };
        compile(&[source], CounterSeed([1, 2]), &Mode::Enforce.into()).set.unwrap()
    }

    fn changes_to(after: &str) -> Vec<String> {
        changes(&set(BEFORE), &set(after))
    }

    #[test]
    fn a_changed_amount_keeps_usage_and_a_changed_window_does_not() {
        let amount = BEFORE.replace("100/minute", "200/minute");
        let kept = "rule `a` of `shop`: 100/minute → 200/minute; usage so far is kept";
        assert_eq!(changes_to(&amount), [kept]);
        let window = BEFORE.replace("100/minute", "100/minute, 30/10s");
        let fresh = "rule `a` of `shop`: 100/minute → 100/minute and 30 per 10 seconds; 30 per 10 \
                     seconds starts at zero, other usage is kept";
        assert_eq!(changes_to(&window), [fresh]);
        assert_eq!(changes_to(BEFORE), Vec::<String>::new());
    }

    #[test]
    fn descriptors_without_a_limit_are_named_too() {
        let before = "domain: shop\ndescriptors:\n  - key: tenant\n    rate_limit: { unit: day, \
                      requests_per_unit: 5 }\n";
        let after = format!("{before}  - {{ key: tenant, value: free }}\n");
        let (before, after) = (set(before), set(&after));
        let added = "descriptor `tenant=free` of `shop` added: it has no limit";
        assert_eq!(changes(&before, &after), [added]);
        let removed = "descriptor `tenant=free` of `shop` without a limit removed";
        assert_eq!(changes(&after, &before), [removed]);
    }

    #[test]
    fn rules_that_come_go_or_change_their_mode_are_named() {
        let more = format!("{BEFORE}  - {{ name: b, per: [user], limits: [5/day] }}\n");
        assert_eq!(changes_to(&more), ["rule `b` of `shop` added: 5/day"]);
        let other = BEFORE.replace("shop", "depot");
        let (came, went) = ("rule `a` of `depot` added: 100/minute", "rule `a` of `shop` removed");
        let gone = "domain `shop` has no policy any more: nothing limits it";
        assert_eq!(changes_to(&other), [gone, came, went]);
        let matching = BEFORE.replace("name: a", "name: a, match: { app: x, plan: gold }");
        let applies = "rule `a` of `shop`: now applies to app is `x`, plan is `gold`";
        assert_eq!(changes_to(&matching), [applies]);
        let per = BEFORE.replace("per: [user]", "per: [user, app]");
        assert_eq!(
            changes_to(&per),
            ["rule `a` of `shop`: now counts per user and app, from zero"]
        );
        let when = BEFORE.replace("name: a", "name: a, when: size(user) > 3, cost: 2");
        let when_and_cost =
            "rule `a` of `shop`: now applies when size(user) > 3, each hit now counts 2";
        assert_eq!(changes_to(&when), [when_and_cost]);
        let shadow = BEFORE.replace("name: a", "name: a, mode: shadow");
        assert_eq!(changes_to(&shadow), ["rule `a` of `shop`: now in shadow mode"]);
    }

    #[test]
    fn rows_of_tables_are_named_with_what_changed() {
        let table = BEFORE.replace(
            "rules:",
            "tables: { user: { default: { rate: 1 }, a: { rate: 5 }, b: { rate: 6, plan: x } } }\n\
             rules:",
        );
        let table = table.replace("100/minute", "user.rate / minute");
        let other = table.replace("{ rate: 5 }", "{ rate: 7 }").replace("b: {", "c: {");
        let changed = [
            "row `a` of table `user` of `shop`: rate 5 → 7",
            "row `b` of table `user` of `shop` removed",
            "row `c` of table `user` of `shop` added",
        ];
        assert_eq!(changes(&set(&table), &set(&other)), changed);
    }

    #[test]
    fn load_that_is_shed_otherwise_is_named() {
        let shedding = format!("{BEFORE}load: {{ capacity: 10/second }}\n");
        let more = shedding.replace("10/second", "20/second");
        assert_eq!(changes_to(&shedding), ["`shop` now sheds load"]);
        assert_eq!(changes(&set(&shedding), &set(&more)), ["`shop` sheds load differently"]);
        assert_eq!(changes(&set(&more), &set(BEFORE)), ["`shop` no longer sheds load"]);
        assert_eq!(changes(&set(&more), &set(&more)), Vec::<String>::new());
    }

    #[test]
    fn attributes_that_are_read_from_other_entries_are_named() {
        let user = BEFORE.replace("rules:", "attributes: { user: [sub, login] }\nrules:");
        let read = "attribute `user` of `shop` is now read from `user`, `sub`, `login`";
        assert_eq!(changes_to(&user), [read]);
    }
}
