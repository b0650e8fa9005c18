//! `when:` conditions: CEL expressions over attributes and table rows, checked when they load.
//!
//! A condition that compiled cannot panic, loop or run long: its depth and the work it may do are
//! bounded at load, and whatever goes wrong later is a `Failure`.
//!
//! The steps are text → tokens (`lex`) → tree (`parse`) → types and names (`check`, `operators`,
//! `calls`) → the library's expression (`run`). The library evaluates; reading is ours, for its parser
//! overflowed the 2 MiB stack of a thread at sixteen brackets (debug build, cel 0.15.0).

mod calls;
mod check;
mod lex;
mod operators;
pub(crate) mod parse;
mod run;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::policy::units::Misread;

/// Tables by name: what kinds of values each of their fields has in any row.
pub type Tables = HashMap<String, BTreeMap<String, FieldKinds>>;

/// Bytes of the longest condition.
const MOST_BYTES: usize = 4096;

/// A compiled condition; cheap to clone.
#[derive(Clone, Debug)]
pub struct When {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    text: String,
    names: Vec<Name>,
    expression: run::Expression,
}

/// What a condition reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Name {
    Attribute(String),
    /// A field of the row that the table has for the request.
    Field {
        table: String,
        field: String,
    },
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attribute(name) => f.write_str(name),
            Self::Field { table, field } => write!(f, "{table}.{field}"),
        }
    }
}

/// The value of a name for one request; an attribute is always a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'v> {
    Text(&'v [u8]),
    Whole(i64),
    Decimal(f64),
    Bool(bool),
}

/// The kinds of values that a table's field has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldKinds {
    kinds: check::Kinds,
}

impl FieldKinds {
    /// Notes the value of one row.
    pub fn add(&mut self, value: Value<'_>) {
        self.kinds = self.kinds.or(match value {
            Value::Text(_) => check::Kinds::TEXT,
            Value::Whole(_) => check::Kinds::WHOLE,
            Value::Decimal(_) => check::Kinds::DECIMAL,
            Value::Bool(_) => check::Kinds::BOOL,
        });
    }
}

/// Why a condition neither holds nor does not hold for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure<'w> {
    #[error("`{0}` is absent")]
    Absent(&'w Name),
    /// Replaced characters could make two values the same.
    #[error("`{0}` is not UTF-8")]
    NotUtf8(&'w Name),
    #[error("a text cannot be read as what it is converted to")]
    Unreadable,
    #[error("a number is too large")]
    Overflow,
    #[error("division by zero")]
    DivisionByZero,
    #[error("a list has no such item")]
    NoSuchItem,
    #[error("the values are of kinds that do not go together")]
    Kinds,
}

impl When {
    /// Reads and checks a condition; `tables` are those of its policy.
    pub(crate) fn compile(text: &str, tables: &Tables) -> Result<Self, Misread> {
        if text.len() > MOST_BYTES {
            let message = format!("the condition has more than {MOST_BYTES} bytes");
            return Err(wrong(0..text.len(), message, "split it into several rules"));
        }
        let tree = parse::parse(text)?;
        let (expression, names) = check::check(text, tables, &tree)?;
        Ok(Self { inner: Arc::new(Inner { text: text.to_owned(), names, expression }) })
    }

    /// What the condition reads, each once.
    pub fn names(&self) -> &[Name] {
        &self.inner.names
    }

    /// Whether the condition holds; `value` gives the value of a name by its position in `names`.
    pub fn holds<'v>(
        &self,
        value: impl Fn(usize) -> Option<Value<'v>>,
    ) -> Result<bool, Failure<'_>> {
        let values = run::Values::new((0..self.inner.names.len()).map(value));
        run::evaluate(&self.inner.expression, &values, &self.inner.names)
    }
}

/// The condition as it was written.
impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.text)
    }
}

fn wrong(bytes: Range<usize>, message: String, hint: impl Into<String>) -> Misread {
    Misread { code: "bad-when", message, hint: hint.into(), bytes }
}
