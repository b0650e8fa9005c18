//! SipHash-1-3 with 128 bits, fed by words: parts are short, and most requests feed one or two.
//!
//! Fingerprints are kept on disk, so they are those that the crate `siphasher` makes, bit for bit; a
//! test holds them against it.

use super::words::partial;

/// What has been fed so far. Small, so that a rule's own can be copied for every request.
#[derive(Clone, Copy, Debug)]
pub(super) struct SipHash {
    state: [u64; 4],
    /// The bytes that make no whole word yet, the first of them lowest.
    tail: u64,
    /// Bytes fed; those over the last whole word are in the tail.
    len: u64,
}

impl SipHash {
    pub(super) fn new([low, high]: [u64; 2]) -> Self {
        let state = [
            low ^ 0x736f_6d65_7073_6575,
            high ^ 0x646f_7261_6e64_6f6d ^ 0xee,
            low ^ 0x6c79_6765_6e65_7261,
            high ^ 0x7465_6462_7974_6573,
        ];
        Self { state, tail: 0, len: 0 }
    }

    /// How many bits of the tail are taken.
    #[inline]
    fn taken(&self) -> u64 {
        8 * (self.len % 8)
    }

    #[inline]
    pub(super) fn feed_word(&mut self, word: u64) {
        let taken = self.taken();
        self.compress(self.tail | word << taken);
        // In two steps, because no word is shifted by all of its bits.
        self.tail = word >> 1 >> (63 - taken);
        self.len += 8;
    }

    #[inline]
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        for word in words {
            self.feed_word(u64::from_le_bytes(*word));
        }
        let (taken, fed) = (self.taken(), 8 * rest.len() as u64);
        let word = partial(rest);
        self.tail |= word << taken;
        if taken + fed >= 64 {
            self.compress(self.tail);
            self.tail = word >> 1 >> (63 - taken);
        }
        self.len += rest.len() as u64;
    }

    #[inline]
    fn compress(&mut self, word: u64) {
        self.state[3] ^= word;
        self.round();
        self.state[0] ^= word;
    }

    #[inline]
    fn round(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.state;
        a = a.wrapping_add(b);
        c = c.wrapping_add(d);
        b = b.rotate_left(13) ^ a;
        d = d.rotate_left(16) ^ c;
        a = a.rotate_left(32).wrapping_add(d);
        c = c.wrapping_add(b);
        d = d.rotate_left(21) ^ a;
        b = b.rotate_left(17) ^ c;
        self.state = [a, b, c.rotate_left(32), d];
    }

    #[inline]
    pub(super) fn finish(mut self) -> u128 {
        self.compress(self.len << 56 | self.tail);
        self.state[2] ^= 0xee;
        let low = self.half();
        self.state[1] ^= 0xdd;
        let high = self.half();
        u128::from(high) << 64 | u128::from(low)
    }

    #[inline]
    fn half(&mut self) -> u64 {
        for _ in 0..3 {
            self.round();
        }
        self.state.iter().fold(0, |half, word| half ^ word)
    }
}

#[cfg(test)]
mod tests {
    use std::hash::Hasher;

    use proptest::prelude::*;
    use siphasher::sip128::{Hasher128, SipHasher13};

    use super::*;

    proptest! {
        #[test]
        fn fingerprints_are_those_of_the_crate(
            key in any::<[u64; 2]>(),
            parts in prop::collection::vec(
                prop_oneof![3 => prop::collection::vec(any::<u8>(), 0..20), 1 => prop::collection::vec(any::<u8>(), 0..600)],
                0..6,
            ),
        ) {
            let mut own = SipHash::new(key);
            let mut known = SipHasher13::new_with_keys(key[0], key[1]);
            for part in parts {
                own.feed_word(part.len() as u64);
                own.feed(&part);
                known.write(&(part.len() as u64).to_le_bytes());
                known.write(&part);
                prop_assert_eq!(own.finish(), known.finish128().as_u128());
            }
        }
    }
}
