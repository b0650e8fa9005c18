//! Conditions as patterns of attributes where they are that simple, and as CEL where not.
//!
//! `!=` and its like hold there only where the entry is present, and a pattern of the language
//! that excludes texts also where it is absent: presence is asked for besides.

use super::cel::{asked_for, bare_text, is_joined};
use super::keys::{self, Key};
use super::reading::{Reading, Refusal, tree};
use crate::convert::draft::DraftPattern;
use crate::policy::findings::shown;
use crate::policy::when::When;
use crate::policy::when::parse::{Binary, Call, Node, Tree};

/// When a limit applies.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    pub(super) matches: Vec<(String, DraftPattern)>,
    pub(super) when: Option<String>,
}

/// Reads the conditions of a limit that counts by the attributes `per`.
pub(super) fn read(reading: &mut Reading<'_>, per: &[String]) -> Result<Conditions, Refusal> {
    let mut conditions = Conditions::default();
    let mut when = Vec::new();
    for text in &reading.limit.conditions {
        let whole = tree(text)?;
        let parts = match &whole.what {
            Tree::All(parts) => parts.as_slice(),
            _ => std::slice::from_ref(&whole),
        };
        for part in parts {
            match reading.constant(part) {
                Some(true) => continue,
                Some(false) => {
                    let why = format!("the condition {} never holds", shown(text));
                    return Err(Refusal::Never(why));
                }
                None => {}
            }
            let placed = match pattern(reading, part, false) {
                Some((key, pattern)) => {
                    let attribute = reading.attribute(key);
                    place(&mut conditions.matches, attribute, pattern)
                }
                None => false,
            };
            if !placed {
                when.push((reading.cel(text, part)?, is_joined(part)));
            }
        }
    }
    for (attribute, pattern) in &conditions.matches {
        if *pattern == DraftPattern::Absent && per.contains(attribute) {
            let why = format!("it counts by {}, which is to be missing", shown(attribute));
            return Err(Refusal::Never(why));
        }
        if matches!(pattern, DraftPattern::Not(_)) && !per.contains(attribute) {
            when.push((keys::presence(attribute), false));
        }
    }
    conditions.when = joined(&when);
    if let Some(when) = &conditions.when {
        When::compile(when, &crate::policy::when::Tables::new()).map_err(|misread| {
            Refusal::Unsaid(format!("of its conditions here, {}", misread.message))
        })?;
    }
    Ok(conditions)
}

fn joined(when: &[(String, bool)]) -> Option<String> {
    match when {
        [] => None,
        [(only, _)] => Some(only.clone()),
        several => {
            let wrapped = several.iter().map(|(text, is_joined)| match is_joined {
                true => format!("({text})"),
                false => text.clone(),
            });
            Some(wrapped.collect::<Vec<_>>().join(" && "))
        }
    }
}

/// The entry that a part is about and what it says of it; `negated` where `!` stands before it.
fn pattern(reading: &Reading<'_>, node: &Node, negated: bool) -> Option<(Key, DraftPattern)> {
    let (key, positive) = match &node.what {
        Tree::Not(inner) => return pattern(reading, inner, !negated),
        Tree::Binary(binary) if binary.sign == "!=" => {
            let (key, text) = compared(reading, binary)?;
            return Some((key, excluded(vec![DraftPattern::Equals(text)], !negated)));
        }
        Tree::Binary(binary) if binary.sign == "==" => {
            let (key, text) = compared(reading, binary)?;
            (key, vec![DraftPattern::Equals(text)])
        }
        Tree::Binary(binary) if binary.sign == "in" => match keys::sought(node) {
            Some(key) => return Some((key, present(negated))),
            None => listed(reading, binary)?,
        },
        Tree::Call(call) => match asked_for(node) {
            Some(key) => return Some((key, present(negated))),
            None => prefix(call)?,
        },
        _ => return None,
    };
    Some((key, excluded(positive, negated)))
}

fn present(negated: bool) -> DraftPattern {
    if negated { DraftPattern::Absent } else { DraftPattern::Present }
}

/// Any of some patterns, or none of them.
fn excluded(mut patterns: Vec<DraftPattern>, negated: bool) -> DraftPattern {
    match (negated, patterns.len()) {
        (true, _) => DraftPattern::Not(patterns),
        (false, 1) => patterns.remove(0),
        (false, _) => DraftPattern::AnyOf(patterns),
    }
}

/// The entry and the text of a comparison, whichever stands first.
fn compared(reading: &Reading<'_>, binary: &Binary) -> Option<(Key, String)> {
    if let Some(text) = bare_text(binary) {
        return Some((keys::key(&binary.left)?, text));
    }
    let sides = [(&binary.left, &binary.right), (&binary.right, &binary.left)];
    sides
        .into_iter()
        .find_map(|(entry, text)| Some((keys::key(entry)?, reading.known(text)??.to_owned())))
}

fn listed(reading: &Reading<'_>, binary: &Binary) -> Option<(Key, Vec<DraftPattern>)> {
    let Tree::List(items) = &binary.right.what else { return None };
    let mut patterns = Vec::new();
    for item in items {
        let pattern = DraftPattern::Equals(reading.known(item)??.to_owned());
        if !patterns.contains(&pattern) {
            patterns.push(pattern);
        }
    }
    if patterns.is_empty() { None } else { Some((keys::key(&binary.left)?, patterns)) }
}

/// `descriptors[0].key.startsWith("text")`
fn prefix(call: &Call) -> Option<(Key, Vec<DraftPattern>)> {
    let key = keys::key(call.target.as_deref()?)?;
    match call.arguments.as_slice() {
        [Node { what: Tree::Text(text), .. }]
            if call.name.text == "startsWith" && is_plain(text) =>
        {
            Some((key, vec![DraftPattern::Prefix(text.clone())]))
        }
        _ => None,
    }
}

/// Whether a text with a star after it is a prefix, and nothing else.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.contains('*') && !text.starts_with(['!', '~'])
}

/// Adds a pattern; `false` where one attribute would need two that cannot be told as one.
fn place(matches: &mut Vec<(String, DraftPattern)>, attribute: String, new: DraftPattern) -> bool {
    use DraftPattern::{Absent, AnyOf, Equals, Not, Prefix, Present};
    let Some((_, old)) = matches.iter_mut().find(|(name, _)| *name == attribute) else {
        matches.push((attribute, new));
        return true;
    };
    match (&mut *old, new) {
        (Not(excluded), Not(more)) => {
            excluded.extend(more);
            true
        }
        // Where texts are excluded, presence is asked for anyway.
        (Equals(_) | Prefix(_) | AnyOf(_) | Not(_) | Present, Present) | (Absent, Absent) => true,
        (Present, new @ (Equals(_) | Prefix(_) | AnyOf(_) | Not(_))) => {
            *old = new;
            true
        }
        (old, new) => *old == new,
    }
}
