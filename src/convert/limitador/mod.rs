//! Limitador: its limits file as drafts of native policies, one for each namespace.
//!
//! A limit becomes a rule that applies to the same requests and counts the same, or a note that
//! says why it does not; never a rule that limits less or more without a word.

mod cel;
mod conditions;
mod drafts;
mod file;
mod keys;
mod names;
mod reading;

#[cfg(test)]
mod tests;

use crate::convert::draft::Draft;
pub(super) use file::{is_like_limit, is_limit, items};

/// The drafts of a limits file, in the order in which its namespaces come; or all that is wrong
/// with the file, each with its place.
pub(super) fn read(text: &str) -> Result<Vec<Draft>, Vec<String>> {
    file::read(text).map(|limits| drafts::drafts(&limits))
}
