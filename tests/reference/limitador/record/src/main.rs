//! Records what the Limitador library answers, for tests that hold converted limits against it.
//!
//! ```text
//! cd tests/reference/limitador/record && cargo run
//! ```
//!
//! Run from its own folder, it builds below the `target/` of the repository. For every
//! `NAME.limits.yaml` one folder up it makes the calls of `NAME.calls.json` and writes `NAME.json`.
//! Names after `cargo run --` record only those. The library reads the machine's clock, so a call
//! is made at the second that its `at` says, and the recording has the time it was really made.
//!
//! What the server does to a message before it asks the library is done here too: 0 hits are 1,
//! and of two entries with one key the last counts.
//!
//! A recording whose name begins with `differs-` has steps that a converted policy answers
//! otherwise, for the reason that its `about` gives.

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use limitador::limit::{Context, Limit};
use limitador::RateLimiter;
use serde::{Deserialize, Serialize};
use serde_yaml::Value;

const LIBRARY: &str = "limitador 0.14.0, in memory";

#[derive(Deserialize)]
struct Calls {
    about: String,
    calls: Vec<Call>,
}

#[derive(Deserialize)]
struct Call {
    /// Seconds since the first call.
    at: f64,
    request: Request,
}

#[derive(Clone, Deserialize, Serialize)]
struct Request {
    domain: String,
    hits_addend: u64,
    descriptors: Vec<Descriptor>,
}

#[derive(Clone, Deserialize, Serialize)]
struct Descriptor {
    entries: Vec<(String, String)>,
}

#[derive(Serialize)]
struct Recording {
    about: String,
    by: &'static str,
    limits: String,
    steps: Vec<Step>,
}

#[derive(Serialize)]
struct Step {
    at: f64,
    request: Request,
    answer: Answer,
}

#[derive(Serialize)]
struct Answer {
    overall: &'static str,
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let file = entry?.file_name().to_string_lossy().into_owned();
        names.extend(file.strip_suffix(".limits.yaml").map(str::to_owned));
    }
    names.sort();
    names.retain(|name| wanted.is_empty() || wanted.contains(name));
    for name in names {
        let recording = record(&folder, &name).map_err(|error| format!("{name}: {error}"))?;
        let text = serde_json::to_string_pretty(&recording)?;
        fs::write(folder.join(format!("{name}.json")), text + "\n")?;
        println!("{name}: {} steps", recording.steps.len());
    }
    Ok(())
}

fn record(folder: &Path, name: &str) -> Result<Recording, Box<dyn Error>> {
    let limits = format!("{name}.limits.yaml");
    let calls = fs::read_to_string(folder.join(format!("{name}.calls.json")))?;
    let calls: Calls = serde_json::from_str(&calls)?;
    let limiter = RateLimiter::new(1_000);
    limiter.configure_with(limits_of(&fs::read_to_string(folder.join(&limits))?)?)?;
    let start = Instant::now();
    let mut steps = Vec::new();
    for call in calls.calls {
        sleep(Duration::from_secs_f64(call.at).saturating_sub(start.elapsed()));
        let at = (start.elapsed().as_secs_f64() * 1_000.0).round() / 1_000.0;
        let overall = answer(&limiter, &call.request)?;
        steps.push(Step { at, request: call.request, answer: Answer { overall } });
    }
    Ok(Recording { about: calls.about, by: LIBRARY, limits, steps })
}

fn answer(limiter: &RateLimiter, request: &Request) -> Result<&'static str, Box<dyn Error>> {
    let entries = |descriptor: &Descriptor| descriptor.entries.iter().cloned().collect();
    let descriptors: Vec<HashMap<String, String>> =
        request.descriptors.iter().map(entries).collect();
    let mut context = Context::default();
    context.list_binding("descriptors".to_owned(), descriptors);
    let namespace = request.domain.as_str().into();
    let hits = request.hits_addend.max(1);
    let result = limiter.check_rate_limited_and_update(&namespace, &context, hits)?;
    Ok(if result.limited { "OVER_LIMIT" } else { "OK" })
}

/// A plain list, the limits of a `Limitador` object, or the list in a ConfigMap.
fn limits_of(text: &str) -> Result<Vec<Limit>, Box<dyn Error>> {
    let document: Value = serde_yaml::from_str(text)?;
    let list = match document.get("kind").and_then(Value::as_str) {
        Some("Limitador") => document["spec"]["limits"].clone(),
        Some("ConfigMap") => {
            let data = document["data"].as_mapping().ok_or("no data")?;
            let file = data.values().find_map(Value::as_str).ok_or("no file")?;
            serde_yaml::from_str(file)?
        }
        _ => document,
    };
    Ok(serde_yaml::from_value(list)?)
}
