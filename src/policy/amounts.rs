//! The amounts of formulas, worked out once for every combination of table rows.
//!
//! A combination is one number: the row of each table that the rule's amounts ask, with the
//! default row as 0 and the others from 1 on. Matchers say the number, limits have an amount for it.

use super::model::{Amount, Limit, Override, Placed, Row, Rule, Table};
use super::native::{amount_of, number_of};
use super::set::{CounterSeed, RuleLimit, RuleLimits, RuleOverride};

/// The tables, by position, that the amounts of a rule and of its overrides ask; `tables` are in
/// the order of their names.
pub(super) fn amount_tables(tables: &[Table], rule: &Rule) -> Vec<usize> {
    let overridden = rule.overrides.iter().flat_map(|over| &over.limits);
    let mut asked: Vec<usize> = rule
        .limits
        .iter()
        .chain(overridden)
        .flat_map(|limit| match &limit.value.amount {
            Amount::Number(_) => &[],
            Amount::Formula(formula) => formula.names(),
        })
        .filter_map(|name| {
            let (table, _) = name.split_once('.')?;
            tables.binary_search_by(|known| known.name.value.as_str().cmp(table)).ok()
        })
        .collect();
    asked.sort_unstable();
    asked.dedup();
    asked
}

pub(super) struct Amounts<'p> {
    pub(super) tables: &'p [Table],
    pub(super) seed: CounterSeed,
}

impl Amounts<'_> {
    pub(super) fn overrides(&self, rule: &Rule) -> Vec<RuleOverride> {
        let asked = amount_tables(self.tables, rule);
        rule.overrides.iter().map(|over| self.over(over, &asked)).collect()
    }

    fn over(&self, over: &Override, asked: &[usize]) -> RuleOverride {
        RuleOverride {
            limits: self.limits(&over.limits, asked),
            until: over.until.as_ref().map(|until| until.value),
            reason: over.reason.as_str().into(),
        }
    }

    pub(super) fn limits(&self, limits: &[Placed<Limit>], asked: &[usize]) -> RuleLimits {
        limits.iter().map(|limit| self.limit(&limit.value, asked)).collect()
    }

    fn limit(&self, limit: &Limit, asked: &[usize]) -> RuleLimit {
        let formula = match &limit.amount {
            Amount::Number(amount) => return RuleLimit::new(self.seed, limit.of(*amount)),
            Amount::Formula(formula) => formula,
        };
        let sizes: Vec<usize> =
            asked.iter().map(|table| self.tables[*table].rows.named.len() + 1).collect();
        let amount = |mut combination: usize| {
            let mut rows: Vec<(&str, (Option<&str>, &Row))> = Vec::with_capacity(asked.len());
            for (table, size) in asked.iter().zip(&sizes) {
                let (table, row) = (&self.tables[*table], combination % size);
                combination /= size;
                let row = match row.checked_sub(1) {
                    None => (None, table.rows.default.as_ref()?),
                    Some(row) => {
                        let (name, row) = &table.rows.named[row];
                        (Some(name.as_str()), row)
                    }
                };
                rows.push((&table.name.value, row));
            }
            let field = |name: &str| number_of(rows.iter().map(|(table, row)| (*table, row)), name);
            amount_of(formula, field).ok()
        };
        // No more than a million: that was checked.
        let combinations =
            sizes.iter().try_fold(1, |product: usize, size| product.checked_mul(*size));
        let amounts = (0..combinations.unwrap_or_default()).map(amount).collect();
        RuleLimit::by_row(self.seed, limit, amounts, formula.to_string())
    }
}
