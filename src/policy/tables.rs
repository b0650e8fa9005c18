//! Table files: which of the texts of a load are tables that policies name, and their rows.
//!
//! A table file is one of the texts that were handed in, known by its name beside the policy; a
//! text that some policy names as its table is no policy. A path that leads out of the policy's
//! folder names nothing.

use std::collections::HashMap;
use std::sync::Arc;

use crate::policy::findings::Findings;
use crate::policy::model::{Rows, Source};
use crate::policy::native::{Room, file_of_table, read_rows};
use crate::yaml;

/// The table files that a policy names, as the names that their texts go by; those that lead out
/// of its folder are left out.
pub fn files_named(source: &Source) -> Vec<String> {
    // Reading the text twice is saved where it cannot name a file.
    if !source.text.contains("tables") || !source.text.contains("file") {
        return Vec::new();
    }
    let mut names = Vec::new();
    for document in yaml::parse(&source.text).documents {
        let tables = document.member("tables").map(|tables| &tables.value);
        let Some(yaml::Value::Mapping(pairs)) = tables else { continue };
        let files = pairs.iter().filter_map(|(_, table)| file_of_table(table)?.scalar());
        names.extend(files.filter_map(|file| beside(&source.name, &file.text)));
    }
    names
}

/// The name of a file beside the text called `name`; `None` where the path leads elsewhere.
fn beside(name: &str, path: &str) -> Option<String> {
    let is_inside = !path.is_empty()
        && !path.starts_with('/')
        && !path.contains('\\')
        && path.split('/').all(|part| part != "..");
    let folder = name.rfind('/').map_or("", |slash| &name[..=slash]);
    let path: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    is_inside.then(|| format!("{folder}{}", path.join("/")))
}

/// What became of a table file.
#[derive(Debug)]
pub(super) enum FileTable<'t> {
    Rows(&'t Arc<Rows>),
    /// Has faults of its own, which have been reported.
    Faulty,
    /// Leads out of the policy's folder.
    Outside,
    Missing,
}

/// The table files of a load, by name.
#[derive(Debug, Default)]
pub(super) struct AllTables {
    /// `None` where a file has faults.
    by_name: HashMap<String, Option<Arc<Rows>>>,
}

/// The table files as the policy called `name` names them.
#[derive(Clone, Copy, Debug)]
pub(super) struct TableFiles<'t> {
    all: &'t AllTables,
    name: &'t str,
}

impl AllTables {
    /// Which of the sources are table files that others name.
    pub(super) fn names(sources: &[Source]) -> Vec<String> {
        sources.iter().flat_map(files_named).collect()
    }

    /// Reads one table file; nothing but its rows may be in it.
    pub(super) fn add(&mut self, findings: &mut Findings, name: &str, documents: &[yaml::Node]) {
        let errors_before = findings.errors();
        let rows = match documents {
            [rows] => read_rows(findings, rows, &mut Room::default()),
            documents => {
                let start = documents.first().map_or(0..0, |document| document.bytes.clone());
                let message = "a table file holds one mapping of values to rows";
                let hint = "write one line for each row: `acme: { plan: paid }`";
                findings.error("table-file", &(start.start..start.start), message, hint);
                None
            }
        };
        let is_whole = findings.errors() == errors_before;
        self.by_name.insert(name.to_owned(), rows.filter(|_| is_whole).map(Arc::new));
    }

    pub(super) fn of<'t>(&'t self, name: &'t str) -> TableFiles<'t> {
        TableFiles { all: self, name }
    }
}

impl TableFiles<'_> {
    pub(super) fn get(&self, path: &str) -> FileTable<'_> {
        let Some(name) = beside(self.name, path) else { return FileTable::Outside };
        match self.all.by_name.get(&name) {
            Some(Some(rows)) => FileTable::Rows(rows),
            Some(None) => FileTable::Faulty,
            None => FileTable::Missing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_place_beside_the_policy() {
        for (policy, path, name) in [
            ("policies/a.yaml", "tenants.yaml", Some("policies/tenants.yaml")),
            ("a.yaml", "./tables//tenants.yaml", Some("tables/tenants.yaml")),
            ("/etc/p/a.yaml", "t", Some("/etc/p/t")),
            ("p/a.yaml", "../t.yaml", None),
            ("p/a.yaml", "x/../../t.yaml", None),
            ("p/a.yaml", "/etc/passwd", None),
            ("p/a.yaml", "", None),
        ] {
            assert_eq!(beside(policy, path).as_deref(), name, "{policy} {path}");
        }
    }
}
