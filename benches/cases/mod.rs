//! What the benches and the test of allocations decide: policies, requests to them, and a store.
//!
//! Requests are borrowed from texts made beforehand, and time moves on with every decision, so
//! that windows end as they do in life and no figure is about one warm counter by accident.
#![allow(dead_code, reason = "each of them uses its part")]

pub(crate) mod policies;
pub(crate) mod wire;

use std::cell::Cell;

use tollgate::decide::{Answer, Charge, Code, answer, conclude, plan};
use tollgate::limit::Hits;
use tollgate::policy::compile;
use tollgate::policy::model::{Mode, Source};
use tollgate::policy::set::{CounterSeed, PolicySet};
use tollgate::request::{Descriptor, Entry, Request};
use tollgate::store::{Outcomes, Store};
use tollgate::time::{Span, Timestamp};

pub(crate) const SEED: CounterSeed = CounterSeed([1, 2]);

/// One request, as text: descriptors of entries.
pub(crate) type Texts = Vec<Vec<(&'static str, String)>>;

/// A policy and requests to it, asked in turn.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) set: PolicySet,
    pub(crate) domain: &'static str,
    pub(crate) requests: Vec<Texts>,
    pub(crate) store: Store,
    /// Goes on from one measurement to the next, so that no window is met twice.
    pub(crate) turn: Cell<Turn>,
    /// How far time moves with every decision.
    pub(crate) step: Span,
    pub(crate) expected: Code,
}

impl Case {
    pub(crate) fn new(
        name: &str,
        policy: &str,
        domain: &'static str,
        requests: Vec<Texts>,
    ) -> Self {
        let source = Source { name: "bench.yaml".to_owned(), text: policy.to_owned() };
        let compiled = compile(&[source], SEED, &Mode::Enforce.into());
        let set = compiled.set.expect("the policy has no errors");
        Self::of(name, set, domain, requests)
    }

    pub(crate) fn of(
        name: &str,
        set: PolicySet,
        domain: &'static str,
        requests: Vec<Texts>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            set,
            domain,
            requests,
            store: Store::memory(),
            turn: Cell::new(START),
            step: Span::from_seconds(1),
            expected: Code::Ok,
        }
    }

    /// Stands still in time, with the limits used up.
    pub(crate) fn denied(mut self) -> Self {
        self.step = Span::ZERO;
        self.expected = Code::OverLimit;
        while self.decide().0 == Code::Ok {}
        self
    }

    pub(crate) fn request(&self, turn: Turn) -> Request<'_> {
        request(self.domain, &self.requests[turn.place])
    }

    pub(crate) fn charge(&self, charges: &[Charge<'_>], now: Timestamp) -> Outcomes {
        charge(&self.store, charges, now)
    }

    /// Keys follow one another far apart, as those of unrelated callers do in memory.
    pub(crate) fn advance(&self) -> Turn {
        let Turn { place, now } = self.turn.get();
        let turn = Turn { place: (place + 7_919) % self.requests.len(), now: now.plus(self.step) };
        self.turn.set(turn);
        turn
    }

    /// All of a decision: the request is put together, decided, and its answer written.
    pub(crate) fn decide(&self) -> (Code, Answer<'_>) {
        let turn = self.advance();
        let request = self.request(turn);
        let plan = plan(&self.set, &request, turn.now, |_| None);
        let outcomes = self.charge(&plan.charges, turn.now);
        let decision = conclude(&plan, &outcomes);
        let answer = answer(&decision, turn.now);
        (decision.code, answer)
    }
}

pub(crate) fn charge(store: &Store, charges: &[Charge<'_>], now: Timestamp) -> Outcomes {
    store.counters().charge(charges, now)
}

pub(crate) fn request<'a>(domain: &'a str, texts: &'a Texts) -> Request<'a> {
    let descriptors = texts.iter().map(|entries| descriptor(entries)).collect();
    Request { domain: domain.as_bytes(), descriptors }
}

fn descriptor<'a>(entries: &'a [(&'static str, String)]) -> Descriptor<'a> {
    let entry = |(key, value): &'a (&'static str, String)| Entry {
        key: key.as_bytes(),
        value: value.as_bytes(),
    };
    Descriptor { entries: entries.iter().map(entry).collect(), hits: Hits::Take(1), limit: None }
}

/// Which request comes next, and when.
#[derive(Clone, Copy)]
pub(crate) struct Turn {
    pub(crate) place: usize,
    pub(crate) now: Timestamp,
}

pub(crate) const START: Turn = Turn { place: 0, now: Timestamp::from_seconds(1_750_000_000) };
