//! Where counters live: a closed set of stores behind one call.
//!
//! `charge` decides a whole request at once: every enforced charge fits and all are taken, or
//! none of those that count only what is admitted.

pub mod memory;
#[cfg(test)]
mod tests;

use smallvec::SmallVec;

use crate::decide::Charge;
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

    /// The only await of the request path; ready at once for the memory store.
    #[expect(clippy::unused_async, reason = "stores that are servers will wait here")]
    pub async fn charge(
        &self,
        charges: &[Charge<'_>],
        now: Timestamp,
    ) -> Result<Outcomes, StoreError> {
        match self {
            Self::Memory(store) => Ok(store.charge(charges, now)),
        }
    }

    /// Forgets idle counters of one shard, so that no request waits long; returns how many were
    /// dropped. Called over and over by a background task.
    pub fn sweep_step(&self, now: Timestamp) -> usize {
        match self {
            Self::Memory(store) => store.sweep_step(now),
        }
    }

    /// Counters held.
    pub fn counter_count(&self) -> usize {
        match self {
            Self::Memory(store) => store.counter_count(),
        }
    }
}
