//! Shards as bytes: what the journal keeps of them.
//!
//! A record is a key, a level and a state, or that there is none any more. What is read is either
//! all that was written or refused: no record is guessed at.

use super::shard::{Changed, Counter, Mark, Shard, ShortKey, held};
use crate::limit::LeaseId;
use crate::limit::State;
use crate::limit::record::{Reader, put_number, put_time};
use crate::store::reserve::Owed;
use crate::time::Timestamp;

/// Marks a record of a strict rule's counter, which says what is owed.
const OWES: u8 = 0x80;
/// In place of a state.
const GONE: u8 = 0;

/// What a turn of writing takes of a shard.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Written {
    Nothing,
    Changes,
    /// More changed than is worth listing: the whole shard is to be written instead.
    WantsImage,
}

impl Shard {
    /// Appends a record for each counter that changed since the last call.
    pub(super) fn write_changes(&mut self, out: &mut Vec<u8>, now: Timestamp) -> Written {
        let listed = match self.take_changes() {
            Changed::All => return Written::WantsImage,
            Changed::Listed(listed) => listed,
        };
        for key in &listed {
            self.write_record(*key, out, now);
        }
        let written = if listed.is_empty() { Written::Nothing } else { Written::Changes };
        self.reuse_list(listed);
        written
    }

    /// Appends the whole shard; what had changed is written with it.
    pub(super) fn write_image(&mut self, out: &mut Vec<u8>, now: Timestamp) {
        self.take_changes();
        put_number(out, self.last_lease.map_or(0, |id| id.0.get()));
        out.reserve(self.counters.len() * 36);
        let Self { counters, reserves, owed, .. } = self;
        for held in &*counters {
            let reserved = reserves.get_mut(&held.key).map(|it| it.write(Some(&held.state), now));
            let owes = reserved.or_else(|| owed.get(&held.key).copied());
            if owes.is_some() || !held.state.is_idle(now) {
                put_record(out, held.key, held.mark, Some(&held.state), owes);
            }
        }
        let is_gone = |key: &ShortKey| held(counters, *key).is_none();
        let reserved = reserves.iter_mut().filter(|(key, _)| is_gone(key));
        let mut gone: Vec<_> =
            reserved.map(|(key, reserve)| (*key, reserve.write(None, now))).collect();
        gone.extend(owed.iter().filter(|(key, _)| is_gone(key)).map(|(key, it)| (*key, *it)));
        gone.sort_unstable_by_key(|(key, _)| *key);
        for (key, owed) in gone {
            put_record(out, key, Mark::default(), None, Some(owed));
        }
    }

    fn write_record(&mut self, key: ShortKey, out: &mut Vec<u8>, now: Timestamp) {
        let held = held(&self.counters, key);
        let state = held.map(|held| &held.state);
        let reserved = self.reserves.get_mut(&key).map(|reserve| reserve.write(state, now));
        let owes = reserved.or_else(|| self.owed.get(&key).copied());
        put_record(out, key, held.map_or(Mark::default(), |held| held.mark), state, owes);
    }

    /// Reads an image over an empty shard; `None` where the bytes are not one.
    pub(super) fn read_image(&mut self, bytes: &[u8], now: Timestamp) -> Option<()> {
        let mut from = Reader::new(bytes);
        self.last_lease = std::num::NonZeroU64::new(from.number()?).map(LeaseId);
        self.counters.reserve(bytes.len() / 30, |held| held.key.table_hash());
        self.read_records(from, now)
    }

    /// Reads what changed after the image.
    pub(super) fn read_changes(&mut self, bytes: &[u8], now: Timestamp) -> Option<()> {
        self.read_records(Reader::new(bytes), now)
    }

    fn read_records(&mut self, mut from: Reader<'_>, now: Timestamp) -> Option<()> {
        while !from.is_empty() {
            let key = ShortKey(from.bytes()?);
            let level = from.byte()?;
            let mut rest = from;
            let state = match rest.byte()? {
                GONE => {
                    from = rest;
                    None
                }
                _ => Some(State::read(&mut from)?),
            };
            self.owed.remove(&key);
            if level & OWES != 0 {
                let (hits, until) = (from.number()?, from.time()?);
                self.owed.insert(key, Owed { hits, until, at: now });
            }
            match state {
                Some(state) => self.put(Counter { key, mark: Mark::from_level(level), state }),
                None => self.remove(key),
            }
        }
        Some(())
    }
}

fn put_record(
    out: &mut Vec<u8>,
    key: ShortKey,
    mark: Mark,
    state: Option<&State>,
    owed: Option<Owed>,
) {
    out.extend_from_slice(&key.0);
    out.push(mark.level() | if owed.is_some() { OWES } else { 0 });
    match state {
        Some(state) => state.write(out),
        None => out.push(GONE),
    }
    if let Some(owed) = owed {
        put_number(out, owed.hits);
        put_time(out, owed.until);
    }
}
