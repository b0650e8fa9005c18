//! The matchers against plain models: the index finds exactly the rules that a scan finds.

use proptest::prelude::*;

use super::attributes::Attributes;
use super::native::NativeMatcher;
use super::pattern::{CompiledPattern, Subject};
use super::tree::{Counted, Level, Tree, TreeNode, TreeRule};
use super::*;
use crate::policy::model::{
    AttributeKeys, Condition, FieldKind, FieldValue, NativePolicy, NodeValue, Pattern, Placed, Row,
    Rows, Rule, Table,
};
use crate::policy::respond::Respond;
use crate::policy::set::CounterSeed;
use crate::policy::template::Template;
use crate::request::Entry;
use crate::time::Timestamp;

fn placed<T>(value: T) -> Placed<T> {
    Placed { value, place: Default::default() }
}

fn rule(name: usize, conditions: Vec<Condition>, per: &[&str]) -> Rule {
    Rule {
        conditions,
        per: per.iter().map(|name| placed((*name).to_owned())).collect(),
        unlimited: true,
        ..Rule::new(placed(format!("rule-{name}")))
    }
}

fn native(rules: Vec<Rule>) -> NativeMatcher {
    let attributes = vec![AttributeKeys { attribute: "c".into(), keys: vec!["a".into()] }];
    let field = |text: &str| {
        let value = FieldValue { text: text.to_owned(), kind: FieldKind::Text };
        Row::from([("f".to_owned(), value)])
    };
    // Keyed by an attribute that is sent and by one that paths may capture.
    let table = |name: &str, default| Table {
        name: placed(name.to_owned()),
        rows: std::sync::Arc::new(Rows {
            default,
            named: vec![("x".to_owned(), field("y")), ("y".to_owned(), field("xy"))],
            places: Vec::new(),
        }),
        is_read: true,
    };
    let tables = vec![table("a", Some(field("x"))), table("b", None)];
    let policy = NativePolicy { attributes, tables, rules, respond: Respond::NATIVE, load: None };
    NativeMatcher::new("domain", &policy, CounterSeed([3, 4]))
}

fn any_word() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["x", "y", "xy", "z"]).prop_map(str::to_owned)
}

fn any_template() -> impl Strategy<Value = Pattern> {
    let segments = prop::collection::vec(
        prop::sample::select(vec!["x", "y", "{a}", "{b}"]).prop_map(str::to_owned),
        0..4,
    );
    (segments, any::<bool>()).prop_filter_map("captured twice", |(segments, has_rest)| {
        let rest = if has_rest { "/**" } else { "" };
        let text = format!("/{}{rest}", segments.join("/"));
        Template::parse(&text).ok().map(Pattern::Endpoint)
    })
}

/// Few enough to be tried one by one, or enough for a tree.
fn any_templates() -> impl Strategy<Value = Vec<Pattern>> {
    prop_oneof![
        prop::collection::vec(any_template(), 1..3),
        prop::collection::vec(any_template(), 7..24),
    ]
}

fn any_pattern() -> impl Strategy<Value = Pattern> {
    let plain = prop_oneof![
        4 => any_word().prop_map(Pattern::Equals),
        1 => any_word().prop_map(Pattern::Prefix),
        1 => Just(Pattern::Present),
        1 => Just(Pattern::Absent),
    ];
    plain.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Pattern::AnyOf),
            inner.prop_map(|pattern| Pattern::Not(Box::new(pattern))),
        ]
    })
}

fn any_condition() -> impl Strategy<Value = Condition> {
    let attribute = prop::sample::select(vec!["a", "b", "c", "a.f", "b.f"]).prop_map(str::to_owned);
    let named = (attribute, any_pattern())
        .prop_map(|(attribute, pattern)| Condition { attribute: placed(attribute), pattern });
    let templates = prop_oneof![
        any_template(),
        any_templates().prop_map(Pattern::AnyOf),
        any_template().prop_map(|template| Pattern::Not(Box::new(template))),
    ];
    let endpoint = templates
        .prop_map(|pattern| Condition { attribute: placed("endpoint".to_owned()), pattern });
    let network =
        prop::sample::select(vec!["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "2001:db8::/32"])
            .prop_map(|network| Pattern::Network(network.parse().unwrap()));
    let networks = prop_oneof![
        network.clone(),
        prop::collection::vec(network.clone(), 1..3).prop_map(Pattern::AnyOf),
        network.prop_map(|network| Pattern::Not(Box::new(network))),
    ];
    let ip = networks.prop_map(|pattern| Condition { attribute: placed("ip".to_owned()), pattern });
    prop_oneof![3 => named, 2 => endpoint, 2 => ip]
}

fn any_rules() -> impl Strategy<Value = Vec<Rule>> {
    let per = prop::sample::subsequence(vec!["a", "b", "b.f"], 0..=2);
    let parts = (prop::collection::vec(any_condition(), 0..4), per);
    prop::collection::vec(parts, 1..12).prop_map(|rules| {
        let rules = rules.into_iter().enumerate();
        rules.map(|(name, (conditions, per))| rule(name, conditions, &per)).collect()
    })
}

fn any_entries() -> impl Strategy<Value = Vec<(String, String)>> {
    let key = prop::sample::select(vec!["a", "b", "c", ":path", "ip"]).prop_map(str::to_owned);
    let ip = prop::sample::select(vec![
        "10.1.2.3",
        "10.1.0.0/16",
        "10.0.0.0/7",
        "10.9.9.9",
        "::ffff:10.1.2.3",
        "2001:db8::1",
        "x",
    ]);
    let path =
        prop::collection::vec(any_word(), 0..4).prop_map(|words| format!("/{}", words.join("/")));
    let entry = (key, any_word(), path, ip).prop_map(|(key, word, path, ip)| {
        let value = match key.as_str() {
            ":path" => path,
            "ip" => ip.to_owned(),
            _ => word,
        };
        (key, value)
    });
    prop::collection::vec(entry, 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn the_index_finds_exactly_what_a_scan_finds(rules in any_rules(), entries in any_entries()) {
        let count = u32::try_from(rules.len()).unwrap();
        let matcher = native(rules);
        let entries: Vec<Entry<'_>> = entries
            .iter()
            .map(|(key, value)| Entry { key: key.as_bytes(), value: value.as_bytes() })
            .collect();
        let facts = matcher.facts(&entries, Timestamp::EPOCH);
        let mut matches = Matches::default();
        facts.find(&mut matches);
        let scanned: Vec<Match> = (0..count).filter_map(|rule| facts.check(rule).ok()).collect();
        prop_assert_eq!(matches.found.as_slice(), scanned);
    }

    #[test]
    fn of_a_list_of_templates_the_first_that_matches_counts(
        templates in any_templates(),
        path in prop::collection::vec(any_word(), 0..4),
    ) {
        let mut attributes = Attributes::new(&[], &[]);
        let segments: Vec<&[u8]> = path.iter().map(|word| word.as_bytes()).collect();
        let whole = format!("/{}", path.join("/"));
        let path = Some(whole.as_bytes());
        let subject = Subject { value: path, path, segments: &segments, ip: None };
        let alone: Vec<CompiledPattern> = templates
            .iter()
            .map(|template| CompiledPattern::compile(template, &mut attributes))
            .collect();
        let listed = CompiledPattern::compile(&Pattern::AnyOf(templates), &mut attributes);
        let scanned = alone.iter().find_map(|pattern| pattern.template(subject));
        prop_assert_eq!(listed.template(subject), scanned);
        prop_assert_eq!(listed.holds(subject), scanned.is_some());
    }

    #[test]
    fn wildcards_match_as_the_plain_definition_says(
        pattern in "[ab*]{1,6}",
        value in "[ab]{0,6}",
    ) {
        prop_assume!(pattern.contains('*'));
        let parts = pattern.split('*').map(str::to_owned).collect();
        let mut tree = Tree::new("d", CounterSeed([0, 0]));
        let counters = tree.counters([b"k".as_slice()].into_iter());
        let node = TreeNode {
            rule: Some(TreeRule { rule: 0, counters }),
            children: Level::default(),
            counted: Counted::ByValue,
        };
        tree.root_mut().insert("k", &NodeValue::Wildcard(parts), node);
        let entries = [Entry { key: b"k", value: value.as_bytes() }];
        prop_assert_eq!(
            tree.find(&entries).is_some(),
            plain_match(pattern.as_bytes(), value.as_bytes())
        );
    }
}

/// Each star stands for zero or more characters, tried one by one.
fn plain_match(pattern: &[u8], value: &[u8]) -> bool {
    match (pattern.split_first(), value.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            (0..=value.len()).any(|taken| plain_match(rest, &value[taken..]))
        }
        (Some((want, pattern)), Some((have, value))) => want == have && plain_match(pattern, value),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

#[test]
fn rules_hang_on_what_fewest_of_them_share() {
    let equals = |attribute: &str, text: &str| Condition {
        attribute: placed(attribute.to_owned()),
        pattern: Pattern::Equals(text.to_owned()),
    };
    let endpoint = |text: &str| Condition {
        attribute: placed("endpoint".to_owned()),
        pattern: Pattern::Endpoint(Template::parse(text).unwrap()),
    };
    let by_path = |number: usize| {
        let path = endpoint(&format!("/things/{number}/{{part}}"));
        rule(number, vec![equals("method", "GET"), path], &[])
    };
    let by_tenant = |number: usize| {
        let tenant = equals("tenant", &format!("t{number}"));
        rule(number, vec![endpoint("/{any}/**"), tenant], &[])
    };
    let matcher = native((0..100).map(by_path).chain((100..200).map(by_tenant)).collect());
    let entries = [("method", "GET"), ("endpoint", "/things/7/x"), ("tenant", "t150")];
    let entries =
        entries.map(|(key, value)| Entry { key: key.as_bytes(), value: value.as_bytes() });
    let facts = matcher.facts(&entries, Timestamp::EPOCH);
    assert_eq!(facts.candidates(&facts.segments()).as_slice(), [7, 150]);
}

#[test]
fn between_a_method_and_a_path_that_are_shared_alike_rules_hang_on_the_path() {
    let condition =
        |attribute: &str, pattern| Condition { attribute: placed(attribute.to_owned()), pattern };
    let template = |text: &str| Pattern::Endpoint(Template::parse(text).unwrap());
    let method = condition("method", Pattern::Equals("GET".to_owned()));
    let paths = Pattern::AnyOf(vec![template("/things"), template("/things/{thing}")]);
    let matcher = native(vec![rule(0, vec![method, condition("endpoint", paths)], &[])]);
    let candidates = |path: &str| {
        let entries = [("method", "GET"), ("endpoint", path)];
        let entries =
            entries.map(|(key, value)| Entry { key: key.as_bytes(), value: value.as_bytes() });
        let facts = matcher.facts(&entries, Timestamp::EPOCH);
        facts.candidates(&facts.segments()).to_vec()
    };
    assert_eq!(candidates("/things/7"), [0]);
    assert_eq!(candidates("/others"), [0; 0]);
}

#[test]
fn explanations_show_text_as_it_is_and_escape_what_is_no_text() {
    let per_tenant = rule(0, Vec::new(), &["tenant"]);
    let matcher = native(vec![per_tenant]);
    for (value, shown) in [("Müller".as_bytes(), "Müller"), (b"a\n", r"a\n"), (b"\xff", r"\xff")]
    {
        let facts = matcher.facts(&[Entry { key: b"tenant", value }], Timestamp::EPOCH);
        assert_eq!(facts.present(), [("tenant", shown.to_owned())]);
    }
}

#[test]
fn different_values_never_share_a_counter_by_how_they_are_joined() {
    let matcher = native(vec![rule(0, Vec::new(), &["a", "b"])]);
    let base = |a: &str, b: &str| {
        let entries =
            [Entry { key: b"a", value: a.as_bytes() }, Entry { key: b"b", value: b.as_bytes() }];
        matcher.facts(&entries, Timestamp::EPOCH).check(0).unwrap()
    };
    assert_ne!(base("x", "yz"), base("xy", "z"));
    assert_ne!(base("", "x"), base("x", ""));
    assert_eq!(base("x", "y"), base("x", "y"));
}

#[test]
fn an_attribute_has_one_slot_however_often_it_is_named() {
    let mut attributes = Attributes::new(&[], &[]);
    assert_eq!(attributes.slot("tenant"), attributes.slot("tenant"));
    assert_ne!(attributes.slot("tenant"), attributes.slot("user"));
    assert_eq!(attributes.keys_of("method"), ["method", ":method"]);
}
