//! The amounts of formulas, worked out once for every combination of table rows.
//!
//! A combination is one number: the row of each table that the rule's amounts ask, with the
//! default row as 0 and the others from 1 on. Matchers say the number, limits have an amount for it.

use super::model::{Amount, Limit, NativePolicy, Override, Placed, Row, Rule, Table};
use super::native::{amount_of, number_of};
use super::set::{CounterSeed, RuleLimit, RuleOverride};

/// The tables, by position, that the amounts of a rule and of its overrides ask.
pub(super) fn amount_tables(policy: &NativePolicy, rule: &Rule) -> Vec<usize> {
    let overridden = rule.overrides.iter().flat_map(|over| &over.limits);
    let mut tables: Vec<usize> = rule
        .limits
        .iter()
        .chain(overridden)
        .flat_map(|limit| match &limit.value.amount {
            Amount::Number(_) => &[],
            Amount::Formula(formula) => formula.names(),
        })
        .filter_map(|name| {
            let (table, _) = name.split_once('.')?;
            policy.tables.iter().position(|known| known.name.value == table)
        })
        .collect();
    tables.sort_unstable();
    tables.dedup();
    tables
}

pub(super) struct Amounts<'p> {
    pub(super) tables: &'p [Table],
    pub(super) seed: CounterSeed,
}

impl Amounts<'_> {
    pub(super) fn over(&self, over: &Override, asked: &[usize]) -> RuleOverride {
        RuleOverride {
            limits: self.limits(&over.limits, asked),
            until: over.until.as_ref().map(|until| until.value),
            reason: over.reason.as_str().into(),
        }
    }

    pub(super) fn limits(&self, limits: &[Placed<Limit>], asked: &[usize]) -> Vec<RuleLimit> {
        limits.iter().map(|limit| self.limit(&limit.value, asked)).collect()
    }

    fn limit(&self, limit: &Limit, asked: &[usize]) -> RuleLimit {
        let formula = match &limit.amount {
            Amount::Number(amount) => return RuleLimit::new(self.seed, limit.of(*amount)),
            Amount::Formula(formula) => formula,
        };
        let sizes: Vec<usize> =
            asked.iter().map(|table| self.tables[*table].rows.len() + 1).collect();
        let amount = |mut combination: usize| {
            let mut rows: Vec<(&str, (Option<&str>, &Row))> = Vec::with_capacity(asked.len());
            for (table, size) in asked.iter().zip(&sizes) {
                let (table, row) = (&self.tables[*table], combination % size);
                combination /= size;
                let row = match row.checked_sub(1) {
                    None => (None, table.default.as_ref()?),
                    Some(row) => {
                        let (name, row) = &table.rows[row];
                        (Some(name.as_str()), row)
                    }
                };
                rows.push((&table.name.value, row));
            }
            let field = |name: &str| number_of(rows.iter().map(|(table, row)| (*table, row)), name);
            amount_of(formula, field).ok()
        };
        let amounts = (0..sizes.iter().product()).map(amount).collect();
        RuleLimit::by_row(self.seed, limit, amounts, formula.to_string())
    }
}
