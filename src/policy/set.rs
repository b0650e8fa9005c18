//! The compiled policies in force: immutable, shared by every request, swapped whole.
//!
//! A counter's identity is made here from domain, rule name, window and values, never from a
//! position in a file, so that a reload keeps the counters of unchanged rules.

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::limit::{ChargeWhen, Kind, Limit, WindowIdentity};
use crate::policy::fingerprint::SipHash;
use crate::policy::load::Load;
use crate::policy::matcher::native::{Facts, NativeMatcher};
use crate::policy::matcher::tree::Tree;
use crate::policy::matcher::{Match, Matches};
use crate::policy::model::{self, Counting, DescriptorHeaders, Metadata, Mode, Options};
use crate::policy::path_text;
use crate::policy::respond::Respond;
use crate::policy::words::ByText;
use crate::request::Entry;
use crate::time::Timestamp;

/// The key of the hash that makes counter keys, so that clients cannot aim collisions. Counters
/// outlive policy sets, so every set of a process is compiled with the same seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterSeed(pub [u64; 2]);

/// Which counter: a keyed 128-bit fingerprint of domain, rule, window and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CounterKey(pub u128);

/// A counter's key before its window and kind: the limits of one rule and one set of values differ only
/// below the top byte, by which stores may put them together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterBase(u128);

impl CounterBase {
    /// Of what belongs to no rule of a domain.
    pub(crate) const SHARED: Self = Self(u128::from_be_bytes(*b"shared, overflow"));

    const LIMIT_BITS: u128 = u128::MAX >> 8;

    pub fn with_limit(self, salt: LimitSalt) -> CounterKey {
        CounterKey(self.0 ^ (salt.0 & Self::LIMIT_BITS))
    }

    pub fn with_rule(self, salt: RuleSalt) -> SeriesKey {
        SeriesKey(self.0 ^ salt.0)
    }
}

/// Whose history: one rule and one set of values. A rule of the envoyproxy/ratelimit format may share counters
/// with what stood in its place before, and has a history of its own all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesKey(pub u128);

/// What domain and name of a rule add to the keys of its histories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleSalt(u128);

impl RuleSalt {
    pub fn new(seed: CounterSeed, domain: &str, rule: &str) -> Self {
        let mut hasher = CounterHasher::new(seed);
        hasher.feed(b"series");
        hasher.feed(domain.as_bytes());
        hasher.feed(rule.as_bytes());
        Self(hasher.finish().0)
    }

    /// For all values together that have no history of their own.
    pub fn rest(self) -> SeriesKey {
        SeriesKey(self.0)
    }
}

/// What a limit's window and kind add to a counter's key. Both halves come from a keyed hash, so that different
/// pairs of base and limit meet as rarely as any two fingerprints do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitSalt(u128);

impl LimitSalt {
    pub fn new(seed: CounterSeed, limit: Limit) -> Self {
        let identity = limit.identity();
        let (unit, length) = match identity.window {
            Some(WindowIdentity::Seconds(seconds)) => (0, seconds),
            Some(WindowIdentity::MondayWeeks(weeks)) => (1, weeks),
            Some(WindowIdentity::Months(months)) => (2, months),
            Some(WindowIdentity::LocalDays(local)) => (3, local.length),
            Some(WindowIdentity::LocalMonths(local)) => (4, local.length),
            None => (5, 0),
            Some(WindowIdentity::FirstHit(seconds)) => (6, seconds),
        };
        let mut hasher = CounterHasher::new(seed);
        hasher.feed(b"limit");
        hasher.feed(identity.kind.as_bytes());
        hasher.feed(&[unit]);
        hasher.feed(&length.to_le_bytes());
        if let Some(WindowIdentity::LocalDays(local) | WindowIdentity::LocalMonths(local)) =
            identity.window
        {
            hasher.feed(local.zone.name().as_bytes());
            hasher.feed(&local.phase.to_le_bytes());
            hasher.feed(&local.day.to_le_bytes());
            hasher.feed(&local.minute_of_day.to_le_bytes());
        }
        Self(hasher.finish().0)
    }
}

/// Makes counter keys: a keyed hash over parts, each with its length, so that no two lists of
/// parts are fed alike.
#[derive(Clone, Copy, Debug)]
pub struct CounterHasher(SipHash);

impl CounterHasher {
    pub fn new(seed: CounterSeed) -> Self {
        Self(SipHash::new(seed.0))
    }

    #[inline]
    pub fn feed(&mut self, part: &[u8]) {
        self.0.feed_word(part.len() as u64);
        self.0.feed(part);
    }

    #[inline]
    pub fn finish(self) -> CounterBase {
        CounterBase(self.0.finish())
    }
}

#[derive(Debug)]
pub struct PolicySet {
    /// Grows by one with every set that is published; set by who publishes.
    pub version: u64,
    /// By name.
    pub domains: Vec<Domain>,
    by_name: ByText<usize>,
    pub(crate) seed: CounterSeed,
    pub(crate) mode: Mode,
    has_metadata: bool,
}

#[derive(Debug)]
pub struct Domain {
    /// Position in the set's domains; what metrics cache their handles by.
    pub index: usize,
    pub name: Arc<str>,
    pub rules: Vec<Rule>,
    /// Descriptors of the envoyproxy/ratelimit format without a limit of their own, as operators
    /// know them: they exempt a value or only lead further down.
    pub limitless: Vec<String>,
    /// For limits that the caller brings along.
    pub respond: Arc<Respond>,
    /// When the domain sheds load, where it does.
    pub load: Option<Box<Load>>,
    /// Of the envoyproxy/ratelimit format, whose meaning differs in places.
    pub descriptors: Option<Box<DescriptorDomain>>,
    pub matcher: Matcher,
}

/// What holds for a whole domain of the envoyproxy/ratelimit format.
#[derive(Debug)]
pub struct DescriptorDomain {
    /// Whether a limit with room counts nothing of a request that is over another one.
    pub spares_others: bool,
    /// Nothing is denied; statuses tell the truth all the same, as there.
    pub is_shadow: bool,
    /// Whether every descriptor is in quota mode, also those without a limit.
    pub quota_mode: bool,
    pub headers: Option<DescriptorHeaders>,
}

impl DescriptorDomain {
    /// Whether a limit denies only together with all others of its kind; `None` is one that the
    /// caller brought along.
    pub fn is_quota(&self, rule: Option<&Rule>) -> bool {
        let own = rule.and_then(|rule| rule.descriptor.as_ref());
        self.quota_mode || own.is_some_and(|own| own.is_quota)
    }
}

#[derive(Debug)]
pub enum Matcher {
    Native(Box<NativeMatcher>),
    Tree(Tree),
}

/// What finds the rules of a domain for the descriptors of a request.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a request has one, and it is never moved")]
pub enum Finder<'v> {
    Native(Facts<'v>, &'v [Rule]),
    Tree(&'v Tree, &'v [Rule]),
}

/// Of one rule; most have one, which then lies beside the rest of what a request asks for.
pub type RuleLimits = SmallVec<[RuleLimit; 1]>;

/// In the order of its fields: what every request asks for comes first and together, because of many
/// rules each request meets another one, which then comes from far in memory.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Rule {
    pub salt: RuleSalt,
    pub limits: RuleLimits,
    /// Of the envoyproxy/ratelimit format: answers then speak of the limit although it is in
    /// shadow, as that server does.
    pub descriptor: Option<Box<DescriptorRule>>,
    pub charge: ChargeWhen,
    pub mode: Mode,
    /// Whether negative hits give back.
    pub has_refund: bool,
    /// Whether hits must be on disk before they are admitted.
    pub is_strict: bool,
    pub is_unlimited: bool,
    /// Whether it replaces others.
    pub is_replacing: bool,
    pub respond: Arc<Respond>,
    /// Position among all rules of the set; what metrics cache their handles by.
    pub index: usize,
    /// What leaves in `current_limit.name`: sanitised, and empty where the format has no name.
    pub wire_name: Arc<str>,
    /// As operators know it; of an envoyproxy/ratelimit descriptor the path of keys and values.
    pub name: Arc<str>,
    /// What counts new keys when there is no room for counters of their own.
    pub overflow: CounterBase,
    /// Its match as an operator would read it; empty for every request.
    pub applies_to: String,
    /// The attributes that its counters are chosen by.
    pub per: Vec<String>,
    /// What may stand in for the limits; the matcher says when.
    pub overrides: Vec<RuleOverride>,
    /// The rule with the table of endpoints that this is a row of.
    pub row_of: Option<Arc<str>>,
    /// The condition that must hold besides its match, as it was written.
    pub when: Option<Box<str>>,
    /// What hits are multiplied by, as it was written.
    pub cost: Option<Box<str>>,
    /// Positions, in the domain, of the rules that are dropped when this one matches: for each
    /// name those that carry it.
    pub replaces: Vec<Arc<[u32]>>,
}

/// What only rules of the envoyproxy/ratelimit format have.
#[derive(Debug, PartialEq)]
pub struct DescriptorRule {
    /// Whether it denies only together with all others of its kind that a request meets.
    pub is_quota: bool,
    /// One for each entry, where metrics tell more than the path of the rule.
    pub detail: Option<Box<[DetailLevel]>>,
    /// What answers tell when the limit has let a request pass.
    pub metadata: Option<Metadata>,
}

/// What metrics tell of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DetailLevel {
    Fixed(Box<str>),
    /// Key and value as the request has them.
    Request,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RuleLimit {
    /// Where the amount differs from row to row of a table, that of the first row that has one.
    limit: Limit,
    pub salt: LimitSalt,
    by_row: Option<Box<ByRow>>,
}

/// An amount that differs from row to row.
#[derive(Clone, Debug, PartialEq)]
struct ByRow {
    /// For each combination of rows.
    amounts: Box<[Option<u64>]>,
    /// How the rows choose it, for people.
    formula: Box<str>,
    /// Of a bucket without a burst of its own: as many as the amount may come at once.
    is_burst_amount: bool,
}

/// Limits that stand in for those of a rule; none at all exempt.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleOverride {
    pub limits: RuleLimits,
    pub until: Option<Timestamp>,
    pub reason: Box<str>,
}

impl RuleLimit {
    pub(super) fn new(seed: CounterSeed, limit: Limit) -> Self {
        let salt = LimitSalt::new(seed, limit);
        Self { limit, salt, by_row: None }
    }

    /// A limit whose amount is worked out for each combination of rows.
    pub(super) fn by_row(
        seed: CounterSeed,
        limit: &model::Limit,
        amounts: Box<[Option<u64>]>,
        formula: String,
    ) -> Self {
        let is_burst_amount = matches!(limit.counting, Counting::Bucket { burst: None, .. });
        let first = amounts.iter().flatten().next().copied();
        let limit = limit.of(first.unwrap_or_default());
        let salt = LimitSalt::new(seed, limit);
        let by_row = ByRow { amounts, formula: formula.into(), is_burst_amount };
        Self { limit, salt, by_row: Some(Box::new(by_row)) }
    }

    /// The limit, where it is the same for all rows.
    #[inline]
    pub fn fixed(&self) -> Option<&Limit> {
        self.by_row.is_none().then_some(&self.limit)
    }

    /// The limit for a combination of rows; `None` where it has no amount.
    pub fn at(&self, rows: u32) -> Option<Limit> {
        let Some(by_row) = &self.by_row else { return Some(self.limit) };
        let amount = by_row.amounts.get(rows as usize).copied().flatten()?;
        let kind = match self.limit.kind {
            Kind::Bucket { window, .. } if by_row.is_burst_amount => {
                Kind::Bucket { window, burst: amount }
            }
            kind => kind,
        };
        Some(Limit { amount, kind, ..self.limit })
    }

    /// How the rows choose the amount, for people.
    pub fn formula(&self) -> Option<&str> {
        self.by_row.as_ref().map(|by_row| by_row.formula.as_ref())
    }

    /// The limit whatever the rows; its amount is that of one row.
    pub fn any(&self) -> Limit {
        self.limit
    }
}

/// As a policy writes it.
impl fmt::Display for RuleLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.by_row {
            None => self.limit.fmt(f),
            Some(by_row) => {
                let formula = &by_row.formula;
                let text = self.limit.to_string();
                let amount = self.limit.amount.to_string();
                let rest = text.strip_prefix(&amount).unwrap_or(&text);
                write!(f, "({formula}){rest}")
            }
        }
    }
}

impl PolicySet {
    /// Compiles checked policies.
    pub fn new(policies: &[model::Policy], seed: CounterSeed, options: &Options) -> Self {
        let mut policies: Vec<&model::Policy> = policies.iter().collect();
        policies.sort_by(|a, b| a.domain.value.cmp(&b.domain.value));
        let mut domains: Vec<Domain> = policies
            .into_iter()
            .map(|policy| super::compile::domain(policy, seed, options))
            .collect();
        let rules = domains.iter_mut().flat_map(|domain| &mut domain.rules);
        rules.zip(0..).for_each(|(rule, index)| rule.index = index);
        domains.iter_mut().zip(0..).for_each(|(domain, index)| domain.index = index);
        for domain in &mut domains {
            let Domain { name, rules, .. } = domain;
            for rule in rules {
                let mut hasher = CounterHasher::new(seed);
                hasher.feed(b"overflow");
                hasher.feed(name.as_bytes());
                hasher.feed(rule.name.as_bytes());
                rule.overflow = hasher.finish();
                rule.is_replacing = !rule.replaces.is_empty();
            }
        }
        let mut by_name = ByText::default();
        for domain in &domains {
            *by_name.or_default(domain.name.as_bytes()) = domain.index;
        }
        let has_metadata = options.descriptors.has_metadata;
        Self { version: 0, domains, by_name, seed, mode: options.mode, has_metadata }
    }

    /// Whether some policy is of the envoyproxy/ratelimit format.
    pub fn has_descriptors(&self) -> bool {
        self.domains.iter().any(|domain| domain.descriptors.is_some())
    }

    /// Whether answers for a domain, or for one that no policy has, tell the request and the
    /// metadata of its limits.
    pub fn has_metadata(&self, domain: Option<&Domain>) -> bool {
        self.has_metadata && domain.is_none_or(|domain| domain.descriptors.is_some())
    }

    pub fn domain(&self, name: &[u8]) -> Option<&Domain> {
        self.by_name.get(name).map(|position| &self.domains[*position])
    }

    pub fn rules(&self) -> impl Iterator<Item = (&Domain, &Rule)> {
        self.domains.iter().flat_map(|domain| domain.rules.iter().map(move |rule| (domain, rule)))
    }
}

impl Domain {
    /// Finds the rules for one descriptor after the other.
    #[inline]
    pub fn finder(&self, now: Timestamp) -> Finder<'_> {
        match &self.matcher {
            Matcher::Native(matcher) => Finder::Native(matcher.no_facts(now), &self.rules),
            Matcher::Tree(tree) => Finder::Tree(tree, &self.rules),
        }
    }

    #[inline]
    pub fn rule(&self, found: Match) -> &Rule {
        &self.rules[found.rule as usize]
    }

    /// Names and values by which a rule that applies to a descriptor chooses its counter, for
    /// people.
    pub fn counted_by(
        &self,
        rule: &Rule,
        entries: &[Entry<'_>],
        now: Timestamp,
    ) -> Vec<(String, String)> {
        let first = self.rules.first().map_or(0, |rule| rule.index);
        match &self.matcher {
            Matcher::Native(matcher) => {
                let position = u32::try_from(rule.index.saturating_sub(first));
                position.map(|it| matcher.facts(entries, now).counted_by(it)).unwrap_or_default()
            }
            Matcher::Tree(tree) => tree.walk(entries).1.map(|it| it.values).unwrap_or_default(),
        }
    }
}

impl<'v> Finder<'v> {
    /// Adds the rules that apply to a descriptor, in the order they were written in.
    #[inline]
    pub fn find(&mut self, entries: &[Entry<'v>], matches: &mut Matches) {
        match self {
            Self::Native(facts, rules) => {
                facts.read(entries);
                // Asked before a rule is checked, so that of a rule that lies far in memory the matcher's
                // part and this one come at the same time.
                let mut has_replacing = false;
                facts.find_met(matches, |rule| has_replacing |= rules[rule as usize].is_replacing);
                matches.has_replacing |= has_replacing;
                matches.is_exempt |= facts.is_exempt();
            }
            Self::Tree(tree, rules) => {
                if let Some(found) = tree.find(entries) {
                    matches.has_replacing |= rules[found.rule as usize].is_replacing;
                    matches.found.push(found);
                }
            }
        }
    }

    /// Whether the policy exempts a descriptor from being shed.
    pub fn is_exempt(&mut self, entries: &[Entry<'v>]) -> bool {
        match self {
            Self::Native(facts, _) => {
                facts.read(entries);
                facts.is_exempt()
            }
            Self::Tree(..) => false,
        }
    }
}

impl Rule {
    /// Whether it has a condition or a cost that may fail to be worked out.
    pub fn has_expressions(&self) -> bool {
        self.when.is_some() || self.cost.is_some()
    }

    /// Whether metrics tell more of it than its name.
    pub fn has_detail(&self) -> bool {
        self.descriptor.as_ref().is_some_and(|rule| rule.detail.is_some())
    }

    /// What metrics tell of a request that the rule applies to, besides its name.
    pub fn detail(&self, entries: &[Entry<'_>]) -> Option<String> {
        let levels = self.descriptor.as_ref()?.detail.as_ref()?;
        Some(path_text::detail(levels, entries))
    }

    /// The limits that hold where the rule was found so; none exempt.
    pub fn limits_for(&self, found: &Match) -> &[RuleLimit] {
        let over = found.overridden.and_then(|position| self.overrides.get(position as usize));
        over.map_or(&self.limits, |over| &over.limits)
    }
}
