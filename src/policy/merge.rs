//! Documents of one domain as one policy, as envoyproxy/ratelimit has it with
//! `MERGE_DOMAIN_CONFIG`.
//!
//! Only `descriptors:` documents merge, in the order they are read in; what stands in two of them
//! is an error, as it is within one.

use std::collections::HashMap;

use crate::policy::diagnostic::{Diagnostic, Severity};
use crate::policy::envoy::{label, value_text};
use crate::policy::model::{Body, Node, Place, Policy};

/// Joins the root lists of documents with the same domain.
pub(super) fn merge(policies: Vec<Policy>) -> (Vec<Policy>, Vec<Diagnostic>) {
    let mut merged: Vec<Policy> = Vec::with_capacity(policies.len());
    let mut positions: HashMap<String, usize> = HashMap::new();
    let mut found = Vec::new();
    for policy in policies {
        let Body::Descriptors(nodes) = policy.body else {
            merged.push(policy);
            continue;
        };
        match positions.get(&policy.domain.value).map(|position| &mut merged[*position].body) {
            Some(Body::Descriptors(held)) => join(held, nodes, &mut found),
            Some(Body::Native(_)) | None => {
                positions.insert(policy.domain.value.clone(), merged.len());
                merged.push(Policy { body: Body::Descriptors(nodes), ..policy });
            }
        }
    }
    (merged, found)
}

fn join(held: &mut Vec<Node>, more: Vec<Node>, found: &mut Vec<Diagnostic>) {
    let slot = |node: &Node| (node.key.clone(), value_text(&node.value));
    let firsts: HashMap<_, Place> =
        held.iter().map(|node| (slot(node), node.place.clone())).collect();
    for node in &more {
        if let Some(first) = firsts.get(&slot(node)) {
            found.push(Diagnostic {
                severity: Severity::Error,
                code: "duplicate-descriptor",
                message: format!("{} stands in two documents of this domain", label(node)),
                place: node.place.clone(),
                related: Some((first.clone(), "first written here".to_owned())),
                hint: "keep one of the two, and put the `descriptors` of both into it".to_owned(),
            });
        }
    }
    held.extend(more);
}
