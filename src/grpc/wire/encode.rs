//! A decision to the bytes of its `RateLimitResponse`, without the message.
//!
//! The same bytes as the generated types write, in one pass: of every message within another the
//! length is worked out first. What is zero or empty is not written, a message that is there always.

use bytes::BufMut;
use prost::Message as _;
use prost_types::Struct;

use crate::decide::{Answer, Decision, Status};
use crate::grpc::values;

/// The key of a field that is a number.
const fn number(field: u8) -> u8 {
    field << 3
}

/// The key of a field that has a length: bytes or a message.
const fn sized(field: u8) -> u8 {
    field << 3 | 2
}

/// How many bytes [`encode`] writes of the same.
pub fn encoded_len(
    decision: &Decision<'_>,
    answer: &Answer<'_>,
    metadata: Option<&Struct>,
) -> usize {
    let statuses = decision.statuses.iter().map(|it| sized_len(StatusOnWire::of(it).len()));
    let headers = answer.headers.iter().map(|it| sized_len(header_len(it)));
    number_len(code(decision.code))
        + statuses.sum::<usize>()
        + headers.sum::<usize>()
        + filled_len(&answer.body)
        + metadata.map_or(0, |metadata| sized_len(metadata.encoded_len()))
}

/// Writes the response. `out` grows or has room for [`encoded_len`].
pub fn encode(
    out: &mut impl BufMut,
    decision: &Decision<'_>,
    answer: &Answer<'_>,
    metadata: Option<&Struct>,
) {
    put_number(out, number(1), code(decision.code));
    for status in &decision.statuses {
        StatusOnWire::of(status).put(out);
    }
    for header in answer.headers.iter() {
        put_key(out, sized(3), header_len(header));
        put_filled(out, sized(1), header.0.as_bytes());
        put_filled(out, sized(2), header.1.as_bytes());
    }
    put_filled(out, sized(5), &answer.body);
    if let Some(metadata) = metadata {
        out.put_u8(sized(6));
        let written = metadata.encode_length_delimited(out);
        debug_assert!(written.is_ok(), "there is room");
    }
}

/// What a status says, in the types of the wire.
#[derive(Clone, Copy)]
struct StatusOnWire<'s> {
    code: u64,
    limit: Option<LimitOnWire<'s>>,
    remaining: u64,
    /// Seconds and nanoseconds.
    reset: Option<(u64, u64)>,
}

#[derive(Clone, Copy)]
struct LimitOnWire<'s> {
    amount: u64,
    unit: u64,
    name: &'s str,
    multiplier: Option<u64>,
}

impl<'s> StatusOnWire<'s> {
    #[inline]
    fn of(status: &Status<'s>) -> Self {
        let limit = status.binding.as_ref().map(|binding| {
            let (unit, multiplier) = values::unit_of(&binding.limit);
            LimitOnWire {
                amount: values::saturated(binding.limit.amount).into(),
                unit: enumerated(unit.into()),
                name: values::name_of(binding),
                multiplier: multiplier.map(u64::from),
            }
        });
        let reset = status.binding.and_then(|binding| binding.reset).map(values::duration_of);
        Self {
            code: code(status.code),
            limit,
            remaining: values::remaining_of(status).into(),
            reset: reset.map(|it| (it.seconds.cast_unsigned(), enumerated(it.nanos))),
        }
    }

    #[inline]
    fn len(&self) -> usize {
        number_len(self.code)
            + self.limit.map_or(0, |limit| sized_len(limit.len()))
            + number_len(self.remaining)
            + self.reset.map_or(0, |reset| sized_len(duration_len(reset)))
    }

    /// Writes the message with its key: what comes before the name, the name, and what comes after.
    #[inline]
    fn put(&self, out: &mut impl BufMut) {
        put_short(out, |out| {
            put_key(out, sized(2), self.len());
            put_number(out, number(1), self.code);
            if let Some(limit) = &self.limit {
                put_key(out, sized(2), limit.len());
                put_number(out, number(1), limit.amount);
                put_number(out, number(2), limit.unit);
                if !limit.name.is_empty() {
                    put_key(out, sized(3), limit.name.len());
                }
            }
        });
        out.put_slice(self.limit.map_or("", |limit| limit.name).as_bytes());
        put_short(out, |out| {
            if let Some(multiplier) = self.limit.and_then(|limit| limit.multiplier) {
                put_key(out, sized(4), number_len(multiplier));
                put_number(out, number(1), multiplier);
            }
            put_number(out, number(3), self.remaining);
            if let Some(reset) = self.reset {
                put_key(out, sized(4), duration_len(reset));
                put_number(out, number(1), reset.0);
                put_number(out, number(2), reset.1);
            }
        });
    }
}

impl LimitOnWire<'_> {
    #[inline]
    fn len(&self) -> usize {
        number_len(self.amount)
            + number_len(self.unit)
            + filled_len(self.name.as_bytes())
            + self.multiplier.map_or(0, |multiplier| sized_len(number_len(multiplier)))
    }
}

fn code(code: crate::decide::Code) -> u64 {
    enumerated(values::code_of(code).into())
}

/// Numbers that may be negative are written as 64 bits.
fn enumerated(number: i32) -> u64 {
    i64::from(number).cast_unsigned()
}

fn duration_len((seconds, nanos): (u64, u64)) -> usize {
    number_len(seconds) + number_len(nanos)
}

fn header_len((name, value): (&str, &str)) -> usize {
    filled_len(name.as_bytes()) + filled_len(value.as_bytes())
}

/// Of a number with its key.
#[inline]
fn number_len(value: u64) -> usize {
    if value == 0 { 0 } else { 1 + varint_len(value) }
}

/// Of so many bytes with their key and length.
#[inline]
fn sized_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

#[inline]
fn filled_len(bytes: &[u8]) -> usize {
    if bytes.is_empty() { 0 } else { sized_len(bytes.len()) }
}

/// Seven bits go into each byte, and zero takes one too.
#[inline]
fn varint_len(value: u64) -> usize {
    let bits = u64::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// Room for six numbers, each with its key.
const SHORT_LEN_MAX: usize = 6 * 11;

/// Puts small pieces together before they go out, because `out` looks for room at every one.
#[inline]
fn put_short(out: &mut impl BufMut, write: impl FnOnce(&mut &mut [u8])) {
    let mut room = [0; SHORT_LEN_MAX];
    let mut rest = room.as_mut_slice();
    write(&mut rest);
    let len = SHORT_LEN_MAX - rest.len();
    out.put_slice(&room[..len]);
}

#[inline]
fn put_number(out: &mut impl BufMut, key: u8, value: u64) {
    if value != 0 {
        out.put_u8(key);
        put_varint(out, value);
    }
}

#[inline]
fn put_key(out: &mut impl BufMut, key: u8, len: usize) {
    out.put_u8(key);
    put_varint(out, len as u64);
}

#[inline]
fn put_filled(out: &mut impl BufMut, key: u8, bytes: &[u8]) {
    if !bytes.is_empty() {
        put_key(out, key, bytes.len());
        out.put_slice(bytes);
    }
}

#[inline]
fn put_varint(out: &mut impl BufMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.put_u8(value.to_le_bytes()[0]);
}
