//! Names: of rules, each its own, and of the attributes that entries are read as.
//!
//! An entry is compared as the text it is. Where the attribute of its name would be more than
//! that, or could not be named, it is read under another name.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::policy::model::{Node, NodeValue};

/// Attributes that are more than the text of the entry of their name, or whose texts are held to
/// be methods.
const KNOWN: [&str; 4] = ["endpoint", "method", "ip", ":method"];
/// Attributes whose texts are held to be paths when they look like one.
const PATHS: [&str; 6] = ["path", ":path", "url", "uri", "route", "request_path"];

/// The attribute that each entry key of a policy is read as.
pub(super) struct Attributes<'n> {
    by_key: HashMap<&'n str, String>,
    /// In the order of the policy.
    keys: Vec<&'n str>,
    /// Keys whose attribute would mean more than their text.
    pub(super) known: Vec<&'n str>,
}

impl<'n> Attributes<'n> {
    /// `paths` are those keys that have values with a slash.
    pub(super) fn new(keys: Vec<&'n str>, paths: &HashSet<&str>) -> Self {
        let is_known =
            |key: &str| KNOWN.contains(&key) || (PATHS.contains(&key) && paths.contains(key));
        let mut taken: HashMap<String, u32> =
            keys.iter().map(|key| ((*key).to_owned(), 1)).collect();
        let mut by_key = HashMap::new();
        for key in &keys {
            let name = match is_known(key) || !is_plain(key) {
                true => unique(&format!("{}_text", cleaned(key, '_')), '_', &mut taken),
                false => (*key).to_owned(),
            };
            by_key.insert(*key, name);
        }
        let known = keys.iter().copied().filter(|key| is_known(key)).collect();
        Self { by_key, keys, known }
    }

    pub(super) fn of<'s>(&'s self, key: &'s str) -> &'s str {
        self.by_key.get(key).map_or(key, String::as_str)
    }

    /// All keys with their attributes.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'n str, &str)> {
        self.keys.iter().map(|key| (*key, self.of(key)))
    }

    /// Those that are read from a key of another name.
    pub(super) fn renamed(&self) -> BTreeMap<String, Vec<String>> {
        let renamed = self.iter().filter(|(key, attribute)| key != attribute);
        renamed.map(|(key, attribute)| (attribute.to_owned(), vec![key.to_owned()])).collect()
    }
}

/// Whether a key may be the name of an attribute, and is then nothing else.
fn is_plain(key: &str) -> bool {
    key.trim() == key && !key.contains(|c: char| matches!(c, '.' | ',' | '*') || c.is_control())
}

/// The name of every rule: its own where no other limit has it, else one made of its path.
pub(super) fn of_rules(rules: &[(&[&Node], Option<&str>)]) -> Vec<String> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for name in rules.iter().filter_map(|(_, name)| *name) {
        *counts.entry(name).or_default() += 1;
    }
    let own = |name: &Option<&str>| {
        let name = name.filter(|name| !name.contains(char::is_control) && !name.trim().is_empty());
        name.filter(|name| counts.get(name) == Some(&1)).map(str::to_owned)
    };
    let mut taken: HashMap<String, u32> =
        rules.iter().filter_map(|(_, name)| Some((own(name)?, 1))).collect();
    let name = |(path, name): &(&[&Node], Option<&str>)| {
        own(name).unwrap_or_else(|| unique(&of_path(path), '-', &mut taken))
    };
    rules.iter().map(name).collect()
}

/// `tenant-acme.path`.
fn of_path(path: &[&Node]) -> String {
    let part = |node: &&Node| {
        let value = match &node.value {
            NodeValue::Any => String::new(),
            NodeValue::Exact(value) => cleaned(value, '-'),
            NodeValue::Wildcard(parts) => cleaned(&parts.join("-"), '-'),
        };
        let key = cleaned(&node.key, '-');
        if value.is_empty() { key } else { format!("{key}-{value}") }
    };
    path.iter().map(part).collect::<Vec<_>>().join(".")
}

/// Letters, digits and what joins words; all else is one `joint`.
fn cleaned(text: &str, joint: char) -> String {
    const MOST: usize = 40;
    let mut cleaned = String::new();
    for c in text.chars() {
        if cleaned.len() >= MOST {
            break;
        }
        if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') {
            cleaned.push(c);
        } else if !cleaned.is_empty() && !cleaned.ends_with(joint) {
            cleaned.push(joint);
        }
    }
    cleaned.trim_matches(['-', '_']).to_owned()
}

/// The name, with a number if it is taken already; `taken` knows the last number of each.
fn unique(name: &str, joint: char, taken: &mut HashMap<String, u32>) -> String {
    let Some(last) = taken.get(name).copied() else {
        taken.insert(name.to_owned(), 1);
        return name.to_owned();
    };
    let mut number = last + 1;
    while taken.contains_key(&format!("{name}{joint}{number}")) {
        number += 1;
    }
    let free = format!("{name}{joint}{number}");
    taken.insert(name.to_owned(), number);
    taken.insert(free.clone(), 1);
    free
}
