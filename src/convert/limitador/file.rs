//! The limits that a file holds: plain, in a `Limitador` or `RateLimit` object or in a ConfigMap.
//!
//! What Limitador would refuse is refused here too; conditions and variables are still text.

use std::ops::Range;

use crate::policy::findings::shown;
use crate::policy::render::Position;
use crate::policy::suggest;
use crate::yaml::{self, Node, Value};

/// One limit as it was written.
#[derive(Clone, Debug, Default)]
pub(super) struct Limit {
    pub(super) namespace: String,
    pub(super) max_value: Option<u64>,
    pub(super) seconds: u64,
    pub(super) conditions: Vec<String>,
    pub(super) variables: Vec<String>,
    pub(super) name: Option<String>,
    pub(super) id: Option<String>,
    /// Fields that Limitador does not read either.
    pub(super) unknown: Vec<String>,
    /// Where it begins, as people say it.
    pub(super) place: String,
}

const HINT: &str =
    "write a list of limits, as in `- { namespace: shop, max_value: 10, seconds: 60 }`";

pub(super) fn read(text: &str) -> Result<Vec<Limit>, Vec<String>> {
    let mut reader = Reader::new(text, None);
    reader.read();
    if reader.limits.is_empty() && reader.errors.is_empty() {
        reader.errors.push(format!("the file holds no limit: {HINT}"));
    }
    if reader.errors.is_empty() { Ok(reader.limits) } else { Err(reader.errors) }
}

struct Reader<'t> {
    text: &'t str,
    /// The file within a ConfigMap that `text` is.
    within: Option<&'t str>,
    /// Where each line begins.
    lines: Vec<usize>,
    limits: Vec<Limit>,
    errors: Vec<String>,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str, within: Option<&'t str>) -> Self {
        let after = text.match_indices('\n').map(|(newline, _)| newline + 1);
        let lines = std::iter::once(0).chain(after).collect();
        Self { text, within, lines, limits: Vec::new(), errors: Vec::new() }
    }

    /// Where a byte of the text is, without counting the lines anew.
    fn position(&self, at: usize) -> Position {
        let line = self.lines.partition_point(|start| *start <= at);
        let start = line.checked_sub(1).and_then(|index| self.lines.get(index)).copied();
        let start = start.unwrap_or_default();
        let in_line = self.text.get(start..).unwrap_or_default();
        Position { line, ..Position::of(in_line, at.saturating_sub(start)) }
    }

    fn error(&mut self, bytes: &Range<usize>, message: &str, hint: &str) {
        let Position { line, column } = self.position(bytes.start);
        let within = self.within.map(|name| format!("in {}, ", shown(name))).unwrap_or_default();
        self.errors.push(format!("{within}line {line}, column {column}: {message}: {hint}"));
    }

    fn place(&self, node: &Node) -> String {
        let line = self.position(node.bytes.start).line;
        match self.within {
            Some(name) => format!("line {line} of {}", shown(name)),
            None => format!("line {line}"),
        }
    }

    fn read(&mut self) {
        let parsed = yaml::parse(self.text);
        for fault in parsed.faults {
            self.error(&fault.bytes, &fault.message, &fault.hint);
        }
        for document in &parsed.documents {
            self.document(document);
        }
    }

    fn document(&mut self, document: &Node) {
        let kind = document.member("kind").and_then(Node::scalar).map(|kind| kind.text.as_str());
        match (&document.value, kind) {
            (Value::Sequence(_), _) => self.list(document),
            (_, Some("Limitador")) => {
                match document.member("spec").and_then(|spec| spec.member("limits")) {
                    Some(limits) => self.list(limits),
                    None => self.error(
                        &document.bytes,
                        "this Limitador object has no limits",
                        "convert the file that holds them, they stand under `spec.limits`",
                    ),
                }
            }
            (_, Some("ConfigMap")) => self.config_map(document),
            (_, Some("RateLimit")) => match document.member("spec") {
                Some(limit) => self.one(limit),
                None => self.error(&document.bytes, "this RateLimit object has no `spec`", HINT),
            },
            (_, Some(kind)) if kind.ends_with("List") && items(document).is_some() => {
                items(document).into_iter().flatten().for_each(|item| self.document(item));
            }
            (_, Some(kind)) => {
                let message = format!("an object of kind {} holds no limits", shown(kind));
                let hint = "leave it out; `Limitador` and `RateLimit` objects and a ConfigMap do";
                self.error(&document.bytes, &message, hint);
            }
            (_, None) if is_limit(document) => self.one(document),
            (_, None) => {
                let message = format!("this is {}, not a list of limits", document.kind());
                self.error(&document.bytes, &message, HINT);
            }
        }
    }

    /// Every file of a ConfigMap that is a list.
    fn config_map(&mut self, document: &Node) {
        let data = document.member("data");
        let files = match data.map(|data| &data.value) {
            Some(Value::Mapping(files)) => files.as_slice(),
            _ => &[],
        };
        let mut has_list = false;
        for (name, content) in files {
            let (Some(name), Some(content)) = (name.scalar(), content.scalar()) else { continue };
            let is_list = |node: &Node| matches!(node.value, Value::Sequence(_));
            let parsed = yaml::parse(&content.text);
            let is_broken = !parsed.faults.is_empty() && name.text.ends_with(".yaml");
            if is_broken || parsed.documents.iter().any(is_list) {
                has_list = true;
                let mut reader = Reader::new(&content.text, Some(&name.text));
                reader.read();
                self.limits.append(&mut reader.limits);
                self.errors.append(&mut reader.errors);
            }
        }
        if !has_list {
            let message = "no file of this ConfigMap is a list of limits";
            self.error(&data.unwrap_or(document).bytes, message, HINT);
        }
    }

    fn list(&mut self, node: &Node) {
        match &node.value {
            Value::Sequence(items) => {
                items.iter().for_each(|item| self.one(item));
            }
            _ if node.is_null() => {}
            _ => {
                let message = format!("this is {}, not a list of limits", node.kind());
                self.error(&node.bytes, &message, HINT);
            }
        }
    }

    fn one(&mut self, node: &Node) {
        let limit = self.limit(node);
        self.limits.extend(limit);
    }

    fn limit(&mut self, node: &Node) -> Option<Limit> {
        let Value::Mapping(pairs) = &node.value else {
            let message = format!("this is {}, not a limit", node.kind());
            self.error(&node.bytes, &message, HINT);
            return None;
        };
        let mut limit = Limit { place: self.place(node), ..Limit::default() };
        let errors_before = self.errors.len();
        let (mut has_namespace, mut has_seconds) = (false, false);
        for (key, value) in pairs {
            let name = key.scalar().map(|key| key.text.as_str()).unwrap_or_default();
            match name {
                "namespace" => {
                    has_namespace = true;
                    limit.namespace = self.text(value, name).unwrap_or_default();
                }
                "max_value" => limit.max_value = self.number(value, name),
                "seconds" => {
                    has_seconds = true;
                    limit.seconds = self.number(value, name).unwrap_or_default();
                }
                "conditions" => limit.conditions = self.texts(value, name),
                "variables" => limit.variables = self.texts(value, name),
                "name" | "id" if value.is_null() => {}
                "name" => limit.name = self.text(value, name),
                "id" => limit.id = self.text(value, name),
                // Which server an object of the operator is for.
                "limitador-ref" => {}
                other => limit.unknown.push(other.to_owned()),
            }
        }
        if !has_namespace {
            let hint = hint(&limit, "namespace", "`namespace: ...`, the domain that Envoy sends");
            self.error(&node.bytes, "this limit has no namespace", &hint);
        }
        if !has_seconds {
            let hint = hint(&limit, "seconds", "`seconds: 60` for a window of a minute");
            self.error(&node.bytes, "this limit has no window", &hint);
        }
        (self.errors.len() == errors_before).then_some(limit)
    }

    fn text(&mut self, node: &Node, field: &str) -> Option<String> {
        let text = node.scalar().map(|scalar| scalar.text.clone()).filter(|text| !text.is_empty());
        if text.is_none() {
            let message = format!(
                "`{field}` is {}",
                if node.scalar().is_some() { "empty" } else { node.kind() }
            );
            self.error(&node.bytes, &message, "write a text");
        }
        text
    }

    fn number(&mut self, node: &Node, field: &str) -> Option<u64> {
        let number = node.scalar().and_then(|scalar| scalar.text.parse().ok());
        if number.is_none() {
            let message = match node.scalar() {
                Some(scalar) => format!("`{field}` is {}", shown(&scalar.text)),
                None => format!("`{field}` is {}", node.kind()),
            };
            let hint = format!("write a whole number from 0 to {}", u64::MAX);
            self.error(&node.bytes, &message, &hint);
        }
        number
    }

    fn texts(&mut self, node: &Node, field: &str) -> Vec<String> {
        match &node.value {
            Value::Sequence(items) => {
                items.iter().filter_map(|item| self.text(item, field)).collect()
            }
            _ if node.is_null() => Vec::new(),
            _ => {
                let message = format!("`{field}` is {}, not a list", node.kind());
                self.error(&node.bytes, &message, &format!("write `{field}: [...]`"));
                Vec::new()
            }
        }
    }
}

/// Fields that tell a limit from other mappings.
const TELLING: [&str; 3] = ["namespace", "max_value", "seconds"];

/// Whether a mapping is a limit, which needs no list when it is the only one.
pub(in crate::convert) fn is_limit(node: &Node) -> bool {
    TELLING.iter().filter(|field| node.member(field).is_some()).count() >= 2
}

/// Whether an item of a list is meant as a limit.
pub(in crate::convert) fn is_like_limit(node: &Node) -> bool {
    TELLING.iter().any(|field| node.member(field).is_some())
}

/// The objects of a list as `kubectl get` prints it.
pub(in crate::convert) fn items(document: &Node) -> Option<&[Node]> {
    match &document.member("items")?.value {
        Value::Sequence(items) => Some(items),
        _ => None,
    }
}

/// What to do where a field is missing, which may be there with a slip in its name.
fn hint(limit: &Limit, field: &str, otherwise: &str) -> String {
    match limit.unknown.iter().find(|name| suggest::nearest(name, [field]).is_some()) {
        Some(name) => format!("it has {}; did you mean `{field}`?", shown(name)),
        None => format!("write {otherwise}"),
    }
}
