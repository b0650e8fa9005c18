//! From policy text to an immutable set.
//!
//! Parse, compile, publish: a load is all or nothing, and shows every problem at once. Nothing
//! here reads files; whoever calls hands in the texts.

mod amounts;
mod calendar;
mod check;
mod compile;
pub mod diagnostic;
pub mod diff;
mod envoy;
pub(crate) mod findings;
mod fingerprint;
pub mod formula;
pub mod load;
pub mod matcher;
mod merge;
pub mod model;
mod native;
mod path_text;
pub mod read;
pub mod render;
pub mod respond;
pub mod set;
pub mod suggest;
pub mod tables;
pub mod template;
mod units;
pub mod when;
mod words;

pub(crate) use native::is_more_than_text;

#[cfg(test)]
mod tests;

use diagnostic::{Diagnostic, Severity};
use model::{Options, Source};
use set::{CounterSeed, PolicySet};

/// Every table of keys that a policy is read by, by the definition that its schema has for it.
#[cfg(test)]
pub(crate) fn key_tables() -> Vec<(&'static str, &'static findings::Keys)> {
    [native::KEY_TABLES, envoy::KEY_TABLES].concat()
}

/// Every spelling of every unit of time.
#[cfg(test)]
pub(crate) fn unit_spellings() -> Vec<&'static str> {
    units::UNITS.map(|(spelling, _)| spelling).to_vec()
}

/// What came of compiling a candidate: the set if there was no error, and all findings.
#[derive(Debug)]
pub struct Compiled {
    pub set: Option<PolicySet>,
    pub diagnostics: Vec<Diagnostic>,
}

/// Compiles all texts into one set. The same texts in another order make the same set.
pub fn compile(sources: &[Source], seed: CounterSeed, options: &Options) -> Compiled {
    let (policies, diagnostics) = read::read_with(sources, &options.descriptors);
    let is_error = |found: &Diagnostic| found.severity == Severity::Error;
    let set = (!diagnostics.iter().any(is_error)).then(|| PolicySet::new(&policies, seed, options));
    Compiled { set, diagnostics }
}
