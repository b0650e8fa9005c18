//! Descriptors of the envoyproxy/ratelimit format as native rules: one rule for each limit.
//!
//! There a walk ends at one node; here every rule that matches applies. So each rule says all that
//! the walk to its node takes for granted: what each level leaves to it, and that no other entry
//! follows. At most one of these rules then applies to a descriptor, as there.

mod level;
mod names;
mod wildcard;

use std::collections::{BTreeMap, HashMap, HashSet};

use super::draft::{Draft, DraftLimit, DraftRule};
use crate::limit::{Kind, Limit, Unit};
use crate::policy::diagnostic::{Diagnostic, Severity};
use crate::policy::model::{Body, DescriptorOptions, Node, NodeLimit, NodeValue, Placed, Source};
use crate::policy::read;
use level::Selection;
use names::Attributes;

/// Bytes of the longest condition.
const LONGEST_CONDITION: usize = 4096;

/// The policies of all texts, and what is found in them, which holds an error where there are
/// none.
pub(super) fn read(
    sources: &[Source],
    options: &DescriptorOptions,
) -> (Option<Vec<Draft>>, Vec<Diagnostic>) {
    let (policies, diagnostics) = read::read_with(sources, options);
    if diagnostics.iter().any(|found| found.severity == Severity::Error) {
        return (None, diagnostics);
    }
    let draft = |policy: &crate::policy::model::Policy| match &policy.body {
        Body::Descriptors(nodes) => Some(draft(&policy.domain.value, nodes)),
        Body::Native(_) => None,
    };
    (Some(policies.iter().filter_map(draft).collect()), diagnostics)
}

/// A node that has a limit, and how the walk comes to it.
struct Found<'n> {
    path: Vec<&'n Node>,
    limit: &'n NodeLimit,
    /// One for each node of the path.
    selections: Vec<Selection>,
}

const KEY_TWICE: &str =
    "its path has one key twice, and only the first entry of a key is seen here";

/// All limits of a policy, collected level by level.
#[derive(Default)]
struct Walk<'n> {
    found: Vec<Found<'n>>,
    /// What has no native rule, and why.
    left_out: Vec<String>,
    /// Those of them that limit there.
    uncarried: Vec<String>,
}

fn draft(domain: &str, nodes: &[Node]) -> Draft {
    let mut keys = Vec::new();
    let mut paths = HashSet::new();
    collect_keys(nodes, &mut keys, &mut HashSet::new(), &mut paths);
    let attributes = Attributes::new(keys, &paths);
    let mut walk = Walk::default();
    walk.level(nodes, &attributes, &[]);
    let named: Vec<(&[&Node], Option<&str>)> = walk
        .found
        .iter()
        .map(|it| (it.path.as_slice(), it.limit.name.as_ref().map(|name| name.value.as_str())))
        .collect();
    let names = names::of_rules(&named);
    let replaced = by_own_name(&walk.found, &names);
    let reordered = reordered(&walk.found);
    let rules = walk.found.iter().zip(&names).zip(reordered).map(|((found, name), other)| {
        let mut rule = rule(found, name, &attributes, &replaced);
        rule.notes.extend(other.map(|position| in_other_order(&names[position])));
        rule
    });
    let rules: Vec<DraftRule> = rules.collect();
    let mut notes = policy_notes(&rules, &attributes);
    notes.extend(walk.left_out);
    Draft {
        domain: domain.to_owned(),
        notes,
        attributes: attributes.renamed(),
        rules,
        uncarried: walk.uncarried,
        charges_always: true,
    }
}

/// Every key once, in the order of the policy, and those that have values with a slash.
fn collect_keys<'n>(
    nodes: &'n [Node],
    keys: &mut Vec<&'n str>,
    seen: &mut HashSet<&'n str>,
    paths: &mut HashSet<&'n str>,
) {
    for node in nodes {
        if seen.insert(&node.key) {
            keys.push(&node.key);
        }
        let has_slash = match &node.value {
            NodeValue::Any => false,
            NodeValue::Exact(value) => value.contains('/'),
            NodeValue::Wildcard(parts) => parts.iter().any(|part| part.contains('/')),
        };
        if has_slash {
            paths.insert(&node.key);
        }
        collect_keys(&node.children, keys, seen, paths);
    }
}

impl<'n> Walk<'n> {
    fn level(
        &mut self,
        nodes: &'n [Node],
        attributes: &Attributes<'_>,
        above: &[(&'n Node, Selection)],
    ) {
        for node in nodes {
            let selection = level::select(node, nodes, attributes.of(&node.key));
            let why = match &selection {
                None => {
                    Some("not reached there either, for others on its level take all its values")
                }
                Some(_) if above.iter().any(|(it, _)| it.key == node.key) => Some(KEY_TWICE),
                Some(_) => None,
            };
            let path: Vec<&Node> = above.iter().map(|(it, _)| *it).chain([node]).collect();
            let (Some(selection), None) = (selection, why) else {
                self.leave_out(&path, why.unwrap_or_default());
                continue;
            };
            let mut whole = above.to_vec();
            whole.push((node, selection));
            if let Some(limit) = &node.limit {
                let selections = whole.iter().map(|(_, it)| it.clone()).collect();
                self.found.push(Found { path, limit, selections });
            }
            self.level(&node.children, attributes, &whole);
        }
    }

    /// A node with all below it.
    fn leave_out(&mut self, path: &[&'n Node], why: &str) {
        let Some(node) = path.last() else { return };
        if let Some(limit) = &node.limit {
            let limit = match &limit.limit {
                Some(limit) => format!("{}/{}", limit.amount, unit(limit).name()),
                None => "unlimited".to_owned(),
            };
            let path = path_text(path);
            if why == KEY_TWICE {
                self.uncarried.push(format!("`{path}`"));
            }
            self.left_out.push(format!("Left out: `{path}`, {limit}: {why}."));
        }
        for child in &node.children {
            self.leave_out(&[path, &[child]].concat(), why);
        }
    }
}

/// `tenant=acme > path`, as explanations of the original call it.
fn path_text(path: &[&Node]) -> String {
    let part = |node: &&Node| match &node.value {
        NodeValue::Any => node.key.clone(),
        NodeValue::Exact(value) => format!("{}={value}", node.key),
        NodeValue::Wildcard(parts) => format!("{}={}", node.key, parts.join("*")),
    };
    path.iter().map(part).collect::<Vec<_>>().join(" > ")
}

/// The rules that a name in `replaces` stands for; what is unlimited cannot be replaced.
fn by_own_name<'n>(found: &[Found<'n>], names: &[String]) -> BTreeMap<&'n str, Vec<String>> {
    let mut rules: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (found, rule) in found.iter().zip(names) {
        if let (Some(name), Some(_)) = (&found.limit.name, &found.limit.limit) {
            rules.entry(&name.value).or_default().push(rule.clone());
        }
    }
    rules
}

/// For each limit another one that is for the same keys in another order.
fn reordered(found: &[Found<'_>]) -> Vec<Option<usize>> {
    let mut by_keys: HashMap<Vec<&str>, Vec<usize>> = HashMap::new();
    let keys = |found: &Found<'_>| -> Vec<String> {
        found.path.iter().map(|node| node.key.clone()).collect()
    };
    for (position, it) in found.iter().enumerate() {
        let mut sorted: Vec<&str> = it.path.iter().map(|node| node.key.as_str()).collect();
        sorted.sort_unstable();
        let alike = by_keys.entry(sorted).or_default();
        // One of each order is enough to tell of.
        if alike.iter().all(|other| keys(&found[*other]) != keys(it)) {
            alike.push(position);
        }
    }
    let other = |it: &Found<'_>| {
        let mut sorted: Vec<&str> = it.path.iter().map(|node| node.key.as_str()).collect();
        sorted.sort_unstable();
        let alike = by_keys.get(&sorted)?;
        alike.iter().copied().find(|other| keys(&found[*other]) != keys(it))
    };
    found.iter().map(other).collect()
}

fn in_other_order(rule: &str) -> String {
    format!(
        "The rule `{rule}` is for entries of the same keys in another order, which cannot be told \
         apart here: both may apply to one descriptor."
    )
}

fn rule(
    found: &Found<'_>,
    name: &str,
    attributes: &Attributes<'_>,
    replaced: &BTreeMap<&str, Vec<String>>,
) -> DraftRule {
    // There a limit is only for descriptors that end with its entry.
    let mut rule =
        DraftRule { name: name.to_owned(), are_others_absent: true, ..DraftRule::default() };
    let mut clauses = Vec::new();
    for (node, selection) in found.path.iter().zip(&found.selections) {
        let attribute = attributes.of(&node.key);
        if let Some(pattern) = &selection.pattern {
            rule.matches.push((attribute.to_owned(), pattern.clone()));
        }
        if selection.is_counted {
            rule.per.push(attribute.to_owned());
        }
        clauses.extend(selection.clauses.iter().cloned());
        rule.notes.extend(selection.notes.iter().cloned());
    }
    rule.when = condition(clauses, &mut rule.notes);
    if let Some(own) = &found.limit.name
        && own.value != name
    {
        rule.notes.push(format!(
            "Named `{}` there; names of rules are unique and without control characters.",
            own.value
        ));
    }
    carry_limit(found, &mut rule);
    rule.replaces = replaces(&found.limit.replaces, replaced, &mut rule.notes);
    rule
}

/// The clauses as one condition, as many as fit.
fn condition(mut clauses: Vec<String>, notes: &mut Vec<String>) -> Option<String> {
    let mut length = 0;
    let fits = clauses.iter().take_while(|clause| {
        length += clause.len() + " && ".len();
        length <= LONGEST_CONDITION
    });
    let fitting = fits.count();
    if fitting < clauses.len() {
        clauses.truncate(fitting);
        notes.push(
            "Applies to more values than there: not all wildcards that come before it fit into \
             its condition."
                .to_owned(),
        );
    }
    (!clauses.is_empty()).then(|| clauses.join(" && "))
}

fn carry_limit(found: &Found<'_>, rule: &mut DraftRule) {
    let Some(limit) = &found.limit.limit else { return };
    let unit = unit(limit);
    let window = match unit {
        Unit::Second | Unit::Minute | Unit::Hour | Unit::Day => unit.name().to_owned(),
        Unit::Week | Unit::Month | Unit::Year => format!("{}h", unit.seconds() / 3_600),
    };
    let length = match unit {
        Unit::Week => Some("7 days from a Thursday on; write `week` for weeks from Monday on"),
        Unit::Month => Some("30 days counted from 1970; write `month` for months of the calendar"),
        Unit::Year => Some("365 days counted from 1970; write `year` for years of the calendar"),
        Unit::Second | Unit::Minute | Unit::Hour | Unit::Day => None,
    };
    rule.notes.extend(length.map(|length| format!("A {} is {length}.", unit.name())));
    let amount = limit.amount;
    rule.limits.push(DraftLimit { amount, window, begins_with_first_hit: false });
    rule.has_refund = true;
    let Some(leaf) = found.path.last() else { return };
    rule.is_shadow = leaf.shadow_mode;
    if leaf.quota_mode {
        let what = "A quota there, which denies only when all quotas of a request are used up. Here \
                    it denies by itself.";
        rule.notes.push(what.to_owned());
    }
    if leaf.metadata.is_some() {
        rule.notes.push("Its `metadata` is not told by native policies.".to_owned());
    }
    if leaf.detailed_metric || found.path.iter().any(|node| node.value_to_metric) {
        let what = "Metrics tell values of requests there, and the name of the rule alone here.";
        rule.notes.push(what.to_owned());
    }
}

/// All limits of this format are fixed windows of one unit.
fn unit(limit: &Limit) -> Unit {
    match limit.kind {
        Kind::Fixed(window) | Kind::Rolling(window) | Kind::Bucket { window, .. } => window.unit,
        Kind::Concurrent { .. } => Unit::Second,
    }
}

fn replaces(
    names: &[Placed<String>],
    replaced: &BTreeMap<&str, Vec<String>>,
    notes: &mut Vec<String>,
) -> Vec<String> {
    let mut rules: Vec<String> = Vec::new();
    for name in names {
        match replaced.get(name.value.as_str()) {
            Some(of_name) if of_name.iter().all(|rule| rules.contains(rule)) => {}
            Some(of_name) => rules.extend(of_name.iter().cloned()),
            None => notes.push(format!(
                "Replaces `{}` there, a name that no rule with a limit has.",
                name.value
            )),
        }
    }
    rules
}

/// What differs for the policy as a whole.
fn policy_notes(rules: &[DraftRule], attributes: &Attributes<'_>) -> Vec<String> {
    let mut notes = vec![
        "A descriptor with its entries in another order is without a limit in \
         envoyproxy/ratelimit; the order does not matter here."
            .to_owned(),
        "Denials have Retry-After and a problem body here, unless `respond` says otherwise. A limit \
         that a request brings along takes nothing from a request that is denied."
            .to_owned(),
    ];
    if !attributes.known.is_empty() {
        let known: Vec<String> = attributes.known.iter().map(|key| format!("`{key}`")).collect();
        notes.push(format!(
            "Compared as text, as there, and read under names of their own: {}. The attributes \
             `endpoint`, `method` and `ip` know paths, methods and addresses.",
            known.join(", ")
        ));
    }
    if rules.iter().any(|rule| rule.is_shadow) {
        notes.push("What is measured in shadow mode stays out of answers here.".to_owned());
    }
    if rules.iter().any(|rule| rule.when.is_some()) {
        notes.push("A value that is not UTF-8 meets no `when`.".to_owned());
    }
    notes
}
