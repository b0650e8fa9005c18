//! The compiled policies in force: immutable, shared by every request, swapped whole.
//!
//! A counter's identity is made here from domain, rule name, window and values, never from a
//! position in a file, so that a reload keeps the counters of unchanged rules.

use std::sync::Arc;

use crate::limit::{ChargeWhen, Limit};
use crate::policy::model::Mode;
use crate::policy::respond::Respond;

/// The key of the hash that makes counter keys, so that clients cannot aim collisions. Counters
/// outlive policy sets, so every set of a process is compiled with the same seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterSeed(pub [u64; 2]);

#[derive(Debug)]
pub struct PolicySet {
    /// Grows by one with every set that is published; set by who publishes.
    pub version: u64,
    pub domains: Vec<Domain>,
}

impl PolicySet {
    pub fn domain(&self, name: &[u8]) -> Option<&Domain> {
        let _ = name;
        todo!()
    }
}

#[derive(Debug)]
pub struct Domain {
    pub name: Arc<str>,
    pub rules: Vec<Rule>,
}

#[derive(Debug)]
pub struct Rule {
    /// Position among all rules of the set; what metrics cache their handles by.
    pub index: usize,
    /// As operators know it; of an envoyproxy/ratelimit descriptor the path of keys and values.
    pub name: Arc<str>,
    /// What leaves in `current_limit.name`: sanitised, and empty where the format has no name.
    pub wire_name: Arc<str>,
    pub limits: Vec<Limit>,
    pub charge: ChargeWhen,
    pub mode: Mode,
    pub respond: Arc<Respond>,
}
