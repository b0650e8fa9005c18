//! Arithmetic that policies write for amounts and costs: `150000 + 1500 * tenant.units`.
//!
//! Results are exact fractions or errors, never nearly right. A formula has numbers (`1_000`,
//! `2.5`), names (`rows`, `tenant.units`), `+ - * /`, a leading minus, parentheses, and `min`, `max`,
//! `ceil`, `floor` and `round` (halves go up). A name may hold `-`, and so there is one rule: a `-`
//! that stands directly between a letter, digit or `_` of a name and a letter or `_` belongs to the
//! name (`client-id`); every other one is a minus (`rows - used`, `rows-1`).

mod lexer;
mod number;
mod parse;
#[cfg(test)]
mod tests;

use std::fmt;

use smallvec::SmallVec;

pub use number::Number;
pub(super) use number::share;

use crate::limit::Share;
use crate::policy::units::Misread;

/// What is done to the stack of values; the code of a formula is its steps in postfix order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Number(Number),
    /// Index into the names.
    Name(usize),
    Negate,
    Add,
    Subtract,
    Multiply,
    Divide,
    Min,
    Max,
    Ceil,
    Floor,
    Round,
}

/// A formula that is well formed: its code leaves exactly one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Formula {
    names: Vec<String>,
    code: Vec<Step>,
}

/// Why a formula has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// There is no number under the name with this index into [`Formula::names`].
    #[error("a name has no number")]
    Missing(usize),
    /// A number on the way needs more than 128 bits.
    #[error("the numbers become too large")]
    Overflow,
    #[error("it divides by zero")]
    DivisionByZero,
}

impl Formula {
    /// Reads a formula of at most 4 KiB and 64 levels of nesting.
    pub(in crate::policy) fn parse(text: &str) -> Result<Self, Misread> {
        parse::formula(text)
    }

    /// A formula that always has this value.
    pub fn number(value: u64) -> Self {
        Self { names: Vec::new(), code: vec![Step::Number(Number::from_u64(value))] }
    }

    /// What it asks for, each once, in the order of first use; `tenant.units` is one name.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The work of one evaluation, in steps.
    pub fn step_count(&self) -> usize {
        self.code.len()
    }

    /// The value, given the number under the name with each index; `value` may be asked for one
    /// name several times.
    pub fn eval(
        &self,
        mut value: impl FnMut(usize) -> Option<Number>,
    ) -> Result<Number, EvalError> {
        let mut stack: SmallVec<[Number; 8]> = SmallVec::new();
        for step in &self.code {
            let result = match *step {
                Step::Number(number) => number,
                Step::Name(index) => value(index).ok_or(EvalError::Missing(index))?,
                Step::Negate | Step::Ceil | Step::Floor | Step::Round => {
                    unary(*step, pop(&mut stack)).ok_or(EvalError::Overflow)?
                }
                _ => {
                    let right = pop(&mut stack);
                    let left = pop(&mut stack);
                    if *step == Step::Divide && right.is_zero() {
                        return Err(EvalError::DivisionByZero);
                    }
                    binary(*step, left, right).ok_or(EvalError::Overflow)?
                }
            };
            stack.push(result);
        }
        Ok(pop(&mut stack))
    }

    /// The value, if it asks for no name and has one.
    pub fn as_constant(&self) -> Option<Number> {
        self.eval(|_| None).ok().filter(|_| self.names.is_empty())
    }

    /// This share of the amount that it is, rounded down as amounts are.
    #[must_use]
    pub fn share(mut self, share: Share) -> Self {
        self.code.extend([
            Step::Floor,
            Step::Number(Number::from_u64(share.hundredths_of_percent().into())),
            Step::Multiply,
            Step::Number(Number::from_u64(Share::WHOLE.into())),
            Step::Divide,
            Step::Floor,
        ]);
        self
    }
}

/// The code of a formula never takes what it has not put there.
fn pop(stack: &mut SmallVec<[Number; 8]>) -> Number {
    debug_assert!(!stack.is_empty(), "the code is well formed");
    stack.pop().unwrap_or(Number::ZERO)
}

fn unary(step: Step, value: Number) -> Option<Number> {
    match step {
        Step::Negate => value.negated(),
        Step::Ceil => Some(value.ceil()),
        Step::Floor => Some(value.floor()),
        Step::Round => Some(value.round()),
        _ => None,
    }
}

fn binary(step: Step, left: Number, right: Number) -> Option<Number> {
    match step {
        Step::Add => left.plus(right),
        Step::Subtract => left.minus(right),
        Step::Multiply => left.times(right),
        Step::Divide => left.divided_by(right),
        Step::Min => Some(left.min(right)),
        Step::Max => Some(left.max(right)),
        _ => None,
    }
}

/// How tightly a printed part holds together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Sum,
    Product,
    Negation,
    Whole,
}

/// The normal spelling: no parentheses that change nothing. It reads back to an equal formula.
impl fmt::Display for Formula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<(String, Binding, Step)> = Vec::new();
        for step in &self.code {
            let part = match *step {
                Step::Number(number) => (number.to_string(), Binding::Whole),
                Step::Name(index) => (self.names[index].clone(), Binding::Whole),
                Step::Negate => {
                    let operand = parts.pop().map(|part| within(part, Binding::Whole));
                    (format!("-{}", operand.unwrap_or_default()), Binding::Negation)
                }
                Step::Ceil | Step::Floor | Step::Round => {
                    let operand = parts.pop().map(|(text, ..)| text).unwrap_or_default();
                    (format!("{}({operand})", called(*step)), Binding::Whole)
                }
                Step::Min | Step::Max => {
                    let right = parts.pop().map(|(text, ..)| text).unwrap_or_default();
                    let left = parts.pop().map(|part| listed(part, *step)).unwrap_or_default();
                    (format!("{}({left}, {right})", called(*step)), Binding::Whole)
                }
                Step::Add | Step::Subtract | Step::Multiply | Step::Divide => {
                    let is_sum = matches!(*step, Step::Add | Step::Subtract);
                    let (binding, tighter) = match is_sum {
                        true => (Binding::Sum, Binding::Product),
                        false => (Binding::Product, Binding::Negation),
                    };
                    let right = parts.pop().map(|part| within(part, tighter)).unwrap_or_default();
                    let left = parts.pop().map(|part| within(part, binding)).unwrap_or_default();
                    (format!("{left} {} {right}", called(*step)), binding)
                }
            };
            parts.push((part.0, part.1, *step));
        }
        f.write_str(&parts.pop().map(|(text, ..)| text).unwrap_or_default())
    }
}

/// How a step is written.
fn called(step: Step) -> &'static str {
    match step {
        Step::Number(_) | Step::Name(_) => "",
        Step::Negate | Step::Subtract => "-",
        Step::Add => "+",
        Step::Multiply => "*",
        Step::Divide => "/",
        Step::Min => "min",
        Step::Max => "max",
        Step::Ceil => "ceil",
        Step::Floor => "floor",
        Step::Round => "round",
    }
}

/// A part where nothing looser than `least` may stand.
fn within((text, binding, _): (String, Binding, Step), least: Binding) -> String {
    if binding < least { format!("({text})") } else { text }
}

/// The values of `min(a, b)` when it is the first of an outer `min`, which then has three.
fn listed((text, _, made_by): (String, Binding, Step), step: Step) -> String {
    let inner = text.strip_prefix(called(step)).and_then(|rest| rest.strip_prefix('('));
    match inner.and_then(|rest| rest.strip_suffix(')')).filter(|_| made_by == step) {
        Some(values) => values.to_owned(),
        None => text,
    }
}
