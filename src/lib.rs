//! tollgate: a quota sidecar for service meshes.
//!
//! Modules in reading order; each may use those above it in this list, and `tests/tidy.rs` keeps
//! it so. A request walks `grpc` → `decide::plan` → `store` → `decide::conclude` → `grpc`.
#![forbid(unsafe_code)]

pub mod time;
pub mod yaml;

pub mod limit;
pub mod request;

pub mod policy;

pub mod decide;
pub mod usage;

pub mod explain;

pub mod clock;
pub mod metrics;
pub mod pb;
pub mod readiness;
pub mod socket;
pub mod telemetry;

pub mod journal;
pub mod reports;
pub mod source;
pub mod store;

pub mod convert;
pub mod scenario;

pub mod schema;

pub mod admin;
pub mod grpc;

pub mod settings;

pub mod server;

pub mod bench;

pub mod cli;
