//! What a caller asks: descriptors of byte entries, and the hits to take.
//!
//! Keys and values are bytes because Envoy sends raw header bytes; nothing here may assume UTF-8.

use smallvec::SmallVec;

use crate::limit::{Hits, Limit};

/// One call, borrowed from the message it came in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request<'a> {
    pub domain: &'a [u8],
    pub descriptors: SmallVec<[Descriptor<'a>; 4]>,
}

/// One set of entries that is limited by itself; the decision is joint over all of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor<'a> {
    pub entries: SmallVec<[Entry<'a>; 6]>,
    pub hits: Hits,
    /// A limit that the caller brings along, used instead of every configured one.
    pub limit: Option<Limit>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    pub key: &'a [u8],
    pub value: &'a [u8],
}
