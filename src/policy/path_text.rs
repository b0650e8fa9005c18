//! How a path of descriptor keys and values reads: `tenant=acme > path=/reports`.
//!
//! Two different paths never read alike.

use crate::policy::set::DetailLevel;
use crate::request::Entry;

/// Between the levels of a path.
const SEPARATOR: &str = " > ";

/// One level; an empty value is none.
pub(super) fn level(key: &str, value: &str) -> String {
    let mut text = escape(key);
    if !value.is_empty() {
        text.push('=');
        text.push_str(&escape(value));
    }
    text
}

pub(super) fn push(path: &mut String, level: &str) {
    if !path.is_empty() {
        path.push_str(SEPARATOR);
    }
    path.push_str(level);
}

/// Bytes of a key or value that metrics tell at the most, so that no caller makes them long.
const TOLD_MAX: usize = 200;

/// What metrics tell of a request that a rule applies to. What is no UTF-8 is replaced.
pub(super) fn detail(levels: &[DetailLevel], entries: &[Entry<'_>]) -> String {
    let mut path = String::new();
    for (told, entry) in levels.iter().zip(entries) {
        match told {
            DetailLevel::Fixed(text) => push(&mut path, text),
            DetailLevel::Request => {
                let text = |part: &'_ [u8]| {
                    String::from_utf8_lossy(&part[..part.len().min(TOLD_MAX)]).into_owned()
                };
                push(&mut path, &level(&text(entry.key), &text(entry.value)));
            }
        }
    }
    path
}

fn escape(part: &str) -> String {
    let mut escaped = String::with_capacity(part.len());
    for c in part.chars() {
        match c {
            '\\' | '=' | '>' => escaped.extend(['\\', c]),
            c if c.is_control() => escaped.extend(c.escape_default()),
            c => escaped.push(c),
        }
    }
    escaped
}
