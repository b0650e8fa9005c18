//! What each part of a condition may be, and what its names stand for.
//!
//! Refused is what can never go well; what some row of a table or some text may make right passes.

use std::ops::Range;

use super::parse::{Binary, Call, Node, Tree};
use super::{Name, Tables, run, wrong};
use crate::policy::findings::shown;
use crate::policy::suggest;
use crate::policy::units::Misread;

/// Evaluation steps that a condition may take, loops over lists multiplied out.
pub(super) const MOST_STEPS: usize = 10_000;

/// The word that stands for all attributes.
pub(super) const ATTRIBUTES: &str = "attributes";

/// A set of kinds of values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kinds(u8);

impl Kinds {
    pub(super) const TEXT: Self = Self(1);
    pub(super) const WHOLE: Self = Self(2);
    pub(super) const DECIMAL: Self = Self(4);
    pub(super) const BOOL: Self = Self(8);
    pub(super) const LIST: Self = Self(16);
    pub(super) const NUMBER: Self = Self(2 | 4);
    const SCALAR: Self = Self(1 | 2 | 4 | 8);

    pub(super) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(super) fn meets(self, other: Self) -> bool {
        self.and(other) != Self(0)
    }

    /// Whether nothing is known, as of a field that no row has given a value.
    pub(super) fn is_unknown(self) -> bool {
        self.and(Self::SCALAR) == Self::SCALAR
    }

    /// With an article, or as `a text or a number`.
    pub(super) fn named(self) -> String {
        let names = [
            (Self::TEXT, "a text"),
            (Self::NUMBER, "a number"),
            (Self::BOOL, "true or false"),
            (Self::LIST, "a list"),
        ];
        let names: Vec<&str> =
            names.iter().filter(|(kind, _)| self.meets(*kind)).map(|(_, name)| *name).collect();
        names.join(" or ")
    }
}

/// What a part of a condition was found to be.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) kinds: Kinds,
    /// Of a list: the kinds of its items, and how many it has at most.
    pub(super) items: Kinds,
    pub(super) length: usize,
    pub(super) steps: usize,
    pub(super) run: run::Expression,
}

impl Part {
    pub(super) fn new(kinds: Kinds, steps: usize, run: run::Expression) -> Self {
        Self { kinds, items: Kinds::default(), length: 0, steps: steps.saturating_add(1), run }
    }
}

/// The expression to evaluate, and the names that its slots stand for.
pub(super) fn check(
    text: &str,
    tables: &Tables,
    tree: &Node,
) -> Result<(run::Expression, Vec<Name>), Misread> {
    let mut checker = Checker { text, tables, names: Vec::new(), loops: Vec::new() };
    let part = checker.truth(tree)?;
    Ok((part.run, checker.names))
}

pub(super) struct Checker<'c> {
    text: &'c str,
    tables: &'c Tables,
    names: Vec<Name>,
    /// The item names of the loops around, with the kinds of the items.
    pub(super) loops: Vec<(String, Kinds)>,
}

impl Checker<'_> {
    pub(super) fn source(&self, node: &Node) -> &str {
        self.text.get(node.bytes.clone()).unwrap_or_default()
    }

    pub(super) fn part(&mut self, node: &Node) -> Result<Part, Misread> {
        let part = match &node.what {
            Tree::Text(text) => Part::new(Kinds::TEXT, 0, run::text(text)),
            Tree::Whole(number) => Part::new(Kinds::WHOLE, 0, run::whole(*number)),
            Tree::Decimal(number) => Part::new(Kinds::DECIMAL, 0, run::decimal(*number)),
            Tree::Bool(value) => Part::new(Kinds::BOOL, 0, run::bool(*value)),
            Tree::Word(word) => self.word(word, node)?,
            Tree::List(items) => self.list(items)?,
            Tree::Select(..) => self.field(node)?,
            Tree::Index(of, at) => self.index(node, of, at)?,
            Tree::Call(call) => self.call(call, node)?,
            Tree::Not(operand) => {
                let part = self.truth(operand)?;
                Part::new(Kinds::BOOL, part.steps, run::not(part.run))
            }
            Tree::Negative(operand) => self.negative(operand)?,
            Tree::Binary(binary) => self.binary(binary, node)?,
            Tree::All(operands) => self.chain(operands, run::all)?,
            Tree::Any(operands) => self.chain(operands, run::any)?,
            Tree::Choice(parts) => self.choice(parts)?,
        };
        if part.steps > MOST_STEPS {
            let message = "the condition may take too many steps".to_owned();
            let hint = format!("at most {MOST_STEPS}: put fewer lists into one another");
            return Err(wrong(node.bytes.clone(), message, hint));
        }
        Ok(part)
    }

    /// A part that must be true or false.
    pub(super) fn truth(&mut self, node: &Node) -> Result<Part, Misread> {
        let part = self.part(node)?;
        if part.kinds.meets(Kinds::BOOL) {
            return Ok(part);
        }
        let source = self.source(node);
        let message = format!("{} is {}, not true or false", shown(source), part.kinds.named());
        let hint = match &node.what {
            Tree::Word(word) if !self.is_looped(word) => {
                format!("write `{source} == \"VALUE\"` or `has(attributes.{source})`")
            }
            _ if part.kinds.meets(Kinds::TEXT) => "compare it, as in `plan == \"gold\"`".to_owned(),
            _ if part.kinds.meets(Kinds::LIST) => {
                "look into it, as in `method in [\"GET\", \"HEAD\"]`".to_owned()
            }
            _ => "compare it, as in `int(rows) > 100`".to_owned(),
        };
        Err(wrong(node.bytes.clone(), message, hint))
    }

    fn chain(
        &mut self,
        operands: &[Node],
        join: fn(Vec<run::Expression>) -> run::Expression,
    ) -> Result<Part, Misread> {
        let (mut steps, mut runs) = (operands.len(), Vec::new());
        for operand in operands {
            let part = self.truth(operand)?;
            steps = part.steps.saturating_add(steps);
            runs.push(part.run);
        }
        Ok(Part::new(Kinds::BOOL, steps, join(runs)))
    }

    fn choice(&mut self, parts: &[Node; 3]) -> Result<Part, Misread> {
        let [condition, one, other] = parts;
        let condition = self.truth(condition)?;
        let (one, other) = (self.part(one)?, self.part(other)?);
        let steps = condition.steps.saturating_add(one.steps.max(other.steps));
        let kinds = one.kinds.or(other.kinds);
        let part = Part::new(kinds, steps, run::choice(condition.run, one.run, other.run));
        let (items, length) = (one.items.or(other.items), one.length.max(other.length));
        Ok(Part { items, length, ..part })
    }

    fn negative(&mut self, operand: &Node) -> Result<Part, Misread> {
        let part = self.part(operand)?;
        if !part.kinds.meets(Kinds::NUMBER) {
            let source = self.source(operand);
            let message = format!("{} is {}, not a number", shown(source), part.kinds.named());
            let hint = format!("write `-int({source})`, or `!` for not");
            return Err(wrong(operand.bytes.clone(), message, hint));
        }
        Ok(Part::new(part.kinds.and(Kinds::NUMBER), part.steps, run::negative(part.run)))
    }

    fn list(&mut self, nodes: &[Node]) -> Result<Part, Misread> {
        let (mut steps, mut items, mut runs) = (0_usize, Kinds::default(), Vec::new());
        for node in nodes {
            let part = self.part(node)?;
            if part.kinds.meets(Kinds::LIST) {
                let message = "a list holds no list".to_owned();
                let hint = "write one list, or join two with `+`";
                return Err(wrong(node.bytes.clone(), message, hint));
            }
            steps = steps.saturating_add(part.steps);
            items = items.or(part.kinds);
            runs.push(part.run);
        }
        let items = if nodes.is_empty() { Kinds::SCALAR } else { items };
        let part = Part::new(Kinds::LIST, steps, run::list(runs));
        Ok(Part { items, length: nodes.len(), ..part })
    }

    fn is_looped(&self, word: &str) -> bool {
        self.loops.iter().any(|(name, _)| name == word)
    }

    /// Whether a part is the word for all attributes.
    fn is_attributes(&self, node: &Node) -> bool {
        matches!(&node.what, Tree::Word(word) if word == ATTRIBUTES && !self.is_looped(word))
    }

    fn word(&mut self, word: &str, node: &Node) -> Result<Part, Misread> {
        if let Some(depth) = self.loops.iter().rposition(|(name, _)| name == word) {
            return Ok(Part::new(self.loops[depth].1, 0, run::looped(depth)));
        }
        if self.is_attributes(node) {
            let message = "`attributes` stands for all attributes".to_owned();
            let hint = "write `attributes[\"NAME\"]`, or `\"NAME\" in attributes`";
            return Err(wrong(node.bytes.clone(), message, hint));
        }
        let slot = self.slot(Name::Attribute(word.to_owned()));
        Ok(Part::new(Kinds::TEXT, 0, run::slot(slot)))
    }

    fn slot(&mut self, name: Name) -> usize {
        self.names.iter().position(|known| *known == name).unwrap_or_else(|| {
            self.names.push(name);
            self.names.len() - 1
        })
    }

    fn field(&mut self, node: &Node) -> Result<Part, Misread> {
        match self.named(node)? {
            Some((name, kinds)) => {
                let slot = self.slot(name);
                Ok(Part::new(kinds, 0, run::slot(slot)))
            }
            None => {
                let message = format!("{} has no fields", shown(self.source(node)));
                let hint = "write `TABLE.FIELD`, or `attributes[\"NAME\"]` for a name with a dot";
                Err(wrong(node.bytes.clone(), message, hint))
            }
        }
    }

    fn index(&mut self, node: &Node, of: &Node, at: &Node) -> Result<Part, Misread> {
        if let Some((name, kinds)) = self.named(node)? {
            let slot = self.slot(name);
            return Ok(Part::new(kinds, 0, run::slot(slot)));
        }
        if self.is_attributes(of) {
            let message = "the name of an attribute is a text in quotes".to_owned();
            return Err(wrong(at.bytes.clone(), message, "write `attributes[\"NAME\"]`"));
        }
        let (list, position) = (self.part(of)?, self.part(at)?);
        if !list.kinds.meets(Kinds::LIST) {
            let source = self.source(of);
            let message = format!("{} is {}, not a list", shown(source), list.kinds.named());
            let hint = "only lists and tables are followed by `[...]`";
            return Err(wrong(of.bytes.clone(), message, hint));
        }
        if !position.kinds.meets(Kinds::WHOLE) {
            let source = self.source(at);
            let message = format!("{} is {}, not a place", shown(source), position.kinds.named());
            let hint = "items are numbered from 0, as in `[\"a\", \"b\"][0]`";
            return Err(wrong(at.bytes.clone(), message, hint));
        }
        let steps = list.steps.saturating_add(position.steps);
        Ok(Part::new(list.items, steps, run::index(list.run, position.run)))
    }

    /// The name that `attributes.x`, `attributes["x"]`, `TABLE.FIELD` or `TABLE["FIELD"]` says,
    /// with its kinds; `None` for any other part.
    pub(super) fn named(&self, node: &Node) -> Result<Option<(Name, Kinds)>, Misread> {
        let (of, field, bytes) = match &node.what {
            Tree::Select(of, field) => (of, &field.text, &field.bytes),
            Tree::Index(of, at) => match &at.what {
                Tree::Text(field) => (of, field, &at.bytes),
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        let Tree::Word(word) = &of.what else { return Ok(None) };
        if self.is_looped(word) {
            return Ok(None);
        }
        if self.is_attributes(of) {
            return self.attribute(field, bytes).map(Some);
        }
        if self.tables.contains_key(word) {
            return self.table_field(word, field, bytes).map(Some);
        }
        let mut tables: Vec<&str> = self.tables.keys().map(String::as_str).collect();
        tables.sort_unstable();
        let message = format!("{} is not a table", shown(word));
        let hint = match suggest::nearest(word, tables) {
            Some(near) => format!("did you mean `{near}.{field}`?"),
            None => {
                format!("for the attribute of that name write `attributes[\"{word}.{field}\"]`")
            }
        };
        Err(wrong(of.bytes.clone(), message, hint))
    }

    /// As everywhere in a policy, the name of an attribute may be that of a table's field.
    fn attribute(&self, name: &str, bytes: &Range<usize>) -> Result<(Name, Kinds), Misread> {
        if let Some((table, field)) = name.split_once('.')
            && self.tables.contains_key(table)
        {
            return self.table_field(table, field, bytes);
        }
        Ok((Name::Attribute(name.to_owned()), Kinds::TEXT))
    }

    fn table_field(
        &self,
        table: &str,
        field: &str,
        bytes: &Range<usize>,
    ) -> Result<(Name, Kinds), Misread> {
        let fields = self.tables.get(table);
        if let Some(found) = fields.and_then(|fields| fields.get(field)) {
            let name = Name::Field { table: table.to_owned(), field: field.to_owned() };
            let kinds = found.kinds;
            return Ok((name, if kinds == Kinds::default() { Kinds::SCALAR } else { kinds }));
        }
        let known: Vec<&str> =
            fields.into_iter().flat_map(|fields| fields.keys()).map(String::as_str).collect();
        let message = format!("no row of the table {} has a field {}", shown(table), shown(field));
        let hint = match known.is_empty() {
            true => format!("give the rows of `{table}` a field"),
            false => suggest::hint(field, &known),
        };
        Err(wrong(bytes.clone(), message, hint))
    }

    /// Presence of a name, for `has(...)` and `"x" in attributes`.
    pub(super) fn presence(&mut self, name: Name) -> Part {
        let slot = self.slot(name);
        Part::new(Kinds::BOOL, 0, run::present(slot))
    }

    /// `"x" in attributes` and `"field" in TABLE`; `None` for any other operands.
    pub(super) fn named_in(&mut self, binary: &Binary) -> Result<Option<Part>, Misread> {
        let Tree::Word(word) = &binary.right.what else { return Ok(None) };
        let is_attributes = self.is_attributes(&binary.right);
        let is_table = self.tables.contains_key(word) && !self.is_looped(word);
        let found = match &binary.left.what {
            Tree::Text(name) if is_attributes => self.attribute(name, &binary.left.bytes)?,
            Tree::Text(field) if is_table => self.table_field(word, field, &binary.left.bytes)?,
            _ if is_attributes => {
                let message = "the name of an attribute is a text in quotes".to_owned();
                let hint = "write `\"NAME\" in attributes`";
                return Err(wrong(binary.left.bytes.clone(), message, hint));
            }
            _ => return Ok(None),
        };
        Ok(Some(self.presence(found.0)))
    }

    fn call(&mut self, call: &Call, node: &Node) -> Result<Part, Misread> {
        super::calls::call(self, call, node)
    }

    fn binary(&mut self, binary: &Binary, node: &Node) -> Result<Part, Misread> {
        super::operators::binary(self, binary, node)
    }
}
