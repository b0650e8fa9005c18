//! The HTTP side: probes, `/json` and what is not there.

use serde_json::{Value, json};

use crate::support::*;

fn body(tenant: &str) -> String {
    let entries = json!([{ "key": "tenant", "value": tenant }]);
    json!({ "domain": "shop", "descriptors": [{ "entries": entries }] }).to_string()
}

#[tokio::test]
async fn probes_say_that_all_is_well() {
    let server = TestServer::start(FIVE_A_MINUTE).await;
    assert_eq!(server.get("/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(server.get("/healthcheck").await, (200, "OK".to_owned()));
    assert_eq!(server.post("/healthcheck", "").await.0, 200);
    let (code, text) = server.get("/readyz").await;
    let state: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &state["ready"]), (200, &json!(true)));
    assert_eq!(state["parts"]["policies"], "ok");
}

#[tokio::test]
async fn json_decides_like_grpc_and_shares_its_counters() {
    let server = TestServer::start(FIVE_A_MINUTE).await;
    let mut client = server.client();
    let (code, text) = server.post("/json", &body("acme")).await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &answer["overallCode"]), (200, &json!("OK")));
    let status = &answer["statuses"][0];
    assert_eq!(status["currentLimit"]["requestsPerUnit"], 5);
    assert_eq!(
        (&status["limitRemaining"], &status["durationUntilReset"]),
        (&json!(4), &json!("50s"))
    );

    for _ in 0..4 {
        client.should_rate_limit(tenant("shop", "acme")).await.unwrap();
    }
    let (code, text) = server.post("/json", &body("acme")).await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &answer["overallCode"]), (429, &json!("OVER_LIMIT")));
    assert_eq!(answer["dynamicMetadata"]["reason"], "over_limit");
}

#[tokio::test]
async fn json_names_what_is_wrong_with_a_body() {
    let server = TestServer::start(FIVE_A_MINUTE).await;
    for (body, part) in [
        ("", "EOF"),
        ("{", "EOF"),
        ("[]", "RateLimitRequest in proto3 JSON"),
        ("tenant=acme", "`/` shows a good one"),
        (r#"{"domian": "shop"}"#, "`domian`"),
        (r#"{"domain": 7}"#, "RateLimitRequest in proto3 JSON"),
        (r#"{"domain": "shop"} trailing"#, "trailing"),
        (r#"{"domain": ""}"#, "`domain` is empty"),
        (r#"{"domain": "shop"}"#, "`descriptors` is empty"),
    ] {
        let (code, text) = server.post("/json", body).await;
        assert_eq!(code, 400, "{body}: {text}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        let problem = answer["error"].as_str().unwrap().replace('\'', "`");
        assert!(problem.contains(part), "{body}: {problem}");
    }
}

#[tokio::test]
async fn a_json_body_over_the_bound_is_refused() {
    let server = TestServer::start(FIVE_A_MINUTE).await;
    let (code, text) = server.post("/json", &body(&"x".repeat(2 << 20))).await;
    assert_eq!(code, 413, "{text}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert!(
        answer["error"].as_str().unwrap().contains("1048576 bytes that `message-size-max`"),
        "{text}"
    );
}

#[tokio::test]
async fn the_root_lists_what_is_here_and_unknown_paths_point_to_it() {
    let server = TestServer::start(FIVE_A_MINUTE).await;
    let (code, page) = server.get("/").await;
    assert_eq!(code, 200);
    for path in ["/healthz", "/readyz", "/healthcheck", "/metrics", "/json", "/api/v1/load"] {
        assert!(page.contains(path), "{path}");
    }
    let (code, text) = server.get("/nowhere").await;
    assert_eq!(code, 404);
    assert!(text.contains("`/` lists"), "{text}");
    let (code, text) = server.get("/json").await;
    assert_eq!(code, 405);
    assert!(text.contains("POST"), "{text}");
}
