//! What the rig is told from outside, and its dice.
//!
//! Whatever is drawn follows from the seed, which every line of figures names.

use std::path::PathBuf;

use tokio::sync::{Mutex, MutexGuard};

use crate::support::tools;

/// What `docs/reliability.md` says that one counter takes at most, in memory and in the data file.
pub(crate) const MEMORY_BYTES_PER_COUNTER: u64 = 128;
pub(crate) const DISK_BYTES_PER_COUNTER: u64 = 160;
/// What does not grow with them: usage, the pages of the engine, buffers.
pub(crate) const MEMORY_BYTES_BESIDES: u64 = 24 << 20;
pub(crate) const DISK_BYTES_BESIDES: u64 = 4 << 20;

/// Tests that measure take turns, so that none is measured under the load of another.
static TURN: Mutex<()> = Mutex::const_new(());

pub(crate) async fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().await
}

/// Whether the sizes are those of a release.
pub(crate) fn is_long() -> bool {
    tools::is_on("TOLLGATE_LONG")
}

/// One of two sizes.
pub(crate) fn sized<T>(short: T, long: T) -> T {
    if is_long() { long } else { short }
}

pub(crate) fn seed() -> u64 {
    let given = tools::environment("TOLLGATE_SEED");
    given.map_or(20_261_122, |text| text.parse().expect("TOLLGATE_SEED is a number"))
}

/// The store that is tried.
pub(crate) fn store() -> String {
    tools::environment("TOLLGATE_RIG_STORE").unwrap_or_else(|| "durable".to_owned())
}

pub(crate) fn binary() -> PathBuf {
    let built = || PathBuf::from(env!("CARGO_BIN_EXE_tollgate"));
    let named = tools::environment("TOLLGATE_BIN").filter(|path| !path.is_empty());
    named.map_or_else(built, |path| tools::repository().join(path))
}

/// Random numbers by SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// A test with another name has other dice.
    pub(crate) fn new(test: &str) -> Self {
        Self(test.bytes().fold(seed(), |state, byte| Self(state ^ u64::from(byte)).number()))
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Less than `end`.
    pub(crate) fn below(&mut self, end: u32) -> u32 {
        u32::try_from(self.number() % u64::from(end)).expect("less than a u32")
    }
}
