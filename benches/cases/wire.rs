//! A call's bytes to a request, and a decision to the answer's bytes, as the server does it.
//!
//! Whoever changes how the server reads and writes changes it here, and nowhere else in the benches.

use bytes::Bytes;
use prost::Message as _;
use tollgate::decide::{Answer, Code, Decision, answer, conclude, plan};
use tollgate::grpc::wire;
use tollgate::pb::descriptor::RateLimitDescriptor;
use tollgate::pb::descriptor::rate_limit_descriptor::Entry;
use tollgate::pb::rls::RateLimitRequest;
use tollgate::request::Request;
use tollgate::usage::Usage;

use super::{Case, Turn};

pub(crate) fn decode(bytes: &[u8]) -> Request<'_> {
    let mut request = Request::default();
    wire::decode(bytes, &mut request).expect("the bench's own bytes");
    request
}

pub(crate) fn encode(decision: &Decision<'_>, answer: &Answer<'_>) -> Bytes {
    wire::encode(decision, answer, None, 5).into_bytes()
}

/// What a client sends for one request of a case.
pub(crate) fn bytes(case: &Case, place: usize) -> Bytes {
    let entry = |(key, value): &(&'static str, String)| Entry {
        key: Bytes::from_static(key.as_bytes()),
        value: value.clone().into(),
    };
    let descriptor = |entries: &Vec<(&'static str, String)>| RateLimitDescriptor {
        entries: entries.iter().map(entry).collect(),
        ..RateLimitDescriptor::default()
    };
    let call = RateLimitRequest {
        domain: Bytes::from_static(case.domain.as_bytes()),
        descriptors: case.requests[place].iter().map(descriptor).collect(),
        hits_addend: 0,
    };
    call.encode_to_vec().into()
}

/// All that is done between the bytes of a call and those of its answer.
pub(crate) fn serve(case: &Case, usage: Option<&Usage>, bytes: &[u8]) -> Code {
    let Turn { now, .. } = case.advance();
    let request = decode(bytes);
    let plan = plan(&case.set, &request, now, |_| None);
    let outcomes = case.charge(&plan.charges, now);
    let decision = conclude(&plan, &outcomes);
    std::hint::black_box(encode(&decision, &answer(&decision, now)));
    if let Some(usage) = usage {
        usage.record(&request, &decision, now);
    }
    decision.code
}
