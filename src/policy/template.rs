//! Path templates such as `/orders/{id}` and `/orders/**`, and the paths they are held against.
//!
//! A path is compared segment by segment after its query is cut off, its empty segments are left
//! out, its percent escapes are decoded and its `.` and `..` resolved, so that these spellings of a
//! path do not slip past its rule. Path parameters (`;v=1`) are part of their segment.

use std::borrow::Cow;
use std::fmt;

/// A template, checked: `**` only stands last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pub segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    Literal(String),
    /// One segment, whatever it is; its value is an attribute of this name.
    Capture(String),
    /// The rest of the path, none included.
    Rest,
}

/// What is wrong with a template, and where: bytes of its text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    pub message: String,
    pub hint: String,
    pub bytes: std::ops::Range<usize>,
}

impl Template {
    /// Reads `/literal/{capture}/**`.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if !text.starts_with('/') {
            let hint = match text {
                "*" | "**" => "write `/**` for every path".to_owned(),
                _ => format!("write `/{text}`"),
            };
            return Err(error("a path template begins with `/`", &hint, 0..text.len()));
        }
        let mut segments: Vec<Segment> = Vec::new();
        let mut start = 1;
        for part in text[1..].split('/') {
            let bytes = start..start + part.len();
            start = bytes.end + 1;
            if part.is_empty() {
                continue;
            }
            if segments.last() == Some(&Segment::Rest) {
                let hint = "end the template with `/**`, or match one segment with `{name}`";
                return Err(error("nothing can follow `**`", hint, bytes));
            }
            let segment = parse_segment(part, bytes.clone())?;
            if let Segment::Capture(name) = &segment
                && segments.contains(&segment)
            {
                let hint = "give each captured segment its own name";
                return Err(error(&format!("`{{{name}}}` is captured twice"), hint, bytes));
            }
            segments.push(segment);
        }
        Ok(Self { segments })
    }

    /// The names of the captured segments, in order.
    pub fn captures(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Capture(name) => Some(name.as_str()),
            Segment::Literal(_) | Segment::Rest => None,
        })
    }

    /// The one path that matches, in its canonical spelling; `None` where others match too.
    pub fn only_path(&self) -> Option<String> {
        let is_literal = |segment: &Segment| matches!(segment, Segment::Literal(_));
        self.segments.iter().all(is_literal).then(|| self.to_string())
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.segments.is_empty() {
            return f.write_str("/");
        }
        self.segments.iter().try_for_each(|segment| match segment {
            Segment::Literal(text) => write!(f, "/{text}"),
            Segment::Capture(name) => write!(f, "/{{{name}}}"),
            Segment::Rest => f.write_str("/**"),
        })
    }
}

fn parse_segment(part: &str, bytes: std::ops::Range<usize>) -> Result<Segment, TemplateError> {
    if part == "**" {
        return Ok(Segment::Rest);
    }
    if let Some(name) = part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || !name.chars().all(is_name) {
            let hint = "use letters, digits, `_` and `-`, as in `{order_id}`";
            return Err(error("a captured segment needs a plain name", hint, bytes));
        }
        return Ok(Segment::Capture(name.to_owned()));
    }
    if part.contains(['{', '}', '*']) {
        let hint = "use `{name}` for one whole segment, or `**` at the end for the rest";
        return Err(error(&format!("`{part}` is neither literal nor a capture"), hint, bytes));
    }
    if let Some(name) = part.strip_prefix(':') {
        let hint = format!("write `{{{name}}}` for one whole segment, or `%3A{name}` for the text");
        return Err(error(&format!("`{part}` would match nothing but itself"), &hint, bytes));
    }
    if part.contains(['?', '#']) {
        let hint = "templates match the path alone; the query is cut off before matching";
        return Err(error("a path template has no query", hint, bytes));
    }
    let mut decoded = Vec::with_capacity(part.len());
    decode_onto(part.as_bytes(), &mut decoded);
    match String::from_utf8(decoded) {
        Ok(literal) => Ok(Segment::Literal(literal)),
        Err(_) => {
            let hint = "write the segment as it is, without percent escapes";
            Err(error(&format!("`{part}` is not UTF-8 when its escapes are decoded"), hint, bytes))
        }
    }
}

fn error(message: &str, hint: &str, bytes: std::ops::Range<usize>) -> TemplateError {
    TemplateError { message: message.to_owned(), hint: hint.to_owned(), bytes }
}

/// A path as templates see it, and as it is counted: without its query, with single slashes, none
/// at the end, with percent escapes decoded and with `.` and `..` resolved. An escaped slash or
/// percent sign stays escaped, so that segments stay apart and two different paths never become
/// one.
pub fn canonical(path: &[u8]) -> Cow<'_, [u8]> {
    if let Some(path) = canonical_already(path) {
        return Cow::Borrowed(path);
    }
    let path = without_query(path);
    let mut canonical = Vec::with_capacity(path.len() + 1);
    for segment in segments(path) {
        let start = canonical.len();
        canonical.push(b'/');
        decode_onto(segment, &mut canonical);
        match &canonical[start..] {
            b"/." => canonical.truncate(start),
            b"/.." => {
                let above = canonical[..start].iter().rposition(|byte| *byte == b'/');
                canonical.truncate(above.unwrap_or_default());
            }
            _ => {}
        }
    }
    if canonical.is_empty() {
        canonical.push(b'/');
    }
    Cow::Owned(canonical)
}

/// Most paths need no work, which one look at each byte tells.
fn canonical_already(path: &[u8]) -> Option<&[u8]> {
    let (b'/', rest) = path.split_first()? else { return None };
    let mut before = b'/';
    let mut end = path.len();
    for (byte, place) in rest.iter().zip(1..) {
        match byte {
            b'?' | b'#' => {
                end = place;
                break;
            }
            b'%' => return None,
            b'/' | b'.' if before == b'/' => return None,
            _ => before = *byte,
        }
    }
    (before != b'/').then_some(&path[..end])
}

/// The segments of a canonical path.
pub fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|segment| !segment.is_empty())
}

fn without_query(path: &[u8]) -> &[u8] {
    let end = path.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(path.len());
    &path[..end]
}

/// Percent escapes decoded; what is no escape stays as it is.
fn decode_onto(segment: &[u8], decoded: &mut Vec<u8>) {
    let mut rest = segment;
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'%'
            && let [high, low, after @ ..] = tail
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            match high << 4 | low {
                b'/' => decoded.extend_from_slice(b"%2F"),
                b'%' => decoded.extend_from_slice(b"%25"),
                plain => decoded.push(plain),
            }
            rest = after;
            continue;
        }
        decoded.push(byte);
        rest = tail;
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical_text(path: &str) -> String {
        String::from_utf8_lossy(&canonical(path.as_bytes())).into_owned()
    }

    #[test]
    fn every_spelling_of_a_path_becomes_one() {
        for path in
            ["/v1/things", "/v1/things/", "//v1//things?q=/x", "v1/things#top", "/v1/%74hin%67s/"]
        {
            assert_eq!(canonical_text(path), "/v1/things", "{path}");
        }
        for path in
            ["/v1/./things", "/v1/x/../things", "/../v1/x/%2e%2e/things/.", "/v1/things/x/.."]
        {
            assert_eq!(canonical_text(path), "/v1/things", "{path}");
        }
        assert_eq!(canonical_text("/.well-known/..x/..."), "/.well-known/..x/...");
        assert_eq!(canonical_text("/x/../.."), "/");
        assert_eq!(canonical_text(""), "/");
        assert_eq!(canonical_text("?q"), "/");
    }

    #[test]
    fn different_paths_stay_different() {
        assert_eq!(canonical_text("/a%2fb"), "/a%2Fb");
        assert_eq!(canonical_text("/a%252Fb"), "/a%252Fb");
        assert_eq!(canonical_text("/a/%zz%4"), "/a/%zz%4");
        assert_eq!(segments(&canonical(b"/a%2Fb/c")).count(), 2);
    }

    #[test]
    fn templates_read_literals_captures_and_the_rest() {
        let template = Template::parse("/orders/{id}/**").unwrap();
        assert_eq!(
            template.segments,
            [Segment::Literal("orders".into()), Segment::Capture("id".into()), Segment::Rest]
        );
        assert_eq!(template.captures().collect::<Vec<_>>(), ["id"]);
        assert!(Template::parse("/").unwrap().segments.is_empty());
    }

    #[test]
    fn bad_templates_say_where_and_what_to_write() {
        for (text, message, bytes) in [
            ("orders", "a path template begins with `/`", 0..6),
            ("/a/**/b", "nothing can follow `**`", 6..7),
            ("/a/{}", "a captured segment needs a plain name", 3..5),
            ("/a/b*", "`b*` is neither literal nor a capture", 3..5),
            ("/{x}/{x}", "`{x}` is captured twice", 5..8),
            ("/a?b", "a path template has no query", 1..4),
            ("/a/:id", "`:id` would match nothing but itself", 3..6),
        ] {
            let error = Template::parse(text).unwrap_err();
            assert_eq!((error.message.as_str(), error.bytes), (message, bytes), "{text}");
        }
        for (text, hint) in [("*", "write `/**` for every path"), ("orders", "write `/orders`")] {
            assert_eq!(Template::parse(text).unwrap_err().hint, hint);
        }
    }
}
