//! The variables of envoyproxy/ratelimit that change nothing here, and what stands in their place.
//!
//! Their values are never shown: some are passwords. Whoever adds a name adds it to the table in
//! `docs/compatibility.md`.

use std::fmt;

use super::as_bool;
use When::{IsNot, NotFalse, Set, StandingIn};

/// When a variable is worth a warning.
enum When {
    Set,
    /// For switches: off is what tollgate is anyway.
    NotFalse,
    /// With any value but this one, which asks for what tollgate does.
    IsNot(&'static str),
    /// Only where tollgate stands in for that server: other programs have variables of this name.
    StandingIn,
}

/// Variables of which the same can be said. A name that ends in `*` stands for all that begin so.
struct Group {
    here: &'static str,
    when: When,
    names: &'static [&'static str],
}

const fn group(here: &'static str, when: When, names: &'static [&'static str]) -> Group {
    Group { here, when, names }
}

const CLEARTEXT: &str = "TLS is not in this version: the port is cleartext";
const NO_XDS: &str = "policies are read from files; xDS is not in this version";
const NO_REDIS: &str = "counters live in tollgate; no Redis is asked";
const NO_MEMCACHED: &str = "counters live in tollgate; no memcached is asked";
const NO_STATSD: &str = "metrics are not sent; fetch them at `/metrics` of the HTTP port";
const METRICS: &str = "metrics are at `/metrics` of the HTTP port";
const NO_TRACES: &str = "traces are not in this version";

const GROUPS: &[Group] = &[
    group(
        "there is no debug port; `tollgate explain` and `tollgate check` tell more than `/rlconfig`",
        StandingIn,
        &["DEBUG_HOST", "DEBUG_PORT"],
    ),
    group(
        "connections are not closed for their age",
        Set,
        &["GRPC_MAX_CONNECTION_AGE", "GRPC_MAX_CONNECTION_AGE_GRACE"],
    ),
    group(CLEARTEXT, NotFalse, &["GRPC_SERVER_USE_TLS"]),
    group(
        CLEARTEXT,
        Set,
        &[
            "GRPC_SERVER_TLS_CERT",
            "GRPC_SERVER_TLS_KEY",
            "GRPC_SERVER_TLS_CA_CERT",
            "GRPC_CLIENT_TLS_CACERT",
            "GRPC_CLIENT_TLS_SAN",
        ],
    ),
    group(NO_XDS, IsNot("FILE"), &["CONFIG_TYPE"]),
    group(NO_XDS, Set, &["CONFIG_GRPC_XDS_*", "XDS_CLIENT_*"]),
    group(
        "the start needs good policies, and waits for none",
        NotFalse,
        &["FORCE_START_WITHOUT_INITIAL_CONFIG"],
    ),
    group("counters live in tollgate; no other store is asked", Set, &["BACKEND_TYPE"]),
    group("counters live in tollgate, and nobody else uses their keys", Set, &["CACHE_KEY_PREFIX"]),
    group(
        "counters live in tollgate, and need no expiry apart",
        IsNot("0"),
        &["EXPIRATION_JITTER_MAX_SECONDS"],
    ),
    group(
        "counters live in the memory of tollgate; there is nothing to cache",
        IsNot("0"),
        &["LOCAL_CACHE_SIZE_IN_BYTES"],
    ),
    group(
        "headers go to clients with the answer; none are added to requests",
        NotFalse,
        &["LIMIT_REQUEST_HEADERS_ENABLED"],
    ),
    group("no metric counts what is near its limit", Set, &["NEAR_LIMIT_RATIO"]),
    group(
        NO_REDIS,
        Set,
        &[
            "REDIS_TYPE",
            "REDIS_SOCKET_TYPE",
            "REDIS_URL",
            "REDIS_POOL_SIZE",
            "REDIS_AUTH",
            "REDIS_SENTINEL_AUTH",
            "REDIS_TLS_CLIENT_CERT",
            "REDIS_TLS_CLIENT_KEY",
            "REDIS_TLS_CACERT",
            "REDIS_TIMEOUT",
            "REDIS_PIPELINE_WINDOW",
            "REDIS_PIPELINE_LIMIT",
            "REDIS_CLUSTER_PIPELINE_PARALLELISM",
            "REDIS_POOL_ON_EMPTY_BEHAVIOR",
            "REDIS_STARTUP_INITIAL_INTERVAL",
            "REDIS_STARTUP_MAX_INTERVAL",
            "REDIS_STARTUP_MAX_ELAPSED_TIME",
        ],
    ),
    group(
        NO_REDIS,
        NotFalse,
        &[
            "REDIS_TLS",
            "REDIS_TLS_SKIP_HOSTNAME_VERIFICATION",
            "REDIS_HEALTH_CHECK_ACTIVE_CONNECTION",
            "REDIS_CLOSE_CONNECTION_ON_READONLY_ERROR",
            "REDIS_PERSECOND",
            "REDIS_PERSECOND_TLS",
        ],
    ),
    group(NO_REDIS, Set, &["REDIS_PERSECOND_*"]),
    group(
        NO_MEMCACHED,
        Set,
        &[
            "MEMCACHE_HOST_PORT",
            "MEMCACHE_SRV",
            "MEMCACHE_SRV_REFRESH",
            "MEMCACHE_MAX_IDLE_CONNS",
            "MEMCACHE_TLS_CLIENT_CERT",
            "MEMCACHE_TLS_CLIENT_KEY",
            "MEMCACHE_TLS_CACERT",
        ],
    ),
    group(NO_MEMCACHED, NotFalse, &["MEMCACHE_TLS", "MEMCACHE_TLS_SKIP_HOSTNAME_VERIFICATION"]),
    group(NO_STATSD, NotFalse, &["USE_STATSD", "USE_DOG_STATSD"]),
    group(NO_STATSD, StandingIn, &["STATSD_HOST", "STATSD_PORT", "STATSD_PROTOCOL"]),
    group(
        NO_STATSD,
        Set,
        &["USE_DOG_STATSD_MOGRIFIERS", "DOG_STATSD_MOGRIFIER_*", "STATS_FLUSH_INTERVAL"],
    ),
    group(METRICS, NotFalse, &["USE_PROMETHEUS"]),
    group(METRICS, Set, &["PROMETHEUS_ADDR"]),
    group(METRICS, IsNot("/metrics"), &["PROMETHEUS_PATH"]),
    group("metrics have names and labels of their own", Set, &["PROMETHEUS_MAPPER_YAML"]),
    group("metrics tell spans in seconds", NotFalse, &["PROMETHEUS_RESPONSE_TIME_AS_MILLISECONDS"]),
    group("metrics get no further labels; let who fetches them add some", Set, &["EXTRA_TAGS"]),
    group("metrics are always counted", NotFalse, &["DISABLE_STATS"]),
    group(NO_TRACES, NotFalse, &["TRACING_ENABLED"]),
    group(
        NO_TRACES,
        Set,
        &[
            "TRACING_EXPORTER_PROTOCOL",
            "TRACING_SERVICE_NAME",
            "TRACING_SERVICE_NAMESPACE",
            "TRACING_SERVICE_INSTANCE_ID",
            "TRACING_SAMPLING_RATE",
        ],
    ),
    group(NO_TRACES, StandingIn, &["OTEL_EXPORTER_OTLP_*"]),
];

/// A variable of that server that changes nothing here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::settings) struct Unused {
    name: String,
    here: &'static str,
}

impl fmt::Display for Unused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, here } = self;
        write!(f, "the variable `{name}` of envoyproxy/ratelimit changes nothing here: {here}")
    }
}

/// Which variables, each a name with its value, are worth a warning; ordered by name.
/// `stands_in` where tollgate is in the place of that server.
pub(in crate::settings) fn unused_among(
    variables: &[(String, String)],
    stands_in: bool,
) -> Vec<Unused> {
    let set = variables.iter().filter(|(_, value)| !value.is_empty());
    let mut unused: Vec<Unused> = set
        .filter_map(|(name, value)| {
            let Group { here, when, .. } = group_of(name)?;
            let is_told = match when {
                Set => true,
                NotFalse => as_bool(value) != Some(false),
                IsNot(usual) => !value.eq_ignore_ascii_case(usual),
                StandingIn => stands_in,
            };
            is_told.then(|| Unused { name: name.clone(), here })
        })
        .collect();
    unused.sort_by(|one, other| one.name.cmp(&other.name));
    unused
}

/// The first one that has the name; so a name comes before the family that it is of.
fn group_of(name: &str) -> Option<&'static Group> {
    let is_named = |known: &str| match known.strip_suffix('*') {
        Some(family) => name.starts_with(family),
        None => name == known,
    };
    GROUPS.iter().find(|group| group.names.iter().any(|known| is_named(known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(variables: &[(&str, &str)]) -> Vec<String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let variables: Vec<_> = variables.iter().map(owned).collect();
        let stands_in =
            variables.iter().any(|(name, value)| name == "RUNTIME_ROOT" && value == "y");
        unused_among(&variables, stands_in).into_iter().map(|unused| unused.name).collect()
    }

    #[test]
    fn what_asks_for_what_tollgate_does_anyway_is_not_told() {
        for (name, usual, other) in [
            ("USE_STATSD", "false", "true"),
            ("USE_STATSD", "0", "yes"),
            ("GRPC_SERVER_USE_TLS", "F", "1"),
            ("CONFIG_TYPE", "FILE", "GRPC_XDS_SOTW"),
            ("REDIS_PERSECOND", "false", "True"),
            ("REDIS_CLOSE_CONNECTION_ON_READONLY_ERROR", "false", "true"),
            ("LIMIT_REQUEST_HEADERS_ENABLED", "false", "true"),
            ("REDIS_PERSECOND_TLS", "false", "true"),
            ("LOCAL_CACHE_SIZE_IN_BYTES", "0", "1000"),
            ("PROMETHEUS_PATH", "/metrics", "/stats"),
            ("TRACING_ENABLED", "false", "true"),
            ("REDIS_URL", "", "redis:6379"),
        ] {
            assert_eq!(told(&[(name, usual)]), [""; 0], "{name}={usual}");
            assert_eq!(told(&[(name, other)]), [name], "{name}={other}");
        }
    }

    #[test]
    fn families_are_told_by_how_they_begin() {
        for name in [
            "REDIS_PERSECOND_URL",
            "DOG_STATSD_MOGRIFIER_DOMAIN_PATTERN",
            "XDS_CLIENT_BACKOFF_JITTER",
            "CONFIG_GRPC_XDS_NODE_ID",
        ] {
            assert_eq!(told(&[(name, "x")]), [name]);
        }
        // As Kubernetes sets them for services of these names.
        for name in ["REDIS_PORT", "REDIS_SERVICE_HOST", "MEMCACHE_PORT", "CONFIG_PORT"] {
            assert_eq!(told(&[(name, "x")]), [""; 0]);
        }
    }

    #[test]
    fn names_that_others_have_are_told_only_where_tollgate_stands_in() {
        for name in ["OTEL_EXPORTER_OTLP_ENDPOINT", "DEBUG_PORT", "STATSD_PORT"] {
            assert_eq!(told(&[(name, "x")]), [""; 0]);
            assert_eq!(told(&[(name, "x"), ("RUNTIME_ROOT", "")]), [""; 0]);
            assert_eq!(told(&[(name, "x"), ("RUNTIME_ROOT", "y")]), [name]);
        }
        assert_eq!(
            told(&[("OTEL_SERVICE_NAME", "x"), ("HOST", "y"), ("RUNTIME_ROOT", "y")]),
            [""; 0]
        );
    }

    #[test]
    fn a_warning_says_what_is_here_and_never_shows_the_value() {
        let secret = [("REDIS_AUTH".to_owned(), "hunter2".to_owned())];
        let [unused] = unused_among(&secret, false).try_into().unwrap();
        assert_eq!(
            unused.to_string(),
            "the variable `REDIS_AUTH` of envoyproxy/ratelimit changes nothing here: counters live \
             in tollgate; no Redis is asked"
        );
    }

    #[test]
    fn every_variable_is_in_the_table_of_the_page() {
        let page = include_str!("../../../docs/compatibility.md");
        for name in GROUPS.iter().flat_map(|group| group.names) {
            assert!(page.contains(&format!("`{name}`")), "docs/compatibility.md lacks `{name}`");
        }
    }
}
