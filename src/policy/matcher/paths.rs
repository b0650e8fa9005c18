//! A tree of path templates: a path in, everything hung on the templates that match it out.
//!
//! Every node is visited at most once per path, so the work is bounded by the tree, whatever the
//! path; nothing is compared with templates that differ in an earlier segment.

use super::pattern::{CompiledSegment, CompiledTemplate};
use crate::policy::words::ByText;

#[derive(Debug, Default)]
pub struct PathTree {
    root: PathNode,
}

#[derive(Debug, Default)]
struct PathNode {
    literals: ByText<PathNode>,
    capture: Option<Box<PathNode>>,
    /// What hangs on a template that ends here.
    exact: Vec<u32>,
    /// What hangs on a template that ends here with `**`.
    rest: Vec<u32>,
}

impl PathTree {
    /// Hangs a rule, or whatever else is known by number, on a template. Numbers only grow.
    pub fn insert(&mut self, template: &CompiledTemplate, number: u32) {
        let mut node = &mut self.root;
        for segment in &template.segments {
            node = match segment {
                CompiledSegment::Literal(text) => node.literals.or_default(text),
                CompiledSegment::Capture(_) => node.capture.get_or_insert_default(),
            };
        }
        let numbers = if template.has_rest { &mut node.rest } else { &mut node.exact };
        numbers.push(number);
    }

    /// Calls `found` with each number one of whose templates matches.
    pub fn find(&self, path: &[&[u8]], found: &mut impl FnMut(u32)) {
        self.root.find(path, found);
    }

    /// The smallest number one of whose templates matches.
    pub fn first(&self, path: &[&[u8]]) -> Option<u32> {
        self.root.first(path)
    }
}

impl PathNode {
    fn find(&self, path: &[&[u8]], found: &mut impl FnMut(u32)) {
        self.rest.iter().copied().for_each(&mut *found);
        let Some((first, rest)) = path.split_first() else {
            self.exact.iter().copied().for_each(found);
            return;
        };
        if let Some(node) = self.literals.get(first) {
            node.find(rest, found);
        }
        if let Some(node) = &self.capture {
            node.find(rest, found);
        }
    }

    /// Of one template's numbers the first is the smallest, because they only grow.
    fn first(&self, path: &[&[u8]]) -> Option<u32> {
        let here = self.rest.first().copied();
        let Some((first, rest)) = path.split_first() else {
            return here.into_iter().chain(self.exact.first().copied()).min();
        };
        let literal = self.literals.get(first).and_then(|node| node.first(rest));
        let captured = self.capture.as_ref().and_then(|node| node.first(rest));
        [here, literal, captured].into_iter().flatten().min()
    }
}
