//! Policy texts in, diagnostics and models out.
//!
//! `tests/policies/good` holds texts without any finding, `tests/policies/bad` texts with the
//! findings that are shown for them. `TOLLGATE_GOLDEN=write` writes what is shown now.

mod bounds;
mod large;

use std::fs;
use std::path::{Path, PathBuf};

use crate::limit::{ChargeWhen, Kind, Limit, Unit, Window};
use crate::policy::diagnostic::Severity;
use crate::policy::model::{
    Body, DescriptorOptions, Mode, NativePolicy, Node, NodeValue, Policy, Source,
};
use crate::policy::read::{read, read_with};
use crate::policy::render::{line, render};
use crate::policy::respond::{self, Dialect, Field, Piece, Respond, RetryAfter};
use crate::time::Span;

fn corpus(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policies").join(kind);
    let entries = fs::read_dir(&folder).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    paths
}

fn source(path: &Path) -> Source {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    Source { name, text: fs::read_to_string(path).unwrap() }
}

fn check(text: &str) -> (Vec<Policy>, Vec<String>) {
    let sources = [Source { name: "p.yaml".to_owned(), text: text.to_owned() }];
    let (policies, diagnostics) = read(&sources);
    let lines = diagnostics.iter().map(|found| line(&sources, found)).collect();
    (policies, lines)
}

#[test]
fn good_policies_have_no_findings() {
    for path in corpus("good") {
        let sources = [source(&path)];
        let (policies, diagnostics) = read(&sources);
        assert!(diagnostics.is_empty(), "{}", render(&sources, &diagnostics, false));
        assert!(!policies.is_empty(), "{}", path.display());
    }
}

#[test]
fn bad_policies_show_what_is_expected() {
    #[expect(clippy::disallowed_methods, reason = "a switch of the test run, not a setting")]
    let write = std::env::var("TOLLGATE_GOLDEN").is_ok_and(|value| value == "write");
    let paths = corpus("bad");
    assert!(paths.len() >= 40, "only {} bad policies", paths.len());
    for path in paths {
        let sources = [source(&path)];
        let (_, diagnostics) = read(&sources);
        let shown = render(&sources, &diagnostics, false);
        let expected = path.with_extension("expected");
        if write {
            fs::write(&expected, &shown).unwrap();
        }
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        assert_eq!(shown, expected, "{}", path.display());
        assert!(!diagnostics.is_empty(), "{}", path.display());
    }
}

/// The only policy of a text without findings.
fn policy(text: &str) -> Policy {
    let (mut policies, findings) = check(text);
    assert_eq!(findings, Vec::<String>::new(), "{text}");
    assert_eq!(policies.len(), 1, "{text}");
    policies.remove(0)
}

fn native(text: &str) -> NativePolicy {
    match policy(text).body {
        Body::Native(native) => *native,
        Body::Descriptors(_) => panic!("a native policy: {text}"),
    }
}

fn descriptors(text: &str) -> Vec<Node> {
    match policy(text).body {
        Body::Descriptors(nodes) => nodes,
        Body::Native(_) => panic!("a policy of descriptors: {text}"),
    }
}

/// One pattern as operators are shown it.
fn pattern(attribute: &str, pattern: &str) -> String {
    let text = format!(
        "domain: d\nrules:\n  - name: r\n    limits: 1/s\n    match:\n      {attribute}: {pattern}\n"
    );
    native(&text).rules[0].conditions[0].pattern.to_string()
}

#[test]
fn patterns_read_as_they_are_written() {
    for (attribute, written, meant) in [
        ("a", "POST", "`POST`"),
        ("a", "010", "`010`"),
        ("a", "true", "`true`"),
        ("a", "gold*", "`gold*`"),
        ("a", "'*'", "`*`"),
        ("a", "present", "any value"),
        ("a", "absent", "no value"),
        ("a", "{ equals: present }", "`present`"),
        ("a", "[x, 'y*', present]", "`x` or `y*` or any value"),
        ("a", "[x]", "`x`"),
        ("a", "{ not: [x, y] }", "anything but `x` or `y`"),
        ("a", "{ not: { equals: 'x*' } }", "anything but `x*`"),
        ("endpoint", "/orders//{id}/", "`/orders/{id}`"),
        ("endpoint", "[/a, '/b/**']", "`/a` or `/b/**`"),
        ("endpoint", "present", "any value"),
        ("a", "''", "an empty value"),
        ("a", "[x, '']", "`x` or an empty value"),
        ("a", "{ equals: '' }", "an empty value"),
        ("a", "{ not: '' }", "anything but an empty value"),
        ("path", "{ equals: /orders }", "`/orders`"),
        ("route", "/orders/*", "`/orders/*`"),
        ("remote_address", "10.0.0.7", "`10.0.0.7`"),
        ("a", "{ equals: '!x' }", "`!x`"),
        ("method", "GET", "`GET`"),
        ("method", "{ equals: get }", "`get`"),
        ("ip", "'::ffff:10.0.0.0/104'", "`10.0.0.0/8`"),
        ("ip", "'::ffff:10.0.0.1'", "`10.0.0.1/32`"),
        ("ip", "'::ffff:0:0/96'", "`0.0.0.0/0`"),
        ("ip", "203.0.113.7", "`203.0.113.7/32`"),
        ("ip", "['2001:db8::1', 10.0.0.0/8]", "`2001:db8::1/128` or `10.0.0.0/8`"),
        ("ip", "{ not: 10.0.0.0/8 }", "anything but `10.0.0.0/8`"),
    ] {
        assert_eq!(pattern(attribute, written), meant, "{attribute}: {written}");
    }
}

#[test]
fn rules_take_what_they_do_not_say_from_their_policy() {
    let policy = native(
        "domain: d\ncharge: always\nmode: shadow\nrules:\n  - { name: a, limits: 1/s }\n  \
         - { name: b, per: x, limits: 1/s, charge: admitted, mode: enforce, refund: true }\n",
    );
    let [a, b] = policy.rules.as_slice() else { panic!("two rules") };
    assert_eq!((a.charge, a.mode, a.refund), (ChargeWhen::Always, Mode::Shadow, false));
    assert_eq!((b.charge, b.mode, b.refund), (ChargeWhen::Admitted, Mode::Enforce, true));
    assert!(a.respond.is_none() && a.per.is_empty());
}

#[test]
fn short_and_long_form_are_one_limit() {
    let limit = |written: &str| {
        let rule = format!("domain: d\nrules:\n  - name: r\n    limits: {written}\n");
        native(&rule).rules[0].limits[0].value.clone()
    };
    assert_eq!(limit("10_000 / 15 minutes"), limit("{ amount: 10000, window: 15m }"));
    assert_eq!(limit("5/month"), limit("[{ amount: \"5\", window: 1 mo, kind: fixed }]"));
}

#[test]
fn answers_of_a_rule_are_its_own_over_its_policys() {
    let policy = native(
        "domain: d\nrules:\n  - name: a\n    limits: 1/s\n    respond: { headers: off }\n  \
         - name: b\n    per: [x]\n    limits: 1/s\n    \
         respond: { body: 'wait {reset_seconds} s', retry_after: { max: 1h } }\n\
         respond:\n  retry_after: { format: http-date, max: 30m }\n  headers: ratelimit\n  \
         content_type: application/vnd.d+json\n  body: { error: e }\n",
    );
    let json = respond::Body::Json([Piece::Text("{\"error\":\"e\"}".to_owned())].into());
    let whole = &policy.respond;
    assert_eq!(whole.headers, [Dialect::RateLimit]);
    assert_eq!(whole.body, json);

    let a = policy.rules[0].respond.as_ref().unwrap();
    let without_headers = Respond { headers: Vec::new(), ..whole.clone() };
    assert_eq!(*a, without_headers);

    let b = policy.rules[1].respond.as_ref().unwrap();
    assert_eq!(b.retry_after, RetryAfter::HttpDate);
    assert_eq!(b.retry_after_max, Some(Span::from_seconds(3_600)));
    assert_eq!(b.content_type.as_deref(), Some("text/plain; charset=utf-8"));
    let pieces = [
        Piece::Text("wait ".to_owned()),
        Piece::Field(Field::ResetSeconds),
        Piece::Text(" s".to_owned()),
    ];
    assert_eq!(b.body, respond::Body::Text(pieces.into()));
}

#[test]
fn policy_without_respond_answers_as_native_ones_do() {
    assert_eq!(native("domain: d\nrules: [{ name: r, limits: 1/s }]\n").respond, Respond::NATIVE);
}

/// A body with its placeholders in angle brackets.
fn body(written: &str) -> String {
    let text =
        format!("domain: d\nrules:\n  - {{ name: r, limits: 1/s }}\nrespond:\n  body: {written}\n");
    let (respond::Body::Json(pieces) | respond::Body::Text(pieces)) = native(&text).respond.body
    else {
        panic!("a template: {written}")
    };
    let shown = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Field(field) => format!("<{field:?}>"),
    };
    pieces.iter().map(shown).collect()
}

#[test]
fn bodies_become_json_with_their_keys_in_order() {
    for (written, json) in [
        ("{ b: 1, a: [1.50, -2, true, null, ~] }", r#"{"b":1,"a":[1.50,-2,true,null,null]}"#),
        ("{ a: '1', b: 010, c: yes, d: }", r#"{"a":"1","b":"010","c":"yes","d":null}"#),
        ("{ n: '{limit}', t: '{rule}' }", r#"{"n":<Limit>,"t":"<Rule>"}"#),
        ("{ t: 'in {window_ms} ms' }", r#"{"t":"in <WindowMillis> ms"}"#),
        (r#"{ t: "{{limit}} \"\\\n" }"#, r#"{"t":"{limit} \"\\\n"}"#),
        (r#"{ "a\"b": "ü\u0001" }"#, r#"{"a\"b":"ü\u0001"}"#),
        ("[]", "[]"),
        ("[1e400, -0.5E+3, 0, 01, 1., .5]", r#"[1e400,-0.5E+3,0,"01","1.",".5"]"#),
        (r#"{ "{other}": 1 }"#, r#"{"{other}":1}"#),
    ] {
        assert_eq!(body(written), json, "{written}");
    }
    assert_eq!(body("say \"{reason}\" {{}}"), "say \"<Reason>\" {}");
}

#[test]
fn descriptors_read_with_the_meaning_of_their_server() {
    let nodes = descriptors(
        "domain: d\ndescriptors:\n  - key: a\n    value: 010\n    shadow_mode: true\n    \
         rate_limit: { unit: Month, requests_per_unit: 1_000, name: n }\n  - key: b\n    \
         value: ''\n    rate_limit: { unlimited: true, replaces: [{ name: n }] }\n    \
         descriptors:\n      - { key: c, value: '*x**', share_threshold: true }\n",
    );
    let [a, b] = nodes.as_slice() else { panic!("two descriptors") };
    assert_eq!(a.value, NodeValue::Exact("010".to_owned()));
    let limit = a.limit.as_ref().unwrap();
    let month = Limit::new(1_000, Kind::Fixed(Window::epoch(Unit::Month)));
    assert_eq!(limit.limit, Some(month));
    assert_eq!(limit.name.as_ref().unwrap().value, "n");
    assert!(a.shadow_mode && !a.share_threshold);

    assert_eq!(b.value, NodeValue::Any);
    let limit = b.limit.as_ref().unwrap();
    assert_eq!(limit.limit, None);
    assert_eq!(limit.replaces[0].value, "n");
    let parts = ["", "x", "", ""].map(str::to_owned);
    assert_eq!(b.children[0].value, NodeValue::Wildcard(parts.to_vec()));
    assert!(b.children[0].share_threshold && b.children[0].limit.is_none());
}

#[test]
fn findings_of_all_files_come_sorted_by_file_and_place() {
    let source = |name: &str, text: &str| Source { name: name.to_owned(), text: text.to_owned() };
    let sources = [
        source("a.yaml", "domain: d\nrules: 5\nx: 1\n---\nrules: []\n"),
        source("b.yaml", "domain: d\nrules:\n  - { name: r, limits: 1/parsec }\n"),
    ];
    let (_, diagnostics) = read(&sources);
    let found: Vec<_> = diagnostics
        .iter()
        .map(|found| (found.place.source, found.place.bytes.start, found.code))
        .collect();
    assert_eq!(
        found,
        [
            (0, 17, "wrong-type"),
            (0, 19, "unknown-key"),
            (0, 28, "missing-key"),
            (0, 35, "no-rules"),
            (1, 8, "duplicate-domain"),
            (1, 42, "bad-window"),
        ]
    );
}

#[test]
fn nothing_at_all_is_no_policy_set() {
    for text in ["", "\n\n", "# rules to come\n", "---\n---\n"] {
        let sources = [Source { name: "p".to_owned(), text: text.to_owned() }];
        let errors = read(&sources).1;
        assert!(errors.iter().any(|found| found.severity == Severity::Error), "{text:?}");
    }
    let (_, diagnostics) = read(&[]);
    assert_eq!(diagnostics[0].code, "no-policy");
    assert!(!render(&[], &diagnostics, false).is_empty());
}

#[test]
fn a_domain_without_descriptors_limits_nothing_and_says_so() {
    for (text, warnings) in
        [("domain: d\n", 1), ("domain: d\ndescriptors:\n", 1), ("domain: d\ndescriptors: []\n", 0)]
    {
        let sources = [Source { name: "p".to_owned(), text: text.to_owned() }];
        let (policies, found) = read(&sources);
        assert_eq!((policies.len(), found.len()), (1, warnings), "{text:?}");
        assert!(found.iter().all(|found| found.code == "no-descriptors"), "{text:?}");
    }
}

#[test]
fn documents_of_one_domain_merge_where_that_is_wanted() {
    let file = |name: &str, descriptors: &str| Source {
        name: name.to_owned(),
        text: format!("domain: d\ndescriptors:\n{descriptors}"),
    };
    let one = file("1.yaml", "  - { key: a, value: x }\n  - { key: b }\n");
    let two = file("2.yaml", "  - { key: a }\n");
    let clash = file("3.yaml", "  - { key: b }\n");
    let merging = DescriptorOptions { merges_domains: true, ..DescriptorOptions::default() };
    let codes = |sources: &[Source], options: &DescriptorOptions| {
        let (policies, found) = read_with(sources, options);
        (policies.len(), found.iter().map(|found| found.code).collect::<Vec<_>>())
    };
    let apart = DescriptorOptions::default();
    assert_eq!(codes(&[one.clone(), two.clone()], &apart).1, ["duplicate-domain"]);
    assert_eq!(codes(&[one.clone(), two.clone()], &merging), (1, vec![]));
    assert_eq!(codes(&[one.clone(), two, clash], &merging).1, ["duplicate-descriptor"]);
    let native = "domain: d\nrules: [{ name: r, limits: [1/minute] }]".to_owned();
    let native = Source { name: "native.yaml".to_owned(), text: native };
    assert_eq!(codes(&[one, native], &merging).1, ["duplicate-domain"]);
}

#[test]
fn findings_tell_what_and_where_and_what_to_do() {
    for path in corpus("bad") {
        let sources = [source(&path)];
        for found in read(&sources).1 {
            let line = line(&sources, &found);
            assert!(!found.message.is_empty() && !found.hint.is_empty(), "{line}");
            assert!(!found.message.ends_with('.') && !found.hint.ends_with('.'), "{line}");
            assert!(!found.message.starts_with(|c: char| c.is_ascii_uppercase()), "{line}");
            assert!(!line.contains(char::is_control), "{line:?}");
            let kebab = |c: char| c.is_ascii_lowercase() || c == '-';
            assert!(found.code.chars().all(kebab), "{line}");
            let bytes = &found.place.bytes;
            assert!(sources[0].text.get(bytes.clone()).is_some(), "{line}");
        }
    }
}

#[test]
fn no_piece_of_any_text_stops_the_reader() {
    // What is large has tests of its own.
    let small = |path: &PathBuf| {
        fs::metadata(path).unwrap().len() < 4_000 && !path.ends_with("yaml-bomb.yaml")
    };
    for path in corpus("good").into_iter().chain(corpus("bad")).filter(small) {
        let Source { name, text } = source(&path);
        for end in (0..text.len()).step_by(11) {
            let Some(head) = text.get(..end) else {
                continue;
            };
            let tail = text.get(end..).unwrap_or_default();
            let cut = text.get(end + 3..).unwrap_or_default();
            for piece in [head.to_owned(), tail.to_owned(), format!("{head}{cut}")] {
                let sources = [Source { name: name.clone(), text: piece }];
                let (_, diagnostics) = read(&sources);
                let shown = render(&sources, &diagnostics, true);
                assert_eq!(shown.is_empty(), diagnostics.is_empty());
            }
        }
    }
}

#[test]
fn second_place_in_another_file_is_shown_by_its_name() {
    let source = |name: &str| Source {
        name: name.to_owned(),
        text: "domain: d\nrules: [{ name: r, limits: 1/s }]\n".to_owned(),
    };
    let sources = [source("a.yaml"), source("b.yaml")];
    let (_, diagnostics) = read(&sources);
    let shown = render(&sources, &diagnostics, false);
    assert!(shown.contains("--> b.yaml:1:9"), "{shown}");
    assert!(shown.contains("::: a.yaml:1:9"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "{shown}");
    assert!(render(&sources, &diagnostics, true).contains('\u{1b}'));
}

#[test]
fn rows_of_a_table_file_are_shown_where_they_are() {
    let policy = "domain: d\ntables:\n  tenant: { file: t.yaml }\nrules:\n  - name: r\n    match: { tenant.plan: pro }\n    \
                  per: [tenant]\n    limits: [\"tenant.seats / day\"]\n";
    let source = |name: &str, text: &str| Source { name: name.to_owned(), text: text.to_owned() };
    let rows = "acme: { plan: pro, seats: many }\nglobex: { plan: pro, seats: 5 }\ninitech: { plan: por, seats: 5 }\n";
    let sources = [source("p.yaml", policy), source("t.yaml", rows)];
    let shown = render(&sources, &read(&sources).1, false);
    assert!(shown.contains("::: t.yaml:1:1"), "{shown}");
    assert!(shown.contains("--> t.yaml:3:1") && shown.contains("did you mean `pro`?"), "{shown}");
}

#[test]
fn shipped_policies_have_no_findings() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_policy = |path: &PathBuf| {
        let name = path.to_string_lossy();
        name.ends_with(".yaml") && !name.ends_with(".test.yaml")
    };
    let sources: Vec<_> = paths.filter(is_policy).map(|path| source(&path)).collect();
    assert!(!sources.is_empty());
    let (_, diagnostics) = read(&sources);
    assert!(diagnostics.is_empty(), "{}", render(&sources, &diagnostics, false));
}
