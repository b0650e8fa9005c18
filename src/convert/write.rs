//! Drafts as YAML text that our own reader reads back without a loss.
//!
//! Texts stand in quotes only where YAML or the language would take them for something else; a
//! line is broken where it can be before it passes the width.

use super::draft::{Draft, DraftLimit, DraftPattern, DraftRule};

const WIDTH: usize = 100;

/// One document for each policy.
pub fn documents(drafts: &[Draft]) -> String {
    let documents: Vec<String> = drafts.iter().map(document).collect();
    documents.join("---\n")
}

/// The document of one policy.
pub fn document(draft: &Draft) -> String {
    let mut text = String::new();
    comments(&mut text, 0, &draft.notes);
    field(&mut text, 0, "domain", &Yaml::text(&draft.domain));
    if draft.charges_always {
        field(&mut text, 0, "charge", &Yaml::text("always"));
    }
    if !draft.attributes.is_empty() {
        text.push_str("attributes:\n");
        for (attribute, keys) in &draft.attributes {
            field(&mut text, 2, &scalar(attribute), &Yaml::texts(keys));
        }
    }
    if draft.rules.is_empty() {
        text.push_str("rules: []\n");
        return text;
    }
    text.push_str("rules:\n");
    for (position, it) in draft.rules.iter().enumerate() {
        text.push_str(if position == 0 { "" } else { "\n" });
        rule(&mut text, it);
    }
    text
}

fn rule(text: &mut String, rule: &DraftRule) {
    comments(text, 2, &rule.notes);
    text.push_str("  - ");
    let name_at = text.len();
    field(text, 4, "name", &Yaml::text(&rule.name));
    // The first key stands beside the dash.
    text.replace_range(name_at..name_at + 4, "");
    if !rule.matches.is_empty() {
        let pairs = rule.matches.iter();
        let pairs = pairs.map(|(attribute, it)| (scalar(attribute), pattern(it)));
        field(text, 4, "match", &Yaml::Mapping(pairs.collect()));
    }
    if rule.are_others_absent {
        field(text, 4, "others", &Yaml::text("absent"));
    }
    if let Some(when) = &rule.when {
        condition(text, when);
    }
    if !rule.per.is_empty() {
        field(text, 4, "per", &Yaml::texts(&rule.per));
    }
    if rule.limits.is_empty() {
        field(text, 4, "unlimited", &Yaml::Scalar("true".to_owned()));
    } else {
        let limits = rule.limits.iter().map(limit).collect();
        field(text, 4, "limits", &Yaml::Sequence(limits));
    }
    if rule.is_shadow {
        field(text, 4, "mode", &Yaml::text("shadow"));
    }
    if rule.has_refund {
        field(text, 4, "refund", &Yaml::Scalar("true".to_owned()));
    }
    if !rule.replaces.is_empty() {
        field(text, 4, "replaces", &Yaml::texts(&rule.replaces));
    }
}

fn limit(limit: &DraftLimit) -> Yaml {
    let DraftLimit { amount, window, begins_with_first_hit } = limit;
    if !begins_with_first_hit {
        return Yaml::Scalar(format!("{amount}/{window}"));
    }
    let keys = [
        ("amount", amount.to_string()),
        ("window", window.clone()),
        ("anchor", "first-hit".to_owned()),
    ];
    Yaml::Mapping(keys.map(|(key, value)| (key.to_owned(), Yaml::Scalar(value))).into())
}

/// A condition is full of quotes and brackets, which YAML minds only at the beginning; where it
/// does, folded lines need no others.
fn condition(text: &mut String, when: &str) {
    let when = when.replace(['\n', '\r'], " ");
    let when = when.trim();
    let is_plain = when.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && !when.contains(": ")
        && !when.contains(" #")
        && !when.ends_with(':');
    if is_plain && "    when: ".len() + when.chars().count() <= WIDTH {
        text.push_str(&format!("    when: {when}\n"));
        return;
    }
    text.push_str("    when: >-\n");
    let mut line = String::new();
    for part in conjuncts(when) {
        if !line.is_empty() && 6 + line.chars().count() + 1 + part.chars().count() > WIDTH {
            text.push_str(&format!("      {line}\n"));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(part);
    }
    text.push_str(&format!("      {line}\n"));
}

/// The parts that `&&` joins, outside of brackets and texts, each with the `&&` after it: folding
/// puts one blank between lines again.
fn conjuncts(when: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut depth, mut quote, mut is_escaped) = (0, 0_u32, None, false);
    for (at, c) in when.char_indices() {
        match (quote, c) {
            (Some(_), _) if is_escaped => is_escaped = false,
            (Some(_), '\\') => is_escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '(' | '[') => depth += 1,
            (None, ')' | ']') => depth = depth.saturating_sub(1),
            (None, ' ') if depth == 0 && when[..at].ends_with("&&") => {
                parts.push(&when[start..at]);
                start = at + 1;
            }
            (None, _) => {}
        }
    }
    parts.push(&when[start..]);
    parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty()).collect()
}

fn pattern(pattern: &DraftPattern) -> Yaml {
    let mapping = |key: &str, value| Yaml::Mapping(vec![(key.to_owned(), value)]);
    let list =
        |patterns: &[DraftPattern]| Yaml::Sequence(patterns.iter().map(self::pattern).collect());
    match pattern {
        DraftPattern::Equals(text) if is_taken_otherwise(text) => {
            mapping("equals", Yaml::text(text))
        }
        DraftPattern::Equals(text) => Yaml::text(text),
        DraftPattern::Prefix(text) => Yaml::text(&format!("{text}*")),
        DraftPattern::AnyOf(patterns) => list(patterns),
        DraftPattern::Not(patterns) => match patterns.as_slice() {
            [only] => mapping("not", self::pattern(only)),
            several => mapping("not", list(several)),
        },
        DraftPattern::Present => Yaml::text("present"),
        DraftPattern::Absent => Yaml::text("absent"),
    }
}

/// Whether a pattern of this text is more than the text, or is doubted.
fn is_taken_otherwise(text: &str) -> bool {
    ["present", "absent", "{present}", "{absent}"].contains(&text)
        || text.contains('*')
        || text.starts_with(['!', '~'])
        || text.starts_with("not ")
        || text.starts_with("not_")
}

/// A value as it is about to be written.
enum Yaml {
    /// Written as it is.
    Scalar(String),
    Sequence(Vec<Yaml>),
    /// The keys are written as they are.
    Mapping(Vec<(String, Yaml)>),
}

impl Yaml {
    fn text(text: &str) -> Self {
        Self::Scalar(scalar(text))
    }

    fn texts(texts: &[String]) -> Self {
        Self::Sequence(texts.iter().map(|text| Self::text(text)).collect())
    }

    fn on_one_line(&self) -> String {
        match self {
            Self::Scalar(text) => text.clone(),
            Self::Sequence(items) => {
                let items: Vec<String> = items.iter().map(Self::on_one_line).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Mapping(pairs) => {
                let pair =
                    |(key, value): &(String, Self)| format!("{key}: {}", value.on_one_line());
                let pairs: Vec<String> = pairs.iter().map(pair).collect();
                format!("{{ {} }}", pairs.join(", "))
            }
        }
    }
}

/// `key: value`, on one line if that is short enough.
fn field(text: &mut String, indent: usize, key: &str, value: &Yaml) {
    let line = format!("{:indent$}{key}: {}", "", value.on_one_line());
    match value {
        Yaml::Sequence(items) if line.chars().count() > WIDTH => {
            text.push_str(&format!("{:indent$}{key}:\n", ""));
            list(text, indent + 2, items);
        }
        Yaml::Mapping(pairs) if line.chars().count() > WIDTH => {
            text.push_str(&format!("{:indent$}{key}:\n", ""));
            for (key, value) in pairs {
                field(text, indent + 2, key, value);
            }
        }
        Yaml::Scalar(_) | Yaml::Sequence(_) | Yaml::Mapping(_) => {
            text.push_str(&line);
            text.push('\n');
        }
    }
}

/// A list in brackets over as many lines as it takes.
fn list(text: &mut String, indent: usize, items: &[Yaml]) {
    let mut line = format!("{:indent$}[", "");
    for (position, item) in items.iter().enumerate() {
        let is_last = position + 1 == items.len();
        let item = format!("{}{}", item.on_one_line(), if is_last { "]" } else { "," });
        let is_first = position == 0;
        if !is_first && line.chars().count() + 1 + item.chars().count() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = " ".repeat(indent + 1);
        } else if !is_first {
            line.push(' ');
        }
        line.push_str(&item);
    }
    text.push_str(&line);
    text.push('\n');
}

/// A text as YAML takes it for this very text, with quotes where it needs them.
fn scalar(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_-./+@$^()~;?=<>\\*&%| ".contains(c);
    let begins = |c: char| c.is_alphanumeric() || "_./$^(\\+".contains(c);
    let is_safe = text.starts_with(begins)
        && !text.ends_with(' ')
        && text.chars().all(|c| is_plain(c) || c == ':')
        && !text.contains(": ")
        && !text.ends_with(':')
        && !is_other_type(text);
    if is_safe {
        return text.to_owned();
    }
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if is_printable(c) => quoted.push(c),
            c if u32::from(c) <= 0xffff => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    quoted.push('"');
    quoted
}

/// Whether other readers of YAML take it for a number, a truth, nothing or a date.
fn is_other_type(text: &str) -> bool {
    const WORDS: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    let is_word = WORDS.iter().any(|word| text.eq_ignore_ascii_case(word));
    let digits = text.replace('_', "");
    let is_number = digits.parse::<f64>().is_ok()
        || ["0x", "0o", "0b", ".inf", ".nan"].iter().any(|start| digits.starts_with(start));
    let is_moment = text.starts_with(|c: char| c.is_ascii_digit())
        && text.contains(['-', ':'])
        && text.chars().all(|c| c.is_ascii_digit() || "-:.+TtZz ".contains(c));
    is_word || is_number || is_moment
}

fn is_printable(c: char) -> bool {
    let is_break_or_mark = matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}');
    !c.is_control() && !is_break_or_mark && !matches!(c, '\u{fffe}' | '\u{ffff}')
}

/// Notes as comments; of several each has a dash.
fn comments(text: &mut String, indent: usize, notes: &[String]) {
    let (first, rest) = if notes.len() == 1 { ("#", "#") } else { ("# -", "#  ") };
    for note in notes {
        let clean: String = note.chars().map(|c| if is_printable(c) { c } else { ' ' }).collect();
        let mut line = format!("{:indent$}{first}", "");
        let mut is_begun = false;
        for word in clean.split_whitespace() {
            if is_begun && line.chars().count() + 1 + word.chars().count() > WIDTH {
                text.push_str(&line);
                text.push('\n');
                line = format!("{:indent$}{rest}", "");
            }
            line.push(' ');
            line.push_str(word);
            is_begun = true;
        }
        text.push_str(&line);
        text.push('\n');
    }
}
