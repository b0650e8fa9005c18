//! Calls of the test itself, one after the other: what is used of a limit, and taking what is left.
//!
//! Looking counts nothing: it is a descriptor with 0 hits of its own.

use std::ops::Range;

use tollgate::pb::descriptor::RateLimitDescriptor;
use tollgate::pb::rls::RateLimitResponse;
use tollgate::pb::rls::rate_limit_service_client::RateLimitServiceClient;
use tonic::transport::Endpoint;

use crate::support::{Client, call, descriptor, is_ok, within};

/// The domain of every policy of the rig.
pub(crate) const DOMAIN: &str = "rig";

/// Descriptors of one call, where many fit.
const DESCRIPTORS_PER_CALL: u32 = 500;

/// So often what is left is asked for until it must be had.
const DRAIN_TRIES: u32 = 50;

/// A rule of the policy: the entry that it counts by, which also is its name, and its amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    pub(crate) amount: u32,
}

impl Rule {
    /// The rule in YAML. Its windows do not end while a test runs: some begin with the first hit, others with a
    /// century.
    pub(crate) fn yaml(self, window: &str, more: &str) -> String {
        let Self { name, amount } = self;
        let limit = format!("limits: [{{ amount: {amount}, window: {window} }}]");
        format!("  - name: {name}\n    per: [{name}]\n    {limit}\n{more}")
    }

    pub(crate) fn key(self, number: u32) -> Key {
        Key { rule: self, number }
    }
}

pub(crate) const FROM_FIRST_HIT: &str = "30 days, anchor: first-hit";
pub(crate) const CENTURY: &str = "100 years";

pub(crate) fn policy(rules: &[String]) -> String {
    format!("domain: {DOMAIN}\nrules:\n{}", rules.concat())
}

/// A counter of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) rule: Rule,
    pub(crate) number: u32,
}

impl Key {
    /// The descriptor that asks for so many hits.
    pub(crate) fn asking(self, hits: u32) -> RateLimitDescriptor {
        asking(self.rule, &format!("k{}", self.number), hits)
    }
}

/// The same for any value.
pub(crate) fn asking(rule: Rule, value: &str, hits: u32) -> RateLimitDescriptor {
    RateLimitDescriptor { hits_addend: Some(hits.into()), ..descriptor(&[(rule.name, value)]) }
}

#[derive(Debug)]
pub(crate) struct Caller {
    client: Client,
}

impl Caller {
    pub(crate) async fn connect(grpc: &str) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{grpc}")).expect("an address");
        let channel = within(endpoint.connect()).await.expect("a server");
        Self { client: RateLimitServiceClient::new(channel) }
    }

    pub(crate) async fn ask(&mut self, descriptors: Vec<RateLimitDescriptor>) -> RateLimitResponse {
        let answer = within(self.client.should_rate_limit(call(DOMAIN, descriptors))).await;
        answer.expect("an answer").into_inner()
    }

    /// Takes hits of one counter, or none.
    pub(crate) async fn take(&mut self, key: Key, hits: u32) -> bool {
        is_ok(&self.ask(vec![key.asking(hits)]).await)
    }

    /// What is used of counters, in their order.
    pub(crate) async fn used(&mut self, rule: Rule, numbers: Range<u32>) -> Vec<u64> {
        let mut used = Vec::new();
        for part in parts(numbers) {
            let looks = part.clone().map(|number| rule.key(number).asking(0)).collect();
            let answer = self.ask(looks).await;
            assert_eq!(answer.statuses.len(), part.len());
            let left = answer.statuses.iter().map(|status| status.limit_remaining);
            used.extend(left.map(|left| u64::from(rule.amount - left)));
        }
        used
    }

    /// One hit for each counter, many in a call.
    pub(crate) async fn touch(&mut self, rule: Rule, numbers: Range<u32>) {
        for part in parts(numbers) {
            let hits = part.map(|number| rule.key(number).asking(1)).collect();
            assert!(is_ok(&self.ask(hits).await), "there is room for all");
        }
    }

    /// Takes all that is left of a counter; gives how much that was.
    pub(crate) async fn drain(&mut self, key: Key) -> u64 {
        let mut taken = 0;
        for _ in 0..DRAIN_TRIES {
            let used = self.used(key.rule, key.number..key.number + 1).await[0];
            let left = u64::from(key.rule.amount) - used;
            if left == 0 {
                break;
            }
            // A strict rule may deny what its disk does not count in time.
            let hits = u32::try_from(left).expect("no more than the amount");
            taken += if self.take(key, hits).await { left } else { 0 };
        }
        assert!(!self.take(key, 1).await, "{key:?}: nothing is left after {taken}");
        taken
    }
}

pub(crate) fn parts(numbers: Range<u32>) -> impl Iterator<Item = Range<u32>> {
    let step = usize::try_from(DESCRIPTORS_PER_CALL).expect("a small number");
    let end = numbers.end;
    numbers.step_by(step).map(move |from| from..end.min(from + DESCRIPTORS_PER_CALL))
}
