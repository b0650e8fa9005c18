//! Bytes of one stored record: header, body, checksum. A record reads only in the place it was
//! written for, since the checksum takes the place in.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use super::{Damage, Part, Stamp};
use crate::time::Timestamp;

/// Of every record; one that reads another way gets another number.
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 1 + 8 + 8 + 8;
const CHECKSUM_BYTES: usize = 8;
/// Before each change in a row of the log: its part and its length.
const ENTRY_BYTES: usize = 2 + 4;
/// Says "not what was written", never "not by whom it should be": it needs no secret.
const KEYS: (u64, u64) = (0x746f_6c6c_6761_7465, 0x6a6f_7572_6e61_6c31);

/// Where a record is stored.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'a> {
    Log(u64),
    Image(Part),
    Row(&'a [u8]),
    Meta(&'a str),
}

impl Place<'_> {
    fn damaged(self, why: &str) -> Damage {
        Damage::new(match self {
            Self::Log(sequence) => format!("row {sequence} of the log {why}"),
            Self::Image(part) => format!("the image of part {part} {why}"),
            Self::Row(_) => format!("a row of the history {why}"),
            Self::Meta(name) => format!("`{name}` {why}"),
        })
    }

    fn checksum(self, record: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(KEYS.0, KEYS.1);
        match self {
            Self::Log(sequence) => {
                hasher.write_u8(1);
                hasher.write(&sequence.to_le_bytes());
            }
            Self::Image(part) => {
                hasher.write_u8(2);
                hasher.write(&part.to_le_bytes());
            }
            Self::Row(key) => {
                hasher.write_u8(3);
                hasher.write(&(key.len() as u64).to_le_bytes());
                hasher.write(key);
            }
            Self::Meta(name) => {
                hasher.write_u8(4);
                hasher.write(&(name.len() as u64).to_le_bytes());
                hasher.write(name.as_bytes());
            }
        }
        hasher.write(record);
        hasher.finish()
    }

    fn seal(self, mut record: Vec<u8>) -> Vec<u8> {
        let checksum = self.checksum(&record);
        record.extend_from_slice(&checksum.to_le_bytes());
        record
    }

    /// The record without its checksum, once that has been found right.
    fn unseal(self, bytes: &[u8]) -> Result<&[u8], Damage> {
        let Some((record, checksum)) = bytes.split_last_chunk::<CHECKSUM_BYTES>() else {
            return Err(self.damaged("is cut off"));
        };
        if u64::from_le_bytes(*checksum) != self.checksum(record) {
            return Err(self.damaged("is not what was written"));
        }
        Ok(record)
    }
}

/// Of one row of the log, by part.
pub(super) type Changes<'a> = Vec<(Part, &'a [u8])>;

/// Which commit wrote a record, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) sequence: u64,
    pub(super) stamp: Stamp,
}

fn header(origin: Origin, body_bytes: usize) -> Vec<u8> {
    let mut record = Vec::with_capacity(HEADER_BYTES + body_bytes + CHECKSUM_BYTES);
    record.push(VERSION);
    record.extend_from_slice(&origin.sequence.to_le_bytes());
    record.extend_from_slice(&origin.stamp.at.as_nanos().to_le_bytes());
    record.extend_from_slice(&origin.stamp.shifted.to_le_bytes());
    record
}

/// Takes the header off a record that has been unsealed.
fn origin<'a>(place: Place<'_>, record: &'a [u8]) -> Result<(Origin, &'a [u8]), Damage> {
    let cut_off = || place.damaged("is cut off");
    let (&version, rest) = record.split_first().ok_or_else(cut_off)?;
    if version != VERSION {
        return Err(place.damaged(&format!("has version {version}, which is not known")));
    }
    let (sequence, rest) = rest.split_first_chunk::<8>().ok_or_else(cut_off)?;
    let (at, rest) = rest.split_first_chunk::<8>().ok_or_else(cut_off)?;
    let (shifted, body) = rest.split_first_chunk::<8>().ok_or_else(cut_off)?;
    let at = Timestamp::from_nanos(i64::from_le_bytes(*at));
    let stamp = Stamp { at, shifted: i64::from_le_bytes(*shifted) };
    Ok((Origin { sequence: u64::from_le_bytes(*sequence), stamp }, body))
}

pub(super) fn write_image(origin: Origin, part: Part, contents: &[u8]) -> Vec<u8> {
    let mut record = header(origin, contents.len());
    record.extend_from_slice(contents);
    Place::Image(part).seal(record)
}

pub(super) fn read_image(part: Part, bytes: &[u8]) -> Result<(Origin, &[u8]), Damage> {
    let place = Place::Image(part);
    origin(place, place.unseal(bytes)?)
}

/// One row of the log; `None` when a change is longer than its length can say.
pub(super) fn write_log(origin: Origin, changes: &[(Part, Vec<u8>)]) -> Option<Vec<u8>> {
    let body_bytes = changes.iter().map(|(_, change)| ENTRY_BYTES + change.len()).sum();
    let mut record = header(origin, body_bytes);
    for (part, change) in changes {
        record.extend_from_slice(&part.to_le_bytes());
        record.extend_from_slice(&u32::try_from(change.len()).ok()?.to_le_bytes());
        record.extend_from_slice(change);
    }
    Some(Place::Log(origin.sequence).seal(record))
}

/// The changes of one row of the log, in the order they were written.
pub(super) fn read_log(sequence: u64, bytes: &[u8]) -> Result<(Origin, Changes<'_>), Damage> {
    let place = Place::Log(sequence);
    let (origin, mut rest) = origin(place, place.unseal(bytes)?)?;
    if origin.sequence != sequence {
        return Err(place.damaged("says it is another"));
    }
    let cut_off = || place.damaged("is cut off");
    let mut changes = Vec::new();
    while !rest.is_empty() {
        let (part, after) = rest.split_first_chunk::<2>().ok_or_else(cut_off)?;
        let (length, after) = after.split_first_chunk::<4>().ok_or_else(cut_off)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| cut_off())?;
        let (change, after) = after.split_at_checked(length).ok_or_else(cut_off)?;
        changes.push((Part::from_le_bytes(*part), change));
        rest = after;
    }
    Ok((origin, changes))
}

/// A row of the history has no stamp of its own: its key says what time it is about.
pub(super) fn write_row(key: &[u8], value: &[u8]) -> Vec<u8> {
    write_plain(Place::Row(key), value)
}

pub(super) fn read_row<'a>(key: &[u8], bytes: &'a [u8]) -> Result<&'a [u8], Damage> {
    read_plain(Place::Row(key), bytes)
}

pub(super) fn write_meta(name: &str, value: &[u8]) -> Vec<u8> {
    write_plain(Place::Meta(name), value)
}

pub(super) fn read_meta<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a [u8], Damage> {
    read_plain(Place::Meta(name), bytes)
}

fn write_plain(place: Place<'_>, value: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(1 + value.len() + CHECKSUM_BYTES);
    record.push(VERSION);
    record.extend_from_slice(value);
    place.seal(record)
}

fn read_plain<'a>(place: Place<'_>, bytes: &'a [u8]) -> Result<&'a [u8], Damage> {
    match place.unseal(bytes)?.split_first() {
        Some((&VERSION, value)) => Ok(value),
        Some((version, _)) => {
            Err(place.damaged(&format!("has version {version}, which is not known")))
        }
        None => Err(place.damaged("is cut off")),
    }
}
