//! Reads the body of a denial into text with placeholders.
//!
//! YAML becomes JSON at load, with its keys in their order; at run time only `{field}`s are filled
//! in. Everything around them is JSON already.

use std::sync::Arc;

use crate::policy::findings::{Findings, shown};
use crate::policy::respond::{Body, Field, Piece};
use crate::policy::suggest;
use crate::policy::units::Misread;
use crate::yaml::{Node, Scalar, Value};

/// Largest body before its placeholders are filled in.
const MOST_BYTES: usize = 16 << 10;

/// The body and the content type that goes with it when the policy names none.
pub(super) fn read(findings: &mut Findings, node: &Node) -> Option<(Body, Option<&'static str>)> {
    let mut writer = Writer { findings, pieces: Vec::new(), failed: false };
    match &node.value {
        Value::Scalar(scalar) => match scalar.text.as_str() {
            "off" => return Some((Body::Empty, None)),
            "problem" => return Some((Body::Problem, None)),
            _ => {
                let hint = "write a text, a mapping, `problem` or `off`";
                let text = &writer.findings.text(node, "a body", hint)?.text;
                if is_json_object(text) {
                    let message = "this body is JSON written as text";
                    let hint = "write the body as YAML, without the quotes or the `|` around it";
                    writer.findings.error("body-in-quotes", &node.bytes, message, hint);
                    return None;
                }
                writer.template(node, text, str::to_owned);
                let body = writer.finish(node, Body::Text)?;
                return Some((body, Some("text/plain; charset=utf-8")));
            }
        },
        Value::Sequence(_) | Value::Mapping(_) => writer.json(node),
    }
    writer.finish(node, Body::Json).map(|body| (body, None))
}

struct Writer<'f> {
    findings: &'f mut Findings,
    pieces: Vec<Piece>,
    failed: bool,
}

impl Writer<'_> {
    fn finish(self, node: &Node, body: fn(Arc<[Piece]>) -> Body) -> Option<Body> {
        let length = |piece: &Piece| match piece {
            Piece::Text(text) => text.len(),
            Piece::Field(_) => 0,
        };
        if self.pieces.iter().map(length).sum::<usize>() > MOST_BYTES {
            let message = format!("this body is larger than {} KiB", MOST_BYTES >> 10);
            let hint = "shorten it; it is sent with every denial";
            self.findings.error("body-too-large", &node.bytes, message, hint);
            return None;
        }
        (!self.failed).then(|| body(self.pieces.into()))
    }

    fn text(&mut self, text: &str) {
        match self.pieces.last_mut() {
            Some(Piece::Text(last)) => last.push_str(text),
            _ => self.pieces.push(Piece::Text(text.to_owned())),
        }
    }

    fn json(&mut self, node: &Node) {
        match &node.value {
            Value::Scalar(scalar) => self.json_scalar(node, scalar),
            Value::Sequence(items) => {
                self.text("[");
                for (index, item) in items.iter().enumerate() {
                    self.text(if index > 0 { "," } else { "" });
                    self.json(item);
                }
                self.text("]");
            }
            Value::Mapping(pairs) => {
                self.check_quotes(node, pairs);
                self.text("{");
                for (index, (key, value)) in pairs.iter().enumerate() {
                    self.text(if index > 0 { "," } else { "" });
                    let name = key.scalar().map_or("", |scalar| scalar.text.as_str());
                    self.check_key(key, name);
                    self.text(&format!("\"{}\":", escaped(name)));
                    self.json(value);
                }
                self.text("}");
            }
        }
    }

    /// Without quotes YAML reads `{limit}` as a mapping.
    fn check_quotes(&mut self, node: &Node, pairs: &[(Node, Node)]) {
        let [(key, value)] = pairs else { return };
        let name = key.scalar().map_or("", |scalar| scalar.text.as_str());
        if value.is_null() && value.bytes.is_empty() && field(name).is_some() {
            let hint = format!("write `\"{{{name}}}\"`");
            let message = "a placeholder needs quotes around it";
            self.findings.error("bad-placeholder", &node.bytes, message, hint);
            self.failed = true;
        }
    }

    /// Only values are filled in: keys that differ between denials would be no format.
    fn check_key(&mut self, key: &Node, name: &str) {
        let inside = |start: usize| name[start + 1..].split_once('}').map(|(inside, _)| inside);
        let mut braces = name.match_indices('{').map(|(start, _)| start);
        if let Some(field) = braces.find_map(|start| inside(start).filter(|f| field(f).is_some())) {
            let message = format!("the placeholder {} stands in a key", shown(field));
            let hint = format!("only values are filled in: write `{field}: \"{{{field}}}\"`");
            self.findings.error("bad-placeholder", &key.bytes, message, hint);
            self.failed = true;
        }
    }

    /// Plain numbers, booleans and null stay what they are in JSON; a text that is nothing but
    /// the placeholder of a number becomes that number.
    fn json_scalar(&mut self, node: &Node, scalar: &Scalar) {
        if node.is_null() {
            return self.text("null");
        }
        if let Some(truth) = scalar.as_bool() {
            return self.text(if truth { "true" } else { "false" });
        }
        if !scalar.quoted && is_json_number(&scalar.text) {
            return self.text(&scalar.text);
        }
        let alone = scalar.text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
        if let Some(field) = alone.and_then(field).filter(|field| is_number(*field)) {
            return self.pieces.push(Piece::Field(field));
        }
        self.text("\"");
        self.template(node, &scalar.text, escaped);
        self.text("\"");
    }

    /// Text with `{field}` in it; `{{` and `}}` stand for the braces themselves.
    fn template(&mut self, node: &Node, text: &str, escape: fn(&str) -> String) {
        let mut at = 0;
        while let Some(found) = text[at..].find(['{', '}']) {
            let brace = at + found;
            self.text(&escape(&text[at..brace]));
            let rest = &text[brace..];
            if rest.starts_with("{{") || rest.starts_with("}}") {
                self.text(&rest[..1]);
                at = brace + 2;
                continue;
            }
            let end = rest.find('}').filter(|_| rest.starts_with('{'));
            let name = end.map(|end| &rest[1..end]);
            at = brace + end.map_or(1, |end| end + 1);
            match name.and_then(field) {
                Some(field) => self.pieces.push(Piece::Field(field)),
                None => self.refuse(node, name, brace..at),
            }
        }
        self.text(&escape(&text[at..]));
    }

    fn refuse(&mut self, node: &Node, name: Option<&str>, bytes: std::ops::Range<usize>) {
        let names = Field::ALL.map(|(name, _)| name);
        let (message, hint) = match name {
            Some(name) => {
                let message = format!("there is no placeholder {}", shown(name));
                let hint = match suggest::nearest(name, names) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("{}, or `{{{{` for the brace itself", suggest::one_of(&names)),
                };
                (message, hint)
            }
            None => {
                let hint = "write the brace twice, `{{` or `}}`, for the brace itself".to_owned();
                ("this brace belongs to no placeholder".to_owned(), hint)
            }
        };
        self.failed = true;
        self.findings.misread(node, Misread { code: "bad-placeholder", message, hint, bytes });
    }
}

/// `{ "key": ...` as clients send it; a text may well begin with a brace of another kind.
fn is_json_object(text: &str) -> bool {
    let inside = text.trim_start().strip_prefix('{');
    inside.is_some_and(|inside| inside.trim_start().starts_with('"'))
}

/// A number as JSON writes it, however large: it is sent as written.
fn is_json_number(text: &str) -> bool {
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let whole = whole.strip_prefix('-').unwrap_or(whole);
    let exponent = exponent.map(|digits| digits.strip_prefix(['+', '-']).unwrap_or(digits));
    all_digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(all_digits)
        && exponent.is_none_or(all_digits)
}

fn field(name: &str) -> Option<Field> {
    Field::ALL.iter().find(|(known, _)| *known == name).map(|(_, field)| *field)
}

fn is_number(field: Field) -> bool {
    match field {
        Field::Domain | Field::Rule | Field::Reason => false,
        Field::Limit
        | Field::Remaining
        | Field::ResetSeconds
        | Field::WindowSeconds
        | Field::WindowMillis => true,
    }
}

/// A text as it stands between the quotes of a JSON string.
fn escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.get(1..quoted.len() - 1).unwrap_or_default().to_owned()
}
