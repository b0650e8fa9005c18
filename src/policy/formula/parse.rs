//! From the text of a formula to its code.
//!
//! Recursion is bounded by the levels of nesting; what is refused is underlined to the byte.

use std::ops::Range;

use super::lexer::{Kind, Token, cut, lex, misread, operator_for};
use super::{Formula, Step, called};
use crate::policy::findings::shown;
use crate::policy::suggest;
use crate::policy::units::Misread;

const MOST_BYTES: usize = 4096;
const MOST_LEVELS: usize = 64;

const FUNCTIONS: [Step; 5] = [Step::Min, Step::Max, Step::Ceil, Step::Floor, Step::Round];

/// Functions that other languages have under other names.
const FOREIGN: [(&str, &str); 10] = [
    ("ceiling", "ceil"),
    ("roundup", "ceil"),
    ("round_up", "ceil"),
    ("rounddown", "floor"),
    ("round_down", "floor"),
    ("trunc", "floor"),
    ("int", "floor"),
    ("minimum", "min"),
    ("least", "min"),
    ("greatest", "max"),
];

const EXAMPLE: &str = "as in `150000 + 1500 * tenant.units`";

struct Parser<'t> {
    text: &'t str,
    token: Token,
    /// The token before, for messages.
    before: Range<usize>,
    names: Vec<String>,
    code: Vec<Step>,
}

pub(super) fn formula(text: &str) -> Result<Formula, Misread> {
    if text.len() > MOST_BYTES {
        let message = format!("a formula has at most {MOST_BYTES} bytes");
        return Err(misread(message, "put part of it into a field of a table", 0..text.len()));
    }
    let token = lex(text, 0)?;
    if token.kind == Kind::End {
        let hint = format!("write numbers and names, {EXAMPLE}");
        return Err(misread("the formula is empty".to_owned(), hint, 0..text.len()));
    }
    let mut parser = Parser { text, token, before: 0..0, names: Vec::new(), code: Vec::new() };
    parser.sum(0)?;
    match parser.token.kind {
        Kind::End => Ok(Formula { names: parser.names, code: parser.code }),
        Kind::Close => {
            let message = "this `)` closes nothing".to_owned();
            Err(misread(message, "remove it, or open a `(` before it", parser.token.bytes))
        }
        _ => Err(parser.no_operator()),
    }
}

impl Parser<'_> {
    fn sum(&mut self, level: usize) -> Result<(), Misread> {
        self.product(level)?;
        while let Kind::Operator(step @ (Step::Add | Step::Subtract)) = self.token.kind {
            self.advance()?;
            self.product(level)?;
            self.code.push(step);
        }
        Ok(())
    }

    fn product(&mut self, level: usize) -> Result<(), Misread> {
        self.value(level)?;
        while let Kind::Operator(step @ (Step::Multiply | Step::Divide)) = self.token.kind {
            self.advance()?;
            self.value(level)?;
            self.code.push(step);
        }
        Ok(())
    }

    fn value(&mut self, level: usize) -> Result<(), Misread> {
        let Token { kind, bytes } = self.token.clone();
        if level > MOST_LEVELS {
            let message = format!("a formula is at most {MOST_LEVELS} levels deep");
            return Err(misread(message, "remove parentheses that change nothing", bytes));
        }
        match kind {
            Kind::Number(number) => {
                self.advance()?;
                self.code.push(Step::Number(number));
            }
            Kind::Name => {
                self.advance()?;
                if self.token.kind == Kind::Open && !self.text[bytes.clone()].contains('.') {
                    return self.call(bytes, level);
                }
                self.name(bytes);
            }
            Kind::Operator(Step::Subtract) => {
                self.advance()?;
                self.value(level + 1)?;
                self.code.push(Step::Negate);
            }
            Kind::Open => {
                self.advance()?;
                self.sum(level + 1)?;
                self.close(bytes)?;
            }
            Kind::Operator(_) | Kind::Close | Kind::Comma | Kind::End => {
                return Err(self.no_value());
            }
        }
        Ok(())
    }

    fn name(&mut self, bytes: Range<usize>) {
        let name = &self.text[bytes];
        let known = self.names.iter().position(|known| known == name);
        let index = known.unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        self.code.push(Step::Name(index));
    }

    /// The arguments of a function; the token is the `(` after its name.
    fn call(&mut self, name: Range<usize>, level: usize) -> Result<(), Misread> {
        let Some(function) =
            FUNCTIONS.into_iter().find(|step| called(*step) == &self.text[name.clone()])
        else {
            return Err(self.unknown_function(name));
        };
        let open = self.token.bytes.clone();
        self.advance()?;
        self.sum(level + 1)?;
        let takes_several = matches!(function, Step::Min | Step::Max);
        let mut count = 1;
        while self.token.kind == Kind::Comma {
            self.advance()?;
            self.sum(level + 1)?;
            count += 1;
            if takes_several {
                self.code.push(function);
            }
        }
        self.close(open)?;
        let call = name.start..self.before.end;
        let name = called(function);
        match (takes_several, count) {
            (true, 1) => {
                let message = format!("`{name}` needs two values or more");
                Err(misread(message, format!("write `{name}(A, B)`"), call))
            }
            (false, 2..) => {
                let message = format!("`{name}` takes one value");
                Err(misread(message, format!("write `{name}(A)`"), call))
            }
            _ => {
                if !takes_several {
                    self.code.push(function);
                }
                Ok(())
            }
        }
    }

    fn close(&mut self, open: Range<usize>) -> Result<(), Misread> {
        match self.token.kind {
            Kind::Close => self.advance(),
            Kind::End => {
                let message = "this `(` is never closed".to_owned();
                Err(misread(message, "add the `)`", open))
            }
            _ => Err(self.no_operator()),
        }
    }

    fn advance(&mut self) -> Result<(), Misread> {
        let next = lex(self.text, self.token.bytes.end)?;
        self.before = std::mem::replace(&mut self.token, next).bytes;
        Ok(())
    }

    fn unknown_function(&self, name: Range<usize>) -> Misread {
        let word = &self.text[name.clone()];
        let foreign = FOREIGN.iter().find(|(foreign, _)| foreign.eq_ignore_ascii_case(word));
        let hint = match foreign {
            Some((_, ours)) => format!("write `{ours}`"),
            None if ["pow", "power", "sqr"].contains(&word) => "write `A * A`".to_owned(),
            None => suggest::hint(word, &FUNCTIONS.map(called)),
        };
        misread(format!("there is no function {}", shown(word)), hint, name)
    }

    /// Two values stand side by side, or a `,` between them.
    fn no_operator(&self) -> Misread {
        let Token { kind, bytes } = self.token.clone();
        let (left, right) = (&self.text[self.before.clone()], &self.text[bytes.clone()]);
        let both = self.before.start..bytes.end;
        if kind == Kind::Comma {
            return self.stray_comma();
        }
        if let Some(operator) = operator_for(right) {
            return misread(format!("{} is not an operator", shown(right)), operator, bytes);
        }
        if let Some(function) = FUNCTIONS.map(called).into_iter().find(|name| *name == left) {
            let message = format!("what `{function}` is given stands in parentheses");
            return misread(message, format!("write `{function}({right})`"), both);
        }
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if is_number(left) && is_number(right) && right.len() == 3 {
            let hint = format!("write `{left}{right}` or `{left}_{right}`");
            return misread(
                format!("{} is not a number", shown(&self.text[both.clone()])),
                hint,
                both,
            );
        }
        let message = format!("an operator is missing before {}", shown(right));
        let hint = match kind {
            Kind::Open => "write `*` before the `(`".to_owned(),
            _ => format!("write it between the two, as in `{} * {}`", cut(left), cut(right)),
        };
        misread(message, hint, bytes)
    }

    fn stray_comma(&self) -> Misread {
        let digits = |c: char| c.is_ascii_digit() || c == ',';
        let comma = self.token.bytes.clone();
        let from = self.text[..comma.start].trim_end_matches(digits).len();
        let rest = &self.text[comma.end..];
        let to = self.text.len() - rest.trim_start_matches(digits).len();
        let number = &self.text[from..to];
        let plain = number.replace(',', "");
        if plain.len() > 3 && number.split(',').skip(1).all(|group| group.len() == 3) {
            let hint = format!("write `{plain}` or `{}`", number.replace(',', "_"));
            let message = format!("{} is not a number because of the `,`", shown(number));
            return misread(message, hint, from..to);
        }
        let hint = "a `,` stands between the values of `min` and `max`; decimals have a `.`";
        misread("this `,` is outside of a function".to_owned(), hint, comma)
    }

    /// There is no value where one has to be.
    fn no_value(&self) -> Misread {
        let Token { kind, bytes } = self.token.clone();
        let (before, here) = (&self.text[self.before.clone()], &self.text[bytes.clone()]);
        let powers = self.before.start..bytes.end;
        if &self.text[powers.clone()] == "**" {
            return misread("there are no powers".to_owned(), "write `A * A`", powers);
        }
        match kind {
            Kind::Close if before == "(" => misread(
                "there is nothing in these parentheses".to_owned(),
                "remove them, or write a value between them",
                powers,
            ),
            Kind::End | Kind::Close | Kind::Comma if !before.is_empty() => {
                let message = format!("a value is missing after {}", shown(before));
                misread(
                    message,
                    format!("write a number or a name, {EXAMPLE}"),
                    self.before.clone(),
                )
            }
            _ => {
                let message = format!("a value is missing before {}", shown(here));
                misread(message, format!("write a number or a name, {EXAMPLE}"), bytes)
            }
        }
    }
}
