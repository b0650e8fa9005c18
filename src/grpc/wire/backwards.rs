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

    /// Seven bits go into each byte, the lowest first, and zero takes one too.
    #[inline]
    pub(super) fn varint(&mut self, value: u64) {
        if value < 0x80 {
            return self.byte(value.to_le_bytes()[0]);
        }
        let groups = (u64::BITS - value.leading_zeros()).div_ceil(7);
        let (Some(start), 2..=8) = (self.start.checked_sub(8), groups) else {
            return self.long_varint(value);
        };
        // All groups at once; what lies in front of them is free.
        let spread =
            (0..8).fold(0, |spread, group| spread | (value >> (7 * group) & 0x7f) << (8 * group));
        let last = 8 * (groups - 1);
        let word = (spread | (MORE & ((1 << last) - 1))) << (56 - last);
        self.room[start..start + 8].copy_from_slice(&word.to_le_bytes());
        self.start = start + 8 - groups as usize;
    }

    #[cold]
    fn long_varint(&mut self, value: u64) {
        let mut out = Vec::with_capacity(10);
        prost::encoding::encode_varint(value, &mut out);
        self.bytes(&out);
    }

    /// A field that has a length, which is as long as what `write` adds.
    #[inline]
    pub(super) fn sized(&mut self, field: u8, write: impl FnOnce(&mut Self)) {
        let before = self.len();
        write(self);
        self.varint((self.len() - before) as u64);
        self.byte(field << 3 | SIZED);
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
            for capacity in [0, 5, 8, 9, 100] {
                let mut out = Backwards::with_capacity(capacity);
                out.byte(7);
                out.varint(value);
                let written = out.into_bytes();
                assert_eq!(written[..written.len() - 1], expected, "{value}");
                assert_eq!(written.last(), Some(&7), "{value}");
            }
        }
    }
}
