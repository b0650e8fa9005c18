//! The history as bytes: an image of all of it, and sections with what has changed since.
//!
//! A section says how things are, never by how much they have grown, and nothing in it takes back
//! what a later one said. So a section may be read twice, or after an image that knows more.

use super::batch::Fold;
use super::codec::{Damage, Reader, SeriesId, Writer};
use super::history::History;
use super::keep::Written;
use super::series::{Series, Standing, Unsaved};
use super::tally::{Resolution, Slot};

/// What checksums are made with, so that neither is read as the other.
const IMAGE: &[u8] = b"image";
const SECTION: &[u8] = b"section";

const WHOLE: u64 = 0;
const MINUTES: u64 = 1;

/// The changes of these series; empty where there are none.
pub(super) fn section(history: &History, places: &[u32], folds: &[Fold]) -> Vec<u8> {
    let changed = || places.iter().filter_map(|place| history.series(*place));
    if changed().next().is_none() && folds.is_empty() {
        return Vec::new();
    }
    let mut into = Writer::new();
    into.number(u64::from(history.minute));
    into.count(changed().count());
    for series in changed() {
        match series.unsaved {
            Unsaved::All => {
                into.number(WHOLE);
                series.write(&mut into);
            }
            Unsaved::From(minute) => {
                into.number(MINUTES);
                into.wide(series.id.0);
                into.slots(0, series.minutes_from(minute));
            }
            Unsaved::Nothing => {
                into.number(MINUTES);
                into.wide(series.id.0);
                into.slots(0, &[]);
            }
        }
    }
    into.count(folds.len());
    for Fold { id, resolution, strip } in folds {
        into.wide(id.0);
        into.number(*resolution as u64);
        into.number(u64::from(*strip));
    }
    into.sealed(SECTION)
}

/// A section that was read whole.
struct Section {
    minute: u32,
    changed: Vec<Changed>,
    folds: Vec<Fold>,
}

enum Changed {
    Whole(Box<Series>),
    Minutes(SeriesId, Vec<Slot>),
}

impl Section {
    fn read(bytes: &[u8]) -> Result<Self, Damage> {
        let mut from = Reader::open(SECTION, bytes)?;
        let minute = from.small()?;
        let changed = (0..from.number()?).map(|_| match from.number()? {
            WHOLE => Ok(Changed::Whole(Box::new(Series::read(&mut from)?))),
            MINUTES => Ok(Changed::Minutes(SeriesId(from.wide()?), from.slots(0)?)),
            _ => Err(Damage::Damaged),
        });
        let changed = changed.collect::<Result<_, _>>()?;
        let folds = (0..from.number()?).map(|_| {
            let id = SeriesId(from.wide()?);
            let resolution = usize::try_from(from.number()?).map_err(|_| Damage::Damaged)?;
            let resolution = Resolution::ALL.get(resolution).copied().ok_or(Damage::Damaged)?;
            Ok(Fold { id, resolution, strip: from.small()? })
        });
        let folds = folds.collect::<Result<_, _>>()?;
        from.end()?;
        Ok(Self { minute, changed, folds })
    }
}

impl History {
    pub(super) fn image(&self) -> Vec<u8> {
        let mut into = Writer::new();
        into.number(u64::from(self.minute));
        into.count(self.series_count());
        self.all().for_each(|(_, series)| series.write(&mut into));
        self.written.write(&mut into);
        into.sealed(IMAGE)
    }

    /// Takes the place of all that is in memory.
    pub(super) fn restore_image(&mut self, bytes: &[u8]) -> Result<(), Damage> {
        let mut from = Reader::open(IMAGE, bytes)?;
        let mut restored = Self::new(self.limits);
        restored.minute = from.small()?;
        for _ in 0..from.number()? {
            let series = Series::read(&mut from)?;
            if !restored.by_id.contains_key(&series.id) {
                restored.put(series);
            }
        }
        restored.written = Written::read(&mut from)?;
        from.end()?;
        *self = restored;
        Ok(())
    }

    /// All of a section or, where it is damaged, nothing of it.
    pub(super) fn restore_section(&mut self, bytes: &[u8]) -> Result<(), Damage> {
        let Section { minute, changed, folds } = Section::read(bytes)?;
        self.minute = self.minute.max(minute);
        let mut touched = Vec::new();
        for changed in changed {
            match changed {
                Changed::Whole(series) => {
                    touched.push(series.id);
                    self.take_in(*series);
                }
                Changed::Minutes(id, slots) => {
                    touched.push(id);
                    let place = self.by_id.get(&id).copied();
                    if let Some(series) = place.and_then(|place| self.series_mut(place)) {
                        series.merge_minutes(&slots);
                    }
                }
            }
        }
        for fold in folds {
            touched.push(fold.id);
            // An image may have taken the place of the section that said so of what is finer.
            if fold.resolution == Resolution::Day {
                let strip = (fold.strip + 1) * Resolution::Day.strip_len() - 1;
                let minutes = (strip + 1) * Resolution::Hour.strip_len() - 1;
                self.fold(Fold { resolution: Resolution::Minute, strip: minutes, ..fold });
                self.fold(Fold { resolution: Resolution::Hour, strip, ..fold });
            } else if fold.resolution == Resolution::Hour {
                let strip = (fold.strip + 1) * Resolution::Hour.strip_len() - 1;
                self.fold(Fold { resolution: Resolution::Minute, strip, ..fold });
            }
            self.fold(fold);
        }
        for id in touched {
            if let Some(place) = self.by_id.get(&id).copied() {
                self.forget_if_gone(place);
            }
        }
        Ok(())
    }

    fn take_in(&mut self, mut series: Series) {
        let Some(place) = self.by_id.get(&series.id).copied() else {
            // A key counts in one place, the one that it was met in last.
            let other = self.place_of(series.key).filter(|_| !series.is_leaving());
            let is_later = |held: &Series| held.id > series.id;
            let is_past = other.and_then(|other| self.series(other)).is_some_and(is_later);
            match other {
                Some(_) if is_past => series.standing = Standing::Leaving,
                Some(other) => self.leave(other),
                None => {}
            }
            if let Some(place) = self.put(series).filter(|_| is_past) {
                self.touch(place, Unsaved::All);
            }
            return;
        };
        if series.is_leaving() {
            self.leave(place);
        }
        if let Some(held) = self.series_mut(place) {
            held.merge(series);
        }
    }
}
