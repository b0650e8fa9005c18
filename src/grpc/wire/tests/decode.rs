//! What is taken, what is refused, and what it means: as the generated types have it.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use prost::Message as _;

use super::many;
use super::soup::{CALL, Soup};
use crate::grpc::rls::request_of;
use crate::grpc::wire::{DecodeError, decode};
use crate::limit::Hits;
use crate::pb::descriptor::RateLimitDescriptor;
use crate::pb::descriptor::rate_limit_descriptor::{Entry, RateLimitOverride};
use crate::pb::rls::RateLimitRequest;
use crate::request::Request;

fn decoded(message: &[u8]) -> Result<Request<'_>, DecodeError> {
    let mut request = Request::default();
    decode(message, &mut request).map(|()| request)
}

/// Whether the bytes are a call, on which both must agree, as on all that it asks.
fn is_taken(message: &[u8]) -> Result<bool, TestCaseError> {
    match (&RateLimitRequest::decode(message), decoded(message)) {
        (Ok(call), Ok(request)) => {
            prop_assert_eq!(request_of(call), request);
            Ok(true)
        }
        (Err(_), Err(error)) => {
            prop_assert!(error.at <= message.len());
            Ok(false)
        }
        (theirs, ours) => Err(TestCaseError::fail(format!("{theirs:?}, but {ours:?}"))),
    }
}

fn agreed(message: &[u8]) -> bool {
    is_taken(message).unwrap_or_else(|error| panic!("{message:?}: {error}"))
}

/// Small numbers, which mean something, and those at which something wraps.
fn any_number() -> impl Strategy<Value = u64> {
    prop_oneof![0..10_u64, any::<u32>().prop_map(u64::from), any::<u64>(), Just(u64::MAX)]
}

fn any_number_of_32_bits() -> impl Strategy<Value = u32> {
    prop_oneof![0..10_u32, any::<u32>()]
}

prop_compose! {
    fn any_descriptor()(
        entries in vec((vec(any::<u8>(), 0..20), vec(any::<u8>(), 0..150)), 0..9),
        limit in option::weighted(0.3, (
            any_number_of_32_bits(), any_number_of_32_bits(), option::of(any_number_of_32_bits()),
        )),
        hits_addend in option::weighted(0.3, any_number()),
        is_negative_hits in any::<bool>(),
    ) -> RateLimitDescriptor {
        let entry = |(key, value): (Vec<u8>, Vec<u8>)| Entry { key: key.into(), value: value.into() };
        let limit = limit.map(|(requests_per_unit, unit, unit_multiplier)| RateLimitOverride {
            requests_per_unit, unit: unit.cast_signed(), unit_multiplier,
        });
        RateLimitDescriptor {
            entries: entries.into_iter().map(entry).collect(), limit, hits_addend, is_negative_hits,
        }
    }
}

prop_compose! {
    fn any_call()(
        domain in vec(any::<u8>(), 0..150),
        descriptors in vec(any_descriptor(), 0..7),
        hits_addend in any_number_of_32_bits(),
    ) -> RateLimitRequest {
        RateLimitRequest { domain: domain.into(), descriptors, hits_addend }
    }
}

/// One way to break bytes.
#[derive(Clone, Debug)]
enum Damage {
    Set(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Truncate(Index),
    /// What lies between two places once more, at a third.
    Repeat([Index; 3]),
}

fn any_damage() -> impl Strategy<Value = Damage> {
    let byte = prop_oneof![0..0x30_u8, any::<u8>()];
    prop_oneof![
        (any::<Index>(), byte.clone()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (any::<Index>(), byte).prop_map(|(at, byte)| Damage::Insert(at, byte)),
        any::<Index>().prop_map(Damage::Remove),
        any::<Index>().prop_map(Damage::Truncate),
        any::<[Index; 3]>().prop_map(Damage::Repeat),
    ]
}

impl Damage {
    fn inflict(self, bytes: &mut Vec<u8>) {
        let ends = bytes.len() + 1;
        match self {
            Self::Set(at, byte) if !bytes.is_empty() => bytes[at.index(ends - 1)] = byte,
            Self::Remove(at) if !bytes.is_empty() => drop(bytes.remove(at.index(ends - 1))),
            Self::Set(..) | Self::Remove(_) => {}
            Self::Insert(at, byte) => bytes.insert(at.index(ends), byte),
            Self::Truncate(at) => bytes.truncate(at.index(ends)),
            Self::Repeat([from, to, at]) => {
                let (from, to, at) = (from.index(ends), to.index(ends), at.index(ends));
                let part = bytes[from.min(to)..from.max(to)].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
}

proptest! {
    #[test]
    fn a_call_is_read_as_the_generated_types_read_it(call in any_call()) {
        let message = call.encode_to_vec();
        let request = decoded(&message).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(request_of(&call), request);
    }

    #[test]
    fn a_damaged_call_is_read_or_refused_alike(
        call in any_call(), damages in vec(any_damage(), 1..4),
    ) {
        let mut message = call.encode_to_vec();
        for damage in damages {
            damage.inflict(&mut message);
        }
        is_taken(&message)?;
    }
}

proptest! {
    #![proptest_config(many())]

    #[test]
    fn fields_in_any_order_number_and_shape_are_read_or_refused_alike(
        choices in vec(any::<u8>(), 0..250),
    ) {
        is_taken(&Soup::new(choices).message(CALL))?;
    }

    #[test]
    fn random_bytes_are_read_or_refused_alike(
        message in prop_oneof![
            vec(any::<u8>(), 0..40),
            vec(select(b"\x00\x01\x02\x03\x04\x05\x08\x0a\x12\x18\x1a\x20\x22\x2b\x2c\x80\xff".as_slice()), 0..40),
        ],
    ) {
        is_taken(&message)?;
    }
}

#[test]
fn soups_are_both_taken_and_refused() {
    // Otherwise the property above would say little.
    let soup = |seed: u64| {
        let mut state = seed;
        let choices = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_le_bytes()[7]
        });
        Soup::new(choices.take(250).collect()).message(CALL)
    };
    let taken = (0..2_000).filter(|seed| agreed(&soup(*seed))).count();
    assert!((400..1_600).contains(&taken), "{taken} of 2000");
}

/// A message within another: its key and length before it.
fn within(key: u8, message: &[u8]) -> Vec<u8> {
    let len = message.len();
    let mut out = vec![key];
    prost::encode_length_delimiter(len, &mut out).unwrap();
    out.extend(message);
    out
}

#[test]
fn groups_may_lie_as_deep_as_the_library_lets_them() {
    let groups = |depth: usize| [vec![0x7b; depth], vec![0x7c; depth]].concat();
    let with_number = |depth: usize| [vec![0x7b; depth], vec![0x78, 1], vec![0x7c; depth]].concat();
    // What lies around takes from the depth that is left.
    let places: [&[u8]; 5] = [&[], &[0x12], &[0x12, 0x0a], &[0x12, 0x12], &[0x12, 0x12, 0x1a]];
    for place in places {
        let at = |message: Vec<u8>| {
            place.iter().rev().fold(message, |message, key| within(*key, &message))
        };
        let left = 100 - place.len();
        assert!(agreed(&at(groups(left))), "{place:?}");
        assert!(!agreed(&at(groups(left + 1))), "{place:?}");
        assert!(agreed(&at(with_number(left - 1))), "{place:?}");
        assert!(!agreed(&at(with_number(left))), "{place:?}");
    }
    assert!(!agreed(&[0x7b; 100_000]), "and no stack overflows");
}

#[test]
fn the_edges_of_the_format_are_where_the_library_has_them() {
    const HITS_FIELD: u8 = 0x18;
    let number = |bytes: &[u8]| [&[HITS_FIELD], bytes].concat();
    let taken: [&[u8]; 12] = [
        &[],
        &number(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        &number(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00]),
        // A key with zeros to spare, and the largest one.
        &[0x98, 0x80, 0x00, 0x05],
        &[0xf8, 0xff, 0xff, 0xff, 0x0f, 0x00],
        // Values of every type that nobody knows.
        &[0x78, 0x80, 0x01],
        &[0x79, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0x7a, 2, 0xff, 0xff],
        &[0x7b, 0x2a, 1, 0xff, 0x7c],
        &[0x7d, 1, 2, 3, 4],
        // Empty messages within one another.
        &[0x12, 0x00],
        &[0x12, 0x04, 0x12, 0x02, 0x1a, 0x00],
    ];
    for message in taken {
        assert!(agreed(message), "{message:?}");
    }
    let refused: [(&[u8], &str); 16] = [
        (&[HITS_FIELD], "a number that does not end, or is of more than 64 bits, at byte 1"),
        (
            &number(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]),
            "a number that does not end, or is of more than 64 bits, at byte 1",
        ),
        (
            &number(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00]),
            "a number that does not end, or is of more than 64 bits, at byte 1",
        ),
        (&[0x00, 0x00], "a field number that is 0 or too large at byte 0"),
        (&[0x12, 0x02, 0x07, 0x00], "a field number that is 0 or too large at byte 2"),
        (&[0xf8, 0xff, 0xff, 0xff, 0x1f, 0x00], "a field number that is 0 or too large at byte 0"),
        (&[0x0a, 0x02, 0x61], "a field that is longer than what is left at byte 1"),
        (&[0x0a, 0x80], "a number that does not end, or is of more than 64 bits, at byte 1"),
        // The length of an entry that ends after its descriptor, and before the call.
        (
            &[0x12, 0x02, 0x0a, 0x01, 0x0a, 0x00],
            "a field that is longer than what is left at byte 3",
        ),
        (&[0x7d, 1, 2, 3], "a field that is longer than what is left at byte 0"),
        (&[0x08, 0x00], "a field that is not of the type it is declared with at byte 0"),
        (
            &[0x0a, 0x01, 0x61, 0x1d, 0, 0, 0, 0],
            "a field that is not of the type it is declared with at byte 3",
        ),
        (&[0x7e], "a field that is not of the type it is declared with at byte 0"),
        (&[0x7c], "the end of a group that has not begun at byte 0"),
        (&[0x7b, 0x74], "the end of a group that has not begun at byte 1"),
        (&[0x7b; 101], "groups that lie too deep in one another at byte 100"),
    ];
    for (message, said) in refused {
        assert!(!agreed(message), "{message:?}");
        assert_eq!(decoded(message).unwrap_err().to_string(), said, "{message:?}");
    }
}

#[test]
fn messages_that_come_twice_add_up_and_numbers_do_not() {
    let limit = |fields: &[u8]| within(0x12, fields);
    let descriptor = [
        within(0x1a, &[0x08, 9]),
        within(0x1a, &[]),
        limit(&[0x08, 5, 0x10, 2]),
        limit(&[0x1a, 0x02, 0x08, 6]),
        limit(&[0x10, 3, 0x1a, 0x00]),
        vec![0x20, 1, 0x20, 0],
    ];
    let message = [within(0x12, &descriptor.concat()), vec![0x18, 3, 0x18, 4]].concat();
    assert!(agreed(&message));
    let request = decoded(&message).unwrap();
    assert_eq!(request.descriptors[0].hits, Hits::Take(9));
    assert_eq!(request.descriptors[0].limit.unwrap().to_string(), "5 per 6 hours");
}

#[test]
fn hits_of_the_call_count_for_descriptors_without_their_own_wherever_they_stand() {
    let (own, bare, negative) = ([0x12, 4, 0x1a, 2, 0x08, 2], [0x12, 0], [0x12, 2, 0x20, 1]);
    let descriptors = [own.as_slice(), &bare, &negative, &own, &bare].concat();
    let (take, back) = (Hits::Take, Hits::GiveBack);
    for (message, hits) in [
        ([descriptors.as_slice(), &[0x18, 7]].concat(), 7),
        ([&[0x18, 7], descriptors.as_slice()].concat(), 7),
        ([descriptors.as_slice(), &[0x18, 0]].concat(), 1),
        ([&[0x18, 7], descriptors.as_slice(), &[0x18, 0]].concat(), 1),
    ] {
        assert!(agreed(&message));
        let request = decoded(&message).unwrap();
        let told: Vec<Hits> = request.descriptors.iter().map(|it| it.hits).collect();
        assert_eq!(told, [take(2), take(hits), back(hits), take(2), take(hits)]);
    }
}
