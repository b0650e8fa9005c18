//! A real Envoy that says when requests come and when they end, between any rate limit service and any upstream.
//!
//! Its configuration is an example of `examples/envoy` with other addresses; what is changed besides is in `EdgeSetup`.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::envoy::{ENDPOINT, named, patient_filter, place, start_envoy, tcp, wired};
use super::process::Process;
use super::program::ServerProcess;
use super::tools;
use super::upstream::Upstream;

/// How Envoy says that a request has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// As the example does: with the lease that it was admitted with, or not at all.
    ByLease,
    /// The same entries again, whether it was admitted or not.
    PlainPair,
    /// A plain pair where Envoy ignores what makes it one: in the route's own list.
    PlainPairInRoute,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct EdgeSetup<'a> {
    /// The file in `examples/envoy`.
    pub(crate) example: &'a str,
    pub(crate) domain: &'a str,
    pub(crate) release: Release,
    pub(crate) workers: u32,
}

impl<'a> EdgeSetup<'a> {
    pub(crate) fn concurrency(domain: &'a str) -> Self {
        Self { example: "concurrency.yaml", domain, release: Release::ByLease, workers: 1 }
    }

    pub(crate) fn load_shedding(domain: &'a str) -> Self {
        Self { example: "load-shedding.yaml", ..Self::concurrency(domain) }
    }
}

#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) address: SocketAddr,
    _envoy: Process,
    _folder: TempDir,
}

impl Edge {
    /// `grpc` is where RLS calls are answered: `127.0.0.1:PORT` or `unix:PATH`. `None` when there
    /// is no Envoy on this machine.
    pub(crate) async fn start(
        setup: EdgeSetup<'_>,
        grpc: &str,
        upstream: SocketAddr,
    ) -> Option<Self> {
        let envoy = tools::envoy()?;
        let folder = TempDir::new().expect("a temporary folder");
        let mut config = wired(setup.example, grpc, folder.path());
        patient_filter(&mut config, setup.domain);
        let resources = place(&mut config, "/static_resources");
        let cluster = named(resources, "clusters", "upstream");
        *place(cluster, ENDPOINT) = tcp(upstream);
        let edge = named(resources, "listeners", "edge");
        let route = "/filter_chains/0/filters/0/typed_config/route_config/virtual_hosts/0/routes/0";
        let route = place(edge, route);
        // The upstream holds requests for as long as the test wants.
        route["route"]["timeout"] = json!("0s");
        release_by(setup.release, route);
        let path = folder.path().join("envoy.json");
        std::fs::write(&path, config.to_string()).expect("a configuration");
        let (envoy, address) = start_envoy(&envoy, &path, setup.workers).await;
        Some(Self { address, _envoy: envoy, _folder: folder })
    }
}

/// An edge with a tollgate that holds this policy, and an upstream that the test decides for.
#[derive(Debug)]
pub(crate) struct Guarded {
    pub(crate) edge: Edge,
    pub(crate) tollgate: ServerProcess,
    pub(crate) upstream: Upstream,
    _policies: TempDir,
}

impl Guarded {
    /// `None` when there is no Envoy on this machine.
    pub(crate) async fn start(setup: EdgeSetup<'_>, policy: &str) -> Option<Self> {
        tools::envoy()?;
        let policies = TempDir::new().expect("a temporary folder");
        std::fs::write(policies.path().join("policy.yaml"), policy).expect("a policy");
        let tollgate = ServerProcess::start(policies.path(), &[]);
        let upstream = Upstream::start().await;
        let edge = Edge::start(setup, &tollgate.grpc, upstream.address).await?;
        Some(Self { edge, tollgate, upstream, _policies: policies })
    }
}

const RULES: &str = "/typed_per_filter_config/envoy.filters.http.ratelimit/rate_limits";

fn release_by(release: Release, route: &mut Value) {
    if release == Release::ByLease {
        return;
    }
    let rules = place(route, RULES);
    let actions = place(rules, "/1/actions").as_array_mut().expect("a list of actions");
    let lease = actions.pop().expect("actions");
    assert!(lease["metadata"].is_object(), "the lease is the last action");
    if release == Release::PlainPairInRoute {
        route["route"]["rate_limits"] = place(route, RULES).take();
        route["typed_per_filter_config"] = json!({});
    }
}
