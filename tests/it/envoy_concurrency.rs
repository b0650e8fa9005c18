//! Rules of tollgate behind an Envoy that says when requests end.
//!
//! Each test has an Envoy, a tollgate and an upstream of its own; the upstream holds requests until the test says more.

use crate::support::clients::{count_of, one_after_the_other};
use crate::support::edge::{EdgeSetup, Guarded, Release};
use crate::support::http::{request, send};
use crate::support::metric;

#[tokio::test]
async fn requests_that_end_are_no_hits_of_a_window() {
    let policy = "
domain: ends
rules:
  - name: per-tenant
    per: [tenant]
    limits: [1000/year]
";
    for release in [Release::ByLease, Release::PlainPair] {
        let setup = EdgeSetup { release, ..EdgeSetup::concurrency("ends") };
        let Some(guarded) = Guarded::start(setup, policy).await else { return };
        guarded.upstream.answer_all();
        let requests = (0..1_010).map(|_| request("GET", "/", &[("x-tenant", b"acme")]));
        let answers = one_after_the_other(guarded.edge.address, requests).await;
        let counts = (count_of(200, &answers), count_of(429, &answers));
        assert_eq!(counts, (1_000, 10), "{release:?}");
        assert_eq!(guarded.upstream.counts().arrived, 1_000);
        let scraped = send(guarded.tollgate.http, request("GET", "/metrics", &[])).await;
        let scraped = String::from_utf8(scraped.body.to_vec()).expect("text");
        let denied =
            "tollgate_rule_hits_total{domain=\"ends\",rule=\"per-tenant\",code=\"over_limit\"}";
        assert_eq!(metric(&scraped, denied), 10.0, "{release:?}");
    }
}
