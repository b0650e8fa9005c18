//! `tollgate schema`: prints a JSON Schema for editors.
//!
//! What it prints is the file that lies beside the shipped policies, byte for byte.

use std::process::ExitCode;

use crate::schema;

const AFTER_HELP: &str = "\
Examples:
  tollgate schema >policy.schema.json
  tollgate schema --of scenarios >scenarios.schema.json

Editors with a YAML language server use it in files that begin with
  # yaml-language-server: $schema=policy.schema.json

Exit codes: 0 printed, 2 wrong usage.";

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Of which files
    #[arg(long, value_enum, default_value_t = Of::Policies)]
    of: Of,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Of {
    /// Policies, native and in the envoyproxy/ratelimit format
    Policies,
    /// Scenario files (`*.test.yaml`)
    Scenarios,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let text = match arguments.of {
        Of::Policies => schema::POLICY,
        Of::Scenarios => schema::SCENARIOS,
    };
    super::print_all(text)
}
