//! What every policy format lowers to: checked for sense, not yet compiled.
//!
//! Whatever a later stage may complain about keeps the place it was written at.

use std::fmt;
use std::ops::Range;

use ipnet::IpNet;

use crate::limit::{ChargeWhen, Limit};
use crate::policy::respond::Respond;
use crate::policy::template::Template;

/// One policy text, and what to call it in messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The path as the operator knows it.
    pub name: String,
    pub text: String,
}

/// Where something was written: which source, which bytes of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub source: usize,
    pub bytes: Range<usize>,
}

/// A value and where it was written.
#[derive(Clone, Debug)]
pub struct Placed<T> {
    pub value: T,
    pub place: Place,
}

/// One YAML document: the policy of one domain.
#[derive(Clone, Debug)]
pub struct Policy {
    pub domain: Placed<String>,
    pub body: Body,
}

#[derive(Clone, Debug)]
pub enum Body {
    Native(NativePolicy),
    /// The envoyproxy/ratelimit format: the root list of descriptors.
    Descriptors(Vec<Node>),
}

#[derive(Clone, Debug)]
pub struct NativePolicy {
    pub attributes: Vec<AttributeKeys>,
    pub rules: Vec<Rule>,
    /// For denials, and headers on every answer, of rules that have no own.
    pub respond: Respond,
}

/// The entry keys an attribute is read from, first present first, after its own name.
#[derive(Clone, Debug)]
pub struct AttributeKeys {
    pub attribute: String,
    pub keys: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    Enforce,
    /// Measured, not enforced.
    Shadow,
}

#[derive(Clone, Debug)]
pub struct Rule {
    pub name: Placed<String>,
    /// All must hold.
    pub conditions: Vec<Condition>,
    /// The attributes whose values make the counter's key, in this order.
    pub per: Vec<Placed<String>>,
    /// Whether `match` and `per` are all that was written, with nothing left out as a fault.
    pub is_read_whole: bool,
    /// Empty for an unlimited rule.
    pub limits: Vec<Placed<Limit>>,
    pub unlimited: bool,
    pub replaces: Vec<Placed<String>>,
    pub charge: ChargeWhen,
    pub mode: Mode,
    /// Whether negative hits give back.
    pub refund: bool,
    /// The rule's own, complete; `None` takes the policy's.
    pub respond: Option<Respond>,
}

#[derive(Clone, Debug)]
pub struct Condition {
    pub attribute: Placed<String>,
    pub pattern: Pattern,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    Equals(String),
    Prefix(String),
    AnyOf(Vec<Pattern>),
    /// Holds also when the attribute is absent, unless the inner pattern says otherwise.
    Not(Box<Pattern>),
    Present,
    Absent,
    /// Only of the attribute `endpoint`.
    Endpoint(Template),
    /// Only of the attribute `ip`.
    Network(IpNet),
}

/// As an operator would say it, values in backticks.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equals(text) if text.is_empty() => f.write_str("an empty value"),
            Self::Equals(text) => write!(f, "`{text}`"),
            Self::Prefix(text) => write!(f, "`{text}*`"),
            Self::AnyOf(patterns) => {
                for (position, pattern) in patterns.iter().enumerate() {
                    let separator = if position == 0 { "" } else { " or " };
                    write!(f, "{separator}{pattern}")?;
                }
                Ok(())
            }
            Self::Not(pattern) => write!(f, "anything but {pattern}"),
            Self::Present => f.write_str("any value"),
            Self::Absent => f.write_str("no value"),
            Self::Endpoint(template) => write!(f, "`{template}`"),
            Self::Network(network) => write!(f, "`{network}`"),
        }
    }
}

/// One descriptor of the envoyproxy/ratelimit format.
#[derive(Clone, Debug)]
pub struct Node {
    pub key: String,
    pub value: NodeValue,
    pub place: Place,
    pub limit: Option<NodeLimit>,
    pub shadow_mode: bool,
    /// All values that a wildcard matches share one counter.
    pub share_threshold: bool,
    pub children: Vec<Node>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeValue {
    /// A key-only rule: every value, each with a counter of its own.
    Any,
    Exact(String),
    /// The text around and between the stars; at least two parts.
    Wildcard(Vec<String>),
}

#[derive(Clone, Debug)]
pub struct NodeLimit {
    pub name: Option<Placed<String>>,
    pub replaces: Vec<Placed<String>>,
    /// `None` is unlimited.
    pub limit: Option<Limit>,
}
