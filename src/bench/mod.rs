//! Drives any server of Envoy's rate limit protocol and counts how it answers.
//!
//! It speaks the protocol alone and knows nothing of tollgate's own server, so that servers can be
//! compared. `tollgate bench` and `benches/server.rs` send their load through here.

pub mod drive;
pub mod keys;
pub mod report;
pub mod template;
