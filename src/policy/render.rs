//! Diagnostics for people, for logs and for programs.
//!
//! Lines and columns count from 1, columns in characters; a byte order mark at the start of a
//! file is not a character.

use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};
use serde_json::json;

use crate::policy::diagnostic::{Diagnostic, Severity};
use crate::policy::model::{Place, Source};

const WIDTH: usize = 140;
/// Of longer lines only what stands around the place is shown.
const LONGEST_LINE: usize = 400;
/// How many bytes of a longer line are shown before and after the place, and of the place.
const AROUND: usize = 60;
/// Two places that are further apart are shown in excerpts of their own.
const NEAR_LINES: usize = 40;
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Where something stands, as people count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

impl Position {
    /// Of a byte of a text.
    pub fn of(text: &str, at: usize) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let in_line = before[line_start..].trim_start_matches(BYTE_ORDER_MARK);
        Self { line, column: in_line.chars().count() + 1 }
    }
}

/// All diagnostics with the text they are about, a few lines each.
pub fn render(sources: &[Source], diagnostics: &[Diagnostic], colour: bool) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.decor_style(DecorStyle::Ascii).term_width(WIDTH);
    let mut rendered = String::new();
    for diagnostic in diagnostics {
        let text = renderer.render(&[group(sources, diagnostic)]);
        match Excerpt::around(sources, &diagnostic.place) {
            Some(excerpt) if excerpt.is_part => {
                let (title, rest) = text.split_once('\n').unwrap_or((&text, ""));
                let located = excerpt.location();
                rendered.push_str(&format!("{title}\n --> {located}\n{rest}"));
            }
            _ => rendered.push_str(&text),
        }
        rendered.push_str("\n\n");
    }
    rendered
}

/// One line, for logs, whose level says how bad it is: `file:line:column: message; hint`.
pub fn line(sources: &[Source], diagnostic: &Diagnostic) -> String {
    let (name, from, _) = located(sources, &diagnostic.place);
    let Position { line, column } = from;
    format!("{name}:{line}:{column}: {}; {}", diagnostic.message, diagnostic.hint)
}

/// For `--format json`: one object for each diagnostic.
pub fn to_json(sources: &[Source], diagnostics: &[Diagnostic]) -> serde_json::Value {
    let place = |place: &Place| {
        let (name, from, to) = located(sources, place);
        json!({
            "file": name,
            "line": from.line,
            "column": from.column,
            "end": { "line": to.line, "column": to.column },
        })
    };
    diagnostics
        .iter()
        .map(|found| {
            let mut object = place(&found.place);
            object["severity"] = json!(severity(found.severity));
            object["code"] = json!(found.code);
            object["message"] = json!(found.message);
            object["hint"] = json!(found.hint);
            if let Some((other, label)) = &found.related {
                object["related"] = place(other);
                object["related"]["label"] = json!(label);
            }
            object
        })
        .collect()
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn located<'s>(sources: &'s [Source], place: &Place) -> (&'s str, Position, Position) {
    let source = sources.get(place.source);
    let (name, text) = source.map_or(("", ""), |source| (&source.name, &source.text));
    (name, Position::of(text, place.bytes.start), Position::of(text, place.bytes.end))
}

fn group<'s>(sources: &'s [Source], diagnostic: &'s Diagnostic) -> Group<'s> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code);
    let mut group = Group::with_title(title);
    let excerpt = |place: &Place| Excerpt::around(sources, place);
    let related = diagnostic.related.as_ref();
    let related = related.and_then(|(place, label)| Some((excerpt(place)?, label.as_str())));
    match (excerpt(&diagnostic.place), related) {
        (None, _) => {}
        (Some(only), None) => group = group.element(only.snippet().annotation(only.primary())),
        (Some(mut first), Some((mut second, label))) => {
            let are_joined = first.widen(&mut second);
            let snippet = first.snippet().annotation(first.primary());
            group = if are_joined {
                group.element(snippet.annotation(second.context(label)))
            } else if second.is_part {
                let note = format!("{label}: {}", second.location());
                group.element(snippet).element(Level::NOTE.message(note))
            } else {
                let other = second.snippet().annotation(second.context(label));
                group.element(snippet).element(other)
            };
        }
    }
    group.element(Level::HELP.message(diagnostic.hint.as_str()))
}

/// The lines that a place is shown in.
struct Excerpt<'s> {
    source: &'s Source,
    /// Whole lines of the source, or a part of a long one.
    lines: Range<usize>,
    is_part: bool,
    /// What is marked, at most to the end of its first line.
    marked: Range<usize>,
}

impl<'s> Excerpt<'s> {
    fn around(sources: &'s [Source], place: &Place) -> Option<Self> {
        let source = sources.get(place.source)?;
        let text = source.text.as_str();
        let start = place.bytes.start.min(text.len());
        let before = text.get(..start)?;
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text.get(start..)?.find('\n').map_or(text.len(), |newline| start + newline);
        let line = text.get(line_start..line_end)?.trim_end_matches('\r');
        let line_end = line_start + line.len();
        let line = line.trim_start_matches(BYTE_ORDER_MARK);
        let line_start = line_end - line.len();
        let start = start.max(line_start);
        let end = place.bytes.end.clamp(start, start.max(line_start + line.trim_end().len()));
        let is_part = line.len() > LONGEST_LINE;
        if !is_part {
            return Some(Self { source, lines: line_start..line_end, is_part, marked: start..end });
        }
        let end = text.floor_char_boundary(end.min(start + AROUND));
        let from = text.floor_char_boundary(start.saturating_sub(AROUND).max(line_start));
        let to = text.floor_char_boundary((end + AROUND).min(line_end));
        Some(Self { source, lines: from..to, is_part, marked: start..end })
    }

    fn location(&self) -> String {
        let Position { line, column } = Position::of(&self.source.text, self.marked.start);
        format!("{}:{line}:{column}", self.source.name)
    }

    /// Makes both excerpts one stretch of lines, when they are near each other.
    fn widen(&mut self, other: &mut Self) -> bool {
        let lines = self.lines.start.min(other.lines.start)..self.lines.end.max(other.lines.end);
        let between = self.source.text.get(lines.clone()).unwrap_or_default();
        let near = between.bytes().filter(|byte| *byte == b'\n').count() <= NEAR_LINES;
        let joined =
            std::ptr::eq(self.source, other.source) && near && !self.is_part && !other.is_part;
        if joined {
            (self.lines, other.lines) = (lines.clone(), lines);
        }
        joined
    }

    fn snippet(&self) -> Snippet<'s, Annotation<'s>> {
        let text = self.source.text.get(self.lines.clone()).unwrap_or_default();
        let first_line = Position::of(&self.source.text, self.lines.start).line;
        // The library would count the column in the part alone, so it is not let to.
        let path = (!self.is_part).then_some(self.source.name.as_str());
        Snippet::source(text).line_start(first_line).path(path)
    }

    fn primary(&self) -> Annotation<'s> {
        AnnotationKind::Primary.span(self.relative())
    }

    fn context(&self, label: &'s str) -> Annotation<'s> {
        AnnotationKind::Context.span(self.relative()).label(label)
    }

    fn relative(&self) -> Range<usize> {
        self.marked.start - self.lines.start..self.marked.end - self.lines.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_from_one() {
        let text = "\u{feff}ä: b\r\nüö: x\n";
        let position = |at| {
            let Position { line, column } = Position::of(text, at);
            (line, column)
        };
        assert_eq!(position(3), (1, 1));
        assert_eq!(position(text.find('b').unwrap()), (1, 4));
        assert_eq!(position(text.find('x').unwrap()), (2, 5));
        assert_eq!(position(text.len()), (3, 1));
        assert_eq!(position(text.len() + 9), (3, 1));
    }

    #[test]
    fn odd_characters_at_the_end_of_a_marked_line_are_no_trouble() {
        for text in
            ["\u{feff}domain: d\r\u{2028}\n", "\u{feff}a\u{3000}", "\u{feff}", "\u{2028}\r\n"]
        {
            let sources = [Source { name: "p.yaml".to_owned(), text: text.to_owned() }];
            for bytes in text.char_indices().map(|(at, c)| at..at + c.len_utf8()) {
                let place = Place { source: 0, bytes };
                let (message, hint) = ("wrong".to_owned(), "do better".to_owned());
                let severity = Severity::Error;
                let found = Diagnostic { severity, code: "c", message, place, related: None, hint };
                assert!(render(&sources, &[found], false).contains("p.yaml:1"), "{text:?}");
            }
        }
    }

    #[test]
    fn one_line_form_and_json_name_the_place() {
        let sources = [Source { name: "p.yaml".to_owned(), text: "a: b\nc: d\n".to_owned() }];
        let diagnostic = Diagnostic {
            severity: Severity::Error,
            code: "some-code",
            message: "wrong".to_owned(),
            place: Place { source: 0, bytes: 8..9 },
            related: Some((Place { source: 0, bytes: 0..1 }, "here".to_owned())),
            hint: "do better".to_owned(),
        };
        assert_eq!(line(&sources, &diagnostic), "p.yaml:2:4: wrong; do better");
        assert_eq!(
            to_json(&sources, &[diagnostic]),
            json!([{
                "file": "p.yaml", "line": 2, "column": 4, "end": { "line": 2, "column": 5 },
                "severity": "error", "code": "some-code",
                "message": "wrong", "hint": "do better",
                "related": {
                    "file": "p.yaml", "line": 1, "column": 1,
                    "end": { "line": 1, "column": 2 }, "label": "here",
                },
            }])
        );
    }
}
