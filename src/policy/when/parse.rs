//! From tokens to a tree that knows its bytes and its depth.
//!
//! The parser is our own, because the library's recurses without a bound that its stack could
//! hold; no text makes this one, or whoever walks the tree, go deeper than `MOST_DEPTH`.

use std::ops::Range;

use super::lex::{self, Token, What};
use super::wrong;
use crate::policy::findings::shown;
use crate::policy::units::Misread;

/// Levels of the tree as it is evaluated; each takes some 40 KiB of stack in a debug build.
pub(super) const MOST_DEPTH: usize = 24;

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) what: Tree,
    pub(crate) bytes: Range<usize>,
    depth: usize,
}

#[derive(Debug)]
pub(crate) enum Tree {
    Text(String),
    Whole(i64),
    Decimal(f64),
    Bool(bool),
    Word(String),
    List(Vec<Node>),
    Select(Box<Node>, Word),
    Index(Box<Node>, Box<Node>),
    Call(Call),
    Not(Box<Node>),
    Negative(Box<Node>),
    Binary(Binary),
    /// `&&`, of two or more.
    All(Vec<Node>),
    /// `||`, of two or more.
    Any(Vec<Node>),
    /// `condition ? one : other`
    Choice(Box<[Node; 3]>),
}

#[derive(Debug)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) bytes: Range<usize>,
}

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) target: Option<Box<Node>>,
    pub(crate) name: Word,
    pub(crate) arguments: Vec<Node>,
}

#[derive(Debug)]
pub(crate) struct Binary {
    pub(crate) sign: &'static str,
    pub(crate) left: Box<Node>,
    pub(crate) right: Box<Node>,
}

/// Operators of two operands, the loosest first; `in` is a word and a sign.
const BINARY: [&[&str]; 3] =
    [&["==", "!=", "<=", ">=", "<", ">", "in"], &["+", "-"], &["*", "/", "%"]];

/// Words that CEL keeps for itself.
const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "namespace",
    "package",
    "return",
    "var",
    "void",
    "while",
];

pub(crate) fn parse(text: &str) -> Result<Node, Misread> {
    let tokens = lex::tokens(text)?;
    let mut parser = Parser { text, tokens, at: 0, depth: 0 };
    if parser.peek() == &What::End {
        let hint = "write what must hold, as in `method == \"GET\"`";
        return Err(wrong(0..text.len(), "the condition is empty".to_owned(), hint));
    }
    let whole = parser.choice()?;
    match parser.peek() {
        What::End => Ok(whole),
        _ => Err(parser.unexpected_after_operand()),
    }
}

struct Parser<'t> {
    text: &'t str,
    /// `End` last, which is never passed.
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> &What {
        &self.tokens[self.at].what
    }

    fn bytes(&self) -> Range<usize> {
        self.tokens[self.at].bytes.clone()
    }

    fn next(&mut self) -> Token {
        let token = self.tokens[self.at].clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn take(&mut self, sign: &str) -> bool {
        let is_next = matches!(self.peek(), What::Sign(found) if *found == sign);
        if is_next {
            self.next();
        }
        is_next
    }

    /// One level further in; whoever calls goes back out.
    fn enter(&mut self) -> Result<(), Misread> {
        self.depth += 1;
        if self.depth > MOST_DEPTH { Err(too_deep(self.bytes())) } else { Ok(()) }
    }

    fn choice(&mut self) -> Result<Node, Misread> {
        self.enter()?;
        let condition = self.any()?;
        let node = if self.take("?") {
            let one = self.any()?;
            self.expect(":", "`CONDITION ? ONE : OTHER`")?;
            let other = self.choice()?;
            let bytes = condition.bytes.start..other.bytes.end;
            joined(Tree::Choice(Box::new([condition, one, other])), bytes)?
        } else {
            condition
        };
        self.depth -= 1;
        Ok(node)
    }

    fn any(&mut self) -> Result<Node, Misread> {
        self.chain("||", Self::all, Tree::Any)
    }

    fn all(&mut self) -> Result<Node, Misread> {
        self.chain("&&", |parser| parser.binary(0), Tree::All)
    }

    fn chain(
        &mut self,
        sign: &str,
        operand: impl Fn(&mut Self) -> Result<Node, Misread>,
        join: impl Fn(Vec<Node>) -> Tree,
    ) -> Result<Node, Misread> {
        let first = operand(self)?;
        let start = first.bytes.start;
        let (mut operands, mut end) = (vec![first], 0);
        while self.take(sign) {
            let next = operand(self)?;
            end = next.bytes.end;
            operands.push(next);
        }
        match operands.pop() {
            Some(only) if operands.is_empty() => Ok(only),
            last => {
                operands.extend(last);
                joined(join(operands), start..end)
            }
        }
    }

    fn binary(&mut self, level: usize) -> Result<Node, Misread> {
        let Some(signs) = BINARY.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        loop {
            let found = match self.peek() {
                What::Sign(sign) => *sign,
                What::Word(word) if word == "in" => "in",
                _ => return Ok(left),
            };
            let Some(sign) = signs.iter().copied().find(|sign| *sign == found) else {
                return Ok(left);
            };
            self.next();
            let right = self.binary(level + 1)?;
            let bytes = left.bytes.start..right.bytes.end;
            let binary = Binary { sign, left: Box::new(left), right: Box::new(right) };
            left = joined(Tree::Binary(binary), bytes)?;
        }
    }

    fn unary(&mut self) -> Result<Node, Misread> {
        let start = self.bytes().start;
        let is_not = match self.peek() {
            What::Sign("!") => true,
            What::Sign("-") => false,
            _ => return self.member(),
        };
        self.enter()?;
        self.next();
        let node = match self.peek() {
            What::Whole(whole) if !is_not => {
                let number = 0_i64.checked_sub_unsigned(*whole).unwrap_or(i64::MIN);
                let end = self.next().bytes.end;
                let number = joined(Tree::Whole(number), start..end)?;
                self.members(number)?
            }
            _ => {
                let operand = self.unary()?;
                let bytes = start..operand.bytes.end;
                let join = if is_not { Tree::Not } else { Tree::Negative };
                joined(join(Box::new(operand)), bytes)?
            }
        };
        self.depth -= 1;
        Ok(node)
    }

    fn member(&mut self) -> Result<Node, Misread> {
        let first = self.primary()?;
        self.members(first)
    }

    /// `.field`, `.method(...)` and `[index]`, as many as follow.
    fn members(&mut self, mut node: Node) -> Result<Node, Misread> {
        loop {
            let start = node.bytes.start;
            if self.take(".") {
                let Token { what: What::Word(text), bytes } = self.next() else {
                    self.at = self.at.saturating_sub(1);
                    return Err(self.unexpected("a field or a method, as in `tenant.plan`"));
                };
                let name = Word { text, bytes };
                if self.take("(") {
                    let (arguments, end) = self.list(")")?;
                    let call = Call { target: Some(Box::new(node)), name, arguments };
                    node = joined(Tree::Call(call), start..end)?;
                } else {
                    let end = name.bytes.end;
                    node = joined(Tree::Select(Box::new(node), name), start..end)?;
                }
            } else if self.take("[") {
                let index = self.choice()?;
                let end = self.expect("]", "`attributes[\"NAME\"]`")?;
                node = joined(Tree::Index(Box::new(node), Box::new(index)), start..end)?;
            } else {
                return Ok(node);
            }
        }
    }

    fn primary(&mut self) -> Result<Node, Misread> {
        let bytes = self.bytes();
        let what = match self.peek().clone() {
            What::Text(text) => Tree::Text(text),
            What::Decimal(number) => Tree::Decimal(number),
            What::Whole(whole) => match i64::try_from(whole) {
                Ok(number) => Tree::Whole(number),
                Err(_) => {
                    let message = format!("the number `{whole}` is too large");
                    let hint = format!("the largest whole number is {}", i64::MAX);
                    return Err(wrong(bytes, message, hint));
                }
            },
            What::Word(word) => return self.word(word, bytes),
            What::Sign("(") => {
                self.next();
                let mut inner = self.choice()?;
                inner.bytes = bytes.start..self.expect(")", "`(a || b) && c`")?;
                return Ok(inner);
            }
            What::Sign("[") => {
                self.next();
                let (items, end) = self.list("]")?;
                return joined(Tree::List(items), bytes.start..end);
            }
            What::Sign("{") => {
                let message = "a condition holds no map".to_owned();
                let hint = "give the policy a table, and write `TABLE.FIELD`";
                return Err(wrong(bytes, message, hint));
            }
            What::Sign(_) | What::End => {
                return Err(self.unexpected("a name, a text in quotes or a number"));
            }
        };
        self.next();
        joined(what, bytes)
    }

    fn word(&mut self, word: String, bytes: Range<usize>) -> Result<Node, Misread> {
        let refused = match word.as_str() {
            "true" | "false" => None,
            "True" | "TRUE" => Some("write `true`".to_owned()),
            "False" | "FALSE" => Some("write `false`".to_owned()),
            "null" => Some("ask for presence with `has(attributes.NAME)`".to_owned()),
            "in" => return Err(self.unexpected("what is looked for, as in `method in [\"GET\"]`")),
            reserved if RESERVED.contains(&reserved) => {
                Some(format!("write `attributes[\"{reserved}\"]`"))
            }
            _ => None,
        };
        if let Some(hint) = refused {
            return Err(wrong(bytes, format!("`{word}` is not a name here"), hint));
        }
        self.next();
        if self.take("(") {
            let (arguments, end) = self.list(")")?;
            let name = Word { text: word, bytes: bytes.clone() };
            return joined(Tree::Call(Call { target: None, name, arguments }), bytes.start..end);
        }
        let what = match word.as_str() {
            "true" => Tree::Bool(true),
            "false" => Tree::Bool(false),
            _ => Tree::Word(word),
        };
        joined(what, bytes)
    }

    /// What stands up to a closing sign, and where that ends.
    fn list(&mut self, closing: &str) -> Result<(Vec<Node>, usize), Misread> {
        let mut items = Vec::new();
        loop {
            let end = self.bytes().end;
            if self.take(closing) {
                return Ok((items, end));
            }
            items.push(self.choice()?);
            if !self.take(",") {
                let form = if closing == ")" { "`NAME(ONE, OTHER)`" } else { "`[ONE, OTHER]`" };
                return Ok((items, self.expect(closing, form)?));
            }
        }
    }

    /// Passes a sign and gives where it ends.
    fn expect(&mut self, sign: &str, form: &str) -> Result<usize, Misread> {
        let end = self.bytes().end;
        if self.take(sign) {
            return Ok(end);
        }
        match self.peek() {
            What::End => {
                let message = format!("`{sign}` is missing at the end");
                Err(wrong(self.bytes(), message, format!("write {form}")))
            }
            _ => Err(self.unexpected_after_operand()),
        }
    }

    fn unexpected(&self, wanted: &str) -> Misread {
        let bytes = self.bytes();
        let message = match self.peek() {
            What::End => "the condition ends too early".to_owned(),
            _ => format!("{} cannot stand here", shown(&self.text[bytes.clone()])),
        };
        wrong(bytes, message, format!("write {wanted}"))
    }

    /// Where an operator or the end should be.
    fn unexpected_after_operand(&self) -> Misread {
        let bytes = self.bytes();
        let before = self.at.checked_sub(1).map(|at| &self.tokens[at].what);
        let is_not = matches!(before, Some(What::Word(word)) if word.eq_ignore_ascii_case("not"));
        let lower = self.text[bytes.clone()].to_ascii_lowercase();
        let hint = match lower.as_str() {
            _ if is_not => "write `!` for not",
            "and" => "write `&&`",
            "or" => "write `||`",
            "is" => "write `==`",
            "not" => "write `!(a in b)` for `a not in b`",
            ")" | "]" | "}" => "nothing is open here: leave it out",
            _ => "join conditions with `&&` or `||`, and put texts in quotes",
        };
        wrong(bytes.clone(), format!("{} cannot stand here", shown(&self.text[bytes])), hint)
    }
}

fn joined(what: Tree, bytes: Range<usize>) -> Result<Node, Misread> {
    let depth = depth(&what);
    let node = Node { what, bytes, depth };
    if depth > MOST_DEPTH { Err(too_deep(node.bytes)) } else { Ok(node) }
}

fn too_deep(bytes: Range<usize>) -> Misread {
    let message = "the condition is nested too deeply".to_owned();
    let hint = format!("at most {MOST_DEPTH} levels: split it into several rules");
    wrong(bytes, message, hint)
}

/// How deep the evaluation of a tree goes.
fn depth(what: &Tree) -> usize {
    let most = |nodes: &[Node]| nodes.iter().map(|node| node.depth).max().unwrap_or(0);
    let below = match what {
        Tree::Text(_) | Tree::Whole(_) | Tree::Decimal(_) | Tree::Bool(_) | Tree::Word(_) => 0,
        Tree::List(items) => most(items),
        Tree::Select(node, _) | Tree::Not(node) | Tree::Negative(node) => node.depth,
        Tree::Index(list, index) => list.depth.max(index.depth),
        // A loop over a list evaluates its body three levels further down.
        Tree::Call(call) => {
            let target = call.target.as_ref().map_or(0, |target| target.depth + 2);
            target.max(most(&call.arguments) + if call.target.is_some() { 2 } else { 0 })
        }
        Tree::Binary(binary) => binary.left.depth.max(binary.right.depth),
        // Long chains become a balanced tree.
        Tree::All(nodes) | Tree::Any(nodes) => {
            let halvings = usize::BITS - nodes.len().saturating_sub(1).leading_zeros();
            most(nodes) + halvings.saturating_sub(1) as usize
        }
        Tree::Choice(parts) => most(parts.as_slice()),
    };
    below + 1
}
