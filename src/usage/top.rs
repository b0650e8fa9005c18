//! Who of those without a name is used enough to take over somebody's place.
//!
//! A small table of guesses: each place goes to the key that meets it most. Weights halve every hour, so that
//! who was used once makes room.

use crate::policy::set::SeriesKey;

const PLACES_MIN: usize = 64;
const PLACES_MAX: usize = 1 << 16;

#[derive(Debug)]
pub(super) struct Candidates {
    places: Box<[Candidate]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Candidate {
    key: u128,
    weight: u64,
}

impl Candidates {
    /// For so many named series.
    pub(super) fn new(series_max: usize) -> Self {
        let count = series_max.saturating_mul(4).clamp(PLACES_MIN, PLACES_MAX);
        Self { places: vec![Candidate::default(); count.next_power_of_two()].into() }
    }

    /// Notes hits, and guesses how much the key has been used, never too much.
    pub(super) fn note(&mut self, key: SeriesKey, hits: u64) -> u64 {
        let Some(held) = self.place(key) else { return 0 };
        if held.key == key.0 {
            held.weight = held.weight.saturating_add(hits);
        } else if hits > held.weight {
            *held = Candidate { key: key.0, weight: hits - held.weight };
        } else {
            held.weight -= hits;
            return 0;
        }
        held.weight
    }

    pub(super) fn forget(&mut self, key: SeriesKey) {
        if let Some(held) = self.place(key).filter(|held| held.key == key.0) {
            *held = Candidate::default();
        }
    }

    /// After so many hours.
    pub(super) fn decay(&mut self, hours: u32) {
        self.places.iter_mut().for_each(|held| held.weight = decayed(held.weight, hours));
    }

    fn place(&mut self, key: SeriesKey) -> Option<&mut Candidate> {
        let last = self.places.len().checked_sub(1)?;
        let place = usize::try_from(key.0 & last as u128).ok()?;
        self.places.get_mut(place)
    }
}

/// Half for every hour.
pub(super) fn decayed(weight: u64, hours: u32) -> u64 {
    weight.checked_shr(hours).unwrap_or_default()
}
