//! Why a request is decided as it is: every rule of its domain, and whether and why it applies.
//!
//! The rules are asked by the same check that serving uses, one after the other instead of
//! through the index; of a table of endpoints the index then says which row applies.

use crate::limit::Limit;
use crate::policy::load::Load;
use crate::policy::matcher::tree::TreeStep;
use crate::policy::matcher::{Match, Matches};
use crate::policy::set::{Domain, Matcher, PolicySet, Rule, RuleLimit, RuleOverride};
use crate::request::{Descriptor, Request};
use crate::time::Timestamp;

use super::CounterKey;

/// One per descriptor; `None` when no policy has the domain.
pub fn explain<'s>(
    set: &'s PolicySet,
    request: &Request<'_>,
    now: Timestamp,
) -> Option<Vec<DescriptorExplanation<'s>>> {
    let domain = set.domain(request.domain)?;
    let mut replaced_by: Vec<(u32, &'s str)> = Vec::new();
    for descriptor in request.descriptors.iter().filter(|descriptor| descriptor.limit.is_none()) {
        let mut matches = Matches::default();
        domain.find(&descriptor.entries, now, &mut matches);
        for found in matches.found {
            let rule = domain.rule(found);
            let replaced = rule.replaces.iter().flat_map(|positions| positions.iter());
            replaced_by.extend(replaced.map(|position| (*position, &*rule.name)));
        }
    }
    let explain = |descriptor| explain_descriptor(domain, descriptor, &replaced_by, now);
    Some(request.descriptors.iter().map(explain).collect())
}

#[derive(Debug)]
pub struct DescriptorExplanation<'s> {
    /// Name and value of the attributes that rules of the domain name.
    pub attributes: Vec<(String, String)>,
    pub rules: Vec<RuleExplanation<'s>>,
    /// How an envoyproxy/ratelimit tree was walked; empty for native policies.
    pub steps: Vec<TreeStep>,
    /// A limit that the caller brought along stands in for all rules.
    pub brought_along: Option<Limit>,
    /// Of a domain that sheds load, and whether it exempts the descriptor.
    pub load: Option<(&'s Load, bool)>,
}

#[derive(Debug)]
pub struct RuleExplanation<'s> {
    pub rule: &'s Rule,
    pub application: Application<'s>,
}

#[derive(Debug)]
pub enum Application<'s> {
    Applies(Applied<'s>),
    ReplacedBy(String),
    Misses(String),
}

/// What a rule that applies counts, and by what.
#[derive(Debug)]
pub struct Applied<'s> {
    /// Name and value of what chooses the counter.
    pub key: Vec<(String, String)>,
    /// Each with its counter; none exempt.
    pub limits: Vec<(&'s RuleLimit, Limit, CounterKey)>,
    /// What stands in for the rule's limits.
    pub overridden: Option<&'s RuleOverride>,
    /// What hits are multiplied by.
    pub cost: u64,
}

impl<'s> Applied<'s> {
    fn new(rule: &'s Rule, found: Match, key: Vec<(String, String)>) -> Self {
        let counted = |limit: &'s RuleLimit| {
            Some((limit, limit.at(found.rows)?, found.base.with_limit(limit.salt)))
        };
        let overridden = found.overridden.and_then(|it| rule.overrides.get(it as usize));
        let limits = rule.limits_for(&found).iter().filter_map(counted).collect();
        Self { key, limits, overridden, cost: found.cost }
    }
}

fn explain_descriptor<'s>(
    domain: &'s Domain,
    descriptor: &Descriptor<'_>,
    replaced_by: &[(u32, &str)],
    now: Timestamp,
) -> DescriptorExplanation<'s> {
    let mut explanation = DescriptorExplanation {
        attributes: Vec::new(),
        rules: Vec::new(),
        steps: Vec::new(),
        brought_along: descriptor.limit,
        load: domain.load.as_deref().map(|load| (load, domain.is_exempt(&descriptor.entries, now))),
    };
    if descriptor.limit.is_some() {
        return explanation;
    }
    let replaced = |position: u32| {
        let found = replaced_by.iter().find(|(replaced, _)| *replaced == position);
        found.map(|(_, by)| Application::ReplacedBy((*by).to_owned()))
    };
    let applies = |rule, found, key| Application::Applies(Applied::new(rule, found, key));
    match &domain.matcher {
        Matcher::Native(matcher) => {
            let facts = matcher.facts(&descriptor.entries, now);
            let mut matches = Matches::default();
            facts.find(&mut matches);
            explanation.attributes = owned(facts.present());
            for (rule, position) in domain.rules.iter().zip(0..) {
                let application = match facts.check(position) {
                    Err(miss) => Application::Misses(facts.describe(position, miss)),
                    Ok(_) if !matches.found.iter().any(|it| it.rule == position) => {
                        Application::Misses("a more specific row of its table applies".to_owned())
                    }
                    Ok(found) => replaced(position)
                        .unwrap_or_else(|| applies(rule, found, owned(facts.per_values(position)))),
                };
                explanation.rules.push(RuleExplanation { rule, application });
            }
        }
        Matcher::Tree(tree) => {
            let (steps, found) = tree.walk(&descriptor.entries);
            explanation.steps = steps;
            if let Some(found) = found {
                let rule = domain.rule(found.found);
                let key = || found.values.clone();
                let application =
                    replaced(found.found.rule).unwrap_or_else(|| applies(rule, found.found, key()));
                explanation.rules.push(RuleExplanation { rule, application });
            }
        }
    }
    explanation
}

fn owned(pairs: Vec<(&str, String)>) -> Vec<(String, String)> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
