//! Reads `limits`: the short form `100/10s`, and the long form `{ amount: 100, window: 10s }`.
//!
//! Both forms of one limit read to the same value, so they name the same counter.

use crate::limit::{Kind, Limit, Unit};
use crate::policy::findings::{Fields, Findings, Keys, Standing, one_or_more, shown};
use crate::policy::model::Placed;
use crate::policy::suggest;
use crate::policy::units;
use crate::yaml::{Node, Value};

const LIMIT_KEYS: &Keys = &[
    ("amount", Standing::Read),
    ("window", Standing::Read),
    ("kind", Standing::Read),
    ("timezone", Standing::Later("remove it; windows follow the calendar in UTC")),
    ("anchor", Standing::Later("remove it; windows begin where the calendar's do")),
    ("burst", Standing::Read),
    ("lease", Standing::Read),
    ("charge", Standing::Elsewhere("put it on the rule, beside `limits`")),
    ("mode", Standing::Elsewhere("put it on the rule, beside `limits`")),
    ("per", Standing::Elsewhere("put it on the rule, beside `limits`")),
    ("match", Standing::Elsewhere("put it on the rule, beside `limits`")),
    ("name", Standing::Elsewhere("put it on the rule, beside `limits`")),
    ("resume_below", Standing::Later("remove it")),
];

/// Every request of a rule is held against all of its limits.
const MOST_LIMITS: usize = 32;

const HINT: &str = "write an amount per window, as in `1000/minute`";

pub(super) fn read(findings: &mut Findings, node: &Node) -> Vec<Placed<Limit>> {
    if let Value::Sequence(items) = &node.value
        && items.is_empty()
    {
        findings.error("empty-list", &node.bytes, "this list has no limits", HINT);
    }
    let mut items = one_or_more(node);
    if items.len() > MOST_LIMITS {
        let message = format!("a rule cannot have more than {MOST_LIMITS} limits");
        findings.error("too-many-items", &node.bytes, message, "keep those that matter");
        items = &items[..MOST_LIMITS];
    }
    items.iter().filter_map(|item| read_limit(findings, item)).collect()
}

fn read_limit(findings: &mut Findings, node: &Node) -> Option<Placed<Limit>> {
    let limit = if let Value::Mapping(_) = &node.value {
        read_long(findings, node)?
    } else {
        let scalar = findings.text(node, "a limit", HINT)?;
        match units::limit(&scalar.text) {
            Ok(limit) => limit,
            Err(misread) => {
                findings.misread(node, misread);
                return None;
            }
        }
    };
    if limit.amount == 0 {
        let hint = "this is right only if every request it applies to is to be denied";
        findings.warning("zero-amount", &node.bytes, "an amount of 0 admits nothing", hint);
    }
    Some(findings.placed(limit, node))
}

fn read_long(findings: &mut Findings, node: &Node) -> Option<Limit> {
    let fields = findings.fields(node, "a limit", LIMIT_KEYS)?;
    if fields.value("kind").is_some_and(is_concurrent) {
        return read_concurrent(findings, node, &fields);
    }
    if let Some(node) = fields.value("lease") {
        let hint = "add `kind: concurrent`, or remove `lease`";
        findings.error("conflict", &node.bytes, "only a concurrency limit has a `lease`", hint);
        return None;
    }
    let hint = "write `{ amount: 100, window: 10s }`, or `100/10s` for short";
    let amount = findings.require(&fields, "amount", ("this limit", node), hint);
    let window = findings.require(&fields, "window", ("this limit", node), hint);
    let amount = amount.and_then(|node| {
        let scalar = findings.text(node, "an amount", "write a whole number")?;
        units::amount(&scalar.text).map_err(|misread| findings.misread(node, misread)).ok()
    });
    let window = window.and_then(|node| {
        let scalar = findings.text(node, "a window", "write a span, as in `10s` or `month`")?;
        let window = units::window(&scalar.text);
        Some((window.map_err(|misread| findings.misread(node, misread)).ok()?, node))
    });
    let word = match fields.value("kind") {
        None => Some(Word::Fixed),
        Some(node) => read_word(findings, node),
    };
    let burst = fields.value("burst").map(|node| (node, read_burst(findings, node)));
    let (word, amount, (window, written)) = (word?, amount?, window?);
    let kind = match (word, burst) {
        (Word::Bucket, None) => Kind::Bucket { window, burst: amount },
        (Word::Bucket, Some((_, burst))) => Kind::Bucket { window, burst: burst? },
        (Word::Fixed | Word::Rolling, Some((node, _))) => {
            let hint = "add `kind: bucket`, or remove `burst`";
            findings.error("conflict", &node.bytes, "only a bucket has a `burst`", hint);
            return None;
        }
        (Word::Fixed, None) => Kind::Fixed(window),
        (Word::Rolling, None) => Kind::Rolling(window),
    };
    let is_even = !matches!(window.unit, Unit::Month | Unit::Year);
    if !matches!(kind, Kind::Fixed(_)) && !is_even {
        let message =
            format!("months and years differ in length, and a {} limit has one", kind.name());
        let hint = "write days, as in `30 days`, or use `kind: fixed`, which follows the calendar";
        findings.error("bad-window", &written.bytes, message, hint);
        return None;
    }
    Some(Limit::new(amount, kind))
}

fn is_concurrent(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar(scalar) if scalar.text == "concurrent")
}

fn read_concurrent(findings: &mut Findings, node: &Node, fields: &Fields<'_>) -> Option<Limit> {
    for key in ["window", "burst"] {
        if let Some(node) = fields.value(key) {
            let message = format!("a concurrency limit has no `{key}`");
            let hint = "remove it; `lease` says for how long a slot is held at most";
            findings.error("conflict", &node.bytes, message, hint);
        }
    }
    let hint = "write `{ amount: 10, kind: concurrent }`, or `concurrent 10` for short";
    let amount = findings.require(fields, "amount", ("this limit", node), hint)?;
    let scalar = findings.text(amount, "an amount", "write a whole number")?;
    let amount =
        units::amount(&scalar.text).map_err(|misread| findings.misread(amount, misread)).ok()?;
    let lease = match fields.value("lease") {
        None => units::LEASE,
        Some(node) => {
            let scalar = findings.text(node, "a lease", "write a span, as in `60s` or `1h`")?;
            let span = units::span(&scalar.text);
            span.map_err(|misread| findings.misread(node, misread)).ok()?.nominal_span()
        }
    };
    Some(Limit::new(amount, Kind::Concurrent { lease }))
}

/// The kinds of limits as written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Fixed,
    Rolling,
    Bucket,
}

fn read_burst(findings: &mut Findings, node: &Node) -> Option<u64> {
    let hint = "write a whole number: how many hits may come at once";
    let scalar = findings.text(node, "a burst", hint)?;
    let burst =
        units::amount(&scalar.text).map_err(|misread| findings.misread(node, misread)).ok()?;
    if burst == 0 {
        findings.error("bad-amount", &node.bytes, "a burst of 0 admits nothing", hint);
        return None;
    }
    Some(burst)
}

fn read_word(findings: &mut Findings, node: &Node) -> Option<Word> {
    let scalar =
        findings.text(node, "a kind of limit", "write `kind: fixed`, `rolling` or `bucket`")?;
    match scalar.text.as_str() {
        "fixed" => Some(Word::Fixed),
        "rolling" => Some(Word::Rolling),
        "bucket" => Some(Word::Bucket),
        other => {
            let kinds = ["fixed", "rolling", "bucket", "concurrent"];
            let message = format!("{} is not a kind of limit", shown(other));
            findings.error("unknown-word", &node.bytes, message, suggest::hint(other, &kinds));
            None
        }
    }
}
