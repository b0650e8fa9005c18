//! The JSON Schemas of policies and of scenario files, which editors complete and check by.
//!
//! They are draft-07, the draft that the editors' YAML language server implements whole; of later
//! drafts it knows parts. A schema refuses nothing that the readers accept, and knows every key
//! that they know; what only a reader can tell (names, formulas, conditions) it lets pass.

#[cfg(test)]
mod tests;

/// Of one document of a policy file, native or in the envoyproxy/ratelimit format.
pub const POLICY: &str = include_str!("../../policies/policy.schema.json");

/// Of a scenario file (`*.test.yaml`).
pub const SCENARIOS: &str = include_str!("../../policies/scenarios.schema.json");
