//! Whether the scenarios of the shipped policies see every number and what each rule is about: with
//! one of them changed in a policy, its scenarios fail.

use std::ops::Range;
use std::path::Path;

use crate::support::*;

/// The numbers of a text outside of comments and of words.
fn numbers(text: &str) -> Vec<Range<usize>> {
    let (mut numbers, mut start) = (Vec::new(), 0);
    for line in text.split_inclusive('\n') {
        let code = line.split('#').next().unwrap_or_default();
        let mut at = 0;
        while let Some(found) = code[at..].find(|c: char| c.is_ascii_digit()) {
            let from = at + found;
            let length = code[from..].find(|c: char| !c.is_ascii_digit() && c != '_');
            at = from + length.unwrap_or(code.len() - from);
            let is_in_word = code[..from].ends_with(|c: char| c.is_alphanumeric() || c == '-');
            if !is_in_word {
                numbers.push(start + from..start + at);
            }
        }
        start += line.len();
    }
    numbers
}

/// Makes this number of a policy larger by one; by a block where blocks are counted, and smaller
/// where it is the largest there is.
fn change(policy: &mut String, bytes: Range<usize>) {
    let number: u64 = policy[bytes.clone()].replace('_', "").parse().unwrap();
    let before = &policy[..bytes.start];
    let changed = match number {
        _ if before.ends_with("transactions: ") => number + 1_000,
        _ if before.ends_with("shed: ") => number - 1,
        _ => number + 1,
    };
    policy.replace_range(bytes, &changed.to_string());
}

/// How many scenarios fail of those whose names have a part.
fn failed(folder: &Path, policy: &str, part: &str) -> u64 {
    std::fs::write(folder.join("shipped.yaml"), policy).unwrap();
    let arguments = ["test", folder.to_str().unwrap(), "--format", "json", "--filter", part];
    let (_, stdout, stderr) = outcome(&mut tollgate(&arguments));
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap_or_default();
    assert!(report["scenarios"].as_u64() > Some(0), "{policy}\n{stdout}{stderr}");
    report["failed"].as_u64().unwrap()
}

/// A folder with the scenarios of a shipped policy, and the text of the policy.
fn shipped(name: &str) -> (tempfile::TempDir, String) {
    let policies = tools::repository().join("policies");
    let folder = tempfile::tempdir().unwrap();
    let scenarios = std::fs::read_to_string(policies.join(format!("{name}.test.yaml"))).unwrap();
    std::fs::write(folder.path().join("shipped.test.yaml"), scenarios).unwrap();
    let policy = std::fs::read_to_string(policies.join(format!("{name}.yaml"))).unwrap();
    assert_eq!(failed(folder.path(), &policy, ""), 0, "{name}");
    (folder, policy)
}

#[test]
fn no_number_of_a_shipped_policy_may_as_well_be_another() {
    for (name, at_least) in [
        ("quickstart", 5),
        ("sap-service-manager", 13),
        ("sap-sales-service-cloud", 6),
        ("force-backup", 10),
        ("salestim", 7),
    ] {
        let (folder, policy) = shipped(name);
        let numbers = numbers(&policy);
        assert!(numbers.len() >= at_least, "{name} has {} numbers", numbers.len());
        for bytes in numbers {
            let mut wrong = policy.clone();
            change(&mut wrong, bytes.clone());
            let line = policy[..bytes.end].lines().last().unwrap_or_default();
            assert_ne!(failed(folder.path(), &wrong, ""), 0, "{name}: {line}");
        }
    }
}

/// All limits at once, for each scenario proves one: it fails with one more hit or one more second.
#[test]
fn no_number_of_scapi_may_as_well_be_another() {
    let (folder, policy) = shipped("scapi");
    let follows = |bytes: &Range<usize>, text| policy[bytes.end..].starts_with(text);
    let (amounts, others): (Vec<_>, Vec<_>) =
        numbers(&policy).into_iter().partition(|bytes| follows(bytes, "/"));
    let (windows, others): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|bytes| follows(bytes, "s rolling"));
    assert_eq!((amounts.len(), windows.len(), others.len()), (42, 37, 3));
    for all in [amounts, windows] {
        let mut wrong = policy.clone();
        all.iter().rev().for_each(|bytes| change(&mut wrong, bytes.clone()));
        let failed = failed(folder.path(), &wrong, "");
        assert!(failed >= all.len() as u64, "only {failed} scenarios see other numbers");
    }
    for threshold in others {
        let mut wrong = policy.clone();
        change(&mut wrong, threshold.clone());
        let line = policy[..threshold.end].lines().last().unwrap_or_default();
        assert_ne!(failed(folder.path(), &wrong, "load"), 0, "{line}");
    }
}

/// Rules as someone may misread the page: of which policy, what stands there, and what in its place.
const MISREAD: &[(&str, &str, &str)] = &[
    (
        "sap-service-manager",
        "method: POST, endpoint: /v1/service_instances }",
        "method: POST, endpoint: /v1/service_instances/** }",
    ),
    (
        "sap-service-manager",
        "method: POST, endpoint: /v1/service_instances }",
        "method: [POST, PUT], endpoint: /v1/service_instances }",
    ),
    (
        "sap-service-manager",
        "PATCH, endpoint: /v1/service_instances/** }",
        "PATCH, endpoint: \"/v1/service_instances/{id}\" }",
    ),
    (
        "sap-service-manager",
        "PATCH, endpoint: /v1/service_instances/** }",
        "PATCH, endpoint: [/v1/service_instances, \"/v1/service_instances/{id}\"] }",
    ),
    (
        "sap-service-manager",
        "DELETE, endpoint: /v1/service_instances/** }",
        "DELETE, endpoint: \"/v1/service_instances/{id}\" }",
    ),
    (
        "sap-service-manager",
        "DELETE, endpoint: /v1/service_instances/** }",
        "DELETE, endpoint: [/v1/service_instances, \"/v1/service_instances/{id}\"] }",
    ),
    ("sap-service-manager", "method: PATCH,", "method: [PATCH, PUT],"),
    ("sap-service-manager", "method: DELETE,", "method: [DELETE, PUT],"),
    (
        "sap-service-manager",
        "/v1/service_bindings/** }",
        "[/v1/service_bindings, \"/v1/service_bindings/{id}\"] }",
    ),
    (
        "sap-service-manager",
        "{ endpoint: /v1/service_bindings/** }",
        "{ method: [GET, POST], endpoint: /v1/service_bindings/** }",
    ),
    ("sap-service-manager", "/v1/service_offerings/**", "/v1/service_offerings"),
    (
        "sap-service-manager",
        "{ endpoint: /v1/service_offerings/** }",
        "{ method: GET, endpoint: /v1/service_offerings/** }",
    ),
    ("sap-service-manager", "/v1/service_plans/**", "/v1/service_plans"),
    (
        "sap-service-manager",
        "{ endpoint: /v1/service_plans/** }",
        "{ method: GET, endpoint: /v1/service_plans/** }",
    ),
    ("salestim", "{ service: template-store }\n    per: [ip]", "{ service: template-store }"),
    (
        "salestim",
        "{ service: catalog }\n    per: [ip, app]",
        "{ service: catalog }\n    per: [app]",
    ),
    ("salestim", "per: [ip, app]\n    limits: [500/15m]", "per: [app]\n    limits: [500/15m]"),
    (
        "salestim",
        "per: [ip, app]\n    limits: [concurrent 10]",
        "per: [app]\n    limits: [concurrent 10]",
    ),
    (
        "salestim",
        "per: [ip, app]\n    limits: [concurrent 10]",
        "per: [ip]\n    limits: [concurrent 10]",
    ),
    (
        "force-backup",
        "[80% of total-requests]\n    resume_below: 90%",
        "[80% of total-requests]\n    resume_below: 89%",
    ),
    (
        "force-backup",
        "[80% of bulk-batches]\n    resume_below: 90%",
        "[80% of bulk-batches]\n    resume_below: 89%",
    ),
    ("scapi", "endpoint: [/oauth2/jwks,", "method: GET\n      endpoint: [/oauth2/jwks,"),
    (
        "scapi",
        "endpoint:\n        - /.well-known",
        "method: GET\n      endpoint:\n        - /.well-known",
    ),
    ("scapi", "/shopper-orders/**]", "\"/shopper-orders/{rest}/**\"]"),
    ("scapi", "[/shopper-baskets/**,", "[\"/shopper-baskets/{rest}/**\","),
];

#[test]
fn no_rule_of_a_shipped_policy_may_as_well_be_about_something_else() {
    let mut names: Vec<&str> = MISREAD.iter().map(|(name, ..)| *name).collect();
    names.dedup();
    for name in names {
        let (folder, policy) = shipped(name);
        for (_, from, to) in MISREAD.iter().filter(|(of, ..)| *of == name) {
            assert_eq!(policy.matches(from).count(), 1, "{name}: {from}");
            let wrong = policy.replace(from, to);
            assert_ne!(failed(folder.path(), &wrong, ""), 0, "{name}: {to}");
        }
    }
}
