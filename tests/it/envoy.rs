//! What clients of a real Envoy see: the whole way from YAML policy to HTTP answer.
//!
//! Limits are per year where the turn of a window must not matter. Each test has an Envoy and a tollgate of its own.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::envoy::{Rig, Setup, Via, example};
use crate::support::http::{Answer, request, send};
use crate::support::{ServerProcess, tools};

const THREE_A_YEAR: &str = "
domain: rig
rules:
  - name: per-tenant
    per: [tenant]
    limits: [3/year]
respond:
  headers: [x-ratelimit]
";

/// In the format of envoyproxy/ratelimit.
const BY_ADDRESS: &str = "
domain: rig
descriptors:
  - key: tenant
    descriptors:
      - key: method
        value: GET
        descriptors:
          - key: endpoint
            descriptors:
              - key: remote_address
                rate_limit: { unit: year, requests_per_unit: 1, name: by-address }
";

const ACME: (&str, &[u8]) = ("x-tenant", b"acme");
const GLOBEX: (&str, &[u8]) = ("x-tenant", b"globex");

#[tokio::test]
async fn requests_under_the_limit_pass_and_the_next_is_told_when_to_return() {
    let Some(rig) = Rig::start(Setup::new("rig", THREE_A_YEAR)).await else {
        return;
    };

    for left in ["2", "1", "0"] {
        let answer = rig.get("/", &[ACME]).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        assert_eq!(answer.body, "hello from the upstream\n");
        assert_eq!(answer.header("x-ratelimit-limit"), "3");
        assert_eq!(answer.header("x-ratelimit-remaining"), left);
        let reset: u64 = answer.header("x-ratelimit-reset").parse().expect("seconds");
        assert!(reset <= 366 * 86_400, "{answer:?}");
    }

    let denied = rig.get("/", &[ACME]).await;
    assert_eq!(denied.status(), 429, "{denied:?}");
    assert_eq!(denied.header("x-ratelimit-remaining"), "0");
    let wait: u64 = denied.header("retry-after").parse().expect("seconds");
    assert!((1..=366 * 86_400).contains(&wait), "{denied:?}");
    assert_eq!(denied.header("content-type"), "application/problem+json");
    assert_eq!(denied.json()["status"], 429, "{denied:?}");
}

#[tokio::test]
async fn each_tenant_has_a_counter_of_its_own() {
    let Some(rig) = Rig::start(Setup::new("rig", THREE_A_YEAR)).await else {
        return;
    };

    for status in [200, 200, 200, 429] {
        assert_eq!(rig.get("/", &[ACME]).await.status(), status);
    }
    assert_eq!(rig.get("/", &[GLOBEX]).await.status(), 200);
    assert_eq!(rig.get("/", &[ACME]).await.status(), 429);
    // Nothing limits a request without the attribute that the rule counts by.
    assert_eq!(rig.get("/", &[]).await.status(), 200);
}

#[tokio::test]
async fn method_and_path_rules_hold_however_the_path_is_spelt() {
    let policy = "
domain: rig
rules:
  - name: one-order
    match: { method: POST, endpoint: '/orders/{id}' }
    per: [tenant, id]
    limits: [3/year]
";
    let Some(rig) = Rig::start(Setup::new("rig", policy)).await else {
        return;
    };

    for path in ["/orders/1?note=x", "//orders//1", "/cart/../orders/1"] {
        assert_eq!(rig.send(request("POST", path, &[ACME])).await.status(), 200, "{path}");
    }
    for path in ["/orders/1", "/orders/./1", "/%6Frders/1"] {
        assert_eq!(rig.send(request("POST", path, &[ACME])).await.status(), 429, "{path}");
    }
    assert_eq!(rig.send(request("POST", "/orders/2", &[ACME])).await.status(), 200);
    assert_eq!(rig.send(request("POST", "/orders/1/lines", &[ACME])).await.status(), 200);
    assert_eq!(rig.send(request("PUT", "/orders/1", &[ACME])).await.status(), 200);
}

#[tokio::test]
async fn header_that_is_not_utf_8_is_limited_like_any_other() {
    let Some(rig) = Rig::start(Setup::new("rig", THREE_A_YEAR)).await else {
        return;
    };

    let odd: (&str, &[u8]) = ("x-tenant", b"ac\xffme\xc3");
    for status in [200, 200, 200, 429] {
        assert_eq!(rig.get("/", &[odd]).await.status(), status);
    }
    let other: (&str, &[u8]) = ("x-tenant", b"ac\xfeme\xc3");
    assert_eq!(rig.get("/", &[other]).await.status(), 200, "other bytes, another counter");
}

#[tokio::test]
async fn changed_amount_is_in_force_without_a_restart_and_usage_is_kept() {
    let Some(mut rig) = Rig::start(Setup::new("rig", THREE_A_YEAR)).await else {
        return;
    };

    for status in [200, 200, 200, 429] {
        assert_eq!(rig.get("/", &[ACME]).await.status(), status);
    }
    rig.change_policy(&THREE_A_YEAR.replace("3/year", "4/year"));
    for status in [200, 429] {
        assert_eq!(rig.get("/", &[ACME]).await.status(), status);
    }
}

#[tokio::test]
async fn envoy_finds_a_restarted_tollgate_at_once() {
    let Some(mut rig) = Rig::start(Setup::new("rig", THREE_A_YEAR)).await else {
        return;
    };

    assert_eq!(rig.get("/", &[ACME]).await.status(), 200);
    rig.stop_tollgate();
    assert_eq!(rig.get("/", &[ACME]).await.status(), 500, "this Envoy fails closed");
    rig.start_tollgate_again();
    for status in [200, 200, 200, 429] {
        assert_eq!(rig.get("/", &[ACME]).await.status(), status);
    }
}

#[tokio::test]
async fn unix_socket_serves_envoy_and_outlives_a_restart() {
    let setup = Setup { via: Via::UnixSocket, ..Setup::new("rig", THREE_A_YEAR) };
    let Some(mut rig) = Rig::start(setup).await else {
        return;
    };

    for status in [200, 200, 200, 429] {
        assert_eq!(rig.get("/", &[ACME]).await.status(), status);
    }
    rig.stop_tollgate();
    rig.start_tollgate_again();
    assert_eq!(rig.get("/", &[ACME]).await.status(), 200);
}

#[tokio::test]
async fn clients_that_come_at_once_share_the_amount_exactly() {
    let policy = THREE_A_YEAR.replace("3/year", "40/year");
    let Some(rig) = Rig::start(Setup::new("rig", &policy)).await else { return };

    let answers = rig.get_at_once(100, "/", &[ACME]).await;
    let admitted = answers.iter().filter(|answer| answer.status() == 200).count();
    let denied = answers.iter().filter(|answer| answer.status() == 429).count();
    assert_eq!((admitted, denied), (40, 60));
}

/// A cluster's name as Istio makes them.
const ISTIO_NAME: &str = "outbound|8081||tollgate.quota.svc.cluster.local";

#[tokio::test]
async fn authority_makes_every_cluster_name_work() {
    let setup = Setup { cluster: ISTIO_NAME, ..Setup::new("rig", THREE_A_YEAR) };
    let Some(rig) = Rig::start(setup).await else { return };
    for status in [200, 200, 200, 429] {
        assert_eq!(rig.get("/", &[ACME]).await.status(), status);
    }

    // What the manual says of a configuration that forgot it: no call arrives.
    let setup = Setup { has_authority: false, ..setup };
    let Some(rig) = Rig::start(setup).await else { return };
    assert_eq!(rig.get("/", &[ACME]).await.status(), 500);
}

#[tokio::test]
async fn envoys_own_headers_come_from_the_statuses() {
    let setup = Setup { envoy_headers: true, ..Setup::new("rig", BY_ADDRESS) };
    let Some(rig) = Rig::start(setup).await else {
        return;
    };

    let admitted = rig.get("/", &[ACME]).await;
    assert_eq!(admitted.status(), 200, "{admitted:?}");
    assert_eq!(admitted.header("x-ratelimit-limit"), "1, 1;w=31536000;name=\"by-address\"");
    assert_eq!(admitted.header("x-ratelimit-remaining"), "0");
    let denied = rig.get("/", &[ACME]).await;
    assert_eq!(denied.status(), 429, "{denied:?}");
    assert_eq!(denied.header("x-envoy-ratelimited"), "true");
    let wait: u64 = denied.header("retry-after").parse().expect("seconds");
    assert!((1..=366 * 86_400).contains(&wait), "{denied:?}");
    // The second path has a counter of its own, the second method no limit.
    assert_eq!(rig.get("/other", &[ACME]).await.status(), 200);
    assert_eq!(rig.send(request("POST", "/", &[ACME])).await.status(), 200);
}

#[tokio::test]
async fn headers_of_the_format_reach_the_client_under_the_names_that_are_set() {
    let settings = ["--descriptors-headers", "X-Quota,X-Quota-Left,X-Quota-Reset"];
    let setup = Setup { settings: &settings, ..Setup::new("rig", BY_ADDRESS) };
    let Some(rig) = Rig::start(setup).await else {
        return;
    };

    for status in [200, 429] {
        let answer = rig.get("/", &[ACME]).await;
        assert_eq!(answer.status(), status, "{answer:?}");
        assert_eq!(answer.header("x-quota"), "1");
        assert_eq!(answer.header("x-quota-left"), "0");
        let wait: u64 = answer.header("x-quota-reset").parse().expect("seconds");
        assert!((1..=366 * 86_400).contains(&wait), "{answer:?}");
    }
}

#[tokio::test]
async fn service_manager_denies_the_51st_create_of_a_minute() {
    let policy = tools::repository().join("policies/sap-service-manager.yaml");
    let policy = std::fs::read_to_string(policy).expect("the shipped policy");
    let Some(rig) = Rig::start(Setup::new("sap-service-manager", &policy)).await else {
        return;
    };

    let (mut admitted, mut denied) = create_until_denied(&rig, b"ana").await;
    if admitted != 50 {
        // The minute turned meanwhile. It cannot turn again for the next user.
        (admitted, denied) = create_until_denied(&rig, b"ben").await;
    }
    assert_eq!(admitted, 50);
    let retry = httpdate::parse_http_date(denied.header("retry-after")).expect("an HTTP-date");
    let sent = httpdate::parse_http_date(denied.header("date")).expect("an HTTP-date");
    let wait = retry.duration_since(sent).expect("later").as_secs();
    assert!((1..=60).contains(&wait), "{denied:?}");
    assert!(denied.header("retry-after").ends_with(":00 GMT"), "{denied:?}");
    assert_eq!(denied.header("content-type"), "application/json");
    assert_eq!(
        denied.json(),
        json!({
            "error": "rate_limit_exceeded",
            "description": "Request rate limit exceeded. Please retry after the time specified in \
                            the Retry-After header.",
        })
    );
    // Other methods, other users and OAuth clients are not held up by the creates of one user.
    for (method, path, caller) in [
        ("PATCH", "/v1/service_instances/7", ("x-user", b"ben".as_slice())),
        ("POST", "/v1/service_bindings", ("x-user", b"ben")),
        ("POST", "/v1/service_instances", ("x-user", b"cleo")),
        ("POST", "/v1/service_instances", ("x-client-id", b"dashboard")),
    ] {
        let answer = rig.send(request(method, path, &[caller])).await;
        assert_eq!(answer.status(), 200, "{method} {path} {caller:?}: {answer:?}");
    }
}

async fn create_until_denied(rig: &Rig, user: &[u8]) -> (u32, Answer) {
    // Two minutes may hold twice the amount; more never passes before a denial.
    for admitted in 0..=100 {
        let answer = rig.send(request("POST", "/v1/service_instances", &[("x-user", user)])).await;
        if answer.status() != 200 {
            assert_eq!(answer.status(), 429, "{answer:?}");
            return (admitted, answer);
        }
    }
    panic!("more than 100 creates, which two minutes may hold, passed");
}

#[tokio::test]
async fn quickstart_answers_as_the_walk_says() {
    let policy = tools::repository().join("policies/quickstart.yaml");
    let policy = std::fs::read_to_string(policy).expect("the shipped policy");
    let Some(rig) = Rig::start(Setup::new("quickstart", &policy)).await else {
        return;
    };

    let mut admitted = count_admitted(&rig, "GET", "/", b"acme").await;
    if admitted != 5 {
        // The minute turned meanwhile. It cannot turn again for the next tenant.
        admitted = count_admitted(&rig, "GET", "/", b"umbrella").await;
    }
    assert_eq!(admitted, 5);
    assert_eq!(rig.get("/", &[GLOBEX]).await.status(), 200);

    let mut admitted = count_admitted(&rig, "POST", "/orders", b"initech").await;
    if admitted != 2 {
        admitted = count_admitted(&rig, "POST", "/orders", b"hooli").await;
    }
    assert_eq!(admitted, 2);
    let exempt = [("x-app", b"monitoring".as_slice()), ("x-tenant", b"acme")];
    for _ in 0..10 {
        assert_eq!(rig.get("/", &exempt).await.status(), 200);
    }
}

async fn count_admitted(rig: &Rig, method: &str, path: &str, tenant: &[u8]) -> u32 {
    for admitted in 0..100 {
        let answer = rig.send(request(method, path, &[("x-tenant", tenant)])).await;
        if answer.status() != 200 {
            assert_eq!(answer.status(), 429, "{answer:?}");
            return admitted;
        }
    }
    panic!("a hundred requests passed");
}

#[test]
fn envoy_accepts_every_example() {
    let Some(envoy) = tools::envoy() else { return };
    for name in ["envoy.yaml", "unix-socket.yaml", "concurrency.yaml", "load-shedding.yaml"] {
        let output = Command::new(&envoy)
            .args(["--mode", "validate", "--disable-hot-restart", "--log-level", "error"])
            .arg("--config-path")
            .arg(example(name))
            .output()
            .expect("Envoy runs");
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[tokio::test]
async fn compose_file_starts_what_the_walk_starts() {
    let text = std::fs::read_to_string(example("docker-compose.yaml")).expect("an example");
    let compose: Value = serde_yaml::from_str(&text).expect("YAML");
    let services = compose["services"].as_object().expect("services");
    for service in services.values() {
        for volume in service["volumes"].as_array().expect("volumes") {
            let source = volume.as_str().and_then(|volume| volume.split(':').next());
            let is_there = |source: &str| match source.starts_with('.') {
                true => example(source).exists(),
                false => compose["volumes"].get(source).is_some(),
            };
            assert!(source.is_some_and(is_there), "{volume} is not there");
        }
    }
    let image = std::fs::read_to_string(tools::repository().join("Dockerfile")).expect("a file");
    let data = image.lines().find_map(|line| line.strip_prefix("VOLUME ")).expect("a volume");
    assert!(image.contains(&format!("ENV TOLLGATE_DATA_DIR={data}\n")));
    let volumes = services["tollgate"]["volumes"].as_array().expect("volumes");
    assert!(volumes.contains(&json!(format!("counters:{data}"))), "{volumes:?}");
    let envoy = json!(["--config-path", "/etc/envoy/envoy.yaml"]);
    assert_eq!(services["envoy"]["command"], envoy);

    let command: Vec<&str> = services["tollgate"]["command"]
        .as_array()
        .expect("a command")
        .iter()
        .map(|argument| argument.as_str().expect("text"))
        .collect();
    // Envoy's configuration relies on the default address, which a test may not bind.
    assert!(!command.contains(&"--grpc"));
    let command = [command.as_slice(), &["--grpc", "127.0.0.1:0"]].concat();
    let policies = tools::repository().join("policies");
    let tollgate = ServerProcess::start_as_container(&command, &[], &policies);
    let ready = send(tollgate.http, request("GET", "/readyz", &[])).await;
    assert_eq!(ready.status(), 200, "{ready:?}");
}
