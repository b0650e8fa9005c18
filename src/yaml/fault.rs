//! What is wrong with a text as YAML, in words for whoever wrote it.
//!
//! The parser says what it did not find; a fault says what was most likely meant, and what to
//! type instead.

use std::ops::Range;

use serde_yaml::granit_parser::ErrorKind;

use super::{MAX_BYTES, MAX_DEPTH, MAX_NODES, MAX_REPEATED_BYTES, MAX_REPEATED_NODES};

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Stable and kebab-case.
    pub code: &'static str,
    pub message: String,
    pub hint: String,
    pub bytes: Range<usize>,
    /// A second place that matters, and what it is.
    pub related: Option<(Range<usize>, String)>,
}

/// A domain stands in one document, so a file can only be split between domains.
const SMALLER: &str = "put each domain into a file of its own; one rule with `per` serves any \
                       number of callers";

impl Fault {
    fn new(code: &'static str, bytes: Range<usize>, message: &str, hint: &str) -> Self {
        Self { code, message: message.to_owned(), hint: hint.to_owned(), bytes, related: None }
    }

    pub(super) fn too_large() -> Self {
        let message = format!("the file is larger than {} MiB", MAX_BYTES >> 20);
        Self::new("file-too-large", 0..0, &message, SMALLER)
    }

    pub(super) fn too_deep(bytes: Range<usize>) -> Self {
        let message = format!("nested more than {MAX_DEPTH} levels deep");
        Self::new("nested-too-deep", bytes, &message, "flatten what is nested here")
    }

    pub(super) fn too_many_nodes(bytes: Range<usize>) -> Self {
        let message = format!("more than {MAX_NODES} values in one file");
        Self::new("too-many-values", bytes, &message, SMALLER)
    }

    pub(super) fn too_much_repeated(bytes: Range<usize>) -> Self {
        let message = format!(
            "aliases repeat more than {MAX_REPEATED_NODES} values or {} MiB of text",
            MAX_REPEATED_BYTES >> 20
        );
        Self::new("too-many-values", bytes, &message, "write out what is repeated here")
    }

    pub(super) fn alias_inside_itself(bytes: Range<usize>) -> Self {
        let message = "this alias stands inside of what it repeats";
        Self::new("yaml-syntax", bytes, message, "move the anchor to a value that is complete")
    }

    pub(super) fn foreign_tag(tag: &str, bytes: Range<usize>) -> Self {
        let message = format!("the tag `{}` has no meaning here", tag.escape_debug());
        Self::new("yaml-tag", bytes, &message, "remove the tag, or quote the text if it is text")
    }

    pub(super) fn key_not_text(bytes: Range<usize>) -> Self {
        let hint = "write `key: value`; a text that begins with `[` or `{` needs quotes";
        Self::new("yaml-key", bytes, "a key is text, not a list or a mapping", hint)
    }

    pub(super) fn duplicate_key(key: &str, bytes: Range<usize>, first: Range<usize>) -> Self {
        let message = format!("the key `{}` stands twice in one mapping", key.escape_debug());
        let related = Some((first, "first written here".to_owned()));
        Self { related, ..Self::new("duplicate-key", bytes, &message, "keep one of the two") }
    }

    pub(super) fn merge_not_mapping(bytes: Range<usize>) -> Self {
        let hint = "write `<<: *name`, where `&name` stands before a mapping";
        Self::new("yaml-merge", bytes, "`<<` merges mappings only", hint)
    }

    /// Names the bracket at `opener`, which is open where the parser stumbled. When that is on
    /// another line, it was most likely meant to be closed before.
    pub(super) fn inside(mut self, text: &str, opener: usize) -> Self {
        let between = text.get(opener..self.bytes.start).unwrap_or_default();
        let close = match between.bytes().next() {
            Some(b'[') => ']',
            Some(b'{') => '}',
            _ => return self,
        };
        let from_open_bracket = self.message == COLON || self.message == SEPARATOR;
        if from_open_bracket && between.contains('\n') && self.related.is_none() {
            self.related = Some((opener..opener + 1, "this bracket is open".to_owned()));
            self.hint = format!("close the bracket with `{close}` before this line");
        }
        self
    }

    /// A key further in than the line above, which has a value: YAML takes the key for more of
    /// that value, and stumbles over the colon at `at`.
    fn indented_further(text: &str, at: usize) -> Option<Self> {
        let start = text.get(..at)?.rfind('\n')? + 1;
        let key = text.get(start..at)?;
        let is_first_key = !key.contains(": ") && !key.trim_start().starts_with(['-', '"', '\'']);
        let mut lines = text.get(..start)?.lines().rev();
        let above = lines.find(|line| {
            let line = line.trim_start();
            !line.is_empty() && !line.starts_with('#')
        })?;
        // Behind a dash stands the first of the neighbours.
        let content = above.trim_start_matches([' ', '-']);
        let column = above.len() - content.len();
        let (found, has_value) = (indentation(key), content.contains(": "));
        if !is_first_key || !has_value || found <= column {
            return None;
        }
        let message =
            format!("this key is indented by {found}, and the key of the line above by {column}");
        let hint = match column {
            0 => "remove the spaces before it, to put it beside the key above".to_owned(),
            _ => format!("indent it by {column}, to put it beside the key above"),
        };
        Some(Self::new("yaml-syntax", start + found..at, &message, &hint))
    }

    /// The fault of a document of which nothing else was looked at.
    pub(super) fn alone(mut self) -> Self {
        self.hint.push_str("; the rest of this document is checked after that");
        self
    }

    /// What the scanner or parser stumbled over at the byte `at`; all before `read` was fine.
    pub(super) fn of_scanner(kind: &ErrorKind, text: &str, at: usize, read: usize) -> Self {
        if *kind == ErrorKind::RecursionLimitExceeded {
            return Self::too_deep(character_at(text, at));
        }
        if let ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::ExpectedFlowSequenceSeparator =
            kind
            && let Some(word) = word_with_braces(text, at)
        {
            let written = text.get(word.clone()).unwrap_or_default();
            let hint = format!("write `\"{written}\"`");
            return Self::new("yaml-syntax", word, BRACES, &hint);
        }
        if *kind == ErrorKind::MappingValueNotAllowed
            && let Some(fault) = Self::indented_further(text, at)
        {
            return fault;
        }
        let (message, hint) = words(kind);
        let bytes = match kind {
            ErrorKind::UnclosedQuotedScalar
            | ErrorKind::InvalidQuotedScalarIndent
            | ErrorKind::DocumentIndicatorInQuotedScalar => {
                open_quote(text, read..at).unwrap_or_else(|| character_at(text, at))
            }
            // The parser stops after the name; the name is what is wrong.
            ErrorKind::UnknownAnchor => word_at(text, at),
            // The parser has passed the tab when it objects.
            _ if text.get(..at).is_some_and(|before| before.ends_with('\t')) => at - 1..at,
            _ => character_at(text, at),
        };
        Self::new("yaml-syntax", bytes, &message, hint)
    }
}

/// How many spaces a line begins with.
fn indentation(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// The character at a byte; nothing at the end of the text.
fn character_at(text: &str, at: usize) -> Range<usize> {
    let width = text.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
    at..at + width
}

/// The word that a brace at `at` stands inside of, as in `/orders/{id}`, when its braces match.
fn word_with_braces(text: &str, at: usize) -> Option<Range<usize>> {
    const MOST: usize = 200;
    let (before, rest) = (text.get(..at)?, text.get(at..)?);
    let ends_word = |c: char| c.is_whitespace() || ",[]{}\"'".contains(c);
    let start = before.rfind(ends_word).map_or(0, |end| end + 1);
    let mut is_open = false;
    let mut end = at;
    for c in rest.chars().take(MOST) {
        match (c, is_open) {
            ('{', false) => is_open = true,
            ('}', true) => is_open = false,
            _ if ends_word(c) => break,
            _ => {}
        }
        end += c.len_utf8();
    }
    (rest.starts_with('{') && start < at && at - start < MOST && !is_open).then_some(start..end)
}

/// The first quote of a stretch of text that is not closed on its line. Comments are passed over.
fn open_quote(text: &str, stretch: Range<usize>) -> Option<Range<usize>> {
    let mut start = stretch.start;
    for line in text.get(stretch)?.split_inclusive('\n') {
        let mut open: Option<(usize, char)> = None;
        let mut before = ' ';
        for (at, c) in line.char_indices() {
            match (open, c) {
                (None, '#') if before.is_whitespace() => break,
                (None, '"' | '\'') if !before.is_alphanumeric() => open = Some((at, c)),
                (Some((_, quote)), _) if c == quote && before != '\\' => open = None,
                _ => {}
            }
            before = c;
        }
        if let Some((at, _)) = open {
            return Some(start + at..start + at + 1);
        }
        start += line.len();
    }
    None
}

fn word_at(text: &str, at: usize) -> Range<usize> {
    let rest = text.get(at..).unwrap_or_default();
    let length = rest.find(|c: char| c.is_whitespace() || ",]}".contains(c)).unwrap_or(rest.len());
    if length == 0 { character_at(text, at) } else { at..at + length }
}

const COLON: &str = "a `:` cannot stand here";
const BRACES: &str = "a text with braces needs quotes here";
const SEPARATOR: &str = "a `,` or a closing bracket is expected here";

/// Message and hint of what the scanner found.
#[expect(clippy::too_many_lines, reason = "a table of words")]
fn words(kind: &ErrorKind) -> (String, &'static str) {
    let (message, hint) = match kind {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::TabInIndentation
        | ErrorKind::TabInPlainScalar => {
            ("a tab cannot stand here", "YAML is indented with spaces: replace the tab")
        }
        ErrorKind::InvalidIndentation
        | ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::ExpectedBlockSequenceEntry
        | ErrorKind::ExpectedDocumentStart
        | ErrorKind::BlockSequenceEntryNotAllowed => (
            "this does not line up with what stands above it",
            "indent it by as many spaces as its neighbours, or further to put it inside",
        ),
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => {
            ("a `key: value` is expected here", "write a `:` and a space after the key")
        }
        ErrorKind::MappingValueNotAllowed
        | ErrorKind::InvalidColonPlacement
        | ErrorKind::InvalidMappingValueWhitespace => {
            (COLON, "quote a text that contains `: `; put a nested key on a line of its own")
        }
        ErrorKind::UnknownAnchor => (
            "no anchor of this name stands before this alias",
            "a `*` at the start makes an alias; quote it if it is text, as in `\"*\"`",
        ),
        ErrorKind::MissingAnchorOrAliasName => (
            "a `*` or `&` at the start needs the name of an anchor",
            "quote it if it is text, as in `\"*\"`",
        ),
        ErrorKind::UnclosedQuotedScalar
        | ErrorKind::InvalidQuotedScalarIndent
        | ErrorKind::DocumentIndicatorInQuotedScalar => {
            ("a quoted text is not closed", "add the missing quote at the end of the text")
        }
        ErrorKind::InvalidTrailingSingleQuotedScalar
        | ErrorKind::InvalidTrailingDoubleQuotedScalar => (
            "text follows the closing quote",
            "quote the whole text, or double a `'` inside of single quotes",
        ),
        ErrorKind::UnknownQuotedScalarEscape => (
            "there is no such escape in double quotes",
            "use single quotes, in which a `\\` is just a `\\`",
        ),
        ErrorKind::UnclosedFlowCollection { open } => {
            return (format!("the `{open}` is never closed"), "add the closing bracket");
        }
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            let message = format!("`{open}` is closed by `{close}`");
            return (message, "close each bracket by its own kind");
        }
        ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofImplicitFlowMapping => {
            ("a bracket is never closed", "add the closing `]` or `}`")
        }
        ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::ExpectedFlowSequenceSeparator => (
            SEPARATOR,
            "separate items by `,`, and quote a text that contains brackets, braces or commas",
        ),
        ErrorKind::MisplacedFlowCollectionEnd => {
            ("this bracket closes nothing", "remove it, or quote the text if it is text")
        }
        ErrorKind::UnexpectedCharacter { character } => {
            let message = format!("`{}` cannot begin a text", character.escape_debug());
            return (message, "put the text in quotes");
        }
        ErrorKind::DirectiveDisallowed => {
            ("a line that begins with `%` is not accepted", "remove the line")
        }
        other => {
            return (format!("not YAML: {other}"), "check quotes, brackets and indentation");
        }
    };
    (message.to_owned(), hint)
}
