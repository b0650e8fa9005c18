//! Where counters live: a closed set of stores behind one call.
//!
//! `charge` decides a whole request at once: every enforced charge fits and all are taken, or
//! none of those that count only what is admitted.

pub mod bound;
pub mod durable;
mod locked;
pub mod memory;
mod parts;
mod reserve;
mod shard;
mod strict;
#[cfg(test)]
mod tests;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::clock::Clock;
use crate::decide::{Charge, Lease, Trial};
use crate::limit::Outcome;
use crate::time::{Span, Timestamp};
use durable::DurableStore;
use memory::MemoryStore;
pub use memory::Moment;

/// One per charge, in order.
pub type Outcomes = SmallVec<[Outcome; 8]>;

/// Why a store could not decide. Those that decide in memory always can.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {}

#[derive(Debug)]
pub enum Store {
    /// Forgets everything when the process ends.
    Memory(MemoryStore),
    /// Decides in memory, and writes it down.
    Durable(Arc<DurableStore>),
}

impl Store {
    pub fn memory() -> Self {
        Self::Memory(MemoryStore::default())
    }

    /// The time on the line on which counters are, with how far they had been moved by then.
    pub fn moment(&self, clock: &Clock) -> Moment {
        self.counters().moment(clock)
    }

    /// The only await of the request path. What is in memory is ready at once, but for two things.
    /// Where the last slot of a concurrency limit is held its release may be on the way, because
    /// callers that send one request after the other send the next before we hear of the end of
    /// the last. And what a strict rule admits must be on disk before.
    pub async fn charge(&self, charges: &[Charge<'_>], at: Moment) -> Result<Outcomes, StoreError> {
        let memory = self.counters();
        let takes_slots = charges.iter().any(Charge::takes_slots);
        if takes_slots {
            wait_for_slot(memory, charges, at.now).await;
        }
        let waiting = match self {
            Self::Durable(store) if charges.iter().any(Charge::takes_strictly) => {
                let patience = if takes_slots { PATIENCE - SLOT_PATIENCE } else { PATIENCE };
                store.wait_for_reserves(charges, at.now, patience).await
            }
            Self::Memory(_) | Self::Durable(_) => None,
        };
        Ok(memory.charge_after(waiting, charges, at))
    }

    /// [`Self::charge`] where nothing is to be waited for; `None` where something is, and then
    /// nothing is charged.
    pub fn charge_at_once(
        &self,
        charges: &[Charge<'_>],
        at: Moment,
    ) -> Option<Result<Outcomes, StoreError>> {
        // A disk that fails will have no reserves in time: nothing is to be waited for.
        let has_disk = match self {
            Self::Memory(_) => false,
            Self::Durable(store) => {
                charges.iter().any(Charge::takes_strictly) && !store.is_failing()
            }
        };
        self.counters().charge_at_once(charges, has_disk, at).map(Ok)
    }

    /// What charges would be told if they came now, without the patience for slots that are on
    /// their way back. Changes nothing.
    pub fn try_out(&self, charges: &[Charge<'_>], now: Timestamp) -> Trial {
        self.counters().try_out(charges, now)
    }

    /// Ends leases; how many of them were held.
    pub fn release(&self, leases: &[Lease], now: Timestamp) -> usize {
        self.counters().release(leases, now)
    }

    /// Moves all times along with a clock that has been set.
    pub fn shift(&self, by_nanos: i64) {
        self.counters().shift(by_nanos);
    }

    /// Why counters are not as safe as promised; `None` while they are. `steady` is the time of the
    /// clock that only grows.
    pub fn degraded(&self, steady: Span) -> Option<String> {
        match self {
            Self::Memory(_) => None,
            Self::Durable(store) => store.status().degraded(steady),
        }
    }

    /// Those that decide.
    pub fn counters(&self) -> &MemoryStore {
        match self {
            Self::Memory(store) => store,
            Self::Durable(store) => &store.memory,
        }
    }
}

/// In all: Envoy waits 20 ms for an answer.
const PATIENCE: Duration = Duration::from_millis(15);
const SLOT_PATIENCE: Duration = Duration::from_millis(5);

/// Waits while a limit is just full, but not for long.
async fn wait_for_slot(store: &MemoryStore, charges: &[Charge<'_>], now: Timestamp) {
    let Some(mut told) = store.just_full(charges, now) else { return };
    let waited = async {
        loop {
            let listened = Arc::clone(&told);
            let mut given_back = pin!(listened.notified());
            given_back.as_mut().enable();
            // Looked at again, since a release may have come before we listened.
            match store.just_full(charges, now) {
                None => return,
                Some(other) if !Arc::ptr_eq(&other, &told) => told = other,
                Some(_) => given_back.await,
            }
        }
    };
    // Too late is not an error: the charge then says that there is no slot.
    let _ = tokio::time::timeout(SLOT_PATIENCE, waited).await;
}
