//! `tollgate test` as authors and build servers run it: exit codes, and results in every format.

use std::path::Path;

use crate::support::*;

const HOLDS: &str = "\
scenarios:
  - name: five a minute
    steps:
      - { send: { tenant: acme }, times: 6, expect: { admitted: 5, rule: per-tenant } }
";

/// A folder with the policy `shop.yaml` and these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("shop.yaml"), FIVE_A_MINUTE).unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn test(path: &Path, more: &[&str]) -> (i32, String, String) {
    let arguments = [&["test", path.to_str().unwrap()], more].concat();
    outcome(&mut tollgate(&arguments))
}

#[test]
fn the_shipped_policies_do_what_they_promise() {
    let (code, stdout, stderr) = test(&tools::repository().join("policies"), &[]);
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    assert!(stdout.ends_with(" scenarios, 0 failed\n"), "{stdout}");
    for name in [
        "force-backup",
        "quickstart",
        "salestim",
        "sap-sales-service-cloud",
        "sap-service-manager",
        "scapi",
    ] {
        assert!(stdout.contains(&format!("{name}.test.yaml: ")), "{stdout}");
    }
}

#[test]
fn a_failing_scenario_is_exit_code_1_with_its_place() {
    let wrong = HOLDS.replace("admitted: 5", "admitted: 4");
    let folder = folder(&[("shop.test.yaml", &wrong)]);
    let (code, stdout, stderr) = test(folder.path(), &[]);
    assert_eq!((code, stderr.as_str()), (1, ""));
    assert!(stdout.contains("shop.test.yaml:4)\n"), "{stdout}");
    assert!(stdout.contains("admitted: expected 4 of 6, found 5 of 6\n"), "{stdout}");
    assert!(stdout.ends_with("\n1 scenario, 1 failed\n"), "{stdout}");
    assert!(!stdout.contains('\u{1b}'), "no colours where there is no terminal: {stdout}");
}

#[test]
fn files_that_cannot_be_run_are_exit_code_1_and_hide_no_others() {
    let folder = folder(&[
        ("shop.test.yaml", HOLDS),
        ("bad.test.yaml", "scenarios: [{ name: x, steps: [{ send: { a: b }, expct: ok }] }]"),
        ("alone.test.yaml", HOLDS),
        ("broken.yaml", "domain: x\nrules: [{ name: r, limits: 5/fortnight }]"),
        ("broken.test.yaml", "scenarios: [{ name: x, steps: [{ send: { a: b }, expect: ok }] }]"),
    ]);
    let (code, stdout, _) = test(folder.path(), &[]);
    assert_eq!(code, 1);
    for part in [
        "bad.test.yaml:1:50",
        "did you mean `expect`?",
        "alone.yaml`: it does not exist",
        "broken.yaml:2:30",
        "shop.test.yaml: 1 scenario, ok\n",
        "\n1 scenario, 0 failed; 3 files cannot be run\n",
    ] {
        assert!(stdout.contains(part), "`{part}` is not in\n{stdout}");
    }
}

#[test]
fn wrong_usage_is_exit_code_2_with_the_next_step() {
    let folder = folder(&[("shop.test.yaml", HOLDS)]);
    let empty = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("no/such/folder/results.xml");
    for (path, more, part) in [
        (empty.path(), vec![], "no scenario file in"),
        (Path::new("no/such/path"), vec![], "does not exist"),
        (folder.path(), vec!["--filter", "nothing has this"], "without `--filter`"),
        (folder.path(), vec!["--format", "xml"], "junit"),
        (folder.path(), vec!["--output", nowhere.to_str().unwrap()], "cannot write"),
    ] {
        let (code, _, stderr) = test(path, &more);
        assert_eq!(code, 2, "{path:?} {more:?}: {stderr}");
        assert!(stderr.contains(part), "{path:?} {more:?}: {stderr}");
    }
}

#[test]
fn a_filter_chooses_by_name() {
    let two =
        format!("{HOLDS}  - name: Other\n    steps: [{{ send: {{ tenant: a }}, expect: ok }}]\n");
    let folder = folder(&[("shop.test.yaml", &two)]);
    let (code, stdout, _) = test(folder.path(), &["--filter", "oTHER"]);
    assert_eq!(code, 0);
    assert!(stdout.ends_with("\n1 scenario, 0 failed\n"), "{stdout}");
}

#[test]
fn json_tells_every_scenario_and_difference() {
    let wrong = HOLDS.replace("per-tenant", "per-tenant, remaining: 1");
    let folder = folder(&[("shop.test.yaml", &wrong)]);
    let (code, stdout, _) = test(folder.path(), &["--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(code, 1);
    assert_eq!(
        (&report["ok"], &report["scenarios"], &report["failed"]),
        (&false.into(), &1.into(), &1.into())
    );
    let scenario = &report["files"][0]["scenarios"][0];
    assert_eq!((&scenario["name"], &scenario["sent"]), (&"five a minute".into(), &6.into()));
    let difference = &scenario["failures"][0]["differences"][0];
    assert_eq!(difference["field"], "remaining");
    assert_eq!((&difference["expected"], &difference["found"]), (&"1".into(), &"0".into()));
    assert_eq!(difference["line"], 4);
}

#[test]
fn junit_is_well_formed_whatever_names_are_made_of() {
    let odd = "five <a> & \\\"minute\\\" ' \\x01 \\n ]]>";
    let wrong = HOLDS.replace("five a minute", &format!("\"{odd}\"")).replace("ted: 5", "ted: 4");
    let folder = folder(&[("shop.test.yaml", &wrong), ("bad.test.yaml", "scenarios: [&\"<]")]);
    let output = folder.path().join("results.xml");
    let (code, stdout, _) =
        test(folder.path(), &["--format", "junit", "--output", output.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(stdout.contains("1 scenario, 1 failed; 1 file cannot be run\n"), "{stdout}");
    let elements = xml::elements(&std::fs::read_to_string(output).unwrap());
    let named = |name: &'static str| elements.iter().filter(move |element| element.name == name);
    let suites = named("testsuites").next().unwrap();
    for (attribute, value) in [("tests", "2"), ("failures", "1"), ("errors", "1")] {
        assert_eq!(suites.attribute(attribute), value);
    }
    assert_eq!(named("testsuite").count(), 2);
    let case = named("testcase").find(|case| case.attribute("name") != "load").unwrap();
    assert_eq!(case.attribute("name"), "five <a> & \"minute\" ' \u{fffd} \n ]]>");
    let failure = named("failure").next().unwrap();
    assert!(failure.attribute("message").contains("admitted: expected 4 of 6"), "{failure:?}");
    assert_eq!(named("error").count(), 1);
}

/// As much of XML as a strict reader of results needs.
mod xml {
    #[derive(Debug)]
    pub(super) struct Element {
        pub(super) name: String,
        attributes: Vec<(String, String)>,
    }

    impl Element {
        pub(super) fn attribute(&self, name: &str) -> &str {
            let mut attributes = self.attributes.iter();
            attributes.find(|(held, _)| held == name).map_or("", |(_, value)| value)
        }
    }

    /// Every element of a document; panics where it is not well formed.
    pub(super) fn elements(text: &str) -> Vec<Element> {
        let is_allowed = |c: char| matches!(c, '\n' | ' '..='\u{7e}' | '\u{a0}'..='\u{fffd}');
        assert!(text.chars().all(is_allowed), "{text:?}");
        let (declaration, mut rest) = text.split_once("?>").unwrap();
        assert!(declaration.starts_with("<?xml version=\"1.0\""), "{declaration}");
        let (mut elements, mut open) = (Vec::new(), Vec::new());
        while let Some((before, from)) = rest.split_once('<') {
            plain(before);
            let (tag, after) = from.split_once('>').unwrap();
            rest = after;
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop().as_deref(), Some(name));
                continue;
            }
            let is_empty = tag.ends_with('/');
            let (name, mut attributes) = split(tag.trim_end_matches('/'));
            let mut element = Element { name: name.to_owned(), attributes: Vec::new() };
            while let Some((name, from)) = attributes.split_once("=\"") {
                let (value, after) = from.split_once('"').unwrap();
                element.attributes.push((name.trim().to_owned(), plain(value)));
                attributes = after;
            }
            assert_eq!(attributes.trim(), "");
            elements.push(element);
            if !is_empty {
                open.push(name.to_owned());
            }
        }
        assert!(open.is_empty() && rest.trim().is_empty(), "{open:?} {rest}");
        elements
    }

    fn split(tag: &str) -> (&str, &str) {
        tag.split_once(' ').unwrap_or((tag, ""))
    }

    /// Text with its references resolved.
    fn plain(text: &str) -> String {
        assert!(!text.contains(['<', '>', '"', '\'']), "{text}");
        let mut plain = String::new();
        let mut pieces = text.split('&');
        plain.push_str(pieces.next().unwrap_or_default());
        for piece in pieces {
            let (name, rest) = piece.split_once(';').unwrap();
            plain.push_str(match name {
                "lt" => "<",
                "gt" => ">",
                "amp" => "&",
                "quot" => "\"",
                "apos" => "'",
                "#10" => "\n",
                "#9" => "\t",
                other => panic!("no such reference: {other}"),
            });
            plain.push_str(rest);
        }
        plain
    }
}
