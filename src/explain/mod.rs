//! Why a request is decided as it is, and how it would be decided now: as data that every surface
//! shows alike.
//!
//! The rules are asked by the check that serving uses and the decision is made by the code that
//! serving runs, on a trial that counts nothing. Times are whole seconds, rounded up, and RFC 3339
//! in UTC; values of requests are text, with odd bytes escaped.

mod load;
mod rules;
#[cfg(test)]
mod tests;
pub mod text;
mod told;

use serde::{Deserialize, Serialize};

pub use told::explain;

/// One request, explained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// For which moment.
    pub at: String,
    pub domain: String,
    /// Version of the policy set of the server that was asked; absent where none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_set: Option<u64>,
    pub decision: ExplainedDecision,
    /// In the order of the request.
    pub descriptors: Vec<ExplainedDescriptor>,
    /// Absent where the domain sheds no load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<ExplainedLoad>,
}

/// What the request would be answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedDecision {
    pub code: Code,
    /// The HTTP status that the caller is to see: 200, 429, or 503 for what is shed.
    pub status: u16,
    /// The limit that the answer would speak of; absent where nothing limits the request, and
    /// where it is shed for load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<ExplainedBinding>,
    /// The enforced rules that never admit so many hits, however long one waits.
    pub never_fits: Vec<String>,
    /// The rules in shadow that would deny it.
    pub shadow_denials: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    Ok,
    OverLimit,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedBinding {
    /// Counts from 0.
    pub descriptor: usize,
    pub rule: String,
    pub counted_per: Vec<Pair>,
    pub limit: ExplainedLimit,
    /// What a client is told to wait, where the policy caps that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_wait_seconds: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedDescriptor {
    pub entries: Vec<Pair>,
    pub hits: u64,
    /// Whether a rule exempts it, and nothing limits it.
    pub unlimited: bool,
    /// What the entries say about the attributes that rules of the domain name.
    pub attributes: Vec<Pair>,
    /// How a tree of descriptors was walked; empty for native policies.
    pub steps: Vec<String>,
    pub applies: Vec<AppliedRule>,
    pub replaced: Vec<ReplacedRule>,
    pub does_not_apply: Vec<MissedRule>,
}

/// A rule that applies: what it counts, and by what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedRule {
    pub rule: String,
    /// Its match, in words.
    #[serde(rename = "match")]
    pub applies_to: String,
    /// Its expression, which is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Measured, not enforced.
    pub shadow: bool,
    /// Denies only together with all quotas that the request meets.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub quota: bool,
    /// Counts denied requests too.
    pub charge_always: bool,
    /// Has no limits, and so counts nothing.
    pub unlimited: bool,
    /// What chooses the counter; empty where one counter is for everybody.
    pub counted_per: Vec<Pair>,
    /// The rows of tables that it asks.
    pub rows: Vec<ExplainedRow>,
    /// What stands in for its own limits.
    #[serde(default, rename = "override", skip_serializing_if = "Option::is_none")]
    pub overridden: Option<ExplainedOverride>,
    /// What would, had it not ended.
    pub ended_overrides: Vec<ExplainedOverride>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<ExplainedCost>,
    pub limits: Vec<ExplainedLimit>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplacedRule {
    pub rule: String,
    pub by: String,
}

/// A rule that does not apply, or rows of one table of endpoints that do not for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissedRule {
    pub rule: String,
    /// How many rows this stands for; absent for a rule that is no table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    pub why: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedRow {
    /// The attribute that chooses the row.
    pub attribute: String,
    pub value: String,
    /// The default row, for want of one for the value.
    pub is_default: bool,
    pub fields: Vec<Pair>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedOverride {
    /// Empty where none was written.
    pub reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedCost {
    pub formula: String,
    /// What each hit counts.
    pub cost: u64,
    /// Why the formula cannot be worked out, where that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// One limit of a rule, the counter that the request meets, and what it would say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedLimit {
    /// As a policy writes it.
    pub limit: String,
    pub amount: u64,
    /// The most hits that ever fit at once.
    pub capacity: u64,
    pub kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// What the amount comes from, where it is worked out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub formula: Option<String>,
    /// What the request would take.
    pub hits: u64,
    /// Before the request.
    pub left: u64,
    /// Until the whole amount is free if nothing more comes; absent where only those who hold it
    /// know, and while paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets: Option<Moment>,
    /// Slots held of a concurrency limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<u64>,
    /// Denied until usage is under this share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume_below: Option<String>,
    pub paused: bool,
    pub verdict: Verdict,
    /// Of a denial: from when on the same request would fit here; absent where it never does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passes: Option<Moment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Admitted,
    OverLimit,
    ExceedsAmount,
    Paused,
}

/// The load of a domain that sheds it, and what it makes of the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedLoad {
    /// Absent where load is only reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<ExplainedCapacity>,
    /// The greater of what is measured, this request included, and what is reported: 0 to 100.
    pub percent: u8,
    /// What clients are told of the percentage, from where on they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// What is reported and in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported: Option<ExplainedReport>,
    pub thresholds: ExplainedThresholds,
    /// Never shed, and told nothing of load.
    pub exempt: bool,
    /// Measured, not enforced: nobody is shed or told.
    pub shadow: bool,
    /// In shadow what it would be.
    pub verdict: LoadVerdict,
    /// Of a request that is shed: from when on it is not, if nothing more comes. At the earliest
    /// where that is reported; at the latest where requests in flight are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passes: Option<Moment>,
    /// What its client is told to wait, where that is another wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_wait_seconds: Option<u64>,
}

/// What a load of 100 percent is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedCapacity {
    /// Such as `1000/second` or `200 in flight`.
    pub limit: String,
    pub amount: u64,
    pub kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedReport {
    pub percent: u8,
    pub until: String,
}

/// In percent of the capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedThresholds {
    pub warn: u8,
    pub throttle: u8,
    pub shed: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadVerdict {
    Admitted,
    Shed,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    pub in_seconds: u64,
    pub at: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    pub name: String,
    pub value: String,
}

impl From<(String, String)> for Pair {
    fn from((name, value): (String, String)) -> Self {
        Self { name, value }
    }
}

/// Of a domain that no policy has.
pub fn unknown_domain(domain: &str, known: &[&str]) -> String {
    format!(
        "no policy has the domain `{domain}`, so requests pass without limits; known domains: `{}`",
        known.join("`, `")
    )
}
