//! Conditions of Limitador as conditions of a policy, for what patterns cannot say.
//!
//! There an entry that is missing makes the whole condition false, wherever it is read from left
//! to right. Here `||` and `&&` get by with the part that can be worked out, so where that could
//! be told apart they are written as a choice, which does not.

use std::collections::BTreeSet;

use super::keys::{self, Key};
use super::reading::{Reading, Refusal};
use crate::policy::findings::shown;
use crate::policy::when::parse::{Binary, Call, Node, Tree};

const LOOPS: [&str; 6] = ["all", "exists", "exists_one", "existsOne", "filter", "map"];
const OF_TEXTS: [&str; 3] = ["startsWith", "endsWith", "contains"];
const COMPARE: [&str; 7] = ["==", "!=", "<", "<=", ">", ">=", "in"];

/// What can be worked out there only for some values.
const FAILS: &str = "where an entry that a function is given is missing or cannot be converted, \
                     Limitador fails the call; this rule does not apply then";
const SIZE: &str = "`size` counts bytes in Limitador and characters here";

impl Reading<'_> {
    /// A part of the condition `text`, for a policy.
    pub(super) fn cel(&mut self, text: &str, node: &Node) -> Result<String, Refusal> {
        if let Some(key) = keys::key(node) {
            return Ok(keys::reference(&self.attribute(key)));
        }
        if let Some(value) = self.of_limit(node) {
            return value.map(quoted).ok_or_else(|| {
                Refusal::Unsaid(format!("{} is nothing for this limit", source(text, node)))
            });
        }
        match &node.what {
            Tree::Text(value) => Ok(quoted(value)),
            Tree::Whole(number) => Ok(number.to_string()),
            Tree::Decimal(_) => Ok(text.get(node.bytes.clone()).unwrap_or_default().to_owned()),
            Tree::Bool(value) => Ok(value.to_string()),
            Tree::List(items) => Ok(format!("[{}]", self.listed(text, items)?)),
            Tree::Not(inner) => Ok(format!("!{}", self.operand(text, inner)?)),
            Tree::Negative(inner) => Ok(format!("-{}", self.operand(text, inner)?)),
            Tree::Binary(binary) => self.binary(text, node, binary),
            Tree::All(nodes) => self.chain(text, nodes, "&&"),
            Tree::Any(nodes) => self.chain(text, nodes, "||"),
            Tree::Choice(parts) => {
                let [condition, one, other] = parts.as_ref();
                let condition = self.link(text, condition)?;
                let (one, other) = (self.link(text, one)?, self.link(text, other)?);
                Ok(format!("{condition} ? {one} : {other}"))
            }
            Tree::Call(call) => self.call(text, node, call),
            Tree::Word(_) | Tree::Select(..) | Tree::Index(..) => {
                Err(Refusal::Unsaid(format!("{} is not one entry", source(text, node))))
            }
        }
    }

    /// A part beside an operator that binds tightly.
    fn operand(&mut self, text: &str, node: &Node) -> Result<String, Refusal> {
        let written = self.cel(text, node)?;
        let is_loose = matches!(node.what, Tree::Binary(_) | Tree::Negative(_));
        Ok(if is_loose || is_joined(node) { format!("({written})") } else { written })
    }

    /// A part of `&&`, `||` or a choice.
    pub(super) fn link(&mut self, text: &str, node: &Node) -> Result<String, Refusal> {
        let written = self.cel(text, node)?;
        Ok(if is_joined(node) { format!("({written})") } else { written })
    }

    fn listed(&mut self, text: &str, nodes: &[Node]) -> Result<String, Refusal> {
        let items: Result<Vec<_>, _> = nodes.iter().map(|node| self.cel(text, node)).collect();
        Ok(items?.join(", "))
    }

    fn binary(&mut self, text: &str, node: &Node, binary: &Binary) -> Result<String, Refusal> {
        if let Some(key) = keys::sought(node) {
            return Ok(keys::presence(&self.attribute(key)));
        }
        if let Some(value) = self.constant(node) {
            return Ok(value.to_string());
        }
        let left = self.operand(text, &binary.left)?;
        let right = match bare_text(binary) {
            Some(value) => quoted(&value),
            None => self.operand(text, &binary.right)?,
        };
        Ok(format!("{left} {} {right}", binary.sign))
    }

    fn chain(&mut self, text: &str, nodes: &[Node], sign: &str) -> Result<String, Refusal> {
        let links: Result<Vec<_>, _> = nodes.iter().map(|node| self.link(text, node)).collect();
        let mut links = links?;
        if fail_together(nodes) {
            return Ok(links.join(&format!(" {sign} ")));
        }
        let mut rest = links.pop().unwrap_or_default();
        let mut is_choice = false;
        for link in links.into_iter().rev() {
            let inner = if is_choice { format!("({rest})") } else { rest };
            rest = match sign {
                "&&" => format!("{link} ? {inner} : false"),
                _ => format!("{link} ? true : {inner}"),
            };
            is_choice = true;
        }
        Ok(rest)
    }

    fn call(&mut self, text: &str, node: &Node, call: &Call) -> Result<String, Refusal> {
        let name = call.name.text.as_str();
        if let Some(key) = asked_for(node) {
            return Ok(keys::presence(&self.attribute(key)));
        }
        if call.target.is_some() && LOOPS.contains(&name) {
            let why = format!("the item of the loop {} is an unbound name", source(text, node));
            return Err(Refusal::Never(why));
        }
        let mut read = BTreeSet::new();
        call.arguments.iter().for_each(|argument| keys::collect(argument, &mut read));
        if !read.is_empty() || !OF_TEXTS.contains(&name) {
            self.notes.insert(FAILS);
        }
        if name == "size" {
            self.notes.insert(SIZE);
        }
        let arguments = self.listed(text, &call.arguments)?;
        Ok(match &call.target {
            Some(target) => format!("{}.{name}({arguments})", self.operand(text, target)?),
            None => format!("{name}({arguments})"),
        })
    }
}

/// `has(descriptors[0].key)`
pub(super) fn asked_for(node: &Node) -> Option<Key> {
    match &node.what {
        Tree::Call(Call { target: None, name, arguments }) if name.text == "has" => {
            match arguments.as_slice() {
                [argument] => keys::key(argument),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The right side of `req.method == GET`, where Limitador 1.x read a text.
pub(super) fn bare_text(binary: &Binary) -> Option<String> {
    let is_bare = |key: &Key| key.descriptor.is_none();
    keys::key(&binary.left).filter(is_bare)?;
    let is_compared = matches!(binary.sign, "==" | "!=");
    keys::key(&binary.right).filter(is_bare).filter(|_| is_compared).map(|key| key.name)
}

/// Whether a part holds together less than a comparison does.
pub(super) fn is_joined(node: &Node) -> bool {
    matches!(node.what, Tree::All(_) | Tree::Any(_) | Tree::Choice(_))
}

/// Whether no part of a chain can be worked out where one before it cannot.
fn fail_together(nodes: &[Node]) -> bool {
    let reads: Option<Vec<BTreeSet<String>>> = nodes.iter().map(needed).collect();
    reads.is_some_and(|reads| reads.windows(2).all(|pair| pair[0].is_subset(&pair[1])))
}

/// The entries without which a part cannot be worked out, where that is all that it needs.
fn needed(node: &Node) -> Option<BTreeSet<String>> {
    if asked_for(node).is_some() || keys::sought(node).is_some() {
        return Some(BTreeSet::new());
    }
    if let Some(key) = keys::key(node) {
        return Some(BTreeSet::from([key.name]));
    }
    let of_all = |nodes: &mut dyn Iterator<Item = &Node>| {
        let needs: Option<Vec<_>> = nodes.map(needed).collect();
        Some(needs?.into_iter().flatten().collect())
    };
    match &node.what {
        Tree::Text(_) | Tree::Whole(_) | Tree::Decimal(_) | Tree::Bool(_) => Some(BTreeSet::new()),
        Tree::List(items) => of_all(&mut items.iter()),
        Tree::Not(inner) => needed(inner),
        Tree::Binary(binary) if bare_text(binary).is_some() => needed(&binary.left),
        Tree::Binary(binary) if COMPARE.contains(&binary.sign) => {
            of_all(&mut [binary.left.as_ref(), binary.right.as_ref()].into_iter())
        }
        Tree::Call(call) if OF_TEXTS.contains(&call.name.text.as_str()) => {
            of_all(&mut call.target.as_deref().into_iter().chain(&call.arguments))
        }
        _ => None,
    }
}

fn source(text: &str, node: &Node) -> String {
    shown(text.get(node.bytes.clone()).unwrap_or_default())
}

/// A text as CEL writes it; what JSON escapes, CEL reads the same.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
