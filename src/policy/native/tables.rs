//! Reads `tables`: what is known of the values of an attribute, in the policy or in a file beside
//! it.
//!
//! A row that lacks a field has it from the row `default`, so a table that was read has whole rows.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::policy::findings::{Findings, shown};
use crate::policy::formula::Number;
use crate::policy::model::{FieldKind, FieldValue, Row, Rows, Table};
use crate::policy::native::doubt::{self, Role};
use crate::policy::tables::{FileTable, TableFiles};
use crate::policy::when::{FieldKinds, Tables, Value};
use crate::yaml::{self, Node, Scalar};

const HINT: &str = "write `NAME: { default: { plan: free }, acme: { plan: paid } }`, or \
                    `NAME: { file: tenants.yaml }`; NAME is the attribute that chooses the row";
const ROW_HINT: &str = "write a row as `acme: { plan: paid, units: 400 }`";
const DEFAULT: &str = "default";

/// Of all tables of a policy, those of a file once for each table that names it.
const MOST_ROWS: usize = 1_000_000;
/// Fields of all rows that are written in one text, with those that the row `default` gives to the
/// others.
const MOST_FIELDS: usize = 2_000_000;

/// What the tables of one text have taken so far.
#[derive(Debug, Default)]
pub(in crate::policy) struct Room {
    fields: usize,
}

pub(super) fn read(findings: &mut Findings, node: &Node, files: &TableFiles<'_>) -> Vec<Table> {
    let yaml::Value::Mapping(pairs) = &node.value else {
        findings.unexpected(node, "a mapping of attributes to tables", HINT);
        return Vec::new();
    };
    let mut tables = Vec::new();
    let (mut room, mut row_count) = (Room::default(), 0);
    for (name, value) in pairs {
        let Some(scalar) = findings.text(name, "the attribute that chooses the row", HINT) else {
            continue;
        };
        doubt::check_name(findings, name, Role::Key);
        if scalar.text.contains('.') {
            let message = format!("the table {} has a `.` in its name", shown(&scalar.text));
            let hint = "name the attribute otherwise: `attributes: { NAME: [its.key] }`";
            findings.error("bad-name", &name.bytes, message, hint);
            continue;
        }
        let rows = match file_of(value) {
            Some(file) => read_file(findings, file, files),
            None => read_rows(findings, value, &mut room).map(Arc::new),
        };
        let is_read = rows.is_some();
        let rows = rows.unwrap_or_default();
        row_count += rows.named.len() + 1;
        if row_count > MOST_ROWS {
            let message = format!("the tables of this policy have more than {MOST_ROWS} rows");
            let hint = "let rules ask one table for what several have alike";
            findings.error("too-many-items", &name.bytes, message, hint);
            break;
        }
        tables.push(Table { name: findings.placed(scalar.text.clone(), name), rows, is_read });
    }
    tables.sort_by(|one, other| one.name.value.cmp(&other.name.value));
    tables
}

/// The node that names a file, where a table is in one.
pub(in crate::policy) fn file_of(table: &Node) -> Option<&Node> {
    let yaml::Value::Mapping(pairs) = &table.value else { return None };
    match pairs.as_slice() {
        [(key, value)] if key.scalar().is_some_and(|key| key.text == "file") => {
            value.scalar().map(|_| value)
        }
        _ => None,
    }
}

fn read_file(findings: &mut Findings, node: &Node, files: &TableFiles<'_>) -> Option<Arc<Rows>> {
    let hint = "name a file in the folder of this policy, or below it, as in `file: tenants.yaml`";
    let path = &findings.text(node, "the path of a file", hint)?.text;
    match files.get(path) {
        FileTable::Rows(rows) => Some(Arc::clone(rows)),
        FileTable::Faulty => None,
        FileTable::Outside => {
            let message =
                format!("the table file {} is outside of the policy's folder", shown(path));
            findings.error("table-file", &node.bytes, message, hint);
            None
        }
        FileTable::Missing => {
            let message = format!("the table file {} cannot be read", shown(path));
            let hint = "check that it is there, readable, UTF-8 text, and in the folder of this \
                        policy or below it";
            findings.error("table-file", &node.bytes, message, hint);
            None
        }
    }
}

/// The rows of a table; those of a file are the whole of it.
pub(in crate::policy) fn read_rows(
    findings: &mut Findings,
    node: &Node,
    room: &mut Room,
) -> Option<Rows> {
    let yaml::Value::Mapping(pairs) = &node.value else {
        findings.unexpected(node, "a table as a mapping of values to rows", ROW_HINT);
        return None;
    };
    let (mut default, mut named) = (None, Vec::with_capacity(pairs.len()));
    let mut places = Vec::with_capacity(pairs.len());
    for (name, value) in pairs {
        let Some(scalar) = name.scalar() else {
            findings.unexpected(name, "a value of the attribute", ROW_HINT);
            continue;
        };
        let Some(row) = read_row(findings, value) else { continue };
        match scalar.text.as_str() {
            DEFAULT if !scalar.quoted => default = Some(row),
            text => {
                named.push((text.to_owned(), row));
                places.push(findings.place(&name.bytes));
            }
        }
    }
    let given = default.as_ref().map_or(0, Row::len).saturating_mul(named.len());
    let written: usize = named.iter().map(|(_, row): &(String, Row)| row.len()).sum();
    room.fields = room.fields.saturating_add(given).saturating_add(written);
    if room.fields > MOST_FIELDS {
        let message = format!("the rows of these tables have more than {MOST_FIELDS} fields");
        let hint = "a row has all fields of `default`: keep those there that rules ask";
        findings.error("too-many-items", &node.bytes, message, hint);
        return None;
    }
    for (_, row) in &mut named {
        for (field, value) in default.iter().flatten() {
            row.entry(field.clone()).or_insert_with(|| value.clone());
        }
    }
    Some(Rows { default, named, places })
}

fn read_row(findings: &mut Findings, node: &Node) -> Option<Row> {
    let yaml::Value::Mapping(pairs) = &node.value else {
        findings.unexpected(node, "a row as a mapping of fields to values", ROW_HINT);
        return None;
    };
    let mut row = BTreeMap::new();
    for (name, value) in pairs {
        let Some(field) = findings.text(name, "the name of a field", ROW_HINT) else { continue };
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !field.text.chars().all(is_name) || field.text.starts_with(|c: char| c.is_ascii_digit())
        {
            let message = format!("{} is not a name for a field", shown(&field.text));
            let hint = "use letters, digits and `_`, as in `plan` or `max_units`";
            findings.error("bad-name", &name.bytes, message, hint);
            continue;
        }
        let hint = "write a number, a text, `true` or `false`";
        let Some(scalar) = value.scalar().filter(|_| !value.is_null()) else {
            findings.unexpected(value, "the value of a field", hint);
            continue;
        };
        row.insert(field.text.clone(), field_value(scalar));
    }
    Some(row)
}

fn field_value(scalar: &Scalar) -> FieldValue {
    let plain = || FieldValue { text: scalar.text.clone(), kind: FieldKind::Text };
    if scalar.quoted {
        return plain();
    }
    if let Some(value) = scalar.as_bool() {
        return FieldValue { text: value.to_string(), kind: FieldKind::Bool(value) };
    }
    let is_grouped = scalar.text.split('_').all(|group| !group.is_empty());
    let digits: String = scalar.text.chars().filter(|c| *c != '_').collect();
    match Number::parse(digits.as_bytes()).filter(|_| is_grouped) {
        Some(number) => FieldValue { text: digits, kind: FieldKind::Number(number) },
        None => plain(),
    }
}

impl FieldValue {
    /// As conditions see it.
    pub fn value(&self) -> Value<'_> {
        match self.kind {
            FieldKind::Bool(value) => Value::Bool(value),
            FieldKind::Number(_) => match (self.text.parse(), self.text.parse()) {
                (Ok(whole), _) => Value::Whole(whole),
                (Err(_), Ok(decimal)) => Value::Decimal(decimal),
                (Err(_), Err(_)) => Value::Text(self.text.as_bytes()),
            },
            FieldKind::Text => Value::Text(self.text.as_bytes()),
        }
    }
}

/// What conditions may ask of the tables.
pub(super) fn kinds(tables: &[Table]) -> Tables {
    let mut known: Tables = HashMap::new();
    for table in tables.iter().filter(|table| table.is_read) {
        let fields = known.entry(table.name.value.clone()).or_default();
        let rows = table.rows.named.iter().map(|(_, row)| row).chain(&table.rows.default);
        for (name, value) in rows.flatten() {
            let kinds: &mut FieldKinds = fields.entry(name.clone()).or_default();
            kinds.add(value.value());
        }
    }
    known
}

/// The tables whose rows are not known, as the texts that a field of theirs begins with.
pub(super) fn unread(tables: &[Table]) -> Vec<String> {
    let unread = tables.iter().filter(|table| !table.is_read);
    unread.map(|table| format!("{}.", table.name.value)).collect()
}
