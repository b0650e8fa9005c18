//! From text to the tokens of a formula, and hints for what is none.
//!
//! A token never reaches beyond the text, and every byte of the text is in a token or is blank.

use std::ops::Range;

use super::{Number, Step};
use crate::policy::findings::shown;
use crate::policy::units::Misread;

/// Words and signs that stand for an operator elsewhere.
const OPERATORS: [(&str, &str); 14] = [
    ("x", "*"),
    ("X", "*"),
    ("×", "*"),
    ("·", "*"),
    ("times", "*"),
    ("÷", "/"),
    (":", "/"),
    ("over", "/"),
    ("div", "/"),
    ("−", "-"),
    ("–", "-"),
    ("minus", "-"),
    ("plus", "+"),
    ("of", "*"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Number(Number),
    Name,
    /// `+ - * /`, as the step it makes between two values.
    Operator(Step),
    Open,
    Close,
    Comma,
    End,
}

#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) bytes: Range<usize>,
}

pub(super) fn misread(message: String, hint: impl Into<String>, bytes: Range<usize>) -> Misread {
    Misread { code: "bad-formula", message, hint: hint.into(), bytes }
}

/// The hint for what is an operator in other places.
pub(super) fn operator_for(text: &str) -> Option<String> {
    let (_, operator) = OPERATORS.iter().find(|(foreign, _)| *foreign == text)?;
    Some(format!("write `{operator}`"))
}

/// The beginning of a text, for hints.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(40).collect()
}

/// The token at `from` or after the blanks there.
pub(super) fn lex(text: &str, from: usize) -> Result<Token, Misread> {
    let rest = text[from..].trim_start();
    let start = text.len() - rest.len();
    let Some(first) = rest.chars().next() else {
        return Ok(Token { kind: Kind::End, bytes: text.len()..text.len() });
    };
    let sign = |kind| Ok(Token { kind, bytes: start..start + 1 });
    match first {
        '+' => sign(Kind::Operator(Step::Add)),
        '-' => sign(Kind::Operator(Step::Subtract)),
        '*' => sign(Kind::Operator(Step::Multiply)),
        '/' => sign(Kind::Operator(Step::Divide)),
        '(' => sign(Kind::Open),
        ')' => sign(Kind::Close),
        ',' => sign(Kind::Comma),
        '0'..='9' | '.' => number(text, start),
        'a'..='z' | 'A'..='Z' | '_' => name(text, start),
        _ => Err(stray(text, start, first)),
    }
}

fn number(text: &str, start: usize) -> Result<Token, Misread> {
    let rest = &text[start..];
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'));
    let (word, end) = (&rest[..end.unwrap_or(rest.len())], start + end.unwrap_or(rest.len()));
    let grouped = word.split('_').all(|group| {
        let ends = [group.chars().next(), group.chars().next_back()];
        ends.iter().all(|end| end.is_some_and(|c| c.is_ascii_digit()))
    });
    let plain: String = word.chars().filter(|c| *c != '_').collect();
    let follows_thousands = {
        let before = &text.as_bytes()[..start];
        matches!(before, [.., b'0'..=b'9', b',']) && word.len() == 3 && word.starts_with('0')
    };
    match Number::parse(plain.as_bytes()).filter(|_| grouped && !follows_thousands) {
        Some(number) => Ok(Token { kind: Kind::Number(number), bytes: start..end }),
        None if follows_thousands => {
            let digits = |c: char| c.is_ascii_digit() || c == ',';
            let from = text[..start].trim_end_matches(digits).len();
            let whole = &text[from..end];
            let hint =
                format!("write `{}` or `{}`", whole.replace(',', ""), whole.replace(',', "_"));
            let message = format!("{} is not a number because of the `,`", shown(whole));
            Err(misread(message, hint, from..end))
        }
        None => {
            Err(misread(format!("{} is not a number", shown(word)), spelt_out(word), start..end))
        }
    }
}

/// A hint for what begins like a number and is none.
fn spelt_out(word: &str) -> String {
    let tail = word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '_' || c == '.');
    let head = &word[..word.len() - tail.len()];
    let is_whole = !head.is_empty() && head.bytes().all(|byte| byte.is_ascii_digit());
    match tail {
        "k" | "K" if is_whole => format!("write `{head}_000`"),
        "m" | "M" if is_whole => format!("write `{head}_000_000`"),
        "x" | "X" if is_whole => format!("write `{head} *`"),
        "" if word.starts_with('.') && word.len() > 1 => format!("write `0{word}`"),
        "" if word.ends_with('.') && word.len() > 1 => {
            format!("write `{}`", word.trim_end_matches('.'))
        }
        "" if word.bytes().all(|byte| byte.is_ascii_digit()) => {
            "a number has at most 30 digits".to_owned()
        }
        "" => "write digits, as in `1000`, `10_000` or `2.5`".to_owned(),
        _ if !head.is_empty() && Number::parse(head.as_bytes()).is_some() && !is_exponent(tail) => {
            format!("write `{} * {}`, or begin a name with a letter", cut(head), cut(tail))
        }
        _ => "write it in digits, as in `1000`, `10_000` or `2.5`".to_owned(),
    }
}

fn is_exponent(tail: &str) -> bool {
    let digits = tail.strip_prefix(['e', 'E', 'x', 'X', 'b', 'o']);
    digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// A name with its field; which `-` belong to it, the module above says.
fn name(text: &str, start: usize) -> Result<Token, Misread> {
    let bytes = text.as_bytes();
    let begins = |at: usize| bytes.get(at).is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_');
    let (mut end, mut dots) = (start, 0);
    while let Some(byte) = bytes.get(end) {
        match byte {
            b'-' if begins(end + 1) => {}
            b'.' if begins(end + 1) => dots += 1,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => {}
            _ => break,
        }
        end += 1;
    }
    if bytes.get(end) == Some(&b'.') {
        let message = format!("the field after {} is missing", shown(&text[start..end]));
        return Err(misread(message, "write `TABLE.FIELD`, as in `tenant.units`", start..end + 1));
    }
    if dots > 1 {
        let message = format!("{} has more than one `.`", shown(&text[start..end]));
        return Err(misread(message, "write `TABLE.FIELD`, as in `tenant.units`", start..end));
    }
    Ok(Token { kind: Kind::Name, bytes: start..end })
}

/// A character that no formula has.
fn stray(text: &str, start: usize, first: char) -> Misread {
    let bytes = start..start + first.len_utf8();
    let here = &text[bytes.clone()];
    let (message, hint) = match first {
        '^' => ("there are no powers".to_owned(), "write `A * A`".to_owned()),
        '%' => {
            let digits = |c: char| c.is_ascii_digit() || c == '.';
            let before = text[..start].trim_end();
            let number = &before[before.trim_end_matches(digits).len()..];
            let share = if number.is_empty() { "80" } else { number };
            let hint = format!("a share is a division, as in `rows * {} / 100`", cut(share));
            ("`%` is not an operator".to_owned(), hint)
        }
        '$' | '{' | '}' | '[' | ']' | '"' | '\'' | '`' | '@' => {
            let message = format!("{} does not belong in a formula", shown(here));
            (message, "write names plainly, as in `tenant.units`".to_owned())
        }
        _ => match operator_for(here) {
            Some(hint) => (format!("{} is not an operator", shown(here)), hint),
            None => {
                let message = format!("{} does not belong in a formula", shown(here));
                let hint = "use numbers, names, `+ - * /`, parentheses, and `min`, `max`, `ceil`, \
                            `floor`, `round`";
                (message, hint.to_owned())
            }
        },
    };
    misread(message, hint, bytes)
}
