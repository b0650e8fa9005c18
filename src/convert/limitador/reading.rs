//! What is known of one limit while its expressions are read.
//!
//! A limit that is refused leaves nothing behind, for the reading is its own.

use std::collections::BTreeSet;

use super::file::Limit;
use super::keys::{Key, LIMIT, is_word};
use crate::convert::attributes::Attributes;
use crate::policy::findings::shown;
use crate::policy::when::parse::{self, Binary, Node, Tree};

/// Why a limit does not become a rule.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Limitador never applies it.
    Never(String),
    /// A policy cannot say it.
    Unsaid(String),
}

pub(super) struct Reading<'l> {
    pub(super) limit: &'l Limit,
    names: &'l Attributes<'l>,
    /// The entries that the limit reads.
    pub(super) keys: BTreeSet<Key>,
    pub(super) notes: BTreeSet<&'static str>,
}

impl<'l> Reading<'l> {
    pub(super) fn new(limit: &'l Limit, names: &'l Attributes<'l>) -> Self {
        Self { limit, names, keys: BTreeSet::new(), notes: BTreeSet::new() }
    }

    /// The attribute that stands for an entry.
    pub(super) fn attribute(&mut self, key: Key) -> String {
        let name = self.names.of(&key.name).to_owned();
        self.keys.insert(key);
        name
    }

    /// The attributes that are read from entries of another name.
    pub(super) fn renamed(&self) -> impl Iterator<Item = (String, String)> {
        let named = self.keys.iter().map(|key| (self.names.of(&key.name), &key.name));
        named
            .filter(|(attribute, key)| attribute != key)
            .map(|(attribute, key)| (attribute.to_owned(), key.clone()))
    }

    /// What `limit.name` and `limit.id` are; `Some(None)` where the limit has none.
    pub(super) fn of_limit(&self, node: &Node) -> Option<Option<&'l str>> {
        let field = match &node.what {
            Tree::Select(of, field) if is_word(of, LIMIT) => field.text.as_str(),
            Tree::Index(of, at) if is_word(of, LIMIT) => match &at.what {
                Tree::Text(field) => field.as_str(),
                _ => return None,
            },
            _ => return None,
        };
        match field {
            "name" => Some(self.limit.name.as_deref()),
            "id" => Some(self.limit.id.as_deref()),
            _ => None,
        }
    }

    /// A text that does not depend on the request; `Some(None)` for what the limit does not have.
    pub(super) fn known<'n>(&'n self, node: &'n Node) -> Option<Option<&'n str>> {
        match &node.what {
            Tree::Text(text) => Some(Some(text)),
            _ => self.of_limit(node),
        }
    }

    /// What a part is for every request.
    pub(super) fn constant(&self, node: &Node) -> Option<bool> {
        match &node.what {
            Tree::Bool(value) => Some(*value),
            Tree::Not(inner) => self.constant(inner).map(|value| !value),
            Tree::Binary(Binary { sign, left, right }) => match (*sign, &right.what) {
                ("==", _) => Some(self.known(left)? == self.known(right)?),
                ("!=", _) => Some(self.known(left)? != self.known(right)?),
                ("in", Tree::List(items)) => {
                    let left = self.known(left)?;
                    let items: Option<Vec<_>> = items.iter().map(|item| self.known(item)).collect();
                    Some(items?.contains(&left))
                }
                _ => None,
            },
            _ => None,
        }
    }
}

/// The tree of a condition or a variable.
pub(super) fn tree(text: &str) -> Result<Node, Refusal> {
    parse::parse(text)
        .map_err(|misread| Refusal::Unsaid(format!("of {}, {}", shown(text), misread.message)))
}

/// The attributes that the limit counts by.
pub(super) fn variables(reading: &mut Reading<'_>) -> Result<Vec<String>, Refusal> {
    let mut per = Vec::new();
    for text in &reading.limit.variables {
        let node = tree(text)?;
        if let Some(key) = super::keys::key(&node) {
            let attribute = reading.attribute(key);
            if !per.contains(&attribute) {
                per.push(attribute);
            }
        } else if reading.of_limit(&node).is_some() {
            let why = format!("in a variable, such as {}, `limit` is not bound", shown(text));
            return Err(Refusal::Never(why));
        } else if !is_literal(&node) {
            let why = format!("the variable {} is more than one entry", shown(text));
            return Err(Refusal::Unsaid(why));
        }
    }
    Ok(per)
}

/// Whether a part is the same for every request.
fn is_literal(node: &Node) -> bool {
    matches!(node.what, Tree::Text(_) | Tree::Whole(_) | Tree::Decimal(_) | Tree::Bool(_))
}
