//! Reads `match`: attributes and the patterns they are held against.
//!
//! `endpoint` is matched by path templates and `ip` by networks; every other attribute by text.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use crate::policy::findings::{Findings, Keys, Standing, shown};
use crate::policy::model::{Condition, Pattern};
use crate::policy::native::doubt::{self, PATHS, Role};
use crate::policy::native::endpoint;
use crate::policy::template::Template;
use crate::policy::units::Misread;
use crate::yaml::{Node, Value};

pub(super) const PATTERN_KEYS: &Keys = &[
    ("not", Standing::Read),
    ("equals", Standing::Read),
    ("present", Standing::Elsewhere("write the word alone: `ATTRIBUTE: present`")),
    ("absent", Standing::Elsewhere("write the word alone: `ATTRIBUTE: absent`")),
    ("prefix", Standing::Elsewhere("end the text with a star: `ATTRIBUTE: text*`")),
    ("in", Standing::Elsewhere("write a list: `ATTRIBUTE: [one, other]`")),
];

const HINT: &str = "write a text, a list of texts, `present`, `absent` or `{ not: ... }`";

/// The attribute that patterns stand under.
#[derive(Clone, Copy)]
struct Asked<'n> {
    attribute: &'n str,
    form: Form,
    base: Base<'n>,
}

/// What the templates of a rule are below of.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Base<'n>(pub(super) Option<&'n Template>);

impl Base<'_> {
    /// The whole template of what was written at `node`.
    pub(super) fn apply(
        self,
        findings: &mut Findings,
        node: &Node,
        template: Template,
    ) -> Option<Template> {
        let Some(base) = self.0 else { return Some(template) };
        if let Some(name) = template.captures().find(|name| base.captures().any(|it| it == *name)) {
            let message = format!("`{{{name}}}` is captured by `base` already");
            let hint = "give each captured segment its own name";
            findings.error("bad-template", &node.bytes, message, hint);
            return None;
        }
        Some(Template { segments: [base.segments.clone(), template.segments].concat() })
    }
}

/// What a single text under an attribute is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Template,
    Network,
}

pub(super) fn read(findings: &mut Findings, node: &Node, base: Base<'_>) -> Vec<Condition> {
    let Value::Mapping(pairs) = &node.value else {
        findings.unexpected(
            node,
            "a mapping of attributes to patterns",
            "write `match: { method: POST }`",
        );
        return Vec::new();
    };
    let mut conditions = Vec::new();
    for (name, value) in pairs {
        let hint = "write the name of an attribute, such as `tenant`";
        let Some(attribute) = findings.text(name, "an attribute", hint) else {
            continue;
        };
        doubt::check_name(findings, name, Role::Key);
        let form = match attribute.text.as_str() {
            "endpoint" => Form::Template,
            "ip" => Form::Network,
            _ => Form::Text,
        };
        let asked = Asked { attribute: &attribute.text, form, base };
        if let Some(pattern) = read_pattern(findings, value, asked) {
            let attribute = findings.placed(attribute.text.clone(), name);
            conditions.push(Condition { attribute, pattern });
        }
    }
    conditions
}

fn read_pattern(findings: &mut Findings, node: &Node, asked: Asked<'_>) -> Option<Pattern> {
    match (&node.value, node.scalar()) {
        (Value::Sequence(items), _) => read_any_of(findings, node, items, asked),
        (Value::Mapping(_), _) => read_mapping(findings, node, asked),
        // A value may be empty, so quotes with nothing between them are a text to match.
        (_, Some(scalar)) if asked.form == Form::Text && scalar.text.is_empty() => {
            Some(Pattern::Equals(String::new()))
        }
        (Value::Scalar(_), _) => {
            let text = &findings.text(node, "a pattern", HINT)?.text;
            read_text(findings, node, text, asked)
        }
    }
}

fn read_any_of(
    findings: &mut Findings,
    node: &Node,
    items: &[Node],
    asked: Asked<'_>,
) -> Option<Pattern> {
    if items.is_empty() {
        let message = "an empty list matches nothing";
        findings.error("empty-list", &node.bytes, message, HINT);
        return None;
    }
    let mut patterns = Vec::with_capacity(items.len());
    for item in items {
        if matches!(item.value, Value::Sequence(_)) {
            findings.unexpected(item, "a pattern", "write one list; any of its items may match");
            continue;
        }
        patterns.extend(read_pattern(findings, item, asked));
    }
    if patterns.len() < items.len() {
        return None;
    }
    if patterns.len() == 1 { patterns.pop() } else { Some(Pattern::AnyOf(patterns)) }
}

fn read_mapping(findings: &mut Findings, node: &Node, asked: Asked<'_>) -> Option<Pattern> {
    let fields = findings.fields(node, "a pattern", PATTERN_KEYS)?;
    match (fields.value("not"), fields.value("equals")) {
        (Some(inner), None) => Some(Pattern::Not(Box::new(read_pattern(findings, inner, asked)?))),
        (None, Some(inner)) => read_equals(findings, inner, asked.form),
        (Some(_), Some(inner)) => {
            let hint = "write `{ not: { equals: text } }`";
            let message = "a pattern is either `not` or `equals`";
            findings.error("conflict", &inner.bytes, message, hint);
            None
        }
        (None, None) => {
            // What stands there instead has been reported as a key that patterns do not have.
            if matches!(&node.value, Value::Mapping(pairs) if pairs.is_empty()) {
                findings.unexpected(node, "a pattern", HINT);
            }
            None
        }
    }
}

fn read_equals(findings: &mut Findings, node: &Node, form: Form) -> Option<Pattern> {
    let (attribute, hint) = match (form, node.scalar()) {
        (Form::Text, Some(scalar)) => return Some(Pattern::Equals(scalar.text.clone())),
        (Form::Text, None) => {
            findings.unexpected(node, "a text after `equals`", "write `{ equals: text }`");
            return None;
        }
        (Form::Template, _) => {
            let hint = "write the path alone: a template without `{...}` and `**` is exact";
            ("endpoint", hint)
        }
        (Form::Network, _) => ("ip", "write the address alone"),
    };
    let message = format!("`equals` is not for `{attribute}`");
    findings.error("bad-pattern", &node.bytes, message, hint);
    None
}

fn read_text(
    findings: &mut Findings,
    node: &Node,
    text: &str,
    asked: Asked<'_>,
) -> Option<Pattern> {
    let pattern = match (text, asked.form) {
        ("present", _) => Ok(Pattern::Present),
        ("absent", _) => Ok(Pattern::Absent),
        (_, Form::Text) => text_pattern(text, asked.attribute),
        (_, Form::Template) => match endpoint::template(text) {
            Ok(template) => {
                return asked.base.apply(findings, node, template).map(Pattern::Endpoint);
            }
            Err(misread) => Err(misread),
        },
        (_, Form::Network) => network(text).map(Pattern::Network),
    };
    if let Ok(Pattern::Equals(_) | Pattern::Prefix(_)) = &pattern {
        doubt::check_text(findings, node, text, asked.attribute);
    }
    pattern.map_err(|misread| findings.misread(node, misread)).ok()
}

fn text_pattern(text: &str, attribute: &str) -> Result<Pattern, Misread> {
    let is_template = text.starts_with('/') && (text.contains("/**") || text.contains("/{"));
    if is_template && PATHS.contains(&attribute) {
        return Err(Misread {
            code: "bad-pattern",
            message: format!(
                "path templates belong to the attribute `endpoint`, not `{attribute}`"
            ),
            hint: doubt::endpoint_hint(text, attribute),
            bytes: 0..text.len(),
        });
    }
    match text.find('*') {
        None => Ok(Pattern::Equals(text.to_owned())),
        Some(star) if star + 1 == text.len() => Ok(Pattern::Prefix(text[..star].to_owned())),
        Some(star) => Err(Misread {
            code: "bad-pattern",
            message: "a `*` matches only at the end of a text".to_owned(),
            hint: match is_template {
                true => "path templates belong to the attribute `endpoint`".to_owned(),
                false => format!("for the text itself write `{{ equals: {text:?} }}`"),
            },
            bytes: star..star + 1,
        }),
    }
}

fn network(text: &str) -> Result<IpNet, Misread> {
    let misread = |message: String, hint: String| Misread {
        code: "bad-network",
        message,
        hint,
        bytes: 0..text.len(),
    };
    let no_network = || {
        let hint = match text.ends_with('*') {
            true => "write the network with its length, as in `10.0.0.0/8`",
            false => "write an address such as `203.0.113.7`, or a network such as `10.0.0.0/8`",
        };
        misread(format!("{} is no address and no network", shown(text)), hint.to_owned())
    };
    if !text.contains('/') {
        let address: IpAddr = text.parse().map_err(|_| no_network())?;
        return Ok(IpNet::from(address.to_canonical()));
    }
    let network: IpNet = text.parse().map_err(|_| no_network())?;
    let network = unmapped(network);
    if network != network.trunc() {
        let message = format!("{} has bits set beyond its length", shown(text));
        let hint = format!("write `{}` for the network, or the address alone", network.trunc());
        return Err(misread(message, hint));
    }
    Ok(network)
}

/// IPv4 that is written as IPv6 is meant, and counted, as IPv4.
fn unmapped(network: IpNet) -> IpNet {
    const MAPPED_PREFIX: u8 = 96;
    let IpNet::V6(mapped) = network else {
        return network;
    };
    let address = mapped.addr().to_ipv4_mapped();
    let length = mapped.prefix_len().checked_sub(MAPPED_PREFIX);
    match (address, length) {
        (Some(address), Some(length)) => Ipv4Net::new(address, length).map_or(network, IpNet::V4),
        _ => network,
    }
}
