//! Reads the path template of an `endpoint`, and says what to write for what is none.
//!
//! Regular expressions, whole addresses and request lines are refused with the template to type.

use crate::policy::findings::shown;
use crate::policy::native::doubt::KNOWN_METHODS;
use crate::policy::template::Template;
use crate::policy::units::Misread;

/// Paths are walked segment by segment, so that the longest template bounds the walk.
const MOST_SEGMENTS: usize = 100;

pub(super) fn template(text: &str) -> Result<Template, Misread> {
    let misread = |message: String, hint: String| Misread {
        code: "bad-template",
        message,
        hint,
        bytes: 0..text.len(),
    };
    if let Some((message, hint)) = elsewhere(text) {
        return Err(misread(message, hint));
    }
    match Template::parse(text) {
        Ok(template) if template.segments.len() > MOST_SEGMENTS => {
            let message = format!("a path template has at most {MOST_SEGMENTS} segments");
            Err(misread(message, "end it with `/**`, which stands for the rest".to_owned()))
        }
        Ok(template) => Ok(template),
        Err(error) => Err(Misread { bytes: error.bytes, ..misread(error.message, error.hint) }),
    }
}

/// Message and hint for what is written in the form of something else.
fn elsewhere(text: &str) -> Option<(String, String)> {
    if let Some((scheme, rest)) = text.split_once("://")
        && !scheme.contains('/')
    {
        let path = rest.find('/').map_or("/", |slash| &rest[slash..]);
        let path = path.split(['?', '#']).next().unwrap_or(path);
        let message = "a path template is the path alone, without scheme and host".to_owned();
        return Some((message, format!("write `{path}`")));
    }
    if let Some((method, path)) = text.split_once(' ')
        && KNOWN_METHODS.contains(&method.to_ascii_uppercase().as_str())
    {
        let message = format!("a path template is the path alone, without the method {method}");
        let (method, path) = (method.to_ascii_uppercase(), path.trim());
        return Some((message, format!("write `method: {method}` and `endpoint: {path:?}`")));
    }
    let is_anchored = text.starts_with('^') || text.starts_with("~ ");
    if is_anchored || text.split('/').any(is_expression) {
        let message = format!("path templates are no regular expressions: {}", shown(text));
        let template = without_expressions(text);
        let hint = format!("write `{template}`; a character itself is written as `%5B` for `[`");
        return Some((message, hint));
    }
    None
}

/// Whether a segment holds what paths do not, and regular expressions do.
fn is_expression(segment: &str) -> bool {
    let outside_of_paths = segment.contains(['[', ']', '^', '|', '\\']);
    let repeats = [".*", ".+", ")?", ")*", ")+"].iter().any(|mark| segment.contains(mark));
    outside_of_paths || repeats
}

/// The template that was most likely meant: a capture for each segment that varies.
fn without_expressions(text: &str) -> String {
    let text = text.trim_start_matches(['~', ' ', '^']).trim_end_matches('$');
    // What is no slash is one segment, although a slash is written in it.
    let text = text.replace("[^/]", "[^]");
    let segments: Vec<&str> = text.split('/').filter(|segment| !segment.is_empty()).collect();
    let mut template = String::new();
    let mut captures = 0;
    for (position, segment) in segments.iter().enumerate() {
        let is_last = position + 1 == segments.len();
        template.push('/');
        match *segment {
            ".*" | "(.*)" | ".+" | "(.+)" if is_last => template.push_str("**"),
            segment if is_expression(segment) => {
                captures += 1;
                let name = if captures == 1 { "id".to_owned() } else { format!("id{captures}") };
                template.push_str(&format!("{{{name}}}"));
            }
            segment => template.push_str(segment),
        }
    }
    if template.is_empty() { "/".to_owned() } else { template }
}
