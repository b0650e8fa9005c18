//! Scenarios: what a policy is expected to answer, run in virtual time.
//!
//! A scenario file stands beside its policy and is read, linked to compiled policies and run; none
//! of it reads a clock or a file. Answers come from the code that serving runs.

mod bounds;
mod compare;
mod engine;
mod expect;
pub mod junit;
mod link;
pub mod model;
mod read;
pub mod report;
mod rows;
mod run;
mod spans;
mod step;
#[cfg(test)]
mod tests;

pub use engine::SEED;
pub use link::link;
pub use read::{ReadFile, read};
pub use run::{Difference, Failure, Outcome, run};

/// Every table of keys that a scenario file is read by, by the definition that its schema has for
/// it.
#[cfg(test)]
pub(crate) fn key_tables() -> Vec<(&'static str, &'static crate::policy::findings::Keys)> {
    vec![
        ("file", read::FILE_KEYS),
        ("scenario", read::SCENARIO_KEYS),
        ("policy", read::POLICY_KEYS),
        ("step", step::STEP_KEYS),
        ("load", step::LOAD_KEYS),
        ("descriptor", step::DESCRIPTOR_KEYS),
        ("expect", expect::KEYS),
        ("status", expect::STATUS_KEYS),
    ]
}
