//! Why a request is decided as it is: every rule of its domain, and whether and why it applies.
//!
//! The rules are asked by the same check that serving uses, one after the other instead of
//! through the index.

use crate::limit::Limit;
use crate::policy::matcher::Matches;
use crate::policy::matcher::tree::TreeStep;
use crate::policy::model::Mode;
use crate::policy::set::{Domain, Matcher, PolicySet, Rule};
use crate::request::{Descriptor, Request};

/// One per descriptor; `None` when no policy has the domain.
pub fn explain<'s>(
    set: &'s PolicySet,
    request: &Request<'_>,
) -> Option<Vec<DescriptorExplanation<'s>>> {
    let domain = set.domain(request.domain)?;
    let mut replaced_by: Vec<(u32, &'s str)> = Vec::new();
    for descriptor in request.descriptors.iter().filter(|descriptor| descriptor.limit.is_none()) {
        let mut matches = Matches::new();
        domain.find(&descriptor.entries, &mut matches);
        for found in matches {
            let rule = domain.rule(found);
            let replaced = rule.replaces.iter().flat_map(|positions| positions.iter());
            replaced_by.extend(replaced.map(|position| (*position, &*rule.name)));
        }
    }
    let explain = |descriptor| explain_descriptor(domain, descriptor, &replaced_by);
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
}

#[derive(Debug)]
pub struct RuleExplanation<'s> {
    pub rule: &'s Rule,
    pub application: Application,
}

#[derive(Debug)]
pub enum Application {
    Applies {
        /// Name and value of what chooses the counter.
        key: Vec<(String, String)>,
        mode: Mode,
    },
    ReplacedBy(String),
    Misses(String),
}

fn explain_descriptor<'s>(
    domain: &'s Domain,
    descriptor: &Descriptor<'_>,
    replaced_by: &[(u32, &str)],
) -> DescriptorExplanation<'s> {
    let mut explanation = DescriptorExplanation {
        attributes: Vec::new(),
        rules: Vec::new(),
        steps: Vec::new(),
        brought_along: descriptor.limit,
    };
    if descriptor.limit.is_some() {
        return explanation;
    }
    let replaced = |position: u32| {
        let found = replaced_by.iter().find(|(replaced, _)| *replaced == position);
        found.map(|(_, by)| Application::ReplacedBy((*by).to_owned()))
    };
    let applies = |rule: &Rule, key| Application::Applies { key, mode: rule.mode };
    match &domain.matcher {
        Matcher::Native(matcher) => {
            let facts = matcher.facts(&descriptor.entries);
            explanation.attributes = owned(facts.present());
            for (rule, position) in domain.rules.iter().zip(0..) {
                let application = match facts.check(position) {
                    Err(miss) => Application::Misses(facts.describe(position, miss)),
                    Ok(_) => replaced(position)
                        .unwrap_or_else(|| applies(rule, owned(facts.per_values(position)))),
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
                    replaced(found.found.rule).unwrap_or_else(|| applies(rule, key()));
                explanation.rules.push(RuleExplanation { rule, application });
            }
        }
    }
    explanation
}

fn owned(pairs: Vec<(&str, String)>) -> Vec<(String, String)> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
