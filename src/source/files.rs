//! Which files the policies are in, and their texts.
//!
//! A folder stands for its own `*.yaml` and `*.yml` files; files in folders below it are not
//! read, and neither are names that begin with a dot: a mounted ConfigMap keeps its files a
//! second time below `..data`. Scenario files (`*.test.yaml`) are never policies.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::policy::model::Source;
use crate::policy::tables;
use crate::yaml;

/// Why policies cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error(
        "no policy file in {}; {}put a `*.yaml` file there, or name another path",
        quoted(paths),
        if *has_folders { "folders below are not read: name them one by one, or " } else { "" }
    )]
    NoFiles { paths: Vec<PathBuf>, has_folders: bool },
    #[error(
        "`{shown}` is a scenario file, and no policy; run it with `tollgate test {shown}`",
        shown = path.display()
    )]
    Scenario { path: PathBuf },
    #[error(
        "no scenario file in {}; write `NAME.test.yaml` beside the policy `NAME.yaml`, or name \
         another path",
        quoted(paths)
    )]
    NoScenarios { paths: Vec<PathBuf> },
    #[error("cannot read `{}`: {cause}; {hint}", path.display())]
    Unreadable { path: PathBuf, cause: String, hint: &'static str },
}

fn quoted(paths: &[PathBuf]) -> String {
    let quoted: Vec<String> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
    quoted.join(", ")
}

/// The texts of all policy files below `paths`, ordered by name; each file once.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Source>, ReadError> {
    let mut sources = Texts::new();
    for path in paths {
        add_texts(&mut sources, policy_files(path)?)?;
    }
    if sources.is_empty() {
        let scenario = paths.iter().find(|path| file_name(path).is_some_and(is_scenario_name));
        if let Some(path) = scenario {
            return Err(ReadError::Scenario { path: path.clone() });
        }
        let has_folders = paths.iter().any(|path| has_folders(path));
        return Err(ReadError::NoFiles { paths: paths.to_vec(), has_folders });
    }
    add_tables(&mut sources);
    Ok(by_name(sources))
}

/// Texts by what their files are, however they are named: a file may be named itself and be in a
/// named folder too.
type Texts = BTreeMap<PathBuf, Source>;

fn add_texts(sources: &mut Texts, files: Vec<PathBuf>) -> Result<(), ReadError> {
    for file in files {
        let identity = std::fs::canonicalize(&file).map_err(|error| unreadable(&file, &error))?;
        let text = read_text(&file)?;
        let name = file.display().to_string();
        sources.entry(identity).or_insert(Source { name, text });
    }
    Ok(())
}

fn by_name(sources: Texts) -> Vec<Source> {
    let mut sources: Vec<Source> = sources.into_values().collect();
    sources.sort_by(|one, other| one.name.cmp(&other.name));
    sources
}

/// Adds the table files that policies name. One that cannot be read, or that a link leads out of
/// the folder of its policy, stays away: the reader of the policy then says so at its place.
fn add_tables(sources: &mut Texts) {
    let mut named: Vec<(PathBuf, String)> = Vec::new();
    let mut outside: Vec<String> = Vec::new();
    for source in sources.values() {
        let folder = match Path::new(&source.name).parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let Ok(root) = std::fs::canonicalize(folder) else { continue };
        for name in tables::files_named(source) {
            // Anything but a file might keep its reader waiting for ever.
            let identity = std::fs::canonicalize(&name).ok().filter(|it| it.is_file());
            match identity.filter(|it| it.starts_with(&root)) {
                Some(identity) => named.push((identity, name)),
                None => outside.push(name),
            }
        }
    }
    sources.retain(|_, source| !outside.contains(&source.name));
    for (identity, name) in named {
        if let Some(known) = sources.get_mut(&identity) {
            known.name = name;
        } else if let Ok(text) = read_text(Path::new(&name)) {
            sources.insert(identity, Source { name, text });
        }
    }
}

/// The texts of all scenario files below `paths`, ordered by name; each file once. A folder stands
/// for its own `*.test.yaml` and `*.test.yml` files.
pub fn read_scenarios(paths: &[PathBuf]) -> Result<Vec<Source>, ReadError> {
    let mut sources = Texts::new();
    for path in paths {
        let metadata = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
        let files = match metadata.is_dir() {
            true => files_in(path, is_visible_scenario_name)?,
            false => vec![path.to_owned()],
        };
        add_texts(&mut sources, files)?;
    }
    if sources.is_empty() {
        return Err(ReadError::NoScenarios { paths: paths.to_vec() });
    }
    Ok(by_name(sources))
}

fn policy_files(path: &Path) -> Result<Vec<PathBuf>, ReadError> {
    let metadata = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !metadata.is_dir() {
        let is_scenario = file_name(path).is_some_and(is_scenario_name);
        return Ok(if is_scenario { Vec::new() } else { vec![path.to_owned()] });
    }
    files_in(path, is_policy_name)
}

/// The files of a folder, not of those below it, whose names are as asked.
fn files_in(path: &Path, is_asked: fn(&str) -> bool) -> Result<Vec<PathBuf>, ReadError> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|error| unreadable(path, &error))? {
        let file = entry.map_err(|error| unreadable(path, &error))?.path();
        if !file_name(&file).is_some_and(is_asked) {
            continue;
        }
        let metadata = std::fs::metadata(&file).map_err(|error| unreadable(&file, &error))?;
        if metadata.is_file() {
            files.push(file);
        }
    }
    Ok(files)
}

/// What a folder holds that is neither a policy nor a scenario file, for its name or for being a
/// folder; nothing where it cannot be read.
pub fn passed_over(path: &Path) -> Vec<PathBuf> {
    let is_visible = |path: &PathBuf| file_name(path).is_some_and(|name| !name.starts_with('.'));
    let is_policy = |path: &PathBuf| file_name(path).is_some_and(is_policy_name) && path.is_file();
    let is_scenario = |path: &PathBuf| file_name(path).is_some_and(is_scenario_name);
    let entries = std::fs::read_dir(path).into_iter().flatten();
    let paths = entries.flatten().map(|entry| entry.path());
    let mut passed_over: Vec<PathBuf> =
        paths.filter(|path| is_visible(path) && !is_policy(path) && !is_scenario(path)).collect();
    passed_over.sort();
    passed_over
}

/// Whether policies may be in a folder below this one; those of mounts begin with a dot.
fn has_folders(path: &Path) -> bool {
    let is_folder = |path: PathBuf| {
        path.is_dir() && file_name(&path).is_some_and(|name| !name.starts_with('.'))
    };
    let entries = std::fs::read_dir(path).into_iter().flatten();
    entries.flatten().any(|entry| is_folder(entry.path()))
}

fn file_name(path: &Path) -> Option<&str> {
    path.file_name().and_then(|name| name.to_str())
}

pub(super) fn is_policy_name(name: &str) -> bool {
    let is_yaml = name.ends_with(".yaml") || name.ends_with(".yml");
    is_yaml && !name.starts_with('.') && !is_scenario_name(name)
}

fn is_visible_scenario_name(name: &str) -> bool {
    is_scenario_name(name) && !name.starts_with('.')
}

fn is_scenario_name(name: &str) -> bool {
    name.ends_with(".test.yaml") || name.ends_with(".test.yml")
}

/// Of a file that is larger than any policy may be only so much is read that its reader sees it.
fn read_text(path: &Path) -> Result<String, ReadError> {
    const LONGEST_CHARACTER: usize = 4;
    let most = (yaml::MAX_BYTES + LONGEST_CHARACTER) as u64;
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| {
        // Room for the whole file at once: growing piece by piece would take twice as much.
        let length = file.metadata().map_or(0, |metadata| metadata.len()).min(most);
        bytes.reserve_exact(usize::try_from(length).unwrap_or(0) + 1);
        file.take(most).read_to_end(&mut bytes)
    });
    read.map_err(|error| unreadable(path, &error))?;
    String::from_utf8(bytes).or_else(|error| {
        let valid = error.utf8_error().valid_up_to();
        if valid <= yaml::MAX_BYTES {
            return Err(unreadable(path, &io::ErrorKind::InvalidData.into()));
        }
        // The last character was cut in two.
        let mut bytes = error.into_bytes();
        bytes.truncate(valid);
        String::from_utf8(bytes).map_err(|_| unreadable(path, &io::ErrorKind::InvalidData.into()))
    })
}

fn unreadable(path: &Path, error: &io::Error) -> ReadError {
    let (cause, hint) = match error.kind() {
        io::ErrorKind::NotFound => {
            let hint = "check the path and what it links to, or name another file or folder, \
                        which `serve` and `explain` take as `--policies PATH`";
            ("it does not exist".to_owned(), hint)
        }
        io::ErrorKind::PermissionDenied => {
            ("permission denied".to_owned(), "let the user that runs tollgate read it")
        }
        io::ErrorKind::InvalidData => {
            ("it is not UTF-8 text".to_owned(), "save it as UTF-8, or move it elsewhere")
        }
        _ => (error.to_string(), "check the file and its folder"),
    };
    ReadError::Unreadable { path: path.to_owned(), cause, hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(paths: &[PathBuf]) -> Vec<String> {
        let name = |source: Source| Path::new(&source.name).file_name().unwrap().to_owned();
        let sources = read(paths).unwrap().into_iter();
        sources.map(|source| name(source).into_string().unwrap()).collect()
    }

    #[test]
    fn a_folder_stands_for_its_yaml_files_without_scenarios_and_dot_files() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.yaml", "a.yml", "a.test.yaml", ".hidden.yaml", "policy.schema.json"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        std::fs::create_dir(folder.path().join("below.yaml")).unwrap();
        let paths = [folder.path().to_owned(), folder.path().join("b.yaml")];
        assert_eq!(names(&paths), ["a.yml", "b.yaml"]);
    }

    #[test]
    fn what_is_passed_over_in_a_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.yaml", "limits", "b.test.yaml", ".hidden", "c.yml", "d.YAML"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        std::fs::create_dir(folder.path().join("below")).unwrap();
        let expected = ["below", "d.YAML", "limits"].map(|name| folder.path().join(name));
        assert_eq!(passed_over(folder.path()), expected);
        assert!(passed_over(&folder.path().join("a.yaml")).is_empty());
    }

    #[test]
    fn scenario_files_are_read_once_and_without_policies() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.test.yaml", "a.test.yml", "a.yaml", ".hidden.test.yaml"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        let again = folder.path().join(".").join("b.test.yaml");
        let sources = read_scenarios(&[folder.path().to_owned(), again]).unwrap();
        let texts: Vec<&str> = sources.iter().map(|source| source.text.as_str()).collect();
        assert_eq!(texts, ["a.test.yml", "b.test.yaml"]);
        let empty = tempfile::tempdir().unwrap();
        let error = read_scenarios(&[empty.path().to_owned()]).unwrap_err().to_string();
        assert!(error.contains("no scenario file in"), "{error}");
    }

    #[test]
    fn a_config_map_is_read_through_its_links_and_only_once() {
        let folder = tempfile::tempdir().unwrap();
        let version = folder.path().join("..2026_01_01");
        std::fs::create_dir(&version).unwrap();
        std::fs::write(version.join("a.yaml"), "text").unwrap();
        std::os::unix::fs::symlink("..2026_01_01", folder.path().join("..data")).unwrap();
        std::os::unix::fs::symlink("..data/a.yaml", folder.path().join("a.yaml")).unwrap();
        assert_eq!(names(&[folder.path().to_owned()]), ["a.yaml"]);
    }

    #[test]
    fn tables_are_read_with_their_policies_and_links_out_of_the_folder_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let policies = folder.path().join("policies");
        std::fs::create_dir_all(policies.join("below")).unwrap();
        std::fs::write(folder.path().join("secret"), "x: { y: 1 }").unwrap();
        std::fs::write(policies.join("inside.yaml"), "x: { y: 1 }").unwrap();
        std::fs::write(policies.join("below/rows.json"), "{}").unwrap();
        std::os::unix::fs::symlink("../secret", policies.join("link")).unwrap();
        std::os::unix::fs::symlink("../secret", policies.join("link.yaml")).unwrap();
        let fifo = std::process::Command::new("mkfifo").arg(policies.join("fifo")).status();
        assert!(fifo.unwrap().success());
        let text = "domain: d\ntables:\n  a: { file: inside.yaml }\n  b: { file: link }\n  c: { \
                    file: below/rows.json }\n  e: { file: ../secret }\n  f: { file: link.yaml }\n  g: { file: \
                    fifo }\nrules: []\n";
        std::fs::write(policies.join("p.yaml"), text).unwrap();
        assert_eq!(names(std::slice::from_ref(&policies)), ["rows.json", "inside.yaml", "p.yaml"]);
        assert_eq!(names(&[policies.join("p.yaml")]), ["rows.json", "inside.yaml", "p.yaml"]);
    }

    #[test]
    fn an_empty_folder_is_an_error_that_names_it_and_the_next_step() {
        let folder = tempfile::tempdir().unwrap();
        let error = read(&[folder.path().to_owned()]).unwrap_err().to_string();
        assert!(error.contains(folder.path().to_str().unwrap()), "{error}");
        assert!(error.contains("put a `*.yaml` file there, or name another path"), "{error}");
    }

    #[test]
    fn of_a_scenario_file_it_is_said_what_runs_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("shop.test.yaml");
        std::fs::write(&file, "scenarios: []").unwrap();
        let error = read(std::slice::from_ref(&file)).unwrap_err().to_string();
        let command = format!("`tollgate test {}`", file.display());
        assert!(error.contains(&command), "{error}");
    }

    #[test]
    fn of_a_folder_with_nothing_but_folders_it_is_said_that_they_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("..data")).unwrap();
        let error = || read(&[folder.path().to_owned()]).unwrap_err().to_string();
        assert!(!error().contains("folders below"), "{}", error());
        std::fs::create_dir(folder.path().join("team")).unwrap();
        assert!(error().contains("folders below are not read: name them"), "{}", error());
    }

    #[test]
    fn of_a_file_that_is_too_large_no_more_is_read_than_tells_so() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("p.yaml");
        for lead in ["", "a", "aa"] {
            std::fs::write(&file, lead.to_owned() + &"€".repeat(yaml::MAX_BYTES)).unwrap();
            let text = read(std::slice::from_ref(&file)).unwrap().remove(0).text;
            assert!(text.len() > yaml::MAX_BYTES && text.len() <= yaml::MAX_BYTES + 4);
            assert_eq!(yaml::parse(&text).faults[0].code, "file-too-large");
        }
        std::fs::write(&file, b"domain: \xff").unwrap();
        let error = read(&[file]).unwrap_err().to_string();
        assert!(error.contains("not UTF-8"), "{error}");
    }

    #[test]
    fn a_missing_path_says_so() {
        let error = read(&[PathBuf::from("no/such/folder")]).unwrap_err().to_string();
        assert!(error.contains("`no/such/folder`"), "{error}");
        assert!(error.contains("does not exist"), "{error}");
        assert!(error.contains("`--policies PATH`"), "{error}");
    }
}
