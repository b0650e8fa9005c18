//! Builds the tree from the parser's events, and pays for every node out of a budget.
//!
//! An alias is paid for in full before anything is copied, so that aliases of aliases of aliases
//! are refused at the first one that is too much.

use std::collections::HashMap;
use std::ops::Range;

use serde_yaml::granit_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput, Tag, options};

use super::fault::Fault;
use super::{
    MAX_DEPTH, MAX_FAULTS, MAX_NODES, MAX_REPEATED_BYTES, MAX_REPEATED_NODES, Node, Parsed, Scalar,
    Value,
};

/// Why a document was given up.
enum GivenUp {
    /// The next document may be fine.
    Document(Fault),
    /// A budget is spent: nothing more of this text is read.
    Text(Fault),
}

type Built<T> = Result<T, GivenUp>;

/// Values and the bytes of their texts: built so far, or left to be repeated.
#[derive(Clone, Copy)]
struct Amount {
    nodes: usize,
    text_bytes: usize,
}

impl Amount {
    const REPEATED: Self = Self { nodes: MAX_REPEATED_NODES, text_bytes: MAX_REPEATED_BYTES };

    fn without(self, other: Self) -> Option<Self> {
        let nodes = self.nodes.checked_sub(other.nodes)?;
        let text_bytes = self.text_bytes.checked_sub(other.text_bytes)?;
        Some(Self { nodes, text_bytes })
    }

    fn add(&mut self, other: Self) {
        self.nodes += other.nodes;
        self.text_bytes += other.text_bytes;
    }
}

/// What is wrong, as far as anybody reads on.
#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn push(&mut self, fault: Fault) {
        if self.0.len() < MAX_FAULTS {
            self.0.push(fault);
        }
    }
}

/// What aliases repeat; nothing is kept of what is too much to be repeated.
struct Anchored {
    node: Option<Node>,
    cost: Amount,
}

struct Builder<'t> {
    text: &'t str,
    parser: Parser<'t, StrInput<'t>>,
    anchors: HashMap<usize, Anchored>,
    faults: Faults,
    /// Where the last event ended.
    read: usize,
    nodes_left: usize,
    /// All that was built, repeated values included.
    built: Amount,
    repeats_left: Amount,
    anchored_left: Amount,
}

pub(super) fn read(text: &str) -> Parsed {
    let options = options! {
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
        disallow_directives: true,
    };
    let mut builder = Builder {
        text,
        parser: Parser::new_from_str_with_options(text, options),
        anchors: HashMap::new(),
        faults: Faults::default(),
        read: 0,
        nodes_left: MAX_NODES,
        built: Amount { nodes: 0, text_bytes: 0 },
        repeats_left: Amount::REPEATED,
        anchored_left: Amount::REPEATED,
    };
    let documents = builder.documents();
    Parsed { documents, faults: builder.faults.0 }
}

impl<'t> Builder<'t> {
    fn documents(&mut self) -> Vec<Node> {
        let mut documents = Vec::new();
        loop {
            match self.document() {
                Ok(Some(node)) if node.is_null() => {}
                Ok(Some(node)) => documents.push(node),
                Ok(None) => return documents,
                Err(GivenUp::Document(fault)) => {
                    self.faults.push(fault.alone());
                    self.anchors.clear();
                    let is_enough = self.faults.0.len() >= MAX_FAULTS;
                    if is_enough || !self.parser.proceed_next_document().unwrap_or(false) {
                        return documents;
                    }
                }
                Err(GivenUp::Text(fault)) => {
                    self.faults.push(fault);
                    return documents;
                }
            }
        }
    }

    /// The next document, `None` at the end of the text.
    fn document(&mut self) -> Built<Option<Node>> {
        loop {
            let Some((event, span)) = self.next()? else {
                return Ok(None);
            };
            match event {
                Event::StreamEnd => return Ok(None),
                Event::DocumentEnd => self.anchors.clear(),
                Event::Scalar(..)
                | Event::SequenceStart(..)
                | Event::MappingStart(..)
                | Event::Alias(_) => return self.node(event, &span, 0).map(Some),
                _ => {}
            }
        }
    }

    fn next(&mut self) -> Built<Option<(Event<'t>, Span)>> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok((event, span))) => {
                self.read = self.read.max(self.offset(&span.end));
                Ok(Some((event, span)))
            }
            Some(Err(error)) => {
                let at = self.offset(error.marker());
                let fault = Fault::of_scanner(error.kind(), self.text, at, self.read);
                Err(GivenUp::Document(fault))
            }
        }
    }

    fn node(&mut self, event: Event<'t>, span: &Span, depth: usize) -> Built<Node> {
        let bytes = self.bytes(span);
        self.pay(&bytes)?;
        let before = self.built;
        self.built.nodes += 1;
        let (anchor, node) = match event {
            Event::Alias(anchor) => return self.repeat(anchor, bytes),
            Event::Scalar(text, style, anchor, tag) => {
                self.built.text_bytes += text.len();
                let is_text = self.check_tag(tag.as_deref(), span);
                (anchor, self.scalar(&text, is_text || style != ScalarStyle::Plain, bytes))
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), span);
                (anchor, self.sequence(bytes, depth + 1)?)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), span);
                (anchor, self.mapping(bytes, depth + 1)?)
            }
            _ => (0, self.scalar("", false, bytes)),
        };
        if anchor != 0 {
            self.keep(anchor, &node, before);
        }
        Ok(node)
    }

    /// Keeps what an anchor stands before, which was built since `before`.
    fn keep(&mut self, anchor: usize, node: &Node, before: Amount) {
        let Some(cost) = self.built.without(before) else { return };
        let left = self.anchored_left.without(cost);
        self.anchored_left = left.unwrap_or(self.anchored_left);
        self.anchors.insert(anchor, Anchored { node: left.map(|_| node.clone()), cost });
    }

    fn scalar(&self, text: &str, quoted: bool, bytes: Range<usize>) -> Node {
        let written = self.text.get(bytes.clone()).unwrap_or_default();
        let verbatim = if written == text {
            Some(bytes.start)
        } else if written.get(1..written.len().saturating_sub(1)) == Some(text) {
            Some(bytes.start + 1)
        } else {
            None
        };
        let scalar = Scalar { text: text.to_owned(), quoted, verbatim };
        Node { value: Value::Scalar(scalar), bytes }
    }

    fn sequence(&mut self, start: Range<usize>, depth: usize) -> Built<Node> {
        deep_enough(depth, &start)?;
        let mut items = Vec::new();
        let mut end = start.end;
        while let Some((event, span)) = self.next()? {
            if event == Event::SequenceEnd {
                end = self.end_of(&span, end);
                break;
            }
            let (item, item_end) = self.child(event, &span, depth)?;
            end = end.max(item_end);
            items.push(item);
        }
        Ok(Node { value: Value::Sequence(items), bytes: start.start..end })
    }

    fn mapping(&mut self, start: Range<usize>, depth: usize) -> Built<Node> {
        deep_enough(depth, &start)?;
        let mut pairs = Pairs::default();
        let mut end = start.end;
        while let Some((event, span)) = self.next()? {
            if event == Event::MappingEnd {
                end = self.end_of(&span, end);
                break;
            }
            let (key, key_end) = self.child(event, &span, depth)?;
            let Some((event, span)) = self.next()? else {
                break;
            };
            let (value, value_end) = self.child(event, &span, depth)?;
            end = end.max(key_end).max(value_end);
            pairs.add(key, value, &mut self.faults);
        }
        let merged = pairs.merged(&mut self.faults);
        Ok(Node { value: Value::Mapping(merged), bytes: start.start..end })
    }

    /// A node of a collection, and where it ends as written here, which is not where the node
    /// says when it was repeated from elsewhere.
    fn child(&mut self, event: Event<'t>, span: &Span, depth: usize) -> Built<(Node, usize)> {
        let alias_end = matches!(event, Event::Alias(_)).then(|| self.bytes(span).end);
        let node =
            self.node(event, span, depth).map_err(|given_up| self.name_opener(given_up, span))?;
        let end = alias_end.unwrap_or(node.bytes.end);
        Ok((node, end))
    }

    /// Tells of the bracket that is open where the parser stumbled, for it may be the cause.
    fn name_opener(&self, given_up: GivenUp, span: &Span) -> GivenUp {
        let opener = self.offset(&span.start);
        match given_up {
            GivenUp::Document(fault) => GivenUp::Document(fault.inside(self.text, opener)),
            GivenUp::Text(fault) => GivenUp::Text(fault),
        }
    }

    /// A copy of what the anchor stands before.
    fn repeat(&mut self, anchor: usize, bytes: Range<usize>) -> Built<Node> {
        let Some(anchored) = self.anchors.get(&anchor) else {
            return Err(GivenUp::Document(Fault::alias_inside_itself(bytes)));
        };
        let left = self.repeats_left.without(anchored.cost);
        let (Some(left), Some(node)) = (left, &anchored.node) else {
            return Err(GivenUp::Text(Fault::too_much_repeated(bytes)));
        };
        self.repeats_left = left;
        self.built.add(anchored.cost);
        Ok(node.clone())
    }

    fn pay(&mut self, bytes: &Range<usize>) -> Built<()> {
        match self.nodes_left.checked_sub(1) {
            Some(left) => {
                self.nodes_left = left;
                Ok(())
            }
            None => Err(GivenUp::Text(Fault::too_many_nodes(bytes.clone()))),
        }
    }

    /// Whether the tag makes a scalar text; tags that are not YAML's own are faults.
    fn check_tag(&mut self, tag: Option<&Tag>, span: &Span) -> bool {
        match tag.map(Tag::core_suffix) {
            None => false,
            Some(Some(suffix)) => suffix == "str",
            Some(None) => {
                let name = tag.map(Tag::original).unwrap_or_default();
                let bytes = self.bytes(&span.tag_span().unwrap_or(*span));
                self.faults.push(Fault::foreign_tag(&name, bytes));
                false
            }
        }
    }

    fn bytes(&self, span: &Span) -> Range<usize> {
        let (start, end) = (self.offset(&span.start), self.offset(&span.end));
        start..end.max(start)
    }

    fn offset(&self, marker: &Marker) -> usize {
        marker.byte_offset().unwrap_or(self.text.len()).min(self.text.len())
    }

    /// Flow collections end with a bracket; block collections where their last item does.
    fn end_of(&self, span: &Span, last: usize) -> usize {
        let bytes = self.bytes(span);
        let closes = self.text.get(bytes.clone()).is_some_and(|text| text.ends_with([']', '}']));
        if closes { bytes.end } else { last }
    }
}

/// The parser bounds each kind of nesting by itself; this bounds their sum.
fn deep_enough(depth: usize, bytes: &Range<usize>) -> Built<()> {
    if depth > MAX_DEPTH {
        return Err(GivenUp::Document(Fault::too_deep(bytes.clone())));
    }
    Ok(())
}

/// The pairs of a mapping while it is read: keys are told apart, merges wait for the end, because
/// a key written out wins over a merged one wherever it stands.
#[derive(Default)]
struct Pairs {
    pairs: Vec<(Node, Node)>,
    keys: HashMap<String, Range<usize>>,
    merges: Vec<Node>,
}

impl Pairs {
    fn add(&mut self, key: Node, value: Node, faults: &mut Faults) {
        let Value::Scalar(name) = &key.value else {
            faults.push(Fault::key_not_text(key.bytes));
            return;
        };
        if name.text == "<<" && !name.quoted {
            self.merges.push(value);
            return;
        }
        if let Some(first) = self.keys.get(&name.text) {
            faults.push(Fault::duplicate_key(&name.text, key.bytes, first.clone()));
            return;
        }
        self.keys.insert(name.text.clone(), key.bytes.clone());
        self.pairs.push((key, value));
    }

    fn merged(mut self, faults: &mut Faults) -> Vec<(Node, Node)> {
        for merge in std::mem::take(&mut self.merges) {
            match merge.value {
                Value::Mapping(pairs) => self.merge(pairs),
                Value::Sequence(items) => {
                    for item in items {
                        match item.value {
                            Value::Mapping(pairs) => self.merge(pairs),
                            Value::Scalar(_) | Value::Sequence(_) => {
                                faults.push(Fault::merge_not_mapping(item.bytes));
                            }
                        }
                    }
                }
                Value::Scalar(_) => faults.push(Fault::merge_not_mapping(merge.bytes)),
            }
        }
        self.pairs
    }

    fn merge(&mut self, pairs: Vec<(Node, Node)>) {
        for (key, value) in pairs {
            let Value::Scalar(name) = &key.value else {
                continue;
            };
            if !self.keys.contains_key(&name.text) {
                self.keys.insert(name.text.clone(), key.bytes.clone());
                self.pairs.push((key, value));
            }
        }
    }
}
