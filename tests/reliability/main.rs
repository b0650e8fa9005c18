//! State that lasts and stays bounded, proved on the program itself, from outside.
//!
//! Every test has its own ledger of what was asked and answered, and the ledger is the judge: nothing that the server
//! says of itself passes for a proof. Each test prints one line of figures and fails when a promise is broken.
//!
//! The sizes are small unless `TOLLGATE_LONG=1`; `TOLLGATE_BIN` names another program, such as a release build;
//! `TOLLGATE_SEED` draws other keys and other moments; `TOLLGATE_RIG_STORE=memory` tries the store that forgets.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may stop at what it did not expect"
)]

#[path = "../it/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "some of it is for the other tests")]
mod support;

mod caller;
mod figures;
mod form;
mod judge;
mod load;
mod node;

mod crash;
mod damage;
mod disk_full;
mod disk_slow;
mod flood;
mod folder;
mod history;
mod kill;
mod restore;
mod size;
mod strict;
mod term;
