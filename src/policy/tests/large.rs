//! Texts of the largest size: they load in time, and what is wrong with them stays readable.

use super::*;

#[test]
fn more_findings_than_anybody_reads_are_counted_and_still_refuse_the_set() {
    let unknown = |number| format!("  - {{ name: r{number}, limits: 1/s, per: [x], zero: 1 }}\n");
    let rules: String = (0..600).map(unknown).collect();
    let sources = [Source { name: "p".to_owned(), text: format!("domain: d\nrules:\n{rules}") }];
    let (_, diagnostics) = read(&sources);
    assert_eq!(diagnostics.len(), 501);
    let last = diagnostics.last().unwrap();
    assert_eq!((last.severity, last.code), (Severity::Error, "too-many-findings"));
}

#[test]
fn findings_without_end_are_counted_to_the_last() {
    let rules = "a,".repeat(100_000);
    let sources = [Source { name: "p".to_owned(), text: format!("domain: d\nrules: [{rules}]") }];
    let (_, diagnostics) = read(&sources);
    assert_eq!(diagnostics.last().unwrap().message, "99500 more findings are not shown");
    let warnings: String =
        (0..6_000).map(|number| format!("  - {{ name: r{number}, limits: 0/s }}\n")).collect();
    let text = format!("domain: d\nrules:\n{warnings}  - {{ name: last, limits: oops }}\n");
    let (_, diagnostics) = read(&[Source { name: "p".to_owned(), text }]);
    assert_eq!(diagnostics.last().unwrap().severity, Severity::Error);
}

/// `tollgate check` takes about a second for these; what takes quadratic time would take hours.
#[test]
fn a_hundred_thousand_rules_load() {
    let load = |rule: fn(usize) -> String| {
        let rules: String = (0..100_000).map(rule).collect();
        let text = format!("domain: d\nrules:\n  - {{ name: base, limits: 1/s }}\n{rules}");
        let (policies, findings) = check(&text);
        assert_eq!(findings, Vec::<String>::new());
        let Body::Native(native) = &policies[0].body else { panic!("a native policy") };
        assert_eq!(native.rules.len(), 100_001);
    };
    load(|i| {
        format!("  - {{ name: r{i}, match: {{ a: v{i} }}, replaces: [base], limits: 1/s }}\n")
    });
}

#[test]
fn rules_that_all_replace_all_are_told_in_linear_space() {
    let names: Vec<String> = (0..200).map(|number| format!("r{number}")).collect();
    let all = names.join(",");
    let rule =
        |name| format!("  - {{ name: {name}, per: [{name}], replaces: [{all}], limits: 1/s }}\n");
    let rules: String = names.iter().map(rule).collect();
    let (_, findings) = check(&format!("domain: d\nrules:\n{rules}"));
    // Each replaces itself, and all but the first one other that replaces it.
    assert_eq!(findings.len(), 200 + 199);
    assert!(findings.iter().all(|line| !line.contains("no such rule")));
}

#[test]
fn what_would_take_room_for_every_pair_is_refused() {
    let attributes: String =
        (0..1_001).map(|i| format!("  - {{ name: r{i}, per: [a{i}], limits: 1/s }}\n")).collect();
    let (_, findings) = check(&format!("domain: d\nrules:\n{attributes}"));
    assert!(findings[0].contains("more than 1000 attributes"), "{findings:?}");
    let limit = |i: usize| {
        let limit = "unit: day, requests_per_unit: 1";
        format!(
            "  - {{ key: a, value: v{i}, rate_limit: {{ {limit}, name: x }} }}\n  \
             - {{ key: b, value: v{i}, rate_limit: {{ {limit}, replaces: [{{ name: x }}] }} }}\n"
        )
    };
    let limits: String = (0..1_001).map(limit).collect();
    let (_, findings) = check(&format!("domain: d\ndescriptors:\n{limits}"));
    assert!(findings[0].contains("more than 1000000 pairs"), "{findings:?}");
}

/// What could take a machine down, or read what is not its own, is refused before it does.
#[test]
fn texts_made_to_harm_are_refused_with_their_codes() {
    let bomb = {
        let level =
            |i: usize| format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 10].join(", "));
        format!("a0: &a0 [x, x]\n{}", (1..10).map(level).collect::<String>())
    };
    let policy = |tables: &str| format!("domain: d\ntables: {{ {tables} }}\nrules: []\n");
    let file = |path: &str| policy(&format!("tenant: {{ file: {path} }}"));
    let cases = [
        ("aliases that repeat aliases", bomb, "too-many-values"),
        ("10 MiB of blanks", " ".repeat(10 << 20), "file-too-large"),
        (
            "10 MiB of rules",
            format!("domain: d\nrules:\n{}", "  - { name: r }\n".repeat(655_360)),
            "file-too-large",
        ),
        ("deep lists", format!("domain: d\nrules: {}", "[".repeat(10_000)), "nested-too-deep"),
        (
            "deep mappings",
            format!("domain: d\nrules: {}", "{ a: ".repeat(10_000)),
            "nested-too-deep",
        ),
        ("deep items", format!("domain: d\nrules:\n  {}x", "- ".repeat(10_000)), "nested-too-deep"),
        ("values without end", format!("[{}]", "a,".repeat(2_000_001)), "too-many-values"),
        ("an include by tag", "domain: d\nrules: !include other.yaml\n".to_owned(), "yaml-tag"),
        (
            "an include by key",
            "include: other.yaml\ndomain: d\nrules: []\n".to_owned(),
            "unknown-key",
        ),
        ("a file above the folder", file("../tenants.yaml"), "table-file"),
        ("a file by its whole path", file("/etc/passwd"), "table-file"),
        ("a file by a detour", file("x/../../tenants.yaml"), "table-file"),
        ("a file that is not there", file("tenants.yaml"), "table-file"),
    ];
    for (what, text, code) in cases {
        let (_, found) = read(&[Source { name: "folder/p.yaml".to_owned(), text }]);
        let told = found.iter().find(|it| it.code == code);
        let codes: Vec<_> = found.iter().map(|it| it.code).take(5).collect();
        let severity = told.map(|it| it.severity);
        assert_eq!(severity, Some(Severity::Error), "{what}: {codes:?}");
    }
}
