//! Reads `load`: what a domain can carry, when it warns and sheds, who is never shed, and the
//! headers that tell.
//!
//! Thresholds that are read rise: `warn`, `throttle`, `shed`.

use crate::limit::Unit;
use crate::policy::findings::{Fields, Findings, Keys, Standing, one_or_more, shown};
use crate::policy::model::{
    Amount, Capacity, Condition, Counting, Load, LoadHeaders, Mode, Thresholds,
};
use crate::policy::native::limits::read_lease;
use crate::policy::native::pattern::{self, Base};
use crate::policy::units::{self, LEASE};
use crate::yaml::{Node, Value};

const LOAD_KEYS: &Keys = &[
    ("capacity", Standing::Read),
    ("warn", Standing::Read),
    ("throttle", Standing::Read),
    ("shed", Standing::Read),
    ("exempt", Standing::Read),
    ("headers", Standing::Read),
    ("in_flight", Standing::Elsewhere("write `capacity: { in_flight: 200 }`")),
    ("lease", Standing::Elsewhere("write `capacity: { in_flight: 200, lease: 60s }`")),
    ("mode", Standing::Elsewhere("put it at the top, beside `load`")),
    ("per", Standing::Elsewhere("load is that of the whole domain; limits count per attribute")),
    ("match", Standing::Elsewhere("say who is not shed: `exempt: [{ endpoint: /checkout/** }]`")),
];

const CAPACITY_KEYS: &Keys = &[
    ("in_flight", Standing::Read),
    ("lease", Standing::Read),
    ("amount", Standing::Elsewhere("write a rate in short: `capacity: 1000/second`")),
    ("window", Standing::Elsewhere("write a rate in short: `capacity: 1000/second`")),
];

const HEADER_KEYS: &Keys = &[("load", Standing::Read), ("status", Standing::Read)];

/// Every request is held against all of them.
const MOST_EXEMPT: usize = 100;
/// Longer names help nobody.
const MOST_IN_NAME: usize = 100;

const CAPACITY_HINT: &str = "write `1000/second`, or `{ in_flight: 200 }`";
const EXEMPT_HINT: &str = "write `exempt: [{ endpoint: /checkout/** }]`";
const HEADERS_HINT: &str = "write `headers: { load: x-load, status: x-load-status }`, or `off`";
const NAME_HINT: &str = "write lower-case letters, digits, `-` and `_`, as in `x-load`; or `off`";

const THRESHOLDS: [(&str, u8); 3] = [("warn", 80), ("throttle", 90), ("shed", 100)];

/// Headers that mean something else to whoever reads the answer.
const TAKEN: [&str; 8] = [
    "connection",
    "content-length",
    "content-type",
    "date",
    "retry-after",
    "server",
    "set-cookie",
    "transfer-encoding",
];

pub(super) fn read(
    findings: &mut Findings,
    node: &Node,
    base: Base<'_>,
    mode: Mode,
) -> Option<Load> {
    let fields = findings.fields(node, "`load`", LOAD_KEYS)?;
    let capacity = fields.value("capacity").and_then(|node| read_capacity(findings, node));
    let thresholds = read_thresholds(findings, &fields);
    let exempt =
        fields.value("exempt").map_or_else(Vec::new, |node| read_exempt(findings, node, base));
    let headers = read_headers(findings, fields.value("headers"));
    Some(Load { capacity, thresholds, exempt, headers, mode })
}

fn read_capacity(findings: &mut Findings, node: &Node) -> Option<Capacity> {
    let capacity = match &node.value {
        Value::Mapping(_) => read_in_flight(findings, node)?,
        Value::Scalar(_) | Value::Sequence(_) => read_rate(findings, node)?,
    };
    if capacity.amount == 0 {
        let message = "a capacity of 0 carries nothing";
        findings.error("bad-amount", &node.bytes, message, CAPACITY_HINT);
        return None;
    }
    Some(capacity)
}

fn read_in_flight(findings: &mut Findings, node: &Node) -> Option<Capacity> {
    let fields = findings.fields(node, "a capacity", CAPACITY_KEYS)?;
    let lease = match fields.value("lease") {
        Some(node) => read_lease(findings, node),
        None => Some(LEASE),
    };
    let amount = findings.require(&fields, "in_flight", ("this capacity", node), CAPACITY_HINT)?;
    let hint = "write how many requests are under way when all is busy, as in `200`";
    let scalar = findings.text(amount, "a number of requests", hint)?;
    let amount =
        units::amount(&scalar.text).map_err(|misread| findings.misread(amount, misread)).ok()?;
    Some(Capacity { amount, counting: Counting::Concurrent { lease: lease? } })
}

/// An amount per window, of which every interval is looked at.
fn read_rate(findings: &mut Findings, node: &Node) -> Option<Capacity> {
    let scalar = findings.text(node, "an amount per window", CAPACITY_HINT)?;
    let limit =
        units::limit(&scalar.text).map_err(|misread| findings.misread(node, misread)).ok()?;
    let (Counting::Fixed(window) | Counting::Rolling(window)) = limit.counting else {
        let message = "a capacity is an amount per window, or so many requests in flight";
        findings.error("bad-limit", &node.bytes, message, CAPACITY_HINT);
        return None;
    };
    let Amount::Number(amount) = limit.amount else {
        let message = "a capacity is that of the whole domain, whatever the rows of tables";
        findings.error("bad-amount", &node.bytes, message, "write a number: `1000/second`");
        return None;
    };
    if matches!(window.unit, Unit::Month | Unit::Year) {
        findings.error("bad-window", &node.bytes, units::UNEVEN, "write days, as in `30 days`");
        return None;
    }
    Some(Capacity { amount, counting: Counting::Rolling(window) })
}

/// A threshold that is not said has its default, and stands as high as that in the order.
fn read_thresholds(findings: &mut Findings, fields: &Fields<'_>) -> Thresholds {
    let errors_before = findings.errors();
    let [warn, throttle, shed] = THRESHOLDS.map(|(name, default)| {
        fields.value(name).and_then(|node| read_percent(findings, node)).unwrap_or(default)
    });
    let thresholds = Thresholds { warn, throttle, shed };
    if findings.errors() > errors_before {
        return thresholds;
    }
    for (low, high) in
        [(("warn", warn), ("throttle", throttle)), (("throttle", throttle), ("shed", shed))]
    {
        let written = fields.value(high.0).or_else(|| fields.value(low.0));
        if let Some(node) = written.filter(|_| low.1 > high.1) {
            let default = |name| if fields.misses(name) { ", as it is by default" } else { "" };
            let message = format!(
                "`{}` ({}{}) is above `{}` ({}{})",
                low.0,
                low.1,
                default(low.0),
                high.0,
                high.1,
                default(high.0)
            );
            let hint = format!("write `{}: {}` or less, or raise `{}`", low.0, high.1, high.0);
            findings.error("bad-percent", &node.bytes, message, hint);
        }
    }
    thresholds
}

fn read_percent(findings: &mut Findings, node: &Node) -> Option<u8> {
    let hint = "write a whole number from 1 to 100, as in `80`";
    let scalar = findings.text(node, "a percentage", hint)?;
    let number = scalar.text.strip_suffix('%').unwrap_or(&scalar.text).trim_end();
    let percent = number.parse::<u8>().ok().filter(|percent| (1..=100).contains(percent));
    if percent.is_none() {
        let message = format!("{} is no percentage of a capacity", shown(&scalar.text));
        findings.error("bad-percent", &node.bytes, message, hint);
    }
    percent
}

fn read_exempt(findings: &mut Findings, node: &Node, base: Base<'_>) -> Vec<Vec<Condition>> {
    let mut items = one_or_more(node);
    if items.len() > MOST_EXEMPT {
        let message = format!("more than {MOST_EXEMPT} exemptions");
        let hint = "put values of one attribute into a list: `{ endpoint: [/a/**, /b/**] }`";
        findings.error("too-many-items", &node.bytes, message, hint);
        items = &items[..MOST_EXEMPT];
    }
    let mut exempt = Vec::new();
    for item in items {
        let Value::Mapping(pairs) = &item.value else {
            findings.unexpected(item, "a mapping of attributes to patterns", EXEMPT_HINT);
            continue;
        };
        if pairs.is_empty() {
            let message = "this exempts every request, so nothing is ever shed";
            findings.error("never-applies", &item.bytes, message, EXEMPT_HINT);
            continue;
        }
        let errors_before = findings.errors();
        let conditions = pattern::read(findings, item, base);
        if findings.errors() == errors_before {
            exempt.push(conditions);
        }
    }
    exempt
}

fn read_headers(findings: &mut Findings, node: Option<&Node>) -> LoadHeaders {
    let name = |text: &str| Some(text.to_owned());
    let mut headers = LoadHeaders { load: name("x-load"), status: name("x-load-status") };
    let Some(node) = node else { return headers };
    if !matches!(node.value, Value::Mapping(_)) {
        if node.scalar().is_some_and(|scalar| scalar.text == "off") {
            return LoadHeaders { load: None, status: None };
        }
        findings.unexpected(node, "names of headers", HEADERS_HINT);
        return headers;
    }
    let Some(fields) = findings.fields(node, "`headers`", HEADER_KEYS) else { return headers };
    if let Some(node) = fields.value("load") {
        headers.load = read_header(findings, node);
    }
    if let Some(node) = fields.value("status") {
        headers.status = read_header(findings, node);
    }
    if headers.load.is_some() && headers.load == headers.status {
        let message = "the load and its status are two headers";
        findings.error("conflict", &node.bytes, message, "name them differently");
    }
    headers
}

/// `None` for none, and for what is no name.
fn read_header(findings: &mut Findings, node: &Node) -> Option<String> {
    let scalar = findings.text(node, "the name of a header", NAME_HINT)?;
    let text = scalar.text.as_str();
    if text == "off" {
        return None;
    }
    let is_of_name =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    if text.len() > MOST_IN_NAME || !text.bytes().all(is_of_name) {
        let message = format!("{} is no name of a header", shown(text));
        let lower = text.to_ascii_lowercase();
        let hint = match text.len() <= MOST_IN_NAME && lower.bytes().all(is_of_name) {
            true => format!("write `{lower}`; names of headers are lower-case"),
            false => NAME_HINT.to_owned(),
        };
        findings.error("bad-name", &node.bytes, message, hint);
        return None;
    }
    if TAKEN.contains(&text) || text.starts_with("x-ratelimit") || text.starts_with("ratelimit") {
        let message = format!("{} is a header with another meaning", shown(text));
        findings.error("bad-name", &node.bytes, message, "write a name of its own, as in `x-load`");
        return None;
    }
    Some(text.to_owned())
}
