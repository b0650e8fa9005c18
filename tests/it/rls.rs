//! RLS v3 as Envoy sees it: codes, statuses, hits, limits that the caller brings along.

use tollgate::pb::descriptor::RateLimitDescriptor;
use tollgate::pb::descriptor::rate_limit_descriptor::RateLimitOverride;
use tollgate::pb::rls::rate_limit_response::{Code, rate_limit::Unit};
use tollgate::time::Span;

use crate::support::*;

#[tokio::test]
async fn the_amount_is_admitted_then_denied_until_the_window_ends() {
    let server = TestServer::start(FIVE_A_MINUTE).await;
    let mut client = server.client();
    for left in (0..5).rev() {
        let response = client.should_rate_limit(tenant("shop", "acme")).await.unwrap().into_inner();
        assert_eq!(response.overall_code(), Code::Ok);
        assert_eq!(only_status(&response).limit_remaining, left);
        assert!(response.raw_body.is_empty());
        assert_eq!(response.dynamic_metadata, None);
    }
    let denied = client.should_rate_limit(tenant("shop", "acme")).await.unwrap().into_inner();
    assert_eq!(denied.overall_code(), Code::OverLimit);
    let other = client.should_rate_limit(tenant("shop", "other")).await.unwrap().into_inner();
    assert!(is_ok(&other));

    server.clock.advance(Span::from_millis(49_999));
    let early = client.should_rate_limit(tenant("shop", "acme")).await.unwrap().into_inner();
    assert!(!is_ok(&early));
    server.clock.advance(Span::from_millis(1));
    let next = client.should_rate_limit(tenant("shop", "acme")).await.unwrap().into_inner();
    assert!(is_ok(&next));
}

#[tokio::test]
async fn a_status_says_limit_unit_name_rest_and_reset() {
    let server = TestServer::start(FIVE_A_MINUTE).await;
    server.clock.advance(Span::from_millis(250));
    let response = server.client().should_rate_limit(tenant("shop", "acme")).await.unwrap();
    let status = only_status(response.get_ref()).clone();
    assert_eq!(status.code(), Code::Ok);
    let limit = status.current_limit.unwrap();
    assert_eq!(
        (limit.requests_per_unit, limit.unit(), limit.name.as_str(), limit.unit_multiplier),
        (5, Unit::Minute, "per-tenant", None)
    );
    let reset = status.duration_until_reset.unwrap();
    assert_eq!((reset.seconds, reset.nanos), (49, 750_000_000));
}

#[tokio::test]
async fn a_window_of_several_units_names_its_multiple() {
    let policy = FIVE_A_MINUTE.replace("5/minute", "7/15m");
    let server = TestServer::start(&policy).await;
    let response = server.client().should_rate_limit(tenant("shop", "acme")).await.unwrap();
    let limit = only_status(response.get_ref()).current_limit.clone().unwrap();
    assert_eq!((limit.unit(), limit.unit_multiplier), (Unit::Minute, Some(15)));
}

#[tokio::test]
async fn a_denial_carries_body_headers_and_metadata() {
    let server = TestServer::start(FIVE_A_MINUTE).await;
    let mut client = server.client();
    let mut six = tenant("shop", "acme");
    six.hits_addend = 6;
    let exceeding = client.should_rate_limit(six).await.unwrap().into_inner();
    let mut five = tenant("shop", "acme");
    five.hits_addend = 5;
    assert!(is_ok(client.should_rate_limit(five).await.unwrap().get_ref()));
    let denied = client.should_rate_limit(tenant("shop", "acme")).await.unwrap().into_inner();

    let body: serde_json::Value = serde_json::from_slice(&denied.raw_body).unwrap();
    assert_eq!(body["status"], 429);
    assert_eq!(header(&denied, "retry-after"), Some("50"));
    assert_eq!(header(&denied, "content-type"), Some("application/problem+json"));

    let fields = |response: &tollgate::pb::rls::RateLimitResponse| {
        let metadata = response.dynamic_metadata.clone().unwrap();
        let kind = |name: &str| metadata.fields[name].kind.clone().unwrap();
        ["rule", "reason", "limit", "remaining", "reset_seconds", "status"].map(|name| {
            match kind(name) {
                prost_types::value::Kind::StringValue(text) => text,
                prost_types::value::Kind::NumberValue(number) => number.to_string(),
                other => panic!("{other:?}"),
            }
        })
    };
    assert_eq!(fields(&denied), ["per-tenant", "over_limit", "5", "0", "50", "429"]);
    assert_eq!(fields(&exceeding)[1], "exceeds_amount");
}

#[tokio::test]
async fn every_descriptor_has_its_status_and_one_denial_denies_all() {
    let server = TestServer::start(FIVE_A_MINUTE).await;
    let mut client = server.client();
    let acme = || descriptor(&[("tenant", "acme")]);
    let full = RateLimitDescriptor { hits_addend: Some(5), ..acme() };
    assert!(is_ok(client.should_rate_limit(call("shop", vec![full])).await.unwrap().get_ref()));

    let other = descriptor(&[("tenant", "other")]);
    let unmatched = descriptor(&[("colour", "red")]);
    let both = call("shop", vec![unmatched, other, acme()]);
    let response = client.should_rate_limit(both).await.unwrap().into_inner();
    assert_eq!(response.overall_code(), Code::OverLimit);
    let codes: Vec<Code> = response.statuses.iter().map(|status| status.code()).collect();
    assert_eq!(codes, [Code::Ok, Code::Ok, Code::OverLimit]);
    assert_eq!(response.statuses[0].current_limit, None);
    assert_eq!(response.statuses[1].limit_remaining, 5, "a denied request takes nothing");
}

#[tokio::test]
async fn hits_of_a_descriptor_win_and_zero_looks_without_counting() {
    let server = TestServer::start(FIVE_A_MINUTE).await;
    let mut client = server.client();
    let look = RateLimitDescriptor { hits_addend: Some(0), ..descriptor(&[("tenant", "acme")]) };
    let mut of_call = call("shop", vec![look.clone()]);
    of_call.hits_addend = 4;
    let seen = client.should_rate_limit(of_call.clone()).await.unwrap().into_inner();
    assert_eq!(only_status(&seen).limit_remaining, 5);

    of_call.descriptors[0].hits_addend = None;
    let taken = client.should_rate_limit(of_call).await.unwrap().into_inner();
    assert_eq!(only_status(&taken).limit_remaining, 1);

    let all = RateLimitDescriptor { hits_addend: Some(1), ..look.clone() };
    client.should_rate_limit(call("shop", vec![all])).await.unwrap();
    let at_limit = client.should_rate_limit(call("shop", vec![look])).await.unwrap();
    assert!(is_ok(at_limit.get_ref()), "looking is fine at exactly the limit");
}

#[tokio::test]
async fn negative_hits_give_back_where_the_rule_says_so() {
    let policy = format!("{FIVE_A_MINUTE}    refund: true\n");
    let server = TestServer::start(&policy).await;
    let mut client = server.client();
    let hits = |hits, is_negative_hits| {
        let acme = descriptor(&[("tenant", "acme")]);
        let descriptor = RateLimitDescriptor { hits_addend: Some(hits), is_negative_hits, ..acme };
        call("shop", vec![descriptor])
    };
    client.should_rate_limit(hits(5, false)).await.unwrap();
    let back = client.should_rate_limit(hits(2, true)).await.unwrap().into_inner();
    assert_eq!(only_status(&back).limit_remaining, 2);
    let floored = client.should_rate_limit(hits(u64::MAX, true)).await.unwrap().into_inner();
    assert_eq!(only_status(&floored).limit_remaining, 5);
}

#[tokio::test]
async fn a_limit_that_the_caller_brings_along_is_used_instead() {
    let server = TestServer::start(FIVE_A_MINUTE).await;
    let mut client = server.client();
    let bring = |unit, unit_multiplier| {
        let limit = RateLimitOverride { requests_per_unit: 2, unit, unit_multiplier };
        let acme = descriptor(&[("tenant", "acme")]);
        call("shop", vec![RateLimitDescriptor { limit: Some(limit), ..acme }])
    };
    let hour = client.should_rate_limit(bring(3, Some(6))).await.unwrap().into_inner();
    let limit = only_status(&hour).current_limit.clone().unwrap();
    assert_eq!((limit.requests_per_unit, limit.unit()), (2, Unit::Hour));
    assert_eq!(limit.unit_multiplier, Some(6));
    assert!(is_ok(client.should_rate_limit(bring(3, Some(6))).await.unwrap().get_ref()));
    assert!(!is_ok(client.should_rate_limit(bring(3, Some(6))).await.unwrap().get_ref()));

    for unknown in [0, 8, 99, -1] {
        let own = client.should_rate_limit(bring(unknown, None)).await.unwrap().into_inner();
        let limit = only_status(&own).current_limit.clone().unwrap();
        assert_eq!(limit.name, "per-tenant", "a unit that means nothing brings no limit");
    }
}

#[tokio::test]
async fn an_unknown_domain_passes_with_bare_statuses_and_is_counted() {
    let server = TestServer::start(FIVE_A_MINUTE).await;
    let response = server.client().should_rate_limit(tenant("nowhere", "acme")).await.unwrap();
    let status = only_status(response.get_ref());
    assert_eq!(status.code(), Code::Ok);
    assert_eq!((status.current_limit.clone(), status.limit_remaining), (None, 0));
    let metrics = server.metrics.render();
    assert_eq!(metric(&metrics, "tollgate_unknown_domain_total"), 1.0);
    assert!(!metrics.contains("nowhere"), "a caller's text is no label");
}

#[tokio::test]
async fn only_an_empty_domain_and_a_call_without_descriptors_are_refused() {
    let server = TestServer::start(FIVE_A_MINUTE).await;
    let mut client = server.client();
    let no_domain = client.should_rate_limit(tenant("", "acme")).await.unwrap_err();
    assert_eq!(no_domain.code(), tonic::Code::InvalidArgument);
    assert!(no_domain.message().contains("`domain` is empty"), "{no_domain}");
    let nothing = client.should_rate_limit(call("shop", vec![])).await.unwrap_err();
    assert_eq!(nothing.code(), tonic::Code::InvalidArgument);
    assert!(nothing.message().contains("`descriptors` is empty"), "{nothing}");
    let bare = call("shop", vec![RateLimitDescriptor::default()]);
    assert!(is_ok(client.should_rate_limit(bare).await.unwrap().get_ref()));

    let metrics = server.metrics.render();
    let count = |reason| {
        metric(&metrics, &format!("tollgate_invalid_requests_total{{reason=\"{reason}\"}}"))
    };
    assert_eq!((count("empty_domain"), count("no_descriptors")), (1.0, 1.0));
}

#[tokio::test]
async fn a_server_in_shadow_mode_denies_nothing_and_counts_what_it_would_have() {
    let server = TestServer::start_with(FIVE_A_MINUTE, |settings| {
        settings.mode = tollgate::policy::model::Mode::Shadow;
    })
    .await;
    let mut client = server.client();
    for _ in 0..7 {
        let response = client.should_rate_limit(tenant("shop", "acme")).await.unwrap();
        assert!(is_ok(response.get_ref()));
    }
    let series = "tollgate_rule_hits_total{domain=\"shop\",rule=\"per-tenant\",\
                  code=\"shadow_over_limit\"}";
    assert_eq!(metric(&server.metrics.render(), series), 2.0);
}
