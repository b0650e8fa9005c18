//! `tollgate convert`: what goes where, and what is never written over.

use std::io::Write;
use std::process::Stdio;

use crate::support::*;

const TWO_DOMAINS: &str = "\
domain: shop
descriptors:
  - key: tenant
    rate_limit: { unit: month, requests_per_unit: 100 }
---
domain: ../Shop
descriptors: []
";

fn folder() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ratelimit.yaml"), TWO_DOMAINS).unwrap();
    let path = folder.path().join("ratelimit.yaml").display().to_string();
    (folder, path)
}

#[test]
fn a_policy_goes_to_standard_output_and_is_summed_up_beside_it() {
    let (_folder, path) = folder();
    let (code, stdout, stderr) = outcome(&mut tollgate(&["convert", &path]));
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("limits: [100/720h]") && stdout.contains("\n---\n"), "{stdout}");
    let summary = "1 rule of 2 domains, with 5 comments on what differs\n";
    assert_eq!(stderr, summary);
}

#[test]
fn standard_input_is_read_where_the_path_is_a_dash() {
    let mut command = tollgate(&["convert", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(TWO_DOMAINS.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && stdout.contains("domain: shop"), "{stdout}");
}

#[test]
fn a_folder_gets_a_file_for_each_domain_and_no_file_is_written_over_unasked() {
    let (folder, path) = folder();
    let output = format!("{}/native/", folder.path().display());
    let convert = |more: &[&str]| {
        outcome(&mut tollgate(&[&["convert", &path, "--output", &output], more].concat()))
    };
    let (code, stdout, stderr) = convert(&[]);
    assert_eq!((code, stdout.as_str()), (0, ""), "{stderr}");
    let text = |name: &str| std::fs::read_to_string(format!("{output}{name}")).unwrap();
    assert!(text("shop.yaml").contains("domain: shop"));
    assert!(text("-Shop.yaml").contains("domain: ../Shop"), "{}", text("-Shop.yaml"));
    let (code, checked, _) = outcome(&mut tollgate(&["check", &output]));
    assert_eq!(code, 0, "{checked}");

    std::fs::remove_file(format!("{output}-Shop.yaml")).unwrap();
    std::fs::write(format!("{output}shop.yaml"), "mine").unwrap();
    let (code, _, stderr) = convert(&[]);
    assert!(code == 1 && stderr.contains("shop.yaml` exists"), "{stderr}");
    assert!(stderr.contains("--force"), "{stderr}");
    assert!(
        !std::fs::exists(format!("{output}-Shop.yaml")).unwrap(),
        "nothing is written by halves"
    );
    assert_eq!(text("shop.yaml"), "mine");
    assert_eq!(convert(&["--force"]).0, 0);
    assert!(text("shop.yaml").contains("domain: shop"));
}

#[test]
fn a_source_with_faults_is_shown_as_check_shows_it_and_writes_nothing() {
    let (folder, path) = folder();
    std::fs::write(&path, TWO_DOMAINS.replace("month", "fortnight")).unwrap();
    let output = folder.path().join("native.yaml");
    let shown = output.display().to_string();
    let (code, stdout, stderr) = outcome(&mut tollgate(&["convert", &path, "--output", &shown]));
    assert_eq!((code, stdout.as_str()), (1, ""));
    let (_, checked, _) = outcome(&mut tollgate(&["check", &path]));
    let problem = checked.lines().next().unwrap();
    assert!(stderr.contains(problem), "{stderr}");
    assert!(!output.exists());
}

#[test]
fn what_is_no_policy_of_another_server_is_refused_with_the_next_step() {
    let (_folder, path) = folder();
    for (text, part) in
        [("domain: d\nrules: []", "is a native policy already"), ("a: b", "is of no known format")]
    {
        std::fs::write(&path, text).unwrap();
        let (code, stdout, stderr) = outcome(&mut tollgate(&["convert", &path]));
        assert_eq!((code, stdout.as_str()), (1, ""));
        assert!(stderr.starts_with("error: ") && stderr.contains(part), "{stderr}");
    }
    let missing = outcome(&mut tollgate(&["convert", "no/such/path"]));
    assert!(
        missing.0 == 2 && missing.2.contains("name another file or folder, which"),
        "{missing:?}"
    );
    assert_eq!(outcome(&mut tollgate(&["convert", &path, "--force"])).0, 2, "force without output");
}

#[test]
fn what_is_not_carried_is_named_and_every_file_that_is_written() {
    let (folder, path) = folder();
    let limits = "- { namespace: shop, name: odd, max_value: 1, seconds: 60, conditions: [], \
                  variables: [\"descriptors[0].a + 'x'\"] }\n";
    std::fs::write(&path, limits).unwrap();
    // A name without an extension is that of a folder.
    let output = folder.path().join("policies");
    let shown = output.display().to_string();
    let (code, _, stderr) = outcome(&mut tollgate(&["convert", &path, "-o", &shown]));
    assert_eq!(code, 0, "{stderr}");
    let file = output.join("shop.yaml");
    assert!(stderr.starts_with(&format!("wrote {}\n", file.display())), "{stderr}");
    let warning =
        "warning: 1 limit of `shop` not carried, and nothing limits it yet: `odd` of line 1";
    assert!(stderr.contains(warning), "{stderr}");
    let below = format!("{}/x.yaml", file.display());
    let (code, _, stderr) = outcome(&mut tollgate(&["convert", &path, "-o", &below]));
    assert!(code == 1 && stderr.contains("is a file, not a folder"), "{stderr}");
}

#[test]
fn a_full_standard_output_is_an_error_and_no_panic() {
    let (_folder, path) = folder();
    for arguments in [["convert", &path].as_slice(), &["check", &path], &["schema"]] {
        let mut command = tollgate(arguments);
        command.stdout(std::fs::File::options().write(true).open("/dev/full").unwrap());
        let output = command.stderr(Stdio::piped()).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.starts_with("error: cannot write to standard output: "), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

#[test]
fn a_dash_as_output_is_standard_output() {
    let (_folder, path) = folder();
    let plain = outcome(&mut tollgate(&["convert", &path]));
    assert_eq!(outcome(&mut tollgate(&["convert", &path, "--output", "-"])), plain);
    assert!(!std::fs::exists("-").unwrap());
}

#[test]
fn domains_that_are_too_long_for_a_file_have_names_that_are_cut_and_their_own() {
    let (folder, path) = folder();
    let long = "é".repeat(150);
    let domain =
        |last: char| format!("- {{ namespace: {long}{last}, max_value: 1, seconds: 1 }}\n");
    std::fs::write(&path, domain('a') + &domain('b')).unwrap();
    let output = folder.path().join("policies");
    let shown = output.display().to_string();
    let (code, _, stderr) = outcome(&mut tollgate(&["convert", &path, "-o", &shown]));
    assert_eq!(code, 0, "{stderr}");
    let stem = "é".repeat(100);
    assert!(output.join(format!("{stem}.yaml")).exists(), "{stderr}");
    assert!(output.join(format!("{stem}-2.yaml")).exists(), "{stderr}");
}

#[test]
fn where_one_file_cannot_be_written_none_is() {
    let (folder, path) = folder();
    let output = folder.path().join("native");
    std::fs::create_dir_all(output.join("-Shop.yaml")).unwrap();
    let shown = output.display().to_string();
    let (code, _, stderr) = outcome(&mut tollgate(&["convert", &path, "-o", &shown, "--force"]));
    assert!(code == 1 && stderr.contains("cannot write `"), "{stderr}");
    assert!(!output.join("shop.yaml").exists());
}
