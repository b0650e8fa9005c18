//! Scenarios: what a policy is expected to answer, run in virtual time.
//!
//! A scenario file stands beside its policy and is read, linked to compiled policies and run; none
//! of it reads a clock or a file. Answers come from the code that serving runs.

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
