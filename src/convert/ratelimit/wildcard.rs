//! Values with stars: which of them meet, and how the native language says them.
//!
//! A star at the end is a prefix. Stars elsewhere are a condition in CEL, which knows how a text
//! begins, how it ends and what it contains; where that takes more than the wildcard does, the
//! condition says so.

use std::fmt;

use super::super::draft::DraftPattern;
use crate::policy::matcher::tree::has_parts;

/// The text around and between the stars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wildcard<'n> {
    first: &'n str,
    middle: Vec<&'n str>,
    last: &'n str,
}

/// A wildcard in CEL.
pub(super) struct Written {
    /// All must hold.
    pub(super) clauses: Vec<String>,
    /// Whether some values meet the clauses and not the wildcard.
    pub(super) is_wider: bool,
}

impl<'n> Wildcard<'n> {
    pub(super) fn new(parts: &'n [String]) -> Self {
        let text = |part: Option<&'n String>| part.map_or("", String::as_str);
        let inner = parts.get(1..parts.len().saturating_sub(1)).unwrap_or_default();
        // Two stars side by side are one.
        let middle = inner.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        Self { first: text(parts.first()), middle, last: text(parts.last()) }
    }

    /// What values begin with, where that is all the wildcard asks.
    pub(super) fn prefix(&self) -> Option<&'n str> {
        (self.middle.is_empty() && self.last.is_empty()).then_some(self.first)
    }

    /// What all its values begin with.
    pub(super) fn first(&self) -> &'n str {
        self.first
    }

    pub(super) fn is_every_value(&self) -> bool {
        self.prefix() == Some("")
    }

    pub(super) fn pattern(&self) -> Option<DraftPattern> {
        let prefix = self.prefix()?;
        Some(match prefix {
            "" => DraftPattern::Present,
            _ => DraftPattern::Prefix(prefix.to_owned()),
        })
    }

    pub(super) fn matches(&self, value: &str) -> bool {
        let middle = self.middle.iter().map(|part| part.as_bytes());
        has_parts(value.as_bytes(), self.first.as_bytes(), middle, self.last.as_bytes())
    }

    /// Whether some value may match both; where that is not certain, it may.
    pub(super) fn may_meet(&self, other: &Self) -> bool {
        let begin_alike =
            self.first.starts_with(other.first) || other.first.starts_with(self.first);
        let end_alike = self.last.ends_with(other.last) || other.last.ends_with(self.last);
        begin_alike && end_alike
    }

    /// Whether this one takes all that `other` would match.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self == other || self.prefix().is_some_and(|prefix| other.first.starts_with(prefix))
    }

    /// As clauses about the attribute that CEL knows as `name`.
    pub(super) fn in_cel(&self, name: &str) -> Written {
        let clause = |method: &str, part: &str| format!("{name}.{method}({})", quoted(part));
        let mut clauses = Vec::new();
        if !self.first.is_empty() {
            clauses.push(clause("startsWith", self.first));
        }
        clauses.extend(self.middle.iter().map(|part| clause("contains", part)));
        if !self.last.is_empty() {
            clauses.push(clause("endsWith", self.last));
        }
        if !self.middle.is_empty() {
            let is_wider = match self.middle.as_slice() {
                [only] => overlaps(self.first, only) || overlaps(only, self.last),
                _ => true,
            };
            return Written { clauses, is_wider };
        }
        // Values that are too short for both ends are few: each is the two with an overlap.
        let joined = shared(self.first, self.last).map(|length| {
            format!("{name} != {}", quoted(&format!("{}{}", self.first, &self.last[length..])))
        });
        clauses.extend(joined);
        Written { clauses, is_wider: false }
    }
}

/// As a policy writes it.
impl fmt::Display for Wildcard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}*", self.first)?;
        self.middle.iter().try_for_each(|part| write!(f, "{part}*"))?;
        f.write_str(self.last)
    }
}

/// The lengths of texts that `first` ends and `last` begins with.
fn shared(first: &str, last: &str) -> impl Iterator<Item = usize> {
    let lengths = (1..=last.len()).filter(|length| last.is_char_boundary(*length));
    lengths.filter(move |length| first.ends_with(&last[..*length]))
}

/// Whether a text may begin with `first` and hold `second` with some letters in both.
fn overlaps(first: &str, second: &str) -> bool {
    let is_inside = !first.is_empty()
        && !second.is_empty()
        && (first.contains(second) || second.contains(first));
    is_inside || shared(first, second).next().is_some()
}

/// A text between the quotes of CEL.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                quoted.push_str(&format!("\\U{:08x}", u32::from(c)));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Words of CEL that cannot stand for an attribute.
const KEPT_WORDS: [&str; 22] = [
    "as",
    "attributes",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// An attribute as a condition names it.
pub(super) fn name_in_cel(attribute: &str) -> String {
    let is_word = attribute.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !attribute.starts_with(|c: char| c.is_ascii_digit())
        && !KEPT_WORDS.contains(&attribute);
    if is_word { attribute.to_owned() } else { format!("attributes[{}]", quoted(attribute)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pattern: &str, then: impl FnOnce(Wildcard<'_>)) {
        let parts: Vec<String> = pattern.split('*').map(str::to_owned).collect();
        then(Wildcard::new(&parts));
    }

    #[test]
    fn values_match_as_the_pattern_says() {
        for (pattern, value, expected) in [
            ("a*", "a", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("*b*", "abc", true),
            ("a*b*c", "acb", false),
            ("*", "", true),
            ("a**c", "ac", true),
        ] {
            with(pattern, |it| assert_eq!(it.matches(value), expected, "{pattern} {value}"));
        }
    }

    #[test]
    fn clauses_say_when_they_take_more_than_the_wildcard() {
        for (pattern, clauses, is_wider) in [
            ("*z", "x.endsWith(\"z\")", false),
            ("a*a", "x.startsWith(\"a\") && x.endsWith(\"a\") && x != \"a\"", false),
            ("aab*aba", "x.startsWith(\"aab\") && x.endsWith(\"aba\") && x != \"aaba\"", false),
            ("a*m*z", "x.startsWith(\"a\") && x.contains(\"m\") && x.endsWith(\"z\")", false),
            ("/a*/b*", "x.startsWith(\"/a\") && x.contains(\"/b\")", false),
            ("a/*/b*", "x.startsWith(\"a/\") && x.contains(\"/b\")", true),
            ("*m*n*", "x.contains(\"m\") && x.contains(\"n\")", true),
            ("*\"\\*", "x.contains(\"\\\"\\\\\")", false),
        ] {
            with(pattern, |it| {
                let written = it.in_cel("x");
                assert_eq!(written.clauses.join(" && "), clauses, "{pattern}");
                assert_eq!(written.is_wider, is_wider, "{pattern}");
            });
        }
    }

    #[test]
    fn odd_names_stand_in_brackets() {
        assert_eq!(name_in_cel("tenant_1"), "tenant_1");
        assert_eq!(name_in_cel("x-tenant"), "attributes[\"x-tenant\"]");
        assert_eq!(name_in_cel("for"), "attributes[\"for\"]");
        assert_eq!(name_in_cel("1st"), "attributes[\"1st\"]");
    }
}
