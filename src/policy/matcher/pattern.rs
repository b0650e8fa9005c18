//! Patterns compiled for the request path: one attribute's value in, yes or no out.
//!
//! An absent attribute matches `absent` and every negation of a pattern it does not match,
//! nothing else.

use hashbrown::HashSet;
use ipnet::IpNet;
use smallvec::SmallVec;

use super::attributes::{Attributes, Slot};
use super::paths::PathTree;
use crate::policy::model::Pattern;
use crate::policy::template::{Segment, Template};
use crate::policy::words::ByText;

#[derive(Debug)]
pub enum CompiledPattern {
    OneOf(Texts),
    Prefix(Box<[u8]>),
    Any(Vec<CompiledPattern>),
    Not(Box<CompiledPattern>),
    Present,
    Absent,
    /// The first that matches lends its captures to the rule.
    Endpoints(Templates),
    Network(IpNet),
}

/// Exact values.
#[derive(Debug)]
pub struct Texts {
    all: Vec<Box<[u8]>>,
    /// All of them, where they are too many to be compared one by one.
    set: Option<Box<HashSet<Box<[u8]>>>>,
}

/// Templates of which the first that matches counts.
#[derive(Debug)]
pub struct Templates {
    all: Vec<CompiledTemplate>,
    by_path: ByPath,
}

/// How the positions of templates are found.
#[derive(Debug)]
enum ByPath {
    /// They are so few that each is tried.
    Tried,
    Tree(Box<PathTree>),
    /// Each is for one path alone.
    Whole(ByText<Option<usize>>),
}

/// A template with its captures resolved to slots.
#[derive(Debug, PartialEq, Eq)]
pub struct CompiledTemplate {
    pub segments: Vec<CompiledSegment>,
    pub has_rest: bool,
    /// The one path that matches, where there is but one.
    pub path: Option<Box<[u8]>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompiledSegment {
    Literal(Box<[u8]>),
    Capture(Slot),
}

/// What a rule's template captured from a path; replaces the descriptor's value of that slot.
pub type Captures<'v> = SmallVec<[(Slot, &'v [u8]); 4]>;

/// The facts that a pattern may be held against.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'v> {
    pub value: Option<&'v [u8]>,
    /// The path that the request is for, and its segments where they may be asked for.
    pub path: Option<&'v [u8]>,
    pub segments: &'v [&'v [u8]],
    pub ip: Option<&'v IpNet>,
}

impl CompiledPattern {
    pub fn compile(pattern: &Pattern, attributes: &mut Attributes) -> Self {
        match pattern {
            Pattern::Equals(text) => Self::OneOf(Texts::new([text.as_bytes().into()].into())),
            Pattern::Prefix(text) => Self::Prefix(text.as_bytes().into()),
            Pattern::AnyOf(patterns) => Self::compile_any(patterns, attributes),
            Pattern::Not(pattern) => Self::Not(Box::new(Self::compile(pattern, attributes))),
            Pattern::Present => Self::Present,
            Pattern::Absent => Self::Absent,
            Pattern::Endpoint(template) => {
                let template = CompiledTemplate::compile(template, attributes);
                Self::Endpoints(Templates::new(vec![template]))
            }
            Pattern::Network(network) => Self::Network(*network),
        }
    }

    /// Exact values become one set and templates one tree, so that long lists stay quick.
    fn compile_any(patterns: &[Pattern], attributes: &mut Attributes) -> Self {
        let mut exact: Vec<Box<[u8]>> = Vec::new();
        let mut templates = Vec::new();
        let mut others = Vec::new();
        for pattern in patterns {
            match Self::compile(pattern, attributes) {
                Self::OneOf(texts) => exact.extend(texts.all),
                Self::Endpoints(more) => templates.extend(more.all),
                other @ (Self::Prefix(_)
                | Self::Any(_)
                | Self::Not(_)
                | Self::Present
                | Self::Absent
                | Self::Network(_)) => others.push(other),
            }
        }
        if !exact.is_empty() {
            others.push(Self::OneOf(Texts::new(exact)));
        }
        if !templates.is_empty() {
            others.push(Self::Endpoints(Templates::new(templates)));
        }
        match <[Self; 1]>::try_from(others) {
            Ok([only]) => only,
            Err(several) => Self::Any(several),
        }
    }

    pub fn holds(&self, subject: Subject<'_>) -> bool {
        match self {
            Self::OneOf(texts) => subject.value.is_some_and(|value| texts.contain(value)),
            Self::Prefix(prefix) => subject.value.is_some_and(|value| value.starts_with(prefix)),
            Self::Any(patterns) => patterns.iter().any(|pattern| pattern.holds(subject)),
            Self::Not(pattern) => !pattern.holds(subject),
            Self::Present => subject.value.is_some(),
            Self::Absent => subject.value.is_none(),
            Self::Endpoints(_) => self.template(subject).is_some(),
            Self::Network(network) => subject.ip.is_some_and(|ip| network.contains(ip)),
        }
    }

    /// Segments of the longest template in this pattern.
    pub fn segment_count_max(&self) -> usize {
        match self {
            Self::Endpoints(templates) => {
                if matches!(templates.by_path, ByPath::Whole(_)) {
                    return 0;
                }
                templates.iter().map(|template| template.segments.len()).max().unwrap_or_default()
            }
            Self::Any(patterns) => {
                patterns.iter().map(Self::segment_count_max).max().unwrap_or_default()
            }
            Self::Not(pattern) => pattern.segment_count_max(),
            Self::OneOf(_) | Self::Prefix(_) | Self::Present | Self::Absent | Self::Network(_) => 0,
        }
    }

    /// The attributes that templates of this pattern may capture.
    pub fn captures(&self) -> Vec<Slot> {
        let slot = |segment: &CompiledSegment| match segment {
            CompiledSegment::Capture(slot) => Some(*slot),
            CompiledSegment::Literal(_) => None,
        };
        match self {
            Self::Endpoints(templates) => {
                templates.iter().flat_map(|template| &template.segments).filter_map(slot).collect()
            }
            Self::Any(patterns) => patterns.iter().flat_map(Self::captures).collect(),
            Self::OneOf(_)
            | Self::Prefix(_)
            | Self::Not(_)
            | Self::Present
            | Self::Absent
            | Self::Network(_) => Vec::new(),
        }
    }

    /// The first template of this pattern that matches; those under `not` are not asked.
    pub fn template(&self, subject: Subject<'_>) -> Option<&CompiledTemplate> {
        match self {
            Self::Endpoints(templates) if subject.value.is_some() => templates.first(subject),
            Self::Any(patterns) => patterns.iter().find_map(|pattern| pattern.template(subject)),
            Self::Endpoints(_)
            | Self::OneOf(_)
            | Self::Prefix(_)
            | Self::Not(_)
            | Self::Present
            | Self::Absent
            | Self::Network(_) => None,
        }
    }
}

impl Texts {
    /// Up to so many are compared sooner than one is hashed.
    const COMPARED_MAX: usize = 4;

    fn new(mut all: Vec<Box<[u8]>>) -> Self {
        all.sort_unstable();
        all.dedup();
        let is_long = all.len() > Self::COMPARED_MAX;
        Self { set: is_long.then(|| Box::new(all.iter().cloned().collect())), all }
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Box<[u8]>> {
        self.all.iter()
    }

    fn contain(&self, value: &[u8]) -> bool {
        match &self.set {
            Some(set) => set.contains(value),
            None => self.all.iter().any(|text| text.as_ref() == value),
        }
    }
}

impl Templates {
    /// Up to so many templates are told apart sooner by trying each than by walking a tree.
    const TRIED_MAX: usize = 8;

    fn new(all: Vec<CompiledTemplate>) -> Self {
        let by_path = if all.iter().all(|template| template.path.is_some()) {
            let mut whole: ByText<Option<usize>> = ByText::default();
            for (template, position) in all.iter().zip(0..) {
                if let Some(path) = &template.path {
                    whole.or_default(path).get_or_insert(position);
                }
            }
            ByPath::Whole(whole)
        } else if all.len() <= Self::TRIED_MAX {
            ByPath::Tried
        } else {
            let mut tree = PathTree::default();
            all.iter().zip(0..).for_each(|(template, position)| tree.insert(template, position));
            ByPath::Tree(Box::new(tree))
        };
        Self { all, by_path }
    }

    pub fn iter(&self) -> std::slice::Iter<'_, CompiledTemplate> {
        self.all.iter()
    }

    fn first(&self, subject: Subject<'_>) -> Option<&CompiledTemplate> {
        match &self.by_path {
            ByPath::Tried => self.all.iter().find(|it| it.matches(subject.segments)),
            ByPath::Tree(tree) => self.all.get(tree.first(subject.segments)? as usize),
            ByPath::Whole(whole) => self.all.get((*whole.get(subject.path?)?)?),
        }
    }
}

impl CompiledTemplate {
    fn compile(template: &Template, attributes: &mut Attributes) -> Self {
        let mut segments = Vec::with_capacity(template.segments.len());
        let mut has_rest = false;
        for segment in &template.segments {
            match segment {
                Segment::Literal(text) => {
                    segments.push(CompiledSegment::Literal(text.as_bytes().into()));
                }
                Segment::Capture(name) => {
                    segments.push(CompiledSegment::Capture(attributes.slot(name)));
                }
                Segment::Rest => has_rest = true,
            }
        }
        let path = template.only_path().map(|path| path.into_bytes().into());
        Self { segments, has_rest, path }
    }

    fn matches(&self, path: &[&[u8]]) -> bool {
        let fits = if self.has_rest {
            path.len() >= self.segments.len()
        } else {
            path.len() == self.segments.len()
        };
        fits && self.segments.iter().zip(path).all(|(segment, part)| match segment {
            CompiledSegment::Literal(text) => text.as_ref() == *part,
            CompiledSegment::Capture(_) => true,
        })
    }

    /// What the captures of this template are for a path that it matches.
    pub fn capture<'v>(&self, path: &[&'v [u8]], captures: &mut Captures<'v>) {
        for (segment, part) in self.segments.iter().zip(path) {
            match segment {
                CompiledSegment::Capture(slot) => captures.push((*slot, part)),
                CompiledSegment::Literal(_) => {}
            }
        }
    }
}
