//! The first half: which counters a request charges.
//!
//! Every descriptor is planned by itself; only `replaces` looks over the whole request, because
//! the descriptors of one call describe one request.

use smallvec::SmallVec;

use super::{
    Charge, CounterKey, Denies, DescriptorPlan, Exemption, Lease, Plan, Reported, SeriesKey, lease,
    load,
};
use crate::limit::{ChargeWhen, Hits, Kind, Limit};
use crate::policy::matcher::{Match, Matches};
use crate::policy::model::Mode;
use crate::policy::set::{
    CounterHasher, DescriptorDomain, Domain, LimitSalt, Matcher, PolicySet, Rule,
};
use crate::request::{Descriptor, Entry, Request};
use crate::time::Timestamp;

/// Plans a request. A domain that no policy has, and a descriptor that no rule matches, charge
/// nothing. `reported` is asked for the load of the domain, where that sheds any.
pub fn plan<'s>(
    set: &'s PolicySet,
    request: &Request<'_>,
    now: Timestamp,
    reported: impl FnOnce(&str) -> Option<Reported>,
) -> Plan<'s> {
    let domain = set.domain(request.domain);
    let mut plan = Plan {
        domain,
        charges: SmallVec::new(),
        load: None,
        descriptors: SmallVec::new(),
        series: SmallVec::new(),
        exemptions: SmallVec::new(),
        releases: SmallVec::new(),
        failures: SmallVec::new(),
        has_metadata: set.has_metadata(domain),
    };
    match domain {
        Some(domain) => fill(&mut plan, (set, domain), request, now, reported),
        None => {
            for descriptor in &request.descriptors {
                release(descriptor, &mut plan.releases);
            }
            plan.descriptors.resize(request.descriptors.len(), DescriptorPlan::BARE);
        }
    }
    plan
}

/// Plans a request to a domain.
fn fill<'s>(
    plan: &mut Plan<'s>,
    (set, domain): (&'s PolicySet, &'s Domain),
    request: &Request<'_>,
    now: Timestamp,
    reported: impl FnOnce(&str) -> Option<Reported>,
) {
    let mut finder = domain.finder(now);
    let mut matches = Matches::default();
    let mut ends: SmallVec<[usize; 4]> = SmallVec::new();
    for descriptor in &request.descriptors {
        if descriptor.limit.is_none() {
            finder.find(&descriptor.entries, &mut matches);
        } else if domain.load.is_some() {
            matches.is_exempt |= finder.is_exempt(&descriptor.entries);
        }
        ends.push(matches.found.len());
    }
    for rule in &matches.failures {
        plan.failures.push(&domain.rules[*rule as usize]);
    }
    plan_load(plan, domain, (request, matches.is_exempt), reported, now);
    let replaced = replaced_rules(domain, &matches);
    let (replaced, all) = (replaced.as_slice(), matches.found.as_slice());
    let (mut start, mut group) = (0, 0);
    let mut charges_before = plan.charges.len();
    for ((descriptor, end), position) in request.descriptors.iter().zip(&ends).zip(0..) {
        let is_release = release(descriptor, &mut plan.releases);
        let mut is_unlimited = false;
        if let Some(limit) = descriptor.limit {
            plan.charges.push(brought_along(set, domain, descriptor, limit, group));
            plan.series.push(SeriesKey(0));
            group += 1;
        }
        for found in &all[start..*end] {
            if !replaced.is_empty() && replaced.binary_search(&found.rule).is_ok() {
                continue;
            }
            let rule = domain.rule(*found);
            let asked = (descriptor.hits, position);
            is_unlimited |= plan_rule(plan, rule, found, asked, (is_release, group));
            group += 1;
        }
        start = *end;
        let charges = plan.charges.len();
        let charge_count = charges - charges_before;
        charges_before = charges;
        is_unlimited &= charge_count == 0;
        plan.descriptors.push(DescriptorPlan { charge_count, is_unlimited });
    }
    if let Some(format) = &domain.descriptors {
        follow(plan, format);
    }
}

/// Adds the charges of a rule that applies to a descriptor; whether it is unlimited for that.
#[inline(always)]
fn plan_rule<'s>(
    plan: &mut Plan<'s>,
    rule: &'s Rule,
    found: &Match,
    (hits, descriptor): (Hits, u32),
    (is_release, group): (bool, u32),
) -> bool {
    let hits = times(hits, found.cost);
    let series = found.base.with_rule(rule.salt);
    let limits = rule.limits_for(found);
    if limits.is_empty() {
        plan.exemptions.push(Exemption { rule, descriptor, hits, series });
    }
    for limit in limits {
        let counter = found.base.with_limit(limit.salt);
        let by_row;
        let limit = match limit.fixed() {
            Some(limit) => limit,
            None => match limit.at(found.rows) {
                Some(limit) => {
                    by_row = limit;
                    &by_row
                }
                None => continue,
            },
        };
        plan.charges.push(charge(rule, limit, counter, hits, (is_release, group)));
    }
    plan.series.push(series);
    limits.is_empty()
}

/// Does what holds for a whole domain of the envoyproxy/ratelimit format.
fn follow(plan: &mut Plan<'_>, format: &DescriptorDomain) {
    plan.charges.iter_mut().for_each(|charge| charge.is_spared = format.spares_others);
    if !format.quota_mode {
        return;
    }
    // Every descriptor is a quota, and one that nothing limits always has room.
    let is_room = |it: &DescriptorPlan| it.charge_count == 0 && !it.is_unlimited;
    let denies = match plan.descriptors.iter().any(is_room) {
        true => Denies::Nothing,
        false => Denies::WithAllQuotas,
    };
    plan.charges.iter_mut().for_each(|charge| charge.denies = denies);
}

/// Before all charges of the descriptors.
fn plan_load<'s>(
    plan: &mut Plan<'s>,
    domain: &'s Domain,
    (request, is_exempt): (&Request<'_>, bool),
    reported: impl FnOnce(&str) -> Option<Reported>,
    now: Timestamp,
) {
    let Some(load) = &domain.load else { return };
    let is_release = request.descriptors.iter().any(|it| released(it).is_some());
    let reported = reported(&domain.name);
    let planned = load::plan(load, request, is_exempt, reported, (is_release, now));
    if let Some((load, charge)) = planned {
        plan.load = Some(load);
        plan.charges.extend(charge);
    }
}

#[inline]
fn charge<'s>(
    rule: &'s Rule,
    limit: &Limit,
    counter: CounterKey,
    hits: Hits,
    (is_release, group): (bool, u32),
) -> Charge<'s> {
    let is_concurrent = limit.kind.is_concurrent();
    Charge {
        counter,
        limit: *limit,
        hits: match is_release && is_concurrent {
            true => Hits::GiveBack(0),
            false => hits_for(rule.has_refund, limit.kind, hits),
        },
        // What is held at a time is held only by who was admitted.
        when: if is_concurrent { ChargeWhen::Admitted } else { rule.charge },
        mode: rule.mode,
        denies: match &rule.descriptor {
            Some(descriptor) if descriptor.is_quota => Denies::WithAllQuotas,
            _ => Denies::Alone,
        },
        is_strict: rule.is_strict && rule.mode == Mode::Enforce,
        is_spared: false,
        group,
        rule: Some(rule),
    }
}

/// Hits as a rule counts them, each for so many.
fn times(hits: Hits, cost: u64) -> Hits {
    match hits {
        Hits::Take(hits) => Hits::Take(hits.saturating_mul(cost)),
        Hits::GiveBack(hits) => Hits::GiveBack(hits.saturating_mul(cost)),
    }
}

/// The rules that some matching rule replaces, whichever descriptors they match; maybe also some
/// that do not match. A rule that is replaced itself replaces all the same, so that chains of
/// exemptions work. Sorted, each once, so that a call of many descriptors costs no more than their
/// number.
fn replaced_rules(domain: &Domain, matches: &Matches) -> SmallVec<[u32; 8]> {
    let mut replaced = SmallVec::new();
    if !matches.has_replacing {
        return replaced;
    }
    let mut replacing: SmallVec<[u32; 8]> = SmallVec::new();
    let replaces = |found: &&Match| !domain.rule(**found).replaces.is_empty();
    replacing.extend(matches.found.iter().filter(replaces).map(|found| found.rule));
    replacing.sort_unstable();
    replacing.dedup();
    for rule in replacing {
        for positions in &domain.rules[rule as usize].replaces {
            if positions.len() <= matches.found.len() {
                replaced.extend_from_slice(positions);
            } else {
                // A table may have thousands of rows, in order: what matches is sought among them.
                let matching = matches.found.iter().map(|found| found.rule);
                replaced.extend(matching.filter(|rule| positions.binary_search(rule).is_ok()));
            }
        }
    }
    replaced.sort_unstable();
    replaced.dedup();
    replaced
}

/// Notes the leases that a descriptor gives back; whether it names any. Slots are then given back
/// by name alone, so that giving back twice frees nothing of others.
#[inline(always)]
fn release(descriptor: &Descriptor<'_>, releases: &mut SmallVec<[Lease; 1]>) -> bool {
    let Some(named) = released(descriptor) else { return false };
    releases.extend(lease::read(named));
    true
}

/// The text that names the leases of a descriptor that gives back.
#[inline(always)]
fn released<'r>(descriptor: &Descriptor<'r>) -> Option<&'r [u8]> {
    match descriptor.hits {
        Hits::GiveBack(_) => named(&descriptor.entries),
        Hits::Take(_) => None,
    }
}

#[inline(never)]
fn named<'r>(entries: &[Entry<'r>]) -> Option<&'r [u8]> {
    let named = entries.iter().find(|entry| entry.key == lease::ENTRY);
    named.map(|entry| entry.value)
}

/// Without a refund a counter keeps what has been taken. Giving back nothing is still no take, so
/// it is never denied.
fn hits_for(has_refund: bool, kind: Kind, hits: Hits) -> Hits {
    match hits {
        Hits::GiveBack(_) if !has_refund && !kind.is_concurrent() => Hits::GiveBack(0),
        Hits::Take(_) | Hits::GiveBack(_) => hits,
    }
}

/// A limit in the request stands in for every configured one, and is charged as the rules of its
/// domain are by default. Its counter is made of the domain and all entries, so that each
/// combination of values has its own; of the envoyproxy/ratelimit format also configured limits
/// count so.
fn brought_along<'s>(
    set: &'s PolicySet,
    domain: &Domain,
    descriptor: &Descriptor<'_>,
    limit: Limit,
    group: u32,
) -> Charge<'s> {
    let counter = match &domain.matcher {
        Matcher::Tree(tree) => tree.counter_of(&descriptor.entries),
        Matcher::Native(_) => {
            let mut counter = CounterHasher::new(set.seed);
            counter.feed(b"request");
            counter.feed(domain.name.as_bytes());
            for entry in &descriptor.entries {
                counter.feed(entry.key);
                counter.feed(entry.value);
            }
            counter.finish()
        }
    };
    let (when, has_refund, mode) = match &domain.descriptors {
        Some(_) => (ChargeWhen::Always, true, Mode::Enforce),
        None => (ChargeWhen::Admitted, false, set.mode),
    };
    Charge {
        counter: counter.with_limit(LimitSalt::new(set.seed, limit)),
        limit,
        hits: hits_for(has_refund, limit.kind, descriptor.hits),
        when,
        mode,
        denies: Denies::Alone,
        is_strict: false,
        is_spared: false,
        group,
        rule: None,
    }
}
