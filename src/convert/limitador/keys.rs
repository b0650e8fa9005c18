//! The entries of descriptors that an expression reads, and the attributes that stand for them.
//!
//! An attribute compares texts as they are, so a key whose name means something of its own in a
//! policy is read through an attribute of another name.

use std::collections::{BTreeMap, BTreeSet};

use crate::policy::when::parse::{self, Node, Tree};

/// The list of all descriptors, and the limit itself: the only names that are bound.
pub(super) const DESCRIPTORS: &str = "descriptors";
pub(super) const LIMIT: &str = "limit";

/// Attributes that do not compare texts as they are, or that are read from other entries too.
const NATIVE: [&str; 3] = ["ip", "method", "endpoint"];

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

/// The attribute for each key of a namespace.
#[derive(Debug)]
pub(super) struct AttributeNames {
    by_key: BTreeMap<String, String>,
}

impl AttributeNames {
    pub(super) fn new(keys: &BTreeSet<String>) -> Self {
        let is_kept = |key: &&String| is_attribute(key);
        let mut taken: BTreeSet<String> = keys.iter().filter(is_kept).cloned().collect();
        let mut by_key: BTreeMap<String, String> =
            taken.iter().map(|key| (key.clone(), key.clone())).collect();
        for key in keys.iter().filter(|key| !is_attribute(key)) {
            let name = unique(&attribute_of(key), &taken);
            taken.insert(name.clone());
            by_key.insert(key.clone(), name);
        }
        Self { by_key }
    }

    pub(super) fn of<'n>(&'n self, key: &'n str) -> &'n str {
        self.by_key.get(key).map_or(key, String::as_str)
    }
}

/// Whether an attribute of a key's own name is that entry and nothing else.
fn is_attribute(key: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    !key.is_empty() && key.chars().all(is_plain) && !NATIVE.contains(&key)
}

fn attribute_of(key: &str) -> String {
    let replaced = key.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', "_");
    match replaced.trim_matches('_') {
        "" => "key".to_owned(),
        name if NATIVE.contains(&name) => format!("{name}_text"),
        name => name.to_owned(),
    }
}

/// A name that nothing else has.
fn unique(name: &str, taken: &BTreeSet<String>) -> String {
    let numbered = (2_usize..).map(|number| format!("{name}_{number}"));
    std::iter::once(name.to_owned())
        .chain(numbered)
        .find(|name| !taken.contains(name))
        .unwrap_or_default()
}

/// How a condition in CEL writes the attribute.
pub(super) fn reference(attribute: &str) -> String {
    match is_plain(attribute) {
        true => attribute.to_owned(),
        false => format!("attributes[\"{attribute}\"]"),
    }
}

/// How a condition in CEL asks whether the attribute is there.
pub(super) fn presence(attribute: &str) -> String {
    match is_plain(attribute) {
        true => format!("has(attributes.{attribute})"),
        false => format!("\"{attribute}\" in attributes"),
    }
}

/// Whether CEL reads a name as a word of the policy's.
fn is_plain(attribute: &str) -> bool {
    let read = parse::parse(attribute);
    attribute != "attributes" && read.is_ok_and(|node| is_word(&node, attribute))
}
