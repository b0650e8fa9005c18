//! The loads: one standard request, in flight in several ways.
//!
//! In an open loop calls are due at a rate, and latencies count from when they were due.

use std::num::NonZeroU64;
use std::sync::Arc;

use anyhow::bail;
use tokio::runtime::Runtime;
use tollgate::bench::drive::{End, Load, drive};
use tollgate::bench::keys::Distribution;
use tollgate::bench::report::Report;
use tollgate::bench::template::{DescriptorTemplate, RequestTemplate};
use tollgate::clock::Clock;
use tollgate::time::Span;

use super::Server;

const DESCRIPTORS: [&str; 3] =
    ["tenant=t{key},method=GET", "app=a{key},endpoint=/v1/orders", "user=u{key},region=eu"];

#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) connections: usize,
    pub(crate) streams: usize,
    pub(crate) keys: u64,
    pub(crate) distribution: Distribution,
    /// Of an open loop; a closed one has none.
    pub(crate) rate: Option<NonZeroU64>,
}

pub(crate) const ONE_BY_ONE: Shape = Shape {
    name: "c1m1",
    connections: 1,
    streams: 1,
    keys: 100_000,
    distribution: Distribution::Zipf,
    rate: None,
};

pub(crate) const MANY: Shape = Shape { name: "c2m32", connections: 2, streams: 32, ..ONE_BY_ONE };

pub(crate) const MANY_KEYS: Shape =
    Shape { name: "c2m32, 1M keys", keys: 1_000_000, distribution: Distribution::Uniform, ..MANY };

/// So many connections and calls that none is held up for want of them.
pub(crate) fn open_loop(rate: NonZeroU64) -> Shape {
    Shape { name: "open loop", connections: 4, streams: 64, rate: Some(rate), ..ONE_BY_ONE }
}

impl Shape {
    /// Sends it; every answer must be OK. Other seeds ask for other keys.
    pub(crate) fn send(
        &self,
        server: &Server,
        runtime: &Runtime,
        (end, seed): (End, u64),
    ) -> anyhow::Result<Report> {
        let report = runtime.block_on(drive(self.load(server, end, seed)?, Clock::system()))?;
        if report.tally.ok == 0 || report.tally.ok != report.tally.call_count() {
            bail!("`{}` did not answer OK to everything:\n{}", server.name, report.text());
        }
        Ok(report)
    }

    fn load(&self, server: &Server, end: End, seed: u64) -> anyhow::Result<Load> {
        let descriptors = DESCRIPTORS.iter().map(|text| DescriptorTemplate::parse(text));
        Ok(Load {
            target: server.address.clone(),
            template: RequestTemplate {
                domain: "bench".into(),
                descriptors: descriptors.collect::<Result<_, _>>()?,
                hits: 1,
            },
            keys: self.keys,
            distribution: self.distribution,
            seed,
            connections: self.connections,
            streams: self.streams,
            end,
            warmup: Span::ZERO,
            rate: self.rate,
            timeout: Span::from_seconds(5),
            ended: Arc::default(),
        })
    }
}
