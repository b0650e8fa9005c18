//! Where to look for the rules that a request may meet.
//!
//! Each rule hangs on the one kind of fact of its match that fewest rules share: exact values,
//! prefixes, networks, path templates, or at least that an attribute is there. A request finds
//! every rule that applies to it, and few others.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};

use hashbrown::HashMap;
use ipnet::IpNet;
use smallvec::SmallVec;

use super::attributes::{Slot, Values};
use super::paths::PathTree;
use super::pattern::{CompiledPattern, CompiledSegment, CompiledTemplate};
use super::rule::Condition;
use crate::policy::words::ByText;

/// The rules that a descriptor may meet.
pub(super) type Candidates = SmallVec<[u32; 16]>;

/// Their positions, held in place while they are few.
type Rules = SmallVec<[u32; 4]>;

#[derive(Debug, Default)]
pub(super) struct Index {
    /// Only of attributes that rules hang on, by slot.
    by_slot: Vec<(Slot, SlotIndex)>,
    networks: Networks,
    paths: PathTree,
    /// Whether any rule hangs on those.
    has_paths: bool,
    /// Rules that nothing leads to, such as those for every request.
    unindexed: Vec<u32>,
}

/// The rules that hang on the value of one attribute.
#[derive(Debug, Default)]
struct SlotIndex {
    exact: ByText<Rules>,
    prefixes: ByText<Rules>,
    prefix_lengths: BTreeSet<usize>,
    /// Rules that need the attribute, whatever its value.
    present: Vec<u32>,
}

#[derive(Debug, Default)]
struct Networks {
    rules: HashMap<IpNet, Rules>,
    prefix_lengths: BTreeSet<u8>,
}

/// Something a rule can be found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Hook<'m> {
    Value(Slot, &'m [u8]),
    Prefix(Slot, &'m [u8]),
    Network(IpNet),
    Path(Slot, Shape<'m>),
    Present(Slot),
}

/// One way to find a rule: a complete set of hooks, of which a request that the rule applies to meets
/// one.
#[derive(Debug)]
pub(super) struct Choice<'m> {
    hooks: Vec<Hook<'m>>,
    /// The condition that holds exactly where one of them is met.
    condition: Option<u32>,
}

/// The ways to find one rule. `is_own` says which attributes are among the descriptor's own values,
/// and not captured by the rule.
pub(super) fn hook_choices<'m>(
    conditions: &'m [Condition],
    per: &[Slot],
    is_own: impl Fn(&Slot) -> bool,
) -> Vec<Choice<'m>> {
    let matched = conditions.iter().zip(0..).filter(|(condition, _)| is_own(&condition.slot));
    let choice = |(condition, position): (&'m Condition, u32)| {
        let hooks = hooks(condition.slot, &condition.pattern)?;
        Some(Choice { hooks, condition: Some(position) })
    };
    let mut choices: Vec<Choice<'_>> = matched.filter_map(choice).collect();
    let present = |slot| Choice { hooks: vec![Hook::Present(slot)], condition: None };
    choices.extend(per.iter().copied().filter(&is_own).map(present));
    choices
}

/// What a request that meets the pattern has; `None` where that can be anything.
fn hooks(slot: Slot, pattern: &CompiledPattern) -> Option<Vec<Hook<'_>>> {
    Some(match pattern {
        CompiledPattern::OneOf(values) => {
            values.iter().map(|value| Hook::Value(slot, value)).collect()
        }
        CompiledPattern::Prefix(prefix) => vec![Hook::Prefix(slot, prefix)],
        CompiledPattern::Network(network) => vec![Hook::Network(network.trunc())],
        CompiledPattern::Endpoints(templates) => {
            templates.iter().map(|template| Hook::Path(slot, Shape(template))).collect()
        }
        CompiledPattern::Present => vec![Hook::Present(slot)],
        CompiledPattern::Any(patterns) => {
            let each = patterns.iter().map(|pattern| hooks(slot, pattern));
            each.collect::<Option<Vec<_>>>()?.concat()
        }
        CompiledPattern::Not(_) | CompiledPattern::Absent => return None,
    })
}

impl Index {
    /// Hangs each rule, numbered by position, on that of its choices which is shared least; of
    /// each also the condition that is thereby known to hold. Of equals it is the paths, because
    /// more requests share a method than a path.
    pub(super) fn new(rules: &[Vec<Choice<'_>>]) -> (Self, Vec<Option<u32>>) {
        let mut index = Self::default();
        let mut shared: HashMap<Hook<'_>, usize> = HashMap::new();
        for hook in rules.iter().flatten().flat_map(|choice| &choice.hooks) {
            *shared.entry(*hook).or_default() += 1;
        }
        let busiest = |choice: &Choice<'_>| {
            let hooks = choice.hooks.iter();
            hooks.filter_map(|hook| shared.get(hook)).max().copied().unwrap_or_default()
        };
        let mut proven = Vec::with_capacity(rules.len());
        for (choices, rule) in rules.iter().zip(0_u32..) {
            let is_path =
                |choice: &Choice<'_>| choice.hooks.iter().all(|it| matches!(it, Hook::Path(..)));
            let chosen = choices.iter().min_by_key(|choice| (busiest(choice), !is_path(choice)));
            match chosen {
                Some(choice) => choice.hooks.iter().for_each(|hook| index.hang(*hook, rule)),
                None => index.unindexed.push(rule),
            }
            proven.push(chosen.and_then(|choice| choice.condition));
        }
        (index, proven)
    }

    /// What hangs on one attribute, made at its first use.
    fn slot(&mut self, slot: Slot) -> &mut SlotIndex {
        let position = match self.by_slot.binary_search_by_key(&slot, |(slot, _)| *slot) {
            Ok(position) => position,
            Err(position) => {
                self.by_slot.insert(position, (slot, SlotIndex::default()));
                position
            }
        };
        &mut self.by_slot[position].1
    }

    fn hang(&mut self, hook: Hook<'_>, rule: u32) {
        let rules = match hook {
            Hook::Present(slot) => return self.slot(slot).present.push(rule),
            Hook::Value(slot, value) => self.slot(slot).exact.or_default(value),
            Hook::Prefix(slot, prefix) => {
                let index = self.slot(slot);
                index.prefix_lengths.insert(prefix.len());
                index.prefixes.or_default(prefix)
            }
            Hook::Network(network) => {
                self.networks.prefix_lengths.insert(network.prefix_len());
                self.networks.rules.entry(network).or_default()
            }
            Hook::Path(slot, Shape(template)) => match &template.path {
                Some(path) => self.slot(slot).exact.or_default(path),
                None => {
                    self.has_paths = true;
                    return self.paths.insert(template, rule);
                }
            },
        };
        rules.push(rule);
    }

    /// Adds every rule that may apply; some more than once.
    #[inline(always)]
    pub(super) fn find<'p>(
        &self,
        values: &Values<'_>,
        path: impl FnOnce() -> Option<&'p [&'p [u8]]>,
        found: &mut Candidates,
    ) {
        self.unindexed.iter().for_each(|rule| found.push(*rule));
        for (slot, index) in &self.by_slot {
            if let Some(value) = values.get(*slot) {
                index.find(value, found);
            }
        }
        if let Some(ip) = values.ip() {
            self.networks.find(ip, found);
        }
        if self.has_paths
            && let Some(path) = path()
        {
            self.paths.find(path, &mut |rule| found.push(rule));
        }
    }
}

impl SlotIndex {
    #[inline(always)]
    fn find(&self, value: &[u8], found: &mut Candidates) {
        self.present.iter().for_each(|rule| found.push(*rule));
        if let Some(rules) = self.exact.get(value) {
            rules.iter().for_each(|rule| found.push(*rule));
        }
        if !self.prefixes.is_empty() {
            self.find_prefixes(value, found);
        }
    }

    #[inline(never)]
    fn find_prefixes(&self, value: &[u8], found: &mut Candidates) {
        for length in self.prefix_lengths.range(..=value.len()) {
            if let Some(rules) = self.prefixes.get(&value[..*length]) {
                rules.iter().for_each(|rule| found.push(*rule));
            }
        }
    }
}

impl Networks {
    /// The networks that hold all of `ip`, which may be a network itself.
    #[inline(never)]
    fn find(&self, ip: &IpNet, found: &mut Candidates) {
        for length in self.prefix_lengths.range(..=ip.prefix_len()) {
            let around = IpNet::new(ip.addr(), *length).map(|network| network.trunc());
            if let Some(rules) = around.ok().and_then(|network| self.rules.get(&network)) {
                rules.iter().for_each(|rule| found.push(*rule));
            }
        }
    }
}

/// A template as the path tree sees it: whatever a captured segment is called, it hangs on the
/// same node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape<'m>(&'m CompiledTemplate);

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_holds_only_attributes_that_rules_hang_on() {
        let hooks = [Hook::Value(900, b"x"), Hook::Present(7), Hook::Prefix(900, b"y")];
        let choices = hooks.map(|hook| vec![Choice { hooks: vec![hook], condition: None }]);
        let (index, _) = Index::new(&choices);
        let slots: Vec<Slot> = index.by_slot.iter().map(|(slot, _)| *slot).collect();
        assert_eq!(slots, [7, 900]);
    }
}
