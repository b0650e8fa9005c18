//! A descriptor in, the rules that apply to it and their counters out.
//!
//! Matchers never read rules that cannot match: native rules hang on their rarest exact value or
//! on a path tree, envoyproxy/ratelimit descriptors on a tree of keys. What does not belong here:
//! limits, charges, and anything that remembers a request.
//!
//! Maps here hold what operators write, and requests only look things up: a quick hash that is not
//! proof against chosen keys is enough.

pub mod attributes;
mod index;
pub mod native;
pub mod paths;
pub mod pattern;
#[cfg(test)]
mod tests;
pub mod tree;

use smallvec::SmallVec;

use crate::policy::set::CounterBase;

/// The rules of one domain that apply to one descriptor, in the order they were written in, each
/// with the counter that the descriptor's values choose.
pub type Matches = SmallVec<[Match; 8]>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// Position in the domain's rules.
    pub rule: u32,
    pub base: CounterBase,
}

/// A key or value for people: text as it is, anything else with its odd bytes escaped.
fn readable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(char::is_control) => text.to_owned(),
        Ok(_) | Err(_) => bytes.escape_ascii().to_string(),
    }
}
