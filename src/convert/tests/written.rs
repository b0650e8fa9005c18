//! What is written is read back as what was meant.

use proptest::prelude::*;

use super::set;
use crate::convert::draft::{Draft, DraftLimit, DraftPattern, DraftRule};
use crate::convert::write;
use crate::policy::model::{Body, Pattern, Source};
use crate::policy::read::read;

fn limit() -> DraftLimit {
    DraftLimit { amount: 1, window: "minute".to_owned(), begins_with_first_hit: false }
}

fn with(rule: DraftRule) -> String {
    let rule = DraftRule { name: "r".to_owned(), limits: vec![limit()], ..rule };
    let draft = Draft { domain: "d".to_owned(), rules: vec![rule], ..Draft::default() };
    write::document(&draft)
}

#[test]
fn texts_stand_in_quotes_only_where_they_must() {
    for (text, written) in [
        ("acme", "acme"),
        ("10.0.0.1", "10.0.0.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("a b", "a b"),
        ("/v1/orders", "/v1/orders"),
        ("42", "\"42\""),
        ("1.5", "\"1.5\""),
        ("0x1f", "\"0x1f\""),
        ("2026-01-15", "\"2026-01-15\""),
        ("No", "\"No\""),
        ("null", "\"null\""),
        ("", "\"\""),
        ("a: b", "\"a: b\""),
        ("a #b", "\"a #b\""),
        ("-a", "\"-a\""),
        ("[a", "\"[a\""),
        ("a,b", "\"a,b\""),
        ("a\"\\\n\u{2028}", "\"a\\\"\\\\\\n\\u2028\""),
        ("present", "{ equals: present }"),
        ("a*", "{ equals: a* }"),
        ("!a", "{ equals: \"!a\" }"),
    ] {
        let matches = vec![("a".to_owned(), DraftPattern::Equals(text.to_owned()))];
        let document = with(DraftRule { matches, ..DraftRule::default() });
        let line = format!("    match: {{ a: {written} }}\n");
        assert!(document.contains(&line), "{text:?}\n{document}");
        set(&document);
    }
}

#[test]
fn long_lines_are_broken_and_mean_the_same() {
    let values: Vec<String> = (0..60).map(|number| format!("tenant {number}")).collect();
    let equals = values.iter().map(|value| DraftPattern::Equals(value.clone()));
    let not = DraftPattern::Not(equals.collect());
    let clauses: Vec<String> = (0..9)
        .map(|number| format!("!(b == 'it\"s' && a.endsWith(\"{number} \\\" &&  x && y\"))"))
        .collect();
    let when = clauses.join(" && ");
    let document = with(DraftRule {
        matches: vec![("a".to_owned(), not)],
        when: Some(when.clone()),
        notes: vec!["word ".repeat(90), "short".to_owned()],
        ..DraftRule::default()
    });
    assert!(document.lines().all(|line| line.chars().count() <= 100), "{document}");
    let set = set(&document);
    let rule = &set.domains[0].rules[0];
    assert_eq!(rule.when.as_deref(), Some(when.as_str()));
    assert_eq!(rule.applies_to.matches("tenant").count(), 60);
}

#[test]
fn notes_stand_above_what_they_are_about_and_are_comments_whatever_they_hold() {
    let document = with(DraftRule {
        notes: vec!["one\nrules: []".to_owned(), "two\u{2028}x".to_owned()],
        ..DraftRule::default()
    });
    assert!(
        document.contains("rules:\n  # - one rules: []\n  # - two x\n  - name: r\n"),
        "{document}"
    );
    set(&document);
}

proptest! {
    #[test]
    fn any_text_is_read_back(domain in "\\PC{1,12}|.{1,6}", value in "\\PC{0,12}|.{0,6}", prefix in "[a-z !~'\"#:-]{0,6}") {
        prop_assume!(!value.contains('\u{fffe}') && !value.contains('\u{ffff}'));
        let equals = DraftPattern::Equals(value.clone());
        let starts = DraftPattern::Prefix(prefix.clone());
        let matches = vec![
            ("a".to_owned(), DraftPattern::Not(vec![equals, starts])),
            ("b".to_owned(), DraftPattern::AnyOf(vec![DraftPattern::Equals(value.clone()), DraftPattern::Absent])),
        ];
        let rule = DraftRule { name: "r".to_owned(), matches, limits: vec![limit()], ..DraftRule::default() };
        let draft = Draft { domain: domain.clone(), rules: vec![rule], ..Draft::default() };
        let text = write::document(&draft);
        let (policies, found) = read(&[Source { name: "p".to_owned(), text: text.clone() }]);
        prop_assert_eq!(policies.len(), 1, "{} {:?}", text, found);
        prop_assert_eq!(&policies[0].domain.value, &domain);
        let Body::Native(native) = &policies[0].body else { panic!("{text}") };
        let Some(rule) = native.rules.first() else { panic!("{text} {found:?}") };
        let expected = Pattern::Not(Box::new(Pattern::AnyOf(vec![
            Pattern::Equals(value.clone()),
            Pattern::Prefix(prefix),
        ])));
        prop_assert_eq!(&rule.conditions[0].pattern, &expected, "{}", text);
        let either = Pattern::AnyOf(vec![Pattern::Equals(value), Pattern::Absent]);
        prop_assert_eq!(&rule.conditions[1].pattern, &either, "{}", text);
    }
}
