//! The ledger held against what a server has restored, counter by counter.
//!
//! Every doubt is the server's: a call without an answer may have counted or not, and what is missing is taken to be
//! the last that was admitted.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::caller::Key;
use crate::crash::KILL_BOUND;
use crate::load::{Call, End};

/// What the rig says of a loss that is older than the whole ledger.
pub(crate) const EVERYTHING: Duration = Duration::MAX;

/// What one counter was asked between two looks at it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// When the test had the answers that admitted, in order.
    pub(crate) admitted: Vec<Instant>,
    /// When the test had the answers that denied.
    pub(crate) denied: Vec<Instant>,
    /// Calls that may have been decided and were not answered.
    pub(crate) unanswered: u64,
}

pub(crate) type Tallies = BTreeMap<Key, Tally>;

/// The calls of a ledger by counter. What was sent to a process that was gone was never decided.
pub(crate) fn tally(calls: &[Call], gone: Instant) -> Tallies {
    let mut tallies = Tallies::new();
    for call in calls.iter().filter(|call| call.sent <= gone) {
        let tally = tallies.entry(call.key).or_default();
        match call.end {
            End::Admitted => tally.admitted.push(call.ended),
            End::Denied => tally.denied.push(call.ended),
            End::Unsent | End::Failed(_) => tally.unanswered += 1,
        }
    }
    for tally in tallies.values_mut() {
        tally.admitted.sort_unstable();
    }
    tallies
}

impl Tally {
    pub(crate) fn admitted_count(&self) -> u64 {
        u64::try_from(self.admitted.len()).expect("no more than calls")
    }

    /// How old the oldest admitted hit that is missing was when the process was killed; zero when none is.
    pub(crate) fn lost(&self, before: u64, restored: u64, killed: Instant) -> Duration {
        let Some(kept) = restored.checked_sub(before) else { return EVERYTHING };
        let oldest = usize::try_from(kept).ok().and_then(|kept| self.admitted.get(kept));
        oldest.map_or(Duration::ZERO, |at| killed.saturating_duration_since(*at))
    }

    /// Hits that are counted and that nobody asked for.
    pub(crate) fn invented(&self, before: u64, restored: u64) -> u64 {
        restored.saturating_sub(before + self.admitted_count() + self.unanswered)
    }

    /// Hits that are counted and that nobody was admitted with, nor asked for in the last moment: those of the calls
    /// that had no answer yet, or had waited in vain.
    pub(crate) fn unspent(&self, before: u64, restored: u64, killed: Instant) -> u64 {
        let moment = |at: &&Instant| killed.saturating_duration_since(**at) <= KILL_BOUND;
        let asked = self.denied.iter().filter(moment).count() as u64 + self.unanswered;
        restored.saturating_sub(before + self.admitted_count() + asked)
    }
}

#[test]
fn the_judge_finds_what_is_lost_and_what_is_invented() {
    let killed = Instant::now() + Duration::from_secs(10);
    let at = |before: u64| killed - Duration::from_millis(before);
    let tally = Tally {
        admitted: vec![at(900), at(200), at(20)],
        denied: vec![at(800), at(120), at(3)],
        unanswered: 1,
    };
    assert_eq!(tally.lost(7, 10, killed), Duration::ZERO);
    assert_eq!(tally.lost(7, 9, killed), Duration::from_millis(20));
    assert_eq!(tally.lost(7, 8, killed), Duration::from_millis(200));
    assert_eq!(tally.lost(7, 7, killed), Duration::from_millis(900));
    assert_eq!(tally.lost(7, 6, killed), EVERYTHING);
    assert_eq!((tally.invented(7, 11), tally.invented(7, 12)), (0, 1));
    assert_eq!((tally.unspent(7, 13, killed), tally.unspent(7, 15, killed)), (0, 2));
}
