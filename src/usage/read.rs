//! Reading the history: rows and what is in memory, put together by name.
//!
//! A series that gave up its name and got it back has rows of both times; read, they are one.

use std::collections::BTreeMap;

use super::codec::{RowKey, SeriesId};
use super::history::History;
use super::name::Name;
use super::series::Series;
use super::tally::{Resolution, Slot, Tally};

/// What a stretch of time holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// In the order of their names.
    pub series: Vec<SeriesUsage>,
    /// Rows that are damaged, or of series whose names are.
    pub unreadable: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesUsage {
    pub name: Name,
    /// Of all slots together.
    pub total: Tally,
    /// In order; none where nothing came.
    pub slots: Vec<Slot>,
}

/// The keys, first and one after the last, of the rows that reading slots from `from` to before
/// `to` needs: strips, and all names.
pub fn key_ranges(resolution: Resolution, from: u32, to: u32) -> [(Vec<u8>, Vec<u8>); 2] {
    let strip = |number| resolution.strip_of(number);
    let key = |strip| RowKey::Strip { resolution, strip, id: SeriesId(0) }.bytes();
    let first = key(strip(from));
    let end = key(strip(to.saturating_sub(1)).saturating_add(1));
    let names = RowKey::Name { id: SeriesId(0) }.bytes();
    let mut names_end = RowKey::Name { id: SeriesId(u128::MAX) }.bytes();
    names_end.push(0);
    [(first, end), (names, names_end)]
}

impl History {
    pub(super) fn read(
        &self,
        resolution: Resolution,
        (from, to): (u32, u32),
        rows: impl Iterator<Item = (Vec<u8>, Vec<u8>)>,
    ) -> Reading {
        let mut unreadable = 0;
        let mut names: BTreeMap<SeriesId, Name> = BTreeMap::new();
        let mut slots: BTreeMap<(SeriesId, u32), Tally> = BTreeMap::new();
        for (key, value) in rows {
            let read = match RowKey::read(&key) {
                Ok(RowKey::Name { id }) => RowKey::read_name(&key, &value).map(|name| {
                    names.insert(id, name);
                }),
                Ok(RowKey::Strip { resolution: of, id, .. }) if of == resolution => {
                    RowKey::read_strip(&key, &value)
                        .map(|read| slots.extend(read.iter().map(|it| ((id, it.number), it.tally))))
                }
                Ok(RowKey::Strip { .. }) => Ok(()),
                Err(damage) => Err(damage),
            };
            unreadable += usize::from(read.is_err());
        }
        for (_, series) in self.all() {
            names.insert(series.id, Name::clone(&series.name));
            for (number, tally) in series.held(resolution) {
                slots.entry((series.id, number)).or_default().keep_later(tally);
            }
        }
        let mut by_name: BTreeMap<&Name, BTreeMap<u32, Tally>> = BTreeMap::new();
        for ((id, number), tally) in slots.iter().filter(|((_, it), _)| (from..to).contains(it)) {
            match names.get(id) {
                Some(name) => {
                    by_name.entry(name).or_default().entry(*number).or_default().add(*tally)
                }
                None => unreadable += 1,
            }
        }
        let series = by_name.into_iter().map(|(name, slots)| {
            let slots = slots.into_iter().map(|(number, tally)| Slot { number, tally });
            let slots: Vec<Slot> = slots.collect();
            let mut total = Tally::default();
            slots.iter().for_each(|slot| total.add(slot.tally));
            SeriesUsage { name: name.clone(), total, slots }
        });
        Reading { series: series.collect(), unreadable }
    }
}

impl Series {
    /// What memory holds of each slot: what was folded into it, and what will be.
    fn held(&self, resolution: Resolution) -> BTreeMap<u32, Tally> {
        let mut held: BTreeMap<u32, Tally> = BTreeMap::new();
        for finer in Resolution::ALL.into_iter().filter(|finer| *finer <= resolution) {
            let slots_each = resolution.seconds() / finer.seconds();
            for Slot { number, tally } in self.slots(finer) {
                held.entry(number / slots_each).or_default().add(*tally);
            }
        }
        held
    }
}
