//! The library's expressions and how they are evaluated; nothing else names the library.
//!
//! Every variable of such an expression is one that `slot`, `present` or `looped` made, so no word
//! of a policy can meet one of the library's types or functions.

use std::sync::{Arc, LazyLock};

use cel::common::ast::operators as op;
use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, ListExpr, LiteralValue};
use cel::common::types::{CelBool, CelDouble, CelInt, CelString};
use cel::common::value::CowVal;
use cel::context::VariableResolver;
use cel::{Context, Env, ExecutionError};
use smallvec::SmallVec;

use super::{Failure, Name, Value};

/// What the library evaluates.
pub(super) type Expression = IdedExpr;

/// The standard functions, which know no request.
static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

const SLOT: char = '#';
const PRESENT: char = '?';
const LOOPED: char = '$';
const RESULT: &str = "@result";

/// How the items of a list are walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loop {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
}

fn plain(expr: Expr) -> IdedExpr {
    IdedExpr { id: 0, expr }
}

pub(super) fn text(value: &str) -> IdedExpr {
    plain(Expr::Literal(LiteralValue::String(value.to_owned().into())))
}

pub(super) fn whole(value: i64) -> IdedExpr {
    plain(Expr::Literal(LiteralValue::Int(value.into())))
}

pub(super) fn decimal(value: f64) -> IdedExpr {
    plain(Expr::Literal(LiteralValue::Double(value.into())))
}

pub(super) fn bool(value: bool) -> IdedExpr {
    plain(Expr::Literal(LiteralValue::Boolean(value.into())))
}

pub(super) fn list(items: Vec<IdedExpr>) -> IdedExpr {
    plain(Expr::List(ListExpr::new(items)))
}

/// The value of the name at a position.
pub(super) fn slot(position: usize) -> IdedExpr {
    plain(Expr::Ident(format!("{SLOT}{position}")))
}

/// Whether the name at a position has a value.
pub(super) fn present(position: usize) -> IdedExpr {
    plain(Expr::Ident(format!("{PRESENT}{position}")))
}

/// The item of the loop that `depth` others are around.
pub(super) fn looped(depth: usize) -> IdedExpr {
    plain(Expr::Ident(format!("{LOOPED}{depth}")))
}

pub(super) fn call(name: &str, args: Vec<IdedExpr>) -> IdedExpr {
    plain(Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args }))
}

pub(super) fn method(target: IdedExpr, name: &str, args: Vec<IdedExpr>) -> IdedExpr {
    let target = Some(Box::new(target));
    plain(Expr::Call(CallExpr { func_name: name.to_owned(), target, args }))
}

pub(super) fn not(operand: IdedExpr) -> IdedExpr {
    call(op::LOGICAL_NOT, vec![operand])
}

pub(super) fn negative(operand: IdedExpr) -> IdedExpr {
    call(op::NEGATE, vec![operand])
}

pub(super) fn index(of: IdedExpr, at: IdedExpr) -> IdedExpr {
    call(op::INDEX, vec![of, at])
}

pub(super) fn choice(condition: IdedExpr, one: IdedExpr, other: IdedExpr) -> IdedExpr {
    call(op::CONDITIONAL, vec![condition, one, other])
}

/// `sign` is one of the parser's.
pub(super) fn binary(sign: &str, left: IdedExpr, right: IdedExpr) -> IdedExpr {
    call(op::find_operator(sign).unwrap_or(sign), vec![left, right])
}

pub(super) fn all(operands: Vec<IdedExpr>) -> IdedExpr {
    balanced(op::LOGICAL_AND, operands)
}

pub(super) fn any(operands: Vec<IdedExpr>) -> IdedExpr {
    balanced(op::LOGICAL_OR, operands)
}

/// A chain as a tree of the least depth, in the same order.
fn balanced(operator: &str, mut operands: Vec<IdedExpr>) -> IdedExpr {
    if operands.len() > 1 {
        let right = operands.split_off(operands.len().div_ceil(2));
        let halves = vec![balanced(operator, operands), balanced(operator, right)];
        return call(operator, halves);
    }
    operands.pop().unwrap_or_else(|| bool(operator == op::LOGICAL_AND))
}

/// A loop over `range` that `depth` others are around.
pub(super) fn over(how: Loop, range: IdedExpr, body: IdedExpr, depth: usize) -> IdedExpr {
    let result = || plain(Expr::Ident(RESULT.to_owned()));
    let go_on = |result| call(op::NOT_STRICTLY_FALSE, vec![result]);
    let appended = |item| binary("+", result(), list(vec![item]));
    let (start, condition, step) = match how {
        Loop::All => (bool(true), go_on(result()), call(op::LOGICAL_AND, vec![result(), body])),
        Loop::Exists => {
            (bool(false), go_on(not(result())), call(op::LOGICAL_OR, vec![result(), body]))
        }
        Loop::ExistsOne => {
            let counted = binary("+", result(), whole(1));
            (whole(0), bool(true), choice(body, counted, result()))
        }
        Loop::Filter => {
            (list(Vec::new()), bool(true), choice(body, appended(looped(depth)), result()))
        }
        Loop::Map => (list(Vec::new()), bool(true), appended(body)),
    };
    let end = match how {
        Loop::ExistsOne => binary("==", result(), whole(1)),
        Loop::All | Loop::Exists | Loop::Filter | Loop::Map => result(),
    };
    plain(Expr::Comprehension(Box::new(ComprehensionExpr {
        iter_range: range,
        iter_var: format!("{LOOPED}{depth}"),
        iter_var2: None,
        accu_var: RESULT.to_owned(),
        accu_init: start,
        loop_cond: condition,
        loop_step: step,
        result: end,
    })))
}

/// The values of one request, by position.
#[derive(Debug)]
pub(super) struct Values<'v> {
    slots: SmallVec<[Slot<'v>; 4]>,
}

#[derive(Debug)]
enum Slot<'v> {
    Absent,
    NotUtf8,
    Text(CelString<'v>),
    Whole(CelInt),
    Decimal(CelDouble),
    Bool(CelBool),
}

impl<'v> Values<'v> {
    pub(super) fn new(values: impl Iterator<Item = Option<Value<'v>>>) -> Self {
        let slot = |value| match value {
            None => Slot::Absent,
            Some(Value::Text(bytes)) => match std::str::from_utf8(bytes) {
                Ok(text) => Slot::Text(text.into()),
                Err(_) => Slot::NotUtf8,
            },
            Some(Value::Whole(number)) => Slot::Whole(number.into()),
            Some(Value::Decimal(number)) => Slot::Decimal(number.into()),
            Some(Value::Bool(value)) => Slot::Bool(value.into()),
        };
        Self { slots: values.map(slot).collect() }
    }

    fn get(&self, position: &str) -> Option<&Slot<'v>> {
        self.slots.get(position.parse::<usize>().ok()?)
    }
}

impl VariableResolver for Values<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        if let Some(position) = variable.strip_prefix(PRESENT) {
            let is_present = !matches!(self.get(position)?, Slot::Absent);
            return Some(CowVal::owned(CelBool::from(is_present)));
        }
        match self.get(variable.strip_prefix(SLOT)?)? {
            Slot::Absent | Slot::NotUtf8 => None,
            Slot::Text(text) => Some(CowVal::Borrowed(text)),
            Slot::Whole(number) => Some(CowVal::Borrowed(number)),
            Slot::Decimal(number) => Some(CowVal::Borrowed(number)),
            Slot::Bool(value) => Some(CowVal::Borrowed(value)),
        }
    }
}

pub(super) fn evaluate<'w>(
    expression: &IdedExpr,
    values: &Values<'_>,
    names: &'w [Name],
) -> Result<bool, Failure<'w>> {
    let mut context = Context::with_env(Arc::clone(&ENV));
    context.set_variable_resolver(values);
    match cel::Value::resolve_val(expression, &context) {
        Ok(found) => found.downcast_ref::<CelBool>().map(|b| *b.inner()).ok_or(Failure::Kinds),
        Err(error) => Err(failure(&error, values, names)),
    }
}

fn failure<'w>(error: &ExecutionError, values: &Values<'_>, names: &'w [Name]) -> Failure<'w> {
    match error {
        ExecutionError::UndeclaredReference(variable) => {
            let position = variable.strip_prefix(SLOT).and_then(|at| at.parse::<usize>().ok());
            let name = position.and_then(|at| names.get(at));
            match (position.and_then(|at| values.slots.get(at)), name) {
                (Some(Slot::NotUtf8), Some(name)) => Failure::NotUtf8(name),
                (_, Some(name)) => Failure::Absent(name),
                (_, None) => Failure::Kinds,
            }
        }
        ExecutionError::Overflow(..) => Failure::Overflow,
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            Failure::DivisionByZero
        }
        ExecutionError::IndexOutOfBounds(_) => Failure::NoSuchItem,
        ExecutionError::FunctionError { .. } => Failure::Unreadable,
        _ => Failure::Kinds,
    }
}
