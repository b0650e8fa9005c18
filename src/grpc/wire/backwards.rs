//! Bytes written from the last to the first.
//!
//! What is there always lies at the end of the room; where there is too little, more is made in
//! front.

use bytes::{Buf as _, Bytes};

/// Protobuf's wire type of what has a length.
const SIZED: u8 = 2;
/// In every byte of a number but its last.
const MORE: u64 = 0x8080_8080_8080_8080;

#[derive(Debug)]
pub struct Backwards {
    room: Vec<u8>,
    /// Where what is there begins.
    start: usize,
}

impl Backwards {
    pub fn with_capacity(capacity: usize) -> Self {
        Self { room: vec![0; capacity], start: capacity }
    }

    /// How many bytes are there.
    #[inline]
    pub fn len(&self) -> usize {
        self.room.len() - self.start
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    pub fn byte(&mut self, byte: u8) {
        if self.start == 0 {
            self.grow(1);
        }
        self.start -= 1;
        self.room[self.start] = byte;
    }

    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) {
        if self.start < bytes.len() {
            self.grow(bytes.len());
        }
        let start = self.start - bytes.len();
        self.room[start..self.start].copy_from_slice(bytes);
        self.start = start;
    }

    /// A field that is a number.
    #[inline]
    pub(super) fn number(&mut self, field: u8, value: u64) {
        self.keyed(field << 3, value);
    }

    /// A field of bytes.
    #[inline]
    pub(super) fn text(&mut self, field: u8, bytes: &[u8]) {
        self.bytes(bytes);
        self.keyed(field << 3 | SIZED, bytes.len() as u64);
    }

    /// A field that has a length, which is as long as what `write` adds.
    #[inline]
    pub(super) fn sized(&mut self, field: u8, write: impl FnOnce(&mut Self)) {
        let before = self.len();
        write(self);
        self.keyed(field << 3 | SIZED, (self.len() - before) as u64);
    }

    /// A key, and behind it a number: seven bits go into each byte, the lowest first.
    #[inline(always)]
    fn keyed(&mut self, key: u8, value: u64) {
        if value < 0x80 {
            self.word(value << 8 | u64::from(key), 2);
        } else {
            self.keyed_large(key, value);
        }
    }

    #[inline(never)]
    fn keyed_large(&mut self, key: u8, value: u64) {
        let bits = u64::BITS - value.leading_zeros();
        if bits > 49 {
            return self.keyed_huge(key, value);
        }
        // A seventh, rounded up.
        let groups = bits * 9 / 64 + 1;
        let more = MORE & ((1 << (8 * groups - 8)) - 1);
        let word = (spread(value) | more) << 8 | u64::from(key);
        self.word(word, groups + 1);
    }

    #[cold]
    fn keyed_huge(&mut self, key: u8, value: u64) {
        let mut out = Vec::with_capacity(11);
        out.push(key);
        prost::encoding::encode_varint(value, &mut out);
        self.bytes(&out);
    }

    /// The lowest so many bytes of a word, 8 at the most.
    #[inline(always)]
    fn word(&mut self, word: u64, len: u32) {
        // All 8 at once; what lies in front of them is free.
        let free = self.room.get_mut(..self.start);
        match free.and_then(<[u8]>::last_chunk_mut) {
            Some(last) => {
                *last = (word << (u64::BITS - 8 * len)).to_le_bytes();
                self.start -= len as usize;
            }
            None => self.word_at_begin(word, len),
        }
    }

    #[cold]
    fn word_at_begin(&mut self, word: u64, len: u32) {
        self.bytes(&word.to_le_bytes()[..len as usize]);
    }

    /// Makes room for so many bytes in front, and as much again as is there.
    #[cold]
    fn grow(&mut self, wanted: usize) {
        let more = wanted.saturating_add(self.room.len());
        let mut room = vec![0; more];
        room.extend_from_slice(&self.room);
        self.start += more;
        self.room = room;
    }

    /// All of it, without a copy.
    pub fn into_bytes(self) -> Bytes {
        let mut bytes = Bytes::from(self.room);
        bytes.advance(self.start);
        bytes
    }
}

/// Seven bits into each byte, of a number of 49 at the most: those of the upper half of each part
/// move up, and the parts become halves.
#[inline]
fn spread(value: u64) -> u64 {
    let halves = (value & 0x0fff_ffff) | (value & 0x00ff_ffff_f000_0000) << 4;
    let quarters = (halves & 0x0000_3fff_0000_3fff) | (halves & 0x0fff_c000_0fff_c000) << 2;
    (quarters & 0x007f_007f_007f_007f) | (quarters & 0x3f80_3f80_3f80_3f80) << 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_last_comes_first_and_room_is_made() {
        for capacity in [0, 1, 3, 100] {
            let mut out = Backwards::with_capacity(capacity);
            assert!(out.is_empty());
            out.bytes(b"world");
            out.byte(b' ');
            out.bytes(b"");
            out.bytes(b"hello");
            assert_eq!(out.len(), 11);
            assert_eq!(out.into_bytes(), "hello world");
        }
    }

    #[test]
    fn numbers_are_those_of_the_library() {
        let edges = (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit]).chain([u64::MAX]);
        for value in edges {
            let mut expected = Vec::new();
            prost::encoding::encode_varint(value, &mut expected);
            expected.insert(0, 7 << 3);
            for capacity in [0, 5, 8, 9, 100] {
                let mut out = Backwards::with_capacity(capacity);
                out.byte(7);
                out.number(7, value);
                let written = out.into_bytes();
                assert_eq!(written[..written.len() - 1], expected, "{value}");
                assert_eq!(written.last(), Some(&7), "{value}");
            }
        }
    }
}
