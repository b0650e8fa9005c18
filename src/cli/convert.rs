//! `tollgate convert`: policies of other servers as native ones.
//!
//! What is written has been loaded by our own compiler before, and takes the place of no file
//! unless that is asked for.

use std::collections::HashSet;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::check::{counted, print_problems};
use super::{FAILED, Merging, USAGE, complain};
use crate::convert::draft::Draft;
use crate::convert::{self, Converted, Counts, Format, write};
use crate::policy::diagnostic::{Diagnostic, Severity};
use crate::policy::model::{Options, Source};
use crate::policy::set::CounterSeed;
use crate::source::{self, files};
use crate::yaml;

/// The path of a standard stream.
const STREAM: &str = "-";

/// Bytes of the longest name that is made of a domain; file systems take 255 with what comes after.
const LONGEST_NAME: usize = 200;

const AFTER_HELP: &str = "\
Examples:
  tollgate convert ratelimit.yaml                       # to standard output
  tollgate convert config/ --output policies/           # a file for each domain
  kubectl get configmap limits -o yaml | tollgate convert - --output limits.yaml

What the native language says otherwise, or cannot say, stands as a comment above the rule that it
is about. Read the comments, then try the policy with `tollgate explain` and `tollgate test`.

Exit codes: 0 converted, 1 it did not work out, 2 wrong usage.";

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Files or folders with policies of another server; `-` is standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// The server that the policies are for [default: what their keys say]
    #[arg(long, value_enum)]
    from: Option<From>,

    #[command(flatten)]
    merging: Merging,

    /// A file (`NAME.yaml`), a folder for one file per domain, or `-` [default: standard output]
    #[arg(long, short, value_name = "FILE|DIR")]
    output: Option<PathBuf>,

    /// Write over files that exist
    #[arg(long, requires = "output")]
    force: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum From {
    /// Documents with `descriptors:`
    #[value(aliases = ["ratelimit", "envoyproxy/ratelimit"])]
    EnvoyproxyRatelimit,
    /// Lists of limits with a `namespace`, and Kubernetes objects that hold them
    Limitador,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let sources = match read(&arguments.paths) {
        Ok(sources) => sources,
        Err(error) => {
            complain(&error);
            return ExitCode::from(USAGE);
        }
    };
    let from = arguments.from.map(|from| match from {
        From::EnvoyproxyRatelimit => Format::Ratelimit,
        From::Limitador => Format::Limitador,
    });
    let Converted { drafts, sources, diagnostics, problems } =
        convert::convert(&sources, from, &arguments.merging.options().descriptors);
    print_problems(&sources, &diagnostics);
    problems.iter().for_each(|problem| complain(problem));
    let Some(drafts) = drafts else {
        return ExitCode::from(FAILED);
    };
    let output = arguments.output.as_deref().filter(|output| *output != Path::new(STREAM));
    let written = written(&drafts, output);
    if let Err(problem) = check(&written).and_then(|()| put(&written, arguments.force)) {
        complain(&problem);
        return ExitCode::from(FAILED);
    }
    let text = written.iter().filter(|(path, _)| path.is_none()).map(|(_, text)| text.as_str());
    if let Err(failed) = super::print(&text.collect::<String>()) {
        return failed;
    }
    sum_up(&drafts, &written);
    ExitCode::SUCCESS
}

fn sum_up(drafts: &[Draft], written: &[(Option<PathBuf>, String)]) {
    for path in written.iter().filter_map(|(path, _)| path.as_ref()) {
        anstream::eprintln!("wrote {}", path.display());
    }
    let counts = Counts::of(drafts);
    anstream::eprintln!(
        "{} of {}, with {} on what differs",
        counted(counts.rules, "rule", "rules"),
        counted(counts.domains, "domain", "domains"),
        counted(counts.notes, "comment", "comments"),
    );
    for draft in drafts.iter().filter(|draft| !draft.uncarried.is_empty()) {
        let Draft { domain, uncarried, .. } = draft;
        anstream::eprintln!(
            "warning: {} of `{domain}` not carried, and nothing limits it yet: {}; the comments at \
             the top say why",
            counted(uncarried.len(), "limit", "limits"),
            uncarried.join(", ")
        );
    }
}

fn read(paths: &[PathBuf]) -> anyhow::Result<Vec<Source>> {
    let (inputs, paths): (Vec<PathBuf>, Vec<PathBuf>) =
        paths.iter().cloned().partition(|path| path == Path::new(STREAM));
    let mut sources = match paths.is_empty() {
        true => Vec::new(),
        false => files::read(&paths)?,
    };
    if !inputs.is_empty() {
        let mut text = String::new();
        let read = io::stdin().take(yaml::MAX_BYTES as u64 + 1).read_to_string(&mut text);
        read.map_err(|error| anyhow::anyhow!("cannot read standard input: {error}"))?;
        sources.push(Source { name: "-".to_owned(), text });
    }
    Ok(sources)
}

/// The texts to write, each with the path of its file; with none for standard output.
fn written(drafts: &[Draft], output: Option<&Path>) -> Vec<(Option<PathBuf>, String)> {
    let Some(output) = output else {
        return vec![(None, write::documents(drafts))];
    };
    let has_extension = output.extension().is_some_and(|it| it == "yaml" || it == "yml");
    let is_folder = output.is_dir() || (!has_extension && !output.exists());
    if !is_folder {
        return vec![(Some(output.to_owned()), write::documents(drafts))];
    }
    let mut taken = HashSet::new();
    let file = |draft: &Draft| {
        let name = file_name(&draft.domain, &mut taken);
        (Some(output.join(name)), write::document(draft))
    };
    drafts.iter().map(file).collect()
}

/// A name that is a file of the folder, and not hidden in it, whatever the domain is called.
fn file_name(domain: &str, taken: &mut HashSet<String>) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name: String = domain.chars().map(|c| if is_plain(c) { c } else { '-' }).collect();
    let name = &name[..name.floor_char_boundary(LONGEST_NAME)];
    let name = name.trim_start_matches('.').trim_end_matches(".test");
    let stem = if name.is_empty() { "policy" } else { name };
    let numbered = (2_u32..).map(|number| format!("{stem}-{number}"));
    let mut names = std::iter::once(stem.to_owned()).chain(numbered);
    let free = names.find(|name| taken.insert(name.to_lowercase())).unwrap_or_default();
    format!("{free}.yaml")
}

/// Loads what is about to be written, as a server would.
fn check(written: &[(Option<PathBuf>, String)]) -> Result<(), String> {
    let source = |(path, text): &(Option<PathBuf>, String)| Source {
        name: path.as_ref().map_or("converted".to_owned(), |path| path.display().to_string()),
        text: text.clone(),
    };
    let sources: Vec<Source> = written.iter().map(source).collect();
    if let Some(large) = sources.iter().find(|source| source.text.len() > yaml::MAX_BYTES) {
        return Err(format!(
            "the policy `{}` would be larger than {} MiB, the most that is loaded; convert parts of \
             it, or write a folder with `--output`",
            large.name,
            yaml::MAX_BYTES >> 20
        ));
    }
    let mut compiled = source::compile(&sources, CounterSeed([0, 0]), &Options::default());
    if compiled.set.is_some() {
        return Ok(());
    }
    compiled.diagnostics.retain(|found: &Diagnostic| found.severity == Severity::Error);
    print_problems(&sources, &compiled.diagnostics);
    Err("the converted policy does not load, so nothing is written; this is a fault of tollgate: \
         please report it with the policy that you converted"
        .to_owned())
}

/// Writes all files, or none if one of them exists or cannot be written.
fn put(written: &[(Option<PathBuf>, String)], force: bool) -> Result<(), String> {
    let files: Vec<(&Path, &str)> =
        written.iter().filter_map(|(path, text)| Some((path.as_deref()?, text.as_str()))).collect();
    if !force
        && let Some((path, _)) = files.iter().find(|(path, _)| path.symlink_metadata().is_ok())
    {
        return Err(format!(
            "`{}` exists; name another output, or write over it with `--force`",
            path.display()
        ));
    }
    let mut created = Vec::new();
    // Every file is opened before the first text is written: what fails then has changed nothing.
    let opened = files.iter().try_for_each(|(path, _)| {
        open(path, force, &mut created).map_err(|error| unwritable(path, &error))
    });
    let done = opened.and_then(|()| {
        files.iter().try_for_each(|(path, text)| {
            std::fs::write(path, text).map_err(|error| unwritable(path, &error))
        })
    });
    if done.is_err() {
        created.iter().for_each(|path| drop(std::fs::remove_file(path)));
    }
    done
}

/// Whether a file can be written; one that is not there is made.
fn open<'p>(path: &'p Path, force: bool, created: &mut Vec<&'p Path>) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(_) => created.push(path),
        Err(error) if force && error.kind() == io::ErrorKind::AlreadyExists => {
            OpenOptions::new().write(true).open(path)?;
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

fn unwritable(path: &Path, error: &io::Error) -> String {
    let folder = path.parent().filter(|folder| folder.is_file());
    match folder {
        Some(file) => format!(
            "cannot write `{}`: `{}` is a file, not a folder; name another output",
            path.display(),
            file.display()
        ),
        None => format!("cannot write `{}`: {error}; name another output", path.display()),
    }
}
