//! What load makes of a request: as data, and in words.
//!
//! The charge for load belongs to no rule, so nothing here is told of one.

use std::fmt::Write as _;

use super::told::{Told, moment};
use super::{
    ExplainedCapacity, ExplainedLoad, ExplainedReport, ExplainedThresholds, LoadVerdict, Moment,
};
use crate::decide::{Decision, LoadReading, Reported};
use crate::limit::{Kind, Limit};
use crate::policy::load::Capacity;
use crate::time::Span;

impl Told<'_, '_> {
    /// `None` where load has nothing to do with the request.
    pub(super) fn load(
        &self,
        decision: &Decision<'_>,
        reported: Option<Reported>,
    ) -> Option<ExplainedLoad> {
        let LoadReading { load, percent, shed, .. } = decision.load?;
        let status = decision.load.and_then(|reading| reading.status());
        let is_exempt = self.plan.load.is_some_and(|load| load.is_exempt());
        let reported = reported.filter(|reported| reported.is_in_force(self.now));
        let has_charge = self.plan.load_charge_count() > 0;
        let charged = self.trial.outcomes.first().filter(|_| has_charge);
        let denied = charged.filter(|outcome| outcome.verdict.is_denial());
        let turned_away = reported.filter(|it| it.percent >= load.thresholds.shed);
        // In shadow the decision knows of none that are shed.
        let would_be = !load.is_enforced() && (denied.is_some() || turned_away.is_some());
        let is_shed = shed.is_some() || (would_be && !is_exempt);
        let wait = match turned_away {
            Some(report) => Some(report.until.since(self.now)),
            None => denied.and_then(|outcome| outcome.reset),
        };
        let wait = wait.filter(|_| is_shed);
        let told_wait = shed.and(decision.binding()).and_then(|binding| binding.reset);
        let thresholds = load.thresholds;
        Some(ExplainedLoad {
            capacity: load.capacity.map(capacity),
            percent,
            status: status.map(str::to_owned),
            reported: reported.map(|reported| ExplainedReport {
                percent: reported.percent,
                until: moment(reported.until),
            }),
            thresholds: ExplainedThresholds {
                warn: thresholds.warn,
                throttle: thresholds.throttle,
                shed: thresholds.shed,
            },
            exempt: is_exempt,
            shadow: !load.is_enforced(),
            verdict: if is_shed { LoadVerdict::Shed } else { LoadVerdict::Admitted },
            passes: wait.map(|wait| self.after(wait)),
            told_wait_seconds: told_wait.filter(|told| Some(*told) != wait).map(Span::seconds_ceil),
        })
    }
}

fn capacity(capacity: Capacity) -> ExplainedCapacity {
    let Capacity { amount, limit, .. } = capacity;
    let written = match limit.window() {
        // As policies write a rate of load, which is always rolling.
        Some(window) => Limit::new(amount, Kind::Fixed(window)).to_string(),
        None => format!("{amount} in flight"),
    };
    ExplainedCapacity { limit: written, amount, kind: limit.kind.name().to_owned() }
}

impl ExplainedLoad {
    /// Whether the request is refused for load; in shadow none is.
    pub fn is_shed(&self) -> bool {
        self.verdict == LoadVerdict::Shed && !self.shadow
    }

    fn is_reported_to_shed(&self) -> bool {
        self.reported.as_ref().is_some_and(|report| report.percent >= self.thresholds.shed)
    }

    /// After a report comes what is measured; slots may come back before their lease ends.
    fn bound(&self) -> &'static str {
        let is_in_flight = self.capacity.as_ref().is_some_and(|it| it.kind == "concurrent");
        match (self.is_reported_to_shed(), is_in_flight) {
            (true, _) => "at the earliest ",
            (false, true) => "at the latest ",
            (false, false) => "",
        }
    }
}

/// The answer for a request that is shed; `waiting_helps` unless a rule never admits it.
pub(super) fn answer(load: &ExplainedLoad, waiting_helps: bool) -> String {
    let mut line = match &load.capacity {
        _ if load.is_reported_to_shed() => format!("SHED for load: reported at {} %", load.percent),
        Some(capacity) => format!("SHED for load: at {} % of {}", load.percent, capacity.limit),
        None => format!("SHED for load: at {} %", load.percent),
    };
    if let Some(Moment { in_seconds, at }) = load.passes.as_ref().filter(|_| waiting_helps) {
        let span = Span::from_seconds(*in_seconds);
        let _ = write!(line, "; passes {}in {span}, at {at}", load.bound());
    }
    line
}

/// What the load is, and whom it sheds: lines with their indents.
pub(super) fn section(load: &ExplainedLoad) -> Vec<(usize, String)> {
    let mut first = format!("load: {} %", load.percent);
    match &load.capacity {
        Some(capacity) => first.extend([" of ", &capacity.limit]),
        None => first.push_str(", only reported"),
    }
    if let Some(status) = &load.status {
        let _ = write!(first, " ({status})");
    }
    let _ = write!(first, "; sheds from {} % on", load.thresholds.shed);
    if load.verdict == LoadVerdict::Shed {
        let verb = if load.shadow { "would shed" } else { "SHEDS" };
        let _ = write!(first, "  <- {verb}");
        if let Some(passes) = &load.passes {
            let span = Span::from_seconds(passes.in_seconds);
            let _ = write!(first, ": passes {}in {span}", load.bound());
        }
    }
    let mut lines = vec![(0, first)];
    if let Some(ExplainedReport { percent, until }) = &load.reported {
        lines.push((2, format!("reported: {percent} % until {until}")));
    }
    if load.exempt {
        lines.push((2, "exempt: never shed".to_owned()));
    }
    if load.shadow {
        lines.push((2, "in shadow: measured, nobody is shed".to_owned()));
    }
    lines
}
