//! The published numbers of SAP Service Manager, each proved over gRPC with the shipped policy.

use tollgate::pb::rls::{RateLimitRequest, RateLimitResponse};
use tollgate::time::Span;

use crate::support::*;

async fn server() -> TestServer {
    let policy = tools::repository().join("policies/sap-service-manager.yaml");
    TestServer::start(&std::fs::read_to_string(policy).unwrap()).await
}

fn request(caller: (&str, &str), method: &str, endpoint: &str) -> RateLimitRequest {
    let entries = [caller, ("method", method), ("endpoint", endpoint)];
    call("sap-service-manager", vec![descriptor(&entries)])
}

async fn ask(client: &mut Client, request: &RateLimitRequest) -> RateLimitResponse {
    client.should_rate_limit(request.clone()).await.unwrap().into_inner()
}

/// How many single requests pass before the first denial.
async fn passed(client: &mut Client, request: &RateLimitRequest) -> u32 {
    let mut count = 0;
    while is_ok(&ask(client, request).await) {
        count += 1;
    }
    count
}

fn binding(response: &RateLimitResponse) -> (String, u32) {
    let limit = only_status(response).current_limit.clone().unwrap();
    (limit.name, limit.requests_per_unit)
}

#[tokio::test]
async fn each_minute_admits_what_the_page_says() {
    let server = server().await;
    let mut client = server.client();
    for (method, endpoint, amount) in [
        ("GET", "/v1/service_instances", 1_000),
        ("GET", "/v1/info", 1_000),
        ("GET", "/v1/service_bindings", 600),
        ("POST", "/v1/service_bindings/b-1", 600),
        ("GET", "/v1/service_offerings?fieldQuery=name", 100),
        ("GET", "/v1/service_plans/p-1", 100),
        ("POST", "/v1/service_instances", 50),
        ("PATCH", "/v1/service_instances/i-1", 600),
        ("DELETE", "/v1/service_instances/i-1", 600),
    ] {
        // Callers of their own keep the levels of one row out of the others.
        let caller = format!("{method} {endpoint}");
        let request = request(("user", &caller), method, endpoint);
        let most = RateLimitRequest { hits_addend: amount - 10, ..request.clone() };
        assert!(is_ok(&ask(&mut client, &most).await), "{caller}");
        assert_eq!(passed(&mut client, &request).await, 10, "{caller}");
        server.clock.advance(Span::from_seconds(60));
        assert!(is_ok(&ask(&mut client, &request).await), "{caller}: a new minute");
        server.clock.set(START);
    }
}

#[tokio::test]
async fn each_hour_admits_what_the_page_says() {
    for (method, endpoint, per_minute, rule, per_hour) in [
        ("GET", "/v1/info", 1_000, "all-apis", 10_000),
        ("GET", "/v1/service_bindings", 600, "service-bindings", 6_000),
        ("GET", "/v1/service_offerings", 100, "service-offerings", 1_000),
        ("GET", "/v1/service_plans", 100, "service-plans", 1_000),
        ("PATCH", "/v1/service_instances/i-1", 600, "update-service-instances", 6_000),
        ("DELETE", "/v1/service_instances/i-1", 600, "delete-service-instances", 6_000),
    ] {
        let server = server().await;
        let mut client = server.client();
        let one = request(("user", "alice"), method, endpoint);
        let minute = RateLimitRequest { hits_addend: per_minute, ..one.clone() };
        for _ in 0..per_hour / per_minute {
            assert!(is_ok(&ask(&mut client, &minute).await), "{method} {endpoint}");
            server.clock.advance(Span::from_seconds(60));
        }
        let denied = ask(&mut client, &one).await;
        assert!(!is_ok(&denied), "{method} {endpoint}");
        assert_eq!(binding(&denied), (rule.to_owned(), per_hour));
        server.clock.set(START.plus(Span::from_seconds(3_600)));
        assert!(is_ok(&ask(&mut client, &one).await), "{method} {endpoint}: a new hour");
    }
}

#[tokio::test]
async fn creating_has_no_limit_per_hour_of_its_own() {
    let server = server().await;
    let mut client = server.client();
    let fifty = RateLimitRequest {
        hits_addend: 50,
        ..request(("user", "alice"), "POST", "/v1/service_instances")
    };
    for _ in 0..59 {
        assert!(is_ok(&ask(&mut client, &fifty).await));
        server.clock.advance(Span::from_seconds(60));
    }
}

#[tokio::test]
async fn all_levels_hold_at_once_and_a_denial_takes_from_none() {
    let server = server().await;
    let mut client = server.client();
    let create = request(("user", "alice"), "POST", "/v1/service_instances");
    assert_eq!(passed(&mut client, &create).await, 50);
    for _ in 0..100 {
        assert_eq!(binding(&ask(&mut client, &create).await).0, "create-service-instances");
    }
    let read = request(("user", "alice"), "GET", "/v1/service_instances");
    assert_eq!(
        passed(&mut client, &read).await,
        950,
        "what was created counts, what was denied not"
    );
    let bindings = request(("user", "alice"), "GET", "/v1/service_bindings");
    assert_eq!(binding(&ask(&mut client, &bindings).await).0, "all-apis");
}

#[tokio::test]
async fn users_and_clients_are_callers_each() {
    let server = server().await;
    let mut client = server.client();
    let offerings = |caller| request(caller, "GET", "/v1/service_offerings");
    for caller in [("user", "alice"), ("user", "bob"), ("client_id", "app")] {
        assert_eq!(passed(&mut client, &offerings(caller)).await, 100, "{caller:?}");
    }
    let both = [("user", "alice"), ("client_id", "fresh"), ("endpoint", "/v1/service_offerings")];
    let both = call("sap-service-manager", vec![descriptor(&both)]);
    assert!(!is_ok(&ask(&mut client, &both).await), "the user comes first");
}

#[tokio::test]
async fn a_denial_says_when_to_retry_as_a_date_and_why_as_json() {
    let server = server().await;
    let mut client = server.client();
    let create = request(("user", "alice"), "POST", "/v1/service_instances");
    passed(&mut client, &create).await;
    let denied = ask(&mut client, &create).await;
    assert_eq!(header(&denied, "retry-after"), Some("Thu, 01 Jan 2026 00:01:00 GMT"));
    assert_eq!(header(&denied, "content-type"), Some("application/json"));
    let body: serde_json::Value = serde_json::from_slice(&denied.raw_body).unwrap();
    assert_eq!(body["error"], "rate_limit_exceeded");
    let told = "Request rate limit exceeded. Please retry after the time specified in the \
                Retry-After header.";
    assert_eq!(body["description"], told);
}
