//! One draft for each namespace, one rule for each limit that can be carried.
//!
//! The notes are for whoever reads the policy: each says what differs and what to do about it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::conditions;
use super::file::Limit;
use super::keys::{self, DESCRIPTORS, LIMIT};
use super::names;
use super::reading::{Reading, Refusal, tree, variables};
use crate::convert::attributes::Attributes;
use crate::convert::draft::{Draft, DraftLimit, DraftRule};
use crate::policy::findings::shown;

const FIRST_DESCRIPTOR: &str = "Limitador judges a call once, by its first descriptor as a rule; \
    here every descriptor is judged by itself: let Envoy send one. Of two entries with one key \
    Limitador reads the last, and this policy the first.";

/// A century without its leap days, the longest window that every policy can say.
const MOST_SECONDS: u64 = 100 * 365 * 86_400;

/// What makes two limits the same to Limitador.
type Identity<'l> = (u64, BTreeSet<&'l str>, BTreeSet<&'l str>);

pub(super) fn drafts(limits: &[Limit]) -> Vec<Draft> {
    let mut namespaces: Vec<(&str, Vec<&Limit>)> = Vec::new();
    let mut positions: BTreeMap<&str, usize> = BTreeMap::new();
    for limit in limits {
        let namespace = limit.namespace.as_str();
        let position = *positions.entry(namespace).or_insert(namespaces.len());
        match namespaces.get_mut(position) {
            Some((_, own)) => own.push(limit),
            None => namespaces.push((namespace, vec![limit])),
        }
    }
    let binds_bare = !limits.iter().any(is_of_2);
    namespaces.into_iter().map(|(namespace, own)| draft(namespace, &own, binds_bare)).collect()
}

/// Whether a limit is in the language of Limitador 2.0 and later, which has no bare names. A file
/// without any such limit is in that of 1.x, or nothing in it would ever apply.
fn is_of_2(limit: &Limit) -> bool {
    limit.conditions.iter().chain(&limit.variables).any(|text| match tree(text) {
        Ok(node) => keys::mentions(&node, DESCRIPTORS),
        Err(_) => text.contains("descriptors["),
    })
}

fn draft(namespace: &str, limits: &[&Limit], binds_bare: bool) -> Draft {
    let Read { keys, paths } = read(limits);
    let paths = paths.iter().map(String::as_str).collect();
    let attributes = Attributes::new(keys.iter().map(String::as_str).collect(), &paths);
    let mut draft = Draft {
        domain: namespace.to_owned(),
        notes: vec![FIRST_DESCRIPTOR.to_owned()],
        ..Draft::default()
    };
    let mut firsts: BTreeMap<Identity<'_>, &str> = BTreeMap::new();
    let mut taken = HashMap::new();
    for limit in limits {
        let described = described(limit);
        if let Some(first) = firsts.get(&identity(limit)) {
            draft.notes.push(format!(
                "left out: {described}. To Limitador it is the limit of {first}, which is the one \
                 in force: `max_value`, `name` and `id` do not tell two limits apart"
            ));
            continue;
        }
        firsts.insert(identity(limit), &limit.place);
        let mut reading = Reading::new(limit, &attributes);
        match rule(&mut reading, binds_bare) {
            Ok(mut rule) => {
                rule.origin = called(limit);
                rule.name = names::of(&rule, limit.name.as_deref(), &mut taken);
                let renamed = reading.renamed().map(|(attribute, key)| (attribute, vec![key]));
                draft.attributes.extend(renamed);
                draft.rules.push(rule);
            }
            Err(Refusal::Never(why)) => {
                draft
                    .notes
                    .push(format!("left out: {described}. Limitador never applies it: {why}"));
            }
            Err(Refusal::Unsaid(why)) => {
                draft.uncarried.push(called(limit));
                draft.notes.push(format!(
                    "not carried, so nothing limits this yet: {described}. Write a rule for it by \
                     hand: {why}"
                ));
            }
        }
    }
    draft
}

fn identity(limit: &Limit) -> Identity<'_> {
    let conditions = limit.conditions.iter().map(String::as_str).collect();
    (limit.seconds, conditions, limit.variables.iter().map(String::as_str).collect())
}

/// The names of entries.
struct Read {
    keys: BTreeSet<String>,
    /// Those that may be held against a text with a slash.
    paths: HashSet<String>,
}

/// All that the limits of a namespace read, also where they are not carried: an entry that is sent
/// for one of them must not be taken for another.
fn read(limits: &[&Limit]) -> Read {
    let mut read = Read { keys: BTreeSet::new(), paths: HashSet::new() };
    for limit in limits {
        let own = limit.name.iter().chain(&limit.id).any(|text| text.contains('/'));
        for text in limit.conditions.iter().chain(&limit.variables) {
            let Ok(node) = tree(text) else { continue };
            let mut keys = BTreeSet::new();
            keys::collect(&node, &mut keys);
            if text.contains('/') || (own && keys::mentions(&node, LIMIT)) {
                read.paths.extend(keys.iter().cloned());
            }
            read.keys.append(&mut keys);
        }
    }
    read
}

/// Its name, if it has one, and where it stands.
fn called(limit: &Limit) -> String {
    match &limit.name {
        Some(name) => format!("{} of {}", shown(name), limit.place),
        None => limit.place.clone(),
    }
}

/// The limit in one line.
fn described(limit: &Limit) -> String {
    let name = limit.name.as_ref().map(|name| format!(" {}", shown(name))).unwrap_or_default();
    let list = |texts: &[String]| {
        let texts: Vec<String> = texts
            .iter()
            .map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        texts.join(", ")
    };
    format!(
        "the limit{name} of {}, {} per {} seconds, conditions [{}], variables [{}]",
        limit.place,
        limit.max_value.unwrap_or_default(),
        limit.seconds,
        list(&limit.conditions),
        list(&limit.variables)
    )
}

/// The rule, which has no name yet.
fn rule(reading: &mut Reading<'_>, binds_bare: bool) -> Result<DraftRule, Refusal> {
    let limit = reading.limit;
    if limit.seconds == 0 {
        return Err(Refusal::Never("a window of 0 seconds is always over".to_owned()));
    }
    if limit.seconds > MOST_SECONDS {
        return Err(Refusal::Unsaid("a window is at most 100 years long".to_owned()));
    }
    let per = variables(reading)?;
    let conditions = conditions::read(reading, &per)?;
    let mut notes = notes(reading, binds_bare)?;
    if limit.max_value.is_none() {
        notes.push("the limit has no `max_value`: Limitador reads 0 and denies everything".into());
    }
    for field in &limit.unknown {
        notes.push(format!("the limit has a field {}, which Limitador ignores", shown(field)));
    }
    let limits = vec![DraftLimit {
        amount: limit.max_value.unwrap_or_default(),
        window: window(limit.seconds),
        begins_with_first_hit: true,
    }];
    let (matches, when) = (conditions.matches, conditions.when);
    Ok(DraftRule { notes, matches, when, per, limits, ..DraftRule::default() })
}

/// What is to be known of the entries that the limit reads.
fn notes(reading: &Reading<'_>, binds_bare: bool) -> Result<Vec<String>, Refusal> {
    let descriptors: BTreeSet<i64> =
        reading.keys.iter().map(|key| key.descriptor.unwrap_or(0)).collect();
    let mut notes: Vec<String> = reading.notes.iter().map(|note| (*note).to_owned()).collect();
    if descriptors.len() > 1 {
        let why = "it reads several descriptors together, and a rule reads one";
        return Err(Refusal::Unsaid(why.to_owned()));
    }
    if reading.keys.iter().any(|key| key.name.is_empty()) {
        return Err(Refusal::Unsaid("it reads an entry whose key is empty".to_owned()));
    }
    if let Some(number) = descriptors.first().filter(|number| **number != 0) {
        notes.push(format!(
            "Limitador reads `descriptors[{number}]` and fails a call that has none; this rule \
             reads every descriptor"
        ));
    }
    let bare: BTreeSet<&str> = reading
        .keys
        .iter()
        .filter(|key| key.descriptor.is_none())
        .map(|key| key.name.as_str())
        .collect();
    if !bare.is_empty() {
        let names: Vec<String> = bare.into_iter().map(shown).collect();
        let names = names.join(" and ");
        if !binds_bare {
            let why = format!(
                "bare names, such as {names}, are of Limitador 1.x, and other limits of this file \
                 are of 2.0 or later, where such names are not bound"
            );
            return Err(Refusal::Never(why));
        }
        notes.push(format!(
            "Limitador 1.x had bare names, such as {names}. From 2.0 on they are not bound, and the \
             limit never applies. Here they are read as entries: remove this rule if the limit \
             was not in force"
        ));
    }
    Ok(notes)
}

/// In hours, minutes or seconds: those are the windows whose length no calendar changes.
fn window(seconds: u64) -> String {
    match seconds {
        _ if seconds.is_multiple_of(3_600) => format!("{}h", seconds / 3_600),
        _ if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}
