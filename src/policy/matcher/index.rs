//! Where to look for the rules that a request may meet.
//!
//! Each rule hangs on the one kind of fact of its match that fewest rules share: exact values,
//! prefixes, networks, path templates, or at least that an attribute is there. A request finds
//! every rule that applies to it, and few others.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};

use hashbrown::HashMap;
use ipnet::IpNet;

use super::attributes::{Slot, Values};
use super::paths::PathTree;
use super::pattern::{CompiledPattern, CompiledSegment, CompiledTemplate};

#[derive(Debug, Default)]
pub(super) struct Index {
    /// Only of attributes that rules hang on, by slot.
    by_slot: Vec<(Slot, SlotIndex)>,
    networks: Networks,
    paths: PathTree,
    /// Rules that nothing leads to, such as those for every request.
    unindexed: Vec<u32>,
}

/// The rules that hang on the value of one attribute.
#[derive(Debug, Default)]
struct SlotIndex {
    exact: ByText,
    prefixes: HashMap<Box<[u8]>, Vec<u32>>,
    prefix_lengths: BTreeSet<usize>,
    /// Rules that need the attribute, whatever its value.
    present: Vec<u32>,
}

/// Rules by exact values.
#[derive(Debug, Default)]
struct ByText {
    /// While they are so few that comparing all of them is sooner done than hashing one.
    few: Vec<(Box<[u8]>, Vec<u32>)>,
    /// All of them, when they are more.
    many: HashMap<Box<[u8]>, Vec<u32>>,
}

impl ByText {
    const FEW: usize = 4;

    fn hang(&mut self, text: &[u8], rule: u32) {
        if self.many.is_empty() {
            if let Some((_, rules)) = self.few.iter_mut().find(|(held, _)| held.as_ref() == text) {
                rules.push(rule);
            } else if self.few.len() < Self::FEW {
                self.few.push((text.into(), vec![rule]));
            } else {
                self.many = std::mem::take(&mut self.few).into_iter().collect();
                self.many.insert(text.into(), vec![rule]);
            }
            return;
        }
        self.many.entry(text.into()).or_default().push(rule);
    }

    #[inline]
    fn get(&self, text: &[u8]) -> &[u32] {
        if self.many.is_empty() {
            let found = self.few.iter().find(|(held, _)| held.as_ref() == text);
            return found.map_or(&[], |(_, rules)| rules);
        }
        self.many.get(text).map_or(&[], |rules| rules)
    }
}

#[derive(Debug, Default)]
struct Networks {
    rules: HashMap<IpNet, Vec<u32>>,
    prefix_lengths: BTreeSet<u8>,
}

/// Something a rule can be found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Hook<'m> {
    Value(Slot, &'m [u8]),
    Prefix(Slot, &'m [u8]),
    Network(IpNet),
    Path(Shape<'m>),
    Present(Slot),
}

/// The ways to find one rule: each is a complete set of hooks, of which a request that the rule
/// applies to meets one. `is_own` says which attributes are among the descriptor's own values, and
/// not captured by the rule.
pub(super) fn hook_choices<'m>(
    conditions: impl Iterator<Item = (Slot, &'m CompiledPattern)>,
    per: &[Slot],
    is_own: impl Fn(&Slot) -> bool,
) -> Vec<Vec<Hook<'m>>> {
    let matched = conditions.filter(|(slot, _)| is_own(slot));
    let mut choices: Vec<Vec<Hook<'_>>> =
        matched.filter_map(|(slot, pattern)| hooks(slot, pattern)).collect();
    choices.extend(per.iter().copied().filter(&is_own).map(|slot| vec![Hook::Present(slot)]));
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
            templates.iter().map(|template| Hook::Path(Shape(template))).collect()
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
    /// Hangs each rule, numbered by position, on that of its choices which is shared least. Of
    /// equals it is the paths, because more requests share a method than a path.
    pub(super) fn new(rules: &[Vec<Vec<Hook<'_>>>]) -> Self {
        let mut index = Self::default();
        let mut shared: HashMap<Hook<'_>, usize> = HashMap::new();
        for hook in rules.iter().flatten().flatten() {
            *shared.entry(*hook).or_default() += 1;
        }
        let busiest = |choice: &&Vec<Hook<'_>>| {
            choice.iter().filter_map(|hook| shared.get(hook)).max().copied().unwrap_or_default()
        };
        for (choices, rule) in rules.iter().zip(0_u32..) {
            let is_path = |choice: &Vec<_>| choice.iter().all(|it| matches!(it, Hook::Path(_)));
            match choices.iter().min_by_key(|choice| (busiest(choice), !is_path(choice))) {
                Some(choice) => choice.iter().for_each(|hook| index.hang(*hook, rule)),
                None => index.unindexed.push(rule),
            }
        }
        index
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
            Hook::Value(slot, value) => return self.slot(slot).exact.hang(value, rule),
            Hook::Prefix(slot, prefix) => {
                let index = self.slot(slot);
                index.prefix_lengths.insert(prefix.len());
                index.prefixes.entry(prefix.into()).or_default()
            }
            Hook::Network(network) => {
                self.networks.prefix_lengths.insert(network.prefix_len());
                self.networks.rules.entry(network).or_default()
            }
            Hook::Present(slot) => &mut self.slot(slot).present,
            Hook::Path(Shape(template)) => return self.paths.insert(template, rule),
        };
        rules.push(rule);
    }

    /// Calls `found` with every rule that may apply; with some more than once.
    pub(super) fn find(
        &self,
        values: &Values<'_>,
        path: Option<&[&[u8]]>,
        found: &mut impl FnMut(u32),
    ) {
        self.unindexed.iter().copied().for_each(&mut *found);
        for (slot, index) in &self.by_slot {
            if let Some(value) = values.get(*slot) {
                index.find(value, found);
            }
        }
        if let Some(ip) = values.ip() {
            self.networks.find(ip, found);
        }
        if let Some(path) = path {
            self.paths.find(path, found);
        }
    }
}

impl SlotIndex {
    fn find(&self, value: &[u8], found: &mut impl FnMut(u32)) {
        self.present.iter().copied().for_each(&mut *found);
        self.exact.get(value).iter().copied().for_each(&mut *found);
        if self.prefixes.is_empty() {
            return;
        }
        for length in self.prefix_lengths.range(..=value.len()) {
            if let Some(rules) = self.prefixes.get(&value[..*length]) {
                rules.iter().copied().for_each(&mut *found);
            }
        }
    }
}

impl Networks {
    /// The networks that hold all of `ip`, which may be a network itself.
    fn find(&self, ip: &IpNet, found: &mut impl FnMut(u32)) {
        for length in self.prefix_lengths.range(..=ip.prefix_len()) {
            let around = IpNet::new(ip.addr(), *length).map(|network| network.trunc());
            if let Some(rules) = around.ok().and_then(|network| self.rules.get(&network)) {
                rules.iter().copied().for_each(&mut *found);
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
        let choices = [
            vec![vec![Hook::Value(900, b"x")]],
            vec![vec![Hook::Present(7)]],
            vec![vec![Hook::Prefix(900, b"y")]],
        ];
        let index = Index::new(&choices);
        let slots: Vec<Slot> = index.by_slot.iter().map(|(slot, _)| *slot).collect();
        assert_eq!(slots, [7, 900]);
    }
}
