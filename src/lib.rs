//! tollgate: a quota sidecar for service meshes.
//!
//! Modules in reading order; each may use those above it in this list, and `tests/tidy.rs` keeps
//! it so. A request walks `grpc` → `decide::plan` → `store` → `decide::conclude` → `grpc`.

pub mod time;
pub mod yaml;

pub mod limit;
pub mod request;

pub mod policy;

pub mod decide;

pub mod store;
