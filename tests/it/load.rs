//! Load over the wire: what is shed and told over gRPC, what is reported over HTTP, and what a real
//! Envoy makes of both.

use serde_json::{Value, json};
use tollgate::pb::rls::RateLimitResponse;
use tollgate::pb::rls::rate_limit_response::Code;
use tollgate::time::Span;

use crate::support::clients::Underway;
use crate::support::edge::{EdgeSetup, Guarded, Release};
use crate::support::http::{Answer, request, send};
use crate::support::*;

const POLICY: &str = "\
domain: shop
load:
  capacity: 10/hour
  exempt: [{ endpoint: /baskets/** }]
  headers: { load: sfdc_load, status: sfdc_load_status }
rules:
  - { name: small, match: { tenant: small }, per: [tenant], limits: [1/day] }
---
domain: plain
rules: []
";

async fn ask(client: &mut Client, entries: &[(&str, &str)]) -> RateLimitResponse {
    let call = call("shop", vec![descriptor(entries)]);
    client.should_rate_limit(call).await.unwrap().into_inner()
}

fn load(response: &RateLimitResponse) -> (Option<&str>, Option<&str>) {
    (header(response, "sfdc_load"), header(response, "sfdc_load_status"))
}

fn metadata(response: &RateLimitResponse, name: &str) -> Value {
    use prost_types::value::Kind;
    let metadata = response.dynamic_metadata.as_ref().unwrap();
    match metadata.fields[name].kind.as_ref().unwrap() {
        Kind::StringValue(text) => json!(text),
        Kind::NumberValue(number) => json!(number),
        other => panic!("{other:?}"),
    }
}

fn report(percent: u64) -> Value {
    json!({ "domain": "shop", "percent": percent, "who": "ops", "why": "the database is slow" })
}

#[tokio::test]
async fn load_is_told_and_what_is_above_it_is_shed() {
    let server = TestServer::start(POLICY).await;
    let mut client = server.client();
    for percent in [10, 20, 30, 40, 50, 60, 70] {
        let response = ask(&mut client, &[("tenant", "acme")]).await;
        assert_eq!(load(&response), (Some(&*percent.to_string()), None));
    }
    for (percent, status) in [("80", "WARN"), ("90", "THROTTLE"), ("100", "THROTTLE")] {
        let response = ask(&mut client, &[("tenant", "acme")]).await;
        assert_eq!(load(&response), (Some(percent), Some(status)));
        assert_eq!(response.overall_code(), Code::Ok);
    }
    let shed = ask(&mut client, &[("tenant", "acme")]).await;
    assert_eq!(shed.overall_code(), Code::OverLimit);
    let status = only_status(&shed);
    assert_eq!(status.code(), Code::OverLimit);
    assert_eq!(status.current_limit.as_ref().map(|limit| &*limit.name), Some("load"));
    for (name, value) in [
        ("rule", json!("load")),
        ("reason", json!("shed")),
        ("limit", json!(10.0)),
        ("remaining", json!(0.0)),
        ("reset_seconds", json!(3600.0)),
        ("status", json!(503.0)),
    ] {
        assert_eq!(metadata(&shed, name), value, "{name}");
    }
    assert_eq!(load(&shed), (Some("100"), Some("THROTTLE")));
    assert_eq!(header(&shed, "retry-after"), Some("3600"));
    let body: Value = serde_json::from_slice(&shed.raw_body).unwrap();
    assert_eq!((&body["status"], &body["reason"]), (&json!(503), &json!("shed")));

    let exempt = ask(&mut client, &[("endpoint", "/baskets/7")]).await;
    assert_eq!((exempt.overall_code(), load(&exempt)), (Code::Ok, (None, None)));
    let entries = json!([{ "key": "tenant", "value": "acme" }]);
    let call = json!({ "domain": "shop", "descriptors": [{ "entries": entries }] });
    assert_eq!(server.post("/json", &call.to_string()).await.0, 503);

    let (_, metrics) = server.get("/metrics").await;
    assert_eq!(metric(&metrics, "tollgate_shed_total{domain=\"shop\"}"), 2.0);
    assert_eq!(metric(&metrics, "tollgate_load_percent{domain=\"shop\"}"), 100.0);
    assert_eq!(metric(&metrics, "tollgate_load_reported_percent{domain=\"shop\"}"), 0.0);
    assert!(!metrics.contains("tollgate_shed_total{domain=\"plain\"}"));
}

#[tokio::test]
async fn a_report_is_in_force_until_it_ends_whatever_is_reloaded() {
    let server = TestServer::start(POLICY).await;
    let mut client = server.client();
    let none =
        json!({ "domain": "shop", "percent": null, "who": null, "why": null, "until": null });
    let listed = |(status, text): (u16, String)| {
        assert_eq!(status, 200);
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let list = listed(server.get("/api/v1/load").await);
    assert_eq!(list, json!({ "num_items": 1, "items": [none] }));

    let (status, taken) = server.post_json("/api/v1/load", &report(100)).await;
    assert_eq!(status, 200, "{taken}");
    let mut expected = report(100);
    expected["until"] = json!("2026-01-01T00:05:10Z");
    assert_eq!(taken, expected);
    let list = listed(server.get("/api/v1/load").await);
    assert_eq!(list, json!({ "num_items": 1, "items": [expected] }));
    let shed = ask(&mut client, &[("tenant", "acme")]).await;
    assert_eq!((shed.overall_code(), header(&shed, "retry-after")), (Code::OverLimit, Some("60")));

    let mut reloads = server.active.subscribe();
    let path = server.folder.path().join("policy.yaml");
    std::fs::write(path, POLICY.replace("10/hour", "20/hour")).unwrap();
    within(reloads.wait_for(|reloads| reloads.version >= 2)).await.unwrap();
    let shed = ask(&mut client, &[("tenant", "acme")]).await;
    assert_eq!(shed.overall_code(), Code::OverLimit);
    let (_, metrics) = server.get("/metrics").await;
    assert_eq!(metric(&metrics, "tollgate_load_reported_percent{domain=\"shop\"}"), 100.0);

    server.clock.advance(Span::from_seconds(300));
    let let_in = ask(&mut client, &[("tenant", "acme")]).await;
    assert_eq!((let_in.overall_code(), load(&let_in)), (Code::Ok, (Some("5"), None)));
    assert_eq!(listed(server.get("/api/v1/load").await)["items"][0]["percent"], Value::Null);
    let (_, metrics) = server.get("/metrics").await;
    assert_eq!(metric(&metrics, "tollgate_load_reported_percent{domain=\"shop\"}"), 0.0);
}

#[tokio::test]
async fn the_last_report_of_a_domain_counts() {
    let server = TestServer::start(POLICY).await;
    let mut client = server.client();
    let mut until = report(85);
    until["until"] = json!("2026-01-01T01:00:10+01:00");
    assert_eq!(server.post_json("/api/v1/load", &until).await.0, 400, "it is over");
    until["until"] = json!("2026-01-02T01:00:10+01:00");
    let (status, taken) = server.post_json("/api/v1/load", &until).await;
    assert_eq!((status, &taken["until"]), (200, &json!("2026-01-02T00:00:10Z")));
    let response = ask(&mut client, &[("tenant", "acme")]).await;
    assert_eq!(load(&response), (Some("85"), Some("WARN")));
    assert_eq!(server.post_json("/api/v1/load", &report(0)).await.0, 200);
    let response = ask(&mut client, &[("tenant", "acme")]).await;
    assert_eq!(load(&response), (Some("20"), None));
}

#[tokio::test]
async fn a_report_with_a_fault_names_it_and_changes_nothing() {
    let server = TestServer::start(POLICY).await;
    let with = |name: &str, value: Value| {
        let mut report = report(100);
        report[name] = value;
        report
    };
    for (body, status, part) in [
        (json!([]), 400, "JSON object"),
        (json!({}), 400, "`domain`"),
        (with("domain", json!(7)), 400, "`domain`"),
        (with("domain", json!("nowhere")), 404, "`domain`"),
        (with("domain", json!("plain")), 404, "`load`"),
        (with("percent", json!(101)), 400, "`percent`"),
        (with("percent", json!(-1)), 400, "`percent`"),
        (with("percent", json!(9.5)), 400, "`percent`"),
        (with("percent", json!("95")), 400, "`percent`"),
        (with("who", json!("  ")), 400, "`who`"),
        (with("who", json!("a\nb")), 400, "`who`"),
        (with("why", json!("x".repeat(501))), 400, "`why`"),
        (with("why", Value::Null), 400, "`why`"),
        (with("until", json!("soon")), 400, "`until`"),
        (with("until", json!("2026-01-01")), 400, "`until`"),
        (with("until", json!("2026-01-01T00:00:10Z")), 400, "`until`"),
        (with("until", json!("2026-01-02T00:00:11Z")), 400, "`until`"),
        (with("untill", json!("2026-01-01T00:05:00Z")), 400, "`untill`"),
        (with("why", json!("x".repeat(20_000))), 413, "16384 bytes"),
    ] {
        let (code, answer) = server.post_json("/api/v1/load", &body).await;
        assert_eq!(code, status, "{body}: {answer}");
        let description = answer["description"].as_str().unwrap();
        assert!(description.contains(part), "{body}: {description}");
        assert!(answer["error"].is_string(), "{answer}");
    }
    let (code, text) = server.get("/api/v1/load").await;
    assert_eq!((code, text.contains("null")), (200, true), "{text}");
}

/// What a page in a browser may send to another origin without being asked for leave.
#[tokio::test]
async fn a_page_of_another_origin_cannot_report() {
    let server = TestServer::start(POLICY).await;
    let address = server.http.to_string();
    let body = report(100).to_string();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "text/plain;application/json"] {
        let headers = [("content-type", kind), ("origin", "http://evil.example")];
        let (code, text) = http_with(&address, "POST", "/api/v1/load", &headers, &body).await;
        assert_eq!(code, 415, "{kind}: {text}");
    }
    assert_eq!(server.post("/api/v1/load", &body).await.0, 415);
    let asks = [("origin", "http://evil.example"), ("access-control-request-method", "POST")];
    let (code, text) = http_with(&address, "OPTIONS", "/api/v1/load", &asks, "").await;
    assert_eq!((code, text.contains("GET or POST")), (405, true), "{text}");
    let headers = [("content-type", "Application/JSON; charset=utf-8")];
    let (code, text) = http_with(&address, "POST", "/api/v1/load", &headers, &body).await;
    assert_eq!(code, 200, "{text}");
}

#[test]
fn explain_says_who_is_shed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    std::fs::write(&path, POLICY).unwrap();
    let explain = |endpoint: &str| {
        let policies = path.to_str().unwrap();
        let arguments = ["explain", "--policies", policies, "--domain", "shop", endpoint];
        let (code, stdout, stderr) = outcome(&mut tollgate(&arguments));
        assert_eq!(code, 0, "{stderr}");
        stdout
    };
    let (orders, baskets) = (explain("endpoint=/orders"), explain("endpoint=/baskets/1"));
    assert!(orders.starts_with("passes: nothing limits it\n"), "{orders}");
    assert!(orders.ends_with("\n\nload: 10 % of 10/hour; sheds from 100 % on\n"), "{orders}");
    let exempt = "\n\nload: 10 % of 10/hour; sheds from 100 % on\n  exempt: never shed\n";
    assert!(baskets.ends_with(exempt), "{baskets}");
}

#[tokio::test]
async fn explain_knows_what_is_reported_and_measured() {
    let server = TestServer::start(POLICY).await;
    let mut client = server.client();
    let explain = async |domain: &str, endpoint: &str| -> Value {
        let entries = json!([{ "key": "endpoint", "value": endpoint }]);
        let question = json!({ "domain": domain, "descriptors": [{ "entries": entries }] });
        let (code, text) = server.post("/api/v1/explain", &question.to_string()).await;
        assert_eq!(code, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    };
    assert_eq!(explain("plain", "/orders").await.get("load"), None);
    for percent in [10, 20] {
        let explained = explain("shop", "/orders").await;
        assert_eq!(
            (&explained["load"]["percent"], explained["load"].get("reported")),
            (&json!(percent), None)
        );
        ask(&mut client, &[("endpoint", "/orders")]).await;
    }
    assert_eq!(server.post_json("/api/v1/load", &report(100)).await.0, 200);
    let explained = explain("shop", "/orders").await;
    let shed = ask(&mut client, &[("endpoint", "/orders")]).await;
    assert_eq!(explained["decision"]["code"], "over_limit");
    assert_eq!(json!(explained["decision"]["status"].as_f64()), metadata(&shed, "status"));
    assert_eq!(explained["decision"].get("binding"), None);
    let load = &explained["load"];
    assert_eq!((&load["verdict"], &load["exempt"]), (&json!("shed"), &json!(false)));
    assert_eq!(load["reported"], json!({ "percent": 100, "until": "2026-01-01T00:05:10Z" }));
    assert_eq!(load["passes"], json!({ "in_seconds": 300, "at": "2026-01-01T00:05:10Z" }));
    let told_wait = load["told_wait_seconds"].to_string();
    assert_eq!(Some(told_wait.as_str()), header(&shed, "retry-after"));
    let exempt = explain("shop", "/baskets/1").await;
    assert_eq!(exempt["decision"]["status"], 200);
    let load = &exempt["load"];
    assert_eq!((&load["verdict"], &load["exempt"]), (&json!("admitted"), &json!(true)));
}

async fn through(guarded: &Guarded, path: &str, tenant: &[u8]) -> Answer {
    send(guarded.edge.address, request("GET", path, &[("x-tenant", tenant)])).await
}

fn told(answer: &Answer) -> (u16, &str, &str) {
    (answer.status(), answer.header("sfdc_load"), answer.header("sfdc_load_status"))
}

#[tokio::test]
async fn envoy_answers_503_where_load_is_shed_and_429_where_a_limit_is_used_up() {
    let Some(guarded) = Guarded::start(EdgeSetup::load_shedding("shop"), POLICY).await else {
        return;
    };
    guarded.upstream.answer_all();
    assert_eq!(told(&through(&guarded, "/orders", b"small").await), (200, "10", ""));
    let denied = through(&guarded, "/orders", b"small").await;
    assert_eq!(told(&denied), (429, "10", ""));
    assert_eq!(denied.json()["status"], 429);
    for _ in 0..7 {
        assert_eq!(through(&guarded, "/orders", b"acme").await.status(), 200);
    }
    assert_eq!(told(&through(&guarded, "/orders", b"acme").await), (200, "90", "THROTTLE"));
    // What is exempt counts, and is told nothing.
    assert_eq!(told(&through(&guarded, "/baskets/1?x=y", b"acme").await), (200, "", ""));

    let shed = through(&guarded, "/orders", b"acme").await;
    assert_eq!(told(&shed), (503, "100", "THROTTLE"));
    assert_eq!(shed.header("content-type"), "application/problem+json");
    let retry_after: u64 = shed.header("retry-after").parse().expect("seconds");
    assert!((3_000..=3_600).contains(&retry_after), "{retry_after}");
    let body = shed.json();
    assert_eq!(
        (&body["status"], &body["title"]),
        (&json!(503), &json!("Temporary Reduced Capacity"))
    );
    assert_eq!(told(&through(&guarded, "/baskets", b"acme").await), (200, "", ""));
    let denied = through(&guarded, "/baskets", b"small").await;
    assert_eq!(told(&denied), (429, "", ""));
    assert_eq!(guarded.upstream.counts().arrived, 11);
}

/// Envoy says when requests end, by lease or by the plain pair; without a mapper a denial is a 429.
#[tokio::test]
async fn requests_under_way_in_envoy_are_load_until_they_end() {
    let policy = "\
domain: busy
load:
  capacity: { in_flight: 2 }
  exempt: [{ tenant: vip }]
rules: []
";
    for release in [Release::ByLease, Release::PlainPair] {
        let setup = EdgeSetup { release, ..EdgeSetup::concurrency("busy") };
        let Some(mut guarded) = Guarded::start(setup, policy).await else { return };
        let get = |tenant: &[u8]| request("GET", "/", &[("x-tenant", tenant), ("x-app", b"cart")]);
        for _ in 0..5 {
            let mut underway = Vec::new();
            let mut arrived = Vec::new();
            for tenant in [&b"acme"[..], b"other", b"vip"] {
                underway.push(Underway::begin(guarded.edge.address, get(tenant)).await);
                arrived.push(guarded.upstream.next().await);
            }
            let shed = send(guarded.edge.address, get(b"acme")).await;
            assert_eq!((shed.status(), shed.json()["status"].clone()), (429, json!(503)));
            assert_eq!((shed.header("x-load"), shed.header("retry-after")), ("100", "60"));
            arrived.into_iter().for_each(|arrival| arrival.answer(200));
            for request in underway {
                assert_eq!(request.finish().await.status(), 200, "{release:?}");
            }
            until_idle(&guarded).await;
        }
    }
}

async fn until_idle(guarded: &Guarded) {
    within(async {
        loop {
            let scraped = send(guarded.tollgate.http, request("GET", "/metrics", &[])).await;
            let scraped = String::from_utf8(scraped.body.to_vec()).expect("text");
            if metric(&scraped, "tollgate_leases") < 0.5 {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn envoy_answers_503_while_load_is_reported() {
    let Some(guarded) = Guarded::start(EdgeSetup::load_shedding("shop"), POLICY).await else {
        return;
    };
    guarded.upstream.answer_all();
    let address = guarded.tollgate.http.to_string();
    assert_eq!(post_json(&address, "/api/v1/load", &report(100)).await.0, 200);
    let shed = through(&guarded, "/orders", b"acme").await;
    assert_eq!((told(&shed), shed.header("retry-after")), ((503, "100", "THROTTLE"), "60"));
    assert_eq!(through(&guarded, "/baskets/1", b"acme").await.status(), 200);
    assert_eq!(post_json(&address, "/api/v1/load", &report(0)).await.0, 200);
    assert_eq!(through(&guarded, "/orders", b"acme").await.status(), 200);
}
