//! The explanation put together: what rules say, joined with what their counters would answer.
//!
//! The charges of a plan belong to the applying rules in order, so nothing is worked out twice.

use std::ops::Range;

use super::rules::{Applying, Seen, pairs, replacements, see};
use super::{
    AppliedRule, Code, ExplainedBinding, ExplainedCost, ExplainedDecision, ExplainedDescriptor,
    ExplainedLimit, ExplainedOverride, ExplainedRow, Explanation, Moment, Verdict,
};
use crate::decide::{self, Binding, Charge, Decision, Plan, Reported, Trial, conclude, plan};
use crate::limit::{self, ChargeWhen, Hits, Limit};
use crate::policy::matcher::readable;
use crate::policy::model::Mode;
use crate::policy::set::{PolicySet, Rule, RuleLimit, RuleOverride};
use crate::request::{Descriptor, Request};
use crate::time::{Span, Timestamp};

/// Explains a request as of `now`; `None` when no policy has its domain. `try_out` says what
/// charges would be told, and counts nothing.
pub fn explain(
    set: &PolicySet,
    request: &Request<'_>,
    now: Timestamp,
    reported: impl FnOnce(&str) -> Option<Reported>,
    try_out: impl FnOnce(&[Charge<'_>]) -> Trial,
) -> Option<Explanation> {
    let domain = set.domain(request.domain)?;
    let mut report = None;
    let plan = plan(set, request, now, |domain| {
        report = reported(domain);
        report
    });
    let trial = try_out(&plan.charges);
    let decision = conclude(&plan, &trial.outcomes);
    let told = Told { plan: &plan, trial: &trial, now };
    let replaced_by = replacements(domain, request, now);
    let first = plan.load_charge_count();
    let mut charges = first..first;
    let mut descriptors = Vec::with_capacity(request.descriptors.len());
    for (descriptor, planned) in request.descriptors.iter().zip(&plan.descriptors) {
        charges = charges.end..charges.end + planned.charge_count;
        let seen = see(domain, descriptor, &replaced_by, now);
        let is_unlimited = planned.is_unlimited;
        descriptors.push(told.descriptor(descriptor, seen, charges.clone(), is_unlimited));
    }
    Some(Explanation {
        at: moment(now),
        domain: domain.name.to_string(),
        policy_set: None,
        decision: told.decision(&decision, &descriptors),
        descriptors,
        load: told.load(&decision, report),
    })
}

pub(super) struct Told<'p, 's> {
    pub(super) plan: &'p Plan<'s>,
    pub(super) trial: &'p Trial,
    pub(super) now: Timestamp,
}

impl Told<'_, '_> {
    fn descriptor(
        &self,
        descriptor: &Descriptor<'_>,
        seen: Seen<'_>,
        charges: Range<usize>,
        unlimited: bool,
    ) -> ExplainedDescriptor {
        let text = readable;
        let entries = descriptor.entries.iter();
        let applies = seen.applies.into_iter().map(|it| self.applied(it, charges.clone()));
        ExplainedDescriptor {
            entries: pairs(entries.map(|entry| (text(entry.key), text(entry.value)))),
            hits: hits(descriptor.hits),
            unlimited,
            attributes: seen.attributes,
            steps: seen.steps,
            applies: applies.collect(),
            replaced: seen.replaced,
            does_not_apply: seen.misses,
        }
    }

    fn applied(&self, applying: Applying<'_>, charges: Range<usize>) -> AppliedRule {
        let Applying { rule, found, reasons } = applying;
        let own = charges.filter(|charge| {
            self.plan.charges[*charge].rule.is_some_and(|charged| charged.index == rule.index)
        });
        let limits = rule.limits_for(&found);
        let has_amount = |limit: &&RuleLimit| limit.at(found.rows).is_some();
        let counted = limits.iter().filter(has_amount).zip(own);
        let over = |position: u32| rule.overrides.get(position as usize).map(override_of);
        AppliedRule {
            rule: rule.name.to_string(),
            applies_to: rule.applies_to.clone(),
            when: reasons.when,
            shadow: rule.mode == Mode::Shadow || self.is_domain_shadow(),
            quota: self.is_quota(rule),
            charge_always: rule.charge == ChargeWhen::Always,
            unlimited: limits.is_empty(),
            counted_per: pairs(reasons.per),
            rows: reasons.rows.into_iter().map(row_of).collect(),
            overridden: found.overridden.and_then(over),
            ended_overrides: reasons.ended_overrides.into_iter().filter_map(over).collect(),
            cost: reasons.cost.map(|cost| ExplainedCost {
                formula: cost.formula,
                cost: found.cost,
                failure: cost.failure,
            }),
            limits: counted.map(|(limit, charge)| self.limit(charge, Some(limit))).collect(),
        }
    }

    fn limit(&self, position: usize, of: Option<&RuleLimit>) -> ExplainedLimit {
        let charge = &self.plan.charges[position];
        let (standing, outcome) = (&self.trial.standing[position], &self.trial.outcomes[position]);
        let Charge { limit, .. } = charge;
        let verdict = match outcome.verdict {
            limit::Verdict::Admitted => Verdict::Admitted,
            limit::Verdict::OverLimit => Verdict::OverLimit,
            limit::Verdict::ExceedsAmount => Verdict::ExceedsAmount,
            limit::Verdict::Paused => Verdict::Paused,
            // Only ever of the charge for load, which belongs to no rule.
            limit::Verdict::Shed => Verdict::OverLimit,
        };
        let is_paused = standing.look.verdict == limit::Verdict::Paused;
        let waits = matches!(verdict, Verdict::OverLimit | Verdict::Paused);
        ExplainedLimit {
            limit: written(limit),
            amount: limit.amount,
            capacity: limit.capacity(),
            kind: limit.kind.name().to_owned(),
            window: limit.window().map(|window| window.to_string()),
            formula: of.and_then(|of| of.formula()).map(str::to_owned),
            hits: hits(charge.hits),
            left: standing.look.remaining,
            resets: standing.look.reset.filter(|_| !is_paused).map(|span| self.after(span)),
            held: standing.held,
            resume_below: limit.resume_below.map(|share| share.to_string()),
            paused: is_paused,
            verdict,
            passes: outcome.reset.filter(|_| waits).map(|span| self.after(span)),
        }
    }

    /// Whether the server is in shadow, where that leaves the rules of the format as they are.
    fn is_domain_shadow(&self) -> bool {
        let format = self.plan.domain.and_then(|domain| domain.descriptors.as_ref());
        format.is_some_and(|format| format.is_shadow)
    }

    fn is_quota(&self, rule: &Rule) -> bool {
        let format = self.plan.domain.and_then(|domain| domain.descriptors.as_ref());
        format.is_some_and(|format| format.is_quota(Some(rule)))
    }

    fn decision(
        &self,
        decision: &Decision<'_>,
        descriptors: &[ExplainedDescriptor],
    ) -> ExplainedDecision {
        let mode = |charge: &Charge<'_>| match self.is_domain_shadow() {
            true => Mode::Shadow,
            false => charge.mode,
        };
        let rules = |is_meant: fn(Mode, limit::Verdict) -> bool| {
            let pairs = self.plan.charges.iter().zip(&self.trial.outcomes);
            let pairs = pairs.skip(self.plan.load_charge_count());
            let meant = pairs.filter(|(charge, outcome)| is_meant(mode(charge), outcome.verdict));
            let mut names: Vec<String> = meant.map(|(charge, _)| rule_name(charge.rule)).collect();
            names.dedup();
            names
        };
        let never_fits = rules(|mode, verdict| {
            mode == Mode::Enforce && verdict == limit::Verdict::ExceedsAmount
        });
        let shadow_denials = rules(|mode, verdict| mode == Mode::Shadow && verdict.is_denial());
        let binding = decision.binding().filter(|_| !decision.is_shed());
        let binding = binding.and_then(|binding| self.binding(binding, descriptors));
        let code = match decision.code {
            decide::Code::Ok => Code::Ok,
            decide::Code::OverLimit => Code::OverLimit,
        };
        let status = decision.status();
        ExplainedDecision { code, status, binding, never_fits, shadow_denials }
    }

    fn binding(
        &self,
        binding: &Binding<'_>,
        descriptors: &[ExplainedDescriptor],
    ) -> Option<ExplainedBinding> {
        let is_it = |position: &usize| {
            let (charge, outcome) =
                (&self.plan.charges[*position], &self.trial.outcomes[*position]);
            charge.rule.map(|rule| rule.index) == binding.rule.map(|rule| rule.index)
                && charge.limit == binding.limit
                && outcome.remaining == binding.remaining
                && (charge.mode == Mode::Shadow || outcome.verdict == binding.verdict)
        };
        let first = self.plan.load_charge_count();
        let position = (first..self.plan.charges.len()).find(is_it)?;
        let mut end = first;
        let descriptor = self.plan.descriptors.iter().position(|descriptor| {
            end += descriptor.charge_count;
            position < end
        })?;
        let name = rule_name(binding.rule);
        let applied = descriptors.get(descriptor)?.applies.iter().find(|it| it.rule == name);
        let limit = match applied.and_then(|applied| {
            applied.limits.iter().find(|it| it.limit == written(&binding.limit))
        }) {
            Some(limit) => limit.clone(),
            None => self.limit(position, None),
        };
        // Capped by the policy, or longer for what the denied request itself takes elsewhere.
        let is_other =
            binding.verdict.is_denial() && binding.reset != self.trial.outcomes[position].reset;
        Some(ExplainedBinding {
            descriptor,
            rule: name,
            counted_per: applied.map(|it| it.counted_per.clone()).unwrap_or_default(),
            limit,
            told_wait_seconds: binding.reset.filter(|_| is_other).map(Span::seconds_ceil),
        })
    }

    pub(super) fn after(&self, span: Span) -> Moment {
        // Whole seconds, so that nobody who waits until then is early.
        let nanos = self.now.plus(span).as_nanos();
        let second =
            nanos.div_euclid(1_000_000_000) + i64::from(nanos.rem_euclid(1_000_000_000) > 0);
        Moment { in_seconds: span.seconds_ceil(), at: moment(Timestamp::from_seconds(second)) }
    }
}

/// Without its share: that stands apart.
fn written(limit: &Limit) -> String {
    Limit { resume_below: None, ..*limit }.to_string()
}

fn rule_name(rule: Option<&Rule>) -> String {
    rule.map_or_else(|| "request".to_owned(), |rule| rule.name.to_string())
}

fn override_of(over: &RuleOverride) -> ExplainedOverride {
    ExplainedOverride { reason: over.reason.to_string(), until: over.until.map(moment) }
}

fn row_of(row: crate::policy::matcher::details::RowUsed) -> ExplainedRow {
    ExplainedRow {
        attribute: row.attribute,
        value: row.value,
        is_default: row.is_default,
        fields: pairs(row.fields),
    }
}

fn hits(hits: Hits) -> u64 {
    match hits {
        Hits::Take(hits) => hits,
        Hits::GiveBack(_) => 0,
    }
}

/// RFC 3339 in UTC, to the millisecond before.
pub(super) fn moment(timestamp: Timestamp) -> String {
    let millis = timestamp.as_nanos().div_euclid(1_000_000);
    jiff::Timestamp::from_millisecond(millis)
        .map_or_else(|_| String::new(), |moment| moment.to_string())
}
