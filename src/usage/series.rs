//! One series in memory: the slots that no row has yet, at each resolution.
//!
//! A hit is counted in its minute alone. When an hour is over and its row is on disk, its minutes are folded into
//! one slot of an hour, and hours into days in the same way, so that every hit stands in one
//! place and no more.

use std::sync::Arc;

use super::codec::{Damage, Reader, RowKey, SeriesId, Writer};
use super::name::Name;
use super::tally::{Resolution, Slot, Tally};
use super::top;
use crate::policy::set::SeriesKey;

#[derive(Debug)]
pub(super) struct Series {
    pub(super) id: SeriesId,
    pub(super) key: SeriesKey,
    pub(super) name: Arc<Name>,
    pub(super) standing: Standing,
    /// The minute it was last met in.
    pub(super) last: u32,
    pub(super) is_name_written: bool,
    pub(super) unsaved: Unsaved,
    /// By [`Resolution`].
    levels: [Level; 3],
    /// As of `weighed_at`, an hour.
    weight: u64,
    weighed_at: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Named,
    /// Of all of a rule that have no name.
    Rest,
    /// Counts no more, and is forgotten when all of it is on disk.
    Leaving,
}

/// What of a series is not in any section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsaved {
    Nothing,
    /// The minutes from this one on.
    From(u32),
    All,
}

/// Whole strips of minutes, and of hours, that may wait for their rows.
pub(super) const STRIPS_KEPT: usize = 4;

impl Unsaved {
    pub(super) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, other) => other,
            (held, Self::Nothing) => held,
            (Self::From(a), Self::From(b)) => Self::From(a.min(b)),
            (Self::All, _) | (_, Self::All) => Self::All,
        }
    }
}

/// The slots of one resolution, in order.
#[derive(Debug, Default)]
struct Level {
    slots: Vec<Slot>,
    /// Strips before this one have been folded.
    folded: u32,
}

impl Level {
    fn add(&mut self, number: u32, tally: Tally) {
        match self.slots.last_mut() {
            Some(last) if last.number >= number => last.tally.add(tally),
            _ => self.slots.push(Slot { number, tally }),
        }
    }

    /// Takes over a slot as it once was.
    fn merge(&mut self, resolution: Resolution, slot: Slot) {
        if resolution.strip_of(slot.number) < self.folded {
            return;
        }
        match self.slots.binary_search_by_key(&slot.number, |held| held.number) {
            Err(place) => self.slots.insert(place, slot),
            Ok(place) => {
                if let Some(held) = self.slots.get_mut(place) {
                    held.tally.keep_later(slot.tally);
                }
            }
        }
    }

    /// The slots of all strips up to this one.
    fn until(&self, resolution: Resolution, strip: u32) -> usize {
        self.slots.partition_point(|slot| resolution.strip_of(slot.number) <= strip)
    }
}

impl Series {
    pub(super) fn new(key: SeriesKey, name: Name, standing: Standing, minute: u32) -> Self {
        Self {
            id: SeriesId::new(minute, key.0),
            key,
            name: Arc::new(name),
            standing,
            last: minute,
            is_name_written: false,
            unsaved: Unsaved::Nothing,
            levels: Default::default(),
            weight: 0,
            weighed_at: Resolution::Hour.number_at(minute),
        }
    }

    /// Counts in a minute, which is none before the newest.
    pub(super) fn count(&mut self, minute: u32, tally: Tally) {
        let [minutes, ..] = &mut self.levels;
        minutes.add(minute, tally);
        self.last = minute;
        let hour = Resolution::Hour.number_at(minute);
        self.weight = self.weight_at(hour).saturating_add(tally.hits());
        self.weighed_at = hour;
    }

    /// How much it has been used, where each hour counts half of the one after.
    pub(super) fn weight_at(&self, hour: u32) -> u64 {
        top::decayed(self.weight, hour.saturating_sub(self.weighed_at))
    }

    pub(super) fn weigh(&mut self, hour: u32, weight: u64) {
        (self.weight, self.weighed_at) = (weight, hour);
    }

    /// Works the weight out from what is in memory.
    pub(super) fn weigh_again(&mut self, hour: u32) {
        let mut weight = 0_u64;
        let [minutes, hours, _] = &self.levels;
        let of_minutes = minutes.slots.iter().map(|slot| (slot.number / 60, slot.tally));
        for (at, tally) in of_minutes.chain(hours.slots.iter().map(|it| (it.number, it.tally))) {
            let past = top::decayed(tally.hits(), hour.saturating_sub(at));
            weight = weight.saturating_add(past);
        }
        self.weigh(hour, weight);
    }

    pub(super) fn slots(&self, resolution: Resolution) -> &[Slot] {
        &self.levels[resolution as usize].slots
    }

    pub(super) fn minutes_from(&self, minute: u32) -> &[Slot] {
        let slots = self.slots(Resolution::Minute);
        let place = slots.partition_point(|slot| slot.number < minute);
        slots.get(place..).unwrap_or_default()
    }

    /// Takes over minutes as they once were.
    pub(super) fn merge_minutes(&mut self, slots: &[Slot]) {
        let [minutes, ..] = &mut self.levels;
        slots.iter().for_each(|slot| minutes.merge(Resolution::Minute, *slot));
        self.last = self.last.max(slots.last().map_or(0, |slot| slot.number));
    }

    /// Takes over what another state of the same series holds.
    pub(super) fn merge(&mut self, other: Self) {
        for (resolution, level) in Resolution::ALL.into_iter().zip(other.levels) {
            let held = &mut self.levels[resolution as usize];
            if level.folded > held.folded {
                // What is folded there stands in its coarser slots.
                let place = held.until(resolution, level.folded - 1);
                held.slots.drain(..place);
                held.folded = level.folded;
            }
            level.slots.into_iter().for_each(|slot| held.merge(resolution, slot));
        }
        self.last = self.last.max(other.last);
        self.is_name_written |= other.is_name_written;
        if other.standing == Standing::Leaving {
            self.standing = Standing::Leaving;
        }
    }

    /// Whether rows of it are on disk that are not over at this minute.
    pub(super) fn is_folded_past(&self, minute: u32) -> bool {
        Resolution::ALL.into_iter().zip(&self.levels).any(|(resolution, level)| {
            resolution.strip_of(resolution.number_at(minute)) < level.folded
        })
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.standing == Standing::Leaving
    }

    pub(super) fn is_empty(&self) -> bool {
        self.levels.iter().all(|level| level.slots.is_empty())
    }

    /// The strip that is to be written next: the oldest of the finest resolution that is over.
    pub(super) fn due(&self, minute: u32) -> Option<(Resolution, u32)> {
        Resolution::ALL.into_iter().find_map(|resolution| {
            let strip = resolution.strip_of(self.slots(resolution).first()?.number);
            let current = resolution.strip_of(resolution.number_at(minute));
            let is_over = self.standing == Standing::Leaving || strip < current;
            is_over.then_some((resolution, strip))
        })
    }

    /// The row of a strip.
    pub(super) fn row(&self, resolution: Resolution, strip: u32) -> (Vec<u8>, Vec<u8>) {
        let key = RowKey::Strip { resolution, strip, id: self.id };
        let end = self.levels[resolution as usize].until(resolution, strip);
        let slots = self.slots(resolution).get(..end).unwrap_or_default();
        let first = slots.partition_point(|slot| resolution.strip_of(slot.number) < strip);
        let slots = slots.get(first..).unwrap_or_default();
        (key.bytes(), key.strip_value(slots))
    }

    /// Makes one slot of a strip, and of all before it; of days nothing is left. The hours that
    /// they reach over, first and last.
    pub(super) fn fold(&mut self, resolution: Resolution, strip: u32) -> Option<(u32, u32)> {
        let level = &mut self.levels[resolution as usize];
        level.folded = level.folded.max(strip.saturating_add(1));
        let end = level.until(resolution, strip);
        let hour = |slot: &Slot| match resolution {
            Resolution::Minute => (slot.number / 60, slot.number / 60),
            Resolution::Hour => (slot.number, slot.number),
            Resolution::Day => {
                let first = slot.number.saturating_mul(24);
                (first, first.saturating_add(23))
            }
        };
        let folded = level.slots.get(..end).unwrap_or_default();
        let hours = (folded.first().map(hour), folded.last().map(hour));
        if let Some(coarser) = resolution.coarser() {
            // The next level is another one, so the slots are taken out and put back.
            let mut slots = std::mem::take(&mut level.slots);
            for slot in slots.drain(..end) {
                let number = resolution.strip_of(slot.number);
                self.levels[coarser as usize].add(number, slot.tally);
            }
            self.levels[resolution as usize].slots = slots;
        } else {
            level.slots.drain(..end);
        }
        Some((hours.0?.0, hours.1?.1))
    }

    /// Folds what waits for its row where too much does, so that memory stays bounded while the
    /// disk fails, or where there is none: hours and days keep the sums. Whether there was any.
    pub(super) fn fold_surplus(&mut self, minute: u32, keep_days: u32) -> bool {
        let mut has_folded = false;
        for resolution in [Resolution::Minute, Resolution::Hour] {
            let kept = STRIPS_KEPT * resolution.strip_len() as usize;
            while let slots = self.slots(resolution)
                && slots.len() > kept
                && let Some(first) = slots.first()
            {
                self.fold(resolution, resolution.strip_of(first.number));
                has_folded = true;
            }
        }
        let [.., days] = &mut self.levels;
        let oldest = Resolution::Day.number_at(minute).saturating_sub(keep_days);
        let outdated = days.slots.partition_point(|slot| slot.number < oldest);
        days.slots.drain(..outdated);
        has_folded
    }

    pub(super) fn write(&self, into: &mut Writer) {
        into.wide(self.id.0);
        into.wide(self.key.0);
        into.number(match self.standing {
            Standing::Named => 0,
            Standing::Rest => 1,
            Standing::Leaving => 2,
        });
        into.number(u64::from(self.is_name_written));
        into.number(u64::from(self.last));
        self.name.write(into);
        for level in &self.levels {
            into.number(u64::from(level.folded));
            into.slots(0, &level.slots);
        }
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        let (id, key) = (SeriesId(from.wide()?), SeriesKey(from.wide()?));
        let standing = match from.number()? {
            0 => Standing::Named,
            1 => Standing::Rest,
            2 => Standing::Leaving,
            _ => return Err(Damage::Damaged),
        };
        let is_name_written = from.number()? != 0;
        let last = from.small()?;
        let mut series = Self::new(key, Name::read(from)?, standing, last);
        (series.id, series.is_name_written) = (id, is_name_written);
        for level in &mut series.levels {
            level.folded = from.small()?;
            level.slots = from.slots(0)?;
        }
        Ok(series)
    }
}
