//! What is wrong with a policy: one value per finding, with the place it was written at.
//!
//! A diagnostic names the problem, the place and the next step; rendering is apart from finding.

use crate::policy::model::Place;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The set is not taken.
    Error,
    /// The set is taken; the operator should look.
    Warning,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// Stable and kebab-case, such as `unknown-key`; to search for and to filter by.
    pub code: &'static str,
    pub message: String,
    pub place: Place,
    /// A second place that matters, such as the first of two equal names, and what it is.
    pub related: Option<(Place, String)>,
    /// What to do next.
    pub hint: String,
}
