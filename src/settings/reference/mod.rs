//! The environment of envoyproxy/ratelimit: what its variables say of our settings.
//!
//! Whatever is said to tollgate itself wins over them. A bad value among them never stops the start:
//! it is warned of, and the default stands in its place.

pub(super) mod unused;

use std::collections::BTreeMap;
use std::fmt;

use super::KEYS;
use super::values::{header, is_twice};
use crate::socket::Address;

/// Each of them says that tollgate stands in for that server, as the name it is started under does.
const RUNTIME: [&str; 3] = ["RUNTIME_ROOT", "RUNTIME_SUBDIRECTORY", "RUNTIME_APPDIRECTORY"];

/// Where that server listens, unless told otherwise.
const EVERY_HOST: &str = "0.0.0.0";

/// A variable that is true or false, and the setting that it decides.
struct Switch {
    variable: &'static str,
    setting: &'static str,
    on: &'static str,
    off: &'static str,
}

const fn switch(
    variable: &'static str,
    setting: &'static str,
    on: &'static str,
    off: &'static str,
) -> Switch {
    Switch { variable, setting, on, off }
}

const SWITCHES: [Switch; 5] = [
    switch("SHADOW_MODE", "mode", "shadow", "enforce"),
    switch("MERGE_DOMAIN_CONFIG", "descriptors-merge-domains", "true", "false"),
    switch("QUOTA_MODE", "descriptors-quota-mode", "true", "false"),
    switch(
        "STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT",
        "descriptors-charge",
        "unless-over",
        "always",
    ),
    switch("RESPONSE_DYNAMIC_METADATA", "descriptors-metadata", "true", "false"),
];

/// The names of the headers that it answers with, and their defaults.
const HEADERS: [(&str, &str); 3] = [
    ("LIMIT_LIMIT_HEADER", "RateLimit-Limit"),
    ("LIMIT_REMAINING_HEADER", "RateLimit-Remaining"),
    ("LIMIT_RESET_HEADER", "RateLimit-Reset"),
];

const LEVELS: [(&str, &str); 8] = [
    ("panic", "error"),
    ("fatal", "error"),
    ("error", "error"),
    ("warn", "warn"),
    ("warning", "warn"),
    ("info", "info"),
    ("debug", "debug"),
    ("trace", "trace"),
];

/// A variable whose value that server could not take either, or we cannot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadVariable {
    /// The setting that it was to decide.
    pub(super) setting: &'static str,
    name: &'static str,
    value: String,
    problem: &'static str,
    instead: String,
}

impl fmt::Display for BadVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, value, problem, instead, .. } = self;
        let value = value.escape_debug();
        write!(f, "the variable `{name}` is `{value}`, {problem}; `{instead}` is used instead")
    }
}

/// What the environment says: by setting, its values and the variables that they are from.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) values: BTreeMap<&'static str, (Vec<String>, Vec<&'static str>)>,
    pub(super) bad: Vec<BadVariable>,
    /// Whether tollgate is where that server was.
    pub(super) stands_in: bool,
}

/// `is_named` where the program was started under the name of that server.
pub(super) fn read(environment: &dyn Fn(&str) -> Option<String>, is_named: bool) -> Reading {
    let mut reader = Reader { environment, reading: Reading::default() };
    reader.reading.stands_in = is_named || !reader.among(&RUNTIME).is_empty();
    reader.read_policies();
    reader.read_listeners();
    reader.read_log();
    reader.read_switches();
    reader.read_headers();
    reader.reading
}

struct Reader<'e> {
    environment: &'e dyn Fn(&str) -> Option<String>,
    reading: Reading,
}

impl Reader<'_> {
    fn read_policies(&mut self) {
        if !self.reading.stands_in {
            return;
        }
        let set = self.among(&RUNTIME);
        let [root, below, app] = RUNTIME.map(|name| self.text(name));
        let mut path = root.unwrap_or_else(|| "/srv/runtime_data/current".to_owned());
        // Parts below the root stay there, also when they begin with a slash.
        for part in [below.unwrap_or_default(), app.unwrap_or_else(|| "config".to_owned())] {
            let part = part.trim_matches('/');
            if !part.is_empty() {
                path = format!("{}/{part}", path.trim_end_matches('/'));
            }
        }
        // Where that server runs there may be no folder for us.
        self.decide("data-required", vec!["false".to_owned()], set.clone());
        self.decide("policies", vec![path], set);
    }

    fn read_listeners(&mut self) {
        let is_socket = |path: &str| match Address::parse(&format!("unix:{path}")) {
            Ok(address) => Ok(address.to_string()),
            Err(_) => Err("no path that a socket can have"),
        };
        match self.checked("grpc", "GRPC_UDS", "GRPC_HOST:GRPC_PORT", is_socket) {
            Some(socket) => self.decide("grpc", vec![socket], vec!["GRPC_UDS"]),
            None => self.read_address("grpc", Some("GRPC_HOST"), "GRPC_PORT"),
        }
        // Shells set HOST as well, and a service of Kubernetes may set GRPC_PORT, to no number.
        let has_port = self.text("GRPC_PORT").is_some_and(|port| port.parse::<u16>().is_ok());
        let is_meant = has_port || !self.among(&["GRPC_HOST", "GRPC_UDS"]).is_empty();
        let host = (is_meant || self.reading.stands_in).then_some("HOST");
        self.read_address("http", host, "PORT");
    }

    fn read_address(
        &mut self,
        setting: &'static str,
        host: Option<&'static str>,
        port: &'static str,
    ) {
        let [default_host, default_port] = self.default_address(setting);
        let given_host =
            host.and_then(|host| self.checked(setting, host, &default_host, bracketed));
        let given_port = self.checked(setting, port, &default_port, |port| {
            port.parse::<u16>().map_err(|_| "no port, which is a number up to 65535")
        });
        let given = [given_host.as_ref().and(host), given_port.map(|_| port)];
        let mut variables: Vec<&str> = given.into_iter().flatten().collect();
        if variables.is_empty() {
            // That server listens everywhere without being told.
            variables = self.among(&RUNTIME);
        }
        if !variables.is_empty() || self.reading.stands_in {
            let host = given_host.unwrap_or(default_host);
            let port = given_port.map_or(default_port, |port| port.to_string());
            self.decide(setting, vec![format!("{host}:{port}")], variables);
        }
    }

    /// Host and port where a listener is without variables for it. The ports of both servers are alike.
    fn default_address(&self, setting: &'static str) -> [String; 2] {
        let (host, port) = default_of(setting).rsplit_once(':').unwrap_or_default();
        let host = if self.reading.stands_in { EVERY_HOST } else { host };
        [host.to_owned(), port.to_owned()]
    }

    fn read_log(&mut self) {
        let level = self.checked("log-level", "LOG_LEVEL", default_of("log-level"), |text| {
            let found = LEVELS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
            found.map(|(_, level)| *level).ok_or("no level from `panic` to `trace`")
        });
        let format = self.checked("log-format", "LOG_FORMAT", default_of("log-format"), |text| {
            let found = ["text", "json"].into_iter().find(|name| *name == text);
            found.ok_or("neither `text` nor `json`")
        });
        for (setting, variable, value) in
            [("log-level", "LOG_LEVEL", level), ("log-format", "LOG_FORMAT", format)]
        {
            if let Some(value) = value {
                self.decide(setting, vec![value.to_owned()], vec![variable]);
            }
        }
    }

    fn read_switches(&mut self) {
        for Switch { variable, setting, on, off } in &SWITCHES {
            if let Some(is_on) = self.checked_bool(setting, variable) {
                let value = if is_on { on } else { off };
                self.decide(setting, vec![(*value).to_owned()], vec![variable]);
            }
        }
    }

    fn read_headers(&mut self) {
        let (setting, switch) = ("descriptors-headers", "LIMIT_RESPONSE_HEADERS_ENABLED");
        match self.checked_bool(setting, switch) {
            None => {}
            Some(false) => self.decide(setting, vec!["off".to_owned()], vec![switch]),
            Some(true) => {
                let mut given = HEADERS.map(|(variable, default)| {
                    let name = self.checked(setting, variable, default, header);
                    name.map(|name| (variable, name))
                });
                if is_twice(&header_names(&given)) {
                    let instead = || HEADERS.map(|(_, default)| default).join(", ");
                    let twice = given.iter_mut().filter_map(Option::take);
                    self.reading.bad.extend(twice.map(|(name, value)| BadVariable {
                        setting,
                        name,
                        value,
                        problem: "and two of the three names would be the same",
                        instead: instead(),
                    }));
                }
                let names = header_names(&given).to_vec();
                let own = given.iter().flatten().map(|(variable, _)| *variable);
                self.decide(setting, names, std::iter::once(switch).chain(own).collect());
            }
        }
    }

    fn checked_bool(&mut self, setting: &'static str, name: &'static str) -> Option<bool> {
        let problem = "neither `true` nor `false`";
        self.checked(setting, name, "false", |text| as_bool(text).ok_or(problem))
    }

    /// The value of a variable; a bad one is noted, with what is used instead.
    fn checked<T>(
        &mut self,
        setting: &'static str,
        name: &'static str,
        instead: &str,
        check: impl Fn(&str) -> Result<T, &'static str>,
    ) -> Option<T> {
        let value = self.text(name)?;
        match check(&value) {
            Ok(checked) => Some(checked),
            Err(problem) => {
                let instead = instead.to_owned();
                self.reading.bad.push(BadVariable { setting, name, value, problem, instead });
                None
            }
        }
    }

    fn decide(&mut self, setting: &'static str, texts: Vec<String>, variables: Vec<&'static str>) {
        self.reading.values.insert(setting, (texts, variables));
    }

    fn among(&self, names: &[&'static str]) -> Vec<&'static str> {
        names.iter().copied().filter(|name| self.text(name).is_some()).collect()
    }

    /// An empty variable counts as not set, as it does there.
    fn text(&self, name: &str) -> Option<String> {
        (self.environment)(name).filter(|value| !value.is_empty())
    }
}

/// The names of the three headers, given or by default.
fn header_names(given: &[Option<(&'static str, String)>; 3]) -> [String; 3] {
    std::array::from_fn(|at| match &given[at] {
        Some((_, name)) => name.clone(),
        None => HEADERS[at].1.to_owned(),
    })
}

/// A host as it stands before a port.
fn bracketed(host: &str) -> Result<String, &'static str> {
    let is_bare_v6 = host.contains(':') && !host.starts_with('[');
    let host = if is_bare_v6 { format!("[{host}]") } else { host.to_owned() };
    let is_host = Address::parse(&format!("{host}:0")).is_ok();
    is_host.then_some(host).ok_or("no host or IP address")
}

fn default_of(setting: &str) -> &'static str {
    KEYS.iter().find(|key| key.name == setting).map_or("", |key| key.default)
}

/// As Go reads it.
fn as_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
