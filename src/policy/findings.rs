//! Where readers put what they find, and the one way they look at mappings, lists and words.
//!
//! A reader never stops at a fault: it records it and goes on, so that one load shows everything.

use std::collections::HashMap;
use std::ops::Range;

use crate::policy::diagnostic::{Diagnostic, Severity};
use crate::policy::model::{Place, Placed};
use crate::policy::suggest;
use crate::policy::units::Misread;
use crate::yaml::{Fault, Node, Scalar, Value};

/// More findings than this of one load help nobody; they are counted and not shown.
pub(crate) const MOST_DIAGNOSTICS: usize = 500;

/// Findings of one source that are kept; of a text that is no policy every word may be one.
const MOST_KEPT: usize = 10 * MOST_DIAGNOSTICS;

/// The findings of one source.
#[derive(Debug)]
pub(crate) struct Findings {
    source: usize,
    found: Vec<Diagnostic>,
    errors: usize,
    /// Findings that were counted and not kept; of errors at least one is kept.
    dropped: usize,
    is_last_dropped: bool,
}

/// How a key that may be met is treated.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Standing {
    Read,
    /// Belongs to another place; which.
    Elsewhere(&'static str),
}

/// The keys of one kind of mapping.
pub(crate) type Keys = [(&'static str, Standing)];

/// The known keys of a mapping with their values.
#[derive(Debug)]
pub(crate) struct Fields<'n> {
    known: Vec<(&'static str, &'n Node, &'n Node)>,
    /// Keys that others were probably meant to be.
    misspelt: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    pub(crate) fn value(&self, name: &str) -> Option<&'n Node> {
        self.known.iter().find(|(known, ..)| *known == name).map(|(_, _, value)| *value)
    }

    /// Whether a key is missing, and not just misspelt, which has been reported.
    pub(crate) fn misses(&self, name: &str) -> bool {
        self.value(name).is_none() && !self.misspelt.contains(&name)
    }

    /// Whether a key was probably meant by another, which has been reported.
    pub(crate) fn is_misspelt(&self, name: &str) -> bool {
        self.misspelt.contains(&name)
    }

    pub(crate) fn key(&self, name: &str) -> Option<&'n Node> {
        self.known.iter().find(|(known, ..)| *known == name).map(|(_, key, _)| *key)
    }
}

impl Findings {
    pub(crate) fn new(source: usize) -> Self {
        Self { source, found: Vec::new(), errors: 0, dropped: 0, is_last_dropped: false }
    }

    /// The findings, and how many more there were.
    pub(crate) fn into_diagnostics(self) -> (Vec<Diagnostic>, usize) {
        (self.found, self.dropped)
    }

    /// How many errors were found so far, kept or not.
    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    pub(crate) fn place(&self, bytes: &Range<usize>) -> Place {
        Place { source: self.source, bytes: bytes.clone() }
    }

    pub(crate) fn placed<T>(&self, value: T, node: &Node) -> Placed<T> {
        Placed { value, place: self.place(&node.bytes) }
    }

    pub(crate) fn error(
        &mut self,
        code: &'static str,
        bytes: &Range<usize>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.add(Severity::Error, code, bytes, message.into(), hint.into());
    }

    pub(crate) fn warning(
        &mut self,
        code: &'static str,
        bytes: &Range<usize>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.add(Severity::Warning, code, bytes, message.into(), hint.into());
    }

    fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        bytes: &Range<usize>,
        message: String,
        hint: String,
    ) {
        let is_new_kind = severity == Severity::Error && self.errors == 0;
        self.errors += usize::from(severity == Severity::Error);
        self.is_last_dropped = self.found.len() >= MOST_KEPT && !is_new_kind;
        if self.is_last_dropped {
            self.dropped += 1;
            return;
        }
        let (message, hint) = (clean(message), clean(hint));
        let place = self.place(bytes);
        self.found.push(Diagnostic { severity, code, message, place, related: None, hint });
    }

    /// Gives the finding just recorded a second place.
    pub(crate) fn relate(&mut self, bytes: &Range<usize>, label: &str) {
        self.relate_place(self.place(bytes), label);
    }

    /// As `relate`, where the second place may be in another source.
    pub(crate) fn relate_place(&mut self, place: Place, label: &str) {
        if let Some(last) = self.found.last_mut().filter(|_| !self.is_last_dropped) {
            last.related = Some((place, label.to_owned()));
        }
    }

    pub(crate) fn fault(&mut self, fault: Fault) {
        self.error(fault.code, &fault.bytes, fault.message, fault.hint);
        if let Some((bytes, label)) = fault.related {
            self.relate(&bytes, &label);
        }
    }

    pub(super) fn misread(&mut self, node: &Node, misread: Misread) {
        let bytes = node.part(misread.bytes);
        self.error(misread.code, &bytes, misread.message, misread.hint);
    }

    /// Whether a text is empty only because YAML took it for a tag, which has been reported.
    fn is_tag(&self, node: &Node) -> bool {
        let is_here = |found: &Diagnostic| {
            let bytes = &found.place.bytes;
            found.code == "yaml-tag"
                && bytes.start <= node.bytes.end
                && node.bytes.start <= bytes.end
        };
        node.bytes.is_empty() && self.found.iter().any(is_here)
    }

    /// Something of the wrong kind stands here.
    pub(crate) fn unexpected(&mut self, node: &Node, expected: &str, hint: impl Into<String>) {
        if self.is_tag(node) {
            return;
        }
        let found = match node.scalar() {
            Some(scalar) if scalar.text.is_empty() => "an empty text".to_owned(),
            Some(scalar) if scalar.quoted => shown(&format!("{:?}", scalar.text)),
            Some(scalar) => shown(&scalar.text),
            None => node.kind().to_owned(),
        };
        let message = format!("expected {expected}, found {found}");
        self.error("wrong-type", &node.bytes, message, hint);
    }

    /// The fields of `what`, such as `a rule`; keys that are not its own are findings.
    pub(crate) fn fields<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        keys: &Keys,
    ) -> Option<Fields<'n>> {
        let Value::Mapping(pairs) = &node.value else {
            let hint = format!("write {what} as `key: value` lines");
            self.unexpected(node, &format!("{what} as a mapping"), hint);
            return None;
        };
        let (mut known, mut misspelt) = (Vec::new(), Vec::new());
        for (key, value) in pairs {
            let name = key.scalar().map_or("", |scalar| scalar.text.as_str());
            match keys.iter().find(|(known, _)| *known == name) {
                Some((name, Standing::Read)) => known.push((*name, key, value)),
                Some((name, Standing::Elsewhere(place))) => {
                    let message = format!("`{name}` does not belong to {what}");
                    self.error("misplaced-key", &key.bytes, message, *place);
                }
                None => {
                    let message = format!("{what} has no key {}", shown(name));
                    // Looking for what was meant is dear, so it is not done for ever.
                    let is_looked_for = self.found.len() < MOST_DIAGNOSTICS;
                    let near = is_looked_for.then(|| nearest_key(name, keys)).flatten();
                    misspelt.extend(near);
                    self.error("unknown-key", &key.bytes, message, key_hint(near, keys));
                }
            }
        }
        Some(Fields { known, misspelt })
    }

    /// The value of a key that must be there; `what` is what must have it.
    pub(crate) fn require<'n>(
        &mut self,
        fields: &Fields<'n>,
        name: &str,
        (what, node): (&str, &Node),
        hint: &str,
    ) -> Option<&'n Node> {
        if fields.misses(name) {
            let start = node.bytes.start..node.bytes.start;
            self.error("missing-key", &start, format!("{what} has no `{name}`"), hint);
        }
        fields.value(name)
    }

    pub(crate) fn text<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        hint: &str,
    ) -> Option<&'n Scalar> {
        let scalar = node.scalar().filter(|scalar| !scalar.text.is_empty());
        if scalar.is_none() {
            self.unexpected(node, what, hint);
        }
        scalar
    }

    pub(crate) fn boolean(&mut self, node: &Node) -> Option<bool> {
        let value = node.scalar().and_then(Scalar::as_bool);
        if value.is_none() {
            self.unexpected(node, "`true` or `false`", "write `true` or `false`, without quotes");
        }
        value
    }

    /// One word of a closed set.
    pub(crate) fn word<T: Copy>(
        &mut self,
        node: &Node,
        what: &str,
        words: &[(&str, T)],
    ) -> Option<T> {
        let names: Vec<_> = words.iter().map(|(name, _)| *name).collect();
        let Some(scalar) = node.scalar() else {
            self.unexpected(node, what, suggest::one_of(&names));
            return None;
        };
        let value = words.iter().find(|(name, _)| *name == scalar.text).map(|(_, value)| *value);
        if value.is_none() {
            let message = format!("{} is not {what}", shown(&scalar.text));
            let hint = suggest::hint(&scalar.text, &names);
            self.error("unknown-word", &node.bytes, message, hint);
        }
        value
    }

    /// Names, none of them twice; a single one needs no list.
    pub(crate) fn names(&mut self, node: &Node, what: &str, hint: &str) -> Vec<Placed<String>> {
        let mut names: Vec<Placed<String>> = Vec::new();
        let mut firsts: HashMap<&str, &Range<usize>> = HashMap::new();
        for item in one_or_more(node) {
            let Some(scalar) = self.text(item, what, hint) else {
                continue;
            };
            if let Some(first) = firsts.get(scalar.text.as_str()) {
                let message = format!("{} stands twice in this list", shown(&scalar.text));
                self.error("duplicate-item", &item.bytes, message, "keep one of the two");
                self.relate(first, "first written here");
                continue;
            }
            firsts.insert(&scalar.text, &item.bytes);
            names.push(self.placed(scalar.text.clone(), item));
        }
        names
    }
}

/// The items of a list; anything else is a list of itself.
pub(crate) fn one_or_more(node: &Node) -> &[Node] {
    match &node.value {
        Value::Sequence(items) => items,
        Value::Scalar(_) | Value::Mapping(_) => std::slice::from_ref(node),
    }
}

fn nearest_key(name: &str, keys: &Keys) -> Option<&'static str> {
    if name.len() > MOST_SHOWN {
        return None;
    }
    let own = keys.iter().filter(|(_, standing)| !matches!(standing, Standing::Elsewhere(_)));
    suggest::nearest(name, own.map(|(known, _)| *known))
}

fn key_hint(near: Option<&str>, keys: &Keys) -> String {
    if let Some(near) = near {
        return format!("did you mean `{near}`?");
    }
    let read = keys.iter().filter(|(_, standing)| matches!(standing, Standing::Read));
    suggest::one_of(&read.map(|(known, _)| *known).collect::<Vec<_>>())
}

/// Of an operator's text a message shows so many characters.
const MOST_SHOWN: usize = 60;

/// An operator's text inside a message: in backticks and cut short.
pub(crate) fn shown(text: &str) -> String {
    match text.char_indices().nth(MOST_SHOWN) {
        None => format!("`{text}`"),
        Some((end, _)) => format!("`{}…`", &text[..end]),
    }
}

/// A message or hint as it may be printed, whatever of an operator's text is in it: one line
/// without control characters, and not without end.
pub(crate) fn clean(mut text: String) -> String {
    const MOST: usize = 400;
    if text.len() > MOST {
        text.truncate(text.floor_char_boundary(MOST));
        text.push('…');
    }
    if text.contains(char::is_control) {
        text = text.replace(char::is_control, "\u{fffd}");
    }
    text
}
