//! A real Envoy in front of the real binary, both on ports that the system chose.
//!
//! The configuration is the one in `examples/envoy`, with only addresses, domain and patience replaced. A call that
//! Envoy misses fails the request here (`failure_mode_deny`), so it cannot pass for an admitted one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use http::Request;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::http::{Answer, NoBody, request, send};
use super::process::Process;
use super::program::ServerProcess;
use super::tools;

/// Where Envoy finds tollgate.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Via {
    Tcp,
    UnixSocket,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup<'a> {
    pub(crate) domain: &'a str,
    pub(crate) policy: &'a str,
    pub(crate) via: Via,
    /// Envoy's own `x-ratelimit-*` headers and Retry-After.
    pub(crate) envoy_headers: bool,
    /// The name of tollgate's cluster.
    pub(crate) cluster: &'a str,
    /// Whether Envoy is told an authority, as every configuration of ours does.
    pub(crate) has_authority: bool,
    /// Flags for tollgate.
    pub(crate) settings: &'a [&'a str],
}

impl<'a> Setup<'a> {
    pub(crate) fn new(domain: &'a str, policy: &'a str) -> Self {
        Self {
            domain,
            policy,
            via: Via::Tcp,
            envoy_headers: false,
            cluster: "tollgate",
            has_authority: true,
            settings: &[],
        }
    }
}

#[derive(Debug)]
pub(crate) struct Rig {
    _envoy: Process,
    edge: SocketAddr,
    tollgate: ServerProcess,
    folder: TempDir,
}

impl Rig {
    /// `None` when there is no Envoy on this machine.
    pub(crate) async fn start(setup: Setup<'_>) -> Option<Self> {
        let envoy = tools::envoy()?;
        let folder = TempDir::new().expect("a temporary folder");
        let policies = folder.path().join("policies");
        std::fs::create_dir(&policies).expect("a folder for policies");
        std::fs::write(policies.join("policy.yaml"), setup.policy).expect("a policy");

        let wanted = match setup.via {
            Via::Tcp => "127.0.0.1:0".to_owned(),
            Via::UnixSocket => format!("unix:{}", folder.path().join("rls.sock").display()),
        };
        let tollgate = ServerProcess::start_at(&policies, &wanted, setup.settings);
        let config = folder.path().join("envoy.json");
        let text = envoy_config(&setup, &tollgate.grpc, folder.path()).to_string();
        std::fs::write(&config, text).expect("a configuration");
        let (envoy, edge) = start_envoy(&envoy, &config, 1).await;
        Some(Self { _envoy: envoy, edge, tollgate, folder })
    }

    /// Replaces the policy as an editor does, and waits until it is in force.
    pub(crate) fn change_policy(&mut self, policy: &str) {
        let path = self.policies().join("policy.yaml");
        let draft = self.folder.path().join("draft.yaml");
        std::fs::write(&draft, policy).expect("a draft");
        std::fs::rename(&draft, &path).expect("a changed policy");
        self.tollgate.process.wait_for("policies reloaded");
    }

    pub(crate) fn stop_tollgate(&mut self) {
        self.tollgate.process.kill();
    }

    pub(crate) fn start_tollgate_again(&mut self) {
        self.tollgate = ServerProcess::start_at(&self.policies(), &self.tollgate.grpc, &[]);
    }

    /// Sends a request through Envoy on a connection of its own.
    pub(crate) async fn send(&self, request: Request<NoBody>) -> Answer {
        send(self.edge, request).await
    }

    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &[u8])]) -> Answer {
        self.send(request("GET", path, headers)).await
    }

    /// Sends the same request many times at once.
    pub(crate) async fn get_at_once(
        &self,
        count: u32,
        path: &str,
        headers: &[(&str, &[u8])],
    ) -> Vec<Answer> {
        let mut sending = JoinSet::new();
        for _ in 0..count {
            sending.spawn(send(self.edge, request("GET", path, headers)));
        }
        sending.join_all().await
    }

    fn policies(&self) -> PathBuf {
        self.folder.path().join("policies")
    }
}

/// Starts Envoy with so many workers; gives the address of its listener `edge`.
pub(super) async fn start_envoy(
    envoy: &Path,
    config: &Path,
    workers: u32,
) -> (Process, SocketAddr) {
    let mut command = Command::new(envoy);
    command.arg("--config-path").arg(config).args(["--concurrency", &workers.to_string()]);
    command.args(["--disable-hot-restart", "--log-level", "info"]);
    let mut envoy = Process::start(command);
    let line = envoy.wait_for("admin address: ");
    let admin = line.rsplit(' ').next().and_then(|address| address.parse().ok());
    let admin = admin.unwrap_or_else(|| panic!("no address in `{line}`"));
    envoy.wait_for("starting main dispatch loop");
    let listeners = send(admin, request("GET", "/listeners?format=json", &[])).await.json();
    let port = listeners["listener_statuses"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|listener| listener["name"] == "edge")
        .and_then(|edge| edge["local_address"]["socket_address"]["port_value"].as_u64())
        .and_then(|port| u16::try_from(port).ok())
        .unwrap_or_else(|| panic!("no port of `edge` in {listeners}"));
    (envoy, SocketAddr::from(([127, 0, 0, 1], port)))
}

pub(crate) fn example(name: &str) -> PathBuf {
    tools::repository().join("examples/envoy").join(name)
}

fn envoy_config(setup: &Setup<'_>, grpc: &str, folder: &Path) -> Value {
    let name = match setup.via {
        Via::Tcp => "envoy.yaml",
        Via::UnixSocket => "unix-socket.yaml",
    };
    let mut config = wired(name, grpc, folder);
    let cluster = named(place(&mut config, "/static_resources"), "clusters", "tollgate");
    cluster["name"] = json!(setup.cluster);
    cluster["load_assignment"]["cluster_name"] = json!(setup.cluster);

    let filter = patient_filter(&mut config, setup.domain);
    let service = place(filter, "/rate_limit_service/grpc_service/envoy_grpc");
    service["cluster_name"] = json!(setup.cluster);
    if !setup.has_authority {
        service["authority"].take();
    }
    if setup.envoy_headers {
        filter["enable_x_ratelimit_headers"] = json!("DRAFT_VERSION_03");
        filter["enable_retry_after_header"] = json!(true);
    }
    config
}

/// An example with addresses that are free here, in front of what answers RLS calls at `grpc`.
pub(super) fn wired(name: &str, grpc: &str, folder: &Path) -> Value {
    let text = std::fs::read_to_string(example(name)).expect("an example");
    let mut config: Value = serde_yaml::from_str(&text).expect("the example is YAML");

    let any_port = json!({"socket_address": {"address": "127.0.0.1", "port_value": 0}});
    let upstream = json!({"pipe": {"path": folder.join("upstream.sock")}});
    *place(&mut config, "/admin/address") = any_port.clone();
    let resources = place(&mut config, "/static_resources");
    *place(named(resources, "listeners", "edge"), "/address") = any_port;
    *place(named(resources, "listeners", "upstream"), "/address") = upstream.clone();
    *place(named(resources, "clusters", "upstream"), ENDPOINT) = upstream;
    *place(named(resources, "clusters", "tollgate"), ENDPOINT) = match grpc.strip_prefix("unix:") {
        Some(path) => json!({"pipe": {"path": path}}),
        None => tcp(grpc.parse().expect("an address")),
    };
    config
}

pub(super) fn tcp(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip(), "port_value": address.port()}})
}

/// The rate limit filter, for this domain and with patience enough for a busy machine.
pub(super) fn patient_filter<'v>(config: &'v mut Value, domain: &str) -> &'v mut Value {
    let edge = named(place(config, "/static_resources"), "listeners", "edge");
    let manager = place(edge, "/filter_chains/0/filters/0/typed_config");
    let filter = named(manager, "http_filters", "envoy.filters.http.ratelimit");
    let filter = place(filter, "/typed_config");
    filter["domain"] = json!(domain);
    filter["timeout"] = json!("5s");
    filter["failure_mode_deny"] = json!(true);
    filter
}

pub(super) const ENDPOINT: &str = "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address";

pub(super) fn place<'v>(value: &'v mut Value, pointer: &str) -> &'v mut Value {
    value.pointer_mut(pointer).unwrap_or_else(|| panic!("the example has no `{pointer}`"))
}

pub(super) fn named<'v>(value: &'v mut Value, list: &str, name: &str) -> &'v mut Value {
    value[list]
        .as_array_mut()
        .into_iter()
        .flatten()
        .find(|entry| entry["name"] == name)
        .unwrap_or_else(|| panic!("the example has no `{name}` in `{list}`"))
}
