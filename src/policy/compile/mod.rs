//! From a checked policy to its compiled domain.
//!
//! All names are resolved here: what a request meets is positions, slots and hashes.

mod descriptors;

use std::collections::HashMap;
use std::sync::Arc;

use super::amounts::{Amounts, amount_tables};
use super::load::Load;
use super::matcher::native::NativeMatcher;
use super::model::{self, Body, Mode, Options, Policy};
use super::respond::Respond;
use super::set::{CounterBase, CounterSeed, Domain, Matcher, Rule, RuleSalt};

/// The set numbers its domains and rules when all are there.
pub(super) fn domain(policy: &Policy, seed: CounterSeed, options: &Options) -> Domain {
    let name = policy.domain.value.as_str();
    let mut domain = match &policy.body {
        Body::Native(native) => {
            let respond = Arc::new(native.respond.clone());
            let load = native.load.as_ref().map(|load| {
                let exempt = load.exempt.iter().map(|conditions| applies_to(conditions)).collect();
                Load::new(name, load, exempt, &respond, seed)
            });
            Domain {
                index: 0,
                name: name.into(),
                rules: native_rules(name, native, &respond, seed),
                limitless: Vec::new(),
                respond,
                load: load.map(Box::new),
                descriptors: None,
                matcher: Matcher::Native(Box::new(NativeMatcher::new(name, native, seed))),
            }
        }
        Body::Descriptors(nodes) => return descriptors::domain(name, nodes, seed, options),
    };
    if options.mode == Mode::Shadow {
        let load = domain.load.as_mut().map(|load| &mut load.rule);
        domain.rules.iter_mut().chain(load).for_each(|rule| rule.mode = Mode::Shadow);
    }
    domain
}

fn native_rules(
    domain: &str,
    policy: &model::NativePolicy,
    shared: &Arc<Respond>,
    seed: CounterSeed,
) -> Vec<Rule> {
    let mut positions: HashMap<&str, Vec<u32>> = HashMap::new();
    for (rule, position) in policy.rules.iter().zip(0..) {
        positions.entry(&rule.name.value).or_default().push(position);
        if let Some(row) = &rule.row {
            positions.entry(&row.of.value).or_default().push(position);
        }
    }
    let positions: HashMap<&str, Arc<[u32]>> =
        positions.into_iter().map(|(name, positions)| (name, positions.into())).collect();
    let tables = Amounts { tables: &policy.tables, seed };
    let compile = |rule: &model::Rule| Rule {
        index: 0,
        name: rule.name.value.as_str().into(),
        salt: RuleSalt::new(seed, domain, &rule.name.value),
        wire_name: sanitise(&rule.name.value).into(),
        applies_to: rule_applies_to(rule),
        per: rule.per.iter().map(|name| name.value.clone()).collect(),
        limits: tables.limits(&rule.limits, &amount_tables(&policy.tables, rule)),
        overrides: tables.overrides(rule),
        row_of: rule.row.as_ref().map(|row| row.of.value.as_str().into()),
        is_unlimited: rule.unlimited,
        is_replacing: false,
        when: rule.when.as_ref().map(|when| when.value.to_string().into()),
        cost: rule.cost.as_ref().map(|cost| cost.value.to_string().into()),
        replaces: rule
            .replaces
            .iter()
            .filter_map(|name| positions.get(name.value.as_str()).cloned())
            .collect(),
        charge: rule.charge,
        mode: rule.mode,
        descriptor: None,
        has_refund: rule.refund,
        is_strict: rule.strict,
        overflow: CounterBase::SHARED,
        respond: rule.respond.clone().map_or_else(|| Arc::clone(shared), Arc::new),
    };
    policy.rules.iter().map(compile).collect()
}

fn rule_applies_to(rule: &model::Rule) -> String {
    let mut words = applies_to(&rule.conditions);
    if rule.are_others_absent {
        let separator = if words.is_empty() { "" } else { ", " };
        words.push_str(separator);
        words.push_str("there are no other entries");
    }
    words
}

/// The conditions in words, in an order that does not depend on how they were written.
fn applies_to(conditions: &[model::Condition]) -> String {
    let word = |condition: &model::Condition| {
        format!("{} is {}", condition.attribute.value, condition.pattern)
    };
    let mut words: Vec<String> = conditions.iter().map(word).collect();
    words.sort_unstable();
    words.join(", ")
}

/// A name as it may leave in headers that others write without escaping.
pub(super) fn sanitise(name: &str) -> String {
    let clean = |c: char| match c {
        '"' | '\\' | ',' | ';' => '_',
        ' '..='~' => c,
        _ => '_',
    };
    name.chars().map(clean).collect()
}
