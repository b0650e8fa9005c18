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
