//! What a series is called: domain, rule and the values that it counts, as people read them.
//!
//! Texts of callers are capped; what is cut off is told apart by a fingerprint at the end.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::codec::{Damage, Reader, Writer};

/// Bytes of one text.
pub(super) const TEXT_LEN_MAX: usize = 256;
/// What a text that is cut ends with: `…#` and 16 digits.
const TAIL_LEN: usize = "…#".len() + 16;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    pub domain: Box<str>,
    pub rule: Box<str>,
    pub values: Values,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Values {
    /// Names and values; none where the rule counts everybody together.
    Counted(Box<[(Box<str>, Box<str>)]>),
    /// All of the rule that have no series of their own.
    Other,
}

impl Name {
    pub(super) fn counted(domain: &str, rule: &str, values: &[(String, String)]) -> Self {
        let values = values.iter().map(|(name, value)| (capped(name), capped(value)));
        let values = Values::Counted(values.collect());
        Self { domain: capped(domain), rule: capped(rule), values }
    }

    pub(super) fn other(domain: &str, rule: &str) -> Self {
        Self { domain: capped(domain), rule: capped(rule), values: Values::Other }
    }

    pub(super) fn write(&self, into: &mut Writer) {
        into.text(&self.domain);
        into.text(&self.rule);
        match &self.values {
            Values::Other => into.number(0),
            Values::Counted(values) => {
                into.number((values.len() as u64).saturating_add(1));
                for (name, value) in values {
                    into.text(name);
                    into.text(value);
                }
            }
        }
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        let (domain, rule) = (from.text()?, from.text()?);
        let values = match from.number()?.checked_sub(1) {
            None => Values::Other,
            Some(count) => {
                let values = (0..count).map(|_| Ok((from.text()?, from.text()?)));
                Values::Counted(values.collect::<Result<_, Damage>>()?)
            }
        };
        Ok(Self { domain, rule, values })
    }
}

/// As it is, or its begin and a fingerprint of all of it.
fn capped(text: &str) -> Box<str> {
    if text.len() <= TEXT_LEN_MAX {
        return text.into();
    }
    let mut whole = SipHasher13::new();
    whole.write(text.as_bytes());
    let end = text.floor_char_boundary(TEXT_LEN_MAX - TAIL_LEN);
    let begin = text.get(..end).unwrap_or_default();
    format!("{begin}…#{:016x}", whole.finish()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters_and_stay_apart() {
        let exact = "x".repeat(TEXT_LEN_MAX);
        assert_eq!(&*capped(&exact), exact);
        for character in ["x", "ü", "漢", "🦀"] {
            let one = capped(&format!("{}1", character.repeat(300)));
            let two = capped(&format!("{}2", character.repeat(300)));
            assert!(one.len() <= TEXT_LEN_MAX && one.len() > TEXT_LEN_MAX - 4, "{one}");
            assert!(one.starts_with(character) && one != two, "{one} {two}");
        }
    }
}
