//! The process's environment: the variables that are settings, and those that nearly are.
//!
//! A variable is called misspelt only when a setting is near: Kubernetes and others set variables
//! that begin like ours.

use std::ffi::OsString;
use std::fmt;

use super::KEYS;
use crate::policy::suggest;

const PREFIX: &str = "TOLLGATE_";
/// Names that are no settings, but ours all the same.
const OTHERS: [&str; 2] = ["TOLLGATE_CONFIG", "TOLLGATE_GOLDEN"];
const OF_TESTS: &str = "TOLLGATE_TEST_";

/// A variable that changes nothing, and the one that was probably meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Misspelt {
    name: String,
    meant: String,
}

impl fmt::Display for Misspelt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, meant } = self;
        write!(f, "the variable `{name}` is no setting; did you mean `{meant}`?")
    }
}

/// The variable of a setting.
pub(super) fn name_of(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('-', "_"))
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
pub(super) fn variable(name: &str) -> Option<String> {
    // What is no UTF-8 is no good value of any setting; it must not pass for a variable not set.
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// Every variable of the process, with its value.
pub fn variables() -> Vec<(String, String)> {
    let text = |text: OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
}

/// Variables that look like settings and are none.
pub(super) fn misspelt_among<'n>(names: impl IntoIterator<Item = &'n str>) -> Vec<Misspelt> {
    let mut known: Vec<String> = KEYS.iter().map(|row| name_of(row.name)).collect();
    known.extend(OTHERS.map(str::to_owned));
    let settings = KEYS.map(|row| row.name.replace('-', "_"));
    let mut found: Vec<Misspelt> = names
        .into_iter()
        .filter(|name| !known.iter().any(|known| known == name) && !name.starts_with(OF_TESTS))
        .filter_map(|name| {
            let rest = name.strip_prefix(PREFIX)?;
            let meant = suggest::nearest(rest, settings.iter().map(String::as_str))?;
            Some(Misspelt { meant: name_of(meant), name: name.to_owned() })
        })
        .collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(name: &str) -> Option<String> {
        misspelt_among([name]).pop().map(|found| found.meant)
    }

    #[test]
    fn only_what_is_near_a_setting_is_misspelt() {
        for (name, expected) in [
            ("TOLLGATE_LOGLEVEL", Some("TOLLGATE_LOG_LEVEL")),
            ("TOLLGATE_POLICY", Some("TOLLGATE_POLICIES")),
            ("TOLLGATE_GPRC", Some("TOLLGATE_GRPC")),
            ("TOLLGATE_log_level", Some("TOLLGATE_LOG_LEVEL")),
            ("TOLLGATE_LOG_LEVEL", None),
            ("TOLLGATE_CONFIG", None),
            ("TOLLGATE_GOLDEN", None),
            ("TOLLGATE_TEST_GRPC", None),
            ("LOGLEVEL", None),
            // As Kubernetes sets them for a service of this name.
            ("TOLLGATE_PORT", None),
            ("TOLLGATE_PORT_8081_TCP_PROTO", None),
            ("TOLLGATE_SERVICE_HOST", None),
            ("TOLLGATE_SERVICE_PORT_GRPC", None),
        ] {
            assert_eq!(meant(name).as_deref(), expected, "{name}");
        }
    }
}
