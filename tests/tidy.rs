//! The conventions of this repository, checked: direction of imports, purity, sizes, words.
//!
//! Every rule is a plain scan of lines, so a finding always names a file and a line.
#![expect(clippy::unwrap_used, reason = "a test may stop at what it did not expect")]

use std::fs;
use std::path::{Path, PathBuf};

/// Modules of `src/`, lowest row first: each may use the rows before its own, never its own.
const ROWS: &[&[&str]] = &[
    &["time", "yaml"],
    &["limit", "clock", "readiness", "pb", "socket", "telemetry"],
    &["request"],
    &["policy"],
    &["decide"],
    &["journal"],
    &["usage"],
    &["store", "reports", "explain"],
    &["metrics"],
    &["source"],
    &["scenario", "convert"],
    &["schema"],
    &["grpc"],
    &["admin"],
    &["settings"],
    &["server"],
    &["bench"],
    &["cli"],
    &["main"],
];

/// Modules that decide: no clock, no I/O, no tasks, no wire types, no logging.
const PURE: &[&str] = &[
    "time", "yaml", "limit", "request", "policy", "decide", "usage", "explain", "scenario",
    "schema", "convert",
];

const IMPURE_WORDS: &[&str] = &[
    "tokio::",
    "tonic::",
    "prost",
    "axum::",
    "tracing::",
    "metrics::",
    "std::fs",
    "std::net::Tcp",
    "std::env",
    "std::thread",
    "std::process",
    "Instant",
    "SystemTime",
];

/// Lines of code in one file, tests apart.
const FILE_LINES_MAX: usize = 400;

/// Files that may be longer, with the length that they must not pass. The list only shrinks.
const LONGER: &[(&str, usize)] = &[];

const NAMES_REFUSED: &[&str] = &["util", "utils", "helper", "helpers", "common", "misc", "manager"];

struct SourceFile {
    /// From the root of the repository, with `/`.
    path: String,
    text: String,
}

impl SourceFile {
    /// The module of `src/` that the file belongs to; `None` outside of it.
    fn module(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        let first = inside.split('/').next()?;
        Some(first.strip_suffix(".rs").unwrap_or(first))
    }

    /// Lines that ship, numbered from 1: all before the inline test module.
    fn shipped_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let is_test_file = self.path.ends_with("tests.rs") || self.path.contains("/tests/");
        let end = if is_test_file {
            0
        } else {
            self.text.find("\n#[cfg(test)]\nmod tests {").unwrap_or(self.text.len())
        };
        self.text[..end].lines().zip(1..).map(|(line, number)| (number, line))
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<SourceFile> {
    let mut files = Vec::new();
    for folder in ["src", "tests", "benches"] {
        collect(&root().join(folder), &mut files);
    }
    assert!(files.len() > 20, "the scan sees the sources");
    files
}

fn collect(folder: &Path, files: &mut Vec<SourceFile>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let relative = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
            files.push(SourceFile { path: relative, text: fs::read_to_string(&path).unwrap() });
        }
    }
}

fn row(module: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&module))
}

/// The modules that a line names through `crate::`.
fn crate_modules(line: &str) -> Vec<&str> {
    let code = line.split("//").next().unwrap_or_default();
    let names = code
        .match_indices("crate::")
        .filter(|(at, _)| !code[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_'));
    let name = |(at, found): (usize, &str)| {
        let rest = &code[at + found.len()..];
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        &rest[..end]
    };
    names.map(name).collect()
}

/// Whether a module's file may name another module.
fn may_use(user: &str, used: &str) -> bool {
    match (row(user), row(used)) {
        (Some(user_row), Some(used_row)) => user == used || used_row < user_row,
        _ => false,
    }
}

fn report(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn modules_use_only_rows_below_their_own() {
    let mut findings = Vec::new();
    for file in sources() {
        let Some(module) = file.module().filter(|module| *module != "lib") else { continue };
        if row(module).is_none() {
            findings.push(format!("{}: `{module}` has no row in tests/tidy.rs", file.path));
        }
        for (number, line) in file.shipped_lines() {
            for used in crate_modules(line) {
                if !may_use(module, used) {
                    findings
                        .push(format!("{}:{number}: `{module}` may not use `{used}`", file.path));
                }
            }
        }
    }
    report(&findings);
}

#[test]
fn deciding_modules_are_pure() {
    let mut findings = Vec::new();
    for file in sources() {
        if !file.module().is_some_and(|module| PURE.contains(&module)) {
            continue;
        }
        for (number, line) in file.shipped_lines() {
            let code = line.split("//").next().unwrap_or_default();
            for word in IMPURE_WORDS.iter().filter(|word| code.contains(**word)) {
                findings.push(format!("{}:{number}: `{word}` in a pure module", file.path));
            }
        }
    }
    report(&findings);
}

#[test]
fn files_are_small_and_say_what_they_are() {
    let mut findings = Vec::new();
    for file in sources() {
        if !file.text.starts_with("//!") {
            findings.push(format!("{}: begins without saying what it is (`//! …`)", file.path));
        }
        let longer = LONGER.iter().find(|(path, _)| *path == file.path);
        let lines_max = longer.map_or(FILE_LINES_MAX, |(_, lines)| *lines);
        let code = file.shipped_lines().filter(|(_, line)| {
            let line = line.trim();
            !line.is_empty() && !line.starts_with("//")
        });
        let lines = code.count();
        if lines > lines_max {
            findings.push(format!("{}: {lines} lines of code, {lines_max} at most", file.path));
        }
    }
    report(&findings);
}

#[test]
fn names_say_what_things_are() {
    let mut findings = Vec::new();
    for file in sources() {
        let stem = Path::new(&file.path).file_stem().unwrap().to_string_lossy().into_owned();
        if NAMES_REFUSED.contains(&stem.as_str()) {
            findings.push(format!("{}: a name that says nothing", file.path));
        }
        for (number, line) in file.shipped_lines() {
            let code = line.trim_start();
            for start in ["fn get_", "pub fn get_", "fn do_", "pub fn do_", "fn set_up_and_"] {
                if code.starts_with(start) {
                    findings.push(format!("{}:{number}: `{start}…` is no name here", file.path));
                }
            }
        }
    }
    report(&findings);
}

#[test]
fn nothing_is_left_for_later_in_the_code() {
    let marks = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["#[ign", "ore"].concat()];
    let mut findings = Vec::new();
    for file in sources() {
        for (line, number) in file.text.lines().zip(1..) {
            if let Some(mark) = marks.iter().find(|mark| line.contains(mark.as_str())) {
                findings.push(format!("{}:{number}: `{mark}`", file.path));
            }
        }
    }
    report(&findings);
}

#[test]
fn the_clock_the_environment_and_the_wire_have_one_place_each() {
    let places: &[(&str, &[&str])] = &[
        ("SystemTime::now", &["src/clock/"]),
        ("Instant::now", &["src/clock/"]),
        ("clock_gettime", &["src/clock/"]),
        ("env::var", &["src/settings.rs", "src/settings/"]),
        ("crate::pb", &["src/grpc/", "src/bench/", "src/admin/json.rs"]),
    ];
    let mut findings = Vec::new();
    for file in sources().iter().filter(|file| file.path.starts_with("src/")) {
        for (number, line) in file.shipped_lines() {
            let code = line.split("//").next().unwrap_or_default();
            for (word, allowed) in places {
                let is_allowed = allowed.iter().any(|place| file.path.starts_with(place));
                if code.contains(word) && !is_allowed {
                    findings
                        .push(format!("{}:{number}: `{word}` belongs in {allowed:?}", file.path));
                }
            }
        }
    }
    report(&findings);
}

#[test]
fn every_page_that_is_linked_exists() {
    let mut findings = Vec::new();
    let mut pages = vec![];
    for folder in ["", "docs", "examples/envoy", "helm/tollgate"] {
        let Ok(entries) = fs::read_dir(root().join(folder)) else { continue };
        let entries = entries.map(|entry| entry.unwrap().path());
        pages.extend(entries.filter(|path| path.extension().is_some_and(|e| e == "md")));
    }
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for (_, rest) in text.match_indices("](").map(|(at, _)| text.split_at(at + 2)) {
            let target = rest.split(')').next().unwrap_or_default();
            let file = target.split('#').next().unwrap_or_default();
            let is_local = !file.is_empty() && !file.contains("://") && !file.contains(' ');
            if is_local && !page.parent().unwrap().join(file).exists() {
                findings.push(format!("{}: links to `{target}`", page.display()));
            }
        }
    }
    report(&findings);
}

#[test]
fn the_scan_itself_finds_what_it_looks_for() {
    assert_eq!(crate_modules("use crate::limit::{Limit};"), ["limit"]);
    assert_eq!(crate_modules("let x = crate::time::Span::ZERO; // crate::grpc"), ["time"]);
    assert_eq!(crate_modules("use other_crate::grpc;"), Vec::<&str>::new());
    assert!(may_use("decide", "policy") && may_use("policy", "policy"));
    assert!(!may_use("policy", "decide") && !may_use("store", "metrics"));
    let file = SourceFile {
        path: "src/limit/x.rs".into(),
        text: "//! What.\nfn a() {}\n#[cfg(test)]\nmod tests {\nuse crate::grpc;\n}".into(),
    };
    assert_eq!(file.module(), Some("limit"));
    assert_eq!(file.shipped_lines().count(), 2);
}
