//! Reads `timezone` and `anchor` of a limit.
//!
//! Only fixed windows of days and longer follow a calendar, so only they have either key; any fixed
//! window may begin with the first hit.

use crate::limit::{Anchor, Unit, Window, Zone};
use crate::policy::calendar;
use crate::policy::findings::{Fields, Findings, MOST_DIAGNOSTICS};
use crate::yaml::Node;

/// The window of a limit of this kind where its keys place it; `None` when one of them is wrong.
pub(super) fn read(
    findings: &mut Findings,
    fields: &Fields<'_>,
    kind: &str,
    window: Window,
) -> Option<Window> {
    if let Some(node) = fields.value("anchor")
        && node.scalar().is_some_and(|scalar| scalar.text == FIRST_HIT)
    {
        return from_first_hit(findings, fields, node, (kind, window));
    }
    let mut is_right = true;
    for name in ["timezone", "anchor"] {
        if let Some(key) = fields.key(name) {
            is_right &= may_have(findings, key, name, kind, window);
        }
    }
    if !is_right {
        return None;
    }
    let zone = match fields.value("timezone") {
        None => Some(Zone::UTC),
        Some(node) => read_zone(findings, node),
    };
    let anchor = match fields.value("anchor") {
        None => Some(None),
        Some(node) => read_anchor(findings, node, window.unit).map(Some),
    };
    let (zone, anchor) = (zone?, anchor?);
    Some(window.placed(zone, anchor))
}

/// How a policy says that windows begin with the first hit.
const FIRST_HIT: &str = "first-hit";

fn from_first_hit(
    findings: &mut Findings,
    fields: &Fields<'_>,
    anchor: &Node,
    (kind, window): (&str, Window),
) -> Option<Window> {
    let mut place = anchor;
    let (message, hint) = if kind != "fixed" {
        let message = format!("`anchor` is only for fixed windows, not a {kind} limit");
        (message, "remove `anchor`, or write `kind: fixed`")
    } else if let Some(timezone) = fields.key("timezone") {
        place = timezone;
        let message = "a window from the first hit follows no clock".to_owned();
        (message, "remove `timezone` or `anchor`")
    } else if matches!(window.unit, Unit::Month | Unit::Year) {
        let message = format!("a {} has no length of its own", window.unit.name());
        (message, "write days, as in `30 days`")
    } else {
        return Some(window.from_first_hit());
    };
    findings.error("conflict", &place.bytes, message, hint);
    None
}

fn may_have(findings: &mut Findings, key: &Node, name: &str, kind: &str, window: Window) -> bool {
    if kind != "fixed" {
        let message = format!("`{name}` is only for fixed windows, not a {kind} limit");
        let hint = format!("remove `{name}`, or write `kind: fixed`");
        findings.error("conflict", &key.bytes, message, hint);
        return false;
    }
    if !matches!(window.unit, Unit::Second | Unit::Minute | Unit::Hour) {
        return true;
    }
    let message = format!("`{name}` is only for windows of days, weeks, months and years");
    let seconds = window.nominal_span().seconds_floor();
    let days = seconds / Unit::Day.seconds();
    let hint = match (days, seconds.is_multiple_of(Unit::Day.seconds())) {
        (1, true) => "write `window: day`".to_owned(),
        (_, true) => format!("write `window: {days} days`"),
        (_, false) => {
            format!("remove `{name}`; shorter windows begin at the same times everywhere")
        }
    };
    findings.error("conflict", &key.bytes, message, hint);
    false
}

fn read_zone(findings: &mut Findings, node: &Node) -> Option<Zone> {
    let hint = "write a region, as in `Europe/Berlin`";
    let scalar = findings.text(node, "a time zone", hint)?;
    // Looking for what was meant is dear, so it is not done for ever.
    let is_looked_for = findings.errors() < MOST_DIAGNOSTICS;
    let zone = calendar::zone(&scalar.text, is_looked_for);
    zone.map_err(|misread| findings.misread(node, misread)).ok()
}

fn read_anchor(findings: &mut Findings, node: &Node, unit: Unit) -> Option<Anchor> {
    let hint =
        "write where windows begin, as in `06:00`, `monday`, `15`, `2026-01-15` or `first-hit`";
    let scalar = findings.text(node, "an anchor", hint)?;
    let anchor = calendar::anchor(&scalar.text, unit);
    anchor.map_err(|misread| findings.misread(node, misread)).ok()
}
