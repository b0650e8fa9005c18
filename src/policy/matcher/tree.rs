//! Descriptors of the envoyproxy/ratelimit format: a tree walked entry by entry.
//!
//! At each level an exact value comes before wildcards in file order, and those before a rule of
//! the key alone. There is no way back: what was chosen at a level stays chosen. Only a limit on
//! the last entry's node applies. Keys and values are compared apart, never joined.

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::{Match, readable};
use crate::policy::model::NodeValue;
use crate::policy::set::{CounterBase, CounterHasher, CounterSeed};
use crate::request::Entry;

#[derive(Debug)]
pub struct Tree {
    root: Level,
    /// Of the domain.
    counters: CounterHasher,
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

#[derive(Debug)]
pub struct TreeNode {
    pub rule: Option<TreeRule>,
    pub children: Level,
    pub counted: Counted,
}

#[derive(Debug)]
pub struct TreeRule {
    /// Position in the domain's rules.
    pub rule: u32,
    /// Knows the domain and the keys, but no value yet.
    pub counters: CounterHasher,
}

/// How the value of an entry chooses the counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counted {
    /// There is but one.
    One,
    /// Each has a counter of its own.
    ByValue,
    /// All that this pattern matches share one.
    ByPattern(Box<str>),
}

/// The text around and between the stars of a pattern.
#[derive(Debug)]
struct Wildcard {
    parts: Vec<Box<[u8]>>,
}

impl Tree {
    pub fn new(domain: &str, seed: CounterSeed) -> Self {
        let mut counters = CounterHasher::new(seed);
        counters.feed(b"descriptor");
        counters.feed(domain.as_bytes());
        Self { root: Level::default(), counters }
    }

    pub fn root_mut(&mut self) -> &mut Level {
        &mut self.root
    }

    /// Counters are chosen by the keys and values of all entries, never by the rule that limits them: so a limit
    /// in the request and the configured one of the same unit are one counter, as there.
    pub fn counters<'k>(&self, keys: impl ExactSizeIterator<Item = &'k [u8]>) -> CounterHasher {
        let mut counters = self.counters;
        counters.feed(&keys.len().to_le_bytes());
        keys.for_each(|key| counters.feed(key));
        counters
    }

    /// What a limit in the request counts by, which no rule of the tree matters to.
    pub fn counter_of(&self, entries: &[Entry<'_>]) -> CounterBase {
        let mut counters = self.counters(entries.iter().map(|entry| entry.key));
        entries.iter().for_each(|entry| counters.feed(entry.value));
        counters.finish()
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
            let counted = entries.iter().zip(counted);
            let counted = counted.filter(|(_, counted)| **counted == Counted::ByValue);
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
    ) -> Option<(Match, SmallVec<[&Counted; 6]>)> {
        let mut counted: SmallVec<[&Counted; 6]> = SmallVec::new();
        let mut level = &self.root;
        let mut reached = None;
        for entry in entries {
            let chosen = level.choose(entry);
            visit(entry, chosen);
            let (_, node) = chosen?;
            counted.push(&node.counted);
            level = &node.children;
            reached = node.rule.as_ref();
        }
        let rule = reached?;
        let mut counter = rule.counters;
        for (entry, counted) in entries.iter().zip(&counted) {
            match counted {
                Counted::One | Counted::ByValue => counter.feed(entry.value),
                Counted::ByPattern(pattern) => {
                    // Apart from a value that reads like the pattern.
                    counter.feed(b"pattern");
                    counter.feed(pattern.as_bytes());
                }
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
            let wildcards = rules.wildcards.iter();
            let has_star = !rules.wildcards.is_empty() && entry.value.contains(&b'*');
            let written = wildcards
                .clone()
                .find(|(wildcard, _)| has_star && wildcard.is_written(entry.value));
            let matching = |(wildcard, _): &&(Wildcard, TreeNode)| wildcard.matches(entry.value);
            let found = written.or_else(|| wildcards.clone().find(matching));
            found.map(|(_, node)| (Choice::Wildcard, node))
        };
        let key_only = || rules.any.as_deref().map(|node| (Choice::KeyOnly, node));
        exact.or_else(wildcard).or_else(key_only)
    }
}

impl Wildcard {
    /// Whether a value is the pattern itself, star for star, which comes before what an earlier
    /// pattern matches.
    fn is_written(&self, value: &[u8]) -> bool {
        let Some((first, rest)) = self.parts.split_first() else { return false };
        let mut left = value.strip_prefix(first.as_ref());
        for part in rest {
            left = left.and_then(|left| left.strip_prefix(b"*")?.strip_prefix(part.as_ref()));
        }
        left.is_some_and(<[u8]>::is_empty)
    }

    fn matches(&self, value: &[u8]) -> bool {
        let [first, middle @ .., last] = self.parts.as_slice() else {
            return false;
        };
        has_parts(value, first, middle.iter().map(AsRef::as_ref), last)
    }
}

/// First part at the front, last part at the back, the others in between from left to right,
/// none overlapping. Taking each middle part at its first place loses no match.
pub(crate) fn has_parts<'p>(
    value: &[u8],
    first: &[u8],
    middle: impl Iterator<Item = &'p [u8]>,
    last: &[u8],
) -> bool {
    let rest = value.strip_prefix(first).and_then(|rest| rest.strip_suffix(last));
    let Some(mut rest) = rest else {
        return false;
    };
    for part in middle.filter(|part| !part.is_empty()) {
        let Some(start) = rest.windows(part.len()).position(|at| at == part) else {
            return false;
        };
        rest = &rest[start + part.len()..];
    }
    true
}
