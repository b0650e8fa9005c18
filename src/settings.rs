//! What `serve` can be told: flags, environment, one file, defaults, in this order.
//!
//! The only reader of the environment. Every setting is a row of [`KEYS`]: its flag is `--name`,
//! its variable `TOLLGATE_NAME`, its key in the file the name itself.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::policy::model::Mode;
use crate::policy::render::Position;
use crate::socket::Address;
use crate::telemetry::LogFormat;
use crate::yaml::{self, Value};

/// Checked settings.
#[derive(Clone, Debug)]
pub struct Settings {
    pub policies: Vec<PathBuf>,
    pub grpc: Vec<Address>,
    /// `None` when it is off.
    pub http: Option<Address>,
    pub store: StoreChoice,
    pub mode: Mode,
    /// In bytes.
    pub message_size_max: usize,
    pub drain_timeout: Duration,
    pub log_level: String,
    pub log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreChoice {
    Memory,
}

/// A setting by name.
#[derive(Debug)]
struct KeyRow {
    name: &'static str,
    is_list: bool,
    default: &'static str,
}

const fn one(name: &'static str, default: &'static str) -> KeyRow {
    KeyRow { name, is_list: false, default }
}

const fn list(name: &'static str, default: &'static str) -> KeyRow {
    KeyRow { name, is_list: true, default }
}

const KEYS: [KeyRow; 9] = [
    list("policies", "policies"),
    list("grpc", "127.0.0.1:8081"),
    one("http", "127.0.0.1:8080"),
    one("store", "memory"),
    one("mode", "enforce"),
    one("message-size-max", "1MiB"),
    one("drain-timeout", "1500ms"),
    one("log-level", "info"),
    one("log-format", "text"),
];

/// The flags of `serve`. Values stay text: all four origins are checked alike.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Flags {
    /// File or folder with policies; may be repeated
    ///
    /// A folder stands for its `*.yaml` and `*.yml` files, without `*.test.yaml`. Changes are
    /// taken into force within two seconds.
    ///
    /// [env: TOLLGATE_POLICIES] [default: policies]
    #[arg(long, value_name = "PATH")]
    policies: Vec<String>,

    /// Where Envoy asks: `host:port` or `unix:/path`; may be repeated
    ///
    /// A socket file gets the mode 0660. `unix:@name` is an abstract socket, on Linux.
    ///
    /// [env: TOLLGATE_GRPC] [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDR", value_delimiter = ',')]
    grpc: Vec<String>,

    /// Health, metrics and `/json`: `host:port`, `unix:/path` or `off`
    ///
    /// [env: TOLLGATE_HTTP] [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,

    /// Where counters live: `memory`
    ///
    /// [env: TOLLGATE_STORE] [default: memory]
    #[arg(long, value_name = "WHAT")]
    store: Option<String>,

    /// `enforce`, or `shadow`: measure every rule and deny nothing
    ///
    /// [env: TOLLGATE_MODE] [default: enforce]
    #[arg(long, value_name = "MODE")]
    mode: Option<String>,

    /// Largest message accepted, such as `1MiB`
    ///
    /// [env: TOLLGATE_MESSAGE_SIZE_MAX] [default: 1MiB]
    #[arg(long, value_name = "SIZE")]
    message_size_max: Option<String>,

    /// How long calls on their way may take to finish after SIGTERM, such as `1500ms` or `5s`
    ///
    /// [env: TOLLGATE_DRAIN_TIMEOUT] [default: 1500ms]
    #[arg(long, value_name = "SPAN")]
    drain_timeout: Option<String>,

    /// `error`, `warn`, `info`, `debug` or `trace`
    ///
    /// [env: TOLLGATE_LOG_LEVEL] [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,

    /// `text` or `json`
    ///
    /// [env: TOLLGATE_LOG_FORMAT] [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,

    /// YAML file with settings: the names of the flags as keys
    ///
    /// [env: TOLLGATE_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Flags {
    fn values(&self, key: &str) -> Vec<String> {
        let single = |value: &Option<String>| value.iter().cloned().collect();
        match key {
            "policies" => self.policies.clone(),
            "grpc" => self.grpc.clone(),
            "http" => single(&self.http),
            "store" => single(&self.store),
            "mode" => single(&self.mode),
            "message-size-max" => single(&self.message_size_max),
            "drain-timeout" => single(&self.drain_timeout),
            "log-level" => single(&self.log_level),
            "log-format" => single(&self.log_format),
            _ => Vec::new(),
        }
    }
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Flag(&'static str),
    Variable(String),
    File(PathBuf),
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "flag --{name}"),
            Self::Variable(name) => write!(f, "environment {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One clear line: where, what, and the next step.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("`{name}` ({origin}): {problem}")]
    Value { name: &'static str, origin: Origin, problem: String },
    #[error("cannot read the settings file `{}`: {problem}", path.display())]
    File { path: PathBuf, problem: String },
}

/// Every setting as text, with its origin.
#[derive(Clone, Debug)]
pub struct Gathered {
    values: BTreeMap<&'static str, (Vec<String>, Origin)>,
}

impl Gathered {
    /// Reads the process's environment and the file that it or the flags name.
    pub fn from_process(flags: &Flags) -> Result<Self, SettingsError> {
        Self::gather(flags, environment_variable)
    }

    /// As `from_process`, with the environment given. An empty variable counts as not set.
    pub fn gather(
        flags: &Flags,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, SettingsError> {
        let variable = |key: &str| {
            let name = format!("TOLLGATE_{}", key.to_uppercase().replace('-', "_"));
            environment(&name).filter(|value| !value.is_empty()).map(|value| (name, value))
        };
        let named_file = variable("config").map(|(_, path)| PathBuf::from(path));
        let file = match flags.config.clone().or(named_file) {
            Some(path) => Some((read_file(&path)?, path)),
            None => None,
        };
        let mut values = BTreeMap::new();
        for key in &KEYS {
            let from_flag = flags.values(key.name);
            let from_file =
                file.as_ref().and_then(|(keys, path)| Some((keys.get(key.name)?, path)));
            let value = if !from_flag.is_empty() {
                (from_flag, Origin::Flag(key.name))
            } else if let Some((name, text)) = variable(key.name) {
                (split(key, &text), Origin::Variable(name))
            } else if let Some((found, path)) = from_file {
                (found.clone(), Origin::File(path.clone()))
            } else {
                (split(key, key.default), Origin::Default)
            };
            values.insert(key.name, value);
        }
        Ok(Self { values })
    }

    /// Checks every value.
    pub fn settings(&self) -> Result<Settings, SettingsError> {
        Ok(Settings {
            policies: self.each("policies", |text| match text {
                "" => Err("a path is empty; name a file or folder".to_owned()),
                path => Ok(PathBuf::from(path)),
            })?,
            grpc: self.each("grpc", address)?,
            http: self.only("http", |text| match text {
                "off" => Ok(None),
                _ => address(text).map(Some),
            })?,
            store: self.only("store", store)?,
            mode: self.only("mode", |text| {
                choice(text, &[("enforce", Mode::Enforce), ("shadow", Mode::Shadow)])
            })?,
            message_size_max: self.only("message-size-max", size)?,
            drain_timeout: self.only("drain-timeout", span)?,
            log_level: self.only("log-level", |text| {
                let levels = ["error", "warn", "info", "debug", "trace"];
                choice(text, &levels.map(|level| (level, level.to_owned())))
            })?,
            log_format: self.only("log-format", |text| {
                choice(text, &[("text", LogFormat::Text), ("json", LogFormat::Json)])
            })?,
        })
    }

    fn each<T>(
        &self,
        name: &'static str,
        check: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>, SettingsError> {
        let (texts, origin) = self.value(name);
        let checked = texts.iter().map(|text| check(text)).collect::<Result<Vec<T>, String>>();
        checked.map_err(|problem| SettingsError::Value { name, origin, problem })
    }

    fn only<T>(
        &self,
        name: &'static str,
        check: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, SettingsError> {
        let count = self.value(name).0.len();
        let mut checked = self.each(name, check)?;
        match (checked.pop(), checked.is_empty()) {
            (Some(value), true) => Ok(value),
            _ => Err(SettingsError::Value {
                name,
                origin: self.value(name).1,
                problem: format!("takes one value, not {count}"),
            }),
        }
    }

    fn value(&self, name: &'static str) -> (&[String], Origin) {
        match self.values.get(name) {
            Some((texts, origin)) => (texts, origin.clone()),
            None => (&[], Origin::Default),
        }
    }
}

/// As a settings file, each value with its origin in a comment.
impl fmt::Display for Gathered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for key in &KEYS {
            let (texts, origin) = self.value(key.name);
            let quoted: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
            let value = match key.is_list {
                true => format!("{}: [{}]", key.name, quoted.join(", ")),
                false => format!("{}: {}", key.name, quoted.join(", ")),
            };
            writeln!(f, "{value:<40} # {origin}")?;
        }
        Ok(())
    }
}

fn split(key: &KeyRow, text: &str) -> Vec<String> {
    match key.is_list {
        true => text.split(',').map(|part| part.trim().to_owned()).collect(),
        false => vec![text.to_owned()],
    }
}

fn address(text: &str) -> Result<Address, String> {
    Address::parse(text).map_err(|error| error.to_string())
}

fn store(text: &str) -> Result<StoreChoice, String> {
    match text {
        "memory" => Ok(StoreChoice::Memory),
        "durable" => Err("the store `durable` is not in this version; use `memory`".to_owned()),
        _ if text.starts_with("redis:") || text.starts_with("rediss:") => {
            Err("shared stores are not in this version; use `memory`".to_owned())
        }
        _ => Err(format!("`{text}` is no store; use `memory`")),
    }
}

fn choice<T: Clone>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let found = choices.iter().find(|(name, _)| *name == text);
    found.map(|(_, value)| value.clone()).ok_or_else(|| {
        let names: Vec<String> = choices.iter().map(|(name, _)| format!("`{name}`")).collect();
        format!("`{text}` is not one of {}", names.join(", "))
    })
}

fn size(text: &str) -> Result<usize, String> {
    let (number, unit) = split_number(text);
    let factor = match unit {
        "" | "B" => Some(1),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        _ => None,
    };
    let bytes = number.zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
    let bytes = bytes.filter(|bytes| (1_024..=256 << 20).contains(bytes));
    bytes.and_then(|bytes| usize::try_from(bytes).ok()).ok_or_else(|| {
        format!("`{text}` is no size between 1KiB and 256MiB; write it like `1MiB` or `65536`")
    })
}

fn span(text: &str) -> Result<Duration, String> {
    let (number, unit) = split_number(text);
    let factor = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        _ => None,
    };
    let millis = number.zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
    let millis = millis.filter(|millis| *millis <= 3_600_000);
    millis.map(Duration::from_millis).ok_or_else(|| {
        format!("`{text}` is no span of at most 60m; write it like `1500ms`, `5s` or `1m`")
    })
}

fn split_number(text: &str) -> (Option<u64>, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    (digits.parse().ok(), unit.trim())
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
fn environment_variable(name: &str) -> Option<String> {
    // What is no UTF-8 is no good value of any setting; it must not pass for a variable not set.
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// The keys of a settings file, each with its values as text. `_` stands for `-` in them.
fn read_file(path: &Path) -> Result<BTreeMap<String, Vec<String>>, SettingsError> {
    let problem = |problem: String| SettingsError::File { path: path.to_owned(), problem };
    let text = std::fs::read_to_string(path).map_err(|error| problem(error.to_string()))?;
    file_values(&text).map_err(problem)
}

fn file_values(text: &str) -> Result<BTreeMap<String, Vec<String>>, String> {
    let at = |bytes: &Range<usize>, problem: &str| {
        let Position { line, column } = Position::of(text, bytes.start);
        format!("line {line}, column {column}: {problem}")
    };
    let parsed = yaml::parse(text);
    if let Some(fault) = parsed.faults.first() {
        return Err(at(&fault.bytes, &format!("{}; {}", fault.message, fault.hint)));
    }
    let mut values = BTreeMap::new();
    for document in &parsed.documents {
        let Value::Mapping(pairs) = &document.value else {
            return Err(at(&document.bytes, "write settings as `name: value`, one to a line"));
        };
        for (name, value) in pairs {
            let key = name.scalar().map(|name| name.text.replace('_', "-")).unwrap_or_default();
            let Some(row) = KEYS.iter().find(|row| row.name == key) else {
                let names = KEYS.map(|row| format!("`{}`", row.name)).join(", ");
                return Err(at(&name.bytes, &format!("`{key}` is no setting; there are {names}")));
            };
            let texts = match &value.value {
                Value::Sequence(items) if row.is_list => items.iter().collect(),
                Value::Scalar(_) | Value::Sequence(_) | Value::Mapping(_) => vec![value],
            };
            let texts = texts.into_iter().map(|text| text.scalar().map(|text| text.text.clone()));
            let texts = texts.collect::<Option<Vec<String>>>().filter(|texts| !texts.is_empty());
            let texts = texts.ok_or_else(|| at(&value.bytes, &format!("`{key}` has no value")))?;
            if values.insert(key, texts).is_some() {
                return Err(at(&name.bytes, "the setting is there twice"));
            }
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Command {
        #[command(flatten)]
        flags: Flags,
    }

    fn flags(arguments: &[&str]) -> Flags {
        let arguments = std::iter::once("serve").chain(arguments.iter().copied());
        <Command as clap::Parser>::try_parse_from(arguments).unwrap().flags
    }

    fn gathered(arguments: &[&str], variables: &[(&str, &str)]) -> Gathered {
        let environment = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Gathered::gather(&flags(arguments), environment).unwrap()
    }

    #[test]
    fn the_defaults_are_good() {
        let settings = gathered(&[], &[]).settings().unwrap();
        assert_eq!(settings.policies, [PathBuf::from("policies")]);
        assert_eq!(settings.message_size_max, 1 << 20);
        assert_eq!(settings.drain_timeout, Duration::from_millis(1_500));
    }

    #[test]
    fn a_flag_wins_over_a_variable_and_a_variable_over_the_default() {
        let variables = [("TOLLGATE_GRPC", "127.0.0.1:1, unix:/x"), ("TOLLGATE_MODE", "shadow")];
        let by_variable = gathered(&[], &variables).settings().unwrap();
        assert_eq!(by_variable.grpc.len(), 2);
        assert_eq!(by_variable.mode, Mode::Shadow);
        let by_flag = gathered(&["--mode", "enforce"], &variables).settings().unwrap();
        assert_eq!(by_flag.mode, Mode::Enforce);
    }

    #[test]
    fn a_file_comes_after_variables_and_before_defaults() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "mode: shadow\ngrpc: [127.0.0.1:1, unix:/x]\ndrain_timeout: 3s\nhttp: off\n";
        std::fs::write(file.path(), text).unwrap();
        let path = file.path().to_str().unwrap();
        let variables = [("TOLLGATE_CONFIG", path), ("TOLLGATE_MODE", "enforce")];
        let settings = gathered(&[], &variables).settings().unwrap();
        assert_eq!(settings.mode, Mode::Enforce);
        assert_eq!(settings.grpc.len(), 2);
        assert_eq!(settings.drain_timeout, Duration::from_secs(3));
        assert_eq!(settings.http, None);
        let printed = gathered(&["--config", path], &[]).to_string();
        assert!(printed.contains(&format!("# file {path}")), "{printed}");
    }

    #[test]
    fn what_is_wrong_with_a_file_is_named_with_its_place() {
        for (text, part) in [
            ("mode: enforce\ngprc: x\n", "line 2, column 1: `gprc` is no setting"),
            ("mode: [enforce", "line"),
            ("just text", "line 1, column 1: write settings as"),
            ("mode:\n", "`mode` has no value"),
            ("mode: [enforce]\n", "`mode` has no value"),
            ("log-level: info\nlog_level: warn\n", "line 2, column 1: the setting is there twice"),
        ] {
            let problem = file_values(text).unwrap_err();
            assert!(problem.contains(part), "{text}: {problem}");
        }
    }

    #[test]
    fn the_printed_form_is_a_settings_file() {
        let printed = gathered(&["--http", "off", "--grpc", "a:1,b:2"], &[]).to_string();
        let values = file_values(&printed).unwrap();
        assert_eq!(values["grpc"], ["a:1", "b:2"]);
        assert_eq!(values["http"], ["off"]);
        assert_eq!(values.len(), KEYS.len());
    }

    #[test]
    fn an_empty_variable_counts_as_not_set() {
        let settings = gathered(&[], &[("TOLLGATE_HTTP", "")]).settings().unwrap();
        assert_eq!(settings.http.unwrap().to_string(), "127.0.0.1:8080");
    }

    #[test]
    fn the_printed_form_names_each_origin() {
        let text = gathered(&["--http", "off"], &[("TOLLGATE_STORE", "memory")]).to_string();
        assert!(text.contains("\"off\""), "{text}");
        assert!(text.contains("# flag --http"), "{text}");
        assert!(text.contains("# environment TOLLGATE_STORE"), "{text}");
        assert!(text.contains("# default"), "{text}");
        assert_eq!(text.lines().count(), KEYS.len());
    }

    #[test]
    fn a_bad_value_names_its_setting_its_origin_and_the_next_step() {
        for (name, value, part) in [
            ("grpc", "nowhere", "write `host:port`"),
            ("store", "durable", "not in this version; use `memory`"),
            ("store", "redis://x", "use `memory`"),
            ("mode", "maybe", "`enforce`, `shadow`"),
            ("message-size-max", "1", "between 1KiB and 256MiB"),
            ("message-size-max", "99999999999999999999MiB", "between"),
            ("drain-timeout", "2h", "write it like"),
            ("log-level", "loud", "`debug`"),
            ("log-format", "xml", "`json`"),
        ] {
            let flag = format!("--{name}");
            let error = gathered(&[&flag, value], &[]).settings().unwrap_err().to_string();
            assert!(error.contains(&format!("flag --{name}")), "{error}");
            assert!(error.contains(part), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn every_setting_has_a_flag_whose_help_names_variable_and_default() {
        let help = <Command as clap::CommandFactory>::command().render_long_help().to_string();
        for key in &KEYS {
            assert!(help.contains(&format!("--{} ", key.name)), "{}", key.name);
            let variable = key.name.to_uppercase().replace('-', "_");
            let line = format!("[env: TOLLGATE_{variable}] [default: {}]", key.default);
            assert!(help.contains(&line), "{line}");
            let set = flags(&[&format!("--{}", key.name), "x"]).values(key.name);
            assert_eq!(set, ["x"], "{}", key.name);
        }
    }
}
