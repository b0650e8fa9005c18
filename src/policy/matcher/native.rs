//! Native rules: all that match apply, whatever their order.
//!
//! A request looks up its own values in the index and checks only the rules that hang there, so
//! rules about other tenants and paths cost nothing. Whether a rule applies is said by its
//! conditions alone; the index only leaves out those that cannot.

use smallvec::SmallVec;

use super::attributes::{Attributes, Slot, Values};
use super::index::{Candidates, Index, hook_choices};
use super::pattern::{Captures, CompiledPattern, Subject};
use super::rule::{CompiledRule, Condition, Extras, Overrides, Proven, compile_conditions};
use super::{Match, Matches};
use crate::policy::model::{self, FieldValue};
use crate::policy::set::CounterSeed;
use crate::policy::template::segments;
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
    /// so that a longer path is told from it. None where no template asks for them.
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
            hook_choices(&rule.conditions, &rule.per, |slot| rule.is_own(&attributes, *slot))
        });
        let (index, proven) = Index::new(&choices.collect::<Vec<_>>());
        rules.iter_mut().zip(proven).for_each(|(rule, proven)| rule.prove(proven));
        let of_exempt = exempt.iter().flatten().map(|it| it.pattern.segment_count_max());
        let longest = rules.iter().map(CompiledRule::segment_count_max).chain(of_exempt).max();
        let segments_max = longest.filter(|it| *it > 0).map_or(0, |it| it + 1);
        Self { attributes, rules, index, exempt, segments_max }
    }

    /// What the entries of a descriptor say, as of `now`.
    pub fn facts<'v>(&'v self, entries: &[Entry<'v>], now: Timestamp) -> Facts<'v> {
        let mut facts = self.no_facts(now);
        facts.read(entries);
        facts
    }

    /// To be read from one descriptor after the other, as of `now`.
    #[inline]
    pub fn no_facts<'v>(&'v self, now: Timestamp) -> Facts<'v> {
        Facts { matcher: self, values: self.attributes.values(), now }
    }

    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }
}

impl<'v> Facts<'v> {
    /// Forgets what was read before.
    #[inline]
    pub fn read(&mut self, entries: &[Entry<'v>]) {
        self.matcher.attributes.read(entries, &mut self.values);
    }
}

impl Facts<'_> {
    /// Adds every rule that applies, in the order of the policy.
    pub fn find(&self, matches: &mut Matches) {
        self.find_met(matches, |_| {});
    }

    /// The same; `meet` is told of each rule that may apply before it is checked.
    #[inline]
    pub fn find_met(&self, matches: &mut Matches, mut meet: impl FnMut(u32)) {
        let mut segments = SmallVec::new();
        self.split(&mut segments);
        let mut candidates = Candidates::new();
        self.search(&self.matcher.index, &segments, &mut candidates);
        let before = matches.found.len();
        let mut has_rows = false;
        for position in candidates.iter().copied() {
            meet(position);
            let rule = &self.matcher.rules[position as usize];
            match self.check_with((rule, position), &segments, rule.proven) {
                Ok((found, is_cost_guessed)) => {
                    has_rows |= rule.row.is_some();
                    matches.found.push(found);
                    if is_cost_guessed {
                        matches.failures.push(position);
                    }
                }
                Err(Miss::WhenFailed(_)) => matches.failures.push(position),
                Err(_) => {}
            }
        }
        if has_rows {
            self.keep_most_specific(matches, before);
        }
    }

    /// Whether the domain never sheds the descriptor for load.
    #[inline]
    pub fn is_exempt(&self) -> bool {
        !self.matcher.exempt.is_empty() && self.meets_exemption()
    }

    fn meets_exemption(&self) -> bool {
        let segments = self.segments();
        let mut exempt = self.matcher.exempt.iter();
        exempt.any(|conditions| self.captured(conditions, &segments).is_ok())
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
    #[cfg(test)]
    pub(super) fn candidates(&self, segments: &[&[u8]]) -> Candidates {
        let mut candidates: Candidates = Candidates::new();
        self.search(&self.matcher.index, segments, &mut candidates);
        candidates
    }

    #[inline(always)]
    pub(super) fn search(&self, index: &Index, segments: &[&[u8]], found: &mut Candidates) {
        index.find(&self.values, || self.path().map(|_| segments), found);
        if found.len() > 1 {
            found.sort_unstable();
            found.dedup();
        }
    }

    /// Whether one rule applies, and to which counter, without the index. Of a table of endpoints
    /// a more specific row may still come before it.
    pub fn check(&self, rule: u32) -> Result<Match, Miss> {
        let compiled = &self.matcher.rules[rule as usize];
        self.check_with((compiled, rule), &self.segments(), Proven::Nothing).map(|(found, _)| found)
    }

    /// Those of the path, as far as templates ask for them.
    #[inline]
    pub(super) fn segments(&self) -> SmallVec<[&[u8]; 12]> {
        let mut segments = SmallVec::new();
        self.split(&mut segments);
        segments
    }

    #[inline(always)]
    fn split<'v>(&'v self, split: &mut SmallVec<[&'v [u8]; 12]>) {
        if self.matcher.segments_max > 0
            && let Some(path) = self.path()
        {
            split_onto(path, self.matcher.segments_max, split);
        }
    }

    #[inline]
    fn path(&self) -> Option<&[u8]> {
        self.matcher.attributes.endpoint(&self.values)
    }

    /// Also whether the cost had to be taken for 1.
    #[inline(always)]
    fn check_with<'v>(
        &'v self,
        (rule, position): (&CompiledRule, u32),
        segments: &'v [&'v [u8]],
        proven: Proven,
    ) -> Result<(Match, bool), Miss> {
        let mut captures = Captures::new();
        if proven != Proven::All
            && let Some(position) = self.missed(&rule.conditions, segments, proven, &mut captures)
        {
            return Err(Miss::Condition(position));
        }
        if let Some(extras) = &rule.extras {
            self.ask(extras, &captures)?;
        }
        let mut counter = rule.counters;
        for (position, slot) in rule.per.iter().enumerate() {
            let value = self.seen(*slot, &captures).ok_or(Miss::PerAbsent(position))?;
            counter.feed(value);
        }
        let found = Match::plain(position, counter.finish());
        let Some(extras) = &rule.extras else { return Ok((found, false)) };
        let rows = self.rows(extras, &captures)?;
        let overrides = extras.overrides.as_ref();
        let overridden = overrides.and_then(|it| self.overridden(it, segments, &captures));
        let cost = extras.cost(|slot| self.seen(slot, &captures));
        Ok((Match { overridden, rows, cost: cost.unwrap_or(1), ..found }, cost.is_none()))
    }

    /// Whether what a rule wants besides its conditions is so.
    fn ask<'v>(&'v self, extras: &Extras, captures: &Captures<'v>) -> Result<(), Miss> {
        if let Some(named) = &extras.named {
            let present = named.iter().filter(|slot| self.values.get(**slot).is_some()).count();
            if present != self.values.entry_count {
                return Err(Miss::Others);
            }
        }
        let Some((when, slots)) = &extras.when else { return Ok(()) };
        let value = |position: usize| self.typed(*slots.get(position)?, captures);
        match when.holds(value) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Miss::When),
            Err(failure) => Err(Miss::WhenFailed(failure.to_string())),
        }
    }

    /// The combination of the rows that the rule's amounts depend on.
    fn rows<'v>(&'v self, extras: &Extras, captures: &Captures<'v>) -> Result<u32, Miss> {
        let mut combination = 0;
        for table in &extras.amount_tables {
            let key = self.seen(table.key, captures);
            let row = key.and_then(|key| self.matcher.attributes.row_position(table.table, key));
            let name = || self.matcher.attributes.name(table.key).to_owned();
            combination += row.ok_or_else(|| Miss::NoRow(name()))? * table.stride;
        }
        Ok(combination)
    }

    /// The first override that applies.
    #[inline(never)]
    fn overridden<'v>(
        &'v self,
        overrides: &Overrides,
        segments: &'v [&'v [u8]],
        captures: &Captures<'v>,
    ) -> Option<u32> {
        let mut candidates: Candidates = Candidates::new();
        self.search(&overrides.index, segments, &mut candidates);
        candidates.into_iter().find(|candidate| {
            let over = &overrides.all[*candidate as usize];
            over.until.is_none_or(|until| self.now < until)
                && self.hold(&over.conditions, captures, segments).is_none()
        })
    }

    /// What the conditions of a rule capture, where they hold; else the first that does not.
    pub(super) fn captured<'v>(
        &'v self,
        conditions: &[Condition],
        segments: &'v [&'v [u8]],
    ) -> Result<Captures<'v>, usize> {
        let mut captures = Captures::new();
        match self.missed(conditions, segments, Proven::Nothing, &mut captures) {
            Some(position) => Err(position),
            None => Ok(captures),
        }
    }

    /// The first condition that does not hold. What they capture is added to `captures`.
    fn missed<'v>(
        &'v self,
        conditions: &[Condition],
        segments: &'v [&'v [u8]],
        proven: Proven,
        captures: &mut Captures<'v>,
    ) -> Option<usize> {
        for (position, condition) in conditions.iter().enumerate().filter(|(_, it)| it.captures) {
            let subject = self.subject(condition.slot, &Captures::new(), segments);
            if let Some(template) = condition.pattern.template(subject) {
                template.capture(segments, captures);
            } else if matches!(condition.pattern, CompiledPattern::Endpoints(_)) {
                return Some(position);
            }
        }
        let mut asked = conditions.iter().zip(0_u32..);
        asked.position(|(condition, position)| {
            proven != Proven::One(position)
                && !condition.pattern.holds(self.subject(condition.slot, captures, segments))
        })
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
        let value = self.seen(slot, captures);
        Subject { value, path: self.path(), segments, ip: self.values.ip() }
    }

    #[inline]
    pub(super) fn seen<'v>(&'v self, slot: Slot, captures: &Captures<'v>) -> Option<&'v [u8]> {
        match captures.is_empty() {
            true => self.values.get(slot),
            false => self.seen_beside(captures, slot),
        }
    }

    fn seen_beside<'v>(&'v self, captures: &Captures<'v>, slot: Slot) -> Option<&'v [u8]> {
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

#[inline(never)]
fn split_onto<'v>(path: &'v [u8], segments_max: usize, split: &mut SmallVec<[&'v [u8]; 12]>) {
    split.extend(segments(path).take(segments_max));
}
