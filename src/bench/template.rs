//! What each call asks: descriptors written as `key=value,key=value`.
//!
//! `{key}` stands for a key number: all of one request are the same number, and a text without any is
//! copied by reference.

use bytes::Bytes;

use crate::pb::descriptor::RateLimitDescriptor;
use crate::pb::descriptor::rate_limit_descriptor::Entry;
use crate::pb::rls::RateLimitRequest;

/// Where the key number goes.
const PLACEHOLDER: &str = "{key}";

#[derive(Clone, Debug)]
pub struct RequestTemplate {
    pub domain: Bytes,
    pub descriptors: Vec<DescriptorTemplate>,
    /// 0 leaves it to the server, which takes 1.
    pub hits: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescriptorTemplate {
    entries: Vec<(Bytes, ValueTemplate)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum ValueTemplate {
    Literal(Bytes),
    /// The texts before, between and after the placeholders.
    Numbered(Vec<String>),
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DescriptorError {
    #[error("a descriptor needs at least one entry; write `key=value` or `key=value,key=value`")]
    Empty,
    #[error("`{0}` is not `key=value`; entries are parted by commas")]
    NoValue(String),
    #[error("`{0}` has no key; write `key=value`")]
    NoKey(String),
}

impl DescriptorTemplate {
    pub fn parse(text: &str) -> Result<Self, DescriptorError> {
        if text.is_empty() {
            return Err(DescriptorError::Empty);
        }
        let entry = |entry: &str| {
            let (key, value) =
                entry.split_once('=').ok_or_else(|| DescriptorError::NoValue(entry.to_owned()))?;
            if key.is_empty() {
                return Err(DescriptorError::NoKey(entry.to_owned()));
            }
            Ok((Bytes::from(key.to_owned()), ValueTemplate::new(value)))
        };
        let entries = text.split(',').map(entry).collect::<Result<_, _>>()?;
        Ok(Self { entries })
    }

    /// Whether any value has a placeholder.
    pub fn is_numbered(&self) -> bool {
        self.entries.iter().any(|(_, value)| matches!(value, ValueTemplate::Numbered(_)))
    }

    fn filled(&self, number: u64) -> RateLimitDescriptor {
        let entry = |(key, value): &(Bytes, ValueTemplate)| Entry {
            key: key.clone(),
            value: value.filled(number),
        };
        RateLimitDescriptor {
            entries: self.entries.iter().map(entry).collect(),
            ..Default::default()
        }
    }
}

impl ValueTemplate {
    fn new(text: &str) -> Self {
        let parts: Vec<String> = text.split(PLACEHOLDER).map(str::to_owned).collect();
        match parts.len() {
            1 => Self::Literal(Bytes::from(text.to_owned())),
            _ => Self::Numbered(parts),
        }
    }

    fn filled(&self, number: u64) -> Bytes {
        match self {
            Self::Literal(text) => text.clone(),
            Self::Numbered(parts) => parts.join(&number.to_string()).into(),
        }
    }
}

impl RequestTemplate {
    pub fn is_numbered(&self) -> bool {
        self.descriptors.iter().any(DescriptorTemplate::is_numbered)
    }

    /// The request about key `number`.
    pub fn filled(&self, number: u64) -> RateLimitRequest {
        RateLimitRequest {
            domain: self.domain.clone(),
            descriptors: self
                .descriptors
                .iter()
                .map(|descriptor| descriptor.filled(number))
                .collect(),
            hits_addend: self.hits,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str, number: u64) -> Vec<(String, String)> {
        let text_of = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        DescriptorTemplate::parse(text)
            .unwrap()
            .filled(number)
            .entries
            .iter()
            .map(|entry| (text_of(&entry.key), text_of(&entry.value)))
            .collect()
    }

    #[test]
    fn placeholders_become_the_key_number_wherever_they_stand() {
        for (text, filled) in [
            ("tenant={key}", vec![("tenant", "7")]),
            ("a=x{key}y{key},b=c=d", vec![("a", "x7y7"), ("b", "c=d")]),
            ("path=/orders/{id},empty=", vec![("path", "/orders/{id}"), ("empty", "")]),
        ] {
            let filled: Vec<(String, String)> =
                filled.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            assert_eq!(entries(text, 7), filled);
        }
    }

    #[test]
    fn only_templates_with_a_placeholder_are_numbered() {
        assert!(DescriptorTemplate::parse("a=b,c={key}").unwrap().is_numbered());
        assert!(!DescriptorTemplate::parse("a=b,{key}=c").unwrap().is_numbered());
    }

    #[test]
    fn what_is_no_entry_is_named() {
        for (text, error) in [
            ("", DescriptorError::Empty),
            ("tenant", DescriptorError::NoValue("tenant".to_owned())),
            ("a=b,", DescriptorError::NoValue(String::new())),
            ("=b", DescriptorError::NoKey("=b".to_owned())),
        ] {
            assert_eq!(DescriptorTemplate::parse(text), Err(error));
        }
    }

    #[test]
    fn a_request_has_domain_descriptors_and_hits() {
        let template = RequestTemplate {
            domain: Bytes::from_static(b"bench"),
            descriptors: vec![
                DescriptorTemplate::parse("a={key}").unwrap(),
                DescriptorTemplate::parse("b=2").unwrap(),
            ],
            hits: 3,
        };
        let request = template.filled(41);
        assert_eq!(request.domain, "bench");
        assert_eq!(request.hits_addend, 3);
        assert_eq!(request.descriptors.len(), 2);
        assert_eq!(request.descriptors[0].entries[0].value, "41");
    }
}
