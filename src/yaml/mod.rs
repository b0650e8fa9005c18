//! YAML text to a tree in which every value, key and item knows the bytes it was written in.
//!
//! All YAML of the crate passes here. Work is bounded before it is done: file size, depth, number
//! of values, how much aliases may repeat, and what is found wrong; so no file, however made, costs more than its size
//! and those bounds say.

mod fault;
mod tree;

#[cfg(test)]
mod tests;

use std::ops::Range;

pub use fault::Fault;

/// Largest text that is read.
pub const MAX_BYTES: usize = 8 << 20;
/// Deepest nesting of lists and mappings.
pub const MAX_DEPTH: usize = 64;
/// Most values, keys and items that are written out in one text.
pub const MAX_NODES: usize = 2_000_000;
/// Most values, keys and items that aliases may repeat: far fewer, for a short text can ask for
/// any number of them. As many may wait behind anchors to be repeated.
pub const MAX_REPEATED_NODES: usize = 100_000;
/// Most bytes of text that aliases may repeat, and that may wait behind anchors.
pub const MAX_REPEATED_BYTES: usize = 1 << 20;
/// Most faults of one text; more help nobody.
const MAX_FAULTS: usize = 1_000;

/// What a text holds: its documents that could be read, and all that is wrong with it.
#[derive(Debug, Default)]
pub struct Parsed {
    /// Empty documents are left out.
    pub documents: Vec<Node>,
    pub faults: Vec<Fault>,
}

#[derive(Clone, Debug)]
pub struct Node {
    pub value: Value,
    /// Where it was written; of what an alias repeats, where its anchor stands.
    pub bytes: Range<usize>,
}

#[derive(Clone, Debug)]
pub enum Value {
    Scalar(Scalar),
    Sequence(Vec<Node>),
    /// In the order written; no two keys are the same text.
    Mapping(Vec<(Node, Node)>),
}

/// Text as it was written: `010`, `yes` and `1.50` are not turned into something else.
#[derive(Clone, Debug)]
pub struct Scalar {
    pub text: String,
    /// Written in quotes, as a block, or tagged as text.
    pub quoted: bool,
    /// Where the text's first byte stands, when it stands there byte for byte.
    verbatim: Option<usize>,
}

impl Node {
    /// The scalar, unless it is a list or a mapping, or says nothing.
    pub fn scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(scalar) if !scalar.is_null() => Some(scalar),
            Value::Scalar(_) | Value::Sequence(_) | Value::Mapping(_) => None,
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.is_null())
    }

    /// The value of a key, when this is a mapping that has it.
    pub fn member(&self, key: &str) -> Option<&Self> {
        let Value::Mapping(pairs) = &self.value else {
            return None;
        };
        let is_key = |name: &Self| name.scalar().is_some_and(|name| name.text == key);
        pairs.iter().find(|(name, _)| is_key(name)).map(|(_, value)| value)
    }

    /// Where a part of a scalar's text stands: exactly when it was written verbatim, else the
    /// whole scalar.
    pub fn part(&self, part: Range<usize>) -> Range<usize> {
        match &self.value {
            Value::Scalar(Scalar { verbatim: Some(start), .. }) => {
                start + part.start..start + part.end
            }
            Value::Scalar(_) | Value::Sequence(_) | Value::Mapping(_) => self.bytes.clone(),
        }
    }

    /// This value with other texts: `text` says what stands in for a scalar or a key, or leaves it
    /// as it is. What is put in keeps the bytes that it brings along.
    pub fn with_texts(&self, text: &mut impl FnMut(&Self, &Scalar) -> Option<Self>) -> Self {
        let value = match &self.value {
            Value::Scalar(scalar) => {
                return text(self, scalar).unwrap_or_else(|| self.clone());
            }
            Value::Sequence(items) => {
                Value::Sequence(items.iter().map(|item| item.with_texts(text)).collect())
            }
            Value::Mapping(pairs) => {
                let pair =
                    |(key, value): &(Self, Self)| (key.with_texts(text), value.with_texts(text));
                Value::Mapping(pairs.iter().map(pair).collect())
            }
        };
        Self { value, bytes: self.bytes.clone() }
    }

    /// A scalar that was put together from others and is shown at `bytes`.
    pub fn composed(text: String, quoted: bool, bytes: Range<usize>) -> Self {
        Self { value: Value::Scalar(Scalar { text, quoted, verbatim: None }), bytes }
    }

    /// What a message calls it: `a list`.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Scalar(scalar) if scalar.is_null() => "nothing",
            Value::Scalar(_) => "text",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
        }
    }
}

impl Scalar {
    fn is_null(&self) -> bool {
        !self.quoted && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// `true` and `false` as YAML 1.2 has them.
    pub fn as_bool(&self) -> Option<bool> {
        match self.text.as_str() {
            _ if self.quoted => None,
            "true" | "True" | "TRUE" => Some(true),
            "false" | "False" | "FALSE" => Some(false),
            _ => None,
        }
    }
}

/// Reads all documents of a text. Documents after a broken one are read too.
pub fn parse(text: &str) -> Parsed {
    if text.len() > MAX_BYTES {
        return Parsed { documents: Vec::new(), faults: vec![Fault::too_large()] };
    }
    tree::read(text)
}
