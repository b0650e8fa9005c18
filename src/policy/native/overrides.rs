//! Reads `overrides`: other limits for some requests of a rule, for a while and for a reason.
//!
//! The first override that applies stands in for the rule's limits; its counters are the same.

use std::collections::HashMap;

use jiff::civil::Date;

use crate::limit::Share;
use crate::policy::findings::{Findings, Keys, Standing, shown};
use crate::policy::model::{Condition, Override, Pattern, Place};
use crate::policy::native::{limits, pattern, pattern::Base};
use crate::time::Timestamp;
use crate::yaml::{Node, Value};

pub(super) const OVERRIDE_KEYS: &Keys = &[
    ("match", Standing::Read),
    ("limits", Standing::Read),
    ("unlimited", Standing::Read),
    ("until", Standing::Read),
    ("reason", Standing::Read),
    ("when", Standing::Elsewhere("say it in the override's `match`, or make it a rule of its own")),
    ("per", Standing::Elsewhere("an override counts as its rule does")),
    ("name", Standing::Elsewhere("an override goes by the name of its rule; give a `reason`")),
];

/// Of one rule.
const MOST_OVERRIDES: usize = 100_000;

pub(super) fn read(
    findings: &mut Findings,
    node: &Node,
    base: Base<'_>,
    resume_below: Option<Share>,
) -> Vec<Override> {
    let Value::Sequence(items) = &node.value else {
        let hint = "write a list: `- { match: { tenant: acme }, limits: [200/minute] }`";
        findings.unexpected(node, "a list of overrides", hint);
        return Vec::new();
    };
    if items.len() > MOST_OVERRIDES {
        let message = format!("a rule cannot have more than {MOST_OVERRIDES} overrides");
        let hint = "put the amounts into a table: `limits: [\"tenant.amount/day\"]`";
        findings.error("too-many-items", &node.bytes, message, hint);
        return Vec::new();
    }
    let read = |item| read_one(findings, item, base, resume_below);
    let overrides: Vec<Override> = items.iter().filter_map(read).collect();
    check_reach(findings, &overrides);
    overrides
}

/// What overrides with one condition and no end take for good.
#[derive(Default)]
struct Taken<'o> {
    texts: HashMap<&'o str, &'o Place>,
    /// Prefixes, and `present`, which is the prefix of everything.
    prefixes: Vec<(&'o str, &'o Place)>,
}

impl<'o> Taken<'o> {
    /// Each prefix is held against each text that comes after it.
    const MOST_PREFIXES: usize = 100;

    fn add(&mut self, pattern: &'o Pattern, place: &'o Place) {
        let prefix = match pattern {
            Pattern::Equals(text) => {
                self.texts.entry(text).or_insert(place);
                return;
            }
            Pattern::AnyOf(patterns) => return patterns.iter().for_each(|it| self.add(it, place)),
            Pattern::Prefix(prefix) => prefix.as_str(),
            Pattern::Present => "",
            Pattern::Not(_) | Pattern::Absent | Pattern::Endpoint(_) | Pattern::Network(_) => {
                return;
            }
        };
        if self.prefixes.len() < Self::MOST_PREFIXES {
            self.prefixes.push((prefix, place));
        }
    }

    /// Where all that a pattern holds for was taken, as far as its last part tells.
    fn find(&self, pattern: &Pattern) -> Option<&'o Place> {
        let by_prefix = |text: &str| {
            let taken = self.prefixes.iter().find(|(prefix, _)| text.starts_with(prefix));
            taken.map(|(_, place)| *place)
        };
        match pattern {
            Pattern::Equals(text) => {
                self.texts.get(text.as_str()).copied().or_else(|| by_prefix(text))
            }
            Pattern::Prefix(prefix) => by_prefix(prefix),
            Pattern::Present => by_prefix(""),
            Pattern::AnyOf(patterns) => {
                let places: Option<Vec<_>> = patterns.iter().map(|it| self.find(it)).collect();
                places?.last().copied()
            }
            Pattern::Not(_) | Pattern::Absent | Pattern::Endpoint(_) | Pattern::Network(_) => None,
        }
    }
}

/// An override behind one that takes all its requests.
fn check_reach(findings: &mut Findings, overrides: &[Override]) {
    let mut taken: HashMap<&str, Taken<'_>> = HashMap::new();
    for over in overrides {
        let covered = over.conditions.iter().find_map(|condition| {
            let place = taken.get(condition.attribute.value.as_str())?.find(&condition.pattern)?;
            Some((condition, place))
        });
        if let Some((Condition { attribute, pattern }, place)) = covered {
            let message = format!(
                "this override never applies: {pattern} of {} has one before it",
                shown(&attribute.value)
            );
            let hint = "the first that matches applies; put this one before it, or remove one";
            findings.warning("unreachable", &attribute.place.bytes, message, hint);
            findings.relate(&place.bytes, "the override before it");
        }
        if let ([condition], None) = (over.conditions.as_slice(), &over.until) {
            let taken = taken.entry(&condition.attribute.value).or_default();
            taken.add(&condition.pattern, &condition.attribute.place);
        }
    }
}

fn read_one(
    findings: &mut Findings,
    node: &Node,
    base: Base<'_>,
    resume_below: Option<Share>,
) -> Option<Override> {
    let fields = findings.fields(node, "an override", OVERRIDE_KEYS)?;
    let hint = "say for whom: `match: { tenant: acme }`";
    let matched = findings.require(&fields, "match", ("this override", node), hint);
    let conditions = matched.map_or_else(Vec::new, |node| pattern::read(findings, node, base));
    let unlimited = fields.value("unlimited").and_then(|node| findings.boolean(node));
    let limits = match (fields.value("limits"), unlimited) {
        (Some(_), Some(true)) => {
            let bytes = &fields.key("limits").unwrap_or(node).bytes;
            let message = "an unlimited override cannot have limits";
            findings.error("conflict", bytes, message, "remove `limits` or `unlimited`");
            return None;
        }
        (Some(node), _) => limits::read(findings, node, resume_below),
        (None, Some(true)) => limits::Limits::default(),
        (None, _) => {
            let says_limited = unlimited == Some(false);
            if fields.misses("limits") && (says_limited || fields.misses("unlimited")) {
                let start = node.bytes.start..node.bytes.start;
                let hint = "add `limits: [200/minute]`, or `unlimited: true`";
                findings.error("missing-key", &start, "this override has no limits", hint);
            }
            return None;
        }
    };
    let until = fields.value("until").and_then(|node| {
        let until = read_until(findings, node)?;
        Some(findings.placed(until, node))
    });
    if until.is_none() && fields.value("until").is_some() {
        return None;
    }
    let reason = fields
        .value("reason")
        .and_then(|node| findings.text(node, "a reason", "say why, for those who meet it later"));
    let reason = reason.map(|scalar| scalar.text.clone()).unwrap_or_default();
    Some(Override { conditions, limits: limits.own, shares: limits.shares, until, reason })
}

/// A day counts whole, in UTC.
fn read_until(findings: &mut Findings, node: &Node) -> Option<Timestamp> {
    let hint = "write a day, as in `2026-12-31`, or a moment, as in `2026-12-31T18:00:00Z`";
    let scalar = findings.text(node, "a day or a moment", hint)?;
    let day = scalar.text.parse::<Date>().ok().filter(|_| scalar.text.len() == 10);
    let end_of_day = day.and_then(|day| {
        let next = day.tomorrow().ok()?;
        next.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    });
    let moment = end_of_day.or_else(|| scalar.text.parse::<jiff::Timestamp>().ok());
    match moment.and_then(|moment| i64::try_from(moment.as_nanosecond()).ok()) {
        Some(nanos) => Some(Timestamp::from_nanos(nanos)),
        None => {
            let message = format!("{} is neither a day nor a moment", shown(&scalar.text));
            findings.error("bad-time", &node.bytes, message, hint);
            None
        }
    }
}
