//! `tollgate explain`: how a request would be decided now, by which rules and counters, and why
//! other rules do not apply.
//!
//! It asks the code that serving runs: with policy files on fresh counters, or a running server on
//! its own. Nothing is counted either way.

use std::path::PathBuf;
use std::process::ExitCode;

use http::StatusCode;
use serde_json::{Value, json};

use super::ask::{self, Server};
use super::{FAILED, USAGE, complain};
use crate::admin;
use crate::clock::Clock;
use crate::explain::text::{Shown, harmless, render};
use crate::explain::{Explanation, explain, unknown_domain};
use crate::limit::Hits;
use crate::policy::set::CounterSeed;
use crate::request::{Descriptor, Entry, Request};
use crate::source::files;
use crate::store::Store;
use crate::time::Timestamp;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tollgate explain --domain quickstart tenant=acme method=POST endpoint=/orders
  tollgate explain --domain quickstart --server http://127.0.0.1:8080 tenant=acme
  tollgate explain --domain edge --descriptor tenant=acme --descriptor app=monitoring

Without --server counters are fresh, as if nothing had come before.

Exit codes: 0 explained (denied or not), 1 no such domain, no answer, or the policies have
errors, 2 wrong usage.")]
pub(super) struct Arguments {
    /// Files or folders with policies
    #[arg(long, value_name = "PATH", default_value = "policies", conflicts_with = "server")]
    policies: Vec<PathBuf>,

    #[command(flatten)]
    merging: super::Merging,

    /// Ask a running server instead, with its policies and counters
    #[arg(long, value_name = "URL")]
    server: Option<Server>,

    /// The domain that Envoy's filter sends
    #[arg(long)]
    domain: String,

    /// The entries of one descriptor, in order
    #[arg(value_name = "KEY=VALUE", required_unless_present = "descriptors")]
    entries: Vec<String>,

    /// A further descriptor of the same call: `key=value,key=value`
    #[arg(long = "descriptor", value_name = "ENTRIES")]
    descriptors: Vec<String>,

    /// Hits of each descriptor; 0 looks without asking for any
    #[arg(long, value_name = "N", default_value_t = 1)]
    hits: u64,

    /// For this moment instead of now, such as `2026-01-31T23:59:00Z`
    #[arg(long, value_name = "TIME", conflicts_with = "server", value_parser = moment)]
    at: Option<Timestamp>,

    /// Show every rule that does not apply
    #[arg(long)]
    all: bool,

    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    /// The answer first, then the rules
    Human,
    /// One JSON document, as `/api/v1/explain` answers it
    Json,
}

/// Entries of one descriptor.
type Entries<'a> = Vec<(&'a str, &'a str)>;

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match explained(arguments) {
        Ok(explanation) => {
            let text = match arguments.format {
                Format::Human => human(arguments, &explanation),
                Format::Json => format!("{:#}\n", json!(explanation)),
            };
            super::print_all(&text)
        }
        Err(code) => ExitCode::from(code),
    }
}

fn human(arguments: &Arguments, explanation: &Explanation) -> String {
    let counters = match &arguments.server {
        Some(server) => format!("counters of {server}"),
        None => "fresh counters, as if nothing had come before".to_owned(),
    };
    render(explanation, Shown { counters: &counters, all: arguments.all })
}

/// The explanation, or the exit code after the problem was printed.
fn explained(arguments: &Arguments) -> Result<Explanation, u8> {
    let descriptors = descriptors(arguments).map_err(|problem| failed(&problem, USAGE))?;
    match &arguments.server {
        Some(server) => ask_server(arguments, server, &descriptors),
        None => from_files(arguments, &descriptors),
    }
}

fn failed(problem: &dyn std::fmt::Display, code: u8) -> u8 {
    complain(problem);
    code
}

fn from_files(arguments: &Arguments, descriptors: &[Entries<'_>]) -> Result<Explanation, u8> {
    let sources = files::read(&arguments.policies).map_err(|error| failed(&error, USAGE))?;
    let compiled =
        crate::source::compile(&sources, CounterSeed([0, 0]), &arguments.merging.options());
    let Some(set) = compiled.set else {
        super::check::print_problems(&sources, &compiled.diagnostics);
        return Err(FAILED);
    };
    let request = request_of(arguments, descriptors);
    let now = arguments.at.unwrap_or_else(|| Clock::system().now());
    let fresh = Store::memory();
    let explanation = explain(&set, &request, now, |_| None, |charges| fresh.try_out(charges, now));
    explanation.ok_or_else(|| {
        let known: Vec<&str> = set.domains.iter().map(|domain| domain.name.as_ref()).collect();
        failed(&unknown_domain(&arguments.domain, &known), FAILED)
    })
}

fn ask_server(
    arguments: &Arguments,
    server: &Server,
    descriptors: &[Entries<'_>],
) -> Result<Explanation, u8> {
    let entry = |(key, value): &(&str, &str)| json!({ "key": key, "value": value });
    let descriptor = |entries: &Entries<'_>| {
        let entries: Vec<Value> = entries.iter().map(entry).collect();
        json!({ "entries": entries, "hits": arguments.hits })
    };
    let descriptors: Vec<Value> = descriptors.iter().map(descriptor).collect();
    let body = json!({ "domain": arguments.domain, "descriptors": descriptors });
    let (status, answer) = ask::post(server, admin::EXPLAIN, body.to_string())
        .map_err(|error| failed(&error, FAILED))?;
    if status == StatusCode::OK
        && let Ok(explanation) = serde_json::from_slice(&answer)
    {
        return Ok(explanation);
    }
    let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
    match (status, answer["error"].as_str()) {
        (StatusCode::NOT_FOUND, Some(problem)) if answer["known_domains"].is_array() => {
            Err(failed(&harmless(problem), FAILED))
        }
        (StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE, Some(problem)) => {
            Err(failed(&harmless(problem), USAGE))
        }
        _ => Err(failed(
            &format_args!(
                "`{server}` answers {status}, but not with an explanation: it is not tollgate, or \
                 an older one; `--server` takes what `--http` of `tollgate serve` says"
            ),
            FAILED,
        )),
    }
}

fn descriptors(arguments: &Arguments) -> Result<Vec<Entries<'_>>, String> {
    let mut descriptors = Vec::new();
    if !arguments.entries.is_empty() {
        let entries = arguments.entries.iter().map(|entry| split_entry(entry));
        descriptors.push(entries.collect::<Result<_, _>>()?);
    }
    for descriptor in &arguments.descriptors {
        let entries = descriptor.split(',').map(split_entry);
        descriptors.push(entries.collect::<Result<_, _>>()?);
    }
    Ok(descriptors)
}

fn split_entry(entry: &str) -> Result<(&str, &str), String> {
    let hint = "write `key=value`, such as `tenant=acme`";
    match entry.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key, value)),
        Some(_) => Err(format!("the entry `{entry}` has no key; {hint}")),
        None => Err(format!("the entry `{entry}` has no value; {hint}")),
    }
}

fn request_of<'a>(arguments: &'a Arguments, descriptors: &[Entries<'a>]) -> Request<'a> {
    let entry =
        |(key, value): &(&'a str, &'a str)| Entry { key: key.as_bytes(), value: value.as_bytes() };
    let descriptor = |entries: &Entries<'a>| Descriptor {
        entries: entries.iter().map(entry).collect(),
        hits: Hits::Take(arguments.hits),
        limit: None,
    };
    Request {
        domain: arguments.domain.as_bytes(),
        descriptors: descriptors.iter().map(descriptor).collect(),
    }
}

fn moment(text: &str) -> Result<Timestamp, String> {
    let moment: Option<jiff::Timestamp> = text.parse().ok();
    let nanos = moment.and_then(|moment| i64::try_from(moment.as_nanosecond()).ok());
    nanos
        .map(Timestamp::from_nanos)
        .ok_or_else(|| format!("`{text}` is not a time; write it such as `2026-01-31T23:59:00Z`"))
}
