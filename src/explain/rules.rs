//! Which rules of a domain apply to a descriptor, and why the others do not.
//!
//! The rules are asked one after the other instead of through the index; of a table of endpoints
//! the index then says which row applies. Rows that do not are told together.

use std::collections::HashMap;

use super::{MissedRule, Pair, ReplacedRule};
use crate::policy::matcher::details::Reasons;
use crate::policy::matcher::native::NativeMatcher;
use crate::policy::matcher::tree::{Choice, Tree, TreeStep};
use crate::policy::matcher::{Match, Matches};
use crate::policy::set::{Domain, Matcher, Rule};
use crate::request::{Descriptor, Request};
use crate::time::Timestamp;

/// Positions of the rules that some matching rule replaces, each with that rule's name.
pub(super) type Replacements<'s> = HashMap<u32, &'s str>;

/// How the rules of a domain see one descriptor.
#[derive(Debug, Default)]
pub(super) struct Seen<'s> {
    pub(super) attributes: Vec<Pair>,
    pub(super) steps: Vec<String>,
    pub(super) applies: Vec<Applying<'s>>,
    pub(super) replaced: Vec<ReplacedRule>,
    pub(super) misses: Vec<MissedRule>,
}

#[derive(Debug)]
pub(super) struct Applying<'s> {
    pub(super) rule: &'s Rule,
    pub(super) found: Match,
    pub(super) reasons: Reasons,
}

/// Whichever descriptors of a request the rules match.
pub(super) fn replacements<'s>(
    domain: &'s Domain,
    request: &Request<'_>,
    now: Timestamp,
) -> Replacements<'s> {
    let mut matches = Matches::default();
    for descriptor in request.descriptors.iter().filter(|descriptor| descriptor.limit.is_none()) {
        domain.finder(now).find(&descriptor.entries, &mut matches);
    }
    let mut replaced_by = Replacements::new();
    for found in matches.found {
        let rule = domain.rule(found);
        for position in rule.replaces.iter().flat_map(|positions| positions.iter()) {
            replaced_by.entry(*position).or_insert(&rule.name);
        }
    }
    replaced_by
}

pub(super) fn see<'s>(
    domain: &'s Domain,
    descriptor: &Descriptor<'_>,
    replaced_by: &Replacements<'s>,
    now: Timestamp,
) -> Seen<'s> {
    let mut seen = Seen::default();
    match &domain.matcher {
        // A limit that the caller brings along stands in for all rules.
        _ if descriptor.limit.is_some() => {}
        Matcher::Native(matcher) => {
            see_native(&mut seen, domain, matcher, (descriptor, now), replaced_by);
        }
        Matcher::Tree(tree) => see_tree(&mut seen, domain, tree, descriptor, replaced_by),
    }
    seen
}

fn see_native<'s>(
    seen: &mut Seen<'s>,
    domain: &'s Domain,
    matcher: &NativeMatcher,
    (descriptor, now): (&Descriptor<'_>, Timestamp),
    replaced_by: &Replacements<'s>,
) {
    let facts = matcher.facts(&descriptor.entries, now);
    let mut matches = Matches::default();
    facts.find(&mut matches);
    seen.attributes = pairs(facts.present().into_iter().map(|(name, value)| (name.into(), value)));
    let mut misses = Misses::default();
    for (rule, position) in domain.rules.iter().zip(0..) {
        match facts.check(position) {
            Err(miss) => {
                let is_elsewhere = facts.is_elsewhere(position, &miss);
                misses.add(rule, facts.describe(position, miss), is_elsewhere);
            }
            Ok(_) if !matches.found.iter().any(|it| it.rule == position) => {
                misses.add(rule, "a more specific row of its table applies".to_owned(), false);
            }
            Ok(found) => seen.add(rule, found, replaced_by, || facts.reasons(position)),
        }
    }
    seen.misses = misses.told(domain);
}

fn see_tree<'s>(
    seen: &mut Seen<'s>,
    domain: &'s Domain,
    tree: &Tree,
    descriptor: &Descriptor<'_>,
    replaced_by: &Replacements<'s>,
) {
    let (steps, found) = tree.walk(&descriptor.entries);
    seen.steps = steps.iter().map(step_in_words).collect();
    if let Some(found) = found {
        let reasons = || Reasons { per: found.values, ..Reasons::default() };
        seen.add(domain.rule(found.found), found.found, replaced_by, reasons);
    }
}

impl<'s> Seen<'s> {
    fn add(
        &mut self,
        rule: &'s Rule,
        found: Match,
        replaced_by: &Replacements<'s>,
        reasons: impl FnOnce() -> Reasons,
    ) {
        match replaced_by.get(&found.rule) {
            Some(by) => {
                let (rule, by) = (rule.name.to_string(), (*by).to_owned());
                self.replaced.push(ReplacedRule { rule, by });
            }
            None => self.applies.push(Applying { rule, found, reasons: reasons() }),
        }
    }
}

pub(super) fn pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Vec<Pair> {
    pairs.into_iter().map(Pair::from).collect()
}

/// Rules that do not apply, with the rows of one table that have one reason taken together.
#[derive(Debug, Default)]
struct Misses<'s> {
    found: Vec<Missed<'s>>,
    /// Where the rows of a table are that have one reason; `None` stands for being for another
    /// endpoint or method.
    together: HashMap<(&'s str, Option<String>), usize>,
}

#[derive(Debug)]
struct Missed<'s> {
    /// The first one.
    rule: &'s Rule,
    rows: u64,
    why: String,
    is_elsewhere: bool,
}

impl<'s> Misses<'s> {
    fn add(&mut self, rule: &'s Rule, why: String, is_elsewhere: bool) {
        if let Some(table) = rule.row_of.as_deref() {
            let reason = (!is_elsewhere).then(|| why.clone());
            let place = *self.together.entry((table, reason)).or_insert(self.found.len());
            if let Some(missed) = self.found.get_mut(place) {
                missed.rows += 1;
                return;
            }
        }
        self.found.push(Missed { rule, rows: 1, why, is_elsewhere });
    }

    fn told(self, domain: &Domain) -> Vec<MissedRule> {
        let mut sizes: HashMap<&str, u64> = HashMap::new();
        for table in domain.rules.iter().filter_map(|rule| rule.row_of.as_deref()) {
            *sizes.entry(table).or_default() += 1;
        }
        let told = |missed: Missed<'s>| {
            let Missed { rule, rows, why, is_elsewhere } = missed;
            let table = match &rule.row_of {
                Some(table) if rows > 1 => table,
                row => {
                    let rows = row.is_some().then_some(1);
                    return MissedRule { rule: rule.name.to_string(), rows, why };
                }
            };
            let is_all = sizes.get(&**table) == Some(&rows);
            let why = match (is_elsewhere, is_all) {
                (true, true) => format!("none of its {rows} rows is for this endpoint and method"),
                (true, false) => format!("{rows} of its rows are for other endpoints or methods"),
                (false, true) => format!("all of its {rows} rows: {why}"),
                (false, false) => format!("{rows} of its rows: {why}"),
            };
            MissedRule { rule: table.to_string(), rows: Some(rows), why }
        };
        self.found.into_iter().map(told).collect()
    }
}

fn step_in_words(step: &TreeStep) -> String {
    let TreeStep { key, value, choice, has_limit } = step;
    let limit = if *has_limit { "has a limit" } else { "has no limit of its own" };
    match choice {
        Some(Choice::Exact) => format!("{key}={value}: the rule for this value; {limit}"),
        Some(Choice::Wildcard) => format!("{key}={value}: a rule with a wildcard; {limit}"),
        Some(Choice::KeyOnly) => format!("{key}={value}: the rule for every value; {limit}"),
        None => format!("{key}={value}: no rule at this level, so nothing applies"),
    }
}
