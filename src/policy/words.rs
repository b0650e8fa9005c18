//! Texts as machine words, and what hangs on texts: requests look it up by their keys and values.
//!
//! Maps here hold what operators write, and requests only look things up: a quick hash that is not
//! proof against chosen keys is enough.

use hashbrown::HashMap;
use smallvec::SmallVec;

/// Up to seven bytes as one word, the first of them lowest; zeros above.
#[inline]
pub(super) fn partial(bytes: &[u8]) -> u64 {
    debug_assert!(bytes.len() < 8, "more than fit");
    // Two reads that may overlap take the place of one for each byte.
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let last = u64::from(u32::from_le_bytes(*last)) << (8 * (bytes.len() - 4));
        return u64::from(u32::from_le_bytes(*first)) | last;
    }
    match *bytes {
        [first, second, third] => u64::from(u32::from_le_bytes([first, second, third, 0])),
        [first, second] => u64::from(u16::from_le_bytes([first, second])),
        [only] => u64::from(only),
        _ => 0,
    }
}

/// What tells a text of up to sixteen bytes from every other one, and most longer ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    /// The first eight bytes and the length, mixed: of up to seven bytes it is all there is to tell.
    tag: u64,
    last: u64,
    len: usize,
}

impl Head {
    const WHOLE_MAX: usize = 16;

    #[inline]
    fn of(text: &[u8]) -> Self {
        let (first, last) = match (text.first_chunk(), text.last_chunk()) {
            (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
            _ => (partial(text), 0),
        };
        let len = text.len();
        Self { tag: first ^ (len as u64) << 56, last, len }
    }

    /// One of sixteen numbers, by the tag alone.
    #[inline]
    fn bucket(self) -> usize {
        // The highest bits of the product hang on all bits of the tag.
        (self.tag.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60) as usize
    }
}

/// Held in place while it is short, so that comparing it leads nowhere else in memory.
type Text = SmallVec<[u8; 16]>;

/// What hangs on each of some texts.
#[derive(Debug)]
pub(super) struct ByText<T> {
    /// By what a tag comes to, the first of `few` with such a tag; past its end where there is none.
    firsts: [u8; 16],
    /// While they are so few that no more than all of them need be compared, whatever their tags.
    few: Vec<Held<T>>,
    /// All of them, when they are more.
    many: HashMap<Text, T>,
}

#[derive(Debug)]
struct Held<T> {
    head: Head,
    /// The next one whose tag comes to the same.
    next: u8,
    text: Text,
    value: T,
}

impl<T> Default for ByText<T> {
    fn default() -> Self {
        Self { firsts: [u8::MAX; 16], few: Vec::new(), many: HashMap::new() }
    }
}

impl<T> ByText<T> {
    const FEW: u8 = 32;

    #[inline(always)]
    pub(super) fn get(&self, text: &[u8]) -> Option<&T> {
        if !self.many.is_empty() {
            return self.hashed(text);
        }
        self.position(Head::of(text), text).map(|position| &self.few[position].value)
    }

    /// Among the many; apart, so that looking among the few stays small where it is inlined.
    #[inline(never)]
    fn hashed(&self, text: &[u8]) -> Option<&T> {
        self.many.get(text)
    }

    /// Among the few.
    #[inline(always)]
    fn position(&self, head: Head, text: &[u8]) -> Option<usize> {
        let mut position = usize::from(self.firsts[head.bucket()]);
        while let Some(held) = self.few.get(position) {
            let is_whole = head.len <= Head::WHOLE_MAX;
            if held.head == head && (is_whole || held.text.as_slice() == text) {
                return Some(position);
            }
            position = usize::from(held.next);
        }
        None
    }

    /// What hangs on a text, made at its first use.
    pub(super) fn or_default(&mut self, text: &[u8]) -> &mut T
    where
        T: Default,
    {
        if self.many.is_empty() {
            let head = Head::of(text);
            if let Some(position) = self.position(head, text) {
                return &mut self.few[position].value;
            }
            match u8::try_from(self.few.len()) {
                Ok(position @ 0..Self::FEW) => {
                    let next = std::mem::replace(&mut self.firsts[head.bucket()], position);
                    let held = Held { head, next, text: text.into(), value: T::default() };
                    return &mut self.few.push_mut(held).value;
                }
                _ => {
                    let all = std::mem::take(&mut self.few).into_iter();
                    self.many = all.map(|held| (held.text, held.value)).collect();
                }
            }
        }
        self.many.entry(text.into()).or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.few.is_empty() && self.many.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Of all lengths, and often alike at both ends.
    fn any_text() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop::sample::select(vec![0, b'a', b'b']);
        prop_oneof![
            prop::collection::vec(byte.clone(), 0..20),
            byte.prop_map(|byte| [b"12345678".as_slice(), &[byte], b"12345678"].concat()),
        ]
    }

    proptest! {
        #[test]
        fn what_hangs_on_a_text_is_found_by_it_and_by_no_other(
            held in prop::collection::vec(any_text(), 0..40),
            asked in prop::collection::vec(any_text(), 0..40),
        ) {
            let mut by_text: ByText<Vec<usize>> = ByText::default();
            let mut plain: BTreeMap<&[u8], Vec<usize>> = BTreeMap::new();
            for (number, text) in held.iter().enumerate() {
                by_text.or_default(text).push(number);
                plain.entry(text).or_default().push(number);
            }
            prop_assert_eq!(by_text.is_empty(), plain.is_empty());
            for text in held.iter().chain(&asked) {
                prop_assert_eq!(by_text.get(text), plain.get(text.as_slice()));
            }
        }
    }
}
