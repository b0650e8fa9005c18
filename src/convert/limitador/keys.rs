//! The entries of descriptors that an expression reads, and the attributes that stand for them.
//!
//! Which name an attribute has is decided for all formats alike, elsewhere.

use std::collections::BTreeSet;

use super::cel::quoted;
use crate::policy::when::parse::{self, Node, Tree};

/// The list of all descriptors, and the limit itself: the only names that are bound.
pub(super) const DESCRIPTORS: &str = "descriptors";
pub(super) const LIMIT: &str = "limit";

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) name: String,
    /// The descriptor's number, or `None` for a bare name as in Limitador 1.x.
    pub(super) descriptor: Option<i64>,
}

/// The entry that a part of an expression reads.
pub(super) fn key(node: &Node) -> Option<Key> {
    let (of, name) = match &node.what {
        Tree::Select(of, name) => (of, name.text.as_str()),
        Tree::Index(of, at) => match &at.what {
            Tree::Text(name) => (of, name.as_str()),
            _ => return None,
        },
        _ => return dotted(node).map(|name| Key { name, descriptor: None }),
    };
    match descriptor(of) {
        Some(number) => Some(Key { name: name.to_owned(), descriptor: Some(number) }),
        None => dotted(node).map(|name| Key { name, descriptor: None }),
    }
}

/// `descriptors[0]`
pub(super) fn descriptor(node: &Node) -> Option<i64> {
    match &node.what {
        Tree::Index(of, at) if is_word(of, DESCRIPTORS) => match at.what {
            Tree::Whole(number) => Some(number),
            _ => None,
        },
        _ => None,
    }
}

pub(super) fn is_word(node: &Node, word: &str) -> bool {
    matches!(&node.what, Tree::Word(found) if found == word)
}

/// `user_id` and `req.method`
fn dotted(node: &Node) -> Option<String> {
    match &node.what {
        Tree::Word(word) if word != DESCRIPTORS && word != LIMIT => Some(word.clone()),
        Tree::Select(of, name) => Some(format!("{}.{}", dotted(of)?, name.text)),
        _ => None,
    }
}

/// Whether a part asks for the presence of a key: `"key" in descriptors[0]`.
pub(super) fn sought(node: &Node) -> Option<Key> {
    let Tree::Binary(binary) = &node.what else { return None };
    match (&binary.left.what, descriptor(&binary.right)) {
        (Tree::Text(name), Some(number)) if binary.sign == "in" => {
            Some(Key { name: name.clone(), descriptor: Some(number) })
        }
        _ => None,
    }
}

/// The parts that a part is made of.
fn parts(node: &Node) -> Vec<&Node> {
    match &node.what {
        Tree::Text(_) | Tree::Whole(_) | Tree::Decimal(_) | Tree::Bool(_) | Tree::Word(_) => {
            Vec::new()
        }
        Tree::List(nodes) | Tree::All(nodes) | Tree::Any(nodes) => nodes.iter().collect(),
        Tree::Select(node, _) | Tree::Not(node) | Tree::Negative(node) => vec![node],
        Tree::Index(of, at) => vec![of, at],
        Tree::Call(call) => call.target.as_deref().into_iter().chain(&call.arguments).collect(),
        Tree::Binary(binary) => vec![&binary.left, &binary.right],
        Tree::Choice(parts) => parts.iter().collect(),
    }
}

/// Adds the names of all entries that an expression reads.
pub(super) fn collect(node: &Node, names: &mut BTreeSet<String>) {
    match key(node).or_else(|| sought(node)) {
        Some(key) => {
            names.insert(key.name);
        }
        None => parts(node).into_iter().for_each(|part| collect(part, names)),
    }
}

/// Whether an expression names `word` anywhere.
pub(super) fn mentions(node: &Node, word: &str) -> bool {
    is_word(node, word) || parts(node).into_iter().any(|part| mentions(part, word))
}

/// How a condition in CEL writes the attribute.
pub(super) fn reference(attribute: &str) -> String {
    match is_plain(attribute) {
        true => attribute.to_owned(),
        false => format!("attributes[{}]", quoted(attribute)),
    }
}

/// How a condition in CEL asks whether the attribute is there.
pub(super) fn presence(attribute: &str) -> String {
    match is_plain(attribute) {
        true => format!("has(attributes.{attribute})"),
        false => format!("{} in attributes", quoted(attribute)),
    }
}

/// Whether CEL reads a name as a word of the policy's.
fn is_plain(attribute: &str) -> bool {
    let read = parse::parse(attribute);
    attribute != "attributes" && read.is_ok_and(|node| is_word(&node, attribute))
}
