//! Environments of envoyproxy/ratelimit, and the settings and warnings that they give.

use crate::policy::model::{DescriptorHeaders, DescriptorOptions, Mode};
use crate::settings::{Flags, Gathered, Settings};

fn gathered_with(flags: &Flags, variables: &[(&str, &str)]) -> Gathered {
    let environment = |name: &str| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    Gathered::gather(flags, environment, false).unwrap()
}

fn gathered(variables: &[(&str, &str)]) -> Gathered {
    gathered_with(&Flags::default(), variables)
}

fn settings(variables: &[(&str, &str)]) -> Settings {
    gathered(variables).settings().unwrap()
}

fn warnings(variables: &[(&str, &str)]) -> Vec<String> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let list: Vec<_> = variables.iter().map(owned).collect();
    gathered(variables).warnings(&list)
}

/// The variables that are warned of.
fn named(variables: &[(&str, &str)]) -> Vec<String> {
    let name = |warning: &String| warning.split('`').nth(1).unwrap().to_owned();
    warnings(variables).iter().map(name).collect()
}

fn policies(variables: &[(&str, &str)]) -> String {
    let [path] = settings(variables).policies.try_into().unwrap();
    path.to_str().unwrap().to_owned()
}

/// Where it listens, for gRPC and for HTTP.
fn places(variables: &[(&str, &str)]) -> [String; 2] {
    let settings = settings(variables);
    let [grpc] = settings.grpc.try_into().unwrap();
    [grpc.to_string(), settings.http.unwrap().to_string()]
}

fn printed(variables: &[(&str, &str)], setting: &str) -> String {
    let printed = gathered(variables).to_string();
    let line = printed.lines().find(|line| line.starts_with(setting)).unwrap();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn policies_are_where_that_server_has_them() {
    for (variables, expected) in [
        ([].as_slice(), "policies"),
        (&[("RUNTIME_ROOT", "/data")], "/data/config"),
        (&[("RUNTIME_ROOT", "/data/"), ("RUNTIME_SUBDIRECTORY", "/x/")], "/data/x/config"),
        (&[("RUNTIME_SUBDIRECTORY", "x")], "/srv/runtime_data/current/x/config"),
        (&[("RUNTIME_APPDIRECTORY", "limits")], "/srv/runtime_data/current/limits"),
        (&[("RUNTIME_ROOT", ""), ("RUNTIME_APPDIRECTORY", "")], "policies"),
        (&[("RUNTIME_ROOT", "/a,b"), ("RUNTIME_APPDIRECTORY", "c")], "/a,b/c"),
        (&[("RUNTIME_ROOT", "/")], "/config"),
        (&[("RUNTIME_WATCH_ROOT", "false"), ("RUNTIME_IGNOREDOTFILES", "true")], "policies"),
    ] {
        assert_eq!(policies(variables), expected, "{variables:?}");
    }
}

#[test]
fn listeners_are_where_that_server_has_them() {
    let root = ("RUNTIME_ROOT", "/data");
    for (variables, grpc, http) in [
        ([].as_slice(), "127.0.0.1:8081", "127.0.0.1:8080"),
        (&[root], "0.0.0.0:8081", "0.0.0.0:8080"),
        (&[("RUNTIME_APPDIRECTORY", "x")], "0.0.0.0:8081", "0.0.0.0:8080"),
        (&[root, ("PORT", "80")], "0.0.0.0:8081", "0.0.0.0:80"),
        (&[root, ("HOST", "::"), ("GRPC_HOST", "::")], "[::]:8081", "[::]:8080"),
        (&[root, ("HOST", "[::1]")], "0.0.0.0:8081", "[::1]:8080"),
        (&[("GRPC_PORT", "9"), ("PORT", "0")], "127.0.0.1:9", "127.0.0.1:0"),
        (&[("GRPC_HOST", "a"), ("HOST", "b")], "a:8081", "b:8080"),
        (&[("GRPC_PORT", "9"), ("HOST", "b")], "127.0.0.1:9", "b:8080"),
        // HOST alone is the shell's, and GRPC_PORT may be the address of a Kubernetes service.
        (&[("HOST", "laptop"), ("PORT", "7")], "127.0.0.1:8081", "127.0.0.1:7"),
        (&[("HOST", "b"), ("GRPC_PORT", "tcp://10.0.0.1:9")], "127.0.0.1:8081", "127.0.0.1:8080"),
        (&[("GRPC_UDS", "/run/x"), ("GRPC_PORT", "9")], "unix:/run/x", "127.0.0.1:8080"),
        (&[root, ("GRPC_UDS", "/run/x"), ("HOST", "b")], "unix:/run/x", "b:8080"),
    ] {
        assert_eq!(places(variables), [grpc, http], "{variables:?}");
    }
}

#[test]
fn the_name_of_that_server_stands_for_its_variables() {
    let gathered = |variables: &'static [(&str, &str)]| {
        let environment = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Gathered::gather(&Flags::default(), environment, true).unwrap()
    };
    let settings = gathered(&[]).settings().unwrap();
    assert_eq!(settings.policies[0].to_str(), Some("/srv/runtime_data/current/config"));
    assert_eq!(settings.grpc[0].to_string(), "0.0.0.0:8081");
    assert_eq!(settings.http.unwrap().to_string(), "0.0.0.0:8080");
    let printed = gathered(&[]).to_string();
    assert!(printed.lines().all(|line| !line.ends_with("environment ")), "{printed}");
    assert!(printed.contains("# program name ratelimit"), "{printed}");
    assert!(gathered(&[]).has_reference_policies());
    let [warning] =
        gathered(&[]).warnings(&[("DEBUG_PORT".to_owned(), "1".to_owned())]).try_into().unwrap();
    assert!(warning.contains("`DEBUG_PORT`"), "{warning}");
    let settings = gathered(&[("HOST", "a"), ("TOLLGATE_POLICIES", "mine")]).settings().unwrap();
    assert_eq!(settings.http.unwrap().to_string(), "a:8080");
    assert_eq!(settings.policies[0].to_str(), Some("mine"));
}

#[test]
fn levels_and_forms_of_the_log_are_taken_over() {
    for (level, expected) in [
        ("PANIC", "error"),
        ("fatal", "error"),
        ("Error", "error"),
        ("WARN", "warn"),
        ("warning", "warn"),
        ("info", "info"),
        ("DEBUG", "debug"),
        ("trace", "trace"),
    ] {
        assert_eq!(settings(&[("LOG_LEVEL", level)]).log_level, expected);
    }
    assert!(printed(&[("LOG_FORMAT", "json")], "log-format").contains("\"json\""));
}

#[test]
fn switches_are_read_as_go_reads_them() {
    for (text, is_on) in [
        ("1", true),
        ("t", true),
        ("T", true),
        ("TRUE", true),
        ("true", true),
        ("True", true),
        ("0", false),
        ("f", false),
        ("F", false),
        ("FALSE", false),
        ("false", false),
        ("False", false),
    ] {
        let settings = settings(&[
            ("SHADOW_MODE", text),
            ("QUOTA_MODE", text),
            ("MERGE_DOMAIN_CONFIG", text),
            ("STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT", text),
            ("RESPONSE_DYNAMIC_METADATA", text),
        ]);
        assert_eq!(settings.mode, if is_on { Mode::Shadow } else { Mode::Enforce });
        let expected = DescriptorOptions {
            merges_domains: is_on,
            quota_mode: is_on,
            spares_others: is_on,
            headers: None,
            has_metadata: is_on,
        };
        assert_eq!(settings.descriptors, expected, "{text}");
    }
    // Each one alone decides its own setting.
    let options = settings(&[("QUOTA_MODE", "1")]).descriptors;
    assert_eq!(options, DescriptorOptions { quota_mode: true, ..Default::default() });
    let options = settings(&[("MERGE_DOMAIN_CONFIG", "1")]).descriptors;
    assert_eq!(options, DescriptorOptions { merges_domains: true, ..Default::default() });
    let options = settings(&[("RESPONSE_DYNAMIC_METADATA", "1")]).descriptors;
    assert_eq!(options, DescriptorOptions { has_metadata: true, ..Default::default() });
}

#[test]
fn headers_are_switched_on_with_the_names_of_that_server_or_own_ones() {
    let headers = |variables: &[(&str, &str)]| settings(variables).descriptors.headers;
    let names = |limit: &str| DescriptorHeaders {
        limit: limit.to_owned(),
        remaining: "RateLimit-Remaining".to_owned(),
        reset: "RateLimit-Reset".to_owned(),
    };
    let on = ("LIMIT_RESPONSE_HEADERS_ENABLED", "true");
    assert_eq!(headers(&[on]), Some(names("RateLimit-Limit")));
    assert_eq!(headers(&[on, ("LIMIT_LIMIT_HEADER", "X-Limit")]), Some(names("X-Limit")));
    assert_eq!(headers(&[on, ("LIMIT_LIMIT_HEADER", "no name")]), Some(names("RateLimit-Limit")));
    // Two of one name, and names that say how the answer is to be read.
    let reset = ("LIMIT_LIMIT_HEADER", "ratelimit-reset");
    assert_eq!(headers(&[on, reset]), Some(names("RateLimit-Limit")));
    for bad in ["host", "Content-Length", ":status"] {
        assert_eq!(headers(&[on, ("LIMIT_LIMIT_HEADER", bad)]), Some(names("RateLimit-Limit")));
    }
    assert_eq!(named(&[on, reset]), ["LIMIT_LIMIT_HEADER"]);
    assert_eq!(headers(&[("LIMIT_LIMIT_HEADER", "X-Limit")]), None);
    assert_eq!(headers(&[("LIMIT_RESPONSE_HEADERS_ENABLED", "false")]), None);
}

#[test]
fn what_is_said_to_tollgate_wins() {
    let variables = [
        ("RUNTIME_ROOT", "/data"),
        ("GRPC_PORT", "9"),
        ("LOG_LEVEL", "debug"),
        ("TOLLGATE_GRPC", "127.0.0.1:1"),
        ("TOLLGATE_LOG_LEVEL", "warn"),
    ];
    let settings = settings(&variables);
    assert_eq!(settings.grpc[0].to_string(), "127.0.0.1:1");
    assert_eq!((settings.log_level.as_str(), settings.mode), ("warn", Mode::Enforce));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "policies: mine\nmode: enforce\n").unwrap();
    let path = file.path().to_str().unwrap();
    let variables = [("TOLLGATE_CONFIG", path), ("RUNTIME_ROOT", "/data"), ("SHADOW_MODE", "true")];
    assert_eq!(policies(&variables), "mine");
    assert!(!gathered(&variables).has_reference_policies());
    assert_eq!(self::settings(&variables).mode, Mode::Enforce);
}

#[test]
fn the_printed_form_names_the_variables() {
    let variables = [
        ("RUNTIME_ROOT", "/data"),
        ("RUNTIME_SUBDIRECTORY", "ratelimit"),
        ("PORT", "80"),
        ("LIMIT_RESPONSE_HEADERS_ENABLED", "1"),
        ("LIMIT_RESET_HEADER", "Reset"),
    ];
    for (setting, expected) in [
        (
            "policies",
            "policies: [\"/data/ratelimit/config\"] # environment RUNTIME_ROOT, RUNTIME_SUBDIRECTORY",
        ),
        ("grpc", "grpc: [\"0.0.0.0:8081\"] # environment RUNTIME_ROOT, RUNTIME_SUBDIRECTORY"),
        ("http", "http: \"0.0.0.0:80\" # environment PORT"),
        (
            "descriptors-headers",
            "descriptors-headers: [\"RateLimit-Limit\", \"RateLimit-Remaining\", \"Reset\"] # \
             environment LIMIT_RESPONSE_HEADERS_ENABLED, LIMIT_RESET_HEADER",
        ),
    ] {
        assert_eq!(printed(&variables, setting), expected);
    }
    let used = gathered(&variables).reference_variables();
    let mut expected = variables.map(|(name, _)| name);
    expected.sort_unstable();
    assert_eq!(used, expected);
    assert_eq!(gathered(&[("HOST", "x"), ("REDIS_URL", "y")]).reference_variables(), [""; 0]);
}

#[test]
fn a_bad_value_is_warned_of_and_the_default_used() {
    let root = ("RUNTIME_ROOT", "/data");
    let long = "x".repeat(200);
    for (name, value, parts) in [
        ("LOG_LEVEL", "loud", ["no level from `panic` to `trace`", "`info`"]),
        ("LOG_FORMAT", "xml", ["neither `text` nor `json`", "`text`"]),
        ("PORT", "http", ["no port", "`8080`"]),
        ("GRPC_PORT", "65536", ["no port", "`8081`"]),
        ("GRPC_PORT", "a\nb", ["`a\\nb`", "`8081`"]),
        ("HOST", "a b", ["no host", "`0.0.0.0`"]),
        ("GRPC_HOST", "a/b", ["no host", "`0.0.0.0`"]),
        ("GRPC_UDS", &long, ["no path that a socket can have", "`GRPC_HOST:GRPC_PORT`"]),
        ("SHADOW_MODE", "yes", ["neither `true` nor `false`", "`false`"]),
        ("QUOTA_MODE", "on", ["neither `true` nor `false`", "`false`"]),
        ("LIMIT_RESPONSE_HEADERS_ENABLED", "tRUE", ["neither `true` nor `false`", "`false`"]),
    ] {
        let [warning] = warnings(&[root, (name, value)]).try_into().unwrap();
        assert!(warning.starts_with(&format!("the variable `{name}` is `")), "{warning}");
        assert!(warning.ends_with("is used instead"), "{warning}");
        for part in parts {
            assert!(warning.contains(part), "{warning}");
        }
        assert_eq!(gathered(&[root, (name, value)]).reference_variables(), ["RUNTIME_ROOT"]);
        assert_eq!(places(&[root, (name, value)]), places(&[root]));
    }
    let headers = [("LIMIT_RESPONSE_HEADERS_ENABLED", "1"), ("LIMIT_RESET_HEADER", "é")];
    let [warning] = warnings(&headers).try_into().unwrap();
    assert!(warning.contains("no name of a header; `RateLimit-Reset` is used"), "{warning}");
}

#[test]
fn a_bad_value_that_would_decide_nothing_is_not_warned_of() {
    assert_eq!(named(&[("LOG_LEVEL", "loud"), ("TOLLGATE_LOG_LEVEL", "info")]), [""; 0]);
    assert_eq!(named(&[("HOST", "a b")]), [""; 0]);
    assert_eq!(named(&[("LIMIT_RESET_HEADER", "a b")]), [""; 0]);
    assert_eq!(named(&[("LOG_LEVEL", ""), ("PORT", ""), ("QUOTA_MODE", "")]), [""; 0]);
}

#[test]
fn the_sample_of_istio() {
    let variables = [
        ("HOST", "::"),
        ("GRPC_HOST", "::"),
        ("RUNTIME_ROOT", "/data"),
        ("RUNTIME_SUBDIRECTORY", "ratelimit"),
        ("RUNTIME_WATCH_ROOT", "false"),
        ("RUNTIME_IGNOREDOTFILES", "true"),
        ("REDIS_SOCKET_TYPE", "tcp"),
        ("REDIS_URL", "redis:6379"),
        ("USE_STATSD", "false"),
        ("LOG_LEVEL", "debug"),
    ];
    assert_eq!(policies(&variables), "/data/ratelimit/config");
    assert_eq!(places(&variables), ["[::]:8081", "[::]:8080"]);
    let settings = settings(&variables);
    assert_eq!((settings.log_level.as_str(), settings.mode), ("debug", Mode::Enforce));
    assert_eq!(settings.descriptors, DescriptorOptions::default());
    assert_eq!(
        warnings(&variables),
        ["REDIS_SOCKET_TYPE", "REDIS_URL"].map(|name| format!(
            "the variable `{name}` of envoyproxy/ratelimit changes nothing here: counters live in \
             tollgate; no Redis is asked"
        ))
    );
}

#[test]
fn the_environment_of_envoy_gateway() {
    let variables = [
        ("RUNTIME_ROOT", "/data"),
        ("RUNTIME_SUBDIRECTORY", "ratelimit"),
        ("RUNTIME_IGNOREDOTFILES", "true"),
        ("RUNTIME_WATCH_ROOT", "false"),
        ("LOG_LEVEL", "info"),
        ("USE_STATSD", "false"),
        ("CONFIG_TYPE", "GRPC_XDS_SOTW"),
        ("CONFIG_GRPC_XDS_SERVER_URL", "envoy-gateway:18001"),
        ("CONFIG_GRPC_XDS_NODE_ID", "envoy-ratelimit"),
        ("GRPC_SERVER_USE_TLS", "true"),
        ("GRPC_SERVER_TLS_CERT", "/certs/tls.crt"),
        ("GRPC_SERVER_TLS_KEY", "/certs/tls.key"),
        ("GRPC_SERVER_TLS_CA_CERT", "/certs/ca.crt"),
        ("CONFIG_GRPC_XDS_SERVER_USE_TLS", "true"),
        ("CONFIG_GRPC_XDS_CLIENT_TLS_CERT", "/certs/tls.crt"),
        ("CONFIG_GRPC_XDS_CLIENT_TLS_KEY", "/certs/tls.key"),
        ("CONFIG_GRPC_XDS_SERVER_TLS_CACERT", "/certs/ca.crt"),
        ("FORCE_START_WITHOUT_INITIAL_CONFIG", "true"),
        ("REDIS_SOCKET_TYPE", "tcp"),
        ("REDIS_URL", "redis:6379"),
        ("REDIS_TLS", "true"),
        ("REDIS_TLS_CLIENT_CERT", "/redis-certs/tls.crt"),
        ("REDIS_TLS_CLIENT_KEY", "/redis-certs/tls.key"),
        ("USE_PROMETHEUS", "true"),
        ("PROMETHEUS_ADDR", ":19001"),
        ("PROMETHEUS_MAPPER_YAML", "/etc/statsd-exporter/conf.yaml"),
        ("TRACING_ENABLED", "true"),
        ("TRACING_SERVICE_NAME", "envoy-ratelimit"),
        ("TRACING_SERVICE_NAMESPACE", "envoy-gateway-system"),
        ("TRACING_SERVICE_INSTANCE_ID", "envoy-ratelimit-0"),
        ("TRACING_SAMPLING_RATE", "1.0"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"),
    ];
    assert_eq!(policies(&variables), "/data/ratelimit/config");
    assert_eq!(places(&variables), ["0.0.0.0:8081", "0.0.0.0:8080"]);
    let used = gathered(&variables).reference_variables();
    assert_eq!(used, ["LOG_LEVEL", "RUNTIME_ROOT", "RUNTIME_SUBDIRECTORY"]);
    // All that is set but what is used or asks for what is done anyway.
    let quiet = ["RUNTIME_IGNOREDOTFILES", "RUNTIME_WATCH_ROOT", "USE_STATSD"];
    let mut expected: Vec<&str> = variables
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !used.contains(name) && !quiet.contains(name))
        .collect();
    expected.sort_unstable();
    assert_eq!(named(&variables), expected);
    let warnings = warnings(&variables);
    for (name, here) in [
        ("CONFIG_TYPE", "policies are read from files; xDS is not in this version"),
        ("GRPC_SERVER_USE_TLS", "TLS is not in this version: the port is cleartext"),
        ("USE_PROMETHEUS", "metrics are at `/metrics` of the HTTP port"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "traces are not in this version"),
    ] {
        let line = warnings.iter().find(|line| line.contains(&format!("`{name}`"))).unwrap();
        assert!(line.ends_with(here), "{line}");
    }
}
