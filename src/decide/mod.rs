//! One decision, in two pure halves around the charge:
//!
//! ```text
//! plan(policy_set, request, now, …)  -> plan with its charges     pure
//! store.charge(charges, now).await   -> outcomes                  the only await
//! conclude(plan, outcomes)           -> decision                  pure
//! answer(decision, now)              -> headers and body          pure
//! ```
//!
//! `serve` and the benches walk this one path; `explain` too, with a charge that is only tried.

mod answer;
mod body;
mod conclude;
mod headers;
pub mod lease;
pub mod load;
#[cfg(test)]
mod load_tests;
mod plan;
#[cfg(test)]
mod tests;

use smallvec::SmallVec;

use crate::limit::{ChargeWhen, Hits, Limit, Outcome, Verdict};
use crate::policy::model::Mode;
use crate::policy::set::{Domain, Rule};
use crate::time::Span;

pub use crate::policy::set::{CounterKey, SeriesKey};
pub use answer::answer;
pub use body::{reason, rule_name};
pub use conclude::conclude;
pub use headers::Headers;
pub use lease::Lease;
pub use load::{LoadPlan, LoadReading, Reported};
pub use plan::plan;

/// The wish to take hits from one counter.
#[derive(Clone, Copy, Debug)]
pub struct Charge<'s> {
    pub counter: CounterKey,
    pub limit: Limit,
    pub hits: Hits,
    pub when: ChargeWhen,
    pub mode: Mode,
    pub denies: Denies,
    /// Whether its hits must be on disk before they are admitted.
    pub is_strict: bool,
    /// Whether this counts nothing where another charge of its request does not fit.
    pub is_spared: bool,
    /// The same for all charges of one rule and one descriptor, and for no others of the plan.
    /// In shadow these are taken together or not at all.
    pub group: u32,
    /// `None` for a limit that the caller brought along.
    pub rule: Option<&'s Rule>,
}

/// What a denied charge, where it is enforced, means for its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denies {
    Alone,
    /// Only when all others like it are denied too.
    WithAllQuotas,
    /// Nothing: some quota of the request has room whatever comes.
    Nothing,
}

/// Collects whether a request is denied.
#[derive(Clone, Copy, Debug, Default)]
pub struct Denial {
    is_alone: bool,
    has_quota: bool,
    has_room: bool,
}

impl Denial {
    /// Notes one charge; what is in shadow is not denied.
    pub fn note(&mut self, denies: Denies, is_denied: bool) {
        match denies {
            Denies::Nothing => {}
            Denies::Alone => self.is_alone |= is_denied,
            Denies::WithAllQuotas => {
                self.has_quota = true;
                self.has_room |= !is_denied;
            }
        }
    }

    pub fn is_denied(self) -> bool {
        self.is_alone || self.quotas_are_used_up()
    }

    pub fn quotas_are_used_up(self) -> bool {
        self.has_quota && !self.has_room
    }
}

impl Charge<'_> {
    /// Whether this asks for slots of a concurrency limit.
    pub fn takes_slots(&self) -> bool {
        self.limit.kind.is_concurrent() && matches!(self.hits, Hits::Take(1..))
    }

    /// Whether this takes from a reserve that is on disk.
    pub fn takes_strictly(&self) -> bool {
        self.is_strict && matches!(self.hits, Hits::Take(1..))
    }

    /// Whether this counts although its request is denied, so that who tries again meets it.
    pub fn counts_denied(&self) -> bool {
        let is_native = self.rule.is_some_and(|rule| rule.descriptor.is_none());
        is_native
            && self.when == ChargeWhen::Always
            && self.mode == Mode::Enforce
            && matches!(self.hits, Hits::Take(1..))
    }

    pub fn gives_slots_back(&self) -> bool {
        self.limit.kind.is_concurrent() && matches!(self.hits, Hits::GiveBack(1..))
    }
}

/// What a request asks of the store, and to whom each charge belongs.
#[derive(Debug)]
pub struct Plan<'s> {
    /// `None` when no policy has this domain.
    pub domain: Option<&'s Domain>,
    /// First the one for load, where there is one; then those of the descriptors.
    pub charges: SmallVec<[Charge<'s>; 8]>,
    /// Where the domain sheds load.
    pub load: Option<LoadPlan<'s>>,
    /// One per descriptor of the request, in order.
    pub descriptors: SmallVec<[DescriptorPlan; 4]>,
    /// One per group of charges: whose history they belong to. Nobody asks for that of a limit that
    /// the caller brought along.
    pub series: SmallVec<[SeriesKey; 8]>,
    /// The unlimited rules that apply: they charge nothing, and are counted all the same.
    pub exemptions: SmallVec<[Exemption<'s>; 2]>,
    /// The leases that the request gives back.
    pub releases: SmallVec<[Lease; 1]>,
    /// The rules of which an expression could not be worked out.
    pub failures: SmallVec<[&'s Rule; 2]>,
    /// Whether the answer tells the request and the metadata of its limits.
    pub has_metadata: bool,
}

impl Plan<'_> {
    /// How many charges come before those of the descriptors.
    pub fn load_charge_count(&self) -> usize {
        usize::from(self.load.is_some_and(|load| load.has_charge))
    }
}

/// An unlimited rule that applies to a descriptor.
#[derive(Clone, Copy, Debug)]
pub struct Exemption<'s> {
    pub rule: &'s Rule,
    /// Position of the descriptor in the request.
    pub descriptor: u32,
    pub hits: Hits,
    pub series: SeriesKey,
}

/// What the charges of a plan would be told, found out without counting them.
#[derive(Debug)]
pub struct Trial {
    /// Where the counter of each charge stands before, in order.
    pub standing: SmallVec<[Standing; 8]>,
    /// What each charge would be told, in order.
    pub outcomes: SmallVec<[Outcome; 8]>,
}

/// Where a counter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What a take of nothing is told.
    pub look: Outcome,
    /// Slots held of a concurrency limit.
    pub held: Option<u64>,
}

/// The charges of one descriptor: `charge_count` of the plan's, after those of the descriptor
/// before.
#[derive(Clone, Copy, Debug)]
pub struct DescriptorPlan {
    pub charge_count: usize,
    /// A matching rule exempts this descriptor, and nothing limits it.
    pub is_unlimited: bool,
}

impl DescriptorPlan {
    /// No rule applies.
    const BARE: Self = Self { charge_count: 0, is_unlimited: false };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    Ok,
    OverLimit,
}

/// The answer for a request.
#[derive(Debug)]
pub struct Decision<'s> {
    pub domain: Option<&'s Domain>,
    pub code: Code,
    /// One per descriptor, in order.
    pub statuses: SmallVec<[Status; 4]>,
    /// Of the limits the one that headers and body speak of; `None` when nothing limits the request.
    pub tightest: Option<usize>,
    /// Every limit that headers may list, in the order of the charges.
    pub limits: SmallVec<[Binding<'s>; 8]>,
    /// What each rule that applied made of it; once per descriptor it applied to.
    pub rules: SmallVec<[RuleOutcome<'s>; 8]>,
    /// The rules of which an expression could not be worked out.
    pub failures: SmallVec<[&'s Rule; 2]>,
    /// What an admitted request holds until it is given back.
    pub leases: SmallVec<[Lease; 1]>,
    /// Of a domain that sheds load.
    pub load: Option<LoadReading<'s>>,
    /// Whether the answer tells the request and the metadata of its limits.
    pub has_metadata: bool,
}

impl<'s> Decision<'s> {
    /// The limit that headers and body speak of.
    pub fn binding(&self) -> Option<&Binding<'s>> {
        self.limits.get(self.tightest?)
    }

    /// The limit that decides for one descriptor.
    pub fn binding_of(&self, status: &Status) -> Option<&Binding<'s>> {
        self.limits.get(status.tightest?)
    }

    /// [`Self::binding_of`] of each descriptor that has one.
    pub fn bindings(&self) -> impl DoubleEndedIterator<Item = &Binding<'s>> + Clone {
        self.statuses.iter().filter_map(|status| self.binding_of(status))
    }

    /// Whether the request is refused for load, whatever its limits say.
    pub fn is_shed(&self) -> bool {
        self.load.is_some_and(|load| load.shed.is_some())
    }

    /// The HTTP status that the caller is to see, 200 for what passes.
    pub fn status(&self) -> u16 {
        match self.code {
            Code::Ok => 200,
            Code::OverLimit if self.is_shed() => 503,
            Code::OverLimit => 429,
        }
    }
}

/// What one descriptor is told.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    pub code: Code,
    /// Of the decision's limits the one that decides; `None` when nothing limits the descriptor.
    pub tightest: Option<usize>,
    pub is_unlimited: bool,
}

/// The limit that decides: the denying one with the longest wait, else the one with least left.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'s> {
    pub rule: Option<&'s Rule>,
    pub limit: Limit,
    pub verdict: Verdict,
    pub remaining: u64,
    /// `None` where only those who hold the limit know.
    pub reset: Option<Span>,
}

/// What one rule made of one descriptor; what usage and metrics count.
#[derive(Clone, Copy, Debug)]
pub struct RuleOutcome<'s> {
    /// Whose history this belongs to.
    pub series: SeriesKey,
    pub rule: &'s Rule,
    /// Position of the descriptor in the request.
    pub descriptor: u32,
    /// Zero for hits that are given back.
    pub hits: u64,
    pub code: RuleCode,
    /// How much is used of the limit that is used most, after this, in basis points: 10,000 is
    /// all of it, and what is denied. 0 where nothing limits.
    pub peak: u16,
    /// Whether it was counted together with other new keys of the rule, for want of room.
    pub is_overflow: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleCode {
    /// Had room, and the request was let through.
    Ok,
    OverLimit,
    /// Would have denied, were it enforced, or were no other quota left.
    ShadowOverLimit,
    /// Had room, but another rule denied the request.
    DeniedElsewhere,
}

impl RuleCode {
    /// Each at the position that it is as a number.
    pub const ALL: [Self; 4] =
        [Self::Ok, Self::OverLimit, Self::ShadowOverLimit, Self::DeniedElsewhere];
}

/// What goes out besides the code and the statuses.
#[derive(Debug, Default)]
pub struct Answer<'s> {
    pub headers: Headers<'s>,
    /// Of a denial; empty otherwise.
    pub body: Vec<u8>,
}
