//! What `serve` can be told: flags, environment, one file, the environment of envoyproxy/ratelimit,
//! defaults, in this order.
//!
//! The only reader of the environment. Every setting is a row of [`KEYS`]: its flag is `--name`,
//! its variable `TOLLGATE_NAME`, its key in the file the name itself.

mod environment;
mod file;
mod keys;
mod reference;
mod values;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::grpc::WORKERS_MAX;
use crate::policy::model::{DescriptorOptions, Mode, Options};
use crate::socket::Address;
use crate::store::durable::OnDamage;
use crate::telemetry::LogFormat;
use crate::usage::UsageLimits;
pub use environment::variables;
pub use keys::Flags;
use keys::{KEYS, split};
use reference::BadVariable;
use values::{
    address, choice, headers, is_same_place, max_counters, size, span, store, switch, whole,
};

/// Checked settings.
#[derive(Clone, Debug)]
pub struct Settings {
    pub policies: Vec<PathBuf>,
    pub grpc: Vec<Address>,
    /// `None` when it is off.
    pub http: Option<Address>,
    pub store: StoreChoice,
    pub data: Data,
    /// `None` for as many as the memory allows.
    pub max_counters: Option<usize>,
    pub workers: usize,
    pub usage: UsageLimits,
    pub mode: Mode,
    /// For policies of the envoyproxy/ratelimit format.
    pub descriptors: DescriptorOptions,
    /// In bytes.
    pub message_size_max: usize,
    pub drain_delay: Duration,
    pub drain_timeout: Duration,
    pub log_level: String,
    pub log_format: LogFormat,
}

impl Settings {
    /// What policies are compiled with.
    pub fn policy_options(&self) -> Options {
        Options { mode: self.mode, descriptors: self.descriptors.clone() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreChoice {
    Memory,
    Durable,
}

/// What the durable store is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    pub directory: PathBuf,
    pub on_damage: OnDamage,
    /// Whether to start only when the directory can be used.
    pub is_required: bool,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Flag(&'static str),
    Variable(String),
    File(PathBuf),
    /// Variables of envoyproxy/ratelimit; none where its name alone says what it does.
    Reference(Vec<&'static str>),
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "flag --{name}"),
            Self::Variable(name) => write!(f, "environment {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Reference(names) if names.is_empty() => f.write_str("program name ratelimit"),
            Self::Reference(names) => write!(f, "environment {}", names.join(", ")),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One clear line: where, what, and the next step.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("`{name}` ({origin}): {problem}")]
    Value { name: &'static str, origin: Origin, problem: String },
    #[error(
        "`grpc` ({grpc_origin}) and `http` ({http_origin}) both name `{address}`; give each an \
         address of its own"
    )]
    SameAddress { address: Address, grpc_origin: Origin, http_origin: Origin },
    #[error("`grpc` ({origin}) names `{address}` twice; name it once")]
    Twice { address: Address, origin: Origin },
    #[error("cannot read the settings file `{}`: {problem}", path.display())]
    UnreadableFile { path: PathBuf, problem: String },
    #[error("the settings file `{}` has a mistake: {problem}", path.display())]
    InFile { path: PathBuf, problem: String },
}

/// Every setting as text, with its origin.
#[derive(Clone, Debug)]
pub struct Gathered {
    values: BTreeMap<&'static str, (Vec<String>, Origin)>,
    /// Of envoyproxy/ratelimit, for settings that nothing else decides.
    bad: Vec<BadVariable>,
    stands_in: bool,
}

impl Gathered {
    /// Reads the process's environment and the file that it or the flags name. `is_named` where the
    /// program was started under the name of envoyproxy/ratelimit.
    pub fn from_process(flags: &Flags, is_named: bool) -> Result<Self, Vec<SettingsError>> {
        Self::gather(flags, environment::variable, is_named)
    }

    /// As `from_process`, with the environment given. An empty variable counts as not set.
    pub fn gather(
        flags: &Flags,
        environment: impl Fn(&str) -> Option<String>,
        is_named: bool,
    ) -> Result<Self, Vec<SettingsError>> {
        let variable = |key: &str| {
            let name = environment::name_of(key);
            environment(&name).filter(|value| !value.is_empty()).map(|value| (name, value))
        };
        let named_file = variable("config").map(|(_, path)| PathBuf::from(path));
        let file = match flags.config.clone().or(named_file) {
            Some(path) => Some((file::read(&path)?, path)),
            None => None,
        };
        let mut reference = reference::read(&environment, is_named);
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
            } else if let Some((found, variables)) = reference.values.remove(key.name) {
                (found, Origin::Reference(variables))
            } else {
                (split(key, key.default), Origin::Default)
            };
            values.insert(key.name, value);
        }
        let is_open = |bad: &BadVariable| {
            let value = values.get(bad.setting);
            value.is_some_and(|(_, o)| matches!(o, Origin::Reference(_) | Origin::Default))
        };
        reference.bad.retain(is_open);
        Ok(Self { values, bad: reference.bad, stands_in: reference.stands_in })
    }

    /// What an operator should know of the environment, each variable with its value, at start.
    pub fn warnings(&self, variables: &[(String, String)]) -> Vec<String> {
        let names = variables.iter().map(|(name, _)| name.as_str());
        let misspelt = environment::misspelt_among(names);
        let unused = reference::unused::unused_among(variables, self.stands_in);
        let mut warnings: Vec<String> = misspelt.iter().map(ToString::to_string).collect();
        warnings.extend(self.bad_variables());
        warnings.extend(unused.iter().map(ToString::to_string));
        warnings
    }

    /// The bad values among the variables of envoyproxy/ratelimit.
    pub fn bad_variables(&self) -> impl Iterator<Item = String> {
        self.bad.iter().map(ToString::to_string)
    }

    /// The variables of envoyproxy/ratelimit that decide a setting.
    pub fn reference_variables(&self) -> Vec<&'static str> {
        let mut found = Vec::new();
        for (_, origin) in self.values.values() {
            let Origin::Reference(names) = origin else { continue };
            found.extend(names);
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Whether the policies are where envoyproxy/ratelimit would look for them.
    pub fn has_reference_policies(&self) -> bool {
        matches!(self.value("policies").1, Origin::Reference(_))
    }

    /// Checks every value; gives all that is wrong.
    pub fn settings(&self) -> Result<Settings, Vec<SettingsError>> {
        let mut bad = Vec::new();
        let path = |text: &str| match text {
            "" => Err("a path is empty; name a file or folder".to_owned()),
            path => Ok(PathBuf::from(path)),
        };
        let policies = self.each(&mut bad, "policies", path);
        let grpc = self.each(&mut bad, "grpc", address);
        let http = self.only(&mut bad, "http", |text| match text {
            "off" => Ok(None),
            _ => address(text).map(Some),
        });
        let store = self.only(&mut bad, "store", store);
        let data = self.data(&mut bad, path);
        let max_counters = self.only(&mut bad, "max-counters", max_counters);
        let usage = self.usage(&mut bad);
        let workers = self.only(&mut bad, "workers", |text| whole(text, 1, WORKERS_MAX));
        let mode = self.only(&mut bad, "mode", |text| {
            choice(text, &[("enforce", Mode::Enforce), ("shadow", Mode::Shadow)])
        });
        let message_size_max = self.only(&mut bad, "message-size-max", size);
        let drain_delay = self.only(&mut bad, "drain-delay", span);
        let drain_timeout = self.only(&mut bad, "drain-timeout", span);
        let log_level = self.only(&mut bad, "log-level", |text| {
            let levels = ["error", "warn", "info", "debug", "trace"];
            choice(text, &levels.map(|level| (level, level.to_owned())))
        });
        let log_format = self.only(&mut bad, "log-format", |text| {
            choice(text, &[("text", LogFormat::Text), ("json", LogFormat::Json)])
        });
        let descriptors = self.descriptors(&mut bad);
        let http_address = http.as_ref().and_then(Option::as_ref);
        self.check_places(&mut bad, grpc.as_deref().unwrap_or_default(), http_address);
        let settings = || {
            Some(Settings {
                policies: policies?,
                grpc: grpc?,
                http: http?,
                store: store?,
                data: data?,
                max_counters: max_counters?,
                usage: usage?,
                workers: workers?,
                mode: mode?,
                descriptors: descriptors?,
                message_size_max: message_size_max?,
                drain_delay: drain_delay?,
                drain_timeout: drain_timeout?,
                log_level: log_level?,
                log_format: log_format?,
            })
        };
        if bad.is_empty() { settings().ok_or(bad) } else { Err(bad) }
    }

    fn data(
        &self,
        bad: &mut Vec<SettingsError>,
        path: impl Fn(&str) -> Result<PathBuf, String>,
    ) -> Option<Data> {
        let directory = self.only(bad, "data-dir", path);
        let on_damage = self.only(bad, "data-damaged", |text| {
            choice(text, &[("empty", OnDamage::Empty), ("refuse", OnDamage::Refuse)])
        });
        let is_required = self.only(bad, "data-required", switch);
        Some(Data { directory: directory?, on_damage: on_damage?, is_required: is_required? })
    }

    fn usage(&self, bad: &mut Vec<SettingsError>) -> Option<UsageLimits> {
        let keep_days = self.only(bad, "usage-days", |text| whole(text, 3, 400));
        let series_max = self.only(bad, "usage-series", |text| whole(text, 1, 10_000));
        let keep_days = u32::try_from(keep_days?).ok()?;
        Some(UsageLimits { keep_days, series_max: series_max? })
    }

    fn descriptors(&self, bad: &mut Vec<SettingsError>) -> Option<DescriptorOptions> {
        let merges_domains = self.only(bad, "descriptors-merge-domains", switch);
        let quota_mode = self.only(bad, "descriptors-quota-mode", switch);
        let spares_others = self.only(bad, "descriptors-charge", |text| {
            choice(text, &[("always", false), ("unless-over", true)])
        });
        let (name, (texts, origin)) = ("descriptors-headers", self.value("descriptors-headers"));
        let headers = headers(texts)
            .map_err(|problem| bad.push(SettingsError::Value { name, origin, problem }));
        let has_metadata = self.only(bad, "descriptors-metadata", switch);
        Some(DescriptorOptions {
            merges_domains: merges_domains?,
            quota_mode: quota_mode?,
            spares_others: spares_others?,
            headers: headers.ok()?,
            has_metadata: has_metadata?,
        })
    }

    /// Two listeners at one place fail when they bind; here it can be said which settings did it.
    fn check_places(&self, bad: &mut Vec<SettingsError>, grpc: &[Address], http: Option<&Address>) {
        let origin = |name| self.value(name).1;
        for (position, address) in grpc.iter().enumerate() {
            if grpc[..position].iter().any(|before| is_same_place(before, address)) {
                bad.push(SettingsError::Twice { address: address.clone(), origin: origin("grpc") });
            }
        }
        let shared = http.filter(|http| grpc.iter().any(|grpc| is_same_place(grpc, http)));
        bad.extend(shared.map(|address| SettingsError::SameAddress {
            address: address.clone(),
            grpc_origin: origin("grpc"),
            http_origin: origin("http"),
        }));
    }

    /// Every value of a setting; `None` when one of them is bad.
    fn each<T>(
        &self,
        bad: &mut Vec<SettingsError>,
        name: &'static str,
        check: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let (texts, origin) = self.value(name);
        let mut checked = Vec::with_capacity(texts.len());
        for text in texts {
            match check(text) {
                Ok(value) => checked.push(value),
                Err(problem) => {
                    bad.push(SettingsError::Value { name, origin: origin.clone(), problem });
                }
            }
        }
        (checked.len() == texts.len()).then_some(checked)
    }

    fn only<T>(
        &self,
        bad: &mut Vec<SettingsError>,
        name: &'static str,
        check: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.each(bad, name, check)?.pop()
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
            let quoted: Vec<String> = texts.iter().map(|text| file::quoted(text)).collect();
            let value = match key.is_list {
                true => format!("{}: [{}]", key.name, quoted.join(", ")),
                false => format!("{}: {}", key.name, quoted.join(", ")),
            };
            writeln!(f, "{value:<40} # {}", file::comment(&origin.to_string()))?;
        }
        Ok(())
    }
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
        Gathered::gather(&flags(arguments), environment, false).unwrap()
    }

    fn errors(arguments: &[&str]) -> Vec<String> {
        let errors = gathered(arguments, &[]).settings().err().unwrap_or_default();
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_defaults_are_good() {
        let settings = gathered(&[], &[]).settings().unwrap();
        assert_eq!(settings.policies, [PathBuf::from("policies")]);
        assert_eq!(settings.message_size_max, 1 << 20);
        assert_eq!(settings.drain_delay, Duration::ZERO);
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
    fn the_printed_form_is_a_settings_file() {
        let printed = gathered(&["--http", "off", "--grpc", "a:1,b:2"], &[]).to_string();
        let values = file::values(&printed).unwrap();
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
            ("store", "redis://x", "use `durable` or `memory`"),
            ("data-damaged", "repair", "`empty`, `refuse`"),
            ("max-counters", "many", "between 1000 and"),
            ("usage-days", "0", "between 3 and 400"),
            ("mode", "maybe", "`enforce`, `shadow`"),
            ("message-size-max", "1", "between 1KiB and 256MiB"),
            ("message-size-max", "99999999999999999999MiB", "between"),
            ("drain-timeout", "2h", "write it like"),
            ("log-level", "loud", "`debug`"),
            ("log-format", "xml", "`json`"),
            ("descriptors-merge-domains", "yes", "`true`, `false`"),
            ("descriptors-quota-mode", "1", "`true`, `false`"),
            ("descriptors-charge", "never", "`always`, `unless-over`"),
            ("descriptors-metadata", "TRUE", "`true`, `false`"),
            ("descriptors-headers", "on", "or three names"),
            ("descriptors-headers", "a,b", "or three names"),
            ("descriptors-headers", "off,off", "or three names"),
            ("descriptors-headers", "a,b c,d", "`b c` is no name of a header"),
            ("descriptors-headers", "a,,d", "`` is no name of a header"),
            ("descriptors-headers", "a,b,A", "`a,b,A` names one header twice"),
            ("descriptors-headers", "a,Host,c", "`Host` is a header that says how"),
            ("descriptors-headers", "a,transfer-encoding,c", "`transfer-encoding` is a header"),
            ("descriptors-headers", "a,connection,c", "`connection` is a header"),
            ("descriptors-headers", "a,content-type,c", "`content-type` is a header"),
            ("descriptors-headers", "a,:path,c", "`:path` is no name of a header"),
        ] {
            let flag = format!("--{name}");
            let [error] = errors(&[&flag, value]).try_into().unwrap();
            assert!(error.contains(&format!("flag --{name}")), "{error}");
            assert!(error.contains(part), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn what_is_said_of_descriptors_reaches_the_policies() {
        let options = |arguments: &[&str]| {
            gathered(arguments, &[]).settings().unwrap().policy_options().descriptors
        };
        assert_eq!(options(&[]), DescriptorOptions::default());
        let expected = DescriptorOptions { merges_domains: true, ..Default::default() };
        assert_eq!(options(&["--descriptors-merge-domains", "true"]), expected);
        let expected = DescriptorOptions { quota_mode: true, ..Default::default() };
        assert_eq!(options(&["--descriptors-quota-mode", "true"]), expected);
        let expected = DescriptorOptions { spares_others: true, ..Default::default() };
        assert_eq!(options(&["--descriptors-charge", "unless-over"]), expected);
        let expected = DescriptorOptions { has_metadata: true, ..Default::default() };
        assert_eq!(options(&["--descriptors-metadata", "true"]), expected);
        let headers = options(&["--descriptors-headers", "X-A, b,C"]).headers.unwrap();
        assert_eq!([headers.limit, headers.remaining, headers.reset], ["X-A", "b", "C"]);
    }

    #[test]
    fn all_bad_values_are_named() {
        let errors = errors(&["--mode", "maybe", "--grpc", "nowhere,unix:", "--store", "disk"]);
        let parts = ["`nowhere`", "`unix:`", "`disk`", "`maybe`"];
        assert_eq!(errors.len(), parts.len(), "{errors:?}");
        for (error, part) in errors.iter().zip(parts) {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_list_is_split_alike_in_a_flag_and_in_a_variable() {
        let by_flag = gathered(&["--policies", "a, b", "--policies", "c"], &[]);
        let by_variable = gathered(&[], &[("TOLLGATE_POLICIES", "a,b, c")]);
        for settings in [by_flag, by_variable] {
            assert_eq!(settings.settings().unwrap().policies, ["a", "b", "c"].map(PathBuf::from));
        }
    }

    #[test]
    fn two_settings_that_name_one_address_are_both_named() {
        for (grpc, http) in [
            ("127.0.0.1:9000", "127.0.0.1:9000"),
            ("127.0.0.1:9000", "0.0.0.0:9000"),
            ("[::]:9000", "127.0.0.1:9000"),
            ("unix:/x", "unix:/x"),
        ] {
            let [error] = errors(&["--grpc", grpc, "--http", http]).try_into().unwrap();
            let both = "`grpc` (flag --grpc) and `http` (flag --http) both name";
            assert!(error.contains(both), "{error}");
        }
        let [error] = errors(&["--grpc", "a:1,a:1"]).try_into().unwrap();
        assert!(error.contains("names `a:1` twice"), "{error}");
        for (grpc, http) in [
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("127.0.0.1:9000", "127.0.0.2:9000"),
            ("127.0.0.1:9000", "127.0.0.1:9001"),
            ("unix:/x", "unix:@/x"),
        ] {
            assert_eq!(errors(&["--grpc", grpc, "--http", http]), [""; 0]);
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
