//! `tollgate explain`: which rules a request meets, which counters they charge, and why others
//! do not apply.
//!
//! It asks the code that serving runs; nothing is charged and no server is needed.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use super::{FAILED, USAGE, complain};
use crate::clock::Clock;
use crate::decide::explain::{
    Application, Applied, DescriptorExplanation, RuleExplanation, explain,
};
use crate::limit::{Hits, Kind, Limit, Window};
use crate::policy::load::{Capacity, Load};
use crate::policy::matcher::tree::{Choice, TreeStep};
use crate::policy::model::Mode;
use crate::policy::set::{CounterSeed, PolicySet, Rule};
use crate::request::{Descriptor, Entry, Request};
use crate::source::files;
use crate::time::Timestamp;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tollgate explain --domain quickstart tenant=acme method=POST endpoint=/orders
  tollgate explain --domain edge --descriptor tenant=acme --descriptor app=monitoring

Exit codes: 0 explained, 1 no such domain or the policies have errors, 2 wrong usage.")]
pub(super) struct Arguments {
    /// Files or folders with policies
    #[arg(long, value_name = "PATH", default_value = "policies")]
    policies: Vec<PathBuf>,

    /// The domain that Envoy's filter sends
    #[arg(long)]
    domain: String,

    /// The entries of one descriptor, in order
    #[arg(value_name = "KEY=VALUE", required_unless_present = "descriptors")]
    entries: Vec<String>,

    /// A further descriptor of the same call: `key=value,key=value`
    #[arg(long = "descriptor", value_name = "ENTRIES")]
    descriptors: Vec<String>,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match explained(arguments) {
        Ok(text) => {
            anstream::print!("{text}");
            ExitCode::SUCCESS
        }
        Err(code) => ExitCode::from(code),
    }
}

/// The text to print, or the exit code after the problem was printed.
fn explained(arguments: &Arguments) -> Result<String, u8> {
    let usage = |problem: &dyn std::fmt::Display| {
        complain(problem);
        USAGE
    };
    let mut descriptors: Vec<Vec<(&str, &str)>> = Vec::new();
    if !arguments.entries.is_empty() {
        let entries = arguments.entries.iter().map(|entry| split_entry(entry));
        descriptors.push(entries.collect::<Result<_, _>>().map_err(|error| usage(&error))?);
    }
    for descriptor in &arguments.descriptors {
        let entries = descriptor.split(',').map(split_entry);
        descriptors.push(entries.collect::<Result<_, _>>().map_err(|error| usage(&error))?);
    }
    let sources = files::read(&arguments.policies).map_err(|error| usage(&error))?;
    let compiled = crate::policy::compile(&sources, CounterSeed([0, 0]), Mode::Enforce);
    let Some(set) = compiled.set else {
        super::check::print_problems(&sources, &compiled.diagnostics);
        return Err(FAILED);
    };
    let request = request_of(&arguments.domain, &descriptors);
    let now = Clock::system().now();
    let Some(explanations) = explain(&set, &request, now) else {
        complain(&unknown_domain(&arguments.domain, &set));
        return Err(FAILED);
    };
    Ok(render(&arguments.domain, &descriptors, &explanations, now))
}

fn split_entry(entry: &str) -> Result<(&str, &str), String> {
    let hint = "write `key=value`, such as `tenant=acme`";
    match entry.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key, value)),
        Some(_) => Err(format!("the entry `{entry}` has no key; {hint}")),
        None => Err(format!("the entry `{entry}` has no value; {hint}")),
    }
}

fn request_of<'a>(domain: &'a str, descriptors: &[Vec<(&'a str, &'a str)>]) -> Request<'a> {
    let entry =
        |(key, value): &(&'a str, &'a str)| Entry { key: key.as_bytes(), value: value.as_bytes() };
    let descriptor = |entries: &Vec<(&'a str, &'a str)>| Descriptor {
        entries: entries.iter().map(entry).collect(),
        hits: Hits::Take(1),
        limit: None,
    };
    Request { domain: domain.as_bytes(), descriptors: descriptors.iter().map(descriptor).collect() }
}

fn unknown_domain(domain: &str, set: &PolicySet) -> String {
    let known: Vec<&str> = set.domains.iter().map(|domain| domain.name.as_ref()).collect();
    format!(
        "no policy has the domain `{domain}`, so requests pass without limits; known domains: `{}`",
        known.join("`, `")
    )
}

fn render(
    domain: &str,
    descriptors: &[Vec<(&str, &str)>],
    explanations: &[DescriptorExplanation<'_>],
    now: Timestamp,
) -> String {
    let mut text = String::new();
    for (entries, explanation) in descriptors.iter().zip(explanations) {
        let entries = entries.iter().map(|(key, value)| format!("{key}={value}"));
        let entries: Vec<String> = entries.collect();
        let _ = writeln!(text, "domain {domain}, descriptor {}", entries.join(" "));
        if !explanation.attributes.is_empty() {
            let _ = writeln!(text, "  attributes: {}", pairs(&explanation.attributes));
        }
        for step in &explanation.steps {
            let _ = writeln!(text, "  {}", step_in_words(step));
        }
        render_rules(&mut text, explanation, now);
        if let Some((load, is_exempt)) = explanation.load {
            let _ = writeln!(text, "load\n  {}", load_in_words(load, is_exempt));
        }
    }
    text
}

fn render_rules(text: &mut String, explanation: &DescriptorExplanation<'_>, now: Timestamp) {
    let mut missing = String::new();
    let mut is_limited = false;
    for RuleExplanation { rule, application } in &explanation.rules {
        match application {
            Application::Applies(applied) => {
                is_limited |= !applied.limits.is_empty();
                render_applying(text, rule, applied, now);
            }
            Application::ReplacedBy(by) => {
                let _ = writeln!(text, "  - {}: replaced by `{by}`", rule.name);
            }
            Application::Misses(why) => {
                let _ = writeln!(missing, "  - {}: {why}", rule.name);
            }
        }
    }
    if !is_limited {
        text.push_str("  nothing limits this descriptor\n");
    }
    if !missing.is_empty() {
        text.push_str("does not apply\n");
        text.push_str(&missing);
    }
}

fn render_applying(text: &mut String, rule: &Rule, applied: &Applied<'_>, now: Timestamp) {
    let shadow = match rule.mode {
        Mode::Enforce => "",
        Mode::Shadow => " (shadow: measured, not enforced)",
    };
    let _ = writeln!(text, "  + {}: applies{shadow}", rule.name);
    if let Some(over) = applied.overridden {
        let reason =
            if over.reason.is_empty() { String::new() } else { format!(": {}", over.reason) };
        let ends = over.until.map(|until| format!(", for {} more", until.since(now)));
        let _ = writeln!(text, "      overridden{}{reason}", ends.unwrap_or_default());
    }
    if applied.limits.is_empty() {
        text.push_str("      unlimited\n");
    }
    if applied.cost != 1 {
        let _ = writeln!(text, "      each hit counts {}", applied.cost);
    }
    let counter = match applied.key.as_slice() {
        [] => "one counter for everybody".to_owned(),
        key => format!("counter of {}", pairs(key)),
    };
    for (_, limit, _) in &applied.limits {
        let ends = match limit.kind {
            Kind::Fixed(window) => window_end(window, now),
            Kind::Rolling(_) => "hits leave one window after they came".to_owned(),
            Kind::Bucket { .. } => "refills evenly".to_owned(),
            Kind::Concurrent { .. } => "free again when given back".to_owned(),
        };
        let _ = writeln!(text, "      {limit}, {counter}; {ends}");
    }
}

fn load_in_words(load: &Load, is_exempt: bool) -> String {
    let measured = match load.capacity {
        None => "only what is reported".to_owned(),
        Some(Capacity { amount, limit, .. }) => Limit { amount, ..limit }.to_string(),
    };
    let shed = load.thresholds.shed;
    match (is_exempt, load.is_enforced()) {
        (true, _) => format!("never shed: exempt; 100 % is {measured}"),
        (false, true) => format!("shed from {shed} % on; 100 % is {measured}"),
        (false, false) => format!("not shed (shadow: measured only); 100 % is {measured}"),
    }
}

fn window_end(window: Window, now: Timestamp) -> String {
    format!("this window ends in {}", window.end(now).since(now))
}

fn pairs(pairs: &[(String, String)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join(" ")
}

fn step_in_words(step: &TreeStep) -> String {
    let TreeStep { key, value, choice, has_limit } = step;
    let limit = if *has_limit { "has a limit" } else { "has no limit of its own" };
    match choice {
        Some(Choice::Exact) => format!("{key}={value}: the rule for this value; {limit}"),
        Some(Choice::Wildcard) => format!("{key}={value}: a rule with a wildcard; {limit}"),
        Some(Choice::KeyOnly) => format!("{key}={value}: the rule for every value; {limit}"),
        None => format!("{key}={value}: no rule at this level, so nothing applies"),
    }
}
