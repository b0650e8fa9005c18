//! Policies made up from the grammar: whatever the reader takes without an error, the schema takes.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value as Json, json};

use super::{POLICY_VALIDATOR, SCENARIOS_VALIDATOR, has_errors, read_policy, refusals};
use crate::policy;

/// Limits in the short form, most of them right.
fn short_limits() -> impl Strategy<Value = String> {
    let amounts = [
        "100",
        "0",
        "007",
        "10_000",
        "1__0",
        "-1",
        "1.5",
        "1e3",
        "tenant.units",
        "150 + 2 * tenant.units",
        "max(1, tenant.units) / 2",
        "2 * (3 + 4)",
        "9 - 4",
        "5-4",
        "+5",
    ];
    let kinds = ["", "", " fixed", " rolling", " bucket", " Rolling", "rolling"];
    let slashes = ["/", " / ", "/ ", " per ", "//"];
    let windowed = (
        select(amounts.to_vec()),
        select(slashes.to_vec()),
        0..40_u32,
        select(policy::unit_spellings()),
        select(kinds.to_vec()),
    )
        .prop_map(|(amount, slash, count, unit, kind)| match count {
            0 => format!("{amount}{slash}{unit}{kind}"),
            count if count % 2 == 0 => format!("{amount}{slash}{count} {unit}{kind}"),
            count => format!("{amount}{slash}{count}{unit}{kind}"),
        });
    let held = select(amounts.to_vec()).prop_map(|amount| format!("concurrent {amount}"));
    let shares = [
        "80% of first",
        "33.33% of first",
        "0.5 % of first",
        " 80%  of  first ",
        "80%of first",
        "80% of first/minute",
        "80% of",
    ];
    prop_oneof![4 => windowed, 1 => held, 1 => select(shares.to_vec()).prop_map(str::to_owned)]
}

/// A policy with this second rule, whose texts and formulas find what they name.
fn policy_with(rule: &Json) -> Json {
    json!({
        "domain": "d",
        "tables": { "tenant": { "default": { "units": 4, "plan": "free" } } },
        "rules": [{ "name": "first", "limits": ["10/minute"] }, rule],
    })
}

fn options(key: &'static str, values: Vec<Json>) -> BoxedStrategy<(String, Json)> {
    select(values).prop_map(move |value| (key.to_owned(), value)).boxed()
}

/// A mapping with some of these keys.
fn some_of(keys: Vec<BoxedStrategy<(String, Json)>>) -> impl Strategy<Value = Json> {
    let count = keys.len();
    subsequence(keys, 0..=count.min(5))
        .prop_flat_map(|keys| keys)
        .prop_map(|pairs| Json::Object(pairs.into_iter().collect()))
}

fn long_limits() -> impl Strategy<Value = Json> {
    some_of(vec![
        options("window", vec![json!("10s"), json!("day"), json!("2 weeks"), json!("month")]),
        options(
            "kind",
            vec![json!("fixed"), json!("bucket"), json!("concurrent"), json!("rolling")],
        ),
        options("burst", vec![json!(50), json!("1_000"), json!(0)]),
        options("timezone", vec![json!("Europe/Berlin"), json!("UTC"), json!("Mars")]),
        options(
            "anchor",
            vec![
                json!("06:00"),
                json!("sunday"),
                json!(15),
                json!("2026-01-15"),
                json!("first-hit"),
            ],
        ),
        options("lease", vec![json!("60s"), json!("1 hour"), json!(60)]),
    ])
    .prop_flat_map(|limit| {
        let amounts = vec![
            json!(5),
            json!("5"),
            json!("2 * tenant.units"),
            json!("80% of first"),
            json!(1.5),
        ];
        select(amounts).prop_map(move |amount| {
            let mut limit = limit.clone();
            limit["amount"] = amount;
            limit
        })
    })
}

fn matches() -> Vec<Json> {
    vec![
        json!({}),
        json!({ "plan": ["gold", "gold*", "present", { "not": "x" }], "n": 3, "b": true }),
        json!({ "plan": { "not": ["a", { "equals": "b*" }] }, "empty": "" }),
        json!({ "method": "GET", "endpoint": ["/a", "/b/{c}", "/d/**"] }),
        json!({ "endpoint": { "not": ["/a/**", "present"] }, "ip": { "not": ["10.0.0.0/8", "::1"] } }),
        json!({ "ip": ["2001:db8::/32", "::ffff:10.0.0.1", "absent"] }),
        json!({ "endpoint": { "equals": "/a" } }),
        json!({ "plan": "a*b" }),
    ]
}

fn rules() -> impl Strategy<Value = Json> {
    let limits = prop_oneof![
        2 => short_limits().prop_map(Json::from),
        2 => long_limits(),
        1 => proptest::collection::vec(short_limits(), 0..3).prop_map(Json::from),
    ];
    let limits = prop_oneof![
        6 => limits.prop_map(|limits| ("limits", limits)),
        1 => Just(("unlimited", json!(true))),
        1 => Just(("endpoints", json!([["GET", "/a", "5/minute"], [["PUT", "POST"], "/b/{c}", "1/s", "9/h"], ["*", "/**", "unlimited"], { "method": "GET", "endpoint": "/d", "limits": "unlimited" }, { "method": "GET", "endpoint": "/e", "unlimited": true }]))),
    ];
    let more = some_of(vec![
        options("match", matches()),
        options("per", vec![json!("tenant"), json!(["tenant", "user"]), json!([]), json!({})]),
        options("when", vec![json!("size(user) > 0"), json!("tenant.plan == 'free'")]),
        options("charge", vec![json!("always"), json!("admitted"), json!("never")]),
        options("mode", vec![json!("shadow"), json!("enforce"), json!(true)]),
        options("replaces", vec![json!("first"), json!(["first"]), json!([])]),
        options("refund", vec![json!(true), json!(false), json!("true")]),
        options("strict", vec![json!(true), json!(false), json!("true")]),
        options("cost", vec![json!(2), json!(1.5), json!("ceil(rows / 100)"), json!("rows")]),
        options("resume_below", vec![json!("50%"), json!("12.5%"), json!(50)]),
        options("base", vec![json!("/v1"), json!("/v1/{shop}/"), json!("v1"), json!("/")]),
        options("description", vec![json!("text"), json!(["anything"])]),
        options(
            "overrides",
            vec![
                json!([]),
                json!([{ "match": { "tenant": "a" }, "limits": "5/s", "until": "2030-01-01", "reason": "why" }, { "match": {}, "unlimited": true, "until": "2030-01-01T10:00:00Z" }]),
            ],
        ),
        options(
            "respond",
            vec![
                json!({}),
                json!({ "retry_after": "off", "headers": [], "body": [1, "{rule}"] }),
                json!({ "retry_after": { "format": "http-date", "max": "30m" }, "headers": "off", "body": "problem", "content_type": "a/b" }),
                json!({ "headers": ["ratelimit", "x-ratelimit"], "body": { "a": null } }),
                json!({ "body": 5 }),
            ],
        ),
    ]);
    (limits, more).prop_map(|((key, limits), mut rule)| {
        rule["name"] = json!("second");
        rule[key] = limits;
        rule
    })
}

fn assert_accepted_is_valid(policy: &Json) -> Result<(), TestCaseError> {
    let text = policy.to_string();
    let found = read_policy(&text);
    prop_assume!(!has_errors(&found));
    let refused = refusals(&POLICY_VALIDATOR, &text);
    prop_assert!(refused.is_empty(), "{refused:#?}\n{text}");
    Ok(())
}

#[test]
fn every_spelling_of_every_unit_is_valid() {
    for unit in policy::unit_spellings() {
        let limits = json!([format!("5/2{unit}"), { "amount": 5, "window": format!("2 {unit}") }]);
        let policy = policy_with(&json!({ "name": "second", "limits": limits }));
        assert!(POLICY_VALIDATOR.is_valid(&policy), "{unit}");
        let step = json!({ "send": { "a": "b" }, "expect": { "limit": format!("5/2{unit}") } });
        let scenarios = json!({ "scenarios": [{ "name": "s", "steps": [step] }] });
        assert!(SCENARIOS_VALIDATOR.is_valid(&scenarios), "{unit}");
    }
}

proptest! {
    // Most combinations are refused by the reader; those that are not are what is wanted.
    #![proptest_config(ProptestConfig { max_global_rejects: 100_000, ..ProptestConfig::default() })]

    #[test]
    fn every_short_limit_that_is_read_is_valid(limit in short_limits()) {
        assert_accepted_is_valid(&policy_with(&json!({ "name": "second", "limits": limit })))?;
    }

    #[test]
    fn every_policy_that_is_read_is_valid(rule in rules()) {
        assert_accepted_is_valid(&policy_with(&rule))?;
    }
}
