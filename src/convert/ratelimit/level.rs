//! What the entry of one level must be for its node to be the one chosen.
//!
//! There an exact value comes before wildcards in file order, and those before the key alone.
//! Natively every rule that matches applies, so each leaves out what its elders take.

use super::super::draft::DraftPattern;
use super::wildcard::{Wildcard, name_in_cel};
use crate::policy::model::{Node, NodeValue};

/// What one entry must be.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    /// `None` where being present is all, and the rule counts by it.
    pub(super) pattern: Option<DraftPattern>,
    /// Clauses in CEL that must hold too.
    pub(super) clauses: Vec<String>,
    /// Whether each value has a counter of its own.
    pub(super) is_counted: bool,
    /// What is said less exactly than there.
    pub(super) notes: Vec<String>,
}

/// The selection of a node among those of its level; `None` where others take all its values.
pub(super) fn select(node: &Node, level: &[Node], attribute: &str) -> Option<Selection> {
    let of_key = level.iter().filter(|other| other.key == node.key);
    let elders = Elders::of(node, of_key)?;
    let mut selection = Selection {
        pattern: None,
        clauses: Vec::new(),
        is_counted: is_counted(node),
        notes: Vec::new(),
    };
    let name = name_in_cel(attribute);
    let mut excluded: Vec<DraftPattern> =
        elders.exact.iter().map(|value| DraftPattern::Equals((*value).to_owned())).collect();
    for wildcard in &elders.wildcards {
        match wildcard.pattern() {
            Some(pattern) => excluded.push(pattern),
            None => {
                let written = wildcard.in_cel(&name);
                selection.clauses.push(match written.clauses.as_slice() {
                    [only] => format!("!{only}"),
                    several => format!("!({})", several.join(" && ")),
                });
                if written.is_wider {
                    selection.notes.push(wider("Leaves out", wildcard, &name));
                }
            }
        }
    }
    let positive = match &node.value {
        NodeValue::Any => None,
        NodeValue::Exact(value) => Some(DraftPattern::Equals(value.clone())),
        NodeValue::Wildcard(parts) => {
            let wildcard = Wildcard::new(parts);
            if wildcard.prefix().is_none() {
                let written = wildcard.in_cel(&name);
                selection.clauses.splice(0..0, written.clauses);
                if written.is_wider {
                    selection.notes.push(wider("Takes", &wildcard, &name));
                }
            }
            match (wildcard.first(), wildcard.prefix()) {
                ("", _) => None,
                (first, Some(_)) => Some(DraftPattern::Prefix(first.to_owned())),
                // The condition says how values begin.
                (_, None) => None,
            }
        }
    };
    // Counting by an attribute asks for it too, but only after the condition is worked out.
    let asks_presence = !selection.is_counted || !selection.clauses.is_empty();
    selection.pattern = joined(positive, excluded, asks_presence);
    Some(selection)
}

fn is_counted(node: &Node) -> bool {
    match node.value {
        NodeValue::Any => true,
        NodeValue::Exact(_) => false,
        NodeValue::Wildcard(_) => !node.share_threshold,
    }
}

fn wider(does: &str, wildcard: &Wildcard<'_>, name: &str) -> String {
    format!(
        "{does} more than `{wildcard}`: `{name}` is asked for the texts between the stars, not for \
         their order and not whether they overlap."
    )
}

/// What is taken before a node is asked, as far as the node would match it.
struct Elders<'n> {
    exact: Vec<&'n str>,
    wildcards: Vec<Wildcard<'n>>,
}

impl<'n> Elders<'n> {
    /// `None` where they take all.
    fn of(node: &Node, of_key: impl Iterator<Item = &'n Node>) -> Option<Self> {
        let mut elders = Self { exact: Vec::new(), wildcards: Vec::new() };
        let own = match &node.value {
            NodeValue::Exact(_) => return Some(elders),
            NodeValue::Wildcard(parts) => Some(Wildcard::new(parts)),
            NodeValue::Any => None,
        };
        let mut is_before = true;
        for other in of_key {
            is_before &= !std::ptr::eq(other, node);
            match &other.value {
                NodeValue::Any => {}
                NodeValue::Exact(value) => {
                    if own.as_ref().is_none_or(|own| own.matches(value)) {
                        elders.exact.push(value);
                    }
                }
                NodeValue::Wildcard(parts) => {
                    let wildcard = Wildcard::new(parts);
                    let is_elder = own.is_none() || is_before;
                    let takes_all = match &own {
                        None => wildcard.is_every_value(),
                        Some(own) => wildcard.covers(own),
                    };
                    if is_elder && takes_all {
                        return None;
                    }
                    if is_elder && own.as_ref().is_none_or(|own| own.may_meet(&wildcard)) {
                        elders.wildcards.push(wildcard);
                    }
                }
            }
        }
        Some(elders)
    }
}

/// One pattern that holds for what is asked and not left out.
fn joined(
    positive: Option<DraftPattern>,
    mut excluded: Vec<DraftPattern>,
    asks_presence: bool,
) -> Option<DraftPattern> {
    match positive {
        Some(positive) if excluded.is_empty() => Some(positive),
        None if excluded.is_empty() => asks_presence.then_some(DraftPattern::Present),
        Some(positive) => {
            excluded.insert(0, DraftPattern::Not(vec![positive]));
            Some(DraftPattern::Not(excluded))
        }
        None => {
            if asks_presence {
                excluded.insert(0, DraftPattern::Absent);
            }
            Some(DraftPattern::Not(excluded))
        }
    }
}
