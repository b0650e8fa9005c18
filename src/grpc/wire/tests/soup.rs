//! Calls as nobody sends them: bytes that are cooked from choices, mostly right and sometimes not.
//!
//! The choices are bytes too, so that cases are cheap, and shrink.

use std::vec::IntoIter;

use Kind::{Bytes, Message, Number};

/// What a message declares: numbers of fields and what they hold.
pub(super) type Shape = &'static [(u64, Kind)];

#[derive(Clone, Copy)]
pub(super) enum Kind {
    Number,
    Bytes,
    Message(Shape),
}

pub(super) const CALL: Shape = &[(1, Bytes), (2, Message(DESCRIPTOR)), (3, Number)];
const DESCRIPTOR: Shape =
    &[(1, Message(ENTRY)), (2, Message(LIMIT)), (3, Message(WRAPPER)), (4, Number)];
const ENTRY: Shape = &[(1, Bytes), (2, Bytes)];
const LIMIT: Shape = &[(1, Number), (2, Number), (3, Message(WRAPPER))];
const WRAPPER: Shape = &[(1, Number)];

/// Also what an unknown group or message holds.
const NOTHING: Shape = &[];

pub(super) struct Soup {
    choices: IntoIter<u8>,
}

impl Soup {
    pub(super) fn new(choices: Vec<u8>) -> Self {
        Self { choices: choices.into_iter() }
    }

    fn choose(&mut self, count: u8) -> u8 {
        self.choices.next().unwrap_or_default() % count
    }

    pub(super) fn message(&mut self, shape: Shape) -> Vec<u8> {
        let mut out = Vec::new();
        for _ in 0..self.choose(7) {
            self.field(shape, &mut out);
        }
        out
    }

    fn field(&mut self, shape: Shape, out: &mut Vec<u8>) {
        match (self.choose(24), shape.is_empty()) {
            // Any field of any type, those included that there are not.
            (0, _) => {
                let (number, wire_type) = (self.choose(21), self.choose(8));
                self.value(number.into(), wire_type.into(), out);
            }
            (1..4, _) | (_, true) => {
                let (number, wire_type) = (5 + self.choose(16), self.choose(8));
                let wire_type = if matches!(wire_type, 4 | 6 | 7) { 3 } else { wire_type };
                self.value(number.into(), wire_type.into(), out);
            }
            (_, false) => {
                let place = usize::from(self.choose(250)) % shape.len();
                let (number, kind) = shape[place];
                match kind {
                    Number => self.value(number, 0, out),
                    Bytes => self.value(number, 2, out),
                    Message(shape) => {
                        self.number(number << 3 | 2, out);
                        let message = self.message(shape);
                        self.length(message.len(), out);
                        out.extend(message);
                    }
                }
            }
        }
    }

    /// A field with something in it.
    fn value(&mut self, number: u64, wire_type: u64, out: &mut Vec<u8>) {
        self.number(number << 3 | wire_type, out);
        match wire_type {
            0 => {
                let value = self.any_number();
                self.number(value, out);
            }
            1 => out.extend([0; 8]),
            2 => {
                let len = usize::from(self.choose(20));
                let bytes: Vec<u8> = self.choices.by_ref().take(len).collect();
                self.length(bytes.len(), out);
                out.extend(bytes);
            }
            3 => {
                for _ in 0..self.choose(3) {
                    self.field(NOTHING, out);
                }
                let end = if self.choose(16) == 0 { number + 1 } else { number };
                self.number(end << 3 | 4, out);
            }
            5 => out.extend([0; 4]),
            _ => {}
        }
    }

    fn any_number(&mut self) -> u64 {
        let near: u64 = self.choose(3).into();
        match self.choose(10) {
            0 => u64::MAX - near,
            1 => (1 << 63) + near - 1,
            2 => u64::from(u32::MAX) + near - 1,
            3 => 1_u64.rotate_left(u32::from(self.choose(64))),
            _ => self.choose(10).into(),
        }
    }

    /// A length, which is hardly ever wrong.
    fn length(&mut self, len: usize, out: &mut Vec<u8>) {
        let len = len as u64;
        match self.choose(64) {
            1 => self.number(len + 1, out),
            2 => self.number(len.saturating_sub(1), out),
            3 => self.number(u64::MAX - len, out),
            _ => self.number(len, out),
        }
    }

    /// Mostly as short as can be; also with zeros to spare, without an end, or of too many bits.
    fn number(&mut self, mut value: u64, out: &mut Vec<u8>) {
        let begun = out.len();
        while value >= 0x80 {
            out.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        out.push(value.to_le_bytes()[0]);
        match self.choose(64) {
            1 | 2 => {
                let spare = usize::from(self.choose(11));
                if let Some(last) = out.last_mut().filter(|_| spare > 0) {
                    *last |= 0x80;
                    out.extend(std::iter::repeat_n(0x80, spare - 1));
                    out.push(0);
                }
            }
            3 => {
                out.truncate(begun);
                out.extend([0xff; 9]);
                out.push(self.choose(4));
            }
            4 => {
                let last = out.len() - 1;
                out[last] |= 0x80;
            }
            _ => {}
        }
    }
}
