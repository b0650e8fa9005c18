//! Bytes of the history on disk: rows, and the numbers and texts that all of it is made of.
//!
//! Everything begins with a version and ends with a checksum, over its key too where it has one:
//! what is damaged is refused, and never read as something else.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::name::Name;
use super::tally::{Resolution, Slot, Tally};

const VERSION: u8 = 1;
const SUM_LEN: usize = 4;
const KEY_LEN: usize = 1 + 8 + 16;
/// In the place of a resolution: what a series is called.
const NAME: u8 = u8::MAX;

/// Why bytes of the history cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    #[error("usage history is damaged")]
    Damaged,
    #[error("usage history of version {0} cannot be read, only of version {VERSION}")]
    Version(u8),
}

/// One series from when it is named until it gives up its name: the minute of its begin, and
/// below that a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SeriesId(pub(super) u128);

impl SeriesId {
    const FINGERPRINT: u128 = u128::MAX >> 32;

    pub(super) fn new(begin: u32, fingerprint: u128) -> Self {
        Self(u128::from(begin) << 96 | (fingerprint & Self::FINGERPRINT))
    }

    /// The minute that it began in.
    pub(super) fn begin(self) -> u32 {
        u32::try_from(self.0 >> 96).unwrap_or(u32::MAX)
    }
}

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RowKey {
    Strip { resolution: Resolution, strip: u32, id: SeriesId },
    Name { id: SeriesId },
}

impl RowKey {
    pub(super) fn bytes(self) -> Vec<u8> {
        let (kind, start, id) = match self {
            Self::Name { id } => (NAME, 0, id),
            Self::Strip { resolution, strip, id } => {
                let first = i64::from(strip) * i64::from(resolution.strip_len());
                (resolution as u8, first * i64::from(resolution.seconds()), id)
            }
        };
        let mut key = Vec::with_capacity(KEY_LEN);
        key.push(kind);
        key.extend_from_slice(&start.to_be_bytes());
        key.extend_from_slice(&id.0.to_be_bytes());
        key
    }

    pub(super) fn read(key: &[u8]) -> Result<Self, Damage> {
        let (kind, rest) = key.split_first().ok_or(Damage::Damaged)?;
        let (start, id) = rest.split_first_chunk().ok_or(Damage::Damaged)?;
        let id = SeriesId(u128::from_be_bytes(id.try_into().map_err(|_| Damage::Damaged)?));
        let start = i64::from_be_bytes(*start);
        if *kind == NAME {
            return Ok(Self::Name { id });
        }
        let resolution = Resolution::ALL.get(usize::from(*kind)).copied();
        let resolution = resolution.ok_or(Damage::Damaged)?;
        let length = i64::from(resolution.seconds()) * i64::from(resolution.strip_len());
        let strip = u32::try_from(start / length).map_err(|_| Damage::Damaged)?;
        Ok(Self::Strip { resolution, strip, id })
    }

    /// The value of a row with the slots of a strip.
    pub(super) fn strip_value(self, slots: &[Slot]) -> Vec<u8> {
        let mut into = Writer::new();
        let first = match self {
            Self::Strip { resolution, strip, .. } => strip.saturating_mul(resolution.strip_len()),
            Self::Name { .. } => 0,
        };
        into.slots(first, slots);
        into.sealed(&self.bytes())
    }

    pub(super) fn read_strip(key: &[u8], value: &[u8]) -> Result<Vec<Slot>, Damage> {
        let Self::Strip { resolution, strip, .. } = Self::read(key)? else {
            return Err(Damage::Damaged);
        };
        let mut from = Reader::open(key, value)?;
        let slots = from.slots(strip.saturating_mul(resolution.strip_len()))?;
        from.end()?;
        Ok(slots)
    }

    /// The value of a row with a name.
    pub(super) fn name_value(self, name: &Name) -> Vec<u8> {
        let mut into = Writer::new();
        name.write(&mut into);
        into.sealed(&self.bytes())
    }

    pub(super) fn read_name(key: &[u8], value: &[u8]) -> Result<Name, Damage> {
        let mut from = Reader::open(key, value)?;
        let name = Name::read(&mut from)?;
        from.end()?;
        Ok(name)
    }
}

#[derive(Debug)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn new() -> Self {
        Self(vec![VERSION])
    }

    /// The bytes, with their checksum.
    pub(super) fn sealed(mut self, key: &[u8]) -> Vec<u8> {
        let sum = sum(key, &self.0);
        self.0.extend_from_slice(&sum);
        self.0
    }

    /// Seven bits to a byte, lowest first.
    pub(super) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(low_bits(number) | 0x80);
            number >>= 7;
        }
        self.0.push(low_bits(number));
    }

    pub(super) fn count(&mut self, count: usize) {
        self.number(count as u64);
    }

    #[cfg(test)]
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn wide(&mut self, number: u128) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    pub(super) fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    /// Slots in order, none before `first`.
    pub(super) fn slots(&mut self, first: u32, slots: &[Slot]) {
        self.count(slots.len());
        let mut next = first;
        for Slot { number, tally } in slots {
            // Most slots follow one another and have no denials: those take a byte for both.
            let gap = u64::from(number.saturating_sub(next));
            let (has_denied, has_shadow) = (tally.denied > 0, tally.shadow_denied > 0);
            self.number(gap << 2 | u64::from(has_shadow) << 1 | u64::from(has_denied));
            self.number(tally.admitted);
            if has_denied {
                self.number(tally.denied);
            }
            if has_shadow {
                self.number(tally.shadow_denied);
            }
            self.number(u64::from(tally.peak));
            next = number.saturating_add(1);
        }
    }
}

fn low_bits(number: u64) -> u8 {
    (number & 0x7f) as u8
}

pub(super) fn sum(key: &[u8], value: &[u8]) -> [u8; SUM_LEN] {
    let mut hasher = SipHasher13::new();
    hasher.write(&key.len().to_le_bytes());
    hasher.write(key);
    hasher.write(value);
    let [a, b, c, d, ..] = hasher.finish().to_le_bytes();
    [a, b, c, d]
}

#[derive(Debug)]
pub(super) struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    /// What comes after the version, if all of it is whole.
    pub(super) fn open(key: &[u8], value: &'b [u8]) -> Result<Self, Damage> {
        let (body, held) = value.split_last_chunk::<SUM_LEN>().ok_or(Damage::Damaged)?;
        if sum(key, body) != *held {
            return Err(Damage::Damaged);
        }
        match body.split_first() {
            Some((&VERSION, rest)) => Ok(Self(rest)),
            Some((version, _)) => Err(Damage::Version(*version)),
            None => Err(Damage::Damaged),
        }
    }

    pub(super) fn end(&self) -> Result<(), Damage> {
        if self.0.is_empty() { Ok(()) } else { Err(Damage::Damaged) }
    }

    fn byte(&mut self) -> Result<u8, Damage> {
        let (byte, rest) = self.0.split_first().ok_or(Damage::Damaged)?;
        self.0 = rest;
        Ok(*byte)
    }

    pub(super) fn number(&mut self) -> Result<u64, Damage> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(Damage::Damaged);
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Damage::Damaged)
    }

    pub(super) fn small(&mut self) -> Result<u32, Damage> {
        u32::try_from(self.number()?).map_err(|_| Damage::Damaged)
    }

    pub(super) fn wide(&mut self) -> Result<u128, Damage> {
        let (number, rest) = self.0.split_first_chunk().ok_or(Damage::Damaged)?;
        self.0 = rest;
        Ok(u128::from_be_bytes(*number))
    }

    pub(super) fn text(&mut self) -> Result<Box<str>, Damage> {
        let length = usize::try_from(self.number()?).map_err(|_| Damage::Damaged)?;
        let (text, rest) = self.0.split_at_checked(length).ok_or(Damage::Damaged)?;
        self.0 = rest;
        std::str::from_utf8(text).map(Into::into).map_err(|_| Damage::Damaged)
    }

    pub(super) fn slots(&mut self, first: u32) -> Result<Vec<Slot>, Damage> {
        let count = self.number()?;
        let mut next = first;
        let mut slots = Vec::new();
        for _ in 0..count {
            let head = self.number()?;
            let gap = u32::try_from(head >> 2).map_err(|_| Damage::Damaged)?;
            let number = next.checked_add(gap).ok_or(Damage::Damaged)?;
            let admitted = self.number()?;
            let denied = if head & 1 == 1 { self.number()? } else { 0 };
            let shadow_denied = if head & 2 == 2 { self.number()? } else { 0 };
            let peak = u16::try_from(self.number()?).map_err(|_| Damage::Damaged)?;
            let tally = Tally { admitted, denied, shadow_denied, peak };
            slots.push(Slot { number, tally });
            next = number.saturating_add(1);
        }
        Ok(slots)
    }
}
