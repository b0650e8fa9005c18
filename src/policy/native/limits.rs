//! Reads `limits`: the short form `100/10s`, and the long form `{ amount: 100, window: 10s }`.
//!
//! Both forms of one limit read to the same value, so they name the same counter.

use crate::limit::{Share, Unit, Window};
use crate::policy::findings::{Fields, Findings, Keys, Standing, one_or_more, shown};
use crate::policy::formula;
use crate::policy::model::{Amount, Counting, Limit, Placed, ShareOf};
use crate::policy::native::calendar;
use crate::policy::suggest;
use crate::policy::units::{self, LEASE, UNEVEN, UNEVEN_HINT};
use crate::time::Span;
use crate::yaml::{Node, Value};

pub(super) const LIMIT_KEYS: &Keys = &[
    ("amount", Standing::Read),
    ("window", Standing::Read),
    ("kind", Standing::Read),
    ("timezone", Standing::Read),
    ("anchor", Standing::Read),
    ("burst", Standing::Read),
    ("lease", Standing::Read),
    ("charge", Standing::Elsewhere("put it on the rule, beside `limits`")),
    ("mode", Standing::Elsewhere("put it on the rule, beside `limits`")),
    ("per", Standing::Elsewhere("put it on the rule, beside `limits`")),
    ("match", Standing::Elsewhere("put it on the rule, beside `limits`")),
    ("name", Standing::Elsewhere("put it on the rule, beside `limits`")),
    ("cost", Standing::Elsewhere("put it on the rule, beside `limits`")),
    ("resume_below", Standing::Elsewhere("put it on the rule, beside `limits`")),
    ("unlimited", Standing::Elsewhere("write `unlimited: true` on the rule")),
];

/// Every request of a rule is held against all of its limits.
pub(super) const MOST_LIMITS: usize = 32;

const HINT: &str = "write an amount per window, as in `1000/minute`";

/// The limits of one rule, or of one override of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Limits {
    pub(super) own: Vec<Placed<Limit>>,
    pub(super) shares: Vec<Placed<ShareOf>>,
}

pub(super) fn read(findings: &mut Findings, node: &Node, resume_below: Option<Share>) -> Limits {
    if let Value::Sequence(items) = &node.value
        && items.is_empty()
    {
        findings.error("empty-list", &node.bytes, "this list has no limits", HINT);
    }
    read_all(findings, node, one_or_more(node), resume_below)
}

/// The limits of `items`, which are a part of `node`.
pub(super) fn read_all(
    findings: &mut Findings,
    node: &Node,
    mut items: &[Node],
    resume_below: Option<Share>,
) -> Limits {
    if items.len() > MOST_LIMITS {
        let message = format!("a rule cannot have more than {MOST_LIMITS} limits");
        findings.error("too-many-items", &node.bytes, message, "keep those that matter");
        items = &items[..MOST_LIMITS];
    }
    let mut limits = Limits::default();
    while let Some((item, rest)) = items.split_first() {
        let (parts, text) = torn_apart(items);
        if let Some(last) = rest.get(parts.wrapping_sub(2)) {
            let message = "in YAML this ends at the comma";
            let hint = format!("quote the whole of it: `{text:?}`");
            findings.error("bad-limit", &(item.bytes.start..last.bytes.end), message, hint);
            items = &items[parts..];
            continue;
        }
        items = rest;
        match read_limit(findings, item) {
            Some(Written::Own(mut limit)) => {
                limit.resume_below = resume_below;
                limits.own.push(findings.placed(limit, item));
            }
            Some(Written::Share(mut share)) => {
                share.resume_below = resume_below;
                limits.shares.push(findings.placed(share, item));
            }
            None => {}
        }
    }
    limits
}

/// How many items a formula with commas has become, and what it was; 1 for what is whole.
fn torn_apart(items: &[Node]) -> (usize, String) {
    let mut text = String::new();
    for (item, parts) in items.iter().zip(1..) {
        let Some(scalar) = item.scalar().filter(|scalar| !scalar.quoted) else { break };
        text.push_str(if parts == 1 { "" } else { ", " });
        text.push_str(&scalar.text);
        let count = |mark: char| text.matches(mark).count();
        if count('(') <= count(')') {
            return (parts, text);
        }
    }
    (1, text)
}

enum Written {
    Own(Limit),
    Share(ShareOf),
}

fn read_limit(findings: &mut Findings, node: &Node) -> Option<Written> {
    let limit = if let Value::Mapping(_) = &node.value {
        match read_long(findings, node)? {
            Written::Own(limit) => limit,
            share @ Written::Share(_) => return Some(share),
        }
    } else {
        let text = &findings.text(node, "a limit", HINT)?.text;
        if let Some((share, rule)) = split_share(text) {
            return read_share(findings, node, share, rule).map(Written::Share);
        }
        match units::limit(text) {
            Ok(limit) => limit,
            Err(misread) => {
                findings.misread(node, misread);
                return None;
            }
        }
    };
    if limit.amount == Amount::Number(0) {
        let hint = "this is right only if every request it applies to is to be denied";
        findings.warning("zero-amount", &node.bytes, "an amount of 0 admits nothing", hint);
    }
    Some(Written::Own(limit))
}

/// `80% of RULE`, cut in two.
fn split_share(text: &str) -> Option<(&str, &str)> {
    let (share, rest) = text.split_once('%')?;
    let rule = rest.trim_start().strip_prefix("of")?;
    let is_word = rule.starts_with(char::is_whitespace);
    is_word.then(|| (&text[..=share.len()], rule.trim()))
}

fn read_share(findings: &mut Findings, node: &Node, share: &str, rule: &str) -> Option<ShareOf> {
    let share = formula::share(share).map_err(|misread| findings.misread(node, misread)).ok()?;
    if rule.is_empty() {
        let message = "a share of which rule?";
        findings.error("bad-limit", &node.bytes, message, "write `80% of RULE`");
        return None;
    }
    let rule = findings.placed(rule.to_owned(), node);
    Some(ShareOf { share, rule, resume_below: None })
}

fn read_long(findings: &mut Findings, node: &Node) -> Option<Written> {
    let fields = findings.fields(node, "a limit", LIMIT_KEYS)?;
    let hint = "write `{ amount: 100, window: 10s }`, or `100/10s` for short";
    let amount = findings.require(&fields, "amount", ("this limit", node), hint);
    if let Some(amount) = amount
        && let Some((share, rule)) = amount.scalar().and_then(|it| split_share(&it.text))
    {
        return read_long_share(findings, &fields, amount, (share, rule)).map(Written::Share);
    }
    let amount = amount.and_then(|node| {
        let hint = "write a whole number, or a formula such as `100 * tenant.units`";
        let scalar = findings.text(node, "an amount", hint)?;
        let amount = units::amount_or_formula(&scalar.text);
        amount.map_err(|misread| findings.misread(node, misread)).ok()
    });
    let word = match fields.value("kind") {
        None => Some(Word::Fixed),
        Some(node) => read_word(findings, node),
    };
    let burst = fields.value("burst").map(|node| (node, read_burst(findings, node)));
    let lease = fields.value("lease").map(|node| (node, read_lease(findings, node)));
    let counting = match word? {
        Word::Concurrent => {
            refuse_windowed(findings, &fields);
            Counting::Concurrent { lease: lease.map_or(Some(LEASE), |(_, lease)| lease)? }
        }
        word => {
            if let Some((node, _)) = lease {
                let hint = "add `kind: concurrent`, or remove `lease`";
                findings.error(
                    "conflict",
                    &node.bytes,
                    "only a concurrent limit has a `lease`",
                    hint,
                );
            }
            let window = findings.require(&fields, "window", ("this limit", node), hint);
            read_counting(findings, &fields, word, window, burst)?
        }
    };
    Some(Written::Own(Limit { amount: amount?, counting, resume_below: None }))
}

/// A share in the long form may name the window of the limit that it is a share of.
fn read_long_share(
    findings: &mut Findings,
    fields: &Fields<'_>,
    amount: &Node,
    (share, rule): (&str, &str),
) -> Option<ShareOf> {
    for name in ["kind", "timezone", "anchor", "burst", "lease"] {
        if let Some(key) = fields.key(name) {
            let message = format!("a share takes its `{name}` from the other rule's limit");
            findings.error("conflict", &key.bytes, message, "remove it");
        }
    }
    let rule = match fields.value("window").and_then(|window| window.scalar()) {
        Some(window) => format!("{rule}/{}", window.text),
        None => rule.to_owned(),
    };
    read_share(findings, amount, share, &rule)
}

/// What is held at a time has no window and nothing that belongs to one.
fn refuse_windowed(findings: &mut Findings, fields: &Fields<'_>) {
    for name in ["window", "burst", "timezone", "anchor"] {
        if let Some(key) = fields.key(name) {
            let message = format!("a concurrent limit has no `{name}`");
            let hint = match name {
                "window" => "remove it; `lease: 60s` says how long a slot is held at most",
                _ => "remove it",
            };
            findings.error("conflict", &key.bytes, message, hint);
        }
    }
}

fn read_counting(
    findings: &mut Findings,
    fields: &Fields<'_>,
    word: Word,
    window: Option<&Node>,
    burst: Option<(&Node, Option<u64>)>,
) -> Option<Counting> {
    let written = window?;
    let scalar = findings.text(written, "a window", "write a span, as in `10s` or `month`")?;
    let window =
        units::window(&scalar.text).map_err(|misread| findings.misread(written, misread)).ok()?;
    let counting = match (word, burst) {
        (Word::Bucket, None) => Counting::Bucket { window, burst: None },
        (Word::Bucket, Some((_, burst))) => Counting::Bucket { window, burst: Some(burst?) },
        (Word::Fixed | Word::Rolling | Word::Concurrent, Some((node, _))) => {
            let hint = "add `kind: bucket`, or remove `burst`";
            findings.error("conflict", &node.bytes, "only a bucket has a `burst`", hint);
            return None;
        }
        (Word::Rolling, None) => Counting::Rolling(window),
        (Word::Fixed | Word::Concurrent, None) => Counting::Fixed(window),
    };
    let is_even = !matches!(window.unit, Unit::Month | Unit::Year);
    if word != Word::Fixed && !is_even {
        findings.error("bad-window", &written.bytes, UNEVEN, UNEVEN_HINT);
        return None;
    }
    let window = calendar::read(findings, fields, word.name(), window)?;
    Some(match counting {
        Counting::Fixed(_) => Counting::Fixed(window),
        counting => counting,
    })
}

/// The kinds of limits as written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Fixed,
    Rolling,
    Bucket,
    Concurrent,
}

impl Word {
    const fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Rolling => "rolling",
            Self::Bucket => "bucket",
            Self::Concurrent => "concurrent",
        }
    }
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

pub(super) fn read_lease(findings: &mut Findings, node: &Node) -> Option<Span> {
    let hint = "write a span, as in `60s`: how long a slot is held if nobody gives it back";
    let scalar = findings.text(node, "a span of time", hint)?;
    let span = units::span(&scalar.text).map_err(|misread| findings.misread(node, misread)).ok();
    span.map(Window::nominal_span)
}

fn read_word(findings: &mut Findings, node: &Node) -> Option<Word> {
    let kinds = ["fixed", "rolling", "bucket", "concurrent"];
    let scalar = findings.text(node, "a kind of limit", &suggest::one_of(&kinds))?;
    match scalar.text.as_str() {
        "fixed" => Some(Word::Fixed),
        "rolling" => Some(Word::Rolling),
        "bucket" => Some(Word::Bucket),
        "concurrent" => Some(Word::Concurrent),
        other => {
            let message = format!("{} is not a kind of limit", shown(other));
            findings.error("unknown-word", &node.bytes, message, suggest::hint(other, &kinds));
            None
        }
    }
}
