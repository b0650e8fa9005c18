//! Runs one scenario against compiled policies, from its start to its last step.
//!
//! A step that fails does not stop the scenario: what comes after it is looked at too, so one run
//! shows everything.

use std::collections::HashMap;

use smallvec::SmallVec;

use super::compare;
use super::engine::{Code, Engine, Seen, SeenLimit, given_back};
use super::model::{Action, Expected, ReportedLoad, Scenario, Send, SentDescriptor, Step};
use super::spans;
use crate::decide::Reported;
use crate::limit::Hits;
use crate::policy::model::Place;
use crate::policy::set::PolicySet;
use crate::request::{Descriptor, Entry, Request};
use crate::time::{Span, Timestamp};

/// The key of the entry that gives a lease back.
const LEASE: &str = "lease";

/// How a scenario went.
#[derive(Debug)]
pub struct Outcome {
    /// Requests that were decided.
    pub sent: u64,
    /// Empty when all is as expected.
    pub failures: Vec<Failure>,
}

/// A step that did not go as expected.
#[derive(Debug)]
pub struct Failure {
    /// Counted from 1.
    pub step: usize,
    pub place: Place,
    /// Since the start of the scenario.
    pub at: Span,
    /// What was done, such as `send tenant=acme`.
    pub action: String,
    pub differences: Vec<Difference>,
    /// What decided it; empty when there is nothing to say.
    pub note: String,
}

/// One thing that is other than expected.
#[derive(Debug)]
pub struct Difference {
    pub field: String,
    pub expected: String,
    pub found: String,
    /// Where it is expected.
    pub place: Place,
}

/// Runs a scenario on counters of its own. `sets` are the compiled policies of its file, by the
/// number of their list, and not empty.
pub fn run(scenario: &Scenario, sets: &[PolicySet]) -> Outcome {
    let mut outcome = Outcome { sent: 0, failures: Vec::new() };
    let Some(first) = sets.first() else { return outcome };
    let mut runner = Runner {
        engine: Engine::new(first),
        domain: only_domain(first),
        sets,
        start: scenario.start,
        leases: HashMap::new(),
        outcome: &mut outcome,
    };
    scenario.steps.iter().for_each(|step| runner.step(step));
    outcome
}

/// The domain of steps that name none.
pub(super) fn only_domain(set: &PolicySet) -> &str {
    match set.domains.as_slice() {
        [only] => &only.name,
        _ => "",
    }
}

/// A lease that a step remembered, and what it was taken for.
struct Held<'s> {
    send: &'s Send,
    lease: Option<String>,
}

struct Runner<'s, 'o> {
    engine: Engine<'s>,
    domain: &'s str,
    sets: &'s [PolicySet],
    start: Timestamp,
    leases: HashMap<&'s str, Held<'s>>,
    outcome: &'o mut Outcome,
}

impl<'s> Runner<'s, '_> {
    fn step(&mut self, step: &'s Step) {
        match &step.action {
            Action::Send(send) => self.send(step, send),
            Action::Reload(list) => {
                if let Some(set) = self.sets.get(*list) {
                    self.engine.reload(set);
                    self.domain = only_domain(set);
                }
            }
            Action::Load(load) => self.load(step, load),
            Action::Release(name) => self.release(step, &name.value),
        }
    }

    fn send(&mut self, step: &'s Step, send: &'s Send) {
        let expected = send.expect.every_code.as_ref();
        let expected = expected.and_then(|check| match check.value {
            Expected::Code(code) => Some(code),
            _ => None,
        });
        let is_unexpected = |code: Code| expected.is_some_and(|expected| expected != code);
        let request =
            request(send, self.domain_of(send.domain.as_ref().map(|d| d.value.as_str())), None);
        let (mut admitted, mut other): (u64, Option<(u64, Seen)>) = (0, None);
        let mut last = None;
        for number in 1..=send.times {
            let since = send.every.as_nanos().saturating_mul(number - 1);
            let now = self.start.plus(step.offset).plus(Span::from_nanos(since));
            let is_last = number == send.times;
            let is_told = other.is_some();
            let is_looked_at = |code| is_last || (!is_told && is_unexpected(code));
            let (code, seen) = self.engine.send(&request, now, is_looked_at);
            admitted += u64::from(code == Code::Ok);
            match seen {
                Some(seen) if !is_told && is_unexpected(code) => other = Some((number, seen)),
                Some(seen) => last = Some(seen),
                None => {}
            }
        }
        self.outcome.sent += send.times;
        let differences =
            differences(send, admitted, other.as_ref().map(|(_, seen)| seen), last.as_ref());
        let (number, seen) = match (&other, &last) {
            (Some((number, seen)), _) => (*number, Some(seen)),
            (None, last) => (send.times, last.as_ref()),
        };
        let mut lease = seen.and_then(|seen| seen.lease.clone());
        if let Some(seen) = seen.filter(|_| !differences.is_empty()) {
            let action = sent_words(send, number);
            let note = note(seen, send.times, admitted);
            let since = send.every.as_nanos().saturating_mul(number - 1);
            let at = step.offset.plus(Span::from_nanos(since));
            self.fail(step, at, action, differences, note);
        }
        if let Some(name) = &send.lease {
            if let Some(last) = last {
                lease = last.lease;
            }
            self.leases.insert(&name.value, Held { send, lease });
        }
    }

    fn domain_of(&self, named: Option<&'s str>) -> &'s str {
        named.unwrap_or(self.domain)
    }

    fn load(&mut self, step: &'s Step, load: &'s ReportedLoad) {
        let now = self.start.plus(step.offset);
        let domain = self.domain_of(load.domain.as_ref().map(|domain| domain.value.as_str()));
        let until = now.plus(load.lasts.unwrap_or(Reported::LASTS));
        if let Err(why) = self.engine.report_load(domain, load.percent, until) {
            let action = format!("report a load of {} percent", load.percent);
            self.fail(step, step.offset, action, Vec::new(), why.to_owned());
        }
    }

    fn release(&mut self, step: &'s Step, name: &str) {
        let action = format!("release {name}");
        let held = self.leases.get(name).map(|held| (held.send, held.lease.clone()));
        let Some((send, Some(lease))) = held else {
            let note = format!("the answer that `{name}` stands for carried no lease");
            self.fail(step, step.offset, action, Vec::new(), note);
            return;
        };
        let domain = self.domain_of(send.domain.as_ref().map(|domain| domain.value.as_str()));
        let request = request(send, domain, Some(&lease));
        self.engine.send(&request, self.start.plus(step.offset), |_| false);
        self.outcome.sent += 1;
    }

    fn fail(
        &mut self,
        step: &Step,
        at: Span,
        action: String,
        differences: Vec<Difference>,
        note: String,
    ) {
        let Step { number, place, .. } = step;
        let (step, place) = (*number, place.clone());
        self.outcome.failures.push(Failure { step, place, at, action, differences, note });
    }
}

/// What a step sends; with a lease it gives back what was taken for it.
fn request<'s>(send: &'s Send, domain: &'s str, lease: Option<&'s str>) -> Request<'s> {
    let entry =
        |key: &'s str, value: &'s str| Entry { key: key.as_bytes(), value: value.as_bytes() };
    let descriptors = send.descriptors.iter().map(|sent| {
        let mut entries: SmallVec<[Entry<'s>; 6]> =
            sent.entries.iter().map(|(key, value)| entry(key, value)).collect();
        entries.extend(lease.map(|lease| entry(LEASE, lease)));
        let hits = if lease.is_some() { given_back(sent.hits) } else { sent.hits };
        Descriptor { entries, hits, limit: None }
    });
    Request { domain: domain.as_bytes(), descriptors: descriptors.collect() }
}

/// All that is other than expected: of an answer with another code than every one should have
/// (`other`) only the code is told, for all else follows from it.
fn differences(
    send: &Send,
    admitted: u64,
    other: Option<&Seen>,
    last: Option<&Seen>,
) -> Vec<Difference> {
    let mut differences = Vec::new();
    if let (Some(seen), Some(check)) = (other, &send.expect.every_code) {
        compare::answer(check, seen, &mut differences);
        return differences;
    }
    if let Some(expected) = &send.expect.admitted
        && expected.value != admitted
    {
        differences.push(Difference {
            field: "admitted".to_owned(),
            expected: format!("{} of {}", expected.value, send.times),
            found: format!("{admitted} of {}", send.times),
            place: expected.place.clone(),
        });
    }
    let Some(seen) = last else { return differences };
    for check in &send.expect.last {
        compare::answer(check, seen, &mut differences);
    }
    if let Some(statuses) = &send.expect.statuses {
        for ((checks, (code, limit)), number) in statuses.value.iter().zip(&seen.statuses).zip(1..)
        {
            for check in checks {
                let told = (number, *code, limit.as_ref());
                compare::status(check, told, &mut differences);
            }
        }
    }
    differences
}

/// `send 51 of 60: tenant=acme method=POST`.
fn sent_words(send: &Send, number: u64) -> String {
    let descriptor = |sent: &SentDescriptor| {
        let entries: Vec<String> =
            sent.entries.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let hits = match sent.hits {
            Hits::Take(1) => String::new(),
            Hits::Take(hits) => format!(" ({hits} hits)"),
            Hits::GiveBack(hits) => format!(" ({hits} hits given back)"),
        };
        format!("{}{hits}", entries.join(" "))
    };
    let descriptors: Vec<String> = send.descriptors.iter().map(descriptor).collect();
    let which = match send.times {
        1 => "send".to_owned(),
        times => format!("send {number} of {times}:"),
    };
    format!("{which} {}", descriptors.join(" and "))
}

/// What decided an answer.
fn note(seen: &Seen, times: u64, admitted: u64) -> String {
    let limit = |limit: &SeenLimit| {
        let reset = limit
            .reset
            .map_or_else(String::new, |reset| format!(", resets in {}", spans::in_words(reset)));
        format!("`{}` ({}), {} left{reset}", limit.rule, limit.words, limit.remaining)
    };
    let mut note = match (&seen.limit, seen.code) {
        (Some(held), Code::OverLimit) => {
            let reason = held.reason.filter(|reason| *reason != "over_limit");
            let reason = reason.map_or_else(String::new, |reason| format!(", reason {reason}"));
            format!("denied by {}{reason}", limit(held))
        }
        (Some(held), Code::Ok) => format!("admitted; the tightest limit is {}", limit(held)),
        (None, Code::Ok) => "admitted; nothing limits it".to_owned(),
        (None, Code::OverLimit) => "denied by no rule".to_owned(),
    };
    if times > 1 {
        note.push_str(&format!("; {admitted} of {times} were admitted"));
    }
    note
}
