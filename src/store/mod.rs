//! Where counters live: a closed set of stores behind one call.
//!
//! `charge` decides a whole request at once: every enforced charge fits and all are taken, or
//! none of those that count only what is admitted.

use smallvec::SmallVec;

use crate::decide::Charge;
use crate::limit::Outcome;
use crate::time::Timestamp;

/// One per charge, in order.
pub type Outcomes = SmallVec<[Outcome; 8]>;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {}

#[derive(Debug)]
pub enum Store {
    Memory,
}

impl Store {
    pub fn memory() -> Self {
        Self::Memory
    }

    /// The only await of the request path; ready at once for the memory store.
    pub async fn charge(
        &self,
        charges: &[Charge<'_>],
        now: Timestamp,
    ) -> Result<Outcomes, StoreError> {
        let _ = (charges, now);
        todo!()
    }

    /// Forgets expired counters of one shard at a time, so that no request waits long; returns
    /// how many were dropped. Called over and over by a background task.
    pub fn sweep_step(&self, now: Timestamp) -> usize {
        let _ = now;
        todo!()
    }

    /// Counters held.
    pub fn counter_count(&self) -> usize {
        todo!()
    }
}
