//! Values of tables that rules match by text, and that are probably misspelt in one of the two.
//!
//! A row whose value no rule matches is without limits and says nothing, so it is reported; but
//! only where another value is near, since tables may well hold what no rule asks for.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::policy::diagnostic::Diagnostic;
use crate::policy::findings::shown;
use crate::policy::model::{Condition, FieldKind, NativePolicy, Pattern, Place, Table};
use crate::policy::native::may_hold;
use crate::policy::suggest;
use crate::policy::when::Name;

use super::warning;

/// Looking for near texts is dear: no more pairs than these are compared for one field.
const MOST_COMPARED: usize = 100_000;

/// What rules ask of one field.
#[derive(Default)]
struct Asked<'p> {
    /// The texts that it is held against, and where the first such condition was written.
    exact: BTreeMap<&'p str, &'p Place>,
    others: Vec<&'p Pattern>,
    /// Conditions ask for it too, in ways that cannot be told.
    is_computed: bool,
}

impl<'p> Asked<'p> {
    fn add(&mut self, pattern: &'p Pattern, place: &'p Place) {
        match pattern {
            Pattern::Equals(text) => {
                self.exact.entry(text).or_insert(place);
            }
            Pattern::AnyOf(patterns) => patterns.iter().for_each(|it| self.add(it, place)),
            Pattern::Prefix(_)
            | Pattern::Not(_)
            | Pattern::Present
            | Pattern::Absent
            | Pattern::Endpoint(_)
            | Pattern::Network(_) => self.others.push(pattern),
        }
    }

    fn is_matched(&self, value: &str) -> bool {
        let may_hold = |pattern: &&Pattern| may_hold(pattern, Some(value));
        self.exact.contains_key(value) || self.others.iter().any(may_hold)
    }
}

pub(super) fn check(found: &mut Vec<Diagnostic>, policy: &NativePolicy) {
    if policy.tables.is_empty() {
        return;
    }
    let mut asked: HashMap<String, Asked<'_>> = HashMap::new();
    for Condition { attribute, pattern } in conditions(policy) {
        if attribute.value.contains('.') {
            let of_field = asked.entry(attribute.value.clone()).or_default();
            of_field.add(pattern, &attribute.place);
        }
    }
    let names = policy.rules.iter().flat_map(|rule| &rule.when).flat_map(|it| it.value.names());
    for name in names {
        if let Name::Field { table, field } = name {
            asked.entry(format!("{table}.{field}")).or_default().is_computed = true;
        }
    }
    let mut asked: Vec<_> = asked.into_iter().collect();
    asked.sort_by(|(one, _), (other, _)| one.cmp(other));
    for (name, asked) in &asked {
        let Some((table, field)) = name.split_once('.') else { continue };
        let table = policy.tables.iter().find(|it| it.is_read && it.name.value == table);
        if let Some(table) = table {
            check_field(found, (table, field), asked);
        }
    }
}

fn conditions(policy: &NativePolicy) -> impl Iterator<Item = &Condition> {
    let own = policy.rules.iter().flat_map(|rule| &rule.conditions);
    let overrides = policy.rules.iter().flat_map(|rule| &rule.overrides);
    let exempt = policy.load.iter().flat_map(|load| load.exempt.iter().flatten());
    own.chain(overrides.flat_map(|over| &over.conditions)).chain(exempt)
}

/// The first row with a value; `None` is the row `default`.
type FirstRow<'p> = Option<(&'p str, Option<&'p Place>)>;

fn check_field(found: &mut Vec<Diagnostic>, (table, field): (&Table, &str), asked: &Asked<'_>) {
    let mut held: BTreeMap<&str, FirstRow<'_>> = BTreeMap::new();
    let named = table.rows.named.iter().zip(0..).map(|((name, row), position)| {
        let place = table.rows.places.get::<usize>(position);
        (Some((name.as_str(), place)), row)
    });
    for (first, row) in table.rows.default.iter().map(|row| (None, row)).chain(named) {
        let value = row.get(field).filter(|it| !matches!(it.kind, FieldKind::Number(_)));
        if let Some(value) = value {
            held.entry(&value.text).or_insert(first);
        }
    }
    if held.len().saturating_mul(asked.exact.len() + asked.others.len()) > MOST_COMPARED {
        return;
    }
    let place =
        |row: &FirstRow<'_>| row.and_then(|(_, place)| place).unwrap_or(&table.name.place).clone();
    let shown_row = |row: &FirstRow<'_>| shown(row.map_or("default", |(name, _)| name));
    let known: HashSet<&str> = held.keys().copied().collect();
    for (text, condition) in &asked.exact {
        let near = held.iter().find(|(value, _)| suggest::is_misspelt(text, value));
        if let Some((near, row)) = near.filter(|_| !known.contains(text)) {
            let of = shown(&table.name.value);
            let message = format!("no row of the table {of} has the `{field}` {}", shown(text));
            let hint = match asked.is_computed || asked.is_matched(near) {
                true => format!("did you mean {}, as in the row {}?", shown(near), shown_row(row)),
                // Which of the two is misspelt cannot be told.
                false => format!(
                    "the row {} has {}, which no rule matches; write the same in both",
                    shown_row(row),
                    shown(near)
                ),
            };
            let label = if row.is_some() { "the row" } else { "the table" };
            let related = (place(row), label);
            found.push(warning("unmatched-value", condition, message, hint).with(related));
        }
    }
    let unmatched = held.iter().filter(|(value, _)| !asked.is_computed && !asked.is_matched(value));
    for (value, row) in unmatched {
        let is_near = |(text, _): &(&&str, &&Place)| {
            known.contains(*text) && suggest::is_misspelt(value, text)
        };
        if let Some((near, condition)) = asked.exact.iter().find(is_near) {
            let row_name = shown_row(row);
            let message =
                format!("no rule matches the `{field}` {} of the row {row_name}", shown(value));
            let hint = format!("did you mean {}?", shown(near));
            let related = ((*condition).clone(), "matched here");
            found.push(warning("unmatched-value", &place(row), message, hint).with(related));
        }
    }
}
