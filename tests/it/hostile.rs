//! Calls that are well-formed and mean harm: each gets a decision.

use tollgate::pb::descriptor::RateLimitDescriptor;
use tollgate::pb::rls::RateLimitRequest;

use crate::support::*;

#[tokio::test]
async fn bytes_that_are_no_utf8_are_counted_like_any_others() {
    let server = TestServer::start(FIVE_A_MINUTE).await;
    let mut client = server.client();
    let odd =
        || call("shop", vec![descriptor(&[("tenant".as_bytes(), b"\xff\xfe\x00".as_slice())])]);
    for _ in 0..5 {
        assert!(is_ok(client.should_rate_limit(odd()).await.unwrap().get_ref()));
    }
    assert!(!is_ok(client.should_rate_limit(odd()).await.unwrap().get_ref()));

    let domain = RateLimitRequest { domain: vec![0xff, 0x00].into(), ..odd() };
    assert!(is_ok(client.should_rate_limit(domain).await.unwrap().get_ref()));
    let key = call("shop", vec![descriptor(&[(b"\xff".as_slice(), b"x".as_slice())])]);
    assert!(is_ok(client.should_rate_limit(key).await.unwrap().get_ref()));
}

#[tokio::test]
async fn large_values_and_many_descriptors_get_a_decision_each() {
    let server = TestServer::start(FIVE_A_MINUTE).await;
    let mut client = server.client();
    let large = "x".repeat(64 * 1024);
    let response = client.should_rate_limit(tenant("shop", &large)).await.unwrap().into_inner();
    assert_eq!(only_status(&response).limit_remaining, 4);

    let many = (0..1_000).map(|i| descriptor(&[("tenant", i.to_string())])).collect();
    let response = client.should_rate_limit(call("shop", many)).await.unwrap().into_inner();
    assert_eq!(response.statuses.len(), 1_000);
    assert!(is_ok(&response));

    let same = vec![descriptor(&[("tenant", "same")]); 1_000];
    let response = client.should_rate_limit(call("shop", same)).await.unwrap().into_inner();
    assert_eq!(response.statuses.len(), 1_000);
    assert!(!is_ok(&response), "1000 hits of one counter do not fit into 5");

    let wide: Vec<(String, String)> = (0..1_000).map(|i| (format!("k{i}"), "v".into())).collect();
    let response = client.should_rate_limit(call("shop", vec![descriptor(&wide)])).await.unwrap();
    assert!(is_ok(response.get_ref()));
}

#[tokio::test]
async fn the_first_of_duplicate_keys_counts_whatever_follows() {
    let server = TestServer::start(FIVE_A_MINUTE).await;
    let mut client = server.client();
    let twice = |second: u32| {
        let second = second.to_string();
        call("shop", vec![descriptor(&[("tenant", "acme"), ("tenant", second.as_str())])])
    };
    for second in 0..5 {
        assert!(is_ok(client.should_rate_limit(twice(second)).await.unwrap().get_ref()));
    }
    assert!(!is_ok(client.should_rate_limit(twice(9)).await.unwrap().get_ref()));
}

#[tokio::test]
async fn the_largest_hits_deny_and_leave_the_counter_as_it_was() {
    let server = TestServer::start(FIVE_A_MINUTE).await;
    let mut client = server.client();
    let mut of_call = tenant("shop", "acme");
    of_call.hits_addend = u32::MAX;
    assert!(!is_ok(client.should_rate_limit(of_call).await.unwrap().get_ref()));
    for hits in [u64::from(u32::MAX), u64::MAX] {
        let acme = descriptor(&[("tenant", "acme")]);
        let descriptor = RateLimitDescriptor { hits_addend: Some(hits), ..acme };
        let both = call("shop", vec![descriptor.clone(), descriptor]);
        let response = client.should_rate_limit(both).await.unwrap().into_inner();
        assert!(!is_ok(&response));
        assert_eq!(response.statuses.len(), 2);
    }
    let after = client.should_rate_limit(tenant("shop", "acme")).await.unwrap().into_inner();
    assert_eq!(only_status(&after).limit_remaining, 4);
}

#[tokio::test]
async fn line_breaks_in_values_never_leave_in_headers() {
    let policy = format!("{FIVE_A_MINUTE}respond: {{ headers: [x-ratelimit, ratelimit] }}\n");
    let server = TestServer::start(&policy).await;
    let mut client = server.client();
    for _ in 0..6 {
        let call = tenant("shop", "a\r\nset-cookie: x=1");
        let response = client.should_rate_limit(call).await.unwrap().into_inner();
        assert!(!response.response_headers_to_add.is_empty());
        for header in response.response_headers_to_add {
            let is_clean = |text: &str| text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
            assert!(is_clean(&header.key) && is_clean(&header.value), "{header:?}");
        }
    }
}

#[tokio::test]
async fn a_message_over_the_bound_is_refused_and_the_connection_lives_on() {
    let server = TestServer::start_with(FIVE_A_MINUTE, |settings| {
        settings.message_size_max = 2_048;
    })
    .await;
    let mut client = server.client();
    let large = client.should_rate_limit(tenant("shop", &"x".repeat(4_096))).await.unwrap_err();
    assert_eq!(large.code(), tonic::Code::OutOfRange);
    assert!(is_ok(client.should_rate_limit(tenant("shop", "acme")).await.unwrap().get_ref()));
    assert_eq!(metric(&server.metrics.render(), "tollgate_connections_accepted_total"), 1.0);
}
