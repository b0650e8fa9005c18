//! The words, literals and signs of a condition, each with its bytes.
//!
//! Everything that CEL knows and conditions do not (bytes, unsigned numbers, comments, maps) is
//! refused here or in the parser, with the text to type instead.

use std::ops::Range;

use super::wrong;
use crate::policy::findings::shown;
use crate::policy::units::Misread;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) what: What,
    pub(super) bytes: Range<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    Word(String),
    Text(String),
    /// Digits without a sign; at most one more than the largest `i64`.
    Whole(u64),
    Decimal(f64),
    Sign(&'static str),
    End,
}

/// Longer signs before those they begin with.
const SIGNS: [&str; 24] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "+", "-", "*", "/", "%", "?", ":", "(", ")",
    "[", "]", ",", ".", "{", "}",
];

/// Signs of other languages, and what they are here.
const FOREIGN: [(&str, &str); 10] = [
    ("===", "write `==`"),
    ("!==", "write `!=`"),
    ("=~", "use `startsWith`, `endsWith` or `contains`"),
    ("=>", "write `>=`"),
    ("=<", "write `<=`"),
    ("<>", "write `!=`"),
    ("**", "multiply with `*`"),
    ("=", "compare with `==`"),
    ("&", "write `&&`"),
    ("|", "write `||`"),
];

/// All tokens of a text, `End` last.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Misread> {
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens = Vec::new();
    loop {
        let token = lexer.next()?;
        let is_end = token.what == What::End;
        tokens.push(token);
        if is_end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    /// The first bytes of the rest that `holds` is true of.
    fn run(&self, from: usize, holds: impl Fn(char) -> bool) -> usize {
        let rest = &self.text[from..];
        from + rest.find(|c| !holds(c)).unwrap_or(rest.len())
    }

    fn token(&mut self, what: What, end: usize) -> Token {
        let bytes = self.at..end;
        self.at = end;
        Token { what, bytes }
    }

    fn next(&mut self) -> Result<Token, Misread> {
        self.at = self.run(self.at, |c| c.is_ascii_whitespace());
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Ok(self.token(What::End, self.at));
        };
        if let Some(literal) = self.prefixed_text() {
            return literal;
        }
        if first.is_ascii_alphabetic() || first == '_' {
            let end = self.run(self.at, |c| c.is_ascii_alphanumeric() || c == '_');
            return Ok(self.token(What::Word(self.text[self.at..end].to_owned()), end));
        }
        let second = rest[first.len_utf8()..].chars().next();
        let is_fraction = first == '.' && second.is_some_and(|c| c.is_ascii_digit());
        if first.is_ascii_digit() || is_fraction {
            return self.number();
        }
        if rest.starts_with("//") {
            let bytes = self.at..self.run(self.at, |c| c != '\n');
            let hint = "write the comment in YAML, after a `#`";
            return Err(wrong(bytes, "a condition holds no comment".to_owned(), hint));
        }
        self.sign(first)
    }

    fn sign(&mut self, first: char) -> Result<Token, Misread> {
        let rest = self.rest();
        let foreign = FOREIGN.iter().find(|(sign, _)| rest.starts_with(sign));
        let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
        match (foreign, sign) {
            (Some((foreign, _)), Some(sign)) if sign.len() >= foreign.len() => {
                Ok(self.token(What::Sign(sign), self.at + sign.len()))
            }
            (Some((foreign, hint)), _) => {
                let bytes = self.at..self.at + foreign.len();
                Err(wrong(bytes, format!("`{foreign}` is no operator"), *hint))
            }
            (None, Some(sign)) => Ok(self.token(What::Sign(sign), self.at + sign.len())),
            (None, None) => {
                let hint = match first {
                    '“' | '”' | '„' | '‘' | '’' | '`' => "quote texts with `\"` or `'`",
                    ';' => "join conditions with `&&` or `||`",
                    _ => "a name with other letters is written `attributes[\"NAME\"]`",
                };
                let bytes = self.at..self.at + first.len_utf8();
                let message = match first.is_control() {
                    true => "a control character stands outside of a text".to_owned(),
                    false => format!("`{first}` cannot stand here"),
                };
                Err(wrong(bytes, message, hint))
            }
        }
    }

    fn number(&mut self) -> Result<Token, Misread> {
        let rest = self.rest();
        if rest.starts_with("0x") || rest.starts_with("0X") {
            let end = self.run(self.at + 2, |c| c.is_ascii_alphanumeric() || c == '_');
            let digits = &self.text[self.at + 2..end];
            return match u64::from_str_radix(digits, 16) {
                Ok(whole) if !digits.starts_with('+') => self.whole(whole, end),
                _ => Err(self.bad_number(end, "write it in digits, as in `255`")),
            };
        }
        let is_digit = |c: char| c.is_ascii_digit();
        let mut end = self.run(self.at, is_digit);
        let mut is_whole = true;
        if self.text[end..].starts_with('.') && self.run(end + 1, is_digit) > end + 1 {
            is_whole = false;
            end = self.run(end + 1, is_digit);
        }
        if self.text[end..].starts_with(['e', 'E']) {
            let sign = usize::from(self.text[end + 1..].starts_with(['+', '-']));
            if self.run(end + 1 + sign, is_digit) > end + 1 + sign {
                is_whole = false;
                end = self.run(end + 1 + sign, is_digit);
            }
        }
        let all = self.run(end, |c| c.is_ascii_alphanumeric() || c == '_');
        let (digits, tail) = (&self.text[self.at..end], &self.text[end..all]);
        match tail {
            "" => {}
            "u" | "U" => return Err(self.bad_number(all, &format!("write `{digits}`"))),
            _ => {
                let plain = self.text[self.at..all].replace('_', "");
                let hint = match plain.parse::<u64>() {
                    Ok(_) => format!("write `{plain}`"),
                    Err(_) => "a text stands in quotes, a number is digits alone".to_owned(),
                };
                return Err(self.bad_number(all, &hint));
            }
        }
        if is_whole {
            return match digits.parse() {
                Ok(whole) => self.whole(whole, end),
                Err(_) => Err(self.too_large(end)),
            };
        }
        match digits.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(self.token(What::Decimal(number), end)),
            _ => Err(self.too_large(end)),
        }
    }

    fn whole(&mut self, whole: u64, end: usize) -> Result<Token, Misread> {
        if whole > i64::MIN.unsigned_abs() {
            return Err(self.too_large(end));
        }
        Ok(self.token(What::Whole(whole), end))
    }

    fn bad_number(&self, end: usize, hint: &str) -> Misread {
        let bytes = self.at..end;
        let message = format!("{} is not a number", shown(&self.text[bytes.clone()]));
        wrong(bytes, message, hint)
    }

    fn too_large(&self, end: usize) -> Misread {
        let bytes = self.at..end;
        let message = format!("the number {} is too large", shown(&self.text[bytes.clone()]));
        wrong(bytes, message, format!("the largest whole number is {}", i64::MAX))
    }

    /// A text in quotes, after `r` as it stands; `None` when no such thing begins here.
    fn prefixed_text(&mut self) -> Option<Result<Token, Misread>> {
        let rest = self.rest();
        let quote_at = rest.find(['"', '\'']).filter(|at| *at <= 2)?;
        let prefix = &rest[..quote_at];
        let is_raw = match prefix {
            "" => false,
            "r" | "R" => true,
            "b" | "B" | "br" | "bR" | "Br" | "BR" | "rb" | "rB" | "Rb" | "RB" => {
                let bytes = self.at..self.at + prefix.len();
                let message = format!("`{prefix}` before a quote makes bytes, not a text");
                return Some(Err(wrong(bytes, message, "leave it out: attributes are texts")));
            }
            _ => return None,
        };
        Some(self.quoted(self.at + quote_at, is_raw))
    }

    fn quoted(&mut self, quote_at: usize, is_raw: bool) -> Result<Token, Misread> {
        let quote = if self.text[quote_at..].starts_with('"') { '"' } else { '\'' };
        let triple = [quote; 3].iter().collect::<String>();
        if self.text[quote_at..].starts_with(&triple) {
            let message = "a text has one quote at each end".to_owned();
            return Err(wrong(quote_at..quote_at + 3, message, format!("write `{quote}`")));
        }
        let mut value = String::new();
        let mut at = quote_at + 1;
        while let Some(c) = self.text[at..].chars().next() {
            let here = at;
            at += c.len_utf8();
            match c {
                c if c == quote => return Ok(self.token(What::Text(value), at)),
                '\n' | '\r' => break,
                '\\' if !is_raw => {
                    let (c, end) = escape(&self.text[at..]).ok_or_else(|| {
                        let end = self.run(at, |c| c.is_ascii_alphanumeric()).max(at);
                        let hint = "write `\\\\` for the character itself";
                        wrong(here..end, "`\\` begins no known escape here".to_owned(), hint)
                    })?;
                    value.push(c);
                    at += end;
                }
                c => value.push(c),
            }
        }
        let message = "a text does not end".to_owned();
        Err(wrong(self.at..quote_at + 1, message, format!("close it with `{quote}`")))
    }
}

/// The character that an escape stands for, and the length of the escape after its `\`.
fn escape(text: &str) -> Option<(char, usize)> {
    let first = text.chars().next()?;
    let coded = |from: usize, length: usize, radix: u32| {
        let digits = text.get(from..from + length)?;
        let is_plain = digits.chars().all(|c| c.is_digit(radix));
        let code = u32::from_str_radix(digits, radix).ok().filter(|_| is_plain)?;
        Some((char::from_u32(code)?, from + length))
    };
    let plain = match first {
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        '\\' | '\'' | '"' | '`' | '?' => first,
        'x' | 'X' => return coded(1, 2, 16),
        'u' => return coded(1, 4, 16),
        'U' => return coded(1, 8, 16),
        '0'..='3' => return coded(0, 3, 8),
        _ => return None,
    };
    Some((plain, 1))
}
