//! `tollgate explain --server` and `/api/v1/explain`: what is left is what gRPC says, and asking
//! counts nothing.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use serde_json::{Value, json};

use crate::support::*;

const API: &str = "/api/v1/explain";

const POLICY: &str = "\
domain: shop
rules:
  - name: per-tenant
    per: [tenant]
    limits: [5/minute, 100/hour rolling]
  - name: jobs
    match: { job: present }
    limits: [concurrent 3]
  - name: hidden
    mode: shadow
    limits: [1/day]
  - name: others
    match: { tenant: globex }
    limits: [1/day]
";

fn question(entries: &[(&str, &str)]) -> String {
    let entries: Vec<Value> =
        entries.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
    json!({ "domain": "shop", "descriptors": [{ "entries": entries }] }).to_string()
}

async fn asked(server: &TestServer, entries: &[(&str, &str)]) -> Value {
    let (code, text) = server.post(API, &question(entries)).await;
    assert_eq!(code, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// Runs the program beside the server of this test.
async fn run(arguments: &[&str]) -> (i32, String, String) {
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let program = move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        outcome(&mut tollgate(&arguments))
    };
    within(tokio::task::spawn_blocking(program)).await.unwrap()
}

#[tokio::test]
async fn what_is_left_and_when_it_resets_is_what_grpc_says() {
    let server = TestServer::start(POLICY).await;
    let mut client = server.client();
    for calls in 1..=5 {
        let told = client.should_rate_limit(tenant("shop", "acme")).await.unwrap().into_inner();
        let status = only_status(&told);
        let explained = asked(&server, &[("tenant", "acme")]).await;
        let limit = &explained["descriptors"][0]["applies"][0]["limits"][0];
        assert_eq!(limit["left"], json!(status.limit_remaining), "after {calls} calls");
        let reset = status.duration_until_reset.as_ref().unwrap().seconds;
        assert_eq!(limit["resets"]["in_seconds"], json!(reset));
        assert_eq!(limit["resets"]["at"], "2026-01-01T00:01:00Z");
        assert_eq!(explained["decision"]["code"], if calls < 5 { "ok" } else { "over_limit" });
        assert_eq!(explained["decision"]["shadow_denials"], json!(["hidden"]));
        assert_eq!(explained["policy_set"], 1);
    }
    let url = format!("http://{}", server.http);
    let arguments = ["explain", "--server", &url, "--domain", "shop", "tenant=acme"];
    let (code, stdout, stderr) = run(&arguments).await;
    assert_eq!((code, stderr.as_str()), (0, ""));
    let denied = client.should_rate_limit(tenant("shop", "acme")).await.unwrap().into_inner();
    assert!(!is_ok(&denied));
    let wait = only_status(&denied).duration_until_reset.as_ref().unwrap().seconds;
    let answer = format!(
        "DENIED by `per-tenant` for tenant=acme: 5/minute is used up; passes in {wait}s, at \
         2026-01-01T00:01:00Z\nin shadow, and so not denied by: `hidden`\n"
    );
    assert!(stdout.starts_with(&answer), "{stdout}");
    assert!(stdout.contains(&format!("counters of {url}, policy set 1\n")), "{stdout}");
    assert!(stdout.contains("95 of 100 left, all free in 1h"), "{stdout}");
    assert!(stdout.contains("others: `tenant` is `acme`; the rule wants `globex`"), "{stdout}");
    let (_, stdout, _) = run(&[&arguments[..], &["--format", "json"]].concat()).await;
    let printed: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(printed, asked(&server, &[("tenant", "acme")]).await);
}

#[tokio::test]
async fn asking_counts_nothing_and_holds_nothing() {
    let server = TestServer::start(POLICY).await;
    let mut client = server.client();
    let job = || call("shop", vec![descriptor(&[("tenant", "acme"), ("job", "j")])]);
    assert!(is_ok(&client.should_rate_limit(job()).await.unwrap().into_inner()));
    let counted = |text: &str| -> Vec<String> {
        let counts =
            ["tollgate_rule_hits", "tollgate_decisions", "tollgate_counters ", "tollgate_leases"];
        let is_count = |line: &&str| counts.iter().any(|count| line.starts_with(count));
        let mut counts: Vec<String> = text.lines().filter(is_count).map(str::to_owned).collect();
        counts.sort();
        counts
    };
    let before = counted(&server.get("/metrics").await.1);
    assert!(before.iter().any(|line| line == "tollgate_leases 1"), "{before:?}");
    for _ in 0..10 {
        let explained = asked(&server, &[("tenant", "acme"), ("job", "j")]).await;
        let applies = &explained["descriptors"][0]["applies"];
        assert_eq!(applies[0]["limits"][0]["left"], 4);
        assert_eq!(
            (&applies[1]["limits"][0]["held"], &applies[1]["rule"]),
            (&json!(1), &json!("jobs"))
        );
    }
    assert_eq!(counted(&server.get("/metrics").await.1), before);
    let told = client.should_rate_limit(job()).await.unwrap().into_inner();
    assert_eq!(only_status(&told).limit_remaining, 3);
}

#[tokio::test]
async fn a_wrong_question_is_told_what_is_wrong_with_it() {
    let server = TestServer::start(POLICY).await;
    let (code, text) = server.post(API, r#"{"domain": "shop", "descriptors": [{}]}"#).await;
    assert_eq!(code, 400);
    assert!(text.contains("`descriptors[0].entries` is missing"), "{text}");
    let other = question(&[("tenant", "acme")]).replace("shop", "shpo");
    let (code, text) = server.post(API, &other).await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &answer["known_domains"]), (404, &json!(["shop"])));
    assert!(answer["error"].as_str().unwrap().contains("no policy has the domain `shpo`"));
    let (code, text) = server.post(API, &question(&[("tenant", &"x".repeat(70_000))])).await;
    assert_eq!(code, 413);
    assert!(text.contains("larger than 65536 bytes"), "{text}");
    let (code, text) = server.get(API).await;
    assert_eq!(code, 405);
    assert!(text.contains("takes POST"), "{text}");
    let url = server.http.to_string();
    let (code, _, stderr) = run(&["explain", "--server", &url, "--domain", "shpo", "a=b"]).await;
    assert_eq!(code, 1);
    assert!(
        stderr.contains("no policy has the domain `shpo`") && stderr.contains("`shop`"),
        "{stderr}"
    );
    let many = ["--descriptor", "a=b"].repeat(17);
    let arguments = [&["explain", "--server", &url, "--domain", "shop"], &many[..]].concat();
    let (code, _, stderr) = run(&arguments).await;
    assert_eq!(code, 2);
    assert!(stderr.contains("1 to 16"), "{stderr}");
}

#[tokio::test]
async fn who_is_no_tollgate_is_said_to_be_none() {
    let explain = |server: &str| {
        let arguments = ["explain", "--server", server, "--domain", "shop", "a=b"];
        outcome(&mut tollgate(&arguments))
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answering = std::thread::spawn(move || {
        for answer in ["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", "SSH-2.0-x\r\n"] {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let (code, _, stderr) = explain(&address);
    assert_eq!(code, 1);
    assert!(stderr.contains("it is not tollgate"), "{stderr}");
    let (code, _, stderr) = explain(&address);
    assert_eq!(code, 1);
    assert!(stderr.contains("does not speak HTTP/1.1"), "{stderr}");
    answering.join().unwrap();
    let (code, _, stderr) = explain(&address);
    assert_eq!(code, 1);
    assert!(stderr.contains(&format!("nobody listens at `http://{address}`")), "{stderr}");
    assert!(stderr.contains("`--http` of `tollgate serve`"), "{stderr}");
}

#[test]
fn wrong_usage_is_told_from_what_does_not_work_out() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("policy.yaml"), POLICY).unwrap();
    let policies = folder.path().to_str().unwrap();
    let from_files = ["explain", "--policies", policies, "--domain", "shop", "tenant=acme"];
    for (more, code, part) in [
        (&["--at", "soon"][..], 2, "2026-01-31T23:59:00Z"),
        (&["--server", "https://x"], 2, "has no TLS"),
        (&["--server", "127.0.0.1:1"], 2, "--policies"),
        (&["tenant"], 2, "has no value"),
        (&["--domain=x"], 2, "--domain"),
    ] {
        let (found, _, stderr) = outcome(&mut tollgate(&[&from_files[..], more].concat()));
        assert_eq!(found, code, "{more:?}: {stderr}");
        assert!(stderr.contains(part), "{more:?}: {stderr}");
    }
    let more = ["--at", "2026-01-01T23:59:00Z", "--hits", "6"];
    let (code, stdout, _) = outcome(&mut tollgate(&[&from_files[..], &more].concat()));
    assert_eq!(code, 0);
    let answer =
        "DENIED by `per-tenant` for tenant=acme: 6 hits never fit: 5/minute holds 5 at most\n";
    assert!(stdout.starts_with(answer), "{stdout}");
    assert!(
        stdout.contains("0 of 1 left") || stdout.contains("1 of 1 left, new window in 1m"),
        "{stdout}"
    );
    let arguments = ["explain", "--policies", policies, "--domain", "shpo", "a=b"];
    let (code, _, stderr) = outcome(&mut tollgate(&arguments));
    assert_eq!(code, 1);
    assert!(stderr.contains("known domains: `shop`"), "{stderr}");
}
