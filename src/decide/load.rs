//! Load of a domain: the charge that measures it, and what comes of that for the request.
//!
//! A request is one in the count of its domain, however many descriptors and hits it has. Who is
//! exempt is counted too, and meets no bound.

use super::{Binding, Charge, Denies};
use crate::limit::{Hits, Kind, Limit, Outcome, Verdict};
use crate::policy::load::Load;
use crate::request::Request;
use crate::time::{Span, Timestamp};

/// What is said of a domain's load from outside, as long as that is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported {
    /// 0 to 100.
    pub percent: u8,
    pub until: Timestamp,
}

impl Reported {
    /// How long a report is in force that does not say it.
    pub const LASTS: Span = Span::from_seconds(300);

    pub fn is_in_force(&self, now: Timestamp) -> bool {
        now < self.until
    }
}

/// Where nobody knows when there is room again, callers come back after this.
const WAIT_MAX: Span = Span::from_seconds(60);

/// Of the charge for load; rules have groups from 0 on.
const GROUP: u32 = u32::MAX;

/// What load has to do with a request.
#[derive(Clone, Copy, Debug)]
pub struct LoadPlan<'s> {
    load: &'s Load,
    /// Whether the first charge of the plan is the one for load.
    pub(super) has_charge: bool,
    is_exempt: bool,
    /// A request that has ended is told nothing.
    has_ended: bool,
    /// In percent; 0 where nothing is.
    reported: u8,
    /// The wait of a request that is shed for what is reported.
    turned_away: Option<Span>,
}

/// The load that a request met.
#[derive(Clone, Copy, Debug)]
pub struct LoadReading<'s> {
    pub load: &'s Load,
    /// The greater of what is measured, this request included, and what is reported: 0 to 100.
    pub percent: u8,
    /// Whether the caller is told; who is exempt is not.
    pub is_shown: bool,
    /// What to say where the request is shed.
    pub shed: Option<Binding<'s>>,
}

/// Plans for one request: `None` where load has nothing to do with it. The charge is to be the
/// first of all.
pub(super) fn plan<'s>(
    load: &'s Load,
    request: &Request<'_>,
    is_exempt: bool,
    reported: Option<Reported>,
    (is_release, now): (bool, Timestamp),
) -> Option<(LoadPlan<'s>, Option<Charge<'s>>)> {
    let hits = hits(request);
    let mut plan = LoadPlan {
        load,
        has_charge: false,
        is_exempt,
        has_ended: matches!(hits, Hits::GiveBack(_)),
        reported: 0,
        turned_away: None,
    };
    let in_flight = load.capacity.filter(|capacity| capacity.is_in_flight());
    let (counter, limit, hits) = if plan.has_ended {
        // By name alone where leases are named, as with every other slot.
        let capacity = in_flight.filter(|_| !is_release && hits != Hits::GiveBack(0))?;
        (capacity.counter, capacity.limit, hits)
    } else {
        let reported = reported.filter(|reported| reported.is_in_force(now));
        plan.reported = reported.map_or(0, |reported| reported.percent.min(100));
        let is_busy = plan.reported >= load.thresholds.shed;
        if let Some(until) = reported.map(|it| it.until).filter(|_| is_busy)
            && load.is_enforced()
            && !is_exempt
        {
            plan.turned_away = Some(until.since(now).min(WAIT_MAX));
            // Its end may be told without a lease, and must not free the slot of another.
            match in_flight.filter(|_| hits == Hits::Take(1)) {
                Some(it) => (it.counter, Limit { amount: 0, ..it.limit }, hits),
                None => (load.closed.0, load.closed.1, Hits::Take(1)),
            }
        } else {
            let Some(capacity) = load.capacity else { return Some((plan, None)) };
            let bound = if is_exempt { u64::MAX } else { capacity.limit.amount };
            (capacity.counter, Limit { amount: bound, ..capacity.limit }, hits)
        }
    };
    plan.has_charge = true;
    let (when, mode, rule) = (load.rule.charge, load.rule.mode, Some(&load.rule));
    Some((
        plan,
        Some(Charge {
            counter,
            limit,
            hits,
            when,
            mode,
            denies: Denies::Alone,
            is_strict: false,
            is_spared: false,
            group: GROUP,
            rule,
        }),
    ))
}

/// One hit for a request that takes any; none for one that only looks.
fn hits(request: &Request<'_>) -> Hits {
    let mut of_request = Hits::GiveBack(0);
    for descriptor in &request.descriptors {
        match (descriptor.hits, of_request) {
            (Hits::Take(1..), _) => return Hits::Take(1),
            (Hits::Take(0), _) => of_request = Hits::Take(0),
            (Hits::GiveBack(1..), Hits::GiveBack(_)) => of_request = Hits::GiveBack(1),
            (Hits::GiveBack(_), _) => {}
        }
    }
    of_request
}

impl<'s> LoadPlan<'s> {
    /// Whether the policy never sheds such a request.
    pub fn is_exempt(&self) -> bool {
        self.is_exempt
    }

    /// What the outcome of the charge for load, where there is one, makes of the request.
    pub(super) fn read(&self, charged: Option<(&Charge<'s>, &Outcome)>) -> Option<LoadReading<'s>> {
        if self.has_ended {
            return None;
        }
        let load = self.load;
        let measured = match (load.capacity, charged) {
            (Some(capacity), Some((charge, outcome))) if self.turned_away.is_none() => {
                capacity.percent(charge.limit.amount.saturating_sub(outcome.remaining))
            }
            _ => 0,
        };
        let denied = charged.filter(|(_, outcome)| outcome.verdict.is_denial());
        let denied = denied.filter(|_| load.is_enforced());
        let shed = denied.map(|(_, outcome)| self.shed(outcome));
        // Shares are rounded down; who is shed is told no less than what sheds.
        let floor = if shed.is_some() { load.thresholds.shed } else { 0 };
        let percent = measured.max(self.reported).max(floor);
        let is_shown = load.is_enforced() && !self.is_exempt;
        Some(LoadReading { load, percent, is_shown, shed })
    }

    fn shed(&self, outcome: &Outcome) -> Binding<'s> {
        let load = self.load;
        let wait = self.turned_away.or(outcome.reset);
        let is_in_flight = load.capacity.is_some_and(|capacity| capacity.is_in_flight());
        let wait = wait.map(|wait| if is_in_flight { wait.min(WAIT_MAX) } else { wait });
        let cap = load.rule.respond.retry_after_max;
        let reset = wait.map(|wait| cap.map_or(wait, |cap| wait.min(cap)));
        let nothing = Limit::new(0, Kind::Concurrent { lease: Span::ZERO });
        let limit = load.capacity.map_or(nothing, |capacity| capacity.limit);
        let rule = Some(&load.rule);
        Binding { rule, limit, verdict: Verdict::Shed, remaining: 0, reset }
    }
}

impl LoadReading<'_> {
    /// What clients are told of the percentage, from where on they are.
    pub fn status(&self) -> Option<&'static str> {
        let thresholds = self.load.thresholds;
        match self.percent {
            percent if percent >= thresholds.throttle => Some("THROTTLE"),
            percent if percent >= thresholds.warn => Some("WARN"),
            _ => None,
        }
    }
}
