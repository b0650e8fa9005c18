//! Which server a text is for, told by its keys.
//!
//! A text that cannot be told apart is refused, never guessed: what would come out is limits.

use crate::policy::model::Source;
use crate::yaml::{self, Node, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Documents with `descriptors:`, of envoyproxy/ratelimit.
    Ratelimit,
    /// Lists of limits with a `namespace`, and the Kubernetes objects that hold them.
    Limitador,
}

/// What a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Of(Format),
    Native,
    /// A ConfigMap around a policy of envoyproxy/ratelimit.
    Wrapped,
}

/// The format that all texts have.
pub(super) fn of_all(sources: &[Source]) -> Result<Format, Vec<String>> {
    let mut problems = Vec::new();
    let mut first: Option<(Format, &str)> = None;
    for Source { name, text } in sources {
        match (kind(text), first) {
            (Some(Kind::Of(format)), None) => first = Some((format, name)),
            (Some(Kind::Of(format)), Some((before, other))) if format != before => {
                problems.push(format!(
                    "`{other}` and `{name}` are of different servers; convert them one after the other"
                ));
            }
            (Some(Kind::Of(_)), Some(_)) => {}
            (Some(Kind::Native), _) => problems.push(native(name)),
            (Some(Kind::Wrapped), _) => problems.push(format!(
                "`{name}` is a ConfigMap around a policy; convert the text that stands under its `data`"
            )),
            (None, _) => problems.push(format!(
                "`{name}` is of no known format; say which it is with `--from`"
            )),
        }
    }
    match first {
        Some((format, _)) if problems.is_empty() => Ok(format),
        _ => Err(problems),
    }
}

pub(super) fn native(name: &str) -> String {
    format!(
        "`{name}` is a native policy already; `tollgate check {name}` says what is wrong with it"
    )
}

pub(super) fn is_native(text: &str) -> bool {
    kind(text) == Some(Kind::Native)
}

fn kind(text: &str) -> Option<Kind> {
    let parsed = yaml::parse(text);
    let kinds = || parsed.documents.iter().filter_map(kind_of_document);
    // One native document among others is said so, and not passed over.
    let found = kinds().find(|kind| *kind == Kind::Native).or_else(|| kinds().next());
    // The reader of the one says what is wrong with a text that is no YAML, and where.
    let is_unreadable = !parsed.faults.is_empty() || parsed.documents.is_empty();
    found.or(is_unreadable.then_some(Kind::Of(Format::Ratelimit)))
}

fn kind_of_document(document: &Node) -> Option<Kind> {
    let is = |key: &str, value: &str| {
        let scalar = document.member(key).and_then(Node::scalar);
        scalar.is_some_and(|scalar| scalar.text == value)
    };
    if document.member("descriptors").is_some() {
        return Some(Kind::Of(Format::Ratelimit));
    }
    if document.member("domain").is_some()
        && (document.member("rules").is_some() || document.member("load").is_some())
    {
        return Some(Kind::Native);
    }
    if is("kind", "Limitador") || has_namespaces(document) {
        return Some(Kind::Of(Format::Limitador));
    }
    if !is("kind", "ConfigMap") {
        return None;
    }
    let Value::Mapping(data) = &document.member("data")?.value else { return None };
    let texts = data.iter().filter_map(|(_, text)| text.scalar());
    let inner = |text: &str| yaml::parse(text).documents.iter().find_map(kind_of_document);
    texts.filter_map(|text| inner(&text.text)).find_map(|kind| match kind {
        Kind::Of(Format::Ratelimit) => Some(Kind::Wrapped),
        Kind::Of(Format::Limitador) => Some(kind),
        Kind::Native | Kind::Wrapped => None,
    })
}

/// A list of limits that each name where they apply.
fn has_namespaces(document: &Node) -> bool {
    let Value::Sequence(items) = &document.value else { return false };
    !items.is_empty() && items.iter().all(|item| item.member("namespace").is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> Result<Format, Vec<String>> {
        let source = |(text, name): (&&str, char)| Source {
            name: format!("{name}.yaml"),
            text: (*text).to_owned(),
        };
        of_all(&texts.iter().zip('a'..).map(source).collect::<Vec<_>>())
    }

    const RATELIMIT: &str = "domain: d\ndescriptors: []";
    const LIMITADOR: &str = "- namespace: a\n  max_value: 1\n  seconds: 1";

    #[test]
    fn keys_tell_the_format() {
        let wrapped = "kind: ConfigMap\ndata:\n  limits.yaml: |\n    - namespace: a\n";
        for (text, format) in [
            (RATELIMIT, Format::Ratelimit),
            (LIMITADOR, Format::Limitador),
            ("kind: Limitador\nspec: {}", Format::Limitador),
            (wrapped, Format::Limitador),
            ("a: [", Format::Ratelimit),
        ] {
            assert_eq!(of(&[text]), Ok(format), "{text}");
        }
    }

    #[test]
    fn what_is_not_told_apart_is_refused_with_what_to_do() {
        let wrapped = "kind: ConfigMap\ndata:\n  c.yaml: |\n    domain: d\n    descriptors: []\n";
        for (texts, part) in [
            (&["domain: d\nrules: []"][..], "native policy already"),
            (&["domain: d\ndescriptors: []\n---\ndomain: e\nrules: []"], "native policy already"),
            (&["kind: ConfigMap\ndata: { a: b }"], "--from"),
            (&["a: b"], "`a.yaml` is of no known format"),
            (&[wrapped], "under its `data`"),
            (&[RATELIMIT, LIMITADOR], "`a.yaml` and `b.yaml` are of different servers"),
        ] {
            let problems = of(texts).unwrap_err();
            assert!(problems.len() == 1 && problems[0].contains(part), "{problems:?}");
        }
    }
}
