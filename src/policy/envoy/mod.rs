//! Reads the envoyproxy/ratelimit `descriptors:` document with that server's meaning.
//!
//! What that server refuses is refused; what it lets pass without effect (keys in the wrong place,
//! wildcards that nothing reaches) is reported. Texts count as written, so `010` stays `010`.

mod level;
mod metadata;
mod yaml_1_1;

pub(super) use level::{label, value_text};

use crate::limit::{Kind, Limit, Unit, Window};
use crate::policy::findings::{Fields, Findings, Keys, Standing, shown};
use crate::policy::model::{Body, Node as Descriptor, NodeLimit, NodeValue, Placed, Policy};
use crate::policy::native;
use crate::policy::suggest;
use crate::yaml::{Node, Value};

const IN_RATE_LIMIT: Standing = Standing::Elsewhere("put it into the `rate_limit` of a descriptor");
const IN_DESCRIPTOR: Standing =
    Standing::Elsewhere("put it on the descriptor, beside `rate_limit`");
const AT_THE_TOP: Standing = Standing::Elsewhere("put it at the top, beside `descriptors`");
const IN_A_DESCRIPTOR: Standing = Standing::Elsewhere("put it into a descriptor: `- key: ...`");

const DOCUMENT_KEYS: &Keys = &[
    ("domain", Standing::Read),
    ("descriptors", Standing::Read),
    ("key", IN_A_DESCRIPTOR),
    ("value", IN_A_DESCRIPTOR),
    ("rate_limit", IN_A_DESCRIPTOR),
    ("shadow_mode", IN_A_DESCRIPTOR),
    ("quota_mode", IN_A_DESCRIPTOR),
    ("detailed_metric", IN_A_DESCRIPTOR),
    ("value_to_metric", IN_A_DESCRIPTOR),
    ("share_threshold", IN_A_DESCRIPTOR),
    ("metadata", IN_A_DESCRIPTOR),
    ("unit", IN_RATE_LIMIT),
    ("requests_per_unit", IN_RATE_LIMIT),
    ("unlimited", IN_RATE_LIMIT),
    ("name", IN_RATE_LIMIT),
    ("replaces", IN_RATE_LIMIT),
];

const DESCRIPTOR_KEYS: &Keys = &[
    ("key", Standing::Read),
    ("value", Standing::Read),
    ("descriptors", Standing::Read),
    ("rate_limit", Standing::Read),
    ("shadow_mode", Standing::Read),
    ("share_threshold", Standing::Read),
    ("quota_mode", Standing::Read),
    ("detailed_metric", Standing::Read),
    ("value_to_metric", Standing::Read),
    ("metadata", Standing::Read),
    ("domain", AT_THE_TOP),
    ("unit", IN_RATE_LIMIT),
    ("requests_per_unit", IN_RATE_LIMIT),
    ("unlimited", IN_RATE_LIMIT),
    ("name", IN_RATE_LIMIT),
    ("replaces", IN_RATE_LIMIT),
];

const RATE_LIMIT_KEYS: &Keys = &[
    ("unit", Standing::Read),
    ("requests_per_unit", Standing::Read),
    ("unlimited", Standing::Read),
    ("name", Standing::Read),
    ("replaces", Standing::Read),
    ("domain", AT_THE_TOP),
    ("key", IN_DESCRIPTOR),
    ("value", IN_DESCRIPTOR),
    ("descriptors", IN_DESCRIPTOR),
    ("shadow_mode", IN_DESCRIPTOR),
    ("share_threshold", IN_DESCRIPTOR),
    ("quota_mode", IN_DESCRIPTOR),
    ("detailed_metric", IN_DESCRIPTOR),
    ("value_to_metric", IN_DESCRIPTOR),
    ("metadata", IN_DESCRIPTOR),
];

const REPLACES_KEYS: &Keys = &[("name", Standing::Read)];

/// Every table of keys, by the definition that the schema has for it.
#[cfg(test)]
pub(super) const KEY_TABLES: &[(&str, &Keys)] = &[
    ("document", DOCUMENT_KEYS),
    ("descriptor", DESCRIPTOR_KEYS),
    ("rate_limit", RATE_LIMIT_KEYS),
    ("replaced", REPLACES_KEYS),
];

pub(super) fn read(findings: &mut Findings, document: &Node) -> Option<Policy> {
    let fields = findings.fields(document, "a policy", DOCUMENT_KEYS)?;
    let domain = native::read_domain(findings, &fields, document);
    if let Some(node) = fields.value("domain") {
        check_fraction(findings, node);
    }
    let root = fields.value("descriptors");
    if root.is_none_or(Node::is_null) {
        let place = root.or_else(|| fields.value("domain")).unwrap_or(document);
        let hint = "add a descriptor: `- key: ...`; write `descriptors: []` if there is to be none";
        findings.warning("no-descriptors", &place.bytes, "this policy limits nothing", hint);
    }
    let descriptors = read_level(findings, root);
    Some(Policy { domain: domain?, body: Body::Descriptors(descriptors) })
}

/// The descriptors of one level; blank is none.
fn read_level(findings: &mut Findings, node: Option<&Node>) -> Vec<Descriptor> {
    let Some(node) = node.filter(|node| !node.is_null()) else {
        return Vec::new();
    };
    let Value::Sequence(items) = &node.value else {
        findings.unexpected(node, "a list of descriptors", "write each as `- key: ...`");
        return Vec::new();
    };
    let descriptors: Vec<_> =
        items.iter().filter_map(|item| read_descriptor(findings, item)).collect();
    level::check(findings, &descriptors);
    descriptors
}

fn read_descriptor(findings: &mut Findings, node: &Node) -> Option<Descriptor> {
    let fields = findings.fields(node, "a descriptor", DESCRIPTOR_KEYS)?;
    let key = read_key(findings, &fields, node);
    let value =
        fields.value("value").map_or(Some(NodeValue::Any), |node| read_value(findings, node));
    let share_threshold = read_flag(findings, &fields, "share_threshold");
    if share_threshold && matches!(value, Some(NodeValue::Any | NodeValue::Exact(_))) {
        let place = fields.key("share_threshold").unwrap_or(node);
        let message = "`share_threshold` needs a `value` with a `*`";
        let hint = "remove it, or write a pattern such as `value: 'a*'`";
        findings.error("conflict", &place.bytes, message, hint);
    }
    let descriptor = Descriptor {
        key: key.map_or_else(String::new, |node| node.text.clone()),
        value: value?,
        place: findings.place(&fields.value("key").unwrap_or(node).bytes),
        limit: fields
            .value("rate_limit")
            .filter(|node| !node.is_null())
            .and_then(|node| read_rate_limit(findings, node)),
        shadow_mode: read_flag(findings, &fields, "shadow_mode"),
        share_threshold,
        quota_mode: read_flag(findings, &fields, "quota_mode"),
        detailed_metric: read_flag(findings, &fields, "detailed_metric"),
        value_to_metric: read_flag(findings, &fields, "value_to_metric"),
        metadata: fields.value("metadata").and_then(|node| metadata::read(findings, node)),
        children: read_level(findings, fields.value("descriptors")),
    };
    key.map(|_| descriptor)
}

fn read_key<'n>(
    findings: &mut Findings,
    fields: &Fields<'n>,
    descriptor: &Node,
) -> Option<&'n crate::yaml::Scalar> {
    let hint = "write `key: NAME`, the key of the entry that Envoy sends";
    let node = findings.require(fields, "key", ("this descriptor", descriptor), hint)?;
    let scalar = findings.text(node, "the key of an entry", hint)?;
    check_fraction(findings, node);
    if scalar.text.contains('*') {
        let message = "a `*` in a `key` is a star, not a wildcard";
        let hint = "list the keys one by one, or put the `*` into the `value`";
        findings.warning("literal-star", &node.bytes, message, hint);
    }
    Some(scalar)
}

fn read_value(findings: &mut Findings, node: &Node) -> Option<NodeValue> {
    if node.is_null() {
        return Some(NodeValue::Any);
    }
    let Some(scalar) = node.scalar() else {
        findings.unexpected(
            node,
            "the value of an entry",
            "write one text; repeat the descriptor for more",
        );
        return None;
    };
    check_fraction(findings, node);
    Some(match scalar.text.as_str() {
        "" => NodeValue::Any,
        text if text.contains('*') => {
            NodeValue::Wildcard(text.split('*').map(str::to_owned).collect())
        }
        text => NodeValue::Exact(text.to_owned()),
    })
}

/// envoyproxy/ratelimit fails the load for these, lest `1.50` and `1.5` be taken for one.
fn check_fraction(findings: &mut Findings, node: &Node) {
    let Some(scalar) = node.scalar() else { return };
    let is_large = |number: i128| i64::try_from(number).is_err();
    let is_number = yaml_1_1::fraction(&scalar.text).is_some()
        || yaml_1_1::whole(&scalar.text).is_some_and(is_large);
    if !scalar.quoted && is_number {
        let message = format!("the number {} needs quotes", shown(&scalar.text));
        let hint = format!("write `'{}'`; envoyproxy/ratelimit refuses it without", scalar.text);
        findings.error("unquoted-number", &node.bytes, message, hint);
    }
}

fn read_rate_limit(findings: &mut Findings, node: &Node) -> Option<NodeLimit> {
    let fields = findings.fields(node, "`rate_limit`", RATE_LIMIT_KEYS)?;
    let is_blank =
        |node: &Node| node.is_null() || node.scalar().is_some_and(|scalar| scalar.text.is_empty());
    let name = fields.value("name").filter(|node| !is_blank(node)).and_then(|node| {
        let scalar = findings.text(node, "a name", "write a text, or remove `name`")?;
        check_fraction(findings, node);
        Some(findings.placed(scalar.text.clone(), node))
    });
    let replaces =
        fields.value("replaces").map_or_else(Vec::new, |node| read_replaces(findings, node));
    if let Some(name) = &name
        && let Some(same) = replaces.iter().find(|replaced| replaced.value == name.value)
    {
        let message = format!("{} replaces itself", shown(&name.value));
        let hint = "name the limit that is to give way to this one";
        findings.error("replaces-itself", &same.place.bytes, message, hint);
    }
    if read_flag(findings, &fields, "unlimited") {
        check_unlimited(findings, &fields);
        return Some(NodeLimit { name, replaces, limit: None });
    }
    let unit = read_unit(findings, &fields, node);
    let amount = read_requests(findings, &fields, node);
    // What is wrong is an error already; the name is still one that others may replace.
    let (amount, unit) = (amount.unwrap_or_default(), unit.unwrap_or(Unit::Second));
    let limit = Limit::new(amount, Kind::Fixed(Window::epoch(unit)));
    Some(NodeLimit { name, replaces, limit: Some(limit) })
}

fn read_unit(findings: &mut Findings, fields: &Fields<'_>, rate_limit: &Node) -> Option<Unit> {
    let names = Unit::ALL.map(Unit::name);
    let hint = "add `unit: minute`, or `unlimited: true`";
    let node = findings.require(fields, "unit", ("this `rate_limit`", rate_limit), hint)?;
    let scalar = findings.text(node, "a unit", &suggest::one_of(&names))?;
    let unit = unit(&scalar.text);
    if unit.is_none() {
        let message = format!("{} is not a unit", shown(&scalar.text));
        let hint = suggest::hint(&scalar.text, &names);
        findings.error("unknown-word", &node.bytes, message, hint);
    }
    unit
}

fn unit(text: &str) -> Option<Unit> {
    Unit::ALL.into_iter().find(|unit| unit.name().eq_ignore_ascii_case(text))
}

fn read_requests(findings: &mut Findings, fields: &Fields<'_>, rate_limit: &Node) -> Option<u64> {
    let written = fields.value("requests_per_unit");
    if written.is_none() && !fields.misses("requests_per_unit") {
        return None;
    }
    let Some(node) = written.filter(|node| !node.is_null()) else {
        let message = "this `rate_limit` has no `requests_per_unit`, which means 0";
        let hint = "add `requests_per_unit: 100`; 0 denies every request";
        let place = fields.value("unit").unwrap_or(rate_limit);
        findings.warning("zero-amount", &place.bytes, message, hint);
        return Some(0);
    };
    let hint = "write a whole number from 0 to 4294967295, without quotes";
    let scalar = findings.text(node, "a number", hint)?;
    let written = scalar.text.as_str();
    let number = Some(scalar).filter(|it| !it.quoted).and_then(|_| yaml_1_1::whole(written));
    let Some(number) = number.filter(|number| *number >= 0) else {
        findings.unexpected(node, "a number of requests", hint);
        return None;
    };
    let Ok(amount) = u32::try_from(number) else {
        let message = format!("{} is more than `requests_per_unit` can be", shown(written));
        findings.error("bad-amount", &node.bytes, message, "the largest is 4294967295");
        return None;
    };
    if amount == 0 {
        let hint = "this is right only if every request it applies to is to be denied";
        findings.warning("zero-amount", &node.bytes, "0 requests admit nothing", hint);
    } else if written.starts_with('0') {
        let message = format!("{} is {amount}: a leading zero makes another base", shown(written));
        let hint = format!("write `{amount}`, or the number that was meant");
        findings.warning("other-base", &node.bytes, message, hint);
    }
    Some(u64::from(amount))
}

fn check_unlimited(findings: &mut Findings, fields: &Fields<'_>) {
    for name in ["unit", "requests_per_unit"] {
        let (Some(key), Some(value)) = (fields.key(name), fields.value(name)) else {
            continue;
        };
        if name == "requests_per_unit" && !value.is_null() {
            let number = value.scalar().filter(|scalar| !scalar.quoted);
            let number = number.and_then(|scalar| yaml_1_1::whole(&scalar.text));
            if number.is_none_or(|number| u32::try_from(number).is_err()) {
                findings.unexpected(value, "a number of requests", "remove `requests_per_unit`");
                continue;
            }
        }
        let message = format!("`{name}` beside `unlimited: true`");
        let hint = format!("remove `{name}`, or `unlimited`");
        if value.scalar().is_some_and(|scalar| unit(&scalar.text).is_some()) {
            findings.error("conflict", &key.bytes, message, hint);
        } else {
            findings.warning("no-effect", &key.bytes, message, hint);
        }
    }
}

fn read_replaces(findings: &mut Findings, node: &Node) -> Vec<Placed<String>> {
    let hint = "write a list: `replaces: [{ name: OTHER }]`";
    let items = match &node.value {
        Value::Sequence(items) => items,
        _ if node.is_null() => return Vec::new(),
        Value::Scalar(_) | Value::Mapping(_) => {
            findings.unexpected(node, "a list of names", hint);
            return Vec::new();
        }
    };
    let mut replaces = Vec::new();
    for item in items {
        if item.scalar().is_some() {
            findings.unexpected(item, "`name: ...`", "write `- name: OTHER`");
            continue;
        }
        let Some(fields) = findings.fields(item, "an item of `replaces`", REPLACES_KEYS) else {
            continue;
        };
        let Some(name) = fields.value("name") else {
            let message = "this item of `replaces` names nothing";
            findings.error("missing-key", &item.bytes, message, "write `- name: OTHER`");
            continue;
        };
        check_fraction(findings, name);
        if let Some(scalar) = findings.text(name, "the name of a limit", "write `- name: OTHER`") {
            replaces.push(findings.placed(scalar.text.clone(), name));
        }
    }
    replaces
}

/// Also in the words of YAML 1.1, which that server reads.
fn read_flag(findings: &mut Findings, fields: &Fields<'_>, name: &str) -> bool {
    let Some(node) = fields.value(name).filter(|node| !node.is_null()) else { return false };
    let plain = node.scalar().filter(|scalar| !scalar.quoted);
    let flag = plain.and_then(|scalar| yaml_1_1::boolean(&scalar.text));
    flag.or_else(|| findings.boolean(node)).unwrap_or(false)
}
