//! T-SIM: a whole node in one thread, driven by a seed and judged after every step.
//!
//! Policies are compiled, requests planned, charged and concluded, turns written to a simulated
//! disk, all by the code that serves; time, faults, crashes and steps of the clock come from the
//! seed. One seed does the same in every run. A slow model that knows no shard, no journal and no
//! hash says after each step what must be.

mod counter;
mod ledger;
mod model;
mod policies;
mod run;
mod steps;
mod tests;
mod world;

/// What is wrong, where something is.
type Judged<T = ()> = Result<T, String>;

/// Stops with what is wrong unless a promise is kept.
macro_rules! ensure {
    ($kept:expr, $($wrong:tt)+) => {
        if !$kept {
            return Err(format!($($wrong)+));
        }
    };
}
use ensure;
