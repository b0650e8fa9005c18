//! Native rules: all that match apply, whatever their order.
//!
//! A request looks up its own values in the index and checks only the rules that hang there, so
//! rules about other tenants and paths cost nothing. Whether a rule applies is said by its
//! conditions alone; the index only leaves out those that cannot.

use smallvec::SmallVec;

use super::attributes::{Attributes, Slot, Values};
use super::index::{Index, hook_choices};
use super::pattern::{Captures, CompiledPattern, Subject};
use super::{Match, Matches, readable};
use crate::policy::model;
use crate::policy::set::{CounterBase, CounterHasher, CounterSeed};
use crate::request::Entry;

#[derive(Debug)]
pub struct NativeMatcher {
    attributes: Attributes,
    rules: Vec<CompiledRule>,
    index: Index,
    /// Segments that a path need be split into: one more than the longest template of any rule,
    /// so that a longer path is told from it.
    segments_max: usize,
}

#[derive(Debug)]
struct CompiledRule {
    conditions: Vec<Condition>,
    per: Vec<Slot>,
    counters: CounterHasher,
}

#[derive(Debug)]
struct Condition {
    slot: Slot,
    pattern: CompiledPattern,
    /// The pattern as it was written, for explanations.
    text: String,
}

/// Why a rule does not apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// The condition at this position of the rule's match does not hold.
    Condition(usize),
    /// The attribute at this position of `per` is absent.
    PerAbsent(usize),
}

/// A descriptor as the rules of one domain see it.
#[derive(Debug)]
pub struct Facts<'m, 'r> {
    matcher: &'m NativeMatcher,
    values: Values<'r>,
}

impl NativeMatcher {
    pub fn new(domain: &str, policy: &model::NativePolicy, seed: CounterSeed) -> Self {
        let mut attributes = Attributes::new(&policy.attributes);
        let rules: Vec<CompiledRule> = policy
            .rules
            .iter()
            .map(|rule| CompiledRule {
                conditions: compile_conditions(rule, &mut attributes),
                per: rule.per.iter().map(|name| attributes.slot(&name.value)).collect(),
                counters: rule_counters(domain, rule, seed),
            })
            .collect();
        let choices = rules.iter().map(|rule| {
            hook_choices(rule.conditions.iter().map(|it| (it.slot, &it.pattern)), &rule.per)
        });
        let index = Index::new(attributes.names().len(), &choices.collect::<Vec<_>>());
        let conditions = rules.iter().flat_map(|rule| &rule.conditions);
        let longest = conditions.map(|condition| condition.pattern.segment_count_max()).max();
        let segments_max = longest.unwrap_or_default() + 1;
        Self { attributes, rules, index, segments_max }
    }

    pub fn facts<'m, 'r>(&'m self, entries: &[Entry<'r>]) -> Facts<'m, 'r> {
        Facts { matcher: self, values: self.attributes.read(entries) }
    }

    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }
}

fn compile_conditions(rule: &model::Rule, attributes: &mut Attributes) -> Vec<Condition> {
    rule.conditions
        .iter()
        .map(|condition| Condition {
            slot: attributes.slot(&condition.attribute.value),
            pattern: CompiledPattern::compile(&condition.pattern, attributes),
            text: condition.pattern.to_string(),
        })
        .collect()
}

/// A native rule's counters are told apart by domain, rule name and the names of `per`; values
/// and windows come later.
fn rule_counters(domain: &str, rule: &model::Rule, seed: CounterSeed) -> CounterHasher {
    let mut counters = CounterHasher::new(seed);
    counters.feed(b"rule");
    counters.feed(domain.as_bytes());
    counters.feed(rule.name.value.as_bytes());
    for attribute in &rule.per {
        counters.feed(attribute.value.as_bytes());
    }
    counters
}

impl Facts<'_, '_> {
    /// Adds every rule that applies, in the order of the policy.
    pub fn find(&self, matches: &mut Matches) {
        let segments = self.segments();
        let check =
            |rule: u32| self.check_with(rule, &segments).ok().map(|base| Match { rule, base });
        matches.extend(self.candidates(&segments).into_iter().filter_map(check));
    }

    /// The rules that hang on what the descriptor says, each once and in order.
    pub(super) fn candidates(&self, segments: &[&[u8]]) -> SmallVec<[u32; 16]> {
        let mut candidates: SmallVec<[u32; 16]> = SmallVec::new();
        let has_path = self.matcher.attributes.endpoint(&self.values).is_some();
        let path = has_path.then_some(segments);
        self.matcher.index.find(&self.values, path, &mut |rule| candidates.push(rule));
        candidates.sort_unstable();
        candidates.dedup();
        candidates
    }

    /// Whether one rule applies, and to which counter, without the index.
    pub fn check(&self, rule: u32) -> Result<CounterBase, Miss> {
        self.check_with(rule, &self.segments())
    }

    /// The values that make the counter's key of a rule that applies.
    pub fn per_values(&self, rule: u32) -> Vec<(&str, String)> {
        let segments = self.segments();
        let compiled = &self.matcher.rules[rule as usize];
        let Ok(captures) = self.conditions_hold(compiled, &segments) else {
            return Vec::new();
        };
        let name = |slot: Slot| self.matcher.attributes.name(slot);
        let value = |slot| readable(self.seen(slot, &captures).unwrap_or_default());
        compiled.per.iter().map(|slot| (name(*slot), value(*slot))).collect()
    }

    /// A miss in words.
    pub fn describe(&self, rule: u32, miss: Miss) -> String {
        let rule = &self.matcher.rules[rule as usize];
        let attributes = &self.matcher.attributes;
        let absence = |slot| {
            let keys = attributes.keys_of(attributes.name(slot));
            format!("`{}` is absent (no entry `{}`)", attributes.name(slot), keys.join("`, `"))
        };
        match miss {
            Miss::PerAbsent(position) => {
                format!("{}, which the rule counts per", absence(rule.per[position]))
            }
            Miss::Condition(position) => {
                let Condition { slot, text, .. } = &rule.conditions[position];
                match self.values.get(*slot) {
                    None => format!("{}; the rule wants {text}", absence(*slot)),
                    Some(value) => {
                        let (name, value) = (attributes.name(*slot), readable(value));
                        format!("`{name}` is `{value}`; the rule wants {text}")
                    }
                }
            }
        }
    }

    /// The attributes that rules of this domain name and this descriptor has.
    pub fn present(&self) -> Vec<(&str, String)> {
        let attributes = &self.matcher.attributes;
        let slots = 0..attributes.names().len();
        let value = |slot| Some((attributes.name(slot), readable(self.values.get(slot)?)));
        slots.filter_map(value).collect()
    }

    pub(super) fn segments(&self) -> SmallVec<[&[u8]; 12]> {
        let path = self.matcher.attributes.endpoint(&self.values).unwrap_or_default();
        crate::policy::template::segments(path).take(self.matcher.segments_max).collect()
    }

    fn check_with(&self, rule: u32, segments: &[&[u8]]) -> Result<CounterBase, Miss> {
        let rule = &self.matcher.rules[rule as usize];
        let captures = self.conditions_hold(rule, segments)?;
        let mut counter = rule.counters.clone();
        for (position, slot) in rule.per.iter().enumerate() {
            let value = self.seen(*slot, &captures).ok_or(Miss::PerAbsent(position))?;
            counter.feed(value);
        }
        Ok(counter.finish())
    }

    /// Endpoints first, because what they capture the other conditions may ask for.
    fn conditions_hold<'v>(
        &'v self,
        rule: &CompiledRule,
        segments: &'v [&'v [u8]],
    ) -> Result<Captures<'v>, Miss> {
        let mut captures = Captures::new();
        for (position, condition) in rule.conditions.iter().enumerate() {
            let subject = self.subject(condition.slot, &Captures::new(), segments);
            if let Some(template) = condition.pattern.template(subject) {
                template.capture(segments, &mut captures);
            } else if matches!(condition.pattern, CompiledPattern::Endpoints(_)) {
                return Err(Miss::Condition(position));
            }
        }
        for (position, condition) in rule.conditions.iter().enumerate() {
            if !condition.pattern.holds(self.subject(condition.slot, &captures, segments)) {
                return Err(Miss::Condition(position));
            }
        }
        Ok(captures)
    }

    fn subject<'v>(
        &'v self,
        slot: Slot,
        captures: &Captures<'v>,
        segments: &'v [&'v [u8]],
    ) -> Subject<'v> {
        Subject { value: self.seen(slot, captures), segments, ip: self.values.ip() }
    }

    fn seen<'v>(&'v self, slot: Slot, captures: &Captures<'v>) -> Option<&'v [u8]> {
        let captured = captures.iter().find(|(captured, _)| *captured == slot);
        captured.map(|(_, value)| *value).or_else(|| self.values.get(slot))
    }
}
