//! The attributes that entries are read as, for every format alike.
//!
//! An entry is compared as the text it is. Where the attribute of its name would be more than
//! that, or could not be named, it is read under a name of its own that nobody sends.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::policy::is_more_than_text;

/// The attribute that each entry key of a policy is read as.
#[derive(Debug)]
pub(super) struct Attributes<'n> {
    by_key: HashMap<&'n str, String>,
    /// Keys whose attribute would mean more than their text.
    pub(super) known: Vec<&'n str>,
}

impl<'n> Attributes<'n> {
    /// `paths` are those keys that have values with a slash.
    pub(super) fn new(keys: Vec<&'n str>, paths: &HashSet<&str>) -> Self {
        let is_known = |key: &str| is_more_than_text(key, paths.contains(key));
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
        let known = keys.into_iter().filter(|key| is_known(key)).collect();
        Self { by_key, known }
    }

    pub(super) fn of<'s>(&'s self, key: &'s str) -> &'s str {
        self.by_key.get(key).map_or(key, String::as_str)
    }

    /// Those that are read from a key of another name.
    pub(super) fn renamed(&self) -> BTreeMap<String, Vec<String>> {
        let renamed = self.by_key.iter().filter(|(key, attribute)| *key != attribute);
        renamed.map(|(key, attribute)| (attribute.clone(), vec![(*key).to_owned()])).collect()
    }
}

/// Whether a key may be the name of an attribute, and is then nothing else.
fn is_plain(key: &str) -> bool {
    key.trim() == key && !key.contains(|c: char| matches!(c, '.' | ',' | '*') || c.is_control())
}

/// Letters, digits and what joins words; all else is one `joint`.
pub(super) fn cleaned(text: &str, joint: char) -> String {
    const MOST: usize = 40;
    let mut cleaned = String::new();
    for c in text.chars() {
        if cleaned.len() >= MOST {
            break;
        }
        if c.is_alphanumeric() || matches!(c, '_' | '-') {
            cleaned.push(c);
        } else if !cleaned.is_empty() && !cleaned.ends_with(joint) {
            cleaned.push(joint);
        }
    }
    cleaned.trim_matches(['-', '_']).to_owned()
}

/// The name, with a number if it is taken already; `taken` knows the last number of each.
pub(super) fn unique(name: &str, joint: char, taken: &mut HashMap<String, u32>) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_mean_more_are_read_under_names_that_nobody_sends() {
        let keys = [
            "ip",
            "method",
            ":method",
            "path",
            "url",
            "remote_address",
            "a.b",
            "a_b_text",
            "**",
            "*",
            "é",
            "用户",
            "tenant",
        ];
        let named = |paths: &[&str]| {
            let attributes = Attributes::new(keys.into(), &paths.iter().copied().collect());
            keys.map(|key| attributes.of(key).to_owned())
        };
        let expected = [
            "ip_text",
            "method_text",
            "method_text_2",
            "path_text",
            "url",
            "remote_address_text",
            "a_b_text_2",
            "a_b_text",
            "_text",
            "_text_2",
            "é",
            "用户",
            "tenant",
        ];
        assert_eq!(named(&["path", "remote_address", "tenant"]), expected);
        assert_eq!(named(&["url"])[3..6], ["path", "url_text", "remote_address"]);
    }
}
