//! The history of usage, compared with the ledger over a crash.
//!
//! Every crash cycle passes through here: what the history says is held against the calls of that cycle.

use crate::load::Call;
use crate::node::Node;

/// What the line of figures says of it. There is no interface to ask yet, so it says that nothing was read.
pub(crate) fn compare(_node: &Node, _calls: &[Call]) -> &'static str {
    "unread"
}
