//! One native rule as the matcher holds it: names are slots, and nothing of a request is kept.
//!
//! A rule's counters are told apart by domain, rule name and the names of `per`; values and windows
//! come later.

use smallvec::SmallVec;

use super::attributes::{Attributes, Slot};
use super::index::{Index, hook_choices};
use super::pattern::CompiledPattern;
use crate::policy::amounts::amount_tables;
use crate::policy::formula::{EvalError, Formula, Number};
use crate::policy::model;
use crate::policy::set::{CounterHasher, CounterSeed};
use crate::policy::when::When;
use crate::time::Timestamp;

/// Small, because of many rules each request meets another one, which then comes from far in memory.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct CompiledRule {
    /// Knows the domain, the rule and the names of `per`, but no value yet.
    pub(super) counters: CounterHasher,
    pub(super) per: SmallVec<[Slot; 2]>,
    /// Those for the endpoint first, because what they capture the others may ask for.
    pub(super) conditions: Vec<Condition>,
    /// What need not be asked where the index has led to the rule.
    pub(super) proven: Proven,
    /// The table of endpoints that this is a row of, and the rank within it.
    pub(super) row: Option<(u32, u32)>,
    pub(super) extras: Option<Box<Extras>>,
}

/// What is known to hold of the conditions of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proven {
    Nothing,
    /// That at this position holds; if it may capture something of a path it is yet to be asked what.
    One(u32),
    /// All of them hold, and capture nothing.
    All,
}

/// What most rules have nothing of.
#[derive(Debug)]
pub(super) struct Extras {
    /// What it reads, where no other entry may be there.
    pub(super) named: Option<Box<[Slot]>>,
    /// With the slot of each name that the expression reads.
    pub(super) when: Option<(When, Vec<Slot>)>,
    /// The tables that amounts depend on.
    pub(super) amount_tables: Vec<AmountTable>,
    pub(super) overrides: Option<Overrides>,
    pub(super) cost: Option<(Formula, Vec<Slot>)>,
}

static NO_EXTRAS: Extras =
    Extras { named: None, when: None, amount_tables: Vec::new(), overrides: None, cost: None };

#[derive(Debug)]
pub(super) struct Condition {
    pub(super) slot: Slot,
    pub(super) pattern: CompiledPattern,
    /// Whether it may capture something of a path.
    pub(super) captures: bool,
    /// The pattern as it was written, for explanations.
    pub(super) text: String,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct AmountTable {
    pub(super) table: usize,
    /// The attribute that chooses the row.
    pub(super) key: Slot,
    /// What a row counts for in the number of a combination.
    pub(super) stride: u32,
}

#[derive(Debug)]
pub(super) struct Overrides {
    pub(super) all: Vec<CompiledOverride>,
    pub(super) index: Index,
}

#[derive(Debug)]
pub(super) struct CompiledOverride {
    pub(super) conditions: Vec<Condition>,
    pub(super) until: Option<Timestamp>,
}

impl CompiledRule {
    pub(super) fn new(
        domain: &str,
        policy: &model::NativePolicy,
        rule: &model::Rule,
        seed: CounterSeed,
        attributes: &mut Attributes,
    ) -> Self {
        let mut stride = 1_u32;
        let amount_tables = amount_tables(&policy.tables, rule).into_iter().map(|table| {
            let own = stride;
            // No more combinations than a million: that was checked.
            let rows = u32::try_from(policy.tables[table].rows.named.len()).unwrap_or(u32::MAX);
            stride = stride.saturating_mul(rows.saturating_add(1));
            AmountTable { table, key: attributes.table_key(table), stride: own }
        });
        let amount_tables = amount_tables.collect();
        let when = rule.when.as_ref().map(|when| {
            let names = when.value.names().iter();
            let slots = names.map(|name| attributes.slot(&name.to_string())).collect();
            (when.value.clone(), slots)
        });
        let cost = rule.cost.as_ref().map(|cost| {
            let slots = cost.value.names().iter().map(|name| attributes.slot(name)).collect();
            (cost.value.clone(), slots)
        });
        let overrides = rule.overrides.iter().map(|over| CompiledOverride {
            conditions: compile_conditions(&over.conditions, attributes),
            until: over.until.as_ref().map(|until| until.value),
        });
        let overrides: Vec<_> = overrides.collect();
        let mut extras = Extras {
            named: None,
            when,
            amount_tables,
            overrides: (!overrides.is_empty())
                .then(|| Overrides { all: overrides, index: Index::default() }),
            cost,
        };
        let mut compiled = Self {
            counters: counters(domain, rule, seed),
            per: rule.per.iter().map(|name| attributes.slot(&name.value)).collect(),
            conditions: compile_conditions(&rule.conditions, attributes),
            proven: Proven::Nothing,
            row: rule.row.as_ref().map(|row| (row.table, row.rank)),
            extras: None,
        };
        if rule.are_others_absent {
            let mut named = named_slots(rule, attributes);
            // What a path captures is read from no entry.
            named.retain(|slot| compiled.is_own(attributes, *slot));
            extras.named = Some(named.into());
        }
        compiled.extras = extras.is_any().then(|| Box::new(extras));
        compiled
    }

    /// Notes the condition that holds wherever the index leads to the rule.
    pub(super) fn prove(&mut self, proven: Option<u32>) {
        self.proven = match (self.conditions.as_slice(), proven) {
            ([], _) => Proven::All,
            ([only], Some(_)) if !only.captures => Proven::All,
            (_, Some(position)) => Proven::One(position),
            (_, None) => Proven::Nothing,
        };
    }

    pub(super) fn extras(&self) -> &Extras {
        self.extras.as_deref().unwrap_or(&NO_EXTRAS)
    }

    /// Makes the index of the overrides, when all slots are known.
    pub(super) fn index_overrides(&mut self, attributes: &Attributes) {
        let Some(mut extras) = self.extras.take() else { return };
        if let Some(overrides) = &mut extras.overrides {
            let choices = overrides.all.iter().map(|over| {
                hook_choices(&over.conditions, &[], |slot| self.is_own(attributes, *slot))
            });
            (overrides.index, _) = Index::new(&choices.collect::<Vec<_>>());
        }
        self.extras = Some(extras);
    }

    /// Whether an attribute is among the descriptor's own values, and not captured by this rule.
    pub(super) fn is_own(&self, attributes: &Attributes, slot: Slot) -> bool {
        let key = attributes.field(slot).map(|field| field.key);
        let is_captured = |slot| {
            let mut captured = self.conditions.iter().flat_map(|it| it.pattern.captures());
            captured.any(|captured| captured == slot)
        };
        !is_captured(slot) && !key.is_some_and(is_captured)
    }

    pub(super) fn segment_count_max(&self) -> usize {
        let overridden = self.extras().overrides.iter().flat_map(|overrides| &overrides.all);
        let conditions = overridden.flat_map(|over| &over.conditions).chain(&self.conditions);
        conditions.map(|it| it.pattern.segment_count_max()).max().unwrap_or_default()
    }
}

impl Extras {
    fn is_any(&self) -> bool {
        let Self { named, when, amount_tables, overrides, cost } = self;
        let is_asked = named.is_some() || when.is_some();
        is_asked || !amount_tables.is_empty() || overrides.is_some() || cost.is_some()
    }

    /// What hits are multiplied by, rounded up; `None` where it cannot be worked out. What is too
    /// large to count is as much as there can be, so that no value is too large to be limited.
    pub(super) fn cost<'v>(&self, seen: impl Fn(Slot) -> Option<&'v [u8]>) -> Option<u64> {
        let Some((formula, slots)) = &self.cost else { return Some(1) };
        let texts = slots.iter().filter_map(|slot| seen(*slot));
        if texts.clone().any(Number::is_too_long) {
            return Some(u64::MAX);
        }
        let value = |position: usize| Number::parse(seen(*slots.get(position)?)?);
        match formula.eval(value) {
            Ok(cost) if cost.is_negative() => None,
            Ok(cost) => Some(cost.ceil_u64().unwrap_or(u64::MAX)),
            Err(EvalError::Overflow) => Some(u64::MAX),
            Err(EvalError::Missing(_) | EvalError::DivisionByZero) => None,
        }
    }
}

/// The attributes that a rule reads, each once; of fields those that choose their rows.
fn named_slots(rule: &model::Rule, attributes: &mut Attributes) -> Vec<Slot> {
    let matched = rule.conditions.iter().map(|condition| condition.attribute.value.clone());
    let counted = rule.per.iter().map(|name| name.value.clone());
    let asked = rule.when.iter().flat_map(|when| when.value.names()).map(ToString::to_string);
    let weighed = rule.cost.iter().flat_map(|cost| cost.value.names()).cloned();
    let names: Vec<String> = matched.chain(counted).chain(asked).chain(weighed).collect();
    let mut slots: Vec<Slot> = names.iter().map(|name| attributes.slot(name)).collect();
    for slot in &mut slots {
        *slot = attributes.field(*slot).map_or(*slot, |field| field.key);
    }
    slots.sort_unstable();
    slots.dedup();
    slots
}

pub(super) fn compile_conditions(
    conditions: &[model::Condition],
    attributes: &mut Attributes,
) -> Vec<Condition> {
    let compile = |condition: &model::Condition| {
        let slot = attributes.slot(&condition.attribute.value);
        let pattern = CompiledPattern::compile(&condition.pattern, attributes);
        let captures = !pattern.captures().is_empty();
        Condition { slot, pattern, captures, text: condition.pattern.to_string() }
    };
    let mut compiled: Vec<Condition> = conditions.iter().map(compile).collect();
    compiled.sort_by_key(|it| !matches!(it.pattern, CompiledPattern::Endpoints(_)));
    compiled
}

fn counters(domain: &str, rule: &model::Rule, seed: CounterSeed) -> CounterHasher {
    let mut counters = CounterHasher::new(seed);
    counters.feed(b"rule");
    counters.feed(domain.as_bytes());
    counters.feed(rule.name.value.as_bytes());
    for attribute in &rule.per {
        counters.feed(attribute.value.as_bytes());
    }
    counters
}
