//! The command line: exit codes, and one clear line for each thing that goes wrong.

use std::path::Path;

use crate::support::*;

fn folder_with(policy: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("policy.yaml"), policy).unwrap();
    folder
}

fn path(folder: &tempfile::TempDir) -> &str {
    folder.path().to_str().unwrap()
}

/// Runs and expects this exit code, and these parts in one line of complaint.
fn complains(arguments: &[&str], code: i32, parts: &[&str]) {
    let (found, _, stderr) = outcome(&mut tollgate(arguments));
    assert_eq!(found, code, "{arguments:?}: {stderr}");
    let line = stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
    for part in parts {
        assert!(line.contains(part), "{arguments:?}: `{part}` is not in:\n{stderr}");
    }
}

#[test]
fn check_says_ok_with_counts() {
    let folder = folder_with(FIVE_A_MINUTE);
    let (code, stdout, _) = outcome(&mut tollgate(&["check", path(&folder)]));
    assert_eq!((code, stdout.as_str()), (0, "1 policy, 1 rule: ok\n"));
    let (code, stdout, _) = outcome(&mut tollgate(&["check", "--format", "json", path(&folder)]));
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &report["ok"], &report["rules"]), (0, &true.into(), &1.into()));
}

#[test]
fn check_prints_every_problem_with_its_place_and_fails() {
    let folder = folder_with(&FIVE_A_MINUTE.replace("5/minute", "5/fortnight"));
    let (code, stdout, stderr) = outcome(&mut tollgate(&["check", path(&folder)]));
    assert_eq!((code, stderr.as_str()), (1, ""));
    assert!(stdout.contains("policy.yaml:5:"), "{stdout}");
    assert!(stdout.contains("1 error"), "{stdout}");
    let (code, stdout, _) = outcome(&mut tollgate(&["check", "--format", "json", path(&folder)]));
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &report["ok"]), (1, &false.into()));
    assert_eq!(report["problems"][0]["line"], 5);
}

#[test]
fn check_without_a_path_or_with_a_missing_one_is_wrong_usage() {
    let (code, _, stderr) = outcome(&mut tollgate(&["check"]));
    assert_eq!(code, 2, "{stderr}");
    complains(&["check", "no/such/path"], 2, &["`no/such/path`", "does not exist"]);
    let empty = tempfile::tempdir().unwrap();
    complains(&["check", path(&empty)], 2, &["no policy file in", path(&empty), "another path"]);
}

#[test]
fn serve_prints_all_problems_of_its_policies_and_does_not_start() {
    let folder = folder_with(&FIVE_A_MINUTE.replace("5/minute", "5/fortnight, oops"));
    let arguments = [
        "serve",
        "--policies",
        path(&folder),
        "--grpc",
        "127.0.0.1:0",
        "--http",
        "off",
        "--store",
        "memory",
    ];
    let (code, _, stderr) = outcome(&mut tollgate(&arguments));
    assert_eq!(code, 1);
    assert_eq!(stderr.matches("policy.yaml:5:").count(), 2, "{stderr}");
    assert!(stderr.contains("error: the policies have problems"), "{stderr}");
}

#[test]
fn serve_without_any_policy_names_the_places_it_looked_at() {
    let empty = tempfile::tempdir().unwrap();
    complains(
        &["serve", "--store", "memory", "--policies", path(&empty)],
        1,
        &[path(&empty), "another path"],
    );
    complains(
        &["serve", "--store", "memory", "--policies", "no/such/folder"],
        1,
        &["`no/such/folder`"],
    );
}

#[test]
fn serve_says_which_port_is_in_use() {
    let folder = folder_with(FIVE_A_MINUTE);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let arguments = [
        "serve",
        "--store",
        "memory",
        "--policies",
        path(&folder),
        "--http",
        "off",
        "--grpc",
        &address,
    ];
    complains(&arguments, 1, &[&address, "in use", "another port"]);
}

#[test]
fn bad_settings_are_wrong_usage_with_their_origin() {
    complains(&["serve", "--grpc", "nowhere"], 2, &["flag --grpc", "`nowhere`", "host:port"]);
    complains(&["serve", "--store", "disk"], 2, &["`disk` is no store", "`durable`", "`memory`"]);
    complains(&["serve", "--config", "no.yaml"], 2, &["`no.yaml`: it does not exist"]);
    let (code, _, stderr) = outcome(tollgate(&["serve"]).env("TOLLGATE_DRAIN_TIMEOUT", "soon"));
    assert_eq!(code, 2);
    assert!(stderr.contains("environment TOLLGATE_DRAIN_TIMEOUT"), "{stderr}");
    let (code, _, _) = outcome(&mut tollgate(&["serve", "--no-such-flag"]));
    assert_eq!(code, 2);
    let (code, _, _) = outcome(&mut tollgate(&["no-such-command"]));
    assert_eq!(code, 2);
}

#[test]
fn print_config_shows_each_value_with_its_origin() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.yaml");
    std::fs::write(&file, "log_level: debug\nmode: shadow\nhttp: off\n").unwrap();
    let arguments =
        ["serve", "--print-config", "--http", "127.0.0.1:9", "--config", file.to_str().unwrap()];
    let (code, stdout, _) = outcome(tollgate(&arguments).env("TOLLGATE_MODE", "enforce"));
    assert_eq!(code, 0);
    let line = |name: &str| {
        stdout.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned()
    };
    for (name, value, origin) in [
        ("http", "127.0.0.1:9", "# flag --http"),
        ("mode", "enforce", "# environment TOLLGATE_MODE"),
        ("log-level", "debug", "# file "),
        ("store", "durable", "# default"),
    ] {
        assert!(line(name).contains(value) && line(name).contains(origin), "{stdout}");
    }
}

#[test]
fn help_and_version_are_there() {
    for arguments in [["--help"].as_slice(), &["serve", "--help"], &["check", "--help"]] {
        let (code, stdout, _) = outcome(&mut tollgate(arguments));
        assert_eq!(code, 0);
        assert!(stdout.contains("Usage: tollgate"), "{stdout}");
    }
    let (_, stdout, _) = outcome(&mut tollgate(&["bench", "--help"]));
    assert!(stdout.contains("'tenant=t{key}'"), "{stdout}");
    let (code, stdout, _) = outcome(&mut tollgate(&["--version"]));
    assert_eq!((code, stdout.trim()), (0, concat!("tollgate ", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn the_shipped_policies_are_good() {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let (code, stdout, stderr) = outcome(&mut tollgate(&["check", policies.to_str().unwrap()]));
    assert_eq!(code, 0, "{stdout}{stderr}");
}

#[test]
fn files_without_any_policy_are_a_problem_for_check_and_for_serve() {
    let folder = folder_with("# nothing yet\n");
    let (code, stdout, stderr) = outcome(&mut tollgate(&["check", path(&folder)]));
    assert_eq!((code, stderr.as_str()), (1, ""));
    assert!(stdout.contains("this file holds no policy"), "{stdout}");
    assert!(stdout.ends_with("1 file: 1 error, 0 warnings\n"), "{stdout}");
    complains(&["serve", "--policies", path(&folder)], 1, &["nothing is served"]);
}

#[test]
fn a_variable_that_is_no_utf8_is_wrong_usage_and_not_ignored() {
    use std::os::unix::ffi::OsStrExt as _;
    let odd = std::ffi::OsStr::from_bytes(b"enforce\xff");
    let mut command = tollgate(&["serve", "--print-config"]);
    let (code, _, stderr) = outcome(command.env("TOLLGATE_MODE", odd));
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("`mode` (environment TOLLGATE_MODE)"), "{stderr}");
}

#[test]
fn a_mistake_in_the_settings_file_is_told_from_a_file_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.yaml");
    std::fs::write(&file, "gprc: x\n").unwrap();
    let arguments = ["serve", "--store", "memory", "--config", file.to_str().unwrap()];
    complains(&arguments, 2, &["has a mistake: line 1, column 1", "did you mean `grpc`?"]);
}

#[test]
fn a_misspelt_variable_is_warned_of_at_start() {
    let mut command = tollgate(&["serve", "--store", "memory", "--policies", "no/such/folder"]);
    let (_, _, stderr) = outcome(command.env("TOLLGATE_LOGLEVEL", "debug"));
    let warning = "`TOLLGATE_LOGLEVEL` is no setting; did you mean `TOLLGATE_LOG_LEVEL`?";
    assert!(stderr.lines().any(|l| l.contains("WARN") && l.contains(warning)), "{stderr}");
}

#[test]
fn every_bad_setting_has_its_own_line() {
    let arguments =
        ["serve", "--mode", "maybe", "--grpc", "[::1]:9,127.0.0.1:9", "--http", "127.0.0.1:9"];
    let mut command = tollgate(&arguments);
    let (code, _, stderr) = outcome(command.env("TOLLGATE_STORE", "disk"));
    assert_eq!(code, 2);
    let lines: Vec<&str> = stderr.lines().collect();
    let parts = ["`disk`", "`maybe`", "both name `127.0.0.1:9`"];
    assert_eq!(lines.len(), parts.len(), "{stderr}");
    for (line, part) in lines.iter().zip(parts) {
        assert!(line.starts_with("error: ") && line.contains(part), "{stderr}");
    }
}

#[test]
fn check_takes_documents_of_one_domain_for_one_policy_where_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    for key in ["a", "b"] {
        let text = format!("domain: d\ndescriptors: [{{ key: {key} }}]\n");
        std::fs::write(folder.path().join(format!("{key}.yaml")), text).unwrap();
    }
    let path = folder.path().to_str().unwrap();
    let (status, stdout, _) = outcome(&mut tollgate(&["check", path]));
    assert!(status == 1 && stdout.contains("has two policies"), "{stdout}");
    let merging = ["check", "--descriptors-merge-domains", path];
    assert_eq!(outcome(&mut tollgate(&merging)).0, 0);
}
