//! Works out shares: the limits of one rule as parts of another's.
//!
//! After this no rule has a share left: it has limits of its own, and follows the other rule's rows
//! and overrides.

use std::collections::HashMap;

use crate::policy::findings::{Findings, shown};
use crate::policy::model::{Counting, Limit, Override, Place, Placed, Rule, ShareOf};
use crate::policy::suggest;
use crate::policy::units;

/// Turns shares into limits and overrides of their own.
pub(super) fn work_out(findings: &mut Findings, rules: &mut [Rule]) {
    let names: HashMap<String, usize> =
        rules.iter().zip(0..).map(|(rule, index)| (rule.name.value.clone(), index)).collect();
    let mut resolver = Resolver { findings, names, state: vec![State::Open; rules.len()] };
    for index in 0..rules.len() {
        resolver.resolve(rules, index);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Its shares are being looked at: meeting it again is a circle.
    Begun,
    Done,
}

struct Resolver<'f> {
    findings: &'f mut Findings,
    names: HashMap<String, usize>,
    state: Vec<State>,
}

/// Errors before which hints look for the name that was meant.
const MOST_LOOKED_FOR: usize = 20;

/// Shares of shares of shares: more than anybody can follow.
const MOST_STEPS: usize = 64;

impl Resolver<'_> {
    fn resolve(&mut self, rules: &mut [Rule], index: usize) {
        let mut path = vec![index];
        while let Some(&index) = path.last() {
            if self.state[index] == State::Done {
                path.pop();
                continue;
            }
            self.state[index] = State::Begun;
            let open = self.next_open(rules, index);
            match open {
                Some((target, _))
                    if self.state[target] == State::Open && path.len() < MOST_STEPS =>
                {
                    path.push(target);
                }
                Some((_, place)) => {
                    let message = "these shares are of each other";
                    let hint = "write the amount of one of the rules as a number";
                    self.findings.error("share-circle", &place.bytes, message, hint);
                    rules[index].shares.clear();
                    self.state[index] = State::Done;
                }
                None => {
                    self.expand(rules, index);
                    self.state[index] = State::Done;
                }
            }
        }
    }

    /// A rule that this one has a share of, and that is not worked out yet.
    fn next_open(&self, rules: &[Rule], index: usize) -> Option<(usize, Place)> {
        let rule = &rules[index];
        let all = rule.shares.iter().chain(rule.overrides.iter().flat_map(|it| &it.shares));
        all.filter_map(|share| Some((self.find(&share.value.rule.value)?.0, share.place.clone())))
            .find(|(target, _)| self.state[*target] != State::Done)
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

    fn expand(&mut self, rules: &mut [Rule], index: usize) {
        let shares = std::mem::take(&mut rules[index].shares);
        let own = rules[index].limits.clone();
        let mut inherited: Vec<Override> = Vec::new();
        for share in &shares {
            let Some((source, window)) = self.source(rules, share) else { continue };
            let limits = self.scaled(&source.limits, share, window);
            rules[index].limits.extend(limits);
            if !source.overrides.is_empty() && shares.len() > 1 {
                let message = "a rule with several shares cannot follow the overrides of another";
                let hint = "write a rule for each share";
                self.findings.error("conflict", &share.place.bytes, message, hint);
            }
            for of_source in &source.overrides {
                let limits = match of_source.limits.is_empty() {
                    true => Vec::new(),
                    false => [own.clone(), self.scaled(&of_source.limits, share, window)].concat(),
                };
                inherited.push(Override { limits, shares: Vec::new(), ..of_source.clone() });
            }
        }
        for position in 0..rules[index].overrides.len() {
            let shares = std::mem::take(&mut rules[index].overrides[position].shares);
            for share in &shares {
                let Some((source, window)) = self.source(rules, share) else { continue };
                let limits = self.scaled(&source.limits, share, window);
                rules[index].overrides[position].limits.extend(limits);
            }
        }
        rules[index].overrides.extend(inherited);
    }

    /// The rule that a share is of, as it is worked out, and the window of the limit that is meant.
    fn source<'s>(
        &mut self,
        rules: &[Rule],
        share: &'s Placed<ShareOf>,
    ) -> Option<(Rule, Option<&'s str>)> {
        let name = &share.value.rule.value;
        let Some((target, window)) = self.find(name) else {
            if rules.iter().any(|rule| rule.row.as_ref().is_some_and(|row| row.of.value == *name)) {
                let message = format!("the rule {} has a limit for each endpoint", shown(name));
                let hint = "take a share of one row: `80% of RULE METHOD /template`";
                self.findings.error("bad-limit", &share.place.bytes, message, hint);
                return None;
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
            return None;
        };
        let rule = &rules[target];
        if rule.unlimited {
            let message = format!("{} is unlimited: there is nothing to share", shown(name));
            let hint = "take a share of a rule with limits";
            self.findings.error("bad-limit", &share.place.bytes, message, hint);
            return None;
        }
        Some((rule.clone(), window))
    }

    /// Shares of all limits, or of the one that has this window.
    fn scaled(
        &mut self,
        limits: &[Placed<Limit>],
        share: &Placed<ShareOf>,
        window: Option<&str>,
    ) -> Vec<Placed<Limit>> {
        let identity = window.map(|text| units::window(text).map(|it| it.identity()));
        let wanted = |limit: &&Placed<Limit>| match &identity {
            None => true,
            Some(identity) => {
                let own = limit.value.window().map(|window| window.identity());
                identity.as_ref().ok() == own.as_ref() && own.is_some()
            }
        };
        let found: Vec<_> = limits.iter().filter(wanted).collect();
        if found.is_empty() && !limits.is_empty() {
            let message = "the other rule has no limit with this window";
            let windows: Vec<String> = limits
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
        }
        let scale = |limit: &Placed<Limit>| Placed {
            value: scaled_one(&limit.value, &share.value),
            place: share.place.clone(),
        };
        found.into_iter().map(scale).collect()
    }
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
