//! Names of rules: that of the limit where no other has it, else one that tells its path.
//!
//! No two rules have one name, and none is empty.

use std::collections::HashMap;

pub(super) use super::super::attributes::Attributes;
use super::super::attributes::{cleaned, unique};
use crate::policy::model::{Node, NodeValue};

/// For a path without a letter or digit.
const NAMELESS: &str = "rule";

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
    let parts: Vec<String> = path.iter().map(part).filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { NAMELESS.to_owned() } else { parts.join(".") }
}
