//! Descriptors of the envoyproxy/ratelimit format: a tree walked entry by entry.
//!
//! At each level an exact value comes before wildcards in file order, and those before a rule of
//! the key alone. There is no way back: what was chosen at a level stays chosen. Only a limit on
//! the last entry's node applies. Keys and values are compared apart, never joined.

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::{Match, readable};
use crate::policy::model::NodeValue;
use crate::policy::set::CounterHasher;
use crate::request::Entry;

#[derive(Debug, Default)]
pub struct Tree {
    root: Level,
}

#[derive(Debug, Default)]
pub struct Level {
    keys: HashMap<Box<[u8]>, KeyRules>,
}

#[derive(Debug, Default)]
struct KeyRules {
    exact: HashMap<Box<[u8]>, TreeNode>,
    wildcards: Vec<(Wildcard, TreeNode)>,
    any: Option<Box<TreeNode>>,
}

#[derive(Debug, Default)]
pub struct TreeNode {
    pub rule: Option<TreeRule>,
    pub children: Level,
    /// Each value has a counter of its own; false where one exact value or one pattern stands.
    pub is_counted_by_value: bool,
}

#[derive(Debug)]
pub struct TreeRule {
    /// Position in the domain's rules.
    pub rule: u32,
    pub counters: CounterHasher,
}

/// The text around and between the stars of a pattern.
#[derive(Debug)]
struct Wildcard {
    parts: Vec<Box<[u8]>>,
}

impl Tree {
    pub fn root_mut(&mut self) -> &mut Level {
        &mut self.root
    }

    pub fn find(&self, entries: &[Entry<'_>]) -> Option<Match> {
        let (found, _) = self.descend(entries, |_, _| {})?;
        Some(found)
    }

    /// The same walk, telling what was chosen at each entry.
    pub fn walk(&self, entries: &[Entry<'_>]) -> (Vec<TreeStep>, Option<TreeFind>) {
        let mut steps = Vec::new();
        let found = self.descend(entries, |entry, chosen| {
            let choice = chosen.map(|(choice, _)| choice);
            let has_limit = chosen.is_some_and(|(_, node)| node.rule.is_some());
            let (key, value) = (readable(entry.key), readable(entry.value));
            steps.push(TreeStep { key, value, choice, has_limit });
        });
        let found = found.map(|(found, counted)| {
            let value = |entry: &Entry<'_>| (readable(entry.key), readable(entry.value));
            let counted = entries.iter().zip(counted).filter(|(_, is_counted)| *is_counted);
            TreeFind { found, values: counted.map(|(entry, _)| value(entry)).collect() }
        });
        (steps, found)
    }

    /// Walks down the tree; ends with the rule of the last entry's node and which entries choose
    /// its counter.
    fn descend(
        &self,
        entries: &[Entry<'_>],
        mut visit: impl FnMut(&Entry<'_>, Option<(Choice, &TreeNode)>),
    ) -> Option<(Match, SmallVec<[bool; 6]>)> {
        let mut counted: SmallVec<[bool; 6]> = SmallVec::new();
        let mut level = &self.root;
        let mut reached = None;
        for entry in entries {
            let chosen = level.choose(entry);
            visit(entry, chosen);
            let (_, node) = chosen?;
            counted.push(node.is_counted_by_value);
            level = &node.children;
            reached = node.rule.as_ref();
        }
        let rule = reached?;
        let mut counter = rule.counters.clone();
        for (entry, is_counted) in entries.iter().zip(&counted) {
            if *is_counted {
                counter.feed(entry.value);
            }
        }
        Some((Match::plain(rule.rule, counter.finish()), counted))
    }
}

/// What was chosen for one entry; `None` where the level has no rule for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeStep {
    pub key: String,
    pub value: String,
    pub choice: Option<Choice>,
    pub has_limit: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    Exact,
    Wildcard,
    KeyOnly,
}

/// Where a walk ended, and the entries that choose the counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeFind {
    pub found: Match,
    pub values: Vec<(String, String)>,
}

impl Level {
    pub fn insert(&mut self, key: &str, value: &NodeValue, node: TreeNode) {
        let rules = self.keys.entry(key.as_bytes().into()).or_default();
        match value {
            NodeValue::Any => rules.any = Some(Box::new(node)),
            NodeValue::Exact(text) => {
                rules.exact.insert(text.as_bytes().into(), node);
            }
            NodeValue::Wildcard(parts) => {
                let parts = parts.iter().map(|part| part.as_bytes().into()).collect();
                rules.wildcards.push((Wildcard { parts }, node));
            }
        }
    }

    fn choose(&self, entry: &Entry<'_>) -> Option<(Choice, &TreeNode)> {
        let rules = self.keys.get(entry.key)?;
        let exact = rules.exact.get(entry.value).map(|node| (Choice::Exact, node));
        let wildcard = || {
            let mut wildcards = rules.wildcards.iter();
            let found = wildcards.find(|(wildcard, _)| wildcard.matches(entry.value));
            found.map(|(_, node)| (Choice::Wildcard, node))
        };
        let key_only = || rules.any.as_deref().map(|node| (Choice::KeyOnly, node));
        exact.or_else(wildcard).or_else(key_only)
    }
}

impl Wildcard {
    /// First part at the front, last part at the back, the others in between from left to right,
    /// none overlapping. Taking each middle part at its first place loses no match.
    fn matches(&self, value: &[u8]) -> bool {
        let [first, middle @ .., last] = self.parts.as_slice() else {
            return false;
        };
        let Some(rest) = value.strip_prefix(first.as_ref()) else {
            return false;
        };
        let Some(mut rest) = rest.strip_suffix(last.as_ref()) else {
            return false;
        };
        for part in middle.iter().filter(|part| !part.is_empty()) {
            let Some(start) = rest.windows(part.len()).position(|at| at == part.as_ref()) else {
                return false;
            };
            rest = &rest[start + part.len()..];
        }
        true
    }
}
