//! Operators of two operands: which kinds fit, and what to type when they do not.
//!
//! Whole and decimal numbers compare with each other but do not add up: CEL has no such operator,
//! so a sum that would fail for some rows of a table is refused at load.

use super::check::{Checker, Kinds, Part};
use super::parse::{Binary, Node, Tree};
use super::{run, wrong};
use crate::policy::findings::shown;
use crate::policy::units::Misread;

/// An operand as it was written and as what it was found to be.
struct Operand<'n> {
    node: &'n Node,
    source: String,
    kinds: Kinds,
}

pub(super) fn binary(
    checker: &mut Checker<'_>,
    binary: &Binary,
    node: &Node,
) -> Result<Part, Misread> {
    if binary.sign == "in"
        && let Some(part) = checker.named_in(binary)?
    {
        return Ok(part);
    }
    let (left, right) = (checker.part(&binary.left)?, checker.part(&binary.right)?);
    let operand = |node, part: &Part| {
        let source = checker.source(node).to_owned();
        Operand { node, source, kinds: part.kinds }
    };
    let operands = (operand(&binary.left, &left), operand(&binary.right, &right));
    let hint = match binary.sign {
        "==" | "!=" | "<" | "<=" | ">" | ">=" => compared(binary.sign, &operands),
        "in" => sought(&operands, right.items),
        _ => worked_out(binary.sign, &operands),
    };
    if let Some(hint) = hint {
        let (left, right) = (&operands.0, &operands.1);
        let message = format!(
            "{} is {} and {} {}",
            shown(&left.source),
            named(left),
            shown(&right.source),
            named(right)
        );
        return Err(wrong(node.bytes.clone(), message, hint));
    }
    let kinds = match binary.sign {
        "+" => left.kinds.and(right.kinds),
        "-" | "*" | "/" | "%" => left.kinds.and(right.kinds).and(Kinds::NUMBER),
        _ => Kinds::BOOL,
    };
    let steps = left.steps.saturating_add(right.steps).saturating_add(right.length);
    let run = run::binary(binary.sign, left.run, right.run);
    let (items, length) = match binary.sign {
        "+" => (left.items.or(right.items), left.length.saturating_add(right.length)),
        _ => (Kinds::default(), 0),
    };
    Ok(Part { items, length, ..Part::new(kinds, steps, run) })
}

fn named(operand: &Operand<'_>) -> String {
    match operand.kinds {
        Kinds::WHOLE => "a whole number".to_owned(),
        Kinds::DECIMAL => "a decimal number".to_owned(),
        kinds => kinds.named(),
    }
}

fn is_comparison(sign: &str) -> bool {
    matches!(sign, "==" | "!=" | "<" | "<=" | ">" | ">=")
}

fn go_together(left: Kinds, right: Kinds) -> bool {
    left.meets(right) || (left.meets(Kinds::NUMBER) && right.meets(Kinds::NUMBER))
}

/// What to type instead of a comparison; `None` when it is right.
fn compared(sign: &str, (left, right): &(Operand<'_>, Operand<'_>)) -> Option<String> {
    let is_order = !matches!(sign, "==" | "!=");
    let has_list = left.kinds == Kinds::LIST || right.kinds == Kinds::LIST;
    if go_together(left.kinds, right.kinds) && !(is_order && has_list) {
        return None;
    }
    if has_list {
        let not = if sign == "!=" { "!" } else { "" };
        return Some(match (left.kinds == Kinds::LIST, is_order) {
            (_, true) => "compare texts with texts and numbers with numbers".to_owned(),
            (true, false) => format!("write `{not}({} in {})`", right.source, left.source),
            (false, false) => format!("write `{not}({} in {})`", left.source, right.source),
        });
    }
    if let Tree::Binary(inner) = &left.node.what
        && is_comparison(inner.sign)
        && right.kinds != Kinds::BOOL
    {
        let from = left.node.bytes.start;
        let bytes = inner.right.bytes.start - from..inner.right.bytes.end - from;
        let middle = left.source.get(bytes).unwrap_or_default();
        return Some(format!("write `{} && {middle} {sign} {}`", left.source, right.source));
    }
    let (one, other) = (converted(left, right.kinds), converted(right, left.kinds));
    if one == left.source && other == right.source {
        return Some("compare texts with texts and numbers with numbers".to_owned());
    }
    Some(format!("write `{one} {sign} {other}`"))
}

/// An operand as it must be written to go with `other`.
fn converted(operand: &Operand<'_>, other: Kinds) -> String {
    let source = &operand.source;
    if operand.kinds == Kinds::TEXT && other.meets(Kinds::NUMBER) {
        return match &operand.node.what {
            Tree::Text(text) if text.parse::<i64>().is_ok() => text.clone(),
            _ if other == Kinds::DECIMAL => format!("double({source})"),
            _ => format!("int({source})"),
        };
    }
    match &operand.node.what {
        Tree::Bool(_) if other == Kinds::TEXT => format!("\"{source}\""),
        Tree::Text(text) if other == Kinds::BOOL && (text == "true" || text == "false") => {
            text.clone()
        }
        _ => source.clone(),
    }
}

/// What to type instead of `left in right`; `None` when it is right.
fn sought((left, right): &(Operand<'_>, Operand<'_>), items: Kinds) -> Option<String> {
    if right.kinds.meets(Kinds::LIST) {
        if go_together(left.kinds, items) {
            return None;
        }
        let converted = converted(left, items);
        return Some(match converted == left.source {
            true => "look for texts among texts and for numbers among numbers".to_owned(),
            false => format!("write `{converted} in {}`", right.source),
        });
    }
    Some(match &right.node.what {
        Tree::Text(list) => {
            let items: Vec<_> =
                list.split(',').map(|item| format!("\"{}\"", item.trim())).collect();
            format!("write `{} in [{}]`", left.source, items.join(", "))
        }
        _ if right.kinds.meets(Kinds::TEXT) && left.kinds.meets(Kinds::TEXT) => {
            format!("write `{}.contains({})`", right.source, left.source)
        }
        _ => "write a list, as in `method in [\"GET\", \"HEAD\"]`".to_owned(),
    })
}

/// What to type instead of a sum, product or the like; `None` when it is right.
fn worked_out(sign: &str, (left, right): &(Operand<'_>, Operand<'_>)) -> Option<String> {
    let written = |one: String, other: String| Some(format!("write `{one} {sign} {other}`"));
    let is_literal = |operand: &Operand<'_>| matches!(operand.node.what, Tree::Text(_));
    let both = left.kinds.and(right.kinds);
    let (left_number, right_number) =
        (left.kinds.and(Kinds::NUMBER), right.kinds.and(Kinds::NUMBER));
    let fits = match sign {
        "+" => both.meets(Kinds::TEXT.or(Kinds::NUMBER).or(Kinds::LIST)),
        "%" => both.meets(Kinds::WHOLE),
        _ => both.meets(Kinds::NUMBER),
    };
    let has_numbers = left_number != Kinds::default() && right_number != Kinds::default();
    let is_unknown = left.kinds.is_unknown() || right.kinds.is_unknown();
    let may_mix = left_number.or(right_number) == Kinds::NUMBER;
    if sign != "%" && has_numbers && may_mix && !is_unknown {
        return written(as_decimal(left), as_decimal(right));
    }
    if fits {
        return None;
    }
    if sign == "%" && has_numbers {
        return written(as_whole(left), as_whole(right));
    }
    if sign == "+" && (is_literal(left) || is_literal(right)) {
        let text = |operand: &Operand<'_>| match operand.kinds.meets(Kinds::TEXT) {
            true => operand.source.clone(),
            false => format!("string({})", operand.source),
        };
        if !left.kinds.meets(Kinds::LIST) && !right.kinds.meets(Kinds::LIST) {
            return written(text(left), text(right));
        }
    }
    let is_plain = |kinds: Kinds| kinds.meets(Kinds::TEXT) || kinds.meets(Kinds::NUMBER);
    if is_plain(left.kinds) && is_plain(right.kinds) {
        return written(converted(left, Kinds::WHOLE), converted(right, Kinds::WHOLE));
    }
    Some(match sign {
        "+" => "add numbers to numbers and join texts to texts".to_owned(),
        _ => format!("`{sign}` takes two numbers"),
    })
}

fn as_decimal(operand: &Operand<'_>) -> String {
    match (&operand.node.what, operand.kinds) {
        (Tree::Whole(_), _) => format!("{}.0", operand.source),
        (_, Kinds::DECIMAL) => operand.source.clone(),
        _ => format!("double({})", operand.source),
    }
}

fn as_whole(operand: &Operand<'_>) -> String {
    match operand.kinds {
        Kinds::WHOLE => operand.source.clone(),
        _ => format!("int({})", operand.source),
    }
}
