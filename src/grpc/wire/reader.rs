//! Protobuf's wire format, without any message: numbers, lengths, and fields that nobody knows.
//!
//! Refuses what the library that generates messages refuses, but for where it notices: a reader ends
//! where its message does, so what runs past that end is refused on the spot.

use std::fmt;

/// Groups and messages within one another that are read at the most.
const LEVELS_MAX: u8 = 100;
/// Bytes of the longest number.
const VARINT_LEN_MAX: usize = 10;

/// Why bytes are no call, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at byte {at}")]
pub struct DecodeError {
    /// Where what is wrong begins, counted from 0.
    pub at: usize,
    problem: Problem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Problem {
    Number,
    FieldNumber,
    Length,
    WireType,
    GroupEnd,
    Nesting,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Number => "a number that does not end, or is of more than 64 bits,",
            Self::FieldNumber => "a field number that is 0 or too large",
            Self::Length => "a field that is longer than what is left",
            Self::WireType => "a field that is not of the type it is declared with",
            Self::GroupEnd => "the end of a group that has not begun",
            Self::Nesting => "groups that lie too deep in one another",
        })
    }
}

/// What is wrong, and how far before the end of the whole message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    problem: Problem,
    before_end: usize,
}

impl Fault {
    #[cold]
    pub(super) fn of(self, message: &[u8]) -> DecodeError {
        DecodeError { at: message.len() - self.before_end, problem: self.problem }
    }
}

/// What is left to read of a message, which may be part of another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    /// Bytes of the whole that come after this message.
    after: usize,
    levels: u8,
}

impl<'a> Reader<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self { rest: message, after: 0, levels: LEVELS_MAX }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The key of the next field, or its value where that is a number.
    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, Fault> {
        if let [byte @ ..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        self.long_varint()
    }

    #[inline(never)]
    fn long_varint(&mut self) -> Result<u64, Fault> {
        let mut value = 0;
        for (place, byte) in self.rest.iter().take(VARINT_LEN_MAX).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * place);
            if *byte < 0x80 {
                // Of the last byte one bit is left.
                if place + 1 == VARINT_LEN_MAX && *byte > 1 {
                    break;
                }
                self.rest = &self.rest[place + 1..];
                return Ok(value);
            }
        }
        Err(self.fault(Problem::Number))
    }

    /// What a length stands before.
    #[inline]
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Fault> {
        let begun = *self;
        let len = self.varint()?;
        begun.split(self, len)
    }

    /// The bytes of the next field, where that has this key and is short.
    #[inline]
    pub(super) fn short(&mut self, key: u64) -> Option<&'a [u8]> {
        let [first, len @ ..0x80, rest @ ..] = self.rest else { return None };
        if u64::from(*first) != key {
            return None;
        }
        let (bytes, rest) = rest.split_at_checked(usize::from(*len))?;
        self.rest = rest;
        Some(bytes)
    }

    /// A message within this one, which was just read.
    #[inline]
    pub(super) fn within(&self, rest: &'a [u8]) -> Self {
        Self { rest, after: self.before_end(), levels: self.levels - 1 }
    }

    /// A message within this one.
    #[inline]
    pub(super) fn message(&mut self) -> Result<Self, Fault> {
        let rest = self.bytes()?;
        Ok(self.within(rest))
    }

    /// Steps over the field that begins here, where its message declares all numbers up to `known`.
    #[cold]
    pub(super) fn past_unknown(mut self, known: u32) -> Result<Self, Fault> {
        let begun = self;
        let (number, wire_type) = self.key()?;
        if number <= known {
            return Err(begun.fault(Problem::WireType));
        }
        self.skip(begun, number, wire_type, self.levels)?;
        Ok(self)
    }

    /// Number and wire type of the next field.
    fn key(&mut self) -> Result<(u32, u32), Fault> {
        let begun = *self;
        match u32::try_from(self.varint()?) {
            Ok(key @ 8..) => Ok((key >> 3, key & 7)),
            Ok(_) | Err(_) => Err(begun.fault(Problem::FieldNumber)),
        }
    }

    /// Steps over the value of a field; the recursion is bounded by `levels`.
    fn skip(&mut self, begun: Self, number: u32, wire_type: u32, levels: u8) -> Result<(), Fault> {
        let Some(levels_within) = levels.checked_sub(1) else {
            return Err(begun.fault(Problem::Nesting));
        };
        match wire_type {
            0 => self.varint().map(drop),
            1 => begun.split(self, 8).map(drop),
            2 => self.bytes().map(drop),
            3 => loop {
                let begun = *self;
                match self.key()? {
                    (end, 4) if end == number => return Ok(()),
                    (number, wire_type) => self.skip(begun, number, wire_type, levels_within)?,
                }
            },
            4 => Err(begun.fault(Problem::GroupEnd)),
            5 => begun.split(self, 4).map(drop),
            _ => Err(begun.fault(Problem::WireType)),
        }
    }

    /// The next `len` bytes of `self`, where `begun` is to blame for a wrong length.
    #[inline]
    fn split(self, rest: &mut Self, len: u64) -> Result<&'a [u8], Fault> {
        let split = usize::try_from(len).ok().and_then(|len| rest.rest.split_at_checked(len));
        let (bytes, after) = split.ok_or_else(|| self.fault(Problem::Length))?;
        rest.rest = after;
        Ok(bytes)
    }

    #[inline]
    fn before_end(&self) -> usize {
        self.rest.len() + self.after
    }

    #[cold]
    fn fault(&self, problem: Problem) -> Fault {
        Fault { problem, before_end: self.before_end() }
    }
}
