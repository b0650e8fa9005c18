//! Places are exact, and no text costs more than the bounds say.

use super::*;

fn only(text: &str) -> Node {
    let mut parsed = parse(text);
    assert_eq!(parsed.faults, [], "{text}");
    assert_eq!(parsed.documents.len(), 1, "{text}");
    parsed.documents.remove(0)
}

fn fault(text: &str) -> Fault {
    let mut parsed = parse(text);
    assert_eq!(parsed.faults.len(), 1, "{text}: {:?}", parsed.faults);
    parsed.faults.remove(0)
}

fn nodes(node: &Node, found: &mut Vec<Node>) {
    found.push(node.clone());
    match &node.value {
        Value::Scalar(_) => {}
        Value::Sequence(items) => items.iter().for_each(|item| nodes(item, found)),
        Value::Mapping(pairs) => pairs.iter().for_each(|(key, value)| {
            nodes(key, found);
            nodes(value, found);
        }),
    }
}

/// The written text of all nodes, outermost first.
fn slices(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    nodes(&only(text), &mut found);
    found.iter().map(|node| &text[node.bytes.clone()]).collect()
}

#[test]
fn every_key_value_and_item_knows_its_bytes() {
    let text = "é: 'ü'\nlist:\n  - one\n  - {a: \"b\", c: [1, 2]}\nend: x # comment\n";
    assert_eq!(
        slices(text),
        [
            &text[..text.len() - " # comment\n".len()],
            "é",
            "'ü'",
            "list",
            "- one\n  - {a: \"b\", c: [1, 2]}",
            "one",
            "{a: \"b\", c: [1, 2]}",
            "a",
            "\"b\"",
            "c",
            "[1, 2]",
            "1",
            "2",
            "end",
            "x",
        ]
    );
}

#[test]
fn places_are_exact_with_carriage_returns_and_a_byte_order_mark() {
    let text = "\u{feff}a: b\r\nc:\r\n  - d\r\n";
    let slices = slices(text);
    assert_eq!(slices[1..], ["a", "b", "c", "- d", "d"]);
}

#[test]
fn parts_of_a_text_are_found_unless_it_is_escaped() {
    let text = "a: 100/10s\nb: '100/10s'\nc: \"100\\u002f10s\"\n";
    let document = only(text);
    let place = |key: &str| document.member(key).map(|node| &text[node.part(4..7)]);
    assert_eq!(place("a"), Some("10s"));
    assert_eq!(place("b"), Some("10s"));
    assert_eq!(place("c"), Some("\"100\\u002f10s\""));
}

#[test]
fn scalars_keep_their_text_as_written() {
    let document = only("[1.50, 010, yes, 2026-01-01, 10_000, ~, '', !!str 5]");
    let Value::Sequence(items) = document.value else { panic!("a list") };
    let texts: Vec<_> = items.iter().map(|item| item.scalar().map(|s| s.text.as_str())).collect();
    let expected = ["1.50", "010", "yes", "2026-01-01", "10_000"].map(Some);
    assert_eq!(texts[..5], expected);
    assert_eq!(texts[5..], [None, Some(""), Some("5")]);
    assert!(items[7].scalar().is_some_and(|scalar| scalar.quoted));
}

#[test]
fn empty_documents_are_left_out_and_the_rest_kept_apart() {
    let parsed = parse("---\n---\na: 1\n---\n# nothing\n---\nb: 2\n...\n");
    assert_eq!(parsed.faults, []);
    assert_eq!(parsed.documents.len(), 2);
    assert!(parse("").documents.is_empty());
    assert!(parse("# only a comment\n").documents.is_empty());
}

#[test]
fn documents_after_a_broken_one_are_read() {
    let parsed = parse("a: [1, 2\n---\nb: 2\n---\nc: 'x\n---\nd: 4\n");
    assert_eq!(parsed.faults.len(), 2, "{:?}", parsed.faults);
    assert_eq!(parsed.documents.len(), 2);
}

#[test]
fn second_of_two_equal_keys_is_the_fault() {
    let text = "a: 1\nb: 2\na: 3\n";
    let fault = fault(text);
    assert_eq!((fault.code, fault.bytes), ("duplicate-key", 10..11));
    assert_eq!(fault.related.map(|(bytes, _)| bytes), Some(0..1));
}

#[test]
fn own_keys_win_over_merged_ones() {
    let text = "base: &base {a: 1, b: 2}\nover: {<<: *base, b: 3}\nmany: {<<: [{a: 4}, *base]}\n";
    let document = only(text);
    let value = |key: &str, inner: &str| {
        let value = document.member(key).and_then(|node| node.member(inner)).cloned();
        value.and_then(|node| node.scalar().map(|scalar| scalar.text.clone()))
    };
    assert_eq!(value("over", "a").as_deref(), Some("1"));
    assert_eq!(value("over", "b").as_deref(), Some("3"));
    assert_eq!(value("many", "a").as_deref(), Some("4"));
    assert_eq!(value("many", "b").as_deref(), Some("2"));
    assert_eq!(fault("a: {<<: 1}").code, "yaml-merge");
}

#[test]
fn aliases_of_aliases_are_refused_before_they_are_copied() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let previous = format!("*a{}", level - 1);
        let items = vec![previous; 9].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    let parsed = parse(&text);
    assert_eq!(parsed.faults[0].code, "too-many-values");
    assert!(parsed.documents.is_empty());
}

#[test]
fn long_text_is_not_repeated_without_end() {
    let long = "x".repeat(MAX_REPEATED_BYTES / 4);
    let text = format!("a: &a {long}\nb: [*a, *a, *a, *a, *a]\n");
    assert_eq!(fault(&text).code, "too-many-values");
}

#[test]
fn anchors_within_anchors_keep_no_more_than_may_be_repeated() {
    let items = "x,".repeat(MAX_REPEATED_NODES / 8);
    let text = format!("{}[{items}]{}", "[&a ".repeat(30), "]".repeat(30));
    assert_eq!(parse(&text).faults, [], "an anchor that nothing repeats is no fault");
    let text = format!("a: &a [{}]\nb: *a\n", "x,".repeat(MAX_REPEATED_NODES));
    assert_eq!(fault(&text).code, "too-many-values");
}

#[test]
fn more_faults_than_anybody_reads_are_not_kept() {
    for text in ["---\n[\n", "a: !x 1\na: 1\na: 1\n---\n"] {
        let faults = parse(&text.repeat(2 * MAX_FAULTS)).faults;
        assert_eq!(faults.len(), MAX_FAULTS, "{text}");
    }
}

#[test]
fn many_values_in_one_text_are_refused() {
    let text = format!("[{}]", "a,".repeat(MAX_NODES + 1));
    assert_eq!(fault(&text).code, "too-many-values");
}

#[test]
fn depth_and_size_are_bounded() {
    let brackets = fault(&"[".repeat(100_000));
    assert_eq!(brackets.code, "nested-too-deep", "{brackets:?}");
    let dashes = fault(&"- ".repeat(100_000));
    assert_eq!(dashes.code, "nested-too-deep", "{dashes:?}");
    let half = MAX_DEPTH / 2 + 1;
    let mixed = format!("{}{}{}", "- ".repeat(half), "[".repeat(half), "]".repeat(half));
    let mixed = fault(&mixed);
    assert_eq!(mixed.code, "nested-too-deep", "{mixed:?}");
    let fits = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
    assert_eq!(parse(&fits).faults, []);
    assert_eq!(fault(&" ".repeat(MAX_BYTES + 1)).code, "file-too-large");
}

#[test]
fn alias_inside_of_its_own_anchor_is_refused() {
    assert_eq!(fault("a: &a [1, *a]").code, "yaml-syntax");
}

#[test]
fn foreign_tags_and_keys_are_refused() {
    assert_eq!(fault("a: !env HOME").code, "yaml-tag");
    assert_eq!(fault("[a, b]: 1").code, "yaml-key");
}

#[test]
fn open_bracket_is_named_when_what_follows_makes_no_sense() {
    let opener = fault("a: [1, 2\nb: 3\n").related.map(|(bytes, _)| bytes);
    assert_eq!(opener, Some(3..4));
}

#[test]
fn scanner_faults_point_at_the_trouble() {
    for (text, at, says) in [
        ("a:\n\t- b\n", 3, "a tab"),
        ("a: *\n", 3, "a `*`"),
        ("a: *star\n", 3, "no anchor"),
        ("a: [1, 2\nb: 3\n", 10, "a `:`"),
        ("a: [1, 2\n", 3, "never closed"),
        ("a: b: c\n", 4, "a `:`"),
        ("a: @b\n", 3, "`@` cannot begin"),
        ("a:\n  b: 1\n c: 2\n", 11, "line up"),
    ] {
        let fault = fault(text);
        assert!(fault.message.contains(says), "{text}: {fault:?}");
        assert_eq!(fault.bytes.start, at, "{text}: {fault:?}");
    }
}
