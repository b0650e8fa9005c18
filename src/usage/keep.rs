//! Which rows are on disk, so that they can be removed when their time is over.
//!
//! Of each series only the first and the last hour are held: a row within that was never written
//! is removed for nothing.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::Row;
use super::codec::{Damage, Reader, RowKey, SeriesId, Writer};
use super::tally::Resolution;

#[derive(Debug, Default)]
pub(super) struct Written {
    spans: BTreeMap<SeriesId, Hours>,
    /// The series that the removal has come to.
    reached: Option<SeriesId>,
    /// The last cutoff before which nothing was left.
    removed_before: u32,
}

/// The hours that rows of one series reach over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hours {
    first: u32,
    last: u32,
}

/// What a removal changes here, once it is on disk.
#[derive(Debug, Default)]
pub(super) struct Removal {
    /// For each series the first hour that is left; `None` where nothing is.
    left: Vec<(SeriesId, Option<u32>)>,
    reached: Option<SeriesId>,
    removed_before: u32,
}

const HOURS_PER_BLOCK: u32 = 24 * Resolution::Day.strip_len();

impl Written {
    pub(super) fn add(&mut self, id: SeriesId, (first, last): (u32, u32)) {
        let held = self.spans.entry(id).or_insert(Hours { first, last });
        held.first = held.first.min(first);
        held.last = held.last.max(last);
    }

    /// Removes rows of the hours before `cutoff`: so many, and it goes on from there the next time.
    /// A series that is in memory keeps its last hour and its name, since more rows may follow.
    pub(super) fn outdated(
        &self,
        cutoff: u32,
        mut room: usize,
        is_in_memory: impl Fn(SeriesId) -> bool,
        rows: &mut Vec<Row>,
    ) -> Removal {
        // Looking at series is cheap, but there may be many.
        const LOOKED_AT_MAX: usize = 1_000;
        let (reached, removed_before) = (self.reached, self.removed_before);
        let mut removal = Removal { left: Vec::new(), reached, removed_before };
        if removed_before >= cutoff {
            return removal;
        }
        let from = reached.map_or(Bound::Unbounded, Bound::Excluded);
        let mut looked_at = 0;
        for (id, hours) in self.spans.range((from, Bound::Unbounded)).take(LOOKED_AT_MAX) {
            looked_at += 1;
            if room == 0 {
                return removal;
            }
            if hours.first < cutoff {
                let after = hours.last.saturating_add(u32::from(!is_in_memory(*id)));
                let end = cutoff.min(after);
                let end = end.min(hours.first.saturating_add(u32::try_from(room).unwrap_or(1)));
                let left = hours.remove(*id, end, rows);
                room = room.saturating_sub((end - hours.first) as usize);
                removal.left.push((*id, left));
                if room == 0 && left.is_some_and(|first| first < cutoff) {
                    return removal;
                }
            }
            removal.reached = Some(*id);
        }
        if looked_at < LOOKED_AT_MAX {
            (removal.reached, removal.removed_before) = (None, cutoff);
        }
        removal
    }

    pub(super) fn removed(&mut self, removal: Removal) {
        for (id, left) in removal.left {
            match (left, self.spans.get_mut(&id)) {
                (Some(first), Some(held)) => held.first = held.first.max(first),
                (None, Some(_)) => {
                    self.spans.remove(&id);
                }
                (_, None) => {}
            }
        }
        (self.reached, self.removed_before) = (removal.reached, removal.removed_before);
    }

    pub(super) fn write(&self, into: &mut Writer) {
        into.count(self.spans.len());
        for (id, Hours { first, last }) in &self.spans {
            into.wide(id.0);
            into.number(u64::from(*first));
            into.number(u64::from(last.saturating_sub(*first)));
        }
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, Damage> {
        let mut spans = BTreeMap::new();
        for _ in 0..from.number()? {
            let (id, first) = (SeriesId(from.wide()?), from.small()?);
            let last = first.checked_add(from.small()?).ok_or(Damage::Damaged)?;
            spans.insert(id, Hours { first, last });
        }
        Ok(Self { spans, ..Self::default() })
    }
}

impl Hours {
    /// The first hour that is left.
    fn remove(self, id: SeriesId, end: u32, rows: &mut Vec<Row>) -> Option<u32> {
        let is_all = end > self.last;
        for (resolution, hours) in
            [(Resolution::Minute, 1), (Resolution::Hour, 24), (Resolution::Day, HOURS_PER_BLOCK)]
        {
            // A strip goes with its last hour.
            let end = if is_all { self.last / hours + 1 } else { end / hours };
            let strips = self.first / hours..end;
            rows.extend(strips.map(|strip| {
                let key = RowKey::Strip { resolution, strip, id };
                (key.bytes(), None)
            }));
        }
        if is_all {
            rows.push((RowKey::Name { id }.bytes(), None));
        }
        (!is_all).then_some(end)
    }
}
