//! Where counters live: a closed set of stores behind one call.
//!
//! `charge` decides a whole request at once: every enforced charge fits and all are taken, or
//! none of those that count only what is admitted.

pub mod memory;
#[cfg(test)]
mod tests;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::decide::{Charge, Lease, Trial};
use crate::limit::Outcome;
use crate::time::Timestamp;
use memory::MemoryStore;

/// One per charge, in order.
pub type Outcomes = SmallVec<[Outcome; 8]>;

/// Why a store could not decide. The memory store always can.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {}

#[derive(Debug)]
pub enum Store {
    Memory(MemoryStore),
}

impl Store {
    pub fn memory() -> Self {
        Self::Memory(MemoryStore::default())
    }

    /// The only await of the request path. The memory store is ready at once, but where the last
    /// slot of a concurrency limit is held: its release may be on the way, because callers that
    /// send one request after the other send the next before we hear of the end of the last.
    pub async fn charge(
        &self,
        charges: &[Charge<'_>],
        now: Timestamp,
    ) -> Result<Outcomes, StoreError> {
        match self {
            Self::Memory(store) => {
                if charges.iter().any(Charge::takes_slots) {
                    wait_for_slot(store, charges, now).await;
                }
                Ok(store.charge(charges, now))
            }
        }
    }

    /// What charges would be told if they came now, without the patience for slots that are on
    /// their way back. Changes nothing.
    pub fn try_out(&self, charges: &[Charge<'_>], now: Timestamp) -> Trial {
        match self {
            Self::Memory(store) => store.try_out(charges, now),
        }
    }

    /// Ends leases; how many of them were held.
    pub fn release(&self, leases: &[Lease], now: Timestamp) -> usize {
        match self {
            Self::Memory(store) => store.release(leases, now),
        }
    }

    /// Forgets idle counters of one shard, so that no request waits long; returns how many were
    /// dropped. Called over and over by a background task.
    pub fn sweep_step(&self, now: Timestamp) -> usize {
        match self {
            Self::Memory(store) => store.sweep_step(now),
        }
    }

    /// Moves all times along with a clock that has been set.
    pub fn shift(&self, by_nanos: i64) {
        match self {
            Self::Memory(store) => store.shift(by_nanos),
        }
    }

    /// Slots of concurrency limits held now.
    pub fn slots_held(&self, now: Timestamp) -> u64 {
        match self {
            Self::Memory(store) => store.slots_held(now),
        }
    }

    /// Counters held.
    pub fn counter_count(&self) -> usize {
        match self {
            Self::Memory(store) => store.counter_count(),
        }
    }
}

/// Well inside of the 20 ms that Envoy waits for an answer.
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
