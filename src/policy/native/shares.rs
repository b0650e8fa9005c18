//! Works out shares: the limits of one rule as parts of another's.
//!
//! After this no rule has a share left: it has limits of its own, and follows the other rule's rows
//! and overrides.

use std::collections::{HashMap, HashSet};

use crate::policy::findings::{Findings, shown};
use crate::policy::model::{Condition, Counting, Limit, Override, Place, Placed, Rule, ShareOf};
use crate::policy::native::limits::MOST_LIMITS;
use crate::policy::suggest;
use crate::policy::units;

/// Turns shares into limits and overrides of their own.
pub(super) fn work_out(findings: &mut Findings, rules: &mut [Rule]) {
    let names: HashMap<String, usize> =
        rules.iter().zip(0..).map(|(rule, index)| (rule.name.value.clone(), index)).collect();
    let tables = rules.iter().filter_map(|rule| Some(rule.row.as_ref()?.of.value.clone()));
    let tables: HashSet<String> = tables.collect();
    let state = vec![State::Open; rules.len()];
    let mut resolver = Resolver { findings, names, tables, state, made: 0 };
    for index in 0..rules.len() {
        resolver.resolve(rules, index);
    }
    // What was not worked out has been reported.
    for rule in rules {
        rule.shares.clear();
        rule.overrides.iter_mut().for_each(|over| over.shares.clear());
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Its shares are being looked at: meeting it again is a circle.
    Begun,
    /// Worked out, with the steps that lead to amounts of its own: 0 for a rule without shares.
    Done(usize),
    /// One of a circle, which has been reported.
    Faulty,
}

struct Resolver<'f> {
    findings: &'f mut Findings,
    names: HashMap<String, usize>,
    /// The rules that have a table of endpoints.
    tables: HashSet<String>,
    state: Vec<State>,
    /// What shares have made so far, in parts.
    made: usize,
}

/// A rule while the rules that it has shares of are looked at.
struct Step {
    rule: usize,
    /// Those rules, each with the place of the share.
    sources: std::vec::IntoIter<(usize, Place)>,
    depth: usize,
}

/// Where a share is worked out: the limits that are meant, and for what they stand.
struct Source<'s> {
    rule: &'s Rule,
    window: Option<&'s str>,
}

/// Errors before which hints look for the name that was meant.
const MOST_LOOKED_FOR: usize = 20;

/// Shares of shares of shares: more than anybody can follow.
const MOST_DEPTH: usize = 16;

/// All that shares make in one policy: limits and the steps of their formulas, overrides and the
/// values that they match.
const MOST_MADE: usize = 1_000_000;

impl Resolver<'_> {
    fn resolve(&mut self, rules: &mut [Rule], first: usize) {
        let mut path: Vec<Step> = Vec::new();
        path.extend(self.begin(rules, first));
        while let Some(step) = path.last_mut() {
            let (rule, depth) = (step.rule, step.depth);
            match step.sources.next() {
                Some((source, place)) => match self.state[source] {
                    State::Open => path.extend(self.begin(rules, source)),
                    State::Begun => {
                        let message = "these shares are of each other";
                        let hint = "write the amount of one of the rules as a number";
                        self.findings.error("share-circle", &place.bytes, message, hint);
                        self.state[rule] = State::Faulty;
                        path.pop();
                    }
                    State::Done(below) => step.depth = depth.max(below + 1),
                    State::Faulty => {}
                },
                None => {
                    path.pop();
                    self.finish(rules, rule, depth);
                }
            }
            // What was found of a rule counts for the rule that it was looked at for.
            if let Some(step) = path.last_mut()
                && let State::Done(below) = self.state[rule]
                && step.rule != rule
            {
                step.depth = step.depth.max(below + 1);
            }
        }
    }

    /// Looks up the rules that an open rule has shares of.
    fn begin(&mut self, rules: &[Rule], index: usize) -> Option<Step> {
        if self.state[index] != State::Open {
            return None;
        }
        self.state[index] = State::Begun;
        let rule = &rules[index];
        let shares = rule.shares.iter().chain(rule.overrides.iter().flat_map(|it| &it.shares));
        let source = |share: &Placed<ShareOf>| {
            Some((self.find(&share.value.rule.value)?.0, share.place.clone()))
        };
        let sources: Vec<_> = shares.filter_map(source).collect();
        Some(Step { rule: index, sources: sources.into_iter(), depth: 0 })
    }

    fn finish(&mut self, rules: &mut [Rule], index: usize, depth: usize) {
        self.state[index] = State::Done(depth);
        if depth <= MOST_DEPTH {
            self.expand(rules, index);
            return;
        }
        let rule = &rules[index];
        let overridden = rule.overrides.iter().flat_map(|it| &it.shares);
        // The first rule of a chain that is too deep tells of all that go on from it.
        if let Some(share) = rule.shares.iter().chain(overridden).next()
            && depth == MOST_DEPTH + 1
        {
            let message = format!("a share of a share of a share, more than {MOST_DEPTH} deep");
            let hint = "take the share of a rule whose amount is a number";
            self.findings.error("bad-limit", &share.place.bytes, message, hint);
        }
    }

    /// The rule of a share, and the window that says which of its limits.
    fn find<'n>(&self, name: &'n str) -> Option<(usize, Option<&'n str>)> {
        if let Some(index) = self.names.get(name) {
            return Some((*index, None));
        }
        let (rule, window) = name.rsplit_once('/')?;
        let index = self.names.get(rule.trim())?;
        Some((*index, Some(window)))
    }

    /// No rule has a share of itself here, nor of what is not worked out.
    fn expand(&mut self, rules: &mut [Rule], index: usize) {
        let shares = std::mem::take(&mut rules[index].shares);
        let mut overrides = std::mem::take(&mut rules[index].overrides);
        let mut limits = std::mem::take(&mut rules[index].limits);
        let own = limits.clone();
        let own_parts: usize = own.iter().map(|limit| limit.value.parts()).sum();
        let mut inherited: Vec<Override> = Vec::new();
        for share in &shares {
            let Some(source) = self.source(rules, share) else { continue };
            self.extend(&mut limits, &source.rule.limits, share, &source);
            if !source.rule.overrides.is_empty() && shares.len() > 1 {
                let message = "a rule with several shares cannot follow the overrides of another";
                let hint = "write a rule for each share";
                self.findings.error("conflict", &share.place.bytes, message, hint);
                continue;
            }
            for of_source in &source.rule.overrides {
                if !self.makes(of_source.parts() + own_parts, share) {
                    break;
                }
                inherited.push(self.inherited(of_source, &own, share, &source));
            }
        }
        for over in &mut overrides {
            for share in std::mem::take(&mut over.shares) {
                let Some(source) = self.source(rules, &share) else { continue };
                self.extend(&mut over.limits, &source.rule.limits, &share, &source);
            }
        }
        overrides.extend(inherited);
        rules[index].limits = limits;
        rules[index].overrides = overrides;
    }

    /// An override as the rule with a share of its rule follows it, beside limits of its own.
    fn inherited(
        &mut self,
        over: &Override,
        own: &[Placed<Limit>],
        share: &Placed<ShareOf>,
        source: &Source<'_>,
    ) -> Override {
        let mut limits = Vec::new();
        if !over.limits.is_empty() {
            limits.extend_from_slice(own);
            if is_in(&over.limits, source.window) {
                self.extend(&mut limits, &over.limits, share, source);
            } else {
                self.lacks_window(over, share, source);
            }
        }
        Override {
            conditions: over.conditions.clone(),
            limits,
            shares: Vec::new(),
            until: over.until.clone(),
            reason: over.reason.clone(),
        }
    }

    /// The rule that a share is of, as it is worked out, and the window of the limit that is meant.
    fn source<'s>(&mut self, rules: &'s [Rule], share: &'s Placed<ShareOf>) -> Option<Source<'s>> {
        let name = &share.value.rule.value;
        let Some((target, window)) = self.find(name) else {
            self.unknown(share);
            return None;
        };
        let rule = &rules[target];
        if rule.unlimited {
            let message = format!("{} is unlimited: there is nothing to share", shown(name));
            let hint = "take a share of a rule with limits";
            self.findings.error("bad-limit", &share.place.bytes, message, hint);
            return None;
        }
        Some(Source { rule, window })
    }

    fn unknown(&mut self, share: &Placed<ShareOf>) {
        let name = &share.value.rule.value;
        if self.tables.contains(name) {
            let message = format!("the rule {} has a limit for each endpoint", shown(name));
            let hint = "take a share of one row: `80% of RULE METHOD /template`";
            self.findings.error("bad-limit", &share.place.bytes, message, hint);
            return;
        }
        let message = format!("there is no rule {} to take a share of", shown(name));
        // Looking for what was meant is dear, so it is not done for ever.
        let is_looked_for = self.findings.errors() < MOST_LOOKED_FOR;
        let known = self.names.keys().map(String::as_str);
        let near = is_looked_for.then(|| suggest::nearest(name, known)).flatten();
        let hint = match near {
            Some(near) => format!("did you mean {}?", shown(near)),
            None => "write the `name` of another rule of this policy".to_owned(),
        };
        self.findings.error("unknown-rule", &share.place.bytes, message, hint);
    }

    /// Adds shares of all limits, or of the one that has the window.
    fn extend(
        &mut self,
        limits: &mut Vec<Placed<Limit>>,
        of: &[Placed<Limit>],
        share: &Placed<ShareOf>,
        source: &Source<'_>,
    ) {
        if !is_in(of, source.window) {
            let message = "the other rule has no limit with this window";
            let windows: Vec<String> = of
                .iter()
                .filter_map(|limit| limit.value.window())
                .map(|window| window.to_string())
                .collect();
            let all = "write `80% of RULE` for a share of all its limits";
            let hint = match windows.is_empty() {
                true => all.to_owned(),
                false => format!("it has one per {}; {all}", windows.join(", per ")),
            };
            self.findings.error("bad-limit", &share.place.bytes, message, hint);
            return;
        }
        for limit in wanted(of, source.window) {
            if limits.len() >= MOST_LIMITS {
                let message = format!("these shares make more than {MOST_LIMITS} limits");
                let hint = "take a share of one limit: `80% of RULE/day`";
                self.findings.error("too-many-items", &share.place.bytes, message, hint);
                return;
            }
            if !self.makes(limit.value.parts(), share) {
                return;
            }
            let value = scaled_one(&limit.value, &share.value);
            limits.push(Placed { value, place: share.place.clone() });
        }
    }

    fn lacks_window(&mut self, over: &Override, share: &Placed<ShareOf>, source: &Source<'_>) {
        let word = |condition: &Condition| {
            format!("{} is {}", condition.attribute.value, condition.pattern)
        };
        let words: Vec<String> = over.conditions.iter().map(word).collect();
        let message = format!(
            "the override of {} where {} has no limit with this window",
            shown(&source.rule.name.value),
            words.join(" and ")
        );
        let hint = "give that override a limit with this window, or take a share of all limits";
        self.findings.error("bad-limit", &share.place.bytes, message, hint);
        if let Some(condition) = over.conditions.first() {
            self.findings.relate(&condition.attribute.place.bytes, "this override");
        }
    }

    /// Counts what a share is about to make; false, and said once, where it is too much.
    fn makes(&mut self, parts: usize, share: &Placed<ShareOf>) -> bool {
        let had_room = self.made <= MOST_MADE;
        self.made = self.made.saturating_add(parts);
        if had_room && self.made > MOST_MADE {
            let message = format!(
                "the shares of this policy make more than {MOST_MADE} limits, overrides and values"
            );
            let hint = "put the amounts into a table: `limits: [\"tenant.amount/day\"]`";
            self.findings.error("too-many-items", &share.place.bytes, message, hint);
        }
        self.made <= MOST_MADE
    }
}

/// Whether a share finds a limit; where there is none at all, that has been reported.
fn is_in(limits: &[Placed<Limit>], window: Option<&str>) -> bool {
    limits.is_empty() || wanted(limits, window).next().is_some()
}

/// All limits, or those that have the window.
fn wanted<'l>(
    limits: &'l [Placed<Limit>],
    window: Option<&str>,
) -> impl Iterator<Item = &'l Placed<Limit>> {
    let identity = window.map(|text| units::window(text).map(|it| it.identity()).ok());
    limits.iter().filter(move |limit| match &identity {
        None => true,
        Some(identity) => {
            let own = limit.value.window().map(|window| window.identity());
            own.is_some() && *identity == own
        }
    })
}

fn scaled_one(limit: &Limit, of: &ShareOf) -> Limit {
    let counting = match limit.counting {
        Counting::Bucket { window, burst: Some(burst) } => {
            let share = u128::from(burst) * u128::from(of.share.hundredths_of_percent());
            let share = u64::try_from(share / 10_000).unwrap_or(u64::MAX);
            Counting::Bucket { window, burst: Some(share.max(1)) }
        }
        counting => counting,
    };
    Limit { amount: limit.amount.share(of.share), counting, resume_below: of.resume_below }
}
