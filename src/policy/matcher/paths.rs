//! A tree of path templates: a path in, everything hung on the templates that match it out.
//!
//! Every node is visited at most once per path, so the work is bounded by the tree, whatever the
//! path; nothing is compared with templates that differ in an earlier segment.

use hashbrown::HashMap;

use super::pattern::{CompiledSegment, CompiledTemplate};

#[derive(Debug, Default)]
pub struct PathTree {
    root: PathNode,
}

#[derive(Debug, Default)]
struct PathNode {
    literals: HashMap<Box<[u8]>, PathNode>,
    capture: Option<Box<PathNode>>,
    /// Rules whose template ends here.
    exact: Vec<u32>,
    /// Rules whose template ends here with `**`.
    rest: Vec<u32>,
}

impl PathTree {
    pub fn insert(&mut self, template: &CompiledTemplate, rule: u32) {
        let mut node = &mut self.root;
        for segment in &template.segments {
            node = match segment {
                CompiledSegment::Literal(text) => node.literals.entry(text.clone()).or_default(),
                CompiledSegment::Capture(_) => node.capture.get_or_insert_default(),
            };
        }
        let rules = if template.has_rest { &mut node.rest } else { &mut node.exact };
        rules.push(rule);
    }

    /// Calls `found` with each rule one of whose templates matches.
    pub fn find(&self, path: &[&[u8]], found: &mut impl FnMut(u32)) {
        self.root.find(path, found);
    }
}

impl PathNode {
    fn find(&self, path: &[&[u8]], found: &mut impl FnMut(u32)) {
        self.rest.iter().copied().for_each(&mut *found);
        let Some((first, rest)) = path.split_first() else {
            self.exact.iter().copied().for_each(found);
            return;
        };
        if let Some(node) = self.literals.get(*first) {
            node.find(rest, found);
        }
        if let Some(node) = &self.capture {
            node.find(rest, found);
        }
    }
}
