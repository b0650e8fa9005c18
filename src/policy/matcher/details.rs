//! What a match is made of, in words: for people, never on the path of a request.
//!
//! It asks the same conditions, rows and formulas that matching asks, so it cannot say otherwise.

use super::attributes::{ENDPOINT, METHOD, Slot};
use super::index::Candidates;
use super::native::{Facts, Miss};
use super::pattern::Captures;
use super::readable;
use super::rule::{CompiledRule, Condition};
use crate::policy::formula::{EvalError, Number};

/// What a rule that applies looks at besides its `match`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reasons {
    /// Name and value of what chooses the counter.
    pub per: Vec<(String, String)>,
    pub rows: Vec<RowUsed>,
    /// Positions of the overrides that would apply, had they not ended.
    pub ended_overrides: Vec<u32>,
    pub cost: Option<CostUsed>,
    /// The expression of `when`, which is true.
    pub when: Option<String>,
}

/// A row that a rule reads fields of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowUsed {
    /// The attribute that chooses the row, and its value.
    pub attribute: String,
    pub value: String,
    /// For want of a row for that value.
    pub is_default: bool,
    pub fields: Vec<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostUsed {
    pub formula: String,
    /// Why it cannot be worked out; it is then taken for 1.
    pub failure: Option<String>,
}

impl Facts<'_> {
    /// What a rule that applies looks at; nothing of one that does not.
    pub fn reasons(&self, rule: u32) -> Reasons {
        let segments = self.segments();
        let compiled = &self.matcher.rules[rule as usize];
        let Ok(captures) = self.captured(&compiled.conditions, &segments) else {
            return Reasons::default();
        };
        Reasons {
            per: self.per(compiled, &captures),
            rows: self.rows_used(compiled, &captures),
            ended_overrides: self.ended_overrides(compiled, &segments, &captures),
            cost: self.cost_used(compiled, &captures),
            when: compiled.extras().when.as_ref().map(|(when, _)| when.to_string()),
        }
    }

    /// Name and value of what chooses the counter of a rule that applies; nothing of one that does
    /// not.
    pub fn counted_by(&self, rule: u32) -> Vec<(String, String)> {
        let segments = self.segments();
        let Some(compiled) = self.matcher.rules.get(rule as usize) else { return Vec::new() };
        let captures = self.captured(&compiled.conditions, &segments);
        captures.map(|captures| self.per(compiled, &captures)).unwrap_or_default()
    }

    fn per<'v>(&'v self, rule: &CompiledRule, captures: &Captures<'v>) -> Vec<(String, String)> {
        let name = |slot: Slot| self.matcher.attributes.name(slot).to_owned();
        let value = |slot| readable(self.seen(slot, captures).unwrap_or_default());
        rule.per.iter().map(|slot| (name(*slot), value(*slot))).collect()
    }

    /// Of every table that the rule asks.
    fn rows_used<'v>(&'v self, rule: &CompiledRule, captures: &Captures<'v>) -> Vec<RowUsed> {
        let attributes = &self.matcher.attributes;
        let mut tables: Vec<(usize, Slot)> =
            rule.extras().amount_tables.iter().map(|table| (table.table, table.key)).collect();
        let asked = rule.conditions.iter().map(|condition| condition.slot);
        let asked = asked.chain(rule.per.iter().copied());
        let asked =
            asked.chain(rule.extras().when.iter().flat_map(|(_, slots)| slots.iter().copied()));
        let asked =
            asked.chain(rule.extras().cost.iter().flat_map(|(_, slots)| slots.iter().copied()));
        let fields = asked.filter_map(|slot| attributes.field(slot));
        tables.extend(fields.map(|field| (field.table, field.key)));
        tables.sort_unstable();
        tables.dedup();
        let used = |(table, key): (usize, Slot)| {
            let value = self.seen(key, captures)?;
            let (row, is_default) = attributes.row(table, value)?;
            let fields = row.iter().map(|(name, field)| (name.clone(), field.text.clone()));
            Some(RowUsed {
                attribute: attributes.name(key).to_owned(),
                value: readable(value),
                is_default,
                fields: fields.collect(),
            })
        };
        tables.into_iter().filter_map(used).collect()
    }

    fn ended_overrides<'v>(
        &'v self,
        rule: &CompiledRule,
        segments: &'v [&'v [u8]],
        captures: &Captures<'v>,
    ) -> Vec<u32> {
        let Some(overrides) = rule.extras().overrides.as_ref() else { return Vec::new() };
        let mut candidates = Candidates::new();
        self.search(&overrides.index, segments, &mut candidates);
        candidates.retain(|candidate| {
            let over = &overrides.all[*candidate as usize];
            over.until.is_some_and(|until| until <= self.now)
                && self.hold(&over.conditions, captures, segments).is_none()
        });
        candidates.into_vec()
    }

    fn cost_used<'v>(&'v self, rule: &CompiledRule, captures: &Captures<'v>) -> Option<CostUsed> {
        let (formula, slots) = rule.extras().cost.as_ref()?;
        let seen = |position: usize| self.seen(*slots.get(position)?, captures);
        let failure = match formula.eval(|position| Number::parse(seen(position)?)) {
            Ok(cost) if cost.is_negative() => Some("it comes to less than 0".to_owned()),
            Ok(_) | Err(EvalError::Overflow) => None,
            Err(EvalError::Missing(position)) => {
                let name = formula.names().get(position).map_or("", String::as_str);
                Some(match seen(position) {
                    None => format!("`{name}` is absent"),
                    Some(value) => format!("`{name}` is `{}`, which is no number", readable(value)),
                })
            }
            Err(error @ EvalError::DivisionByZero) => Some(error.to_string()),
        };
        Some(CostUsed { formula: formula.to_string(), failure })
    }

    /// Whether a rule does not apply because it is for another endpoint or method.
    pub fn is_elsewhere(&self, rule: u32, miss: &Miss) -> bool {
        let Miss::Condition(position) = miss else { return false };
        let slot = self.matcher.rules[rule as usize].conditions[*position].slot;
        let name = self.matcher.attributes.name(slot);
        (name == ENDPOINT || name == METHOD) && self.values.get(slot).is_some()
    }

    /// A miss in words.
    pub fn describe(&self, rule: u32, miss: Miss) -> String {
        let rule = &self.matcher.rules[rule as usize];
        let attributes = &self.matcher.attributes;
        let absence = |slot| {
            let keys = attributes.keys_of(attributes.name(slot));
            format!("`{}` is absent (no entry `{}`)", attributes.name(slot), keys.join("`, `"))
        };
        match miss {
            Miss::Others => "it has entries that the rule does not name, and the rule wants \
                             `others: absent`"
                .to_owned(),
            Miss::When => match &rule.extras().when {
                Some((when, _)) => format!("`when: {when}` is not true"),
                None => String::new(),
            },
            Miss::WhenFailed(why) => {
                format!("`when` cannot be worked out: {why}{}", self.asked_by_when(rule, &why))
            }
            Miss::NoRow(table) => match self.values_of(&table) {
                Some(value) => {
                    format!("the table `{table}` has no row for `{value}`, and no default")
                }
                None => format!("`{table}` is absent, which chooses the row of its table"),
            },
            Miss::PerAbsent(position) => {
                format!("{}, which the rule counts per", absence(rule.per[position]))
            }
            Miss::Condition(position) => {
                let Condition { slot, text, .. } = &rule.conditions[position];
                match self.values.get(*slot) {
                    None => format!("{}; the rule wants {text}", absence(*slot)),
                    Some(value) => {
                        let (name, value) = (attributes.name(*slot), readable(value));
                        format!("`{name}` is `{value}`; the rule wants {text}")
                    }
                }
            }
        }
    }

    /// What the names of a condition stand for, as far as `told` does not say.
    fn asked_by_when(&self, rule: &CompiledRule, told: &str) -> String {
        const MOST: usize = 4;
        let Some((when, slots)) = &rule.extras().when else { return String::new() };
        let segments = self.segments();
        let captures = self.captured(&rule.conditions, &segments).unwrap_or_default();
        let named = when.names().iter().map(|name| format!("`{name}`"));
        let pairs = named.zip(slots).filter(|(name, _)| !told.contains(name.as_str()));
        let shown = pairs.take(MOST).map(|(name, slot)| match self.seen(*slot, &captures) {
            Some(value) => format!("; {name} is `{}`", readable(value)),
            None => format!("; {name} is absent"),
        });
        shown.collect()
    }

    fn values_of(&self, attribute: &str) -> Option<String> {
        let attributes = &self.matcher.attributes;
        let slot = attributes.names().iter().position(|name| name == attribute)?;
        self.values.get(slot).map(readable)
    }

    /// The attributes that rules of this domain name and this descriptor has.
    pub fn present(&self) -> Vec<(&str, String)> {
        let attributes = &self.matcher.attributes;
        let slots = 0..attributes.names().len();
        let value = |slot| Some((attributes.name(slot), readable(self.values.get(slot)?)));
        slots.filter_map(value).collect()
    }
}
