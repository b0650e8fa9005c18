//! One decision, in two pure halves around the charge:
//!
//! ```text
//! plan(policy_set, request)          -> plan with its charges     pure
//! store.charge(charges, now).await   -> outcomes                  the only await
//! conclude(plan, outcomes, now)      -> decision                  pure
//! answer(decision, now)              -> headers and body          pure
//! ```
//!
//! `serve`, `explain` and the benches walk this one path.

use smallvec::SmallVec;

use crate::limit::{ChargeWhen, Limit, Outcome, Verdict};
use crate::policy::model::Mode;
use crate::policy::set::{Domain, PolicySet, Rule};
use crate::request::{Hits, Request};
use crate::time::{Span, Timestamp};

/// Which counter: a keyed 128-bit fingerprint of domain, rule, window and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CounterKey(pub u128);

/// The wish to take hits from one counter.
#[derive(Clone, Copy, Debug)]
pub struct Charge<'s> {
    pub counter: CounterKey,
    pub limit: Limit,
    pub hits: Hits,
    pub when: ChargeWhen,
    pub mode: Mode,
    /// Charges of one group are taken together or not at all when their mode is shadow.
    pub group: u32,
    /// `None` for a limit that the caller brought along.
    pub rule: Option<&'s Rule>,
}

/// What a request asks of the store, and to whom each charge belongs.
#[derive(Debug)]
pub struct Plan<'s> {
    /// `None` when no policy has this domain.
    pub domain: Option<&'s Domain>,
    pub charges: SmallVec<[Charge<'s>; 8]>,
    /// One per descriptor of the request, in order.
    pub descriptors: SmallVec<[DescriptorPlan; 4]>,
}

/// The charges of one descriptor: a range of the plan's.
#[derive(Clone, Copy, Debug)]
pub struct DescriptorPlan {
    pub first_charge: u32,
    pub charge_count: u32,
    /// A matching rule exempts this descriptor, and nothing limits it.
    pub is_unlimited: bool,
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
    pub statuses: SmallVec<[Status<'s>; 4]>,
    /// The limit that headers and body speak of; `None` when nothing limits the request.
    pub binding: Option<Binding<'s>>,
}

/// What one descriptor is told.
#[derive(Clone, Copy, Debug)]
pub struct Status<'s> {
    pub code: Code,
    /// `None` when nothing limits the descriptor.
    pub binding: Option<Binding<'s>>,
    pub is_unlimited: bool,
}

/// The limit that decides: the denying one with the longest wait, else the one with least left.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'s> {
    pub rule: Option<&'s Rule>,
    pub limit: Limit,
    pub verdict: Verdict,
    pub remaining: u64,
    pub reset: Span,
}

/// What goes out besides the code and the statuses.
#[derive(Debug, Default)]
pub struct Answer {
    /// Lower-case names; values are clean: printable ASCII only.
    pub headers: SmallVec<[(&'static str, String); 6]>,
    /// Of a denial; empty otherwise.
    pub body: Vec<u8>,
}

pub fn plan<'s>(set: &'s PolicySet, request: &Request<'_>) -> Plan<'s> {
    let _ = (set, request);
    todo!()
}

pub fn conclude<'s>(plan: &Plan<'s>, outcomes: &[Outcome], now: Timestamp) -> Decision<'s> {
    let _ = (plan, outcomes, now);
    todo!()
}

pub fn answer(decision: &Decision<'_>, now: Timestamp) -> Answer {
    let _ = (decision, now);
    todo!()
}
