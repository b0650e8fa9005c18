//! Scenario files in, findings and reports out.
//!
//! `tests/scenarios/bad` holds files with the findings that are shown for them;
//! `TOLLGATE_GOLDEN=write` writes what is shown now.

use std::fs;
use std::path::{Path, PathBuf};

use super::report::{FileReport, Report, ScenarioReport};
use super::{Outcome, SEED, link, read, run};
use crate::policy::model::{Mode, Source};
use crate::policy::render::{line, render};
use crate::policy::set::PolicySet;

const SHOP: &str = "\
domain: shop
rules:
  - name: per-tenant
    per: [tenant]
    limits: [5/minute]
    refund: true
respond:
  headers: [x-ratelimit]
  body: { error: slow_down, rule: \"{rule}\", detail: { wait: \"{reset_seconds}\" } }
";

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn policies(texts: &[&str]) -> PolicySet {
    let source = |text: &&str| Source { name: "p.yaml".to_owned(), text: (*text).to_owned() };
    let sources: Vec<Source> = texts.iter().map(source).collect();
    let compiled = crate::policy::compile(&sources, SEED, &Mode::Enforce.into());
    compiled.set.unwrap_or_else(|| panic!("{:?}", compiled.diagnostics))
}

/// Runs every scenario of a file against these sets.
fn report(text: &str, sets: &[PolicySet]) -> Report {
    let source = Source { name: "s.test.yaml".to_owned(), text: text.to_owned() };
    let read = read(&source);
    let sources = std::slice::from_ref(&source);
    let file = read.file.unwrap_or_else(|| panic!("{}", render(sources, &read.diagnostics, false)));
    let unlinked = link(&file, sets);
    assert!(unlinked.is_empty(), "{}", render(sources, &unlinked, false));
    let scenarios = file.scenarios.into_iter().map(|scenario| {
        let outcome = run(&scenario, sets);
        ScenarioReport { name: scenario.name, place: scenario.place, outcome }
    });
    let scenarios = scenarios.collect();
    Report { files: vec![FileReport { source, problems: Vec::new(), scenarios }] }
}

/// The outcome of one scenario of these steps, with the shop's policy.
fn outcome(steps: &str) -> Outcome {
    let text = format!("scenarios:\n- name: s\n  steps:\n{steps}");
    let mut report = report(&text, &[policies(&[SHOP])]);
    report.files.remove(0).scenarios.remove(0).outcome
}

fn passes(steps: &str) {
    let outcome = outcome(steps);
    assert!(outcome.failures.is_empty(), "{steps}\n{outcome:#?}");
}

/// Every difference as `field: expected, found`.
fn differences(steps: &str) -> Vec<String> {
    let failures = outcome(steps).failures;
    let differences = failures.iter().flat_map(|failure| &failure.differences);
    differences.map(|d| format!("{}: {}, {}", d.field, d.expected, d.found)).collect()
}

#[test]
fn bad_files_show_what_is_expected() {
    #[expect(clippy::disallowed_methods, reason = "a switch of the test run, not a setting")]
    let write = std::env::var("TOLLGATE_GOLDEN").is_ok_and(|value| value == "write");
    let entries = fs::read_dir(repository("tests/scenarios/bad")).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    assert!(paths.len() >= 9, "only {} bad files", paths.len());
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let source = Source { name, text: fs::read_to_string(&path).unwrap() };
        let read = read(&source);
        let shown = render(&[source], &read.diagnostics, false);
        let expected = path.with_extension("expected");
        if write {
            fs::write(&expected, &shown).unwrap();
        }
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        assert_eq!(shown, expected, "{}", path.display());
        assert!(read.file.is_none(), "{}", path.display());
    }
}

#[test]
fn every_expectation_holds_where_it_should() {
    passes(
        "
  - send: { tenant: acme }
    times: 5
    expect: { code: ok, rule: per-tenant, limit: 5, remaining: 0, reset: 60s, status: 200, body: absent }
  - at: 10s
    send: { tenant: acme }
    expect:
      code: over_limit
      rule: per-tenant
      limit: 5/60s
      remaining: 0
      reset: 50s
      reason: over_limit
      status: 429
      headers: { X-RateLimit-Limit: 5, retry-after: present, ratelimit: absent }
      body: { error: slow_down, rule: per-tenant, detail: { wait: 50 } }
      body_contains: [slow_down, { detail: { wait: 50 } }]
      statuses: [{ code: over_limit, rule: per-tenant, remaining: 0 }]
  - send: { tenant: acme }
    hits: -2
    expect: ok
  - send: { tenant: acme }
    give_back: 1
    expect: { remaining: 3 }
  - send: { entries: [{ tenant: acme }], hits: 0 }
    expect: { code: ok, remaining: 3 }
  - send: { tenant: acme }
    hits: 6
    expect: { code: over_limit, reason: exceeds_amount }
  - send: [{ tenant: acme }, { tenant: globex }]
    expect: { statuses: [ok, { remaining: 4 }] }
  - send: { app: unknown }
    expect: { code: ok, limit: unlimited }
",
    );
}

#[test]
fn every_kind_of_mismatch_shows() {
    for (expect, shown) in [
        ("ok", "code: ok, over_limit"),
        ("{ code: ok }", "code: ok, over_limit"),
        ("{ rule: other }", "rule: other, per-tenant"),
        ("{ limit: 6 }", "limit: 6, 5"),
        ("{ limit: 5/hour }", "limit: 5/hour, 5/minute"),
        ("{ limit: unlimited }", "limit: unlimited, 5/minute"),
        ("{ remaining: 1 }", "remaining: 1, 0"),
        ("{ reset: 1m }", "reset: 1m, 49.5s"),
        ("{ reset: none }", "reset: none, 49.5s"),
        ("{ reason: shed }", "reason: shed, over_limit"),
        ("{ status: 503 }", "status: 503, 429"),
        ("{ headers: { retry-after: 49 } }", "header retry-after: 49, 50"),
        ("{ headers: { retry-after: absent } }", "header retry-after: absent, 50"),
        ("{ headers: { ratelimit: present } }", "header ratelimit: present, absent"),
        ("{ headers: { retry-after: \"present\" } }", "header retry-after: present, 50"),
        ("{ admitted: 1 }", "admitted: 1 of 1, 0 of 1"),
        ("{ statuses: [ok] }", "descriptor 1 code: ok, over_limit"),
        ("{ statuses: [{ remaining: 3 }] }", "descriptor 1 remaining: 3, 0"),
        ("{ body_contains: { error: fast } }", "body.error: \"fast\", \"slow_down\""),
        ("{ body_contains: { detail: { wait: 1 } } }", "body.detail.wait: 1, 50"),
        ("{ body_contains: { detail: { sleep: 1 } } }", "body.detail.sleep: 1, absent"),
    ] {
        let expect = expect.replace("other", "another");
        let shown = shown.replace("other", "another");
        let steps = format!(
            "  - send: {{ tenant: acme }}\n    times: 5\n  - at: 10.5s\n    send: {{ tenant: acme }}\n    expect: {expect}\n"
        );
        let text = format!("scenarios:\n- name: s\n  steps:\n{steps}");
        // A rule of that name is there, so that the file links.
        let other = "  - name: another\n    match: { app: x }\n    limits: 1/s\nrespond:";
        let set = policies(&[&SHOP.replace("respond:", other)]);
        let report = report(&text, &[set]);
        let failures = &report.files[0].scenarios[0].outcome.failures;
        let found: Vec<String> = failures
            .iter()
            .flat_map(|failure| &failure.differences)
            .map(|d| format!("{}: {}, {}", d.field, d.expected, d.found))
            .collect();
        assert_eq!(found, [shown], "{expect}");
        assert_eq!((failures[0].step, report.failed_count()), (2, 1), "{expect}");
    }
}

#[test]
fn whole_bodies_differ_by_keys_on_either_side_and_texts_as_a_whole() {
    let denied = |expect: &str| {
        differences(&format!("  - send: {{ tenant: acme }}\n    hits: 6\n    expect: {expect}\n"))
    };
    assert_eq!(
        denied("{ body: { error: slow_down, more: 1 } }"),
        [
            "body.more: 1, absent",
            "body.rule: absent, \"per-tenant\"",
            "body.detail: absent, {\"wait\":60}"
        ]
    );
    assert_eq!(denied("{ body_contains: nope }").len(), 1);
    assert_eq!(denied("{ body: slow_down }").len(), 1);
    assert_eq!(denied("{ body: absent }").len(), 1);
    let ok = "  - send: { tenant: acme }\n    expect: { body: { error: x } }\n";
    assert_eq!(differences(ok), ["body: {\"error\":\"x\"}, no body"]);
}

#[test]
fn of_many_sendings_the_first_other_one_is_told_with_its_time() {
    let outcome = outcome(
        "  - send: { tenant: acme }\n    times: 8\n    every: 2s\n    expect: ok\n  - send: { tenant: acme }\n    expect: over_limit\n",
    );
    let [failure] = outcome.failures.as_slice() else { panic!("{outcome:#?}") };
    assert_eq!(failure.action, "send 6 of 8: tenant=acme");
    assert_eq!(failure.heading(), "step 1, 10s after the start");
    assert!(failure.note.starts_with("denied by `per-tenant` (5/minute)"), "{}", failure.note);
    assert!(failure.note.ends_with("5 of 8 were admitted"), "{}", failure.note);
    assert_eq!(outcome.sent, 9);
}

#[test]
fn a_reload_keeps_counters_and_takes_effect_at_once() {
    let text = "
policies: { text: first }
scenarios:
- name: more room
  steps:
  - { send: { tenant: acme }, times: 6, expect: { admitted: 5 } }
  - reload: second.yaml
  - { send: { tenant: acme }, times: 4, expect: { admitted: 3, limit: 8 } }
";
    let sets = [policies(&[SHOP]), policies(&[&SHOP.replace("5/minute", "8/minute")])];
    assert!(report(text, &sets).is_success());
}

#[test]
fn load_is_reported_measured_and_shed() {
    let text = "
scenarios:
- name: a busy shop
  steps:
  - send: { tenant: acme }
    times: 11
    expect: { admitted: 10, rule: load, reason: shed, status: 503, headers: { x-load: 100 } }
  - { after: 1m, load: { percent: 85, for: 10m } }
  - send: { tenant: acme }
    expect: { code: ok, rule: quota, headers: { x-load: 85, x-load-status: WARN } }
  - load: { percent: 100 }
  - send: { tenant: acme }
    expect: { reason: shed, headers: { retry-after: 60 }, body_contains: { status: 503 } }
  - { after: 5m, send: { tenant: acme }, expect: { code: ok, headers: { x-load: 10 } } }
";
    let shop = "domain: shop\nload: { capacity: 10/10s }\nrules: [{ name: quota, limits: 90/day }]";
    let told = report(text, &[policies(&[shop])]);
    assert!(told.is_success(), "{told:#?}");
    let plain = "domain: shop\nrules: [{ name: load, limits: 90/day }]";
    let load = "{ scenarios: [{ name: s, steps: [{ load: { percent: 9 } }, { send: { a: b }, \
                expect: ok }] }] }";
    for (policy, load, why) in [
        (plain, load, "the policy of this domain has no `load`"),
        (shop, &*load.replace('9', "101"), "load is reported in percent, 0 to 100"),
    ] {
        let mut told = report(load, &[policies(&[policy])]);
        let outcome = told.files.remove(0).scenarios.remove(0).outcome;
        assert_eq!(outcome.failures[0].note, why);
    }
}

#[test]
fn calendars_are_walked_by_dates() {
    let set = [policies(&["domain: d\nrules: [{ name: monthly, limits: 3/month }]"])];
    let text = "
start: 2026-02-27
scenarios:
- name: three a month
  steps:
  - { send: { a: b }, times: 4, expect: { admitted: 3, reset: 2d } }
  - { at: 2026-02-28T23:59:59Z, send: { a: b }, expect: { code: over_limit, reset: 1s } }
  - { at: 2026-03-01, send: { a: b }, expect: ok }
  - { after: 30d, send: { a: b }, expect: { remaining: 1 } }
";
    let report = report(text, &set);
    assert!(report.is_success(), "{}", report.human(false));
}

#[test]
fn a_month_of_minutes_is_44_640_requests() {
    let outcome = outcome(
        "  - { send: { tenant: acme }, times: 44_640, every: 1m, expect: ok }\n  - { at: 31d, send: { tenant: acme }, expect: { remaining: 4 } }\n",
    );
    assert_eq!((outcome.sent, outcome.failures.len()), (44_641, 0));
}

#[test]
fn a_lease_that_no_answer_carries_cannot_be_given_back() {
    let failures =
        outcome("  - { send: { tenant: acme }, lease: job, expect: ok }\n  - release: job\n")
            .failures;
    assert_eq!(failures.len(), 1);
    assert!(failures[0].note.contains("carried no lease"), "{}", failures[0].note);
}

#[test]
fn names_that_no_policy_has_are_found_before_anything_runs() {
    let unlinked = |head: &str, expect: &str, sets: &[PolicySet]| -> Vec<String> {
        let text = format!(
            "{head}\nscenarios:\n- name: s\n  steps:\n  - {{ send: {{ tenant: a }}, expect: {expect} }}\n"
        );
        let source = Source { name: "s".to_owned(), text };
        let file = read(&source).file.unwrap();
        let found = link(&file, sets);
        found.iter().map(|found| line(std::slice::from_ref(&source), found)).collect()
    };
    let one = [policies(&[SHOP])];
    let two = [policies(&[SHOP, "domain: other\nrules: []"])];
    assert_eq!(unlinked("", "ok", &one), Vec::<String>::new());
    assert_eq!(
        unlinked("", "{ rule: per-tenat }", &one),
        ["s:5:44: no policy has a rule `per-tenat`; did you mean `per-tenant`?"]
    );
    assert_eq!(
        unlinked("domain: shopp", "ok", &one),
        ["s:1:9: no policy has the domain `shopp`; did you mean `shop`?"]
    );
    let [several] = unlinked("", "ok", &two).try_into().unwrap();
    assert!(several.contains("the policies have several domains"), "{several}");
    assert_eq!(unlinked("domain: shop", "ok", &two), Vec::<String>::new());
}

/// Numbers that a scenario file expects, by their bytes: those after a space on lines that say
/// what is expected.
fn expected_numbers(text: &str) -> Vec<std::ops::Range<usize>> {
    const EXPECTING: [&str; 8] =
        ["expect:", "limit:", "minute:", "hour:", "reset:", "status:", "headers:", "x-ratelimit"];
    let mut numbers = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let is_expecting = EXPECTING.iter().any(|word| line.contains(word));
        let mut at = 0;
        while let Some(found) = line[at..].find(|c: char| c.is_ascii_digit()) {
            let from = at + found;
            let length = line[from..].find(|c: char| !c.is_ascii_digit() && c != '_');
            at = from + length.unwrap_or(line.len() - from);
            if is_expecting && line[..from].ends_with(": ") {
                numbers.push(start + from..start + at);
            }
        }
        start += line.len();
    }
    numbers
}

#[test]
fn no_shipped_scenario_holds_with_another_number() {
    for (name, at_least) in [("quickstart", 20), ("sap-service-manager", 35)] {
        let policy = fs::read_to_string(repository(&format!("policies/{name}.yaml"))).unwrap();
        let scenarios =
            fs::read_to_string(repository(&format!("policies/{name}.test.yaml"))).unwrap();
        let sets = [policies(&[&policy])];
        let as_shipped = report(&scenarios, &sets);
        assert!(as_shipped.is_success(), "{}", as_shipped.human(false));
        let numbers = expected_numbers(&scenarios);
        assert!(numbers.len() >= at_least, "{name} expects {} numbers", numbers.len());
        for bytes in numbers {
            let number: u64 = scenarios[bytes.clone()].replace('_', "").parse().unwrap();
            let mut wrong = scenarios.clone();
            wrong.replace_range(bytes.clone(), &(number + 1).to_string());
            let report = report(&wrong, &sets);
            let line = scenarios[..bytes.start].lines().count();
            assert!(report.failed_count() > 0, "{name}:{line}: {number} may as well be larger");
        }
    }
}

#[test]
fn reports_say_where_what_and_why() {
    let text = "
scenarios:
- name: \"odd <&\\\"> \\x01 name\"
  steps:
  - { send: { tenant: acme }, times: 6, expect: ok }
- name: fine
  steps:
  - { send: { tenant: acme }, expect: ok }
";
    let report = report(text, &[policies(&[SHOP])]);
    let human = report.human(false);
    for part in [
        "s.test.yaml: 2 scenarios, 1 failed\n",
        "(s.test.yaml:3)\n",
        "step 1, 0s after the start (s.test.yaml:5)\n",
        "code: expected ok, found over_limit\n",
        "denied by `per-tenant` (5/minute), 0 left, resets in 1m; 5 of 6 were admitted\n",
        "\n2 scenarios, 1 failed\n",
    ] {
        assert!(human.contains(part), "`{part}` is not in\n{human}");
    }
    assert!(!human.contains(['\u{1}', '\u{1b}']), "{human}");
    assert!(report.human(true).contains('\u{1b}'));
    let json = report.json();
    assert_eq!(json["failed"], 1);
    assert_eq!(json["files"][0]["scenarios"][0]["failures"][0]["differences"][0]["field"], "code");
    let xml = super::junit::document(&report);
    assert!(xml.contains("name=\"odd &lt;&amp;&quot;&gt; \u{fffd} name\""), "{xml}");
}
