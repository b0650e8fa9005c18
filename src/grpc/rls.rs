//! RLS v3, wire to core and back: `RateLimitRequest` → `Request`, `Decision` → `RateLimitResponse`.
//!
//! No content of a well-formed call is an error: Envoy lets a request through unlimited when its
//! call fails. Only an empty domain and a call without descriptors are refused.

use std::borrow::Cow;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use super::metadata;
use super::undelivered::Held;
use super::values::{
    code_of, duration_of, hits_of, limit_of, name_of, remaining_of, saturated, unit_of,
};
use crate::clock::Clock;
use crate::decide::{self, Answer, Binding, Decision, Plan, Status};
use crate::metrics::Metrics;
use crate::pb;
use crate::pb::rls::rate_limit_response as wire;
use crate::reports::Reports;
use crate::request::{Descriptor, Entry, Request};
use crate::source::{Active, Published};
use crate::store::{Moment, Outcomes, Store, StoreError};
use crate::time::Span;
use crate::usage::Usage;

/// Answers `ShouldRateLimit`, over gRPC and as JSON alike.
#[derive(Clone, Debug)]
pub struct Rls {
    pub active: Arc<Active>,
    pub store: Arc<Store>,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    pub reports: Arc<Reports>,
    pub usage: Arc<Usage>,
}

/// An answer, and what it holds until it has left.
#[derive(Debug)]
pub struct Decided<A> {
    pub answer: A,
    /// The HTTP status that the answer asks for, 200 for what passes.
    pub status: u16,
    pub held: Option<Held>,
}

/// Why a call gets no decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("`domain` is empty: it names the policy that limits the request")]
    EmptyDomain,
    #[error("`descriptors` is empty: there is nothing to match limits against")]
    NoDescriptors,
    #[error("an internal error; the log of tollgate says more")]
    Internal,
}

impl From<Refusal> for tonic::Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::EmptyDomain | Refusal::NoDescriptors => {
                Self::invalid_argument(refusal.to_string())
            }
            Refusal::Internal => Self::internal(refusal.to_string()),
        }
    }
}

/// When a call is decided.
#[derive(Clone, Copy)]
struct Begun {
    /// When it was decided.
    at: Moment,
    /// On the clock that only grows.
    since: Span,
}

impl Rls {
    /// Decides one call, of a message that is decoded whole.
    pub async fn should_rate_limit(
        &self,
        call: &pb::rls::RateLimitRequest,
    ) -> Result<Decided<pb::rls::RateLimitResponse>, Refusal> {
        let write =
            |decision: &Decision<'_>, answer: Answer<'_>| response_of(call, decision, answer);
        self.decided(&request_of(call), write).await
    }

    /// Decides one request and writes the answer. A panic on the way ends this call alone.
    pub(super) async fn decided<A>(
        &self,
        request: &Request<'_>,
        write: impl FnOnce(&Decision<'_>, Answer<'_>) -> A,
    ) -> Result<Decided<A>, Refusal> {
        let decided = async {
            let published = self.active.current();
            let begun = self.begin(request)?;
            let plan = self.plan(&published, request, begun);
            let outcomes = self.store.charge(&plan.charges, begun.at).await;
            self.finish((&published, request), begun, &plan, outcomes, write)
        };
        self.count(caught(decided).await.unwrap_or(Err(Refusal::Internal)))
    }

    /// The same without a future, which would be some kilobytes to move about; `None` where
    /// something is to be waited for. Then nothing is counted yet.
    pub(super) fn decided_at_once<A>(
        &self,
        request: &Request<'_>,
        write: impl FnOnce(&Decision<'_>, Answer<'_>) -> A,
    ) -> Option<Result<Decided<A>, Refusal>> {
        let decide = || {
            let published = self.active.current();
            let begun = match self.begin(request) {
                Ok(begun) => begun,
                Err(refusal) => return Some(Err(refusal)),
            };
            let plan = self.plan(&published, request, begun);
            let outcomes = self.store.charge_at_once(&plan.charges, begun.at)?;
            Some(self.finish((&published, request), begun, &plan, outcomes, write))
        };
        let decided = catch_unwind(AssertUnwindSafe(decide));
        decided.unwrap_or(Some(Err(Refusal::Internal))).map(|decided| self.count(decided))
    }

    fn begin(&self, request: &Request<'_>) -> Result<Begun, Refusal> {
        let since = self.clock.steady();
        if request.domain.is_empty() {
            return Err(Refusal::EmptyDomain);
        }
        if request.descriptors.is_empty() {
            return Err(Refusal::NoDescriptors);
        }
        Ok(Begun { at: self.store.moment(&self.clock), since })
    }

    /// Also gives back the leases that the request names.
    fn plan<'p>(&self, published: &'p Published, request: &Request<'_>, begun: Begun) -> Plan<'p> {
        let now = begun.at.now;
        let reported = |domain: &str| self.reports.load_of(domain);
        let plan = decide::plan(&published.set, request, now, reported);
        // Once is as good as twice, where the charges then wait.
        if !plan.releases.is_empty() {
            self.store.release(&plan.releases, now);
        }
        plan
    }

    fn finish<A>(
        &self,
        (published, request): (&Published, &Request<'_>),
        Begun { at, since }: Begun,
        plan: &Plan<'_>,
        outcomes: Result<Outcomes, StoreError>,
        write: impl FnOnce(&Decision<'_>, Answer<'_>) -> A,
    ) -> Result<Decided<A>, Refusal> {
        let outcomes = outcomes.map_err(|error| {
            self.metrics.store_errors.increment(1);
            tracing::error!(%error, "counters cannot be charged");
            Refusal::Internal
        })?;
        let now = at.now;
        let decision = decide::conclude(plan, &outcomes);
        let held = Held::new(&decision.leases, &self.store, &self.clock);
        let answer = write(&decision, decide::answer(&decision, now));

        if decision.domain.is_none() {
            self.metrics.unknown_domain.increment(1);
            published.met_unknown_domain(request.domain);
        }
        published.metrics.decided(request, &decision);
        self.usage.record(request, &decision, now);
        let taken = self.clock.steady().minus(since);
        self.metrics.decision_duration.record(taken.to_duration());
        Ok(Decided { answer, status: decision.status(), held })
    }

    fn count<A>(&self, decided: Result<Decided<A>, Refusal>) -> Result<Decided<A>, Refusal> {
        match decided {
            Err(Refusal::EmptyDomain) => self.metrics.invalid.empty_domain.increment(1),
            Err(Refusal::NoDescriptors) => self.metrics.invalid.no_descriptors.increment(1),
            Err(Refusal::Internal) => self.metrics.internal_errors.increment(1),
            Ok(_) => {}
        }
        decided
    }
}

/// Runs a future to its end; `None` when it panicked.
async fn caught<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Some),
        Err(_) => Poll::Ready(None),
    })
    .await
}

/// What a call asks, borrowed from it.
pub fn request_of(call: &pb::rls::RateLimitRequest) -> Request<'_> {
    let descriptors = call.descriptors.iter().map(|descriptor| Descriptor {
        entries: descriptor
            .entries
            .iter()
            .map(|entry| Entry { key: &entry.key, value: &entry.value })
            .collect(),
        hits: hits_of(descriptor.hits_addend, descriptor.is_negative_hits, call.hits_addend),
        limit: descriptor.limit.as_ref().and_then(limit_of),
    });
    Request { domain: &call.domain, descriptors: descriptors.collect() }
}

/// The answer on the wire.
pub fn response_of(
    call: &pb::rls::RateLimitRequest,
    decision: &Decision<'_>,
    answer: Answer<'_>,
) -> pb::rls::RateLimitResponse {
    let headers = answer.headers.iter().map(|(name, value)| pb::core::HeaderValue {
        key: name.to_owned(),
        value: value.to_owned(),
        ..Default::default()
    });
    pb::rls::RateLimitResponse {
        overall_code: code_of(decision.code).into(),
        statuses: decision.statuses.iter().map(|status| status_of(decision, status)).collect(),
        response_headers_to_add: headers.collect(),
        raw_body: answer.body.into(),
        dynamic_metadata: metadata::of(decision, || Some(Cow::Borrowed(call))),
        ..Default::default()
    }
}

fn status_of(decision: &Decision<'_>, status: &Status) -> wire::DescriptorStatus {
    let binding = decision.binding_of(status);
    wire::DescriptorStatus {
        code: code_of(status.code).into(),
        current_limit: binding.map(current_limit),
        limit_remaining: remaining_of(status, binding),
        duration_until_reset: binding.and_then(|binding| binding.reset).map(duration_of),
        quota: None,
    }
}

fn current_limit(binding: &Binding<'_>) -> wire::RateLimit {
    let (unit, unit_multiplier) = unit_of(&binding.limit);
    wire::RateLimit {
        requests_per_unit: saturated(binding.limit.amount),
        unit: unit.into(),
        name: name_of(binding).to_owned(),
        unit_multiplier,
    }
}

#[tonic::async_trait]
impl pb::rls::rate_limit_service_server::RateLimitService for Rls {
    async fn should_rate_limit(
        &self,
        call: tonic::Request<pb::rls::RateLimitRequest>,
    ) -> Result<tonic::Response<pb::rls::RateLimitResponse>, tonic::Status> {
        match Self::should_rate_limit(self, call.get_ref()).await {
            Ok(Decided { answer, held, .. }) => {
                let mut response = tonic::Response::new(answer);
                if let Some(held) = held {
                    response.extensions_mut().insert(held);
                }
                Ok(response)
            }
            Err(refusal) => Err(refusal.into()),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::pb::descriptor::RateLimitDescriptor;

    #[tokio::test]
    async fn a_panic_is_caught_and_a_result_comes_through() {
        assert_eq!(caught(async { panic!("on purpose") as u32 }).await, None);
        assert_eq!(caught(async { 1 }).await, Some(1));
    }

    /// Of one policy, at a fixed time.
    pub(in crate::grpc) fn rls(policy: &str) -> Rls {
        use crate::policy::model::{Mode, Options};
        use crate::policy::set::CounterSeed;
        use crate::source::PolicyFiles;
        use crate::time::Timestamp;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("d.yaml"), policy).unwrap();
        let metrics = Arc::new(Metrics::new().unwrap());
        let clock = Clock::manual(Timestamp::from_seconds(1_795_000_020));
        let paths = [folder.path().to_path_buf()];
        let (seed, options) = (CounterSeed([1, 2]), Options::from(Mode::Enforce));
        let files =
            PolicyFiles::load(&paths, seed, options, Arc::clone(&metrics), clock.clone()).unwrap();
        Rls {
            active: Arc::clone(files.active()),
            store: Arc::new(Store::memory()),
            clock,
            metrics,
            reports: Arc::default(),
            usage: Arc::default(),
        }
    }

    #[tokio::test]
    async fn every_decision_goes_into_the_history() {
        use crate::usage::Resolution;
        let rls = rls("domain: d\nrules: [{ name: r, per: [user], limits: [2/day] }]");
        let entry = pb::descriptor::rate_limit_descriptor::Entry {
            key: "user".into(),
            value: "ann".into(),
        };
        let descriptor = RateLimitDescriptor { entries: vec![entry], ..Default::default() };
        let call = pb::rls::RateLimitRequest {
            domain: "d".into(),
            descriptors: vec![descriptor],
            hits_addend: 0,
        };
        for _ in 0..3 {
            rls.should_rate_limit(&call).await.unwrap();
        }
        let reading = rls.usage.read(Resolution::Day, (0, u32::MAX), std::iter::empty());
        let total = reading.series[0].total;
        assert_eq!((total.admitted, total.denied, total.peak), (2, 1, 10_000));
    }
}
