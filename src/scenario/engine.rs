//! The one way from a step to an answer: plan, charge, conclude and answer, as `serve` walks it.
//!
//! All of this module's calls into deciding and counting stand here. What was decided leaves as
//! plain values, and is put into words only for answers that somebody looks at.

use std::collections::HashMap;

use crate::decide::{self, Binding, Decision, Reported};
use crate::limit::{Hits, Verdict};
use crate::policy::set::{CounterSeed, PolicySet};
use crate::request::Request;
use crate::store::memory::MemoryStore;
use crate::time::{Span, Timestamp};

pub(super) use crate::decide::Code;

/// Of all policy sets that a scenario runs, so that its counters outlive a reload.
pub const SEED: CounterSeed = CounterSeed([0, 0]);

/// The counters of one scenario, and the policies in force.
pub(super) struct Engine<'s> {
    set: &'s PolicySet,
    store: MemoryStore,
    /// By domain.
    reported: HashMap<String, Reported>,
}

/// An answer as its caller sees it.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) code: Code,
    /// The HTTP status that Envoy is told, 200 for what passes.
    pub(super) status: u64,
    pub(super) limit: Option<SeenLimit>,
    pub(super) statuses: Vec<(Code, Option<SeenLimit>)>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// The lease that the answer carries.
    pub(super) lease: Option<String>,
}

/// The limit that an answer speaks of.
#[derive(Debug)]
pub(super) struct SeenLimit {
    pub(super) rule: String,
    pub(super) amount: u64,
    /// Nominal; `None` for a limit without a window.
    pub(super) window_seconds: Option<u64>,
    /// As a policy writes it.
    pub(super) words: String,
    pub(super) remaining: u64,
    /// `None` when the answer does not say.
    pub(super) reset: Option<Span>,
    /// Why it denies; `None` when it does not.
    pub(super) reason: Option<&'static str>,
}

impl<'s> Engine<'s> {
    pub(super) fn new(set: &'s PolicySet) -> Self {
        Self { set, store: MemoryStore::default(), reported: HashMap::new() }
    }

    /// Puts other policies in force; counters stay.
    pub(super) fn reload(&mut self, set: &'s PolicySet) {
        self.set = set;
    }

    /// Decides one request; the answer is put into words when `is_looked_at` says so of its code.
    pub(super) fn send(
        &mut self,
        request: &Request<'_>,
        now: Timestamp,
        is_looked_at: impl FnOnce(Code) -> bool,
    ) -> (Code, Option<Seen>) {
        let plan =
            decide::plan(self.set, request, now, |domain| self.reported.get(domain).copied());
        self.store.release(&plan.releases, now);
        let outcomes = self.store.charge(&plan.charges, now);
        let decision = decide::conclude(&plan, &outcomes);
        let seen = is_looked_at(decision.code).then(|| see(&decision, now));
        (decision.code, seen)
    }

    /// Takes a report of load, as the admin API would; an error says why it cannot.
    pub(super) fn report_load(
        &mut self,
        domain: &str,
        percent: u64,
        until: Timestamp,
    ) -> Result<(), &'static str> {
        let known = self.set.domain(domain.as_bytes());
        let known = known.ok_or("no policy has this domain")?;
        if known.load.is_none() {
            return Err("the policy of this domain has no `load`");
        }
        let percent = u8::try_from(percent).ok().filter(|percent| *percent <= 100);
        let percent = percent.ok_or("load is reported in percent, 0 to 100")?;
        self.reported.insert(domain.to_owned(), Reported { percent, until });
        Ok(())
    }
}

fn see(decision: &Decision<'_>, now: Timestamp) -> Seen {
    let answer = decide::answer(decision, now);
    Seen {
        code: decision.code,
        status: decision.status().into(),
        limit: decision.binding().map(see_limit),
        statuses: decision
            .statuses
            .iter()
            .map(|status| (status.code, decision.binding_of(status).map(see_limit)))
            .collect(),
        headers: answer
            .headers
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        body: answer.body,
        lease: (!decision.leases.is_empty()).then(|| decide::lease::write(&decision.leases)),
    }
}

fn see_limit(binding: &Binding<'_>) -> SeenLimit {
    SeenLimit {
        rule: decide::rule_name(binding).to_owned(),
        amount: binding.limit.amount,
        window_seconds: binding.limit.window().map(|it| it.nominal_span().seconds_floor()),
        words: binding.limit.to_string(),
        remaining: binding.remaining,
        reset: binding.reset,
        reason: match binding.verdict {
            Verdict::Admitted => None,
            verdict => Some(decide::reason(verdict)),
        },
    }
}

/// The same hits, given back.
pub(super) fn given_back(hits: Hits) -> Hits {
    match hits {
        Hits::Take(hits) | Hits::GiveBack(hits) => Hits::GiveBack(hits),
    }
}
