//! The whole server, tried from outside: over its sockets, its files and its command line.
//!
//! Each test runs its own server on free ports with a clock of its own; nothing is shared.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may stop at what it did not expect"
)]

mod support;

mod bench_cli;
mod chart;
mod cli;
mod concurrent;
mod convert;
mod docs;
mod drain;
mod envoy;
mod envoy_concurrency;
mod envoy_stream_done;
mod exact;
mod explain;
mod hostile;
mod http;
mod inventory;
mod load;
mod metrics;
mod mutations;
mod protocol;
mod published;
mod reference;
mod reference_environment;
mod reload;
mod rls;
mod scenario;
mod schema;
mod service_manager;
mod sockets;
mod stall;
