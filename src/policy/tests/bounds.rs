//! What a policy may make of itself: texts whose work or room would grow without bound are refused.
//!
//! Measured by counts, never by time.

use super::*;

/// The findings of a policy of these rules.
fn findings(rules: &str) -> Vec<String> {
    check(&format!("domain: d\nrules:\n{rules}")).1
}

fn rules(text: &str) -> Vec<crate::policy::model::Rule> {
    native(&format!("domain: d\nrules:\n{text}")).rules
}

/// `count` things, as the items of a list in one line.
fn list(count: usize, item: impl Fn(usize) -> String) -> String {
    (0..count).map(item).collect::<Vec<_>>().join(", ")
}

#[test]
fn shares_of_shares_do_not_multiply() {
    let limits = list(32, |i| format!("{}/{}s", 1_000 + 10 * i, i + 1));
    let shares = list(32, |_| "50% of base".to_owned());
    let base = format!("  - {{ name: base, per: [a], limits: [{limits}] }}\n");
    let found = findings(&format!("{base}  - {{ name: r, per: [b], limits: [{shares}] }}\n"));
    assert!(found[0].contains("make more than 32 limits"), "{found:?}");
    let over = format!("overrides: [{{ match: {{ b: x }}, limits: [{shares}] }}]");
    let found = findings(&format!("{base}  - {{ name: r, per: [b], limits: 1/s, {over} }}\n"));
    assert!(found[0].contains("make more than 32 limits"), "{found:?}");
}

#[test]
fn overrides_that_many_rules_follow_are_bounded() {
    // One long list of values is as much as many overrides.
    let values = list(10_000, |i| format!("t{i}"));
    let over = format!("overrides: [{{ match: {{ tenant: [{values}] }}, limits: 5/s }}]");
    let base = format!("  - {{ name: base, per: [tenant], limits: 10/s, {over} }}\n");
    let share = |i| format!("  - {{ name: r{i}, per: [tenant, a{i}], limits: 50% of base }}\n");
    let of =
        |count: usize| findings(&format!("{base}{}", (0..count).map(share).collect::<String>()));
    assert_eq!(of(2), Vec::<String>::new());
    let found = of(110);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("more than 1000000 limits, overrides"), "{found:?}");
    // So are long limits of a rule's own beside the share.
    let overrides = list(200, |i| format!("{{ match: {{ tenant: t{i} }}, limits: 5/s }}"));
    let base =
        format!("  - {{ name: base, per: [tenant], limits: 10/s, overrides: [{overrides}] }}\n");
    let sum = vec!["a.n"; 500].join(" + ");
    let own = list(6, |i| format!("\"{sum} / {} s\"", i + 2));
    let rule = format!("  - {{ name: r, per: [tenant, a], limits: [{own}, 50% of base] }}\n");
    let found = with_tables(&table("a", 1), &format!("{base}{rule}"));
    assert!(found[0].contains("more than 1000000 limits, overrides"), "{found:?}");
}

#[test]
fn a_chain_of_shares_is_read_in_any_order() {
    let chain = |count: usize| -> Vec<String> {
        let of =
            |i: usize| format!("  - {{ name: r{i}, per: [a{i}], limits: 50% of r{} }}\n", i - 1);
        let first = "  - { name: r0, per: [z], limits: 1000000/s }\n".to_owned();
        std::iter::once(first).chain((1..=count).map(of)).collect()
    };
    let reversed = |mut chain: Vec<String>| {
        chain.reverse();
        chain.concat()
    };
    for text in [chain(16).concat(), reversed(chain(16))] {
        assert_eq!(findings(&text), Vec::<String>::new());
        let rules = rules(&text);
        let last = rules.iter().find(|rule| rule.name.value == "r16").unwrap();
        assert_eq!(last.limits.len(), 1);
    }
    for text in [chain(80).concat(), reversed(chain(80))] {
        let found = findings(&text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("more than 16 deep"), "{found:?}");
    }
}

#[test]
fn a_share_of_a_window_names_the_override_that_lacks_it() {
    let over = "overrides: [{ match: { tenant: acme }, limits: 5/s }]";
    let found = findings(&format!(
        "  - {{ name: base, per: [tenant], limits: 10/hour, {over} }}\n  - {{ name: r, per: \
         [tenant, x], limits: [80% of base/hour] }}\n"
    ));
    assert_eq!(found.len(), 1, "{found:?}");
    let told = "the override of `base` where tenant is `acme` has no limit with this window";
    assert!(found[0].contains(told), "{found:?}");
}

/// A table with this name, of `count` rows with the field `n`.
fn table(name: &str, count: usize) -> String {
    format!("  {name}: {{ default: {{ n: 1 }}, {} }}\n", list(count, |i| format!("v{i}: {{}}")))
}

fn with_tables(tables: &str, rules: &str) -> Vec<String> {
    check(&format!("domain: d\ntables:\n{tables}rules:\n{rules}")).1
}

#[test]
fn amounts_are_counted_over_all_tables_that_a_rule_and_its_overrides_ask() {
    let tables: String = ["a", "b", "c"].map(|name| table(name, 101)).concat();
    // Each limit asks one table, all together ask three: 102 * 102 * 102 values for each.
    let over = "overrides: [{ match: { a: v1 }, limits: [b.n/s] }, \
                { match: { a: v2 }, limits: [c.n/s] }]";
    let found = with_tables(
        &tables,
        &format!("  - {{ name: r, per: [a, b, c], limits: a.n/s, {over} }}\n"),
    );
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("have more than 1000000 values"), "{found:?}");
    let apart =
        "  - { name: x, per: [a], limits: a.n/s }\n  - { name: y, per: [b], limits: b.n/s }\n";
    assert_eq!(with_tables(&tables, apart), Vec::<String>::new());
}

#[test]
fn the_steps_of_amounts_are_counted_before_they_are_taken() {
    let sum = vec!["a.n"; 300].join(" + ");
    let limits = list(32, |i| format!("\"{sum} / {} s\"", i + 1));
    let found = with_tables(
        &table("a", 2_000),
        &format!("  - {{ name: r, per: [a], limits: [{limits}] }}\n"),
    );
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("take more than 20000000 steps"), "{found:?}");
    // What rows a rule meets takes work too: here each row is held against each value.
    let values = list(5_000, |i| format!("x{i}"));
    let rows = list(5_000, |i| format!("v{i}: {{ m: 1 }}"));
    let rule = format!("  - {{ name: r, per: [a], match: {{ a: [{values}] }}, limits: a.n/s }}\n");
    let found = with_tables(&format!("  a: {{ y: {{ n: 1 }}, {rows} }}\n"), &rule);
    assert!(found[0].contains("take more than 20000000 steps"), "{found:?}");
}

#[test]
fn a_table_file_is_held_once_and_counted_for_each_name() {
    let load = |names: usize, rows: usize| {
        let tables = list(names, |i| format!("t{i}: {{ file: rows.yaml }}"));
        let text =
            format!("domain: d\ntables: {{ {tables} }}\nrules: [{{ name: r, limits: 1/s }}]\n");
        let rows = list(rows, |i| format!("v{i}: {{}}"));
        let rows = format!("{{ default: {{ plan: free }}, {rows} }}");
        let sources = [("p.yaml", text), ("rows.yaml", rows)]
            .map(|(name, text)| Source { name: name.to_owned(), text });
        read(&sources)
    };
    let (policies, found) = load(2, 10);
    assert!(found.is_empty(), "{found:?}");
    let Body::Native(native) = &policies[0].body else { panic!("a native policy") };
    let [one, other] = native.tables.as_slice() else { panic!("two tables") };
    assert!(std::sync::Arc::ptr_eq(&one.rows, &other.rows));
    let (_, found) = load(101, 10_000);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].message, "the tables of this policy have more than 1000000 rows");
}

#[test]
fn the_row_default_does_not_fill_a_table_without_end() {
    let fields = list(1_500, |i| format!("f{i}: 1"));
    let rows = list(1_500, |i| format!("v{i}: {{}}"));
    let table = format!("  a: {{ default: {{ {fields} }}, {rows} }}\n");
    let found = with_tables(&table, "  - { name: r, limits: 1/s }\n");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("more than 2000000 fields"), "{found:?}");
}

#[test]
fn attributes_are_counted_wherever_they_are_named() {
    let when = |i| format!("a{i} == '1'");
    let whens: String = (0..1_001)
        .map(|i| format!("  - {{ name: r{i}, when: \"{}\", limits: 1/s }}\n", when(i)))
        .collect();
    let costs: String =
        (0..1_001).map(|i| format!("  - {{ name: r{i}, cost: a{i}, limits: 1/s }}\n")).collect();
    let over = |i| format!("{{ match: {{ a{i}: x }}, limits: 2/s }}");
    let overrides = format!("  - {{ name: r, limits: 1/s, overrides: [{}] }}\n", list(1_001, over));
    for rules in [whens, costs, overrides] {
        let found = findings(&rules);
        let is_told = found.iter().any(|line| line.contains("more than 1000 attributes"));
        assert!(is_told, "{:?}", &found[..found.len().min(3)]);
    }
}

#[test]
fn exemptions_name_fields_that_there_are() {
    let text = "domain: d\ntables: { shop: { default: { kind: small } } }\nrules: []\n\
                load: { exempt: [{ shop.knd: big }, { tenant.plan: paid }, { shop.kind: big }] }\n";
    let (_, found) = check(text);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("no row of the table `shop` has `knd`"), "{found:?}");
    assert!(found[1].contains("`tenant.plan` is matched by an entry"), "{found:?}");
}

#[test]
fn an_override_that_is_only_not_unlimited_has_no_limits() {
    let found = findings(
        "  - { name: r, limits: 1/s, overrides: [{ match: { a: x }, unlimited: false }] }\n",
    );
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("this override has no limits"), "{found:?}");
}

#[test]
fn one_counter_for_several_amounts_is_a_warning() {
    let found =
        |rule: &str| with_tables(&table("tenant", 2), &format!("  - {{ name: r, {rule} }}\n"));
    for (rule, hint) in [
        ("limits: tenant.n/s", "write `per: [tenant]`"),
        ("per: [user], limits: tenant.n/s", "write `per: [tenant, user]`"),
        (
            "match: { tenant: [v0, v1] }, limits: [tenant.n/s, 2 * tenant.n/m]",
            "write `per: [tenant]`",
        ),
    ] {
        let found = found(rule);
        assert_eq!(found.len(), 1, "{rule}: {found:?}");
        assert!(found[0].contains(hint), "{rule}: {found:?}");
    }
    for rule in [
        "per: [tenant], limits: tenant.n/s",
        "per: [tenant.n], limits: tenant.n/s",
        "match: { tenant: v1 }, limits: tenant.n/s",
        "match: { tenant: [v1] }, limits: tenant.n/s",
        "limits: 1/s, overrides: [{ match: { tenant: v1 }, limits: tenant.n/s }]",
    ] {
        assert_eq!(found(rule), Vec::<String>::new(), "{rule}");
    }
}
