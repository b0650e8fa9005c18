//! `RateLimitRequest`, its bytes to a `Request` that borrows them, in one pass.
//!
//! Fields come in any order, and more than once: of numbers and bytes the last one stays, messages
//! add up. Keys are compared as a whole, so that a field of the wrong type is an unknown key at first.

use smallvec::SmallVec;

use super::reader::{DecodeError, Fault, Reader};
use crate::grpc::values::{hits_of, limit_of};
use crate::limit::Hits;
use crate::pb::descriptor::rate_limit_descriptor::RateLimitOverride;
use crate::request::{Descriptor, Entry, Request};

/// The key of a field that is a number.
const fn number(field: u64) -> u64 {
    field << 3
}

/// The key of a field that has a length: bytes or a message.
const fn sized(field: u64) -> u64 {
    field << 3 | 2
}

/// The keys of what nearly all calls consist of.
const DOMAIN: u64 = sized(1);
const DESCRIPTORS: u64 = sized(2);
const ENTRIES: u64 = sized(1);
const KEY: u64 = sized(1);
const VALUE: u64 = sized(2);

/// Fills in what a call asks, borrowed from its message. A request is large, so it is made where
/// it is to stay.
pub fn decode<'m>(message: &'m [u8], request: &mut Request<'m>) -> Result<(), DecodeError> {
    read(request, Reader::new(message)).map_err(|fault| fault.of(message))
}

/// Fills in a request where it lies: it is large to move, as are its descriptors. Fields that are
/// short and stand where callers mostly put them are taken at a glance.
fn read<'a>(request: &mut Request<'a>, mut reader: Reader<'a>) -> Result<(), Fault> {
    const HITS_ADDEND: u64 = number(3);
    let mut hits_addend = 0;
    // Few descriptors have hits of their own; these keep them when those of the call come after.
    let mut with_own_hits = SmallVec::<[usize; 4]>::new();
    if let Some(domain) = reader.short(DOMAIN) {
        request.domain = domain;
    }
    while !reader.is_empty() {
        let field = reader;
        let descriptor = match reader.short(DESCRIPTORS) {
            Some(rest) => reader.within(rest),
            None => match reader.varint()? {
                DESCRIPTORS => reader.message()?,
                DOMAIN => {
                    request.domain = reader.bytes()?;
                    continue;
                }
                HITS_ADDEND => {
                    hits_addend = lower_half(reader.varint()?);
                    continue;
                }
                _ => {
                    reader = field.past_unknown(3)?;
                    continue;
                }
            },
        };
        let place = request.descriptors.len();
        request.descriptors.push(Descriptor {
            entries: SmallVec::new(),
            hits: Hits::Take(1),
            limit: None,
        });
        if read_descriptor(&mut request.descriptors[place], descriptor)? {
            with_own_hits.push(place);
        }
    }
    if hits_addend > 1 {
        let mut with_own_hits = with_own_hits.into_iter().peekable();
        for (place, descriptor) in request.descriptors.iter_mut().enumerate() {
            if with_own_hits.next_if_eq(&place).is_none() {
                let is_negative = matches!(descriptor.hits, Hits::GiveBack(_));
                descriptor.hits = hits_of(None, is_negative, hits_addend);
            }
        }
    }
    Ok(())
}

/// Fills in one descriptor; whether its hits are its own.
#[inline]
fn read_descriptor<'a>(
    descriptor: &mut Descriptor<'a>,
    mut reader: Reader<'a>,
) -> Result<bool, Fault> {
    while let Some(rest) = reader.short(ENTRIES) {
        descriptor.entries.push(entry(reader.within(rest))?);
    }
    if reader.is_empty() { Ok(false) } else { read_fields(descriptor, reader) }
}

/// What is left of a descriptor after the entries that it begins with.
fn read_fields<'a>(descriptor: &mut Descriptor<'a>, mut reader: Reader<'a>) -> Result<bool, Fault> {
    const LIMIT: u64 = sized(2);
    const HITS_ADDEND: u64 = sized(3);
    const IS_NEGATIVE_HITS: u64 = number(4);
    let mut limit = None;
    let mut hits_addend = None;
    let mut is_negative_hits = false;
    while !reader.is_empty() {
        let field = reader;
        match reader.varint()? {
            ENTRIES => descriptor.entries.push(entry(reader.message()?)?),
            LIMIT => add_limit(limit.get_or_insert_default(), reader.message()?)?,
            HITS_ADDEND => add_wrapped(hits_addend.get_or_insert_default(), reader.message()?)?,
            IS_NEGATIVE_HITS => is_negative_hits = reader.varint()? != 0,
            _ => reader = field.past_unknown(4)?,
        }
    }
    descriptor.hits = hits_of(hits_addend, is_negative_hits, 0);
    descriptor.limit = limit.as_ref().and_then(limit_of);
    Ok(hits_addend.is_some())
}

#[inline]
fn entry(mut reader: Reader<'_>) -> Result<Entry<'_>, Fault> {
    let key = reader.short(KEY).unwrap_or_default();
    let value = reader.short(VALUE).unwrap_or_default();
    let mut entry = Entry { key, value };
    if !reader.is_empty() {
        read_entry(&mut entry, reader)?;
    }
    Ok(entry)
}

/// What is left of an entry that does not consist of a short key and a short value.
#[inline(never)]
fn read_entry<'a>(entry: &mut Entry<'a>, mut reader: Reader<'a>) -> Result<(), Fault> {
    while !reader.is_empty() {
        let field = reader;
        match reader.varint()? {
            KEY => entry.key = reader.bytes()?,
            VALUE => entry.value = reader.bytes()?,
            _ => reader = field.past_unknown(2)?,
        }
    }
    Ok(())
}

#[cold]
fn add_limit(limit: &mut RateLimitOverride, mut reader: Reader<'_>) -> Result<(), Fault> {
    const REQUESTS_PER_UNIT: u64 = number(1);
    const UNIT: u64 = number(2);
    const UNIT_MULTIPLIER: u64 = sized(3);
    while !reader.is_empty() {
        let field = reader;
        match reader.varint()? {
            REQUESTS_PER_UNIT => limit.requests_per_unit = lower_half(reader.varint()?),
            UNIT => limit.unit = lower_half(reader.varint()?).cast_signed(),
            UNIT_MULTIPLIER => {
                let mut multiplier = limit.unit_multiplier.map_or(0, u64::from);
                add_wrapped(&mut multiplier, reader.message()?)?;
                limit.unit_multiplier = Some(lower_half(multiplier));
            }
            _ => reader = field.past_unknown(3)?,
        }
    }
    Ok(())
}

/// A number that is a message, so that it can be absent.
#[cold]
fn add_wrapped(value: &mut u64, mut reader: Reader<'_>) -> Result<(), Fault> {
    const VALUE: u64 = number(1);
    while !reader.is_empty() {
        let field = reader;
        match reader.varint()? {
            VALUE => *value = reader.varint()?,
            _ => reader = field.past_unknown(1)?,
        }
    }
    Ok(())
}

/// Numbers of 32 bits are cut to them.
#[expect(clippy::cast_possible_truncation, reason = "it is meant to cut")]
fn lower_half(number: u64) -> u32 {
    number as u32
}
