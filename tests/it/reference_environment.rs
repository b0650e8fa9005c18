//! The program started with the environment of envoyproxy/ratelimit and nothing else.
//!
//! Its folders are as Kubernetes and as that server's own tools lay them out: links to versions.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::*;

const LIMITS: &str = "\
domain: edge
descriptors:
  - key: tenant
    rate_limit: { unit: hour, requests_per_unit: 1 }
";

/// A folder as a ConfigMap is mounted.
fn mount(folder: &Path, names: &[&str]) {
    let version = folder.join("..2026_11_22");
    fs::create_dir_all(&version).unwrap();
    symlink("..2026_11_22", folder.join("..data")).unwrap();
    for name in names {
        fs::write(version.join(name), LIMITS).unwrap();
        symlink(format!("..data/{name}"), folder.join(name)).unwrap();
    }
}

fn environment(root: &str) -> [(&str, &str); 8] {
    [
        ("RUNTIME_ROOT", root),
        ("RUNTIME_SUBDIRECTORY", "ratelimit"),
        ("RUNTIME_WATCH_ROOT", "false"),
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
        ("GRPC_HOST", "127.0.0.1"),
        ("GRPC_PORT", "0"),
        ("REDIS_URL", "redis:6379"),
    ]
}

async fn code(server: &ServerProcess, tenant: &str) -> u16 {
    let entries = json!([{ "key": "tenant", "value": tenant }]);
    let body: Value = json!({ "domain": "edge", "descriptors": [{ "entries": entries }] });
    post_json(&server.http.to_string(), "/json", &body).await.0
}

#[tokio::test]
async fn the_environment_alone_starts_a_server_that_decides() {
    let root = tempfile::tempdir().unwrap();
    mount(&root.path().join("ratelimit/config"), &["limits.yaml"]);
    let path = root.path().to_str().unwrap();
    let server = ServerProcess::start_as_container(&["serve"], &environment(path), root.path());
    assert_eq!(code(&server, "acme").await, 200);
    assert_eq!(code(&server, "acme").await, 429);
    assert_eq!(code(&server, "other").await, 200);
}

#[tokio::test]
async fn a_root_that_is_swapped_is_taken() {
    let above = tempfile::tempdir().unwrap();
    let (current, draft) = (above.path().join("current"), above.path().join("draft"));
    for (version, limits) in [("v1", LIMITS), ("v2", &LIMITS.replace(": 1 }", ": 0 }"))] {
        let folder = above.path().join(version).join("ratelimit/config");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("limits.yaml"), limits).unwrap();
    }
    symlink("v1", &current).unwrap();
    let path = current.to_str().unwrap();
    let mut server =
        ServerProcess::start_as_container(&["serve"], &environment(path), above.path());
    assert_eq!(code(&server, "acme").await, 200);
    symlink("v2", &draft).unwrap();
    fs::rename(&draft, &current).unwrap();
    server.process.wait_for("policies reloaded");
    assert_eq!(code(&server, "other").await, 429);
}

#[test]
fn the_log_says_what_is_used_what_is_not_and_which_files_are_not_read() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("ratelimit/config");
    mount(&folder, &["limits"]);
    let environment = environment(root.path().to_str().unwrap());
    let mut command = tollgate(&["serve", "--store", "memory"]);
    let command = command.envs(environment).env("TRACING_ENABLED", "true").env("LOG_FORMAT", "xml");
    let (status, _, stderr) = outcome(command);
    // There is no policy in it that would have a name for one.
    assert_eq!(status, 1, "{stderr}");
    let times = |level: &str, part: &str| {
        stderr.lines().filter(|line| line.contains(level) && line.contains(part)).count()
    };
    let used = "variables of envoyproxy/ratelimit are in use: GRPC_HOST, GRPC_PORT, HOST, PORT, \
                RUNTIME_ROOT, RUNTIME_SUBDIRECTORY";
    let unread = format!("`{}` is not read", folder.join("limits").display());
    for (level, part) in [
        ("INFO", used),
        ("WARN", "`REDIS_URL` of envoyproxy/ratelimit changes nothing here: counters live in"),
        ("WARN", "`TRACING_ENABLED` of envoyproxy/ratelimit changes nothing here: traces"),
        ("WARN", "`LOG_FORMAT` is `xml`, neither `text` nor `json`; `text` is used instead"),
        ("WARN", &unread),
    ] {
        assert_eq!(times(level, part), 1, "{part}:\n{stderr}");
    }
    assert_eq!(times("WARN", ""), 4, "{stderr}");
    // A folder that is named to tollgate itself is read as tollgate reads folders.
    command.env("TOLLGATE_POLICIES", &folder);
    assert!(!outcome(command).2.contains("is not read"));
}

#[test]
fn print_config_shows_the_variables_as_origins() {
    let mut command = tollgate(&["serve", "--print-config", "--http", "off"]);
    let command = command.envs(environment("/data")).env("SHADOW_MODE", "yes");
    let (status, stdout, stderr) = outcome(command);
    assert_eq!(status, 0, "{stderr}");
    let bad = "warning: the variable `SHADOW_MODE` is `yes`, neither `true` nor `false`";
    assert!(stderr.starts_with(bad), "{stderr}");
    let line = |name: &str| stdout.lines().find(|line| line.starts_with(name)).unwrap();
    for (name, value, origin) in [
        ("policies", "/data/ratelimit/config", "# environment RUNTIME_ROOT, RUNTIME_SUBDIRECTORY"),
        ("grpc", "127.0.0.1:0", "# environment GRPC_HOST, GRPC_PORT"),
        ("http", "off", "# flag --http"),
        ("log-level", "info", "# default"),
    ] {
        assert!(line(name).contains(value) && line(name).ends_with(origin), "{stdout}");
    }
}

/// Deployments of that server start it by its name, without arguments.
#[test]
fn under_the_name_of_that_server_it_serves() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("ratelimit");
    symlink(env!("CARGO_BIN_EXE_tollgate"), &program).unwrap();
    let mut command = std::process::Command::new(&program);
    let command = command.env_clear().current_dir(folder.path());
    let (status, _, stderr) = outcome(command.env("RUNTIME_ROOT", "nowhere"));
    assert_eq!(status, 1, "{stderr}");
    assert!(stderr.contains("nowhere/config"), "{stderr}");
    // Without the variables too: it looks where that server does.
    let mut bare = std::process::Command::new(&program);
    let (status, _, stderr) = outcome(bare.env_clear().current_dir(folder.path()));
    assert_eq!(status, 1, "{stderr}");
    assert!(stderr.contains("/srv/runtime_data/current/config"), "{stderr}");
    // With arguments it is tollgate as ever.
    let (status, stdout, _) = outcome(command.arg("--version"));
    assert!(status == 0 && stdout.starts_with("tollgate "), "{stdout}");
}
