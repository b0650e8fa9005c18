//! Load of one domain, compiled: what it can carry, from when on it sheds, and what tells it.
//!
//! All requests of the domain share one counter, whose key holds the domain and how is counted but
//! no amount: a reload with another capacity keeps what is under way.

use std::num::NonZeroU32;
use std::sync::Arc;

use crate::limit::{Alignment, ChargeWhen, Kind, Limit, Unit, Window};
use crate::policy::model::{self, LoadHeaders, Mode, Thresholds};
use crate::policy::respond::Respond;
use crate::policy::set::{
    CounterHasher, CounterKey, CounterSeed, LimitSalt, Rule, RuleLimit, RuleSalt,
};

/// What answers and metadata call it.
pub const NAME: &str = "load";

#[derive(Debug)]
pub struct Load {
    /// What statuses, metadata and explanations name; no rule of the policy.
    pub rule: Rule,
    /// `None` where load is only reported.
    pub capacity: Option<Capacity>,
    pub thresholds: Thresholds,
    pub headers: LoadHeaders,
    /// Who is never shed, as an operator would read it.
    pub exempt: Vec<String>,
    /// A counter that admits nothing and is never kept.
    pub closed: (CounterKey, Limit),
}

/// What is measured, and against what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// So much is a load of 100 percent.
    pub amount: u64,
    /// Its amount is the share from which on load is shed.
    pub limit: Limit,
    pub counter: CounterKey,
}

impl Load {
    pub(super) fn new(
        domain: &str,
        load: &model::Load,
        exempt: Vec<String>,
        respond: &Arc<Respond>,
        seed: CounterSeed,
    ) -> Self {
        let mut counters = CounterHasher::new(seed);
        counters.feed(NAME.as_bytes());
        counters.feed(domain.as_bytes());
        let counter = |limit| counters.finish().with_limit(LimitSalt::new(seed, limit));
        let capacity = load.capacity.map(|capacity| {
            let amount = shed_amount(capacity.amount, load.thresholds.shed);
            let limit = model::Limit::new(amount, capacity.counting).of(amount);
            Capacity { amount: capacity.amount, limit, counter: counter(limit) }
        });
        let second =
            Window { count: NonZeroU32::MIN, unit: Unit::Second, alignment: Alignment::Epoch };
        let closed = Limit::new(0, Kind::Rolling(second));
        let rule = Rule {
            index: usize::MAX,
            name: NAME.into(),
            salt: RuleSalt::new(seed, domain, NAME),
            wire_name: NAME.into(),
            applies_to: String::new(),
            per: Vec::new(),
            limits: capacity.iter().map(|it| RuleLimit::new(seed, it.limit)).collect(),
            overrides: Vec::new(),
            row_of: None,
            is_unlimited: false,
            is_replacing: false,
            when: None,
            cost: None,
            replaces: Vec::new(),
            charge: ChargeWhen::Admitted,
            mode: load.mode,
            descriptor: None,
            has_refund: false,
            is_strict: false,
            overflow: crate::policy::set::CounterBase::SHARED,
            respond: Arc::clone(respond),
        };
        Self {
            rule,
            capacity,
            thresholds: load.thresholds,
            headers: load.headers.clone(),
            exempt,
            closed: (counter(closed), closed),
        }
    }

    pub fn is_enforced(&self) -> bool {
        self.rule.mode == Mode::Enforce
    }

    /// Whether another one sheds the same requests and tells it in the same way.
    pub fn is_same(&self, other: &Self) -> bool {
        let capacity = |of: &Self| of.capacity.map(|it| (it.amount, it.limit));
        capacity(self) == capacity(other)
            && self.thresholds == other.thresholds
            && self.headers == other.headers
            && self.exempt == other.exempt
            && self.rule.mode == other.rule.mode
    }
}

impl Capacity {
    /// `used` in percent of the capacity, rounded down; never over 100.
    pub fn percent(&self, used: u64) -> u8 {
        let percent = u128::from(used) * 100 / u128::from(self.amount.max(1));
        u8::try_from(percent.min(100)).unwrap_or(100)
    }

    pub fn is_in_flight(&self) -> bool {
        self.limit.kind.is_concurrent()
    }
}

/// The share of a capacity that is admitted, and one request at least.
fn shed_amount(capacity: u64, shed: u8) -> u64 {
    let share = u128::from(capacity) * u128::from(shed) / 100;
    u64::try_from(share).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_rounded_down_and_admit_something() {
        for (capacity, shed, amount) in [
            (1_000, 100, 1_000),
            (1_000, 95, 950),
            (3, 50, 1),
            (1, 1, 1),
            (u64::MAX, 100, u64::MAX),
        ] {
            assert_eq!(shed_amount(capacity, shed), amount, "{shed} % of {capacity}");
        }
    }
}
