//! States as bytes, for a store that outlives the process.
//!
//! What was written is read back equal; anything else, cut short or altered, is refused whole and
//! never read as a smaller count. Numbers are little-endian base 128, times eight bytes.

use std::num::{NonZeroI64, NonZeroU64};

use super::{LargeState, State, concurrent, fixed_window, pausing, rolling_window, token_bucket};
use crate::time::Timestamp;

const FIXED: u8 = 1;
const ROLLING: u8 = 2;
const BUCKET: u8 = 3;
const CONCURRENT: u8 = 4;
const PAUSING: u8 = 5;
const PAUSED: u8 = 6;

impl State {
    /// Appends the state to `out`. The first byte is 1 to 6.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Fixed(state) => {
                out.push(FIXED);
                state.write(out);
            }
            Self::Large(large) => match large.as_ref() {
                LargeState::Rolling(state) => {
                    out.push(ROLLING);
                    state.write(out);
                }
                LargeState::Bucket(state) => {
                    out.push(BUCKET);
                    state.write(out);
                }
                LargeState::Concurrent(state) => {
                    out.push(CONCURRENT);
                    state.write(out);
                }
                LargeState::Pausing(state) => {
                    out.push(if state.is_paused() { PAUSED } else { PAUSING });
                    state.held_state().write(out);
                }
            },
        }
    }

    /// Reads one state; `None` where the bytes are not one.
    pub fn read(from: &mut Reader<'_>) -> Option<Self> {
        Self::read_at(from, true)
    }

    fn read_at(from: &mut Reader<'_>, may_pause: bool) -> Option<Self> {
        let tag = from.byte()?;
        let large = match tag {
            FIXED => return fixed_window::State::read(from).map(Self::Fixed),
            ROLLING => LargeState::Rolling(rolling_window::State::read(from)?),
            BUCKET => LargeState::Bucket(token_bucket::State::read(from)?),
            CONCURRENT => LargeState::Concurrent(concurrent::State::read(from)?),
            PAUSING | PAUSED if may_pause => {
                let held = Self::read_at(from, false)?;
                LargeState::Pausing(pausing::State::from_parts(tag == PAUSED, held))
            }
            _ => return None,
        };
        Some(large.boxed())
    }
}

/// Bytes that are read from the front.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    pub const fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    pub fn byte(&mut self) -> Option<u8> {
        self.bytes::<1>().map(|[byte]| byte)
    }

    pub fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if part.checked_shl(shift)? >> shift != part {
                return None;
            }
            number |= part << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    pub fn time(&mut self) -> Option<Timestamp> {
        self.bytes().map(|bytes| Timestamp::from_nanos(i64::from_le_bytes(bytes)))
    }

    pub(super) fn nonzero_time(&mut self) -> Option<NonZeroI64> {
        NonZeroI64::new(self.time()?.as_nanos())
    }

    pub(super) fn nonzero(&mut self) -> Option<NonZeroU64> {
        NonZeroU64::new(self.number()?)
    }

    /// How many follow, each of at least so many bytes: no more than there is room for.
    pub(super) fn count(&mut self, bytes_each: usize) -> Option<usize> {
        let count = usize::try_from(self.number()?).ok()?;
        (count.checked_mul(bytes_each)? <= self.0.len()).then_some(count)
    }
}

pub fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

pub fn put_time(out: &mut Vec<u8>, time: Timestamp) {
    out.extend_from_slice(&time.as_nanos().to_le_bytes());
}
