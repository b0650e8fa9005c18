//! Works out the amounts of formulas for every row of their tables, and says where there are none.
//!
//! After this every formula has an amount wherever a request may ask for it.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::policy::amounts::amount_tables;
use crate::policy::findings::{Findings, shown};
use crate::policy::formula::{EvalError, Formula, Number};
use crate::policy::model::{
    Amount, Condition, FieldKind, Limit, Load, Pattern, Place, Placed, Row, Rule, Table,
};
use crate::policy::suggest;
use crate::policy::when::{Name, When};

/// Amounts of the formulas of one policy: each formula has one for every combination of rows of
/// the tables that its rule asks.
const MOST_AMOUNTS: usize = 1_000_000;

/// Steps that it may take to work them out.
const MOST_STEPS: usize = 20_000_000;

/// Checks the names of all formulas, and that amounts can be worked out for every row that a
/// request of the rule may have.
pub(super) fn check(
    findings: &mut Findings,
    rules: &[Rule],
    load: Option<&Load>,
    tables: &[Table],
) {
    let fields = tables.iter().map(|table| {
        let names = rows(table).flat_map(|(_, row)| row.keys().map(String::as_str));
        (table.name.value.as_str(), names.collect())
    });
    let mut checker = Checker {
        findings,
        tables,
        fields: fields.collect(),
        amounts: 0,
        steps: 0,
        is_full: false,
        shared: HashSet::new(),
        endpoints: None,
    };
    rules.iter().for_each(|rule| checker.check_rule(rule));
    let exempt = load.into_iter().flat_map(|load| load.exempt.iter().flatten());
    checker.check_fields(exempt.map(|condition| &condition.attribute));
}

struct Checker<'c> {
    findings: &'c mut Findings,
    /// By name.
    tables: &'c [Table],
    /// The fields that the rows of each table have.
    fields: HashMap<&'c str, BTreeSet<&'c str>>,
    /// Of the formulas so far.
    amounts: usize,
    /// For the amounts, and for telling which rows rules meet.
    steps: usize,
    /// Too much was asked for, which has been reported: nothing more is worked out.
    is_full: bool,
    /// Tables of which it was said that the rule counts several of their rows together.
    shared: HashSet<&'c str>,
    /// The table of endpoints that the rule is a row of.
    endpoints: Option<u32>,
}

/// What must hold for a request that asks for an amount.
#[derive(Clone, Copy)]
struct Guard<'g> {
    /// Those of the rule, and those of its override.
    conditions: [&'g [Condition]; 2],
    when: Option<&'g When>,
    /// The work of asking it, about.
    parts: usize,
}

impl<'g> Guard<'g> {
    fn of(rule: &'g Rule) -> Self {
        let when = rule.when.as_ref().map(|when| &when.value);
        // One step for a few letters of an expression.
        let parts = 1 + parts(&rule.conditions) + when.map_or(0, |when| when.to_string().len() / 4);
        Self { conditions: [&rule.conditions, &[]], when, parts }
    }

    fn and(self, conditions: &'g [Condition]) -> Self {
        let parts = self.parts + parts(conditions);
        Self { conditions: [self.conditions[0], conditions], parts, ..self }
    }

    fn all(&self) -> impl Iterator<Item = &'g Condition> {
        self.conditions.into_iter().flatten()
    }
}

fn parts(conditions: &[Condition]) -> usize {
    conditions.iter().map(|condition| condition.pattern.parts()).sum()
}

/// One row of a table; `None` for the default row, which is for every value without one.
type RowOf<'t> = (Option<&'t str>, &'t Row);

impl<'c> Checker<'c> {
    fn table(&self, name: &str) -> Option<&'c Table> {
        let found = self.tables.binary_search_by(|table| table.name.value.as_str().cmp(name));
        found.ok().map(|position| &self.tables[position])
    }

    fn check_rule(&mut self, rule: &Rule) {
        if let Some(cost) = &rule.cost {
            self.check_cost(cost);
        }
        let endpoints = rule.row.as_ref().map(|row| row.table);
        if endpoints.is_none() || endpoints != self.endpoints {
            self.shared.clear();
        }
        self.endpoints = endpoints;
        self.count(rule);
        let guard = Guard::of(rule);
        for limit in &rule.limits {
            self.check_limit(limit, rule, guard);
        }
        for over in &rule.overrides {
            let has_formula =
                over.limits.iter().any(|limit| matches!(limit.value.amount, Amount::Formula(_)));
            if has_formula {
                let guard = guard.and(&over.conditions);
                over.limits.iter().for_each(|limit| self.check_limit(limit, rule, guard));
            }
        }
        let matched = rule.conditions.iter().map(|condition| &condition.attribute);
        let overridden = rule.overrides.iter().flat_map(|it| &it.conditions);
        let names = matched.chain(overridden.map(|condition| &condition.attribute));
        self.check_fields(names.chain(&rule.per));
    }

    /// Counts what the rule's amounts take, before any is worked out.
    fn count(&mut self, rule: &Rule) {
        let asked = amount_tables(self.tables, rule);
        let combinations = asked.iter().try_fold(1_usize, |product, table| {
            let rows = self.tables[*table].rows.named.len() + 1;
            product.checked_mul(rows).filter(|product| *product <= MOST_AMOUNTS)
        });
        let combinations = combinations.unwrap_or(usize::MAX);
        let overridden = rule.overrides.iter().flat_map(|over| &over.limits);
        for limit in rule.limits.iter().chain(overridden) {
            let Amount::Formula(formula) = &limit.value.amount else { continue };
            // A name is looked for in the row of each table.
            let steps = formula.step_count().saturating_mul(asked.len().max(1));
            self.amounts = self.amounts.saturating_add(combinations);
            self.take(combinations.saturating_mul(steps), &limit.place);
        }
    }

    /// Takes of the work that a policy may make; says so where that is too much.
    fn take(&mut self, steps: usize, place: &Place) {
        self.steps = self.steps.saturating_add(steps);
        if self.is_full || (self.amounts <= MOST_AMOUNTS && self.steps <= MOST_STEPS) {
            return;
        }
        self.is_full = true;
        let message = match self.amounts > MOST_AMOUNTS {
            true => format!("the amounts of this policy have more than {MOST_AMOUNTS} values"),
            false => format!("the amounts of this policy take more than {MOST_STEPS} steps"),
        };
        let hint = "let them depend on fewer tables, or on smaller ones";
        self.findings.error("too-many-items", &place.bytes, message, hint);
    }

    /// Whether a request with these rows may meet all conditions; where telling takes too much,
    /// none may.
    fn may_match<'t>(
        &mut self,
        rows: impl Iterator<Item = (&'t str, &'t RowOf<'t>)>,
        guard: Guard<'_>,
        place: &Place,
    ) -> bool {
        let rows: Vec<_> = rows.collect();
        self.take(guard.parts.saturating_mul(rows.len()), place);
        !self.is_full && may_match(&rows, guard)
    }

    /// The field that a dotted name means; says so where there is none.
    fn check_field(&mut self, name: &str, place: &Place) -> bool {
        let Some((table_name, field)) = name.split_once('.') else { return false };
        let Some(table) = self.table(table_name) else {
            let message = format!("there is no table {}", shown(table_name));
            let known = self.tables.iter().map(|table| table.name.value.as_str());
            let hint = match suggest::nearest(table_name, known) {
                Some(near) => format!("did you mean `{near}.{field}`?"),
                None => format!("add `tables: {{ {table_name}: {{ ... }} }}` to the policy"),
            };
            self.findings.error("unknown-table", &place.bytes, message, hint);
            return false;
        };
        if !table.is_read {
            return false;
        }
        let fields: Vec<&str> = match self.fields.get(table.name.value.as_str()) {
            Some(fields) if fields.contains(field) => return true,
            Some(fields) => fields.iter().copied().collect(),
            None => Vec::new(),
        };
        let message = format!("no row of the table {} has {}", shown(table_name), shown(field));
        self.findings.error("unknown-field", &place.bytes, message, suggest::hint(field, &fields));
        false
    }

    fn check_cost(&mut self, cost: &Placed<Formula>) {
        for name in cost.value.names() {
            if name.contains('.') {
                self.check_field(name, &cost.place);
            }
        }
        let constant = cost.value.as_constant();
        if cost.value.names().is_empty() && constant.and_then(Number::ceil_u64).is_none() {
            let message = "this cost is no number of hits";
            self.findings.error("bad-amount", &cost.place.bytes, message, "a cost is 0 or more");
        }
    }

    /// Fields that conditions and `per` name.
    fn check_fields<'n>(&mut self, names: impl Iterator<Item = &'n Placed<String>>) {
        for name in names {
            let table = name.value.split_once('.').and_then(|(table, _)| self.table(table));
            if table.is_some() {
                self.check_field(&name.value, &name.place);
            }
        }
    }

    fn check_limit(&mut self, limit: &Placed<Limit>, rule: &Rule, guard: Guard<'_>) {
        let Amount::Formula(formula) = &limit.value.amount else { return };
        let (mut tables, mut held): (Vec<&Table>, HashSet<&str>) = Default::default();
        for name in formula.names() {
            if !name.contains('.') {
                let message = format!("an amount cannot depend on the attribute {}", shown(name));
                let hint = format!(
                    "write a field of a table, as in `{name}.units`; `cost` may \
                                    depend on attributes"
                );
                self.findings.error("bad-amount", &limit.place.bytes, message, hint);
                return;
            }
            if !self.check_field(name, &limit.place) {
                return;
            }
            let table = name.split_once('.').and_then(|(table, _)| self.table(table));
            tables.extend(table.filter(|table| held.insert(table.name.value.as_str())));
        }
        for table in &tables {
            self.check_per(limit, rule, table, guard);
            let nothing = (None, &Row::new());
            let without_row = std::iter::once((table.name.value.as_str(), &nothing));
            if table.rows.default.is_none() && self.may_match(without_row, guard, &limit.place) {
                let name = shown(&table.name.value);
                let message = format!("values of {name} without a row are not limited here");
                let hint = "add a row `default` to the table";
                self.findings.warning("no-default", &limit.place.bytes, message, hint);
            }
        }
        if !self.is_full {
            self.check_rows(limit, formula, &tables, &mut Vec::new(), guard);
        }
    }

    /// Requests of one counter that have different amounts deny each other.
    fn check_per(
        &mut self,
        limit: &Placed<Limit>,
        rule: &Rule,
        table: &'c Table,
        guard: Guard<'_>,
    ) {
        let name = table.name.value.as_str();
        let is_of_table =
            |per: &str| per == name || per.split_once('.').is_some_and(|(table, _)| table == name);
        let is_counted_by = rule.per.iter().any(|per| is_of_table(&per.value));
        let is_one = |pattern: &Pattern| match pattern {
            Pattern::AnyOf(patterns) => matches!(patterns.as_slice(), [Pattern::Equals(_)]),
            pattern => matches!(pattern, Pattern::Equals(_)),
        };
        let mut matched = guard.all().filter(|condition| condition.attribute.value == name);
        if is_counted_by
            || matched.any(|condition| is_one(&condition.pattern))
            || !self.shared.insert(name)
        {
            return;
        }
        let message =
            format!("values of {} have amounts of their own and one counter", shown(name));
        let per: Vec<&str> = rule.per.iter().map(|per| per.value.as_str()).collect();
        let hint = format!("write `per: [{}]`", [&[name], per.as_slice()].concat().join(", "));
        self.findings.warning("no-per", &limit.place.bytes, message, hint);
    }

    /// Tries every combination of rows; the first without an amount is reported.
    fn check_rows<'t>(
        &mut self,
        limit: &Placed<Limit>,
        formula: &Formula,
        tables: &[&'t Table],
        chosen: &mut Vec<RowOf<'t>>,
        guard: Guard<'_>,
    ) -> bool {
        if let Some(table) = tables.get(chosen.len()) {
            for row in rows(table) {
                chosen.push(row);
                let goes_on = self.check_rows(limit, formula, tables, chosen, guard);
                chosen.pop();
                if !goes_on {
                    return false;
                }
            }
            return true;
        }
        let pairs = || tables.iter().map(|table| table.name.value.as_str()).zip(chosen.iter());
        let problem = match amount(formula, |name| field(pairs(), name)) {
            Ok(_) => return true,
            Err(problem) => problem,
        };
        if !self.may_match(pairs(), guard, &limit.place) {
            return !self.is_full;
        }
        let names = pairs().map(|(table, (row, _))| match row {
            Some(row) => format!("the row {} of the table {}", shown(row), shown(table)),
            None => format!("the row `default` of the table {}", shown(table)),
        });
        let rows = names.collect::<Vec<_>>().join(" and ");
        let (what, hint) = problem.in_words(formula);
        let message = format!("for {rows}, {what}");
        self.findings.error("no-amount", &limit.place.bytes, message, hint);
        let place = tables.iter().zip(chosen.iter()).find_map(|(table, (name, _))| {
            let position =
                table.rows.named.iter().position(|(row, _)| Some(row.as_str()) == *name)?;
            table.rows.places.get(position)
        });
        if let Some(place) = place {
            self.findings.relate_place(place.clone(), "the row");
        }
        false
    }
}

fn rows(table: &Table) -> impl Iterator<Item = RowOf<'_>> {
    let named = table.rows.named.iter().map(|(name, row)| (Some(name.as_str()), row));
    table.rows.default.iter().map(|row| (None, row)).chain(named)
}

/// Why a formula makes no amount.
pub(in crate::policy) enum NoAmount {
    Eval(EvalError),
    NoCount,
}

impl NoAmount {
    fn in_words(&self, formula: &Formula) -> (String, String) {
        match self {
            Self::Eval(EvalError::Missing(name)) => {
                let name = formula.names().get(*name).map_or("", String::as_str);
                let field = name.split_once('.').map_or(name, |(_, field)| field);
                let what = format!("{} has no number", shown(name));
                (what, format!("write `{field}: 0` or what is right there, or match other rows"))
            }
            Self::Eval(error) => (
                format!("this amount has no value: {error}"),
                "change the row or the formula".into(),
            ),
            Self::NoCount => {
                let what = "this amount is negative or too large".to_owned();
                (what, "change the row, or write `max(0, ...)`".to_owned())
            }
        }
    }
}

/// The amount of a formula, rounded down.
pub(in crate::policy) fn amount(
    formula: &Formula,
    field: impl Fn(&str) -> Option<Number>,
) -> Result<u64, NoAmount> {
    let value = |name: usize| field(formula.names().get(name)?);
    let number = formula.eval(value).map_err(NoAmount::Eval)?;
    number.floor_u64().ok_or(NoAmount::NoCount)
}

/// The number that a dotted name means in these rows.
pub(in crate::policy) fn field<'t>(
    mut rows: impl Iterator<Item = (&'t str, &'t RowOf<'t>)>,
    name: &str,
) -> Option<Number> {
    let (table, field) = name.split_once('.')?;
    let (_, (_, row)) = rows.find(|(name, _)| *name == table)?;
    match row.get(field)?.kind {
        FieldKind::Number(number) => Some(number),
        FieldKind::Text | FieldKind::Bool(_) => None,
    }
}

fn may_match(rows: &[(&str, &RowOf<'_>)], guard: Guard<'_>) -> bool {
    for (table, (name, row)) in rows {
        for condition in guard.all() {
            let attribute = condition.attribute.value.as_str();
            let own_field = attribute.split_once('.').filter(|(name, _)| name == table);
            let holds = match (own_field, name) {
                (Some((_, field)), _) => {
                    may_hold(&condition.pattern, row.get(field).map(|value| value.text.as_str()))
                }
                (None, Some(name)) if attribute == *table => {
                    may_hold(&condition.pattern, Some(name))
                }
                (None, _) => true,
            };
            if !holds {
                return false;
            }
        }
    }
    let Some(when) = guard.when else { return true };
    let value = |position: usize| match when.names().get(position)? {
        Name::Field { table, field } => {
            let (_, (_, row)) = rows.iter().find(|(name, _)| name == table)?;
            row.get(field).map(|value| value.value())
        }
        Name::Attribute(attribute) => {
            let (_, (name, _)) = rows.iter().find(|(table, _)| table == attribute)?;
            name.map(|name| crate::policy::when::Value::Text(name.as_bytes()))
        }
    };
    // What cannot be told from the rows alone may hold.
    !matches!(when.holds(value), Ok(false))
}

/// Whether a pattern may hold for a value, as far as text alone can tell.
pub(in crate::policy) fn may_hold(pattern: &Pattern, value: Option<&str>) -> bool {
    match (pattern, value) {
        (Pattern::Equals(text), value) => value == Some(text.as_str()),
        (Pattern::Prefix(prefix), value) => value.is_some_and(|it| it.starts_with(prefix.as_str())),
        (Pattern::AnyOf(patterns), value) => patterns.iter().any(|it| may_hold(it, value)),
        (Pattern::Not(inner), value) => {
            !matches!(
                **inner,
                Pattern::Equals(_) | Pattern::Prefix(_) | Pattern::Present | Pattern::Absent
            ) || !may_hold(inner, value)
        }
        (Pattern::Present, value) => value.is_some(),
        (Pattern::Absent, value) => value.is_none(),
        (Pattern::Endpoint(_) | Pattern::Network(_), value) => value.is_some(),
    }
}
