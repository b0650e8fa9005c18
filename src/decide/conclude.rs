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
pub fn conclude<'s>(plan: &Plan<'s>, outcomes: &[Outcome]) -> Decision<'s> {
    debug_assert_eq!(plan.charges.len(), outcomes.len(), "one outcome per charge");
    let load = plan.load.and_then(|load| {
        let has_charge = plan.load_charge_count() > 0;
        load.read(plan.charges.iter().zip(outcomes).next().filter(|_| has_charge))
    });
    let mut decision = Decision {
        domain: plan.domain,
        load,
        code: Code::Ok,
        statuses: SmallVec::new(),
        binding: None,
        limits: SmallVec::new(),
        rules: SmallVec::new(),
        failures: SmallVec::new(),
        leases: SmallVec::new(),
        has_metadata: plan.has_metadata,
    };
    decision.failures.extend_from_slice(&plan.failures);
    // Who tries again meets what this request counts although it is denied.
    let again = outcomes.iter().filter_map(|outcome| outcome.again).max();
    let mut rest = plan.charges.iter().zip(outcomes).skip(plan.load_charge_count());
    let format = plan.domain.and_then(|domain| domain.descriptors.as_deref());
    let mut denial = Denial::default();
    for descriptor in &plan.descriptors {
        let own = rest.by_ref().take(descriptor.charge_count);
        // Its place among the limits.
        let mut tightest: Option<usize> = None;
        for (charge, outcome) in own {
            let is_denied = charge.mode == Mode::Enforce && outcome.verdict.is_denial();
            denial.note(charge.denies, is_denied);
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
        let binding = tightest.map(|place| decision.limits[place]);
        let denied = binding.is_some_and(|binding| binding.verdict.is_denial());
        let code = if denied { Code::OverLimit } else { Code::Ok };
        let is_unlimited = descriptor.is_unlimited;
        decision.statuses.push(Status { code, binding, is_unlimited });
        if let Some(binding) = binding
            && decision.binding.as_ref().is_none_or(|held| binding.binds_before(held))
        {
            decision.binding = Some(binding);
        }
    }
    if denial.is_denied() && !format.is_some_and(|format| format.is_shadow) {
        decision.code = Code::OverLimit;
        if let Some(format) = format {
            decision.binding = denying(&decision.statuses, denial, format);
        }
    }
    if let Some(shed) = load.and_then(|load| load.shed) {
        shed_all(&mut decision, Binding { reset: shed.reset.max(again), ..shed });
    }
    tell_rules(plan, outcomes, decision.code, &mut decision.rules);
    if decision.code == Code::Ok {
        for (charge, outcome) in plan.charges.iter().zip(outcomes) {
            if let Some(id) = outcome.lease {
                decision.leases.push(Lease { counter: charge.counter, id });
            }
        }
    }
    decision
}

/// Of a request that is shed nothing else matters.
fn shed_all<'s>(decision: &mut Decision<'s>, shed: Binding<'s>) {
    decision.code = Code::OverLimit;
    decision.binding = Some(shed);
    decision.limits = SmallVec::from_slice(&[shed]);
    let status = Status { code: Code::OverLimit, binding: Some(shed), is_unlimited: false };
    decision.statuses.iter_mut().for_each(|it| *it = status);
}

/// What a denied request waits for: each limit that denies by itself, and of quotas, where they deny,
/// the first that has room again.
fn denying<'s>(
    statuses: &[Status<'s>],
    denial: Denial,
    format: &DescriptorDomain,
) -> Option<Binding<'s>> {
    let is_quota = |binding: &Binding<'s>| format.is_quota(binding.rule);
    let denied = || {
        let bindings = statuses.iter().filter_map(|status| status.binding);
        bindings.filter(|binding| binding.verdict.is_denial())
    };
    let alone = denied().filter(|binding| !is_quota(binding)).reduce(Binding::tighter);
    let quota = denied().filter(|_| denial.quotas_are_used_up()).filter(is_quota);
    let quota = quota.min_by_key(|binding| binding.reset);
    alone.into_iter().chain(quota).reduce(Binding::tighter)
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
    let cap = charge.rule.and_then(|rule| rule.respond.retry_after_max);
    let reset = match verdict.is_denial() {
        true => {
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

    fn tighter(self, other: Self) -> Self {
        if other.binds_before(&self) { other } else { self }
    }
}

fn tell_rules<'s>(
    plan: &Plan<'s>,
    outcomes: &[Outcome],
    code: Code,
    rules: &mut SmallVec<[RuleOutcome<'s>; 8]>,
) {
    let mut group = None;
    let mut rest = plan.charges.iter().zip(outcomes).skip(plan.load_charge_count());
    for (planned, descriptor) in plan.descriptors.iter().zip(0..) {
        for (charge, outcome) in rest.by_ref().take(planned.charge_count) {
            let Some(rule) = charge.rule else { continue };
            let denies = outcome.verdict.is_denial();
            let own = match (denies, charge.mode, code) {
                (true, Mode::Enforce, Code::OverLimit) => RuleCode::OverLimit,
                (true, _, _) => RuleCode::ShadowOverLimit,
                (false, _, Code::Ok) => RuleCode::Ok,
                (false, _, Code::OverLimit) => RuleCode::DeniedElsewhere,
            };
            let peak = peak_of(charge.limit.capacity(), outcome);
            if group == Some(charge.group)
                && let Some(last) = rules.last_mut()
            {
                if denies {
                    last.code = own;
                }
                last.peak = last.peak.max(peak);
                last.is_overflow |= outcome.is_overflow;
                continue;
            }
            group = Some(charge.group);
            let Some(series) = plan.series.get(charge.group as usize).copied() else { continue };
            let (hits, is_overflow) = (taken(charge.hits), outcome.is_overflow);
            rules.push(RuleOutcome {
                series,
                rule,
                descriptor,
                hits,
                code: own,
                peak,
                is_overflow,
            });
        }
    }
    let code = match code {
        Code::Ok => RuleCode::Ok,
        Code::OverLimit => RuleCode::DeniedElsewhere,
    };
    rules.extend(plan.exemptions.iter().map(|exemption| {
        let Exemption { rule, descriptor, hits, series } = *exemption;
        let (hits, peak, is_overflow) = (taken(hits), 0, false);
        RuleOutcome { series, rule, descriptor, hits, code, peak, is_overflow }
    }));
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
