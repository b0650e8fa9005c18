//! Reads `metadata` of a descriptor: free values that answers hand on.
//!
//! Every value keeps the type that YAML gives it; no key in it is a mistake.

use serde_json::Number;

use super::yaml_1_1;
use crate::policy::findings::Findings;
use crate::policy::model::Metadata;
use crate::yaml::{Node, Scalar, Value};

/// Blank is none.
pub(super) fn read(findings: &mut Findings, node: &Node) -> Option<Metadata> {
    if node.is_null() {
        return None;
    }
    match &node.value {
        Value::Mapping(pairs) => Some(map(findings, pairs)),
        Value::Scalar(_) | Value::Sequence(_) => {
            findings.unexpected(node, "names and values", "write `metadata: { NAME: VALUE }`");
            None
        }
    }
}

fn map(findings: &mut Findings, pairs: &[(Node, Node)]) -> Metadata {
    let mut map = Metadata::new();
    for (key, value) in pairs {
        if let Some(key) = findings.text(key, "a name", "write a text before the colon") {
            map.insert(key.text.clone(), any(findings, value));
        }
    }
    map
}

fn any(findings: &mut Findings, node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Mapping(pairs) => serde_json::Value::Object(map(findings, pairs)),
        Value::Sequence(items) => items.iter().map(|item| any(findings, item)).collect(),
        Value::Scalar(_) if node.is_null() => serde_json::Value::Null,
        Value::Scalar(scalar) => typed(scalar),
    }
}

fn typed(scalar: &Scalar) -> serde_json::Value {
    let text = scalar.text.as_str();
    if scalar.quoted {
        return text.into();
    }
    if let Some(flag) = yaml_1_1::boolean(text) {
        return flag.into();
    }
    let number = yaml_1_1::whole(text).and_then(Number::from_i128);
    let number = number.or_else(|| Number::from_f64(yaml_1_1::fraction(text)?));
    number.map_or_else(|| text.into(), serde_json::Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    #[test]
    fn values_keep_the_type_that_yaml_gives_them() {
        for (text, expected) in [
            ("a", r#""a""#),
            ("'1'", r#""1""#),
            ("1", "1"),
            ("-2.5", "-2.5"),
            ("1e3", "1000.0"),
            ("true", "true"),
            ("Yes", "true"),
            ("010", "8"),
            ("0x1F", "31"),
            ("1_000", "1000"),
            ("1.2.3", r#""1.2.3""#),
            ("'true'", r#""true""#),
            ("~", "null"),
            ("nan", r#""nan""#),
            ("[1, b, { c: [false] }]", r#"[1,"b",{"c":[false]}]"#),
        ] {
            let parsed = yaml::parse(&format!("k: {text}"));
            let mut findings = Findings::new(0);
            let read = read(&mut findings, &parsed.documents[0]).unwrap();
            assert_eq!(read["k"].to_string(), expected, "{text}");
            assert_eq!(findings.errors(), 0);
        }
    }
}
