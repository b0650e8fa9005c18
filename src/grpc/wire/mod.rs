//! The one hot method, bytes to core and back, without messages in between.
//!
//! Both ways do exactly what the generated types do with [`request_of`](super::rls::request_of) and
//! [`response_of`](super::rls::response_of), which the tests hold them against.

mod backwards;
mod decode;
mod encode;
mod reader;
#[cfg(test)]
mod tests;

pub use backwards::Backwards;
pub use decode::decode;
pub use encode::encode;
pub use reader::DecodeError;
