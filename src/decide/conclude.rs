//! The second half: what the outcomes of all charges mean for the request.
//!
//! One enforced denial denies the request, of quotas only all of them together; statuses then still
//! tell every descriptor its own truth. Shadow denials never do. Where load sheds the request, that is all they tell.

use smallvec::SmallVec;

use super::{
    Binding, Charge, Code, Decision, Denial, Exemption, Lease, Plan, RuleCode, RuleOutcome, Status,
};
use crate::limit::{Hits, Outcome, Verdict};
use crate::policy::model::Mode;
use crate::policy::set::DescriptorDomain;
use crate::time::Span;

/// Concludes from one outcome per charge of the plan, in order.
#[inline]
pub fn conclude<'s>(plan: &Plan<'s>, outcomes: &[Outcome]) -> Decision<'s> {
    let mut decision = Decision {
        domain: plan.domain,
        load: None,
        code: Code::Ok,
        statuses: SmallVec::new(),
        tightest: None,
        limits: SmallVec::new(),
        rules: SmallVec::new(),
        failures: SmallVec::new(),
        leases: SmallVec::new(),
        has_metadata: plan.has_metadata,
    };
    fill(&mut decision, plan, outcomes);
    decision
}

/// Concludes where the decision lies: it is large to move.
fn fill<'s>(decision: &mut Decision<'s>, plan: &Plan<'s>, outcomes: &[Outcome]) {
    debug_assert_eq!(plan.charges.len(), outcomes.len(), "one outcome per charge");
    if let Some(load) = plan.load {
        let charged = plan.charges.iter().zip(outcomes).next();
        decision.load = load.read(charged.filter(|_| plan.load_charge_count() > 0));
    }
    if !plan.failures.is_empty() {
        decision.failures.extend_from_slice(&plan.failures);
    }
    // Who tries again meets what this request counts although it is denied.
    let again = outcomes.iter().filter_map(|outcome| outcome.again).max();
    let has_lease = outcomes.iter().any(|outcome| outcome.lease.is_some());
    let mut rest = plan.charges.iter().zip(outcomes).skip(plan.load_charge_count());
    let format = plan.domain.and_then(|domain| domain.descriptors.as_deref());
    let mut denial = Denial::default();
    let (mut group, mut has_denied) = (None, false);
    for (planned, descriptor) in plan.descriptors.iter().zip(0..) {
        let mut tightest: Option<usize> = None;
        for (charge, outcome) in rest.by_ref().take(planned.charge_count) {
            let is_denied = charge.mode == Mode::Enforce && outcome.verdict.is_denial();
            denial.note(charge.denies, is_denied);
            has_denied |= is_denied;
            tell_rule(plan, (charge, outcome), descriptor, &mut group, &mut decision.rules);
            if !is_shown(charge) {
                continue;
            }
            let mut candidate = bind(charge, outcome, again);
            if format.is_some() {
                candidate.reset = candidate.reset.map(Span::whole_seconds);
            }
            if tightest.is_none_or(|held| candidate.binds_before(&decision.limits[held])) {
                tightest = Some(decision.limits.len());
            }
            decision.limits.push(candidate);
        }
        let binding = tightest.map(|place| &decision.limits[place]);
        let denied = binding.is_some_and(|binding| binding.verdict.is_denial());
        let code = if denied { Code::OverLimit } else { Code::Ok };
        if let Some(binding) = binding
            && decision.binding().is_none_or(|held| binding.binds_before(held))
        {
            decision.tightest = tightest;
        }
        let is_unlimited = planned.is_unlimited;
        decision.statuses.push(Status { code, tightest, is_unlimited });
    }
    if denial.is_denied() && !format.is_some_and(|format| format.is_shadow) {
        decision.code = Code::OverLimit;
        if let Some(format) = format {
            decision.tightest = denying(decision, denial, format);
        }
    }
    if let Some(shed) = decision.load.and_then(|load| load.shed) {
        shed_all(decision, Binding { reset: shed.reset.max(again), ..shed });
    }
    tell_exemptions(&plan.exemptions, &mut decision.rules);
    if has_denied || decision.code == Code::OverLimit {
        settle(&mut decision.rules, decision.code);
    }
    if has_lease && decision.code == Code::Ok {
        for (charge, outcome) in plan.charges.iter().zip(outcomes) {
            if let Some(id) = outcome.lease {
                decision.leases.push(Lease { counter: charge.counter, id });
            }
        }
    }
}

/// Of a request that is shed nothing else matters.
fn shed_all<'s>(decision: &mut Decision<'s>, shed: Binding<'s>) {
    decision.code = Code::OverLimit;
    decision.limits = SmallVec::from_slice(&[shed]);
    decision.tightest = Some(0);
    let status = Status { code: Code::OverLimit, tightest: Some(0), is_unlimited: false };
    decision.statuses.iter_mut().for_each(|it| *it = status);
}

/// What a denied request waits for: each limit that denies by itself, and of quotas, where they deny,
/// the first that has room again. Its place among the limits.
fn denying(decision: &Decision<'_>, denial: Denial, format: &DescriptorDomain) -> Option<usize> {
    let limit = |place: usize| &decision.limits[place];
    let is_quota = |place: &usize| format.is_quota(limit(*place).rule);
    let denied = || {
        let places = decision.statuses.iter().filter_map(|status| status.tightest);
        places.filter(|place| limit(*place).verdict.is_denial())
    };
    let tighter = |held: usize, other: usize| {
        if limit(other).binds_before(limit(held)) { other } else { held }
    };
    let alone = denied().filter(|place| !is_quota(place)).reduce(tighter);
    let quota = denied().filter(|_| denial.quotas_are_used_up()).filter(is_quota);
    let quota = quota.min_by_key(|place| limit(*place).reset);
    alone.into_iter().chain(quota).reduce(tighter)
}

/// Limits in shadow stay out of what clients see, except where the format shows them.
fn is_shown(charge: &Charge<'_>) -> bool {
    match charge.mode {
        Mode::Enforce => true,
        Mode::Shadow => charge.rule.is_some_and(|rule| rule.descriptor.is_some()),
    }
}

/// In shadow a denial is told as room for nothing more. A policy may cap the wait of a denial.
fn bind<'s>(charge: &Charge<'s>, outcome: &Outcome, again: Option<Span>) -> Binding<'s> {
    let verdict = match charge.mode {
        Mode::Enforce => outcome.verdict,
        Mode::Shadow => Verdict::Admitted,
    };
    let reset = match verdict.is_denial() {
        true => {
            let cap = charge.rule.and_then(|rule| rule.respond.retry_after_max);
            let reset = outcome.reset.max(again);
            reset.map(|reset| cap.map_or(reset, |cap| reset.min(cap)))
        }
        false => outcome.reset,
    };
    let (rule, limit, remaining) = (charge.rule, charge.limit, outcome.remaining);
    Binding { rule, limit, verdict, remaining, reset }
}

impl Binding<'_> {
    /// A denial before none; of two denials the longer wait, else the one with less left, where
    /// what is held at a time gives way to what is counted over time. The first keeps its place in
    /// a tie.
    fn binds_before(&self, first: &Self) -> bool {
        match (first.verdict.is_denial(), self.verdict.is_denial()) {
            (true, true) => self.reset > first.reset,
            (false, false) => {
                let rank = |of: &Self| (of.limit.kind.is_concurrent(), of.remaining);
                rank(self) < rank(first)
            }
            (first_denies, _) => !first_denies,
        }
    }
}

/// Adds what a rule made of one charge: as if whatever denies denied the request, and nothing else
/// did.
fn tell_rule<'s>(
    plan: &Plan<'s>,
    (charge, outcome): (&Charge<'s>, &Outcome),
    descriptor: u32,
    group: &mut Option<u32>,
    rules: &mut SmallVec<[RuleOutcome<'s>; 8]>,
) {
    let Some(rule) = charge.rule else { return };
    let denies = outcome.verdict.is_denial();
    let code = match (denies, charge.mode) {
        (false, _) => RuleCode::Ok,
        (true, Mode::Enforce) => RuleCode::OverLimit,
        (true, Mode::Shadow) => RuleCode::ShadowOverLimit,
    };
    let peak = peak_of(charge.limit.capacity(), outcome);
    if *group == Some(charge.group)
        && let Some(last) = rules.last_mut()
    {
        if denies {
            last.code = code;
        }
        last.peak = last.peak.max(peak);
        last.is_overflow |= outcome.is_overflow;
        return;
    }
    *group = Some(charge.group);
    let Some(series) = plan.series.get(charge.group as usize).copied() else { return };
    let (hits, is_overflow) = (taken(charge.hits), outcome.is_overflow);
    rules.push(RuleOutcome { series, rule, descriptor, hits, code, peak, is_overflow });
}

fn tell_exemptions<'s>(exemptions: &[Exemption<'s>], rules: &mut SmallVec<[RuleOutcome<'s>; 8]>) {
    for exemption in exemptions {
        let Exemption { rule, descriptor, hits, series } = *exemption;
        let (hits, code) = (taken(hits), RuleCode::Ok);
        let (peak, is_overflow) = (0, false);
        rules.push(RuleOutcome { series, rule, descriptor, hits, code, peak, is_overflow });
    }
}

/// Tells what each rule made of it now that the code of the request is known.
fn settle(rules: &mut [RuleOutcome<'_>], code: Code) {
    for rule in rules {
        rule.code = match (rule.code, code) {
            (RuleCode::Ok, Code::OverLimit) => RuleCode::DeniedElsewhere,
            (RuleCode::OverLimit, Code::Ok) => RuleCode::ShadowOverLimit,
            (own, _) => own,
        };
    }
}

/// How much of a limit is used, in basis points, rounded down: only what is full is 10,000.
fn peak_of(capacity: u64, outcome: &Outcome) -> u16 {
    const FULL: u16 = 10_000;
    let used = capacity.saturating_sub(outcome.remaining);
    if outcome.verdict.is_denial() || used == capacity {
        return FULL;
    }
    // Less than the capacity is used, so either way this comes to less than all of it.
    let points = match used.checked_mul(u64::from(FULL)) {
        Some(scaled) => scaled / capacity,
        None => used / (capacity / u64::from(FULL)),
    };
    u16::try_from(points).unwrap_or(FULL).min(FULL - 1)
}

fn taken(hits: Hits) -> u64 {
    match hits {
        Hits::Take(hits) => hits,
        Hits::GiveBack(_) => 0,
    }
}
