//! Warns of names and texts that are valid and hardly mean what they say.
//!
//! Each of them would make a rule that silently never applies; nothing here changes what is read.

use ipnet::IpNet;

use crate::policy::findings::{Findings, shown};
use crate::policy::suggest;
use crate::yaml::Node;

/// Names that people give to what the attribute `endpoint` is.
pub(super) const PATHS: [&str; 6] = ["path", ":path", "url", "uri", "route", "request_path"];
/// Of those the ones under which nothing but a path is sent.
const ONLY_PATHS: [&str; 5] = ["path", ":path", "url", "uri", "request_path"];
/// What the attribute `endpoint` is read from when the policy says nothing else.
const READ_AS_ENDPOINT: [&str; 2] = ["path", ":path"];
/// What the attribute `ip` is read from beside the entry of its own name.
const ADDRESSES: [&str; 2] = ["remote_address", "masked_remote_address"];
/// The names of the attribute that HTTP methods are in, which are told apart by case.
const METHODS: [&str; 2] = ["method", ":method"];
pub(super) const KNOWN_METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];

/// Whether the texts that an attribute of this name is held against are read, or doubted, as more
/// than texts; `has_slash` where there is one with a slash.
pub(crate) fn is_more_than_text(attribute: &str, has_slash: bool) -> bool {
    let is_in = |names: &[&str]| names.contains(&attribute);
    is_in(&["endpoint", "ip"])
        || is_in(&METHODS)
        || (has_slash && (is_in(&PATHS) || is_in(&ADDRESSES)))
}

/// What a name is where it stands.
#[derive(Clone, Copy)]
pub(super) enum Role {
    /// Before a `:`, where there is no list.
    Key,
    Item,
}

/// The name of an attribute or of an entry, which is compared as it is written.
pub(super) fn check_name(findings: &mut Findings, node: &Node, role: Role) {
    let Some(scalar) = node.scalar() else { return };
    let text = scalar.text.as_str();
    let (message, hint) = if text.contains(',') {
        let parts: Vec<&str> =
            text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
        let hint = match role {
            Role::Key => format!("write a line for each: `{}: ...`", parts.join(": ...`, `")),
            Role::Item => format!("for several names write `[{}]`", parts.join(", ")),
        };
        (format!("{} is one name with a comma in it", shown(text)), hint)
    } else if text.trim() != text {
        let message = format!("the name {} begins or ends with a blank", shown(text));
        (message, format!("write `{}`", text.trim()))
    } else if text.contains('*') {
        let message = format!("a `*` in a name is a star: {} is no pattern", shown(text));
        let hint = match role {
            Role::Key => "write the name of one attribute, such as `tenant`",
            Role::Item => "write each name out, as in `[tenant, user]`",
        };
        (message, hint.to_owned())
    } else {
        return;
    };
    findings.warning("doubtful-name", &node.bytes, message, hint);
}

/// A text that an attribute is held against, which was read as text.
pub(super) fn check_text(findings: &mut Findings, node: &Node, text: &str, attribute: &str) {
    let found = negation(text, attribute).or_else(|| {
        if METHODS.contains(&attribute) {
            method(text)
        } else if ADDRESSES.contains(&attribute) {
            address(text, attribute)
        } else if ONLY_PATHS.contains(&attribute) {
            path(text, attribute)
        } else {
            None
        }
    });
    if let Some((code, message, hint)) = found {
        findings.warning(code, &node.bytes, message, hint);
    }
}

type Doubt = (&'static str, String, String);

fn negation(text: &str, attribute: &str) -> Option<Doubt> {
    let written = match text {
        "not present" | "not_present" | "!present" | "~present" | "{absent}" => "absent".to_owned(),
        "not absent" | "not_absent" | "!absent" | "~absent" | "{present}" => "present".to_owned(),
        _ => {
            let rest = text.strip_prefix(['!', '~'])?.trim_start_matches(['=', '~', ' ']);
            if rest.is_empty() {
                return None;
            }
            let plain = rest.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
            if plain { format!("{{ not: {rest} }}") } else { format!("{{ not: {rest:?} }}") }
        }
    };
    let message = format!("{} is matched as this very text", shown(text));
    let hint = format!(
        "write `{attribute}: {written}`, or `{{ equals: {text:?} }}` if the text itself is meant"
    );
    Some(("literal-word", message, hint))
}

fn method(text: &str) -> Option<Doubt> {
    let separates = |c: char| matches!(c, ',' | '|' | ';' | '/') || c.is_whitespace();
    if text.contains(separates) {
        let methods: Vec<&str> = text.split(separates).filter(|part| !part.is_empty()).collect();
        let message = format!("no method is sent as {}", shown(text));
        let hint = match methods.as_slice() {
            [only] => format!("write `{only}`"),
            several => format!("for several methods write `[{}]`", several.join(", ")),
        };
        return Some(("method-list", message, hint));
    }
    let upper = text.to_ascii_uppercase();
    if !KNOWN_METHODS.contains(&upper.as_str())
        && let Some(near) = KNOWN_METHODS.into_iter().find(|it| suggest::is_misspelt(&upper, it))
    {
        let message = format!("{} is no known method", shown(text));
        return Some(("method-name", message, format!("did you mean `{near}`?")));
    }
    (upper != text && KNOWN_METHODS.contains(&upper.as_str())).then(|| {
        let message = format!("no method is sent as {}; case counts", shown(text));
        ("method-case", message, format!("write `{upper}`"))
    })
}

fn address(text: &str, attribute: &str) -> Option<Doubt> {
    text.parse::<IpNet>().ok()?;
    let message = format!("the network {} is compared as text with `{attribute}`", shown(text));
    let written = if text.contains(':') { format!("{text:?}") } else { text.to_owned() };
    let hint = format!("write `ip: {written}`; it is read from `{attribute}` too");
    Some(("text-network", message, hint))
}

fn path(text: &str, attribute: &str) -> Option<Doubt> {
    if !text.starts_with('/') {
        return None;
    }
    let path = text.split(['?', '#']).next().unwrap_or(text);
    let template = match path.strip_suffix('*') {
        Some(stem) => format!("{}/**", stem.trim_end_matches(['/', '*'])),
        None => path.to_owned(),
    };
    let message = format!(
        "{} is compared as text with `{attribute}`, query and escapes included",
        shown(text)
    );
    Some(("text-path", message, endpoint_hint(&template, attribute)))
}

/// How to match a path by the attribute that is made for it.
pub(super) fn endpoint_hint(template: &str, attribute: &str) -> String {
    if READ_AS_ENDPOINT.contains(&attribute) {
        return format!("write `endpoint: {template:?}`; it is read from `path` and `:path` too");
    }
    format!(
        "write `endpoint: {template:?}`, and `attributes: {{ endpoint: [{attribute}] }}` at the top"
    )
}
