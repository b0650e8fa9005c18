//! The scrape, held to Prometheus' conventions and to the table of metrics.

use std::collections::BTreeSet;

use tollgate::metrics::{Kind, TABLE};
use tollgate::policy::model::Mode;

use crate::support::*;

/// The name of the metric that a series line belongs to.
fn family(line: &str) -> &str {
    let name = line.split(['{', ' ']).next().unwrap();
    let is_histogram = |base: &&str| {
        TABLE.iter().any(|metric| metric.kind == Kind::Histogram && metric.name == *base)
    };
    let suffixes = ["_bucket", "_sum", "_count"];
    let base = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix).filter(is_histogram));
    base.unwrap_or(name)
}

const DETAILED: &str = "
domain: detailed
descriptors:
  - key: tenant
    detailed_metric: true
    rate_limit: { unit: day, requests_per_unit: 1 }
    descriptors:
      - key: path
        value: /a/*
        value_to_metric: true
        rate_limit: { unit: day, requests_per_unit: 9 }
      - key: path
        value: /b/*
        share_threshold: true
        detailed_metric: true
        rate_limit: { unit: day, requests_per_unit: 9 }
";

#[tokio::test]
async fn rules_that_ask_for_it_tell_the_values_of_requests() {
    let server = TestServer::start(DETAILED).await;
    let mut client = server.client();
    for _ in 0..2 {
        client.should_rate_limit(tenant("detailed", "a\"=>b")).await.unwrap();
    }
    for path in ["/a/1", "/b/1", "/b/2"] {
        let entries = [("tenant", "acme"), ("path", path)];
        client.should_rate_limit(call("detailed", vec![descriptor(&entries)])).await.unwrap();
    }
    let (_, text) = server.get("/metrics").await;
    let series = text.lines().filter_map(|line| {
        line.strip_prefix("tollgate_detailed_hits_total{domain=\"detailed\",rule=")
    });
    let series: BTreeSet<&str> = series.collect();
    let expected = [
        r#""tenant",detail="tenant=a\"\\=\\>b",code="ok"} 1"#,
        r#""tenant",detail="tenant=a\"\\=\\>b",code="over_limit"} 1"#,
        r#""tenant > path=/a/*",detail="tenant > path=/a/1",code="ok"} 1"#,
        r#""tenant > path=/b/*",detail="tenant=acme > path=/b/*",code="ok"} 2"#,
    ];
    assert_eq!(series, BTreeSet::from(expected));
}

#[tokio::test]
async fn every_metric_is_described_named_by_convention_and_scraped() {
    // Some series are there only for policies that may move them.
    let policy = FIVE_A_MINUTE.replace("limits:", "cost: 1\n    limits:");
    let server = TestServer::start(&format!("{policy}load: {{}}\n---\n{DETAILED}")).await;
    server.client().should_rate_limit(tenant("shop", "acme")).await.unwrap();
    server.client().should_rate_limit(tenant("detailed", "acme")).await.unwrap();
    let (code, text) = server.get("/metrics").await;
    assert_eq!(code, 200);
    for metric in TABLE {
        assert!(metric.name.starts_with("tollgate_"), "{}", metric.name);
        let is_total = metric.name.ends_with("_total");
        assert_eq!(is_total, metric.kind == Kind::Counter, "{}", metric.name);
        if metric.kind == Kind::Histogram {
            assert!(metric.name.ends_with("_seconds"), "{}", metric.name);
        }
        assert!(
            text.contains(&format!("# HELP {} {}", metric.name, metric.help)),
            "{}",
            metric.name
        );
        let kind = format!("{:?}", metric.kind).to_lowercase();
        assert!(text.contains(&format!("# TYPE {} {kind}\n", metric.name)), "{}", metric.name);
    }
    let declared: BTreeSet<&str> = TABLE.iter().map(|metric| metric.name).collect();
    let series = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    for line in series {
        let metric = TABLE.iter().find(|metric| metric.name == family(line));
        let metric = metric.unwrap_or_else(|| panic!("not in the table: {line}"));
        let labels = line.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
        let labels = labels.map_or("", |(labels, _)| labels);
        let names: BTreeSet<&str> =
            labels.split("\",").filter_map(|label| label.split_once('=')).map(|(n, _)| n).collect();
        let expected: BTreeSet<&str> = metric.labels.iter().copied().collect();
        let extra: Vec<&&str> = names.difference(&expected).filter(|name| **name != "le").collect();
        assert!(extra.is_empty(), "{line}: {extra:?}");
    }
    let scraped: BTreeSet<&str> = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(family)
        .collect();
    assert_eq!(scraped, declared);
}

#[tokio::test]
async fn decisions_rules_and_connections_are_counted() {
    let server = TestServer::start(FIVE_A_MINUTE).await;
    let mut client = server.client();
    for _ in 0..7 {
        client.should_rate_limit(tenant("shop", "acme")).await.unwrap();
    }
    let text = server.metrics.render();
    let series =
        |name: &str, code: &str| metric(&text, &format!("tollgate_{name},code=\"{code}\"}}"));
    assert_eq!(series("decisions_total{domain=\"shop\"", "ok"), 5.0);
    assert_eq!(series("decisions_total{domain=\"shop\"", "over_limit"), 2.0);
    let rule = "rule_hits_total{domain=\"shop\",rule=\"per-tenant\"";
    assert_eq!((series(rule, "ok"), series(rule, "over_limit")), (5.0, 2.0));
    assert_eq!(metric(&text, "tollgate_connections"), 1.0);
    assert_eq!(metric(&text, "tollgate_decision_duration_seconds_count"), 7.0);
    assert_eq!(metric(&text, "tollgate_policy_rules"), 1.0);
    assert_eq!(metric(&text, "tollgate_policy_set_version"), 1.0);
}

#[tokio::test]
async fn expressions_that_cannot_be_worked_out_are_counted_by_rule() {
    let policy = FIVE_A_MINUTE.replace("limits:", "when: int(rows) > 3\n    limits:");
    let server = TestServer::start(&policy).await;
    for _ in 0..2 {
        let response = server.client().should_rate_limit(tenant("shop", "acme")).await.unwrap();
        assert_eq!(only_status(response.get_ref()).current_limit, None);
    }
    let text = server.metrics.render();
    let failures = "tollgate_expression_failures_total{domain=\"shop\",rule=\"per-tenant\"}";
    assert_eq!(metric(&text, failures), 2.0);
}

#[tokio::test]
async fn a_scrape_says_how_many_counters_are_held_now() {
    let server = TestServer::start(FIVE_A_MINUTE).await;
    for (callers, count) in [(["a", "b"], 2.0), (["b", "c"], 3.0)] {
        for caller in callers {
            server.client().should_rate_limit(tenant("shop", caller)).await.unwrap();
        }
        let (_, text) = server.get("/metrics").await;
        assert_eq!(metric(&text, "tollgate_counters"), count);
        assert_eq!(metric(&text, "tollgate_http_connections"), 1.0);
    }
}

#[tokio::test]
async fn calls_that_the_library_refuses_are_counted_by_reason_and_decisions_are_not() {
    let server = TestServer::start(FIVE_A_MINUTE).await;
    let mut client = server.client();
    let large = "x".repeat(2 << 20);
    let refused = client.should_rate_limit(tenant("shop", &large)).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::OutOfRange);

    // Field 2 of the call holds descriptors; a number there is no RateLimitRequest.
    let garbled = prost_types::Duration { seconds: 1, nanos: 1 };
    let mut raw = tonic::client::Grpc::new(server.channel());
    raw.ready().await.unwrap();
    let path = ::http::uri::PathAndQuery::from_static(
        "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit",
    );
    let codec = tonic_prost::ProstCodec::<prost_types::Duration, ()>::default();
    let refused = raw.unary(tonic::Request::new(garbled), path, codec).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Internal);

    client.should_rate_limit(tenant("", "acme")).await.unwrap_err();
    for _ in 0..6 {
        client.should_rate_limit(tenant("shop", "acme")).await.unwrap();
    }
    let text = server.metrics.render();
    for (reason, count) in
        [("too_large", 1.0), ("bad_message", 1.0), ("empty_domain", 1.0), ("no_descriptors", 0.0)]
    {
        let series = format!("tollgate_invalid_requests_total{{reason=\"{reason}\"}}");
        assert_eq!(metric(&text, &series), count, "{reason}");
    }
}

#[tokio::test]
async fn shadow_mode_lets_all_through_and_is_told() {
    let server =
        TestServer::start_with(FIVE_A_MINUTE, |settings| settings.mode = Mode::Shadow).await;
    let mut client = server.client();
    for _ in 0..7 {
        let answer = client.should_rate_limit(tenant("shop", "acme")).await.unwrap();
        assert!(is_ok(answer.get_ref()));
    }
    let (_, text) = server.get("/metrics").await;
    assert_eq!(metric(&text, "tollgate_shadow_mode"), 1.0);
    let would_deny = r#"{domain="shop",rule="per-tenant",code="shadow_over_limit"}"#;
    assert_eq!(metric(&text, &format!("tollgate_rule_hits_total{would_deny}")), 2.0);
}

#[tokio::test]
async fn the_first_unknown_domain_is_logged_and_all_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("policy.yaml"), FIVE_A_MINUTE).unwrap();
    let mut server = ServerProcess::start(folder.path(), &[]);
    let body = r#"{"domain": "shpo\n", "descriptors": [{}]}"#;
    let (code, _) = http(&server.http.to_string(), "POST", "/json", body).await;
    assert_eq!(code, 200);
    let line = server.process.wait_for("a call names a domain that no policy has");
    assert!(line.contains(r"domain=shpo\n known="), "{line}");
    http(&server.http.to_string(), "POST", "/json", body).await;
    let (_, text) = http(&server.http.to_string(), "GET", "/metrics", "").await;
    assert_eq!(metric(&text, "tollgate_unknown_domain_total"), 2.0);
}
