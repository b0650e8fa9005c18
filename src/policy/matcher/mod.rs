//! A descriptor in, the rules that apply to it and their counters out.
//!
//! Matchers never read rules that cannot match: native rules hang on their rarest exact value or
//! on a path tree, envoyproxy/ratelimit descriptors on a tree of keys. What does not belong here:
//! limits, charges, and anything that remembers a request.

pub mod attributes;
pub mod details;
mod index;
pub mod native;
pub mod paths;
pub mod pattern;
mod rule;
#[cfg(test)]
mod tests;
pub mod tree;

use smallvec::SmallVec;

use crate::policy::set::CounterBase;

/// What matching one descriptor after the other finds.
#[derive(Debug, Default)]
pub struct Matches {
    /// The rules that apply, in the order they were written in, each with the counter that the
    /// descriptor's values choose.
    pub found: SmallVec<[Match; 8]>,
    /// Positions of the rules of which an expression could not be worked out.
    pub failures: SmallVec<[u32; 2]>,
    /// Whether one of the rules may replace others.
    pub has_replacing: bool,
    /// Whether one of the descriptors is never shed for load.
    pub is_exempt: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// Position in the domain's rules.
    pub rule: u32,
    pub base: CounterBase,
    /// Position of the rule's override that stands in for its limits.
    pub overridden: Option<u32>,
    /// The combination of table rows that chooses amounts.
    pub rows: u32,
    /// What hits are multiplied by.
    pub cost: u64,
}

impl Match {
    /// Of a rule whose limits are the same for every request.
    pub fn plain(rule: u32, base: CounterBase) -> Self {
        Self { rule, base, overridden: None, rows: 0, cost: 1 }
    }
}

/// A key or value for people: text as it is, anything else with its odd bytes escaped.
pub fn readable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(char::is_control) => text.to_owned(),
        Ok(_) | Err(_) => bytes.escape_ascii().to_string(),
    }
}
