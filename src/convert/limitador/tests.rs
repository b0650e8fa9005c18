//! Limits in, drafts out. What the library itself answers is recorded in `tests/reference/`.

use std::fmt::Write;

use super::read;
use crate::convert::draft::{Draft, DraftPattern, DraftRule};

fn pattern(pattern: &DraftPattern) -> String {
    let list = |patterns: &[DraftPattern]| {
        patterns.iter().map(self::pattern).collect::<Vec<_>>().join(",")
    };
    match pattern {
        DraftPattern::Equals(text) => format!("\"{text}\""),
        DraftPattern::Prefix(text) => format!("\"{text}\"*"),
        DraftPattern::AnyOf(patterns) => format!("[{}]", list(patterns)),
        DraftPattern::Not(patterns) => format!("not[{}]", list(patterns)),
        DraftPattern::Present => "present".to_owned(),
        DraftPattern::Absent => "absent".to_owned(),
    }
}

/// A rule in one line: `name: match; when ...; per ...; amount/window`.
fn shown(rule: &DraftRule) -> String {
    let mut line = format!("{}:", rule.name);
    for (attribute, held_against) in &rule.matches {
        write!(line, " {attribute}={}", pattern(held_against)).unwrap();
    }
    if let Some(when) = &rule.when {
        write!(line, "; when {when}").unwrap();
    }
    if !rule.per.is_empty() {
        write!(line, "; per {}", rule.per.join(" ")).unwrap();
    }
    for limit in &rule.limits {
        assert!(limit.begins_with_first_hit);
        write!(line, "; {}/{}", limit.amount, limit.window).unwrap();
    }
    assert!(!rule.is_shadow && !rule.has_refund && rule.replaces.is_empty());
    line
}

fn drafts(text: &str) -> Vec<Draft> {
    let drafts = read(text).unwrap_or_else(|errors| panic!("{text}\n{errors:#?}"));
    assert!(drafts.iter().all(|draft| !draft.charges_always));
    assert!(drafts.iter().all(|draft| draft.notes[0].contains("every descriptor")));
    drafts
}

fn draft(text: &str) -> Draft {
    let mut drafts = drafts(text);
    assert_eq!(drafts.len(), 1, "{text}");
    drafts.remove(0)
}

fn texts(texts: &[&str]) -> String {
    serde_json::to_string(texts).unwrap()
}

/// A file with one limit of 10 per minute.
fn limit(conditions: &[&str], variables: &[&str]) -> String {
    let (conditions, variables) = (texts(conditions), texts(variables));
    format!(
        "- {{namespace: shop, max_value: 10, seconds: 60, conditions: {conditions}, \
         variables: {variables}}}"
    )
}

#[test]
fn conditions_become_patterns_where_they_are_that_simple() {
    #[rustfmt::skip]
    let cases: &[(&[&str], &str)] = &[
        (&[], "all:"),
        (&["descriptors[0].plan == 'gold'"], "gold: plan=\"gold\""),
        (&["descriptors[0][\"plan\"] == \"gold\""], "gold: plan=\"gold\""),
        (&["'gold' == descriptors[0].plan"], "gold: plan=\"gold\""),
        (&["(descriptors[0].plan) == ('gold')"], "gold: plan=\"gold\""),
        (&["descriptors[0].plan == 'a*'"], "a: plan=\"a*\""),
        (&["descriptors[0].plan == ''"], "plan: plan=\"\""),
        (&["descriptors[0].limit == '1'"], "limit-1: limit=\"1\""),
        (&["descriptors[0].trial == 'true'"], "trial-true: trial=\"true\""),
        // `!=` holds only where the entry is there.
        (&["descriptors[0].plan != 'gold'"], "not-gold: plan=not[\"gold\"]; when has(attributes.plan)"),
        (&["!(descriptors[0].plan == 'gold')"], "not-gold: plan=not[\"gold\"]; when has(attributes.plan)"),
        (&["!(descriptors[0].plan != 'gold')"], "gold: plan=\"gold\""),
        (&["!!(descriptors[0].plan == 'gold')"], "gold: plan=\"gold\""),
        (&["descriptors[0].plan != 'a'", "descriptors[0].plan != 'b'"],
            "not-a-or-b: plan=not[\"a\",\"b\"]; when has(attributes.plan)"),
        (&["has(descriptors[0].plan)", "descriptors[0].plan != 'a'"],
            "not-a: plan=not[\"a\"]; when has(attributes.plan)"),
        (&["descriptors[0].plan in ['a', 'b']"], "a-or-b: plan=[\"a\",\"b\"]"),
        (&["descriptors[0].plan in ['a', 'a']"], "a: plan=\"a\""),
        (&["!(descriptors[0].plan in ['a', 'b'])"],
            "not-a-or-b: plan=not[\"a\",\"b\"]; when has(attributes.plan)"),
        (&["descriptors[0].path.startsWith('/v1/')"], "v1: path_text=\"/v1/\"*"),
        (&["!descriptors[0].path.startsWith('/v1/')"],
            "not-v1: path_text=not[\"/v1/\"*]; when has(attributes.path_text)"),
        (&["descriptors[0].path == '/toys/{id}'"], "toys-id: path_text=\"/toys/{id}\""),
        (&["descriptors[0].plan == '!a'"], "a: plan=\"!a\""),
        (&["descriptors[0].plan == 'é'"], "é: plan=\"é\""),
        (&["has(descriptors[0].trial)"], "with-trial: trial=present"),
        (&["!has(descriptors[0].trial)"], "without-trial: trial=absent"),
        (&["'trial' in descriptors[0]"], "with-trial: trial=present"),
        (&["!('trial' in descriptors[0])"], "without-trial: trial=absent"),
        (&["has(descriptors[0].plan) && descriptors[0].plan == 'a'"], "a: plan=\"a\""),
        (&["descriptors[0].a == 'x' && descriptors[0].b == 'y'"], "x-y: a=\"x\" b=\"y\""),
        (&["descriptors[0].a == 'x'", "descriptors[0].a == 'x'"], "x: a=\"x\""),
        (&["true"], "all:"),
        (&["'a' == 'a'"], "all:"),
    ];
    for (conditions, expected) in cases {
        let draft = draft(&limit(conditions, &[]));
        let rules: Vec<String> = draft.rules.iter().map(shown).collect();
        assert_eq!(rules, [format!("{expected}; 10/1m")], "{conditions:?}");
        assert_eq!(draft.notes.len(), 1, "{conditions:?}");
        assert!(draft.rules[0].notes.is_empty(), "{conditions:?}");
    }
}

#[test]
fn what_no_pattern_says_is_a_condition_in_cel() {
    #[rustfmt::skip]
    let cases: &[(&[&str], &str)] = &[
        (&["descriptors[0].path.endsWith('.css')"], "when-path:; when path.endsWith(\".css\")"),
        (&["descriptors[0].owner == descriptors[0].user"], "when-owner-and-user:; when owner == user"),
        (&["descriptors[0].a == \"say \\\"x\\\"\" || descriptors[0].a == 'y'"],
            "when-a:; when a == \"say \\\"x\\\"\" || a == \"y\""),
        (&["descriptors[0].a == 'x'", "descriptors[0].a != 'y'"], "x: a=\"x\"; when a != \"y\""),
        (&["descriptors[0].a == 'x'", "descriptors[0].a >= 'b' || descriptors[0].a == 'a'", "descriptors[0].b > 'c'"],
            "x: a=\"x\"; when (a >= \"b\" || a == \"a\") && b > \"c\""),
        // A star or a mark of negation would be more than the text.
        (&["descriptors[0].x.startsWith('/api/*')"], "when-x:; when x.startsWith(\"/api/*\")"),
        (&["!descriptors[0].x.startsWith('!a')"], "when-x:; when !x.startsWith(\"!a\")"),
        (&["descriptors[0].path.startsWith('')"], "when-path:; when path.startsWith(\"\")"),
        (&["descriptors[0]['x-tier'] > 'b'"], "when-x-tier:; when attributes[\"x-tier\"] > \"b\""),
        (&["descriptors[0]['x-tier'] != 'b'"], "not-b: x-tier=not[\"b\"]; when \"x-tier\" in attributes"),
        (&["descriptors[0]['if'] > 'b'"], "when-if:; when attributes[\"if\"] > \"b\""),
        // An entry that is missing on the left makes the whole condition false there.
        (&["descriptors[0].a == 'x' || descriptors[0].b == 'y'"],
            "when-a-and-b:; when a == \"x\" ? true : b == \"y\""),
        (&["descriptors[0].a == 'x' || descriptors[0].b == 'y' || descriptors[0].c == 'z'"],
            "when-a-and-b-and-c:; when a == \"x\" ? true : (b == \"y\" ? true : c == \"z\")"),
        (&["!(descriptors[0].a == 'x' && descriptors[0].b == 'y')"],
            "when-a-and-b:; when !(a == \"x\" ? b == \"y\" : false)"),
        (&["!has(descriptors[0].a) || descriptors[0].a == 'x'"],
            "when-a:; when !has(attributes.a) || a == \"x\""),
        (&["descriptors[0].a == 'x' || has(descriptors[0].b)"],
            "when-a-and-b:; when a == \"x\" ? true : has(attributes.b)"),
        (&["limit.name == 'x' || descriptors[0].a == 'y'"], "when-a:; when false ? true : a == \"y\""),
        (&["descriptors[0].a == 'x' ? descriptors[0].b == 'y' : false"],
            "when-a-and-b:; when a == \"x\" ? b == \"y\" : false"),
    ];
    for (conditions, expected) in cases {
        let draft = draft(&limit(conditions, &[]));
        let rules: Vec<String> = draft.rules.iter().map(shown).collect();
        assert_eq!(rules, [format!("{expected}; 10/1m")], "{conditions:?} {:?}", draft.notes);
        assert!(draft.rules[0].notes.is_empty(), "{conditions:?}");
    }
}

#[test]
fn variables_choose_the_counter() {
    #[rustfmt::skip]
    let cases: &[(&[&str], &[&str], &str)] = &[
        (&[], &["descriptors[0].user"], "per-user:; per user"),
        (&[], &["descriptors[0].a", "descriptors[0]['b']", "descriptors[0]['a']"], "per-a-and-b:; per a b"),
        (&[], &["'x'", "1", "true"], "all:"),
        (&["descriptors[0].user == 'alice'", "descriptors[0].verb == 'GET'"], &["descriptors[0].user"],
            "alice-get-per-user: user=\"alice\" verb=\"GET\"; per user"),
        // What is counted by has to be there anyway.
        (&["descriptors[0].user != 'root'"], &["descriptors[0].user"],
            "not-root-per-user: user=not[\"root\"]; per user"),
    ];
    for (conditions, variables, expected) in cases {
        let draft = draft(&limit(conditions, variables));
        let rules: Vec<String> = draft.rules.iter().map(shown).collect();
        assert_eq!(rules, [format!("{expected}; 10/1m")], "{variables:?}");
        assert!(draft.rules[0].notes.is_empty(), "{variables:?}");
    }
}

/// Attributes and the keys that they are read from.
type Renamed = &'static [(&'static str, &'static str)];

#[test]
fn keys_that_mean_something_else_here_are_read_through_attributes_of_other_names() {
    #[rustfmt::skip]
    let cases: &[(&[&str], Renamed)] = &[
        (&["user", "x-tenant", "remote_address"], &[]),
        (&["ip", "method", "endpoint"], &[("endpoint_text", "endpoint"), ("ip_text", "ip"), ("method_text", "method")]),
        (&["req.method"], &[("req_method_text", "req.method")]),
        (&[":method", ":path"], &[("method_text", ":method")]),
        (&["method", ":method"], &[("method_text", ":method"), ("method_text_2", "method")]),
        (&["req_method", "req.method"], &[("req_method_text", "req.method")]),
        (&["*", "**"], &[("_text", "*"), ("_text_2", "**")]),
        (&["é", "a \\\" b"], &[]),
    ];
    for (keys, expected) in cases {
        let variables: Vec<String> =
            keys.iter().map(|key| format!("descriptors[0]['{key}']")).collect();
        let variables: Vec<&str> = variables.iter().map(String::as_str).collect();
        let draft = draft(&limit(&[], &variables));
        let attributes: Vec<(&str, &str)> = draft
            .attributes
            .iter()
            .map(|(attribute, keys)| (attribute.as_str(), keys[0].as_str()))
            .collect();
        assert_eq!(attributes, *expected);
        assert_eq!(draft.rules[0].per.len(), keys.len());
        for (attribute, key) in *expected {
            let position = keys.iter().position(|known| known == key).unwrap();
            assert_eq!(draft.rules[0].per[position], *attribute);
        }
    }
}

#[test]
fn bare_names_are_entries_and_noted() {
    #[rustfmt::skip]
    let cases: &[(&[&str], &[&str], &str, &str)] = &[
        (&["req_method == 'GET'"], &["user_id"], "get-per-user-id: req_method=\"GET\"; per user_id", "`req_method` and `user_id`"),
        (&["req.method == GET"], &[], "get: req_method_text=\"GET\"", "`req.method`"),
        (&["req.method != GET"], &[], "not-get: req_method_text=not[\"GET\"]; when has(attributes.req_method_text)", "`req.method`"),
    ];
    for (conditions, variables, expected, names) in cases {
        let draft = draft(&limit(conditions, variables));
        assert_eq!(shown(&draft.rules[0]), format!("{expected}; 10/1m"));
        let [note] = draft.rules[0].notes.as_slice() else { panic!("{:?}", draft.rules[0].notes) };
        assert!(note.contains(&format!("such as {names}. From 2.0 on")), "{note}");
    }
}

#[test]
fn a_text_does_not_tell_the_version() {
    for text in ["topic == 'descriptors'", "topic == 'descriptors[0].a'"] {
        let rule = draft(&limit(&[text], &[])).rules.remove(0);
        assert!(rule.notes[0].contains("Limitador 1.x had bare names"), "{:?}", rule.notes);
    }
    for text in ["has(descriptors[0].a)", "descriptors[0]['a'] == ", "descriptors.size() > 0"] {
        let draft = draft(&limit(&["topic == 'x'", text], &[]));
        assert!(draft.rules.is_empty(), "{text}");
    }
    let other = format!("{}\n{}", limit(&["a == 'x'"], &[]), limit(&["descriptors[0].a =="], &[]));
    assert!(draft(&other).rules.is_empty());
}

#[test]
fn what_cannot_be_carried_is_no_rule_and_a_note() {
    #[rustfmt::skip]
    let cases: &[(&[&str], &[&str], &str)] = &[
        (&["descriptors[0].a.matches('x')"], &[], "by hand: of its conditions here, there is no function `matches`"),
        (&["descriptors[0].rows > 100"], &[], "by hand: of its conditions here, `rows` is a text"),
        (&["descriptors[0][''] == 'x'"], &[], "by hand: it reads an entry whose key is empty"),
        (&[], &["descriptors[0]['']"], "by hand: it reads an entry whose key is empty"),
        (&["1 + 1"], &[], "by hand: of its conditions here, `1 + 1` is a number"),
        (&["descriptors[0].a"], &[], "by hand: of its conditions here, `a` is a text"),
        (&["descriptors[0].a == 'x' &&"], &[], "by hand: of `descriptors[0].a == 'x' &&`, the condition ends too early"),
        (&["descriptors[0].a == 'x'", "descriptors[1].b == 'y'"], &[], "by hand: it reads several descriptors together"),
        (&["a == 'x'", "descriptors[0].b == 'y'"], &[], "never applies it: bare names, such as `a`, are of Limitador 1.x"),
        (&["descriptors[0].a == 'x'"], &["user_id"], "never applies it: bare names, such as `user_id`"),
        (&["size(descriptors) > 1"], &[], "by hand: `descriptors` is not one entry"),
        (&["descriptors[0]['a']['b'] == 'x'"], &[], "by hand: `descriptors[0]['a']['b']` is not one entry"),
        (&["limit.name == descriptors[0].a"], &[], "by hand: `limit.name` is nothing for this limit"),
        (&["limit.max == descriptors[0].a"], &[], "by hand: `limit.max` is not one entry"),
        (&[], &["descriptors[0].a + descriptors[0].b"], "by hand: the variable `descriptors[0].a + descriptors[0].b` is more"),
        (&[], &["int(descriptors[0].a)"], "by hand: the variable `int(descriptors[0].a)` is more"),
        (&[], &["limit.name"], "never applies it: in a variable, such as `limit.name`"),
        (&["descriptors.exists(d, d.a == 'x')"], &[], "never applies it: the item of the loop"),
        (&["['x'].exists(x, descriptors[0].a == x)"], &[], "never applies it: the item of the loop"),
        (&["'a' == 'b'"], &[], "never applies it: the condition `'a' == 'b'` never holds"),
        (&["limit.name == 'gold'"], &[], "never applies it: the condition"),
        (&["false"], &[], "never applies it: the condition `false` never holds"),
        (&["!('a' in descriptors[0])"], &["descriptors[0].a"], "never applies it: it counts by `a`, which is to be missing"),
        (&["!has(descriptors[0].path)", "descriptors[0].path != '/'"], &["descriptors[0].path"], "never applies it: it counts by `path_text`"),
    ];
    for (conditions, variables, expected) in cases {
        let draft = draft(&limit(conditions, variables));
        assert!(draft.rules.is_empty(), "{conditions:?}");
        assert!(draft.attributes.is_empty(), "{conditions:?}");
        let [_, note] = draft.notes.as_slice() else { panic!("{:?}", draft.notes) };
        assert!(note.contains(expected), "{note}");
        assert!(note.contains("the limit of line 1, 10 per 60 seconds, conditions ["), "{note}");
    }
}

#[test]
fn what_differs_is_noted_at_the_rule() {
    #[rustfmt::skip]
    let cases: &[(&[&str], &str)] = &[
        (&["descriptors[1].a == 'x'"], "`descriptors[1]`"),
        (&["int(descriptors[0].a) > 1"], "Limitador fails the call"),
        (&["'abc'.contains(descriptors[0].a)"], "Limitador fails the call"),
        (&["size(descriptors[0].a) > 1"], "characters"),
    ];
    for (conditions, expected) in cases {
        let rule = draft(&limit(conditions, &[])).rules.remove(0);
        assert!(rule.notes.iter().any(|note| note.contains(expected)), "{:?}", rule.notes);
    }
}

#[test]
fn the_limit_itself_is_a_constant() {
    let text = "
- {namespace: shop, max_value: 1, seconds: 60, name: gold, id: g, conditions: ['limit.name == descriptors[0].plan']}
- {namespace: shop, max_value: 2, seconds: 60, name: gold, id: g, conditions: [\"limit['id'] == 'g'\"]}
- {namespace: shop, max_value: 3, seconds: 60, conditions: [\"limit.name != 'gold'\"]}
- {namespace: shop, max_value: 4, seconds: 60, id: s, conditions: [\"limit.id in ['s', 't']\"]}
- {namespace: shop, max_value: 5, seconds: 60, id: t, conditions: [\"limit.id in ['s', 't', descriptors[0].plan]\"]}";
    let rules: Vec<String> = draft(text).rules.iter().map(shown).collect();
    let expected = [
        "gold: plan=\"gold\"; 1/1m",
        "gold-1m:; 2/1m",
        "all:; 3/1m",
        "all-1m:; 4/1m",
        "when-plan:; when \"t\" in [\"s\", \"t\", plan]; 5/1m",
    ];
    assert_eq!(rules, expected);
}

#[test]
fn windows_are_hours_minutes_or_seconds() {
    let cases = [
        (1_u64, "1s"),
        (59, "59s"),
        (60, "1m"),
        (90, "90s"),
        (900, "15m"),
        (3_600, "1h"),
        (5_400, "90m"),
        (86_400, "24h"),
        (2_592_000, "720h"),
        (3_153_600_000, "876000h"),
    ];
    for (seconds, window) in cases {
        let text = format!("- {{namespace: shop, max_value: 1, seconds: {seconds}}}");
        assert_eq!(draft(&text).rules[0].limits[0].window, window);
    }
    let note = |seconds: u64| {
        let text = format!("- {{namespace: shop, max_value: 1, seconds: {seconds}}}");
        let draft = draft(&text);
        assert!(draft.rules.is_empty());
        draft.notes[1].clone()
    };
    assert!(note(0).contains("never applies it: a window of 0 seconds"));
    assert!(note(3_153_600_001).contains("at most 100 years"));
    assert!(note(u64::MAX).contains("at most 100 years"));
}

#[test]
fn amounts_and_unknown_fields_are_kept_or_noted() {
    let rule = |fields: &str| {
        draft(&format!("- {{namespace: shop, seconds: 60, {fields}}}")).rules.remove(0)
    };
    let most = rule("max_value: 18446744073709551615");
    assert_eq!((most.limits[0].amount, most.notes.len()), (u64::MAX, 0));
    let none = rule("max_value: 0");
    assert_eq!((none.limits[0].amount, none.notes.len()), (0, 0));
    let missing = rule("conditions: []");
    assert_eq!(missing.limits[0].amount, 0);
    assert!(missing.notes[0].contains("no `max_value`"), "{:?}", missing.notes);
    let unknown = rule("max_value: 1, burst: 5");
    assert!(unknown.notes[0].contains("`burst`, which Limitador ignores"), "{:?}", unknown.notes);
}

#[test]
fn the_first_of_equal_limits_is_the_one_in_force() {
    let text = "
- {namespace: shop, max_value: 3, seconds: 60, name: one, conditions: [\"descriptors[0].a == '1'\", \"descriptors[0].b == '1'\"]}
- {namespace: shop, max_value: 1, seconds: 60, name: other, conditions: [\"descriptors[0].b == '1'\", \"descriptors[0].a == '1'\"]}
- {namespace: shop, max_value: 1, seconds: 61, name: third, conditions: [\"descriptors[0].b == '1'\", \"descriptors[0].a == '1'\"]}
- {namespace: else, max_value: 1, seconds: 60, name: other, conditions: [\"descriptors[0].b == '1'\", \"descriptors[0].a == '1'\"]}";
    let [shop, other] = drafts(text).try_into().unwrap();
    let names: Vec<&str> = shop.rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["one", "third"]);
    let left_out = "left out: the limit `other` of line 3, 1 per 60 seconds";
    assert!(shop.notes[1].starts_with(left_out), "{}", shop.notes[1]);
    assert!(shop.notes[1].contains("the limit of line 2, which is"), "{}", shop.notes[1]);
    assert_eq!((other.domain.as_str(), other.rules.len(), other.notes.len()), ("else", 1, 1));
}

#[test]
fn names_are_unique() {
    let text = "
- {namespace: shop, max_value: 1, seconds: 1, name: \"to\\ny\"}
- {namespace: shop, max_value: 2, seconds: 2, name: \"to\\ny\"}
- {namespace: shop, max_value: 3, seconds: 2, name: \"to\\ny\", variables: [\"descriptors[0].a\"]}
- {namespace: shop, max_value: 4, seconds: 60, name: \" \", variables: [\"descriptors[0].a\"]}
- {namespace: shop, max_value: 5, seconds: 61, variables: [\"descriptors[0].a\"]}
- {namespace: shop, max_value: 6, seconds: 60, variables: [\"descriptors[0]['a']\"]}
- {namespace: shop, max_value: 7, seconds: 60, variables: [\"descriptors[0][\\\"a\\\"]\"]}";
    let draft = draft(text);
    let names: Vec<&str> = draft.rules.iter().map(|rule| rule.name.as_str()).collect();
    let many = "- {namespace: shop, max_value: 1, seconds: 1, name: a, conditions: [\"true\"]}\n";
    let many: String = (1..=300)
        .map(|number| many.replace("true", &format!("descriptors[0].a == '{number}'")))
        .collect();
    let last = self::draft(&many).rules.pop().unwrap();
    assert_eq!(last.name, "a-1s-299");
    let expected = ["to-y", "to-y-2s", "to-y-2s-2", "per-a", "per-a-61s", "per-a-1m", "per-a-1m-2"];
    assert_eq!(names, expected);
}

#[test]
fn limits_are_found_in_objects_of_kubernetes() {
    let cases = [
        "kind: Limitador\nspec: {limits: [{namespace: shop, max_value: 10, seconds: 60}]}",
        "kind: ConfigMap\ndata:\n  readme: some words\n  limits.yaml: |\n    ---\n    - namespace: shop\n      max_value: 10\n      seconds: 60\n",
        "---\n- {namespace: shop, max_value: 10, seconds: 60, conditions:, variables: ~, name: }\n",
        "- {namespace: shop, max_value: 10, seconds: 60}\n---\nkind: Limitador\nspec: {limits: }",
        "namespace: shop\nmax_value: 10\nseconds: 60\n",
        "kind: List\nitems:\n- kind: Limitador\n  spec: {limits: [{namespace: shop, max_value: 10, seconds: 60}]}",
        "kind: LimitadorList\nitems:\n- kind: Limitador\n  spec: {limits: [{namespace: shop, max_value: 10, seconds: 60}]}",
        "kind: RateLimit\nspec: {namespace: shop, max_value: 10, seconds: 60, limitador-ref: {name: a}}",
    ];
    for text in cases {
        let rules: Vec<String> = draft(text).rules.iter().map(shown).collect();
        assert_eq!(rules, ["all:; 10/1m"], "{text}");
    }
    let config_map =
        "kind: ConfigMap\ndata:\n  limits.yaml: |\n    - namespace: shop\n      seconds: 0\n";
    let note = &draft(config_map).notes[1];
    assert!(note.contains("the limit of line 1 of `limits.yaml`"), "{note}");
}

#[test]
fn what_is_no_limits_file_is_refused_with_its_place() {
    #[rustfmt::skip]
    let cases: &[(&str, &[&str])] = &[
        ("", &["the file holds no limit: write a list"]),
        ("[]", &["the file holds no limit: write a list"]),
        ("domain: shop", &["line 1, column 1: this is a mapping, not a list of limits"]),
        ("kind: Deployment", &["line 1, column 1: an object of kind `Deployment` holds no limits"]),
        ("kind: Limitador\nspec: {}", &["line 1, column 1: this Limitador object has no limits"]),
        ("kind: Limitador\nspec:\n  limits: 3", &["line 3, column 11: this is text, not a list"]),
        ("kind: ConfigMap\ndata: {a.yaml: x}", &["line 2, column 7: no file of this ConfigMap"]),
        ("kind: ConfigMap", &["line 1, column 1: no file of this ConfigMap"]),
        ("kind: ConfigMap\ndata:\n  limits.yaml: |\n    - seconds: 1\n      namespace: [\n", &["in `limits.yaml`, line"]),
        ("kind: ConfigMap\ndata:\n  limits.yaml: |\n    - seconds: x\n      namespace: a\n",
            &["in `limits.yaml`, line 1, column 12: `seconds` is `x`: write a whole number"]),
        ("- 3", &["line 1, column 3: this is text, not a limit"]),
        ("- {seconds: 1}", &["line 1, column 3: this limit has no namespace: write `namespace: ...`"]),
        ("- {namespace: a}", &["line 1, column 3: this limit has no window: write `seconds: 60`"]),
        ("- {namespce: a, seconds: 1}", &["this limit has no namespace: it has `namespce`; did you mean `namespace`?"]),
        ("- {namespace: a, secs: 1, second: 1}", &["it has `second`; did you mean `seconds`?"]),
        ("\n\n- {namespace: é, seconds: x}", &["line 3, column 27: `seconds` is `x`"]),
        ("kind: RateLimit", &["line 1, column 1: this RateLimit object has no `spec`"]),
        ("- {namespace: '', seconds: 1}", &["line 1, column 15: `namespace` is empty"]),
        ("- {namespace: [], seconds: 1}", &["line 1, column 15: `namespace` is a list"]),
        ("- {namespace: a, seconds: -1}", &["line 1, column 27: `seconds` is `-1`"]),
        ("- {namespace: a, seconds: 1m}", &["line 1, column 27: `seconds` is `1m`"]),
        ("- {namespace: a, seconds: 1, max_value: 1.5}", &["line 1, column 41: `max_value` is `1.5`"]),
        ("- {namespace: a, seconds: 1, max_value: }", &["`max_value` is nothing"]),
        ("- {namespace: a, seconds: 1, conditions: x}", &["line 1, column 42: `conditions` is text, not a list"]),
        ("- {namespace: a, seconds: 1, variables: [[]]}", &["line 1, column 42: `variables` is a list"]),
        ("- {namespace: a}\n- {seconds: 1}", &["line 1, column 3", "line 2, column 3"]),
        ("- {namespace: a", &["line 1"]),
    ];
    for (text, expected) in cases {
        let errors = read(text).expect_err(text);
        assert_eq!(errors.len(), expected.len(), "{text}\n{errors:#?}");
        for (error, expected) in errors.iter().zip(*expected) {
            assert!(error.contains(expected), "{text}\n{error}");
        }
    }
}
