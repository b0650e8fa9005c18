//! Counters that outlast the process: those in memory decide, and a thread writes down what they
//! have come to.
//!
//! No request waits for the disk, but for what a strict rule reserves. Whatever the disk does,
//! decisions go on; how much a crash would forget is known at every moment and told.

mod open;
#[cfg(test)]
#[path = "tests/simulation/mod.rs"]
mod simulation;
mod status;
mod thread;
mod writer;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

use super::memory::{MemoryStore, Waiting};
use crate::decide::Charge;
use crate::time::{Span, Timestamp};
pub use open::{OnDamage, OpenError, Opened, Place, open};
pub use status::Status;
pub use thread::Closing;
pub use writer::Writer;

/// From one turn of writing to the next.
pub const TURN: Span = Span::from_millis(50);
/// What is promised of a disk that is not slow: nothing older is forgotten when the process is
/// killed.
pub const PROMISE_KILL: Span = Span::from_millis(150);
/// Nor when the machine loses power.
pub const PROMISE_POWER: Span = Span::from_millis(250);

#[derive(Debug)]
pub struct DurableStore {
    pub memory: MemoryStore,
    status: Mutex<Status>,
    /// Told after every turn of writing.
    turned: Notify,
    wake: Wake,
}

/// How the writing thread is woken before its time.
#[derive(Debug, Default)]
struct Wake {
    is_wanted: Mutex<bool>,
    told: Condvar,
    stops: AtomicBool,
}

impl DurableStore {
    fn new(memory: MemoryStore) -> Arc<Self> {
        let (status, turned, wake) = (Mutex::default(), Notify::new(), Wake::default());
        Arc::new(Self { memory, status, turned, wake })
    }

    /// How it stands with the disk.
    pub fn status(&self) -> Status {
        self.status.lock().clone()
    }

    /// Says that nothing will be written.
    pub fn cannot_write(&self, why: String) {
        self.status.lock().failed(why);
    }

    pub(super) fn is_failing(&self) -> bool {
        self.status.lock().is_failing()
    }

    /// Waits, but not for long, until the disk counts what strict rules are asked for. To be held
    /// until they have taken it.
    pub(super) async fn wait_for_reserves(
        &self,
        charges: &[Charge<'_>],
        now: Timestamp,
        patience: Duration,
    ) -> Option<Waiting<'_>> {
        let moved = self.memory.moved(charges, now);
        let charges = moved.as_deref().unwrap_or(charges);
        // A disk that fails will not have them in time.
        if !self.memory.lacks_reserves(charges, now) || self.is_failing() {
            return None;
        }
        let asked = self.memory.ask_for_reserves(charges, now);
        let waited = async {
            loop {
                let mut turned = pin!(self.turned.notified());
                turned.as_mut().enable();
                // What was asked for may just have missed the turn that is on its way.
                self.wake();
                if !self.memory.lacks_reserves(charges, now) {
                    return;
                }
                turned.await;
            }
        };
        // Too late is not an error: the charge is then denied for a moment.
        let _ = tokio::time::timeout(patience, waited).await;
        Some(asked)
    }

    fn wake(&self) {
        *self.wake.is_wanted.lock() = true;
        self.wake.told.notify_one();
    }

    /// Waits for the next turn; whether there is to be another one after it.
    fn wait(&self, span: Span) -> bool {
        let mut is_wanted = self.wake.is_wanted.lock();
        if !*is_wanted {
            self.wake.told.wait_for(&mut is_wanted, span.to_duration());
        }
        *is_wanted = false;
        !self.wake.stops.load(Ordering::Acquire)
    }
}
