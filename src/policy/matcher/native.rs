//! Native rules: all that match apply, whatever their order.
//!
//! A request looks up its own values in the index and checks only the rules that hang there, so
//! rules about other tenants and paths cost nothing. Whether a rule applies is said by its
//! conditions alone; the index only leaves out those that cannot.

use smallvec::SmallVec;

use super::attributes::{Attributes, Slot, Values};
use super::index::{Index, hook_choices};
use super::pattern::{Captures, CompiledPattern, Subject};
use super::rule::{CompiledRule, Condition, compile_conditions};
use super::{Match, Matches};
use crate::policy::model::{self, FieldValue};
use crate::policy::set::CounterSeed;
use crate::policy::when::Value;
use crate::request::Entry;
use crate::time::Timestamp;

#[derive(Debug)]
pub struct NativeMatcher {
    pub(super) attributes: Attributes,
    pub(super) rules: Vec<CompiledRule>,
    index: Index,
    /// Who meets all conditions of one of them is not shed for load.
    exempt: Vec<Vec<Condition>>,
    /// Segments that a path need be split into: one more than the longest template of any rule,
    /// so that a longer path is told from it.
    segments_max: usize,
}

/// Why a rule does not apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// The condition at this position of the rule's match does not hold.
    Condition(usize),
    /// The attribute at this position of `per` is absent.
    PerAbsent(usize),
    /// The descriptor has entries that the rule does not name.
    Others,
    /// The expression of `when` is not true.
    When,
    /// The expression of `when` could not be worked out, and why.
    WhenFailed(String),
    /// The table with this name has no row for the request.
    NoRow(String),
}

/// A descriptor as the rules of one domain see it.
#[derive(Debug)]
pub struct Facts<'v> {
    pub(super) matcher: &'v NativeMatcher,
    pub(super) values: Values<'v>,
    pub(super) now: Timestamp,
}

impl NativeMatcher {
    pub fn new(domain: &str, policy: &model::NativePolicy, seed: CounterSeed) -> Self {
        let mut attributes = Attributes::new(&policy.attributes, &policy.tables);
        let compile = |rule| CompiledRule::new(domain, policy, rule, seed, &mut attributes);
        let mut rules: Vec<CompiledRule> = policy.rules.iter().map(compile).collect();
        let exempt = policy.load.iter().flat_map(|load| &load.exempt);
        let exempt: Vec<Vec<Condition>> =
            exempt.map(|conditions| compile_conditions(conditions, &mut attributes)).collect();
        rules.iter_mut().for_each(|rule| rule.index_overrides(&attributes));
        let choices = rules.iter().map(|rule| {
            let conditions = rule.conditions.iter().map(|it| (it.slot, &it.pattern));
            hook_choices(conditions, &rule.per, |slot| rule.is_own(&attributes, *slot))
        });
        let index = Index::new(&choices.collect::<Vec<_>>());
        let of_exempt = exempt.iter().flatten().map(|it| it.pattern.segment_count_max());
        let longest = rules.iter().map(CompiledRule::segment_count_max).chain(of_exempt).max();
        let segments_max = longest.unwrap_or_default() + 1;
        Self { attributes, rules, index, exempt, segments_max }
    }

    /// What the entries of a descriptor say, as of `now`.
    pub fn facts<'v>(&'v self, entries: &[Entry<'v>], now: Timestamp) -> Facts<'v> {
        Facts { matcher: self, values: self.attributes.read(entries), now }
    }

    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }
}

impl Facts<'_> {
    /// Adds every rule that applies, in the order of the policy.
    pub fn find(&self, matches: &mut Matches) {
        let segments = self.segments();
        let before = matches.found.len();
        let mut has_rows = false;
        for rule in self.candidates(&segments) {
            match self.check_with(rule, &segments) {
                Ok((found, is_cost_guessed)) => {
                    has_rows |= self.matcher.rules[rule as usize].row.is_some();
                    matches.found.push(found);
                    matches.failures.extend(is_cost_guessed.then_some(rule));
                }
                Err(Miss::WhenFailed(_)) => matches.failures.push(rule),
                Err(_) => {}
            }
        }
        if has_rows {
            self.keep_most_specific(matches, before);
        }
    }

    /// Whether the domain never sheds the descriptor for load.
    pub fn is_exempt(&self) -> bool {
        if self.matcher.exempt.is_empty() {
            return false;
        }
        let segments = self.segments();
        let mut exempt = self.matcher.exempt.iter();
        exempt.any(|conditions| self.conditions_hold(conditions, &segments).is_ok())
    }

    /// Of the rows of one table of endpoints only the most specific one applies.
    fn keep_most_specific(&self, matches: &mut Matches, before: usize) {
        let row = |found: &Match| self.matcher.rules[found.rule as usize].row;
        let mut best: SmallVec<[(u32, u32); 4]> = SmallVec::new();
        for (table, rank) in matches.found[before..].iter().filter_map(row) {
            match best.iter_mut().find(|(held, _)| *held == table) {
                Some((_, held)) => *held = rank.min(*held),
                None => best.push((table, rank)),
            }
        }
        let mut position = 0;
        matches.found.retain(|found| {
            position += 1;
            position <= before || row(found).is_none_or(|row| best.contains(&row))
        });
    }

    /// The rules that hang on what the descriptor says, each once and in order.
    pub(super) fn candidates(&self, segments: &[&[u8]]) -> SmallVec<[u32; 16]> {
        let mut candidates: SmallVec<[u32; 16]> = SmallVec::new();
        self.search(&self.matcher.index, segments, &mut candidates);
        candidates
    }

    pub(super) fn search(
        &self,
        index: &Index,
        segments: &[&[u8]],
        found: &mut SmallVec<[u32; 16]>,
    ) {
        let has_path = self.matcher.attributes.endpoint(&self.values).is_some();
        let path = has_path.then_some(segments);
        index.find(&self.values, path, &mut |rule| found.push(rule));
        if found.len() > 1 {
            found.sort_unstable();
            found.dedup();
        }
    }

    /// Whether one rule applies, and to which counter, without the index. Of a table of endpoints
    /// a more specific row may still come before it.
    pub fn check(&self, rule: u32) -> Result<Match, Miss> {
        self.check_with(rule, &self.segments()).map(|(found, _)| found)
    }

    pub(super) fn segments(&self) -> SmallVec<[&[u8]; 12]> {
        let Some(path) = self.matcher.attributes.endpoint(&self.values) else {
            return SmallVec::new();
        };
        crate::policy::template::segments(path).take(self.matcher.segments_max).collect()
    }

    /// Also whether the cost had to be taken for 1.
    fn check_with(&self, rule: u32, segments: &[&[u8]]) -> Result<(Match, bool), Miss> {
        let position = rule;
        let rule = &self.matcher.rules[rule as usize];
        let captures = self.conditions_hold(&rule.conditions, segments)?;
        if let Some(named) = &rule.named {
            let present = named.iter().filter(|slot| self.values.get(**slot).is_some()).count();
            if present != self.values.entry_count {
                return Err(Miss::Others);
            }
        }
        if let Some((when, slots)) = &rule.when {
            let value = |position: usize| self.typed(*slots.get(position)?, &captures);
            match when.holds(value) {
                Ok(true) => {}
                Ok(false) => return Err(Miss::When),
                Err(failure) => return Err(Miss::WhenFailed(failure.to_string())),
            }
        }
        let mut counter = rule.counters.clone();
        for (position, slot) in rule.per.iter().enumerate() {
            let value = self.seen(*slot, &captures).ok_or(Miss::PerAbsent(position))?;
            counter.feed(value);
        }
        let rows = self.rows(rule, &captures)?;
        let overridden = self.overridden(rule, segments, &captures);
        let cost = rule.cost(|slot| self.seen(slot, &captures));
        let base = counter.finish();
        let found = Match { rule: position, base, overridden, rows, cost: cost.unwrap_or(1) };
        Ok((found, cost.is_none()))
    }

    /// The combination of the rows that the rule's amounts depend on.
    fn rows<'v>(&'v self, rule: &CompiledRule, captures: &Captures<'v>) -> Result<u32, Miss> {
        let mut combination = 0;
        for table in &rule.amount_tables {
            let key = self.seen(table.key, captures);
            let row = key.and_then(|key| self.matcher.attributes.row_position(table.table, key));
            let name = || self.matcher.attributes.name(table.key).to_owned();
            combination += row.ok_or_else(|| Miss::NoRow(name()))? * table.stride;
        }
        Ok(combination)
    }

    /// The first override that applies.
    fn overridden<'v>(
        &'v self,
        rule: &CompiledRule,
        segments: &'v [&'v [u8]],
        captures: &Captures<'v>,
    ) -> Option<u32> {
        let overrides = rule.overrides.as_ref()?;
        let mut candidates: SmallVec<[u32; 16]> = SmallVec::new();
        self.search(&overrides.index, segments, &mut candidates);
        candidates.into_iter().find(|candidate| {
            let over = &overrides.all[*candidate as usize];
            over.until.is_none_or(|until| self.now < until)
                && self.hold(&over.conditions, captures, segments).is_none()
        })
    }

    /// Endpoints first, because what they capture the other conditions may ask for.
    pub(super) fn conditions_hold<'v>(
        &'v self,
        conditions: &[Condition],
        segments: &'v [&'v [u8]],
    ) -> Result<Captures<'v>, Miss> {
        let mut captures = Captures::new();
        for (position, condition) in conditions.iter().enumerate() {
            if !condition.has_templates {
                continue;
            }
            let subject = self.subject(condition.slot, &Captures::new(), segments);
            if let Some(template) = condition.pattern.template(subject) {
                template.capture(segments, &mut captures);
            } else if matches!(condition.pattern, CompiledPattern::Endpoints(_)) {
                return Err(Miss::Condition(position));
            }
        }
        let failed = conditions.iter().position(|condition| {
            // Where nothing was captured, these have been asked.
            let is_known =
                captures.is_empty() && matches!(condition.pattern, CompiledPattern::Endpoints(_));
            !is_known && !condition.pattern.holds(self.subject(condition.slot, &captures, segments))
        });
        match failed {
            Some(position) => Err(Miss::Condition(position)),
            None => Ok(captures),
        }
    }

    /// The first condition that does not hold.
    pub(super) fn hold<'v>(
        &'v self,
        conditions: &[Condition],
        captures: &Captures<'v>,
        segments: &'v [&'v [u8]],
    ) -> Option<usize> {
        conditions.iter().position(|condition| {
            !condition.pattern.holds(self.subject(condition.slot, captures, segments))
        })
    }

    fn subject<'v>(
        &'v self,
        slot: Slot,
        captures: &Captures<'v>,
        segments: &'v [&'v [u8]],
    ) -> Subject<'v> {
        Subject { value: self.seen(slot, captures), segments, ip: self.values.ip() }
    }

    pub(super) fn seen<'v>(&'v self, slot: Slot, captures: &Captures<'v>) -> Option<&'v [u8]> {
        if captures.is_empty() {
            return self.values.get(slot);
        }
        let captured = |slot| captures.iter().find(|(captured, _)| *captured == slot);
        if let Some((_, value)) = captured(slot) {
            return Some(value);
        }
        // The row of a table may be chosen by what a path captures.
        if let Some(field) = self.matcher.attributes.field(slot)
            && let Some((_, key)) = captured(field.key)
        {
            let value = self.matcher.attributes.field_value(field, key);
            return value.map(|value| value.text.as_bytes());
        }
        self.values.get(slot)
    }

    /// A value as conditions in `when` see it.
    fn typed<'v>(&'v self, slot: Slot, captures: &Captures<'v>) -> Option<Value<'v>> {
        match self.matcher.attributes.field(slot) {
            None => self.seen(slot, captures).map(Value::Text),
            Some(field) => {
                let key = self.seen(field.key, captures)?;
                self.matcher.attributes.field_value(field, key).map(FieldValue::value)
            }
        }
    }
}
