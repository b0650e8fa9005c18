//! What goes to disk, batch by batch: a section with what has changed, and rows.
//!
//! A strip becomes a row when it is over. It leaves memory only when its batch is on disk, and the
//! section of that batch says so.

use super::codec::{RowKey, SeriesId};
use super::history::History;
use super::keep::Removal;
use super::series::Unsaved;
use super::state;
use super::tally::Resolution;
use super::{Changes, Row};

/// Strips in one batch: some hundred thousand bytes at the most.
const STRIPS_MAX: usize = 64;
/// Rows that one batch removes, about.
const REMOVED_MAX: usize = 256;
/// Series that one batch looks at for strips that are over.
const LOOKED_AT_MAX: u32 = 4_096;

/// What was handed out and is not known to be on disk.
#[derive(Debug)]
pub(super) struct HandedOut {
    unsaved: Vec<(SeriesId, Unsaved)>,
    pub(super) folds: Vec<Fold>,
    removal: Removal,
    due_from: Option<u32>,
}

/// A strip that is on disk as a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fold {
    pub(super) id: SeriesId,
    pub(super) resolution: Resolution,
    pub(super) strip: u32,
}

impl History {
    pub(super) fn changes(&mut self, minute: u32) -> Changes {
        self.failed();
        self.advance(minute);
        let mut rows = Vec::new();
        let due_from = self.due_from;
        let folds = self.strips_over(&mut rows);
        let today = Resolution::Day.number_at(self.minute);
        let cutoff = today.saturating_sub(self.keep_days()).saturating_mul(24);
        let is_in_memory = |id| self.by_id.contains_key(&id);
        let removal = self.written.outdated(cutoff, REMOVED_MAX, is_in_memory, &mut rows);
        let places = std::mem::take(&mut self.unsaved);
        let section = state::section(self, &places, &folds);
        let mut unsaved = Vec::with_capacity(places.len());
        for place in places {
            if let Some(series) = self.series_mut(place) {
                unsaved.push((series.id, series.unsaved));
                series.unsaved = Unsaved::Nothing;
            }
        }
        self.handed_out = Some(HandedOut { unsaved, folds, removal, due_from });
        Changes { section, rows }
    }

    /// The rows of strips that are over: of each series one, from where the last batch came to.
    fn strips_over(&mut self, rows: &mut Vec<Row>) -> Vec<Fold> {
        let mut folds = Vec::new();
        let Some(from) = self.due_from else { return folds };
        let (mut place, minute, end) = (from, self.minute, self.end());
        let last = from.saturating_add(LOOKED_AT_MAX).min(end);
        while place < last && folds.len() < STRIPS_MAX {
            if let Some(series) = self.series(place)
                && let Some((resolution, strip)) = series.due(minute)
            {
                let (key, value) = series.row(resolution, strip);
                rows.push((key, Some(value)));
                if !series.is_name_written {
                    let key = RowKey::Name { id: series.id };
                    rows.push((key.bytes(), Some(key.name_value(&series.name))));
                }
                folds.push(Fold { id: series.id, resolution, strip });
                // Once this is on disk, another one may be due.
                self.due_again = true;
            }
            place += 1;
        }
        self.due_from = match place < end {
            true => Some(place),
            false => std::mem::take(&mut self.due_again).then_some(0),
        };
        folds
    }

    pub(super) fn saved(&mut self) {
        let Some(HandedOut { unsaved, folds, removal, .. }) = self.handed_out.take() else {
            return;
        };
        self.written.removed(removal);
        for fold in &folds {
            self.fold(*fold);
        }
        let touched = unsaved.iter().map(|(id, _)| *id).chain(folds.iter().map(|fold| fold.id));
        for id in touched {
            if let Some(place) = self.by_id.get(&id).copied() {
                self.forget_if_gone(place);
            }
        }
    }

    /// Takes a strip out of memory, now that it is on disk.
    pub(super) fn fold(&mut self, Fold { id, resolution, strip }: Fold) {
        let Some(place) = self.by_id.get(&id).copied() else { return };
        let Some(series) = self.series_mut(place) else { return };
        series.is_name_written = true;
        let first = strip.saturating_mul(resolution.strip_len() * resolution.seconds() / 3_600);
        let hours = series.fold(resolution, strip);
        // What waited too long may be folded already; its row is there all the same.
        self.written.add(id, hours.unwrap_or((first, first)));
    }

    pub(super) fn failed(&mut self) {
        let Some(HandedOut { unsaved, due_from, .. }) = self.handed_out.take() else { return };
        for (id, unsaved) in unsaved {
            if let Some(place) = self.by_id.get(&id).copied() {
                self.touch(place, unsaved);
            }
        }
        self.due_from = due_from.and(Some(0)).or(self.due_from);
    }
}
