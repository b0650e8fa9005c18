//! Whatever is decided, the bytes are those of the generated types.

use std::num::NonZeroU32;
use std::rc::Rc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use prost::Message as _;
use smallvec::SmallVec;

use super::many;
use crate::decide::{self, Answer, Binding, Code, Decision, Status};
use crate::grpc::metadata;
use crate::grpc::rls::{request_of, response_of};
use crate::grpc::wire::encode;
use crate::limit::{Alignment, Kind, Limit, Unit, Verdict, Window};
use crate::pb::descriptor::RateLimitDescriptor;
use crate::pb::descriptor::rate_limit_descriptor::{Entry, RateLimitOverride};
use crate::pb::rls::RateLimitRequest;
use crate::policy::model::{DescriptorHeaders, DescriptorOptions, Mode, Options, Source};
use crate::policy::set::{CounterSeed, PolicySet};
use crate::policy::{self};
use crate::store::memory::MemoryStore;
use crate::time::{Span, Timestamp};

const NATIVE: &str = "
domain: native
rules:
  - { name: tenant, per: [tenant], limits: [3/minute, 20/hour] }
  - { name: six hours of ü, match: { path: /dear }, limits: [{ amount: 2, window: 6h, kind: rolling }] }
  - { name: jobs, match: { path: /jobs }, limits: [{ amount: 2, kind: concurrent, lease: 90s }] }
  - { name: bucket, match: { path: /drip }, limits: [{ amount: 7, window: 9s, kind: bucket, burst: 3 }] }
  - { name: much, match: { path: /much }, limits: [9000000000000/year, 5000000000/week] }
  - { name: free, match: { path: /free }, unlimited: true, replaces: [tenant] }
respond: { headers: [x-ratelimit, ratelimit] }
";
const DESCRIPTORS: &str = "
domain: descriptors
descriptors:
  - key: tenant
    rate_limit: { unit: minute, requests_per_unit: 2 }
  - key: path
    value: /dear
    metadata: { pool: reserved, depth: [1, null, { a: true }] }
    rate_limit: { name: dear, unit: day, requests_per_unit: 4294967295 }
  - { key: path, value: /free, rate_limit: { unlimited: true } }
";

fn compiled(policies: &[&str]) -> PolicySet {
    let headers = DescriptorHeaders {
        limit: "X-Limit".to_owned(),
        remaining: "X-Remaining".to_owned(),
        reset: "X-Reset".to_owned(),
    };
    let descriptors =
        DescriptorOptions { headers: Some(headers), has_metadata: true, ..Default::default() };
    let options = Options { mode: Mode::Enforce, descriptors };
    let source = |text: &&str| Source { name: "policy.yaml".to_owned(), text: (*text).to_owned() };
    let sources: Vec<Source> = policies.iter().map(source).collect();
    let compiled = policy::compile(&sources, CounterSeed([1, 2]), &options);
    compiled.set.unwrap_or_else(|| panic!("{:#?}", compiled.diagnostics))
}

/// Holds the bytes of both against each other, and gives them.
fn bytes_of(
    call: &RateLimitRequest,
    decision: &Decision<'_>,
    answer: Answer<'_>,
) -> Result<Vec<u8>, TestCaseError> {
    let metadata = metadata::of(decision, || Some(std::borrow::Cow::Borrowed(call)));
    let bytes = encode(decision, &answer, metadata.as_ref(), 0).into_bytes().to_vec();
    let response = response_of(call, decision, answer);
    prop_assert_eq!(response.encode_to_vec(), bytes.as_slice(), "{:?}", response);
    Ok(bytes)
}

fn any_call() -> impl Strategy<Value = RateLimitRequest> {
    let tenant = select(vec!["a", "b"]).prop_map(|tenant| ("tenant", tenant));
    let paths = vec!["/dear", "/jobs", "/drip", "/much", "/free", "/other"];
    let path = select(paths).prop_map(|path| ("path", path));
    let entries = prop_oneof![
        tenant.clone().prop_map(|it| vec![it]),
        path.clone().prop_map(|it| vec![it]),
        (tenant, path).prop_map(|(tenant, path)| vec![tenant, path]),
    ];
    let limit = (any::<u32>(), 0..9, option::of(0..9_u32));
    let limit = option::weighted(
        0.1,
        limit.prop_map(|(requests_per_unit, unit, unit_multiplier)| RateLimitOverride {
            requests_per_unit,
            unit,
            unit_multiplier,
        }),
    );
    let hits = option::weighted(0.1, prop_oneof![0..9_u64, Just(u64::MAX)]);
    let descriptor = (entries, limit, hits).prop_map(|(entries, limit, hits_addend)| {
        let entry = |(key, value): (&'static str, &'static str)| Entry {
            key: key.into(),
            value: value.into(),
        };
        let entries = entries.into_iter().map(entry).collect();
        RateLimitDescriptor { entries, limit, hits_addend, is_negative_hits: false }
    });
    let domain = select(vec!["native", "descriptors", "unknown"]);
    (domain, vec(descriptor, 1..6), 0..3_u32).prop_map(|(domain, descriptors, hits_addend)| {
        RateLimitRequest { domain: domain.into(), descriptors, hits_addend }
    })
}

proptest! {
    #[test]
    fn what_policies_decide_has_the_bytes_of_the_generated_types(
        calls in vec((any_call(), 0..20_000_000_000_u64), 1..12),
    ) {
        let (set, store) = (compiled(&[NATIVE, DESCRIPTORS]), MemoryStore::default());
        let mut now = Timestamp::from_seconds(1_795_000_020);
        for (call, later) in calls {
            now = now.plus(Span::from_nanos(later));
            let plan = decide::plan(&set, &request_of(&call), now, |_| None);
            let outcomes = store.charge(&plan.charges, now);
            let decision = decide::conclude(&plan, &outcomes);
            bytes_of(&call, &decision, decide::answer(&decision, now))?;
        }
    }
}

/// Any number, and with it those at which one more byte is needed.
fn any_number() -> impl Strategy<Value = u64> {
    let edge = (0..64_u32, 0..3_u64).prop_map(|(bit, near)| (1_u64 << bit).wrapping_add(near) - 1);
    prop_oneof![0..200_u64, edge, any::<u64>()]
}

fn any_limit() -> impl Strategy<Value = Limit> {
    use Unit::{Day, Hour, Minute, Month, Second, Week, Year};
    let count = prop_oneof![1..3_u32, any::<u32>()];
    let unit = select(vec![Second, Minute, Hour, Day, Week, Month, Year]);
    (any_number(), count, unit, any::<u8>()).prop_map(|(amount, count, unit, kind)| {
        let count = NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        let window = Window { count, unit, alignment: Alignment::Epoch };
        let kind = match kind % 3 {
            0 => Kind::Fixed(window),
            1 => Kind::Bucket { window, burst: amount },
            _ => Kind::Concurrent { lease: Span::from_seconds(1) },
        };
        Limit::new(amount, kind)
    })
}

/// What a status says, the limit without a rule, and which of [`NAMED`] that is to have, if any.
fn any_status() -> impl Strategy<Value = (Code, bool, Option<Binding<'static>>, Option<usize>)> {
    let reset = option::of(prop_oneof![
        any_number(),
        (0..9_u64).prop_map(|seconds| seconds * 1_000_000_000),
    ]);
    let binding =
        (any_limit(), any_number(), reset).prop_map(|(limit, remaining, reset)| Binding {
            rule: None,
            limit,
            verdict: Verdict::Admitted,
            remaining,
            reset: reset.map(Span::from_nanos),
        });
    let code = prop_oneof![Just(Code::Ok), Just(Code::OverLimit)];
    let rule = option::of(0..NAMED.len());
    (code, any::<bool>(), option::of(binding), rule)
}

/// Lengths of names, around those at which their messages need a longer length.
const NAMED: [usize; 8] = [1, 2, 90, 110, 118, 126, 128, 200];

/// A rule for each of [`NAMED`], all of which limit the one call.
fn named_rules() -> PolicySet {
    let rule = |len: &usize| format!("  - {{ name: {}, limits: [1/day] }}\n", "n".repeat(*len));
    let rules: String = NAMED.iter().map(rule).collect();
    compiled(&[&format!("domain: d\nrules:\n{rules}")])
}

proptest! {
    #![proptest_config(many())]

    #[test]
    fn extreme_statuses_and_long_texts_have_the_bytes_of_the_generated_types(
        statuses in vec(any_status(), 0..6),
        headers in vec(("[a-z-]{0,20}", "[ -~]{0,160}"), 0..5),
        body in prop_oneof![Just(0), 1..300_usize, 16_000..17_000_usize],
        call in any_call(),
        is_denied in any::<bool>(),
        has_metadata in any::<bool>(),
    ) {
        let code = if is_denied { Code::OverLimit } else { Code::Ok };
        let set = SET.with(Rc::clone);
        let call_of_all = RateLimitRequest {
            domain: "d".into(),
            descriptors: vec![RateLimitDescriptor::default()],
            hits_addend: 0,
        };
        let plan = decide::plan(&set, &request_of(&call_of_all), Timestamp::EPOCH, |_| None);
        let mut limits = SmallVec::new();
        let statuses = statuses.into_iter().map(|(code, is_unlimited, binding, named)| {
            let rule = named.and_then(|place| plan.charges[place].rule);
            let tightest = binding.is_some().then_some(limits.len());
            limits.extend(binding.map(|binding| Binding { rule, ..binding }));
            Status { code, tightest, is_unlimited }
        });
        let statuses: SmallVec<[Status; 4]> = statuses.collect();
        let decision = Decision {
            domain: None,
            code,
            tightest: statuses.iter().find_map(|status| status.tightest),
            statuses,
            limits,
            rules: Default::default(),
            failures: Default::default(),
            leases: Default::default(),
            load: None,
            has_metadata,
        };
        let mut answer = Answer { body: vec![b'x'; body], ..Answer::default() };
        headers.iter().for_each(|(name, value)| answer.headers.begin(name).text(value));
        bytes_of(&call, &decision, answer)?;
    }
}

thread_local! {
    /// Compiled once for all cases.
    static SET: Rc<PolicySet> = Rc::new(named_rules());
}
