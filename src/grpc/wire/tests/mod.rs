//! The hot path against the generated types, which say what is right.

use proptest::prelude::*;

mod decode;
mod encode;
mod soup;

/// What is cheap is tried more often than the default.
fn many() -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: config.cases.max(4_000), ..config }
}
