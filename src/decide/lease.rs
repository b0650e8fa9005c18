//! Leases as they travel: out in the metadata of an admitted request, back as an entry.
//!
//! The text names counters and leases and nothing else, so that a lease is given back even when
//! the request that comes back matches no rule any more. Text that is no lease names none.

use std::fmt::Write;
use std::num::NonZeroU64;

use super::CounterKey;
use crate::limit::LeaseId;

/// The key under which a lease leaves in metadata and comes back as an entry.
pub const ENTRY: &[u8] = b"lease";

/// One lease of one counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    pub counter: CounterKey,
    pub id: LeaseId,
}

/// Digits of one lease: a counter's key and an id, in hexadecimal.
const KEY_DIGITS: usize = 32;
const DIGITS: usize = KEY_DIGITS + 16;
/// Of one text: far more than the concurrency limits that apply to a request.
const MOST: usize = 1024;

pub fn write(leases: &[Lease]) -> String {
    let mut text = String::with_capacity(leases.len() * DIGITS);
    for lease in leases {
        // Writing to a string cannot fail.
        let _ = write!(text, "{:032x}{:016x}", lease.counter.0, lease.id.0);
    }
    text
}

/// The leases that a text names: none if any part of it is no lease.
pub fn read(text: &[u8]) -> Vec<Lease> {
    let is_written =
        !text.is_empty() && text.len().is_multiple_of(DIGITS) && text.len() <= MOST * DIGITS;
    let leases = is_written.then(|| text.chunks(DIGITS).map(read_one).collect());
    leases.flatten().unwrap_or_default()
}

fn read_one(digits: &[u8]) -> Option<Lease> {
    let text = std::str::from_utf8(digits).ok()?;
    if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let (key, id) = text.split_at_checked(KEY_DIGITS)?;
    let counter = CounterKey(u128::from_str_radix(key, 16).ok()?);
    let id = NonZeroU64::new(u64::from_str_radix(id, 16).ok()?)?;
    Some(Lease { counter, id: LeaseId(id) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(counter: u128, id: u64) -> Lease {
        Lease { counter: CounterKey(counter), id: LeaseId(NonZeroU64::new(id).unwrap()) }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let leases = [lease(0, 1), lease(u128::MAX, u64::MAX), lease(7 << 100, 12)];
        assert_eq!(read(write(&leases).as_bytes()), leases);
        assert_eq!(read(write(&leases[..1]).as_bytes()), leases[..1]);
    }

    #[test]
    fn what_is_no_lease_names_none() {
        let good = write(&[lease(5, 6)]);
        let zero = format!("{:048x}", 0);
        let odd = format!("{good}0");
        let sign = format!("+{}", &good[1..]);
        let one_bad = format!("{good}{zero}");
        let many = good.repeat(MOST + 1);
        for text in ["", "lease", &zero, &odd, &sign, &one_bad, &many, &"é".repeat(24)] {
            assert_eq!(read(text.as_bytes()), [], "{text}");
        }
        assert_eq!(read(&[0xff; DIGITS]), []);
    }
}
