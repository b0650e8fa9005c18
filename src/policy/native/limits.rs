//! Reads `limits`: the short form `100/10s`, and the long form `{ amount: 100, window: 10s }`.
//!
//! Both forms of one limit read to the same value, so they name the same counter.

use crate::limit::{Kind, Limit};
use crate::policy::findings::{Findings, Keys, Standing, one_or_more, shown};
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
    (
        "burst",
        Standing::Later("remove it; use a short window beside a long one, as in `[20/s, 600/m]`"),
    ),
    ("lease", Standing::Later("remove it; limit requests per window instead")),
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
    let kind = match fields.value("kind") {
        None => Some(Kind::Fixed),
        Some(node) => read_kind(findings, node),
    };
    let hint = "write `{ amount: 100, window: 10s }`, or `100/10s` for short";
    let amount = findings.require(&fields, "amount", ("this limit", node), hint);
    let window = findings.require(&fields, "window", ("this limit", node), hint);
    let amount = amount.and_then(|node| {
        let scalar = findings.text(node, "an amount", "write a whole number")?;
        units::amount(&scalar.text).map_err(|misread| findings.misread(node, misread)).ok()
    });
    let window = window.and_then(|node| {
        let scalar = findings.text(node, "a window", "write a span, as in `10s` or `month`")?;
        units::window(&scalar.text).map_err(|misread| findings.misread(node, misread)).ok()
    });
    Some(Limit { amount: amount?, window: window?, kind: kind? })
}

fn read_kind(findings: &mut Findings, node: &Node) -> Option<Kind> {
    let scalar = findings.text(node, "a kind of limit", "write `kind: fixed`, or leave it out")?;
    match scalar.text.as_str() {
        "fixed" => Some(Kind::Fixed),
        "rolling" | "bucket" | "concurrent" => {
            let message =
                format!("the kind `{}` is not supported by this version yet", scalar.text);
            let hint = "use `kind: fixed`, which is the default";
            findings.error("not-supported", &node.bytes, message, hint);
            None
        }
        other => {
            let kinds = ["fixed", "rolling", "bucket", "concurrent"];
            let message = format!("{} is not a kind of limit", shown(other));
            findings.error("unknown-word", &node.bytes, message, suggest::hint(other, &kinds));
            None
        }
    }
}
