//! Every setting by name, with its default, and the flags of `serve`.
//!
//! A row is all that a setting's other names are made from; each row has a flag.

use std::path::PathBuf;

/// A setting by name.
#[derive(Debug)]
pub(super) struct KeyRow {
    pub(super) name: &'static str,
    pub(super) is_list: bool,
    pub(super) default: &'static str,
}

const fn one(name: &'static str, default: &'static str) -> KeyRow {
    KeyRow { name, is_list: false, default }
}

const fn list(name: &'static str, default: &'static str) -> KeyRow {
    KeyRow { name, is_list: true, default }
}

pub(super) const KEYS: [KeyRow; 22] = [
    list("policies", "policies"),
    list("grpc", "127.0.0.1:8081"),
    one("http", "127.0.0.1:8080"),
    one("store", "durable"),
    one("data-dir", "data"),
    one("data-damaged", "empty"),
    one("data-required", "true"),
    one("max-counters", "auto"),
    one("usage-days", "35"),
    one("usage-series", "1000"),
    one("workers", "1"),
    one("mode", "enforce"),
    one("message-size-max", "1MiB"),
    one("drain-delay", "0s"),
    one("drain-timeout", "1500ms"),
    one("log-level", "info"),
    one("log-format", "text"),
    one("descriptors-merge-domains", "false"),
    one("descriptors-quota-mode", "false"),
    one("descriptors-charge", "always"),
    list("descriptors-headers", "off"),
    one("descriptors-metadata", "false"),
];

/// The flags of `serve`. Values stay text: all origins are checked alike.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Flags {
    /// File or folder with policies; may be repeated
    ///
    /// A folder stands for its `*.yaml` and `*.yml` files, without `*.test.yaml`. Changes are
    /// taken into force within two seconds. Several paths may stand in one value, with commas; a
    /// path that has a comma itself goes into the settings file, as an item of a list.
    ///
    /// [env: TOLLGATE_POLICIES] [default: policies]
    #[arg(long, value_name = "PATH")]
    policies: Vec<String>,

    /// Where Envoy asks: `host:port` or `unix:/path`; may be repeated
    ///
    /// A socket file gets the mode 0660. `unix:@name` is an abstract socket, on Linux. Several
    /// addresses may stand in one value, with commas.
    ///
    /// [env: TOLLGATE_GRPC] [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDR")]
    grpc: Vec<String>,

    /// Health, metrics and `/json`: `host:port`, `unix:/path` or `off`
    ///
    /// [env: TOLLGATE_HTTP] [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,

    /// Where counters live: `durable` in memory and on disk, `memory` in memory alone
    ///
    /// [env: TOLLGATE_STORE] [default: durable]
    #[arg(long, value_name = "WHAT")]
    store: Option<String>,

    /// Folder of the durable store, made if it is not there; one process for each folder
    ///
    /// [env: TOLLGATE_DATA_DIR] [default: data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,

    /// When counters on disk are damaged: `empty` keeps them aside and begins anew, `refuse` does
    /// not start
    ///
    /// [env: TOLLGATE_DATA_DAMAGED] [default: empty]
    #[arg(long, value_name = "WHAT")]
    data_damaged: Option<String>,

    /// `false`: start also when the folder cannot be used, and write as soon as it can
    ///
    /// [env: TOLLGATE_DATA_REQUIRED] [default: true]
    #[arg(long, value_name = "BOOL")]
    data_required: Option<String>,

    /// The most counters held at a time, or `auto`: as many as fit in half of what is left of the
    /// memory beside 64 MiB
    ///
    /// A counter of a rolling window, a bucket or of slots counts as several. Beyond, those that are
    /// used least make room; where none may, new keys share one counter for each rule.
    ///
    /// [env: TOLLGATE_MAX_COUNTERS] [default: auto]
    #[arg(long, value_name = "COUNT")]
    max_counters: Option<String>,

    /// For how many days the history of usage is kept
    ///
    /// [env: TOLLGATE_USAGE_DAYS] [default: 35]
    #[arg(long, value_name = "DAYS")]
    usage_days: Option<String>,

    /// How many sets of attribute values the history tells apart at a time; others are summed
    ///
    /// [env: TOLLGATE_USAGE_SERIES] [default: 1000]
    #[arg(long, value_name = "COUNT")]
    usage_series: Option<String>,

    /// Threads that answer calls; connections are dealt out among them
    ///
    /// One answers far more calls than a sidecar gets, at the least cost for each.
    ///
    /// [env: TOLLGATE_WORKERS] [default: 1]
    #[arg(long, value_name = "COUNT")]
    workers: Option<String>,

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

    /// How long to go on accepting and answering after SIGTERM while readiness already says no
    ///
    /// Behind a load balancer that takes a moment to hear of it, such as a Service of Kubernetes,
    /// `5s` keeps connections from being refused.
    ///
    /// [env: TOLLGATE_DRAIN_DELAY] [default: 0s]
    #[arg(long, value_name = "SPAN")]
    drain_delay: Option<String>,

    /// How long calls on their way may take to finish after the delay, such as `1500ms` or `5s`
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

    /// `true`: documents of the envoyproxy/ratelimit format with one domain are one policy
    ///
    /// Without it a domain that is there twice is a mistake.
    ///
    /// [env: TOLLGATE_DESCRIPTORS_MERGE_DOMAINS] [default: false]
    #[arg(long, value_name = "BOOL")]
    descriptors_merge_domains: Option<String>,

    /// `true`: every descriptor of the envoyproxy/ratelimit format is in quota mode
    ///
    /// A call is then denied only when all its descriptors are over their limits.
    ///
    /// [env: TOLLGATE_DESCRIPTORS_QUOTA_MODE] [default: false]
    #[arg(long, value_name = "BOOL")]
    descriptors_quota_mode: Option<String>,

    /// When limits of the envoyproxy/ratelimit format count a call: `always` or `unless-over`
    ///
    /// With `unless-over` a call that is over some limit counts there, and at no limit that has room.
    ///
    /// [env: TOLLGATE_DESCRIPTORS_CHARGE] [default: always]
    #[arg(long, value_name = "WHEN")]
    descriptors_charge: Option<String>,

    /// Headers of answers by the envoyproxy/ratelimit format: `off`, or limit,remaining,reset
    ///
    /// Three names in one value with commas, such as
    /// `ratelimit-limit,ratelimit-remaining,ratelimit-reset`.
    ///
    /// [env: TOLLGATE_DESCRIPTORS_HEADERS] [default: off]
    #[arg(long, value_name = "NAMES")]
    descriptors_headers: Vec<String>,

    /// `true`: answers by the envoyproxy/ratelimit format carry its metadata
    ///
    /// That is the request, and the metadata of its limits.
    ///
    /// [env: TOLLGATE_DESCRIPTORS_METADATA] [default: false]
    #[arg(long, value_name = "BOOL")]
    descriptors_metadata: Option<String>,

    /// YAML file with settings: the names of the flags as keys
    ///
    /// [env: TOLLGATE_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

impl Flags {
    pub(super) fn values(&self, key: &str) -> Vec<String> {
        let single = |value: &Option<String>| value.iter().cloned().collect();
        let several = |values: &[String]| values.iter().flat_map(|text| parts(text)).collect();
        match key {
            "policies" => several(&self.policies),
            "grpc" => several(&self.grpc),
            "http" => single(&self.http),
            "store" => single(&self.store),
            "data-dir" => single(&self.data_dir),
            "data-damaged" => single(&self.data_damaged),
            "data-required" => single(&self.data_required),
            "max-counters" => single(&self.max_counters),
            "usage-days" => single(&self.usage_days),
            "usage-series" => single(&self.usage_series),
            "workers" => single(&self.workers),
            "mode" => single(&self.mode),
            "message-size-max" => single(&self.message_size_max),
            "drain-delay" => single(&self.drain_delay),
            "drain-timeout" => single(&self.drain_timeout),
            "log-level" => single(&self.log_level),
            "log-format" => single(&self.log_format),
            "descriptors-merge-domains" => single(&self.descriptors_merge_domains),
            "descriptors-quota-mode" => single(&self.descriptors_quota_mode),
            "descriptors-charge" => single(&self.descriptors_charge),
            "descriptors-headers" => several(&self.descriptors_headers),
            "descriptors-metadata" => single(&self.descriptors_metadata),
            _ => Vec::new(),
        }
    }
}

pub(super) fn split(key: &KeyRow, text: &str) -> Vec<String> {
    match key.is_list {
        true => parts(text).collect(),
        false => vec![text.to_owned()],
    }
}

/// What a list holds that is written as one text: parts between commas.
fn parts(text: &str) -> impl Iterator<Item = String> {
    text.split(',').map(|part| part.trim().to_owned())
}
