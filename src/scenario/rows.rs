//! `each`: one scenario for every row of a table, its values put in for `$name`.
//!
//! A text that is nothing but a placeholder becomes the row's value as it was written there, so
//! that numbers stay numbers and findings point at the row.

use std::collections::{BTreeSet, HashSet};

use super::bounds::Expanded;
use crate::policy::findings::{Findings, shown};
use crate::policy::suggest;
use crate::yaml::{Node, Scalar, Value};

/// Rows of one scenario.
const MOST_ROWS: usize = 10_000;

/// One scenario, ready to be read.
pub(super) struct Filled {
    pub(super) node: Node,
    /// What stands for it in messages: of a table the row.
    pub(super) shown: Node,
}

/// A piece of a text with placeholders.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'t> {
    Text(&'t str),
    Name(&'t str),
}

/// The scenarios that one item of `scenarios` stands for: itself, unless it has `each`.
pub(super) fn expand(
    findings: &mut Findings,
    expanded: &mut Expanded,
    scenario: &Node,
) -> Vec<Filled> {
    let Some(each) = scenario.member("each") else {
        return vec![Filled { node: scenario.clone(), shown: scenario.clone() }];
    };
    let Value::Sequence(rows) = &each.value else {
        let hint = "write a list of rows, such as `- { method: GET, limit: 100 }`";
        findings.unexpected(each, "a list of rows", hint);
        return Vec::new();
    };
    if rows.is_empty() || rows.len() > MOST_ROWS {
        let message = format!("a table has from 1 to {MOST_ROWS} rows");
        findings.error("bad-table", &each.bytes, message, "add a row, or remove `each`");
        return Vec::new();
    }
    if !expanded.admits(findings, (scenario, each), rows) {
        return Vec::new();
    }
    let mut filler = Filler { findings, used: BTreeSet::new(), missed: HashSet::new() };
    let filled: Vec<_> = rows.iter().filter_map(|row| filler.fill(scenario, row)).collect();
    let Filler { used, missed, .. } = filler;
    if let Some(row) = rows.first() {
        unused_columns(findings, row, &used);
    }
    // What a placeholder leaves behind would only be found wrong once more.
    if missed.is_empty() { filled } else { Vec::new() }
}

/// A number of a table that no step looks at would be taken for proved.
fn unused_columns(findings: &mut Findings, row: &Node, used: &BTreeSet<String>) {
    let Value::Mapping(columns) = &row.value else { return };
    for (name, _) in columns {
        let Some(text) = name.scalar().map(|name| &name.text).filter(|text| !used.contains(*text))
        else {
            continue;
        };
        let message = format!("nothing in this scenario uses the column {}", shown(text));
        let hint = format!("write `${text}` where its value belongs, or remove the column");
        findings.error("unused-column", &name.bytes, message, hint);
    }
}

struct Filler<'f> {
    findings: &'f mut Findings,
    used: BTreeSet<String>,
    /// Names that a row lacks, each reported once for the place that wants it.
    missed: HashSet<(usize, String)>,
}

impl Filler<'_> {
    fn fill(&mut self, scenario: &Node, row: &Node) -> Option<Filled> {
        let (Value::Mapping(pairs), Value::Mapping(_)) = (&scenario.value, &row.value) else {
            let hint = "write a row as `{ method: GET, limit: 100 }`";
            self.findings.unexpected(row, "a row as a mapping", hint);
            return None;
        };
        let mut filled = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            match key.scalar().map(|key| key.text.as_str()) {
                Some("each") => {}
                Some("name") => filled.push((key.clone(), self.name(value, row))),
                _ => filled.push((key.clone(), self.texts(value, row))),
            }
        }
        let node = Node { value: Value::Mapping(filled), bytes: scenario.bytes.clone() };
        Some(Filled { node, shown: row.clone() })
    }

    fn texts(&mut self, node: &Node, row: &Node) -> Node {
        node.with_texts(&mut |node, scalar| self.text(node, scalar, row))
    }

    /// A name without placeholders is followed by the values of the row.
    fn name(&mut self, name: &Node, row: &Node) -> Node {
        let Some(scalar) = name.scalar() else { return name.clone() };
        if pieces(&scalar.text).iter().any(|piece| matches!(piece, Piece::Name(_))) {
            return self.texts(name, row);
        }
        let Value::Mapping(columns) = &row.value else { return name.clone() };
        let values = columns.iter().filter_map(|(_, value)| value.scalar());
        let values: Vec<&str> = values.map(|value| value.text.as_str()).collect();
        let text = format!("{}: {}", scalar.text, values.join(" "));
        Node::composed(text, true, name.bytes.clone())
    }

    /// What stands in for a text; `None` leaves it as it is.
    fn text(&mut self, node: &Node, scalar: &Scalar, row: &Node) -> Option<Node> {
        let pieces = pieces(&scalar.text);
        if let [Piece::Name(name)] = pieces.as_slice() {
            return self.value(node, name, row).cloned();
        }
        if let [] | [Piece::Text(_)] = pieces.as_slice()
            && !scalar.text.contains('$')
        {
            return None;
        }
        let mut text = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(literal) => text.push_str(literal),
                Piece::Name(name) => {
                    let value = self.value(node, name, row)?;
                    let Some(scalar) = value.scalar() else {
                        let hint = "only a text that is nothing but the placeholder takes a list \
                                    or a mapping";
                        self.findings.unexpected(value, "a text or a number", hint);
                        return None;
                    };
                    text.push_str(&scalar.text);
                }
            }
        }
        Some(Node::composed(text, scalar.quoted, node.bytes.clone()))
    }

    fn value<'r>(&mut self, node: &Node, name: &str, row: &'r Node) -> Option<&'r Node> {
        self.used.insert(name.to_owned());
        let value = row.member(name);
        if value.is_none() && self.missed.insert((node.bytes.start, name.to_owned())) {
            let columns: Vec<&str> = match &row.value {
                Value::Mapping(columns) => columns
                    .iter()
                    .filter_map(|(name, _)| Some(name.scalar()?.text.as_str()))
                    .collect(),
                Value::Scalar(_) | Value::Sequence(_) => Vec::new(),
            };
            let message = format!("a row of `each` has no {}", shown(name));
            let hint = match suggest::nearest(name, columns) {
                Some(near) => format!("did you mean `${near}`?"),
                None => "add it to the row; a `$` that is text is written `$$`".to_owned(),
            };
            self.findings.error("missing-column", &node.bytes, message, hint);
            self.findings.relate(&row.bytes, "in this row");
        }
        value
    }
}

/// Splits `a $b ${c}d $$e` at its placeholders; `$$` is a `$`.
pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        if !before.is_empty() {
            pieces.push(Piece::Text(before));
        }
        let after = &from[1..];
        let is_in_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (piece, length) = if after.starts_with('$') {
            (Piece::Text(&after[..1]), 2)
        } else if let Some((name, _)) =
            after.strip_prefix('{').and_then(|inside| inside.split_once('}'))
        {
            (Piece::Name(name), name.len() + 3)
        } else {
            let end = after.find(|c| !is_in_name(c)).unwrap_or(after.len());
            match end {
                0 => (Piece::Text(&from[..1]), 1),
                end => (Piece::Name(&after[..end]), end + 1),
            }
        };
        pieces.push(piece);
        rest = &from[length..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_told_from_text() {
        use Piece::{Name, Text};
        for (text, expected) in [
            ("plain", vec![Text("plain")]),
            ("$limit", vec![Name("limit")]),
            ("${limit}s", vec![Name("limit"), Text("s")]),
            ("/a/$b/c", vec![Text("/a/"), Name("b"), Text("/c")]),
            ("$a$b", vec![Name("a"), Name("b")]),
            ("5 $ and $$x", vec![Text("5 "), Text("$"), Text(" and "), Text("$"), Text("x")]),
            ("${open", vec![Text("$"), Text("{open")]),
            ("", vec![]),
        ] {
            assert_eq!(pieces(text), expected, "{text}");
        }
    }
}
