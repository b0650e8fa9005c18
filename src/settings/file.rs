//! The optional settings file: YAML text to values, and values to text that it takes back.
//!
//! What is printed reads back as it was, whatever a value holds.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::ops::Range;
use std::path::Path;

use super::{KEYS, SettingsError};
use crate::policy::render::Position;
use crate::policy::suggest;
use crate::yaml::{self, Node, Value};

/// The values of each setting that a file has, as text.
pub(super) type Values = BTreeMap<&'static str, Vec<String>>;

/// Reads a settings file; gives every problem that it has.
pub(super) fn read(path: &Path) -> Result<Values, Vec<SettingsError>> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let problem = unreadable(&error);
        vec![SettingsError::UnreadableFile { path: path.to_owned(), problem }]
    })?;
    let mistake = |problem| SettingsError::InFile { path: path.to_owned(), problem };
    values(&text).map_err(|problems| problems.into_iter().map(mistake).collect())
}

fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "it does not exist; `--config` or `TOLLGATE_CONFIG` names it".to_owned()
        }
        io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        kind => kind.to_string(),
    }
}

/// The values in the text of a settings file. `_` stands for `-` in names.
pub(super) fn values(text: &str) -> Result<Values, Vec<String>> {
    let at = |bytes: &Range<usize>, problem: &str| {
        let Position { line, column } = Position::of(text, bytes.start);
        format!("line {line}, column {column}: {problem}")
    };
    let parsed = yaml::parse(text);
    let faults = parsed.faults.iter();
    let mut problems: Vec<String> = faults
        .map(|fault| at(&fault.bytes, &format!("{}; {}", fault.message, fault.hint)))
        .collect();
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut values = Values::new();
    for document in &parsed.documents {
        let Value::Mapping(pairs) = &document.value else {
            problems.push(at(&document.bytes, "write settings as `name: value`, one to a line"));
            continue;
        };
        for (name, value) in pairs {
            let key = name.scalar().map(|name| name.text.replace('_', "-")).unwrap_or_default();
            let Some(row) = KEYS.iter().find(|row| row.name == key) else {
                let hint = suggest::hint(&key, &KEYS.map(|row| row.name));
                problems.push(at(&name.bytes, &format!("`{key}` is no setting; {hint}")));
                continue;
            };
            match texts(value, row.is_list) {
                None => problems.push(at(&value.bytes, &format!("`{key}` has no value"))),
                Some(texts) => {
                    if values.insert(row.name, texts).is_some() {
                        problems.push(at(&name.bytes, "the setting is there twice"));
                    }
                }
            }
        }
    }
    if problems.is_empty() { Ok(values) } else { Err(problems) }
}

fn texts(value: &Node, is_list: bool) -> Option<Vec<String>> {
    let items = match &value.value {
        Value::Sequence(items) if is_list => items.iter().collect(),
        Value::Scalar(_) | Value::Sequence(_) | Value::Mapping(_) => vec![value],
    };
    let texts = items.into_iter().map(|item| item.scalar().map(|scalar| scalar.text.clone()));
    texts.collect::<Option<Vec<String>>>().filter(|texts| !texts.is_empty())
}

/// A double-quoted YAML scalar that stands for `text`.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            c if is_plain(c) => quoted.push(c),
            c => {
                let _ = write!(quoted, "\\U{:08x}", u32::from(c));
            }
        }
    }
    quoted.push('"');
    quoted
}

/// Text for a comment: it never ends the line that it is on.
pub(super) fn comment(text: &str) -> String {
    text.chars().map(|c| if is_plain(c) { c } else { '\u{fffd}' }).collect()
}

/// Whether YAML takes the character as it is, without a break of the line.
fn is_plain(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_of_a_file_is_named_with_its_place() {
        for (text, parts) in [
            (
                "mode: enforce\ngprc: x\n",
                ["line 2, column 1: `gprc` is no setting; did you mean `grpc`?"].as_slice(),
            ),
            ("mode: [enforce", &["line"]),
            ("just text", &["line 1, column 1: write settings as"]),
            ("mode:\n", &["`mode` has no value"]),
            ("mode: [enforce]\n", &["`mode` has no value"]),
            (
                "log-level: info\nlog_level: warn\n",
                &["line 2, column 1: the setting is there twice"],
            ),
            ("gprc: x\nmode:\n", &["`gprc` is no setting", "`mode` has no value"]),
        ] {
            let problems = values(text).unwrap_err();
            assert_eq!(problems.len(), parts.len(), "{text}: {problems:?}");
            for (problem, part) in problems.iter().zip(parts) {
                assert!(problem.contains(part), "{text}: {problem}");
            }
        }
    }

    #[test]
    fn a_quoted_text_reads_back_as_it_was() {
        for text in [
            "plain",
            "",
            "é 漢 🎉",
            "a\"b\\c",
            "tab\t",
            "line\nbreak",
            "bell\u{7}",
            "\u{1b}[0m",
            "nul\0",
            "del\u{7f}",
            "next\u{85}",
            "\u{2028}",
            "\u{feff}bom",
            "# no comment",
            "'",
            "{}",
        ] {
            let values = values(&format!("policies: [{}]", quoted(text))).unwrap();
            assert_eq!(values["policies"], [text], "{}", quoted(text));
        }
    }
}
