//! Calls, short to write.

use tollgate::pb::descriptor::RateLimitDescriptor;
use tollgate::pb::descriptor::rate_limit_descriptor::Entry;
use tollgate::pb::rls::rate_limit_response::{Code, DescriptorStatus};
use tollgate::pb::rls::{RateLimitRequest, RateLimitResponse};

/// A descriptor of these entries.
pub(crate) fn descriptor<K, V>(entries: &[(K, V)]) -> RateLimitDescriptor
where
    K: AsRef<[u8]>,
    V: AsRef<[u8]>,
{
    let entry = |(key, value): &(K, V)| Entry {
        key: key.as_ref().to_vec().into(),
        value: value.as_ref().to_vec().into(),
    };
    RateLimitDescriptor { entries: entries.iter().map(entry).collect(), ..Default::default() }
}

pub(crate) fn call(domain: &str, descriptors: Vec<RateLimitDescriptor>) -> RateLimitRequest {
    RateLimitRequest { domain: domain.to_owned().into(), descriptors, hits_addend: 0 }
}

/// One hit of one tenant.
pub(crate) fn tenant(domain: &str, tenant: &str) -> RateLimitRequest {
    call(domain, vec![descriptor(&[("tenant", tenant)])])
}

/// A single descriptor's status.
pub(crate) fn only_status(response: &RateLimitResponse) -> &DescriptorStatus {
    assert_eq!(response.statuses.len(), 1);
    &response.statuses[0]
}

pub(crate) fn is_ok(response: &RateLimitResponse) -> bool {
    response.overall_code() == Code::Ok
}

pub(crate) fn header<'r>(response: &'r RateLimitResponse, name: &str) -> Option<&'r str> {
    let headers = response.response_headers_to_add.iter();
    headers.clone().find(|header| header.key == name).map(|header| header.value.as_str())
}

/// Whether a call failed before it was sent: nobody listens any more, or the client's library had
/// queued it for a connection that the server has said it will close.
pub(crate) fn was_not_sent(error: &tonic::Status) -> bool {
    let mut text = String::new();
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        text.push_str(&format!("{error:?}"));
        cause = error.source();
    }
    let signs = ["ConnectionRefused", "GoAway(b\"\", NO_ERROR, Remote)", "Canceled"];
    signs.iter().any(|sign| text.contains(sign))
}
