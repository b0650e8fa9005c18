//! Checks between rules and between policies, on what the readers made of them.
//!
//! Nothing here changes a policy; every finding names a rule that cannot do what it says.

mod condition;
mod reach;
mod tables;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use crate::limit::{Kind, LimitIdentity};
use crate::policy::amounts::amount_tables;
use crate::policy::compile::sanitise;
use crate::policy::diagnostic::{Diagnostic, Severity};
use crate::policy::findings::{clean, shown};
use crate::policy::model::{Body, Limit, Mode, NativePolicy, Node, Place, Placed, Policy, Rule};
use crate::policy::suggest;

/// Checks all policies of a load together.
pub(super) fn check(policies: &[Policy]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut domains: HashMap<&str, &Placed<String>> = HashMap::new();
    for Policy { domain, body } in policies {
        if let Some(first) = domains.get(domain.value.as_str()) {
            let message = format!("the domain {} has two policies", shown(&domain.value));
            let hint = "put all rules of a domain into one document";
            let related = (first.place.clone(), "first written here");
            found.push(error("duplicate-domain", &domain.place, message, hint).with(related));
        } else {
            domains.insert(&domain.value, domain);
        }
        match body {
            Body::Native(policy) => check_native(&mut found, policy),
            Body::Descriptors(nodes) => check_descriptors(&mut found, nodes),
        }
    }
    found
}

fn error(
    code: &'static str,
    place: &Place,
    message: impl Into<String>,
    hint: impl Into<String>,
) -> Diagnostic {
    let (place, message, hint) = (place.clone(), clean(message.into()), clean(hint.into()));
    Diagnostic { severity: Severity::Error, code, message, place, related: None, hint }
}

fn warning(
    code: &'static str,
    place: &Place,
    message: impl Into<String>,
    hint: impl Into<String>,
) -> Diagnostic {
    Diagnostic { severity: Severity::Warning, ..error(code, place, message, hint) }
}

impl Diagnostic {
    fn with(mut self, (place, label): (Place, &str)) -> Self {
        self.related = Some((place, label.to_owned()));
        self
    }
}

fn check_native(found: &mut Vec<Diagnostic>, policy: &NativePolicy) {
    let names = check_names(found, &policy.rules);
    check_wire_names(found, &policy.rules);
    let mut sorted: Vec<&str> = names.keys().copied().collect();
    sorted.sort_unstable();
    let tables: HashSet<&str> = policy.tables.iter().map(|it| it.name.value.as_str()).collect();
    let is_field = |name: &str| name.split_once('.').is_some_and(|(it, _)| tables.contains(it));
    let mut declared: HashSet<&str> =
        policy.attributes.iter().map(|known| known.attribute.as_str()).collect();
    for rule in &policy.rules {
        let names = condition::attributes(rule).filter(|name| is_field(name));
        declared.extend(names);
    }
    let rules = Rules { by_name: names, names: sorted, replaced: replaced(&policy.rules) };
    for rule in &policy.rules {
        check_windows(found, rule);
        check_replaces(found, rule, &rules);
        check_effect(found, rule);
        reach::check(found, rule);
        condition::check(found, rule, &declared);
    }
    let exempt = policy.load.iter().flat_map(|load| load.exempt.iter().flatten());
    for condition in exempt {
        let is_field = is_field(&condition.attribute.value);
        condition::check_holds(found, condition);
        if !is_field {
            condition::check_dotted(found, condition, &declared);
        }
    }
    check_same(found, &policy.rules);
    check_attributes(found, policy);
    tables::check(found, policy);
}

/// The rules by their names, a table of endpoints by that of one of its rows.
fn check_names<'p>(found: &mut Vec<Diagnostic>, rules: &'p [Rule]) -> HashMap<&'p str, &'p Rule> {
    let mut names: HashMap<&str, (&Placed<String>, &Rule)> = HashMap::new();
    let mut tables: HashSet<u32> = HashSet::new();
    for rule in rules {
        let table = rule.row.as_ref().filter(|row| tables.insert(row.table)).map(|row| &row.of);
        for name in table.into_iter().chain([&rule.name]) {
            if let Some((first, _)) = names.get(name.value.as_str()) {
                let message = format!("the name {} is taken", shown(&name.value));
                let hint = "name each rule of a policy differently; counters are kept by name";
                let related = (first.place.clone(), "first written here");
                found.push(error("duplicate-name", &name.place, message, hint).with(related));
            } else {
                names.insert(&name.value, (name, rule));
            }
        }
    }
    names.into_iter().map(|(name, (_, rule))| (name, rule)).collect()
}

/// Clients tell limits apart by the names in headers, in which not every character may stand.
fn check_wire_names(found: &mut Vec<Diagnostic>, rules: &[Rule]) {
    let mut firsts: HashMap<String, &Rule> = HashMap::new();
    for rule in rules {
        let name = rule.name.value.as_str();
        let wire_name = sanitise(name);
        let Some(first) = firsts.get(&wire_name).filter(|first| first.name.value != name) else {
            firsts.insert(wire_name, rule);
            continue;
        };
        let message = format!(
            "{} and {} are both {} in answers",
            shown(&first.name.value),
            shown(name),
            shown(&wire_name)
        );
        let hint = "name them apart in letters, digits and `-`";
        let related = (first.name.place.clone(), "the other rule");
        found.push(warning("same-name-in-answers", &rule.name.place, message, hint).with(related));
    }
}

/// Two limits of one window and kind are one counter.
fn check_windows(found: &mut Vec<Diagnostic>, rule: &Rule) {
    check_windows_of(found, &rule.limits);
    rule.overrides.iter().for_each(|over| check_windows_of(found, &over.limits));
}

fn check_windows_of(found: &mut Vec<Diagnostic>, limits: &[Placed<Limit>]) {
    let mut windows: HashMap<LimitIdentity, &Place> = HashMap::new();
    for limit in limits {
        if let Some(first) = windows.get(&limit.value.identity()) {
            let kind = match limit.value.of(0).kind {
                Kind::Fixed(_) => String::new(),
                kind => format!("{} ", kind.name()),
            };
            let message = match limit.value.window() {
                Some(window) => format!("two {kind}limits per {window} in one rule"),
                None => "two limits of what is held at a time in one rule".to_owned(),
            };
            let hint = "keep the smaller one; it is the one that counts";
            let related = ((*first).clone(), "the same window here");
            found.push(error("duplicate-window", &limit.place, message, hint).with(related));
        } else {
            windows.insert(limit.value.identity(), &limit.place);
        }
    }
}

/// The rules of one policy, as `replaces` knows them.
struct Rules<'p> {
    by_name: HashMap<&'p str, &'p Rule>,
    /// In order.
    names: Vec<&'p str>,
    /// Where a rule, the first of each pair, says that it replaces the other.
    replaced: HashMap<(&'p str, &'p str), &'p Place>,
}

fn replaced(rules: &[Rule]) -> HashMap<(&str, &str), &Place> {
    let mut replaced = HashMap::new();
    for rule in rules {
        for other in &rule.replaces {
            replaced.insert((rule.name.value.as_str(), other.value.as_str()), &other.place);
        }
    }
    replaced
}

fn check_replaces(found: &mut Vec<Diagnostic>, rule: &Rule, rules: &Rules<'_>) {
    let mut has_mutual = false;
    for replaced in &rule.replaces {
        let name = replaced.value.as_str();
        if name == rule.name.value {
            let message = format!("the rule {} replaces itself", shown(name));
            let hint = "name the rule that is to give way to this one";
            found.push(error("replaces-itself", &replaced.place, message, hint));
            continue;
        }
        if !rules.by_name.contains_key(name) {
            let message = format!("`replaces` names {}, and there is no such rule", shown(name));
            let hint = if found.len() < MOST_SUGGESTIONS {
                let others = rules.names.iter().copied();
                let others = others.filter(|other| *other != rule.name.value);
                unknown_rule_hint(name, &others.collect::<Vec<_>>())
            } else {
                NAME_A_RULE.to_owned()
            };
            found.push(error("unknown-rule", &replaced.place, message, hint));
            continue;
        }
        // One of the two rules of a pair reports it, and only the first of its pairs: where all
        // replace all, the pairs are many more than the rules.
        let back = rules.replaced.get(&(name, rule.name.value.as_str()));
        if let Some(back) = back
            && rule.name.value.as_str() > name
            && !has_mutual
        {
            has_mutual = true;
            let message =
                format!("{} and {} replace each other", shown(&rule.name.value), shown(name));
            let hint = "when both match, neither counts; keep one of the two `replaces`";
            let related = ((*back).clone(), "and back again here");
            found.push(warning("mutual-replaces", &replaced.place, message, hint).with(related));
        }
    }
}

/// Looking for the name that was meant among all names is dear, so it is not done for ever.
const MOST_SUGGESTIONS: usize = 20;
const NAME_A_RULE: &str = "write the `name` of another rule of this policy";

fn unknown_rule_hint(name: &str, names: &[&str]) -> String {
    const MOST: usize = 8;
    let near = suggest::nearest(name, names.iter().copied());
    // Of short names all are near.
    match near.filter(|near| shares_a_letter(name, near)) {
        Some(near) => format!("did you mean {}?", shown(near)),
        None if names.is_empty() => "this policy has no other rule; remove `replaces`".to_owned(),
        None if names.len() == 1 => format!("the only other rule is {}", shown(names[0])),
        None if names.len() <= MOST => suggest::one_of(names),
        None => NAME_A_RULE.to_owned(),
    }
}

fn shares_a_letter(one: &str, other: &str) -> bool {
    let (one, other) = (one.to_lowercase(), other.to_lowercase());
    one.chars().any(|letter| other.contains(letter))
}

fn check_effect(found: &mut Vec<Diagnostic>, rule: &Rule) {
    // A row of a table stands before the rows that are less specific.
    if rule.unlimited && rule.replaces.is_empty() && rule.row.is_none() {
        let message = format!("the unlimited rule {} does nothing", shown(&rule.name.value));
        let hint = "name the rules that it exempts from: `replaces: [...]`";
        found.push(warning("no-effect", &rule.name.place, message, hint));
    }
}

/// Two rules that count the same thing twice are most often one rule pasted. A new amount in
/// shadow beside the one in force is not.
fn check_same(found: &mut Vec<Diagnostic>, rules: &[Rule]) {
    let mut seen: HashMap<(String, Mode, LimitIdentity), &Rule> = HashMap::new();
    for rule in rules.iter().filter(|rule| rule.is_read_whole) {
        let counted = condition::counted(rule);
        for limit in &rule.limits {
            let key = (counted.clone(), rule.mode, limit.value.identity());
            let table = |rule: &Rule| rule.row.as_ref().map(|row| row.table);
            let is_other = |first: &&&Rule| {
                // Of the rows of one table only one applies, so they count nothing twice.
                let are_rows = table(first).is_some() && table(first) == table(rule);
                first.name.value != rule.name.value && !are_rows
            };
            let Some(first) = seen.get(&key).filter(is_other) else {
                seen.insert(key, rule);
                continue;
            };
            let window = limit.value.window().map(|window| format!(" per {window}"));
            let message = format!(
                "the rules {} and {} count the same requests{}",
                shown(&first.name.value),
                shown(&rule.name.value),
                window.unwrap_or_default()
            );
            let hint = "keep the smaller limit, or match different requests";
            let related = (first.name.place.clone(), "the other rule");
            found.push(warning("same-rule", &limit.place, message, hint).with(related));
        }
    }
}

/// Every request fills a slot for each attribute that a rule of its domain names.
const MOST_ATTRIBUTES: usize = 1_000;

fn check_attributes(found: &mut Vec<Diagnostic>, policy: &NativePolicy) {
    let exempt = policy.load.iter().flat_map(|load| &load.exempt);
    let exempt = exempt.flat_map(|conditions| condition::attributes_of(conditions));
    let mut names: HashSet<Cow<'_, str>> = exempt.map(Cow::Borrowed).collect();
    for rule in &policy.rules {
        let overridden = rule.overrides.iter();
        let overridden = overridden.flat_map(|over| condition::attributes_of(&over.conditions));
        names.extend(condition::attributes(rule).chain(overridden).map(Cow::Borrowed));
        let cost = rule.cost.iter().flat_map(|cost| cost.value.names());
        names.extend(cost.map(|name| Cow::Borrowed(name.as_str())));
        let when = rule.when.iter().flat_map(|when| when.value.names());
        names.extend(when.map(|name| Cow::Owned(name.to_string())));
        let asked = amount_tables(&policy.tables, rule).into_iter();
        names.extend(asked.map(|table| Cow::Borrowed(policy.tables[table].name.value.as_str())));
        if names.len() > MOST_ATTRIBUTES {
            let message = format!("the rules name more than {MOST_ATTRIBUTES} attributes");
            let hint = "match values of a few attributes; call what templates capture alike";
            found.push(error("too-many-items", &rule.name.place, message, hint));
            return;
        }
    }
}

/// Names in `replaces` that no limit of the domain has.
fn check_descriptors(found: &mut Vec<Diagnostic>, nodes: &[Node]) {
    let mut names = Vec::new();
    let mut replaced = Vec::new();
    collect_names(nodes, &mut names, &mut replaced);
    check_replaced(found, &names, &replaced);
    names.sort_unstable();
    names.dedup();
    for place in replaced {
        if names.binary_search(&place.value.as_str()).is_err() {
            let name = shown(&place.value);
            let message = format!("`replaces` names {name}, and no limit has that name");
            let hint = if found.len() < MOST_SUGGESTIONS {
                unknown_rule_hint(&place.value, &names)
            } else {
                "write the `name` of another limit".to_owned()
            };
            found.push(warning("unknown-rule", &place.place, message, hint));
        }
    }
}

/// A name may stand for many limits, and many may replace it; every pair is held ready.
const MOST_REPLACED: usize = 1_000_000;

fn check_replaced(found: &mut Vec<Diagnostic>, names: &[&str], replaced: &[&Placed<String>]) {
    let mut limits: HashMap<&str, usize> = HashMap::new();
    for name in names {
        *limits.entry(name).or_default() += 1;
    }
    let mut pairs = 0;
    for name in replaced {
        pairs += limits.get(name.value.as_str()).copied().unwrap_or_default();
        if pairs > MOST_REPLACED {
            let message = format!(
                "{} and the names before it make more than {MOST_REPLACED} pairs of limits, of \
                 which one replaces the other",
                shown(&name.value)
            );
            let hint = "give limits that are replaced names of their own";
            found.push(error("too-many-items", &name.place, message, hint));
            return;
        }
    }
}

fn collect_names<'n>(
    nodes: &'n [Node],
    names: &mut Vec<&'n str>,
    replaced: &mut Vec<&'n Placed<String>>,
) {
    for node in nodes {
        if let Some(limit) = &node.limit {
            names.extend(limit.name.as_ref().map(|name| name.value.as_str()));
            replaced.extend(&limit.replaces);
        }
        collect_names(&node.children, names, replaced);
    }
}
