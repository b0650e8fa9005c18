//! A decision to the bytes of its `RateLimitResponse`, without the message.
//!
//! The same bytes as the generated types write. They are written from the last to the first: the
//! length of a message within another is known once it is there, and is put in front of it.

use prost::Message as _;
use prost_types::Struct;

use super::backwards::Backwards;
use crate::decide::{Answer, Binding, Decision, Status};
use crate::grpc::values;

/// What a status takes at the most, without the name of its limit.
const STATUS_SIZE_MAX: usize = 96;
/// What a header takes at the most, without its name and value.
const HEADER_SIZE_MAX: usize = 18;

/// Writes the response, with room in front of it for so many bytes more.
pub fn encode(
    decision: &Decision<'_>,
    answer: &Answer<'_>,
    metadata: Option<&Struct>,
    room_before: usize,
) -> Backwards {
    let mut out = Backwards::with_capacity(size_max(decision, answer) + room_before);
    if let Some(metadata) = metadata {
        out.text(6, &metadata.encode_to_vec());
    }
    filled(&mut out, 5, &answer.body);
    for (name, value) in answer.headers.iter().rev() {
        out.sized(3, |out| {
            filled(out, 2, value.as_bytes());
            filled(out, 1, name.as_bytes());
        });
    }
    for status in decision.statuses.iter().rev() {
        out.sized(2, |out| put_status(out, status, decision.binding_of(status)));
    }
    number(&mut out, 1, code(decision.code));
    out
}

/// Of all but metadata, which is rare: so that memory is asked for once.
fn size_max(decision: &Decision<'_>, answer: &Answer<'_>) -> usize {
    let name = |binding: Option<&Binding<'_>>| binding.map_or(0, |it| values::name_of(it).len());
    let size = |status| STATUS_SIZE_MAX + name(decision.binding_of(status));
    let statuses = decision.statuses.iter().map(size);
    let headers = answer.headers.iter();
    let headers = headers.map(|(name, value)| HEADER_SIZE_MAX + name.len() + value.len());
    let body = STATUS_SIZE_MAX + answer.body.len();
    body + statuses.sum::<usize>() + headers.sum::<usize>()
}

fn put_status(out: &mut Backwards, status: &Status, binding: Option<&Binding<'_>>) {
    if let Some(reset) = binding.and_then(|binding| binding.reset) {
        let reset = values::duration_of(reset);
        out.sized(4, |out| {
            number(out, 2, enumerated(reset.nanos));
            number(out, 1, reset.seconds.cast_unsigned());
        });
    }
    number(out, 3, values::remaining_of(status, binding).into());
    if let Some(binding) = binding {
        let (unit, multiplier) = values::unit_of(&binding.limit);
        out.sized(2, |out| {
            if let Some(multiplier) = multiplier {
                out.sized(4, |out| number(out, 1, multiplier.into()));
            }
            filled(out, 3, values::name_of(binding).as_bytes());
            number(out, 2, enumerated(unit.into()));
            number(out, 1, values::saturated(binding.limit.amount).into());
        });
    }
    number(out, 1, code(status.code));
}

fn code(code: crate::decide::Code) -> u64 {
    enumerated(values::code_of(code).into())
}

/// Numbers that may be negative are written as 64 bits.
fn enumerated(number: i32) -> u64 {
    i64::from(number).cast_unsigned()
}

/// What is zero is not written.
#[inline]
fn number(out: &mut Backwards, field: u8, value: u64) {
    if value != 0 {
        out.number(field, value);
    }
}

/// What is empty is not written.
#[inline]
fn filled(out: &mut Backwards, field: u8, bytes: &[u8]) {
    if !bytes.is_empty() {
        out.text(field, bytes);
    }
}
