//! Reads `endpoints`: the table of a published limits page, one row for each endpoint.
//!
//! Every row becomes a rule of its own that counts by itself; of the rows that match a request the
//! most specific one applies.

use std::collections::HashMap;

use crate::limit::Share;
use crate::policy::findings::{Fields, Findings, Keys, Standing, one_or_more, shown};
use crate::policy::model::{Condition, Pattern, Placed};
use crate::policy::native::limits::{self, Limits};
use crate::policy::native::pattern::Base;
use crate::policy::native::{doubt, endpoint};
use crate::policy::template::{Segment, Template};
use crate::policy::units;
use crate::yaml::{Node, Value};

pub(super) const ROW_KEYS: &Keys = &[
    ("method", Standing::Read),
    ("endpoint", Standing::Read),
    ("limits", Standing::Read),
    ("unlimited", Standing::Read),
    ("match", Standing::Elsewhere("put it on the rule, where it holds for all rows")),
    ("per", Standing::Elsewhere("put it on the rule, where it holds for all rows")),
    ("name", Standing::Elsewhere("a row goes by its method and template")),
];

const HINT: &str = "write a row as `[POST, /orders/{id}, 100/minute]`";

/// Of one table.
const MOST_ROWS: usize = 100_000;

/// One row: what it adds to its rule.
pub(super) struct EndpointRow {
    /// Method and template as written.
    pub(super) name: Placed<String>,
    pub(super) conditions: Vec<Condition>,
    pub(super) limits: Limits,
    pub(super) unlimited: bool,
    pub(super) rank: u32,
}

pub(super) fn read(
    findings: &mut Findings,
    node: &Node,
    base: Base<'_>,
    resume_below: Option<Share>,
) -> Vec<EndpointRow> {
    let Value::Sequence(items) = &node.value else {
        findings.unexpected(node, "a list of endpoints", HINT);
        return Vec::new();
    };
    if items.is_empty() || items.len() > MOST_ROWS {
        let message = match items.is_empty() {
            true => "this table has no endpoints".to_owned(),
            false => format!("a table cannot have more than {MOST_ROWS} endpoints"),
        };
        findings.error("empty-list", &node.bytes, message, HINT);
        return Vec::new();
    }
    let mut read: Vec<(Vec<u8>, EndpointRow)> = Vec::with_capacity(items.len());
    for item in items {
        read.extend(read_row(findings, item, base, resume_below));
    }
    check_templates(findings, &read);
    let mut order: Vec<usize> = (0..read.len()).collect();
    order.sort_by(|one, other| read[*one].0.cmp(&read[*other].0));
    for (position, rank) in order.into_iter().zip(0..) {
        read[position].1.rank = rank;
    }
    read.into_iter().map(|(_, row)| row).collect()
}

/// What a rule with a table of endpoints says in the rows.
pub(super) fn refuse_beside(findings: &mut Findings, fields: &Fields<'_>) {
    for (name, hint) in [
        ("limits", "write the limits into the rows: `[GET, /orders, 100/minute]`"),
        ("unlimited", "write it into a row: `[GET, /status, unlimited]`"),
        ("overrides", "make a rule of its own for the endpoint that is overridden"),
    ] {
        if let Some(key) = fields.key(name) {
            let message = format!("a rule has either `endpoints` or `{name}`");
            findings.error("conflict", &key.bytes, message, hint);
        }
    }
    let matched = fields.value("match").and_then(|node| node.member("endpoint"));
    if let Some(node) = matched {
        let message = "the rows of `endpoints` say which endpoint";
        let hint = "write `base: /v1/...` for what all rows begin with";
        findings.error("conflict", &node.bytes, message, hint);
    }
}

/// Rows that are written differently and are for the same requests: only the first of them counts.
fn check_templates(findings: &mut Findings, rows: &[(Vec<u8>, EndpointRow)]) {
    let mut firsts: HashMap<Vec<String>, &EndpointRow> = HashMap::new();
    for (_, row) in rows {
        let mut key: Vec<String> =
            row.conditions.iter().flat_map(|it| spelt(&it.pattern)).collect();
        key.sort_unstable();
        let Some(first) = firsts.get(&key) else {
            firsts.insert(key, row);
            continue;
        };
        // Two rows of one name are an error, which is found where names are.
        if first.name.value != row.name.value {
            let message = format!(
                "this row never applies: {} is the same as {}",
                shown(&row.name.value),
                shown(&first.name.value)
            );
            let hint =
                "keep one of the two; trailing slashes and the names of captures do not count";
            findings.warning("unreachable", &row.name.place.bytes, message, hint);
            findings.relate(&first.name.place.bytes, "the other row");
        }
    }
}

/// A template without the names of its captures, or methods.
fn spelt(pattern: &Pattern) -> Vec<String> {
    match pattern {
        Pattern::AnyOf(patterns) => patterns.iter().flat_map(spelt).collect(),
        Pattern::Endpoint(template) => {
            let segment = |segment: &Segment| match segment {
                Segment::Capture(_) => "/{}".to_owned(),
                Segment::Literal(text) => format!("/{text}"),
                Segment::Rest => "/**".to_owned(),
            };
            vec![format!("/{}", template.segments.iter().map(segment).collect::<String>())]
        }
        other => vec![other.to_string()],
    }
}

/// The parts of a row before they are read.
struct Parts<'n> {
    method: &'n Node,
    template: &'n Node,
    /// `None` where the row has a key `unlimited`.
    limits: Option<&'n [Node]>,
}

fn read_row(
    findings: &mut Findings,
    node: &Node,
    base: Base<'_>,
    resume_below: Option<Share>,
) -> Option<(Vec<u8>, EndpointRow)> {
    let parts = match &node.value {
        Value::Sequence(items) => match items.as_slice() {
            [method, template, limits @ ..] if !limits.is_empty() => {
                Parts { method, template, limits: Some(limits) }
            }
            _ => {
                let message = "a row has a method, a template and limits";
                findings.error("bad-row", &node.bytes, message, HINT);
                return None;
            }
        },
        Value::Mapping(_) => read_mapping(findings, node)?,
        Value::Scalar(_) => {
            findings.unexpected(node, "a row as a list or a mapping", HINT);
            return None;
        }
    };
    let methods = read_methods(findings, parts.method)?;
    let hint = "write the path that the limit is for, as in `/orders/{id}`";
    let text = findings.text(parts.template, "a path template", hint)?;
    let template = match endpoint::template(&text.text) {
        Ok(template) => template,
        Err(misread) => {
            findings.misread(parts.template, misread);
            return None;
        }
    };
    let name =
        format!("{} {}", methods.as_ref().map_or("*".to_owned(), |it| it.join(",")), text.text);
    let name = findings.placed(name, parts.template);
    let template = base.apply(findings, parts.template, template)?;
    let (limits, unlimited) = read_limits(findings, node, parts.limits, resume_below)?;
    let key = specificity(&template, methods.is_none());
    let attribute = |name: &str, node| findings.placed(name.to_owned(), node);
    let mut conditions = vec![Condition {
        attribute: attribute("endpoint", parts.template),
        pattern: Pattern::Endpoint(template),
    }];
    if let Some(methods) = methods {
        let mut patterns: Vec<Pattern> = methods.into_iter().map(Pattern::Equals).collect();
        let pattern = match patterns.len() {
            1 => patterns.remove(0),
            _ => Pattern::AnyOf(patterns),
        };
        conditions.push(Condition { attribute: attribute("method", parts.method), pattern });
    }
    Some((key, EndpointRow { name, conditions, limits, unlimited, rank: 0 }))
}

/// The limits of a row, or that it has none.
fn read_limits(
    findings: &mut Findings,
    row: &Node,
    limits: Option<&[Node]>,
    resume_below: Option<Share>,
) -> Option<(Limits, bool)> {
    let Some(limits) = limits else { return Some((Limits::default(), true)) };
    if let [only] = limits
        && only.scalar().is_some_and(|it| it.text.eq_ignore_ascii_case("unlimited"))
    {
        return Some((Limits::default(), true));
    }
    let says_none = |item: &&Node| item.scalar().is_some_and(|it| units::is_no_limit(&it.text));
    if let Some(item) = limits.iter().find(says_none) {
        let (message, hint) = match limits {
            [_] => ("a row without a limit says `unlimited`", "write `unlimited`"),
            _ => ("an unlimited row has no other limits", "remove it, or the limits beside it"),
        };
        findings.error("bad-limit", &item.bytes, message, hint);
        return None;
    }
    Some((limits::read_all(findings, row, limits, resume_below), false))
}

fn read_mapping<'n>(findings: &mut Findings, node: &'n Node) -> Option<Parts<'n>> {
    let fields = findings.fields(node, "a row", ROW_KEYS)?;
    let row = ("this row", node);
    let method =
        findings.require(&fields, "method", row, "write `method: GET`, or `\"*\"` for any");
    let template = findings.require(&fields, "endpoint", row, "write `endpoint: /orders/{id}`");
    let unlimited = fields.value("unlimited").and_then(|node| findings.boolean(node));
    let limits = match unlimited {
        Some(true) => None,
        _ => {
            let hint = "add `limits: [100/minute]`, or `unlimited: true`";
            Some(one_or_more(findings.require(&fields, "limits", row, hint)?))
        }
    };
    if let (None, Some(key)) = (limits, fields.key("limits")) {
        let message = "an unlimited row cannot have limits";
        findings.error("conflict", &key.bytes, message, "remove `limits` or `unlimited`");
    }
    Some(Parts { method: method?, template: template?, limits })
}

/// `None` inside is any method.
fn read_methods(findings: &mut Findings, node: &Node) -> Option<Option<Vec<String>>> {
    let hint = "write a method such as `GET`, a list of methods, or `\"*\"` for any";
    let names = findings.names(node, "a method", hint);
    if names.iter().any(|name| name.value == "*") {
        return Some(None);
    }
    let items = one_or_more(node);
    for (item, name) in items.iter().zip(&names) {
        if name.value.contains(['*', '/', ' ']) {
            let message = format!("{} is not a method", shown(&name.value));
            findings.error("bad-row", &item.bytes, message, hint);
            return None;
        }
        doubt::check_text(findings, item, &name.value, "method");
    }
    let names: Vec<String> = names.into_iter().map(|name| name.value).collect();
    if names.is_empty() { None } else { Some(Some(names)) }
}

/// Sorts the more specific before the less: what is written out before what is captured before the
/// rest, and a method before any.
fn specificity(template: &Template, is_any_method: bool) -> Vec<u8> {
    let weight = |segment: &Segment| match segment {
        Segment::Literal(_) => 0,
        Segment::Capture(_) => 1,
        Segment::Rest => 3,
    };
    let mut key: Vec<u8> = template.segments.iter().map(weight).collect();
    if template.segments.last() != Some(&Segment::Rest) {
        key.push(2);
    }
    key.push(u8::from(is_any_method));
    key
}
