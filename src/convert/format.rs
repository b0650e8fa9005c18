//! Which server a text is for, told by its keys.
//!
//! A text that cannot be told apart is refused, never guessed: what would come out is limits.

use super::limitador::{is_like_limit, is_limit, items};
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
            (None, _) => problems.push(format!(
                "`{name}` is of no known format: it has neither `descriptors`, as files of \
                 envoyproxy/ratelimit have, nor a list of limits with a `namespace`, as Limitador has"
            )),
        }
    }
    match first {
        Some((format, _)) if problems.is_empty() => Ok(format),
        _ => Err(problems),
    }
}

pub(super) fn native(name: &str) -> String {
    // Only `convert` reads standard input.
    let file = if name == "-" { "FILE" } else { name };
    format!(
        "`{name}` is a native policy already; `tollgate check {file}` says what is wrong with it"
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
    let is_object = is("kind", "Limitador")
        || (is("kind", "RateLimit") && document.member("spec").is_some_and(is_limit));
    if is_object || is_limit(document) || is_list_of_limits(document) {
        return Some(Kind::Of(Format::Limitador));
    }
    if is_list_of_objects(document) {
        return items(document)?.iter().find_map(kind_of_document);
    }
    data(document).find_map(|(_, text)| kind(text))
}

/// The texts that ConfigMaps hold, with their names; none of what is none.
fn data(document: &Node) -> impl Iterator<Item = (&str, &str)> {
    let items = items(document).filter(|_| is_list_of_objects(document));
    items.unwrap_or(std::slice::from_ref(document)).iter().flat_map(data_of_object)
}

fn data_of_object(document: &Node) -> impl Iterator<Item = (&str, &str)> {
    let kind = document.member("kind").and_then(Node::scalar);
    let is_map = kind.is_some_and(|kind| kind.text == "ConfigMap");
    let data = document.member("data").filter(|_| is_map).map(|data| &data.value);
    let pairs = match data {
        Some(Value::Mapping(pairs)) => pairs.as_slice(),
        _ => &[],
    };
    pairs.iter().filter_map(|(name, text)| Some((&*name.scalar()?.text, &*text.scalar()?.text)))
}

/// Policies of envoyproxy/ratelimit in place of the ConfigMaps that hold them.
pub(super) fn unwrapped(sources: &[Source]) -> Vec<Source> {
    let mut unwrapped = Vec::with_capacity(sources.len());
    for source in sources {
        let parsed = yaml::parse(&source.text);
        let held = |document| {
            let texts = data(document);
            texts.filter(|(_, text)| kind(text) == Some(Kind::Of(Format::Ratelimit)))
        };
        // What stands beside ConfigMaps must not be lost: the reader says what is wrong with it.
        let are_all = parsed.documents.iter().all(|document| held(document).next().is_some());
        if parsed.documents.is_empty() || !are_all {
            unwrapped.push(source.clone());
            continue;
        }
        unwrapped.extend(parsed.documents.iter().flat_map(held).map(|(name, text)| Source {
            name: format!("{}:{name}", source.name),
            text: text.to_owned(),
        }));
    }
    unwrapped
}

fn is_list_of_limits(document: &Node) -> bool {
    let Value::Sequence(items) = &document.value else { return false };
    !items.is_empty() && items.iter().all(is_like_limit)
}

/// As `kubectl get` prints several objects.
fn is_list_of_objects(document: &Node) -> bool {
    let kind = document.member("kind").and_then(Node::scalar);
    kind.is_some_and(|kind| kind.text.ends_with("List"))
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
            ("kind: List\nitems: [{ kind: Limitador, spec: {} }]", Format::Limitador),
            ("namespace: a\nmax_value: 1\nseconds: 1", Format::Limitador),
            ("- namespce: a\n  max_value: 1\n  seconds: 1", Format::Limitador),
            ("kind: RateLimit\nspec: { namespace: a, seconds: 1 }", Format::Limitador),
            (wrapped, Format::Limitador),
            ("a: [", Format::Ratelimit),
        ] {
            assert_eq!(of(&[text]), Ok(format), "{text}");
        }
    }

    #[test]
    fn a_config_map_stands_for_the_policies_in_it() {
        let text = "kind: ConfigMap\ndata:\n  note: hello\n  c.yaml: |\n    domain: d\n    descriptors: []\n";
        let source =
            |name: &str, text: &str| Source { name: name.to_owned(), text: text.to_owned() };
        let sources = [source("cm.yaml", text), source("l.yaml", LIMITADOR)];
        let expected =
            [source("cm.yaml:c.yaml", "domain: d\ndescriptors: []\n"), sources[1].clone()];
        assert_eq!(unwrapped(&sources), expected);
        let beside = [source("cm.yaml", &format!("{text}---\n{RATELIMIT}"))];
        assert_eq!(unwrapped(&beside), beside, "nothing beside it is lost");
        let listed = format!("kind: List\nitems:\n- {}", text.trim_end().replace('\n', "\n  "));
        assert_eq!(unwrapped(&[source("cm.yaml", &listed)])[0].name, "cm.yaml:c.yaml");
    }

    #[test]
    fn of_standard_input_it_is_not_said_that_check_reads_it() {
        assert!(native("-").contains("`tollgate check FILE`") && native("a").contains("check a`"));
    }

    #[test]
    fn what_is_not_told_apart_is_refused_with_what_to_do() {
        for (texts, part) in [
            (&["domain: d\nrules: []"][..], "native policy already"),
            (&["domain: d\ndescriptors: []\n---\ndomain: e\nrules: []"], "native policy already"),
            (&["kind: RateLimit\nspec: { type: Global }"], "of no known format"),
            (&["kind: List\nitems: []"], "of no known format"),
            (&["kind: ConfigMap\ndata: { a: b }"], "of no known format"),
            (&["a: b"], "`a.yaml` is of no known format"),
            (&[RATELIMIT, LIMITADOR], "`a.yaml` and `b.yaml` are of different servers"),
        ] {
            let problems = of(texts).unwrap_err();
            assert!(problems.len() == 1 && problems[0].contains(part), "{problems:?}");
        }
    }
}
