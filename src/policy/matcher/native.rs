//! Native rules: all that match apply, whatever their order.
//!
//! Each rule hangs on the one fact of its match that fewest rules share: an exact value of an
//! attribute, or its templates in the path tree. A request looks up its own values and checks
//! only the rules it finds there, so rules about other tenants and paths cost nothing.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use smallvec::SmallVec;

use super::attributes::{Attributes, Slot, Values};
use super::paths::PathTree;
use super::pattern::{Captures, CompiledPattern, CompiledSegment, CompiledTemplate, Subject};
use super::{Match, Matches, readable};
use crate::policy::model;
use crate::policy::set::{CounterBase, CounterHasher, CounterSeed};
use crate::request::Entry;

#[derive(Debug)]
pub struct NativeMatcher {
    attributes: Attributes,
    rules: Vec<CompiledRule>,
    by_value: Vec<HashMap<Box<[u8]>, Vec<u32>>>,
    paths: PathTree,
    /// Rules whose match names no exact value and no template.
    unindexed: Vec<u32>,
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
        let mut matcher = Self {
            by_value: attributes.names().iter().map(|_| HashMap::new()).collect(),
            attributes,
            rules,
            paths: PathTree::default(),
            unindexed: Vec::new(),
            segments_max: 0,
        };
        let conditions = matcher.rules.iter().flat_map(|rule| &rule.conditions);
        let longest = conditions.map(|condition| condition.pattern.segment_count_max()).max();
        matcher.segments_max = longest.unwrap_or_default() + 1;
        matcher.index();
        matcher
    }

    pub fn facts<'m, 'r>(&'m self, entries: &[Entry<'r>]) -> Facts<'m, 'r> {
        Facts { matcher: self, values: self.attributes.read(entries) }
    }

    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// Hangs every rule on the candidate that is shared least.
    fn index(&mut self) {
        let mut shared: HashMap<Hook<'_>, usize> = HashMap::new();
        for rule in &self.rules {
            for hook in rule.hook_choices().into_iter().flatten() {
                *shared.entry(hook).or_default() += 1;
            }
        }
        let busiest = |choice: &Vec<Hook<'_>>| {
            choice.iter().filter_map(|hook| shared.get(hook)).max().copied().unwrap_or(usize::MAX)
        };
        for (rule, number) in self.rules.iter().zip(0_u32..) {
            let Some(choice) = rule.hook_choices().into_iter().min_by_key(busiest) else {
                self.unindexed.push(number);
                continue;
            };
            for hook in choice {
                match hook {
                    Hook::Value(slot, value) => {
                        self.by_value[slot].entry(value.into()).or_default().push(number);
                    }
                    Hook::Path(Shape(template)) => self.paths.insert(template, number),
                }
            }
        }
    }
}

/// Something a rule can be found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Hook<'m> {
    Value(Slot, &'m [u8]),
    Path(Shape<'m>),
}

/// A template as the path tree sees it: whatever a captured segment is called, it hangs on the
/// same node.
#[derive(Clone, Copy, Debug)]
struct Shape<'m>(&'m CompiledTemplate);

impl<'m> Shape<'m> {
    fn parts(self) -> (bool, impl Iterator<Item = Option<&'m [u8]>>) {
        let literal = |segment: &'m CompiledSegment| match segment {
            CompiledSegment::Literal(text) => Some(text.as_ref()),
            CompiledSegment::Capture(_) => None,
        };
        (self.0.has_rest, self.0.segments.iter().map(literal))
    }
}

impl PartialEq for Shape<'_> {
    fn eq(&self, other: &Self) -> bool {
        let ((rest, parts), (other_rest, others)) = (self.parts(), other.parts());
        rest == other_rest && parts.eq(others)
    }
}

impl Eq for Shape<'_> {}

impl Hash for Shape<'_> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let (rest, parts) = self.parts();
        rest.hash(hasher);
        parts.for_each(|part| part.hash(hasher));
    }
}

impl CompiledRule {
    /// Each choice is a complete set of hooks: a request that the rule applies to finds one.
    fn hook_choices(&self) -> Vec<Vec<Hook<'_>>> {
        let captured: Vec<Slot> =
            self.conditions.iter().flat_map(|condition| condition.pattern.captures()).collect();
        let mut choices: Vec<Vec<Hook<'_>>> = Vec::new();
        for condition in &self.conditions {
            match &condition.pattern {
                // A captured attribute is not among the descriptor's own values.
                CompiledPattern::OneOf(values) if !captured.contains(&condition.slot) => {
                    let hook = |value| Hook::Value(condition.slot, value);
                    choices.push(values.iter().map(AsRef::as_ref).map(hook).collect());
                }
                CompiledPattern::Endpoints(templates) => {
                    choices.push(
                        templates.iter().map(|template| Hook::Path(Shape(template))).collect(),
                    );
                }
                CompiledPattern::OneOf(_)
                | CompiledPattern::Prefix(_)
                | CompiledPattern::Any(_)
                | CompiledPattern::Not(_)
                | CompiledPattern::Present
                | CompiledPattern::Absent
                | CompiledPattern::Network(_) => {}
            }
        }
        choices
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
    pub fn value(&self, slot: Slot) -> Option<&[u8]> {
        self.values.get(slot)
    }

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
        candidates.extend_from_slice(&self.matcher.unindexed);
        for (slot, index) in self.matcher.by_value.iter().enumerate() {
            if !index.is_empty()
                && let Some(value) = self.values.get(slot)
                && let Some(rules) = index.get(value)
            {
                candidates.extend_from_slice(rules);
            }
        }
        if self.matcher.attributes.endpoint(&self.values).is_some() {
            self.matcher.paths.find(segments, &mut |rule| candidates.push(rule));
        }
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
