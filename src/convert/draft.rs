//! A native policy as it is about to be written: what each format converts to.
//!
//! It says less than the language: only what a conversion needs. Whatever could not be carried is
//! a note beside the rule that lacks it, never left out in silence.

use std::collections::BTreeMap;

/// The policy of one domain.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    pub domain: String,
    /// What the reader should know of the policy as a whole; written as comments at its top.
    pub notes: Vec<String>,
    /// Attributes that are read from entry keys of another name.
    pub attributes: BTreeMap<String, Vec<String>>,
    pub rules: Vec<DraftRule>,
    /// Limits that hold there and that no rule stands for; each is in a note too.
    pub uncarried: Vec<String>,
    /// Whether a denied request counts too, for all rules.
    pub charges_always: bool,
}

#[derive(Clone, Debug, Default)]
pub struct DraftRule {
    /// Unique in its policy.
    pub name: String,
    /// The limit that it stands for, as its author would find it; not written. Empty where the name
    /// tells as much.
    pub origin: String,
    /// Where it comes from and what could not be carried; written as comments above it.
    pub notes: Vec<String>,
    pub matches: Vec<(String, DraftPattern)>,
    /// Whether it is only for descriptors without an entry that it does not name.
    pub are_others_absent: bool,
    /// A condition in CEL.
    pub when: Option<String>,
    pub per: Vec<String>,
    /// Empty for an unlimited rule.
    pub limits: Vec<DraftLimit>,
    pub is_shadow: bool,
    pub has_refund: bool,
    /// Names of rules.
    pub replaces: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DraftPattern {
    Equals(String),
    Prefix(String),
    AnyOf(Vec<DraftPattern>),
    Not(Vec<DraftPattern>),
    Present,
    Absent,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftLimit {
    pub amount: u64,
    /// As a policy writes it, such as `minute`, `10s` or `720h`.
    pub window: String,
    /// Whether a window begins with the first hit instead of being aligned to the clock.
    pub begins_with_first_hit: bool,
}
