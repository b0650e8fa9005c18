//! `tollgate convert`: policies of other servers as native ones, text in, text out.
//!
//! A conversion never drops a limit in silence: what the native language cannot say is a comment
//! at the place where it would stand, and counted.

pub mod draft;
pub mod limitador;
