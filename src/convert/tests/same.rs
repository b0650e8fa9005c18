//! A converted policy decides as the original does, request by request.
//!
//! Left out of what is asked, for it differs by nature and is noted in what is written: entries
//! in another order than the policy has them, limits that a request brings along, values that are no UTF-8 where a wildcard has its star not
//! at the end, and wildcards with two texts between stars. The numbers of limits in shadow mode are
//! not compared: native answers leave them out.

use std::fmt::Write;

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::{converted, set, source};
use crate::decide::{Code, conclude, plan};
use crate::limit::Hits;
use crate::policy::compile;
use crate::policy::model::{Mode, Options};
use crate::policy::set::{CounterSeed, PolicySet};
use crate::request::{Descriptor, Entry, Request};
use crate::store::memory::MemoryStore;
use crate::time::{Span, Timestamp};

/// In the order in which the policy and requests have them. Natively each of the last two is read
/// from more than its own entry, and means more than its text.
const KEYS: [&str; 3] = ["tenant", "method", "path"];
const EXACT: [&str; 5] = ["x", "xy", "yx", "/a/", "present"];
const WILD: [&str; 8] = ["x*", "xy*", "*y", "*x", "x*x", "*x*", "*", "x*/*"];
const SENT: [&str; 9] = ["", "x", "xy", "yx", "xyx", "xx", "/a/", "present", "z"];
const UNITS: [&str; 7] = ["second", "minute", "hour", "day", "week", "month", "year"];
const NAMES: [&str; 3] = ["one", "two", "three"];

#[derive(Clone, Debug)]
struct Descr {
    key: usize,
    value: Option<&'static str>,
    share: bool,
    shadow: bool,
    limit: Option<Limit>,
    children: Vec<Descr>,
}

#[derive(Clone, Debug)]
struct Limit {
    /// `None` is unlimited.
    amount: Option<(u32, &'static str)>,
    name: Option<&'static str>,
    replaces: Vec<&'static str>,
}

fn limit() -> impl Strategy<Value = Limit> {
    let amount = weighted(0.85, (0..4_u32, select(&UNITS[..])));
    let name = weighted(0.5, select(&NAMES[..]));
    let replaces = prop_oneof![3 => Just(Vec::new()), 1 => subsequence(&NAMES[..], 1..3)];
    (amount, name, replaces).prop_map(|(amount, name, mut replaces)| {
        replaces.retain(|it| Some(*it) != name);
        Limit { amount, name, replaces }
    })
}

/// Descriptors of one level, for keys from `from` on.
fn level(from: usize) -> BoxedStrategy<Vec<Descr>> {
    if from == KEYS.len() {
        return Just(Vec::new()).boxed();
    }
    let value = prop_oneof![
        2 => Just(None),
        3 => select(&EXACT[..]).prop_map(Some),
        2 => select(&WILD[..]).prop_map(Some),
    ];
    let one = (from..KEYS.len()).prop_flat_map(move |key| {
        let children = prop_oneof![2 => Just(Vec::new()), 3 => level(key + 1)];
        let flags = (any::<bool>(), proptest::bool::weighted(0.15));
        (Just(key), value.clone(), flags, weighted(0.8, limit()), children)
    });
    vec(one, 0..6)
        .prop_map(|all| {
            let mut level: Vec<Descr> = Vec::new();
            for (key, value, (share, shadow), limit, children) in all {
                if level.iter().all(|other| (other.key, other.value) != (key, value)) {
                    let share = share && value.is_some_and(|value| value.contains('*'));
                    level.push(Descr { key, value, share, shadow, limit, children });
                }
            }
            level
        })
        .boxed()
}

fn write_level(text: &mut String, indent: usize, level: &[Descr]) {
    for it in level {
        writeln!(text, "{:indent$}- key: {}", "", KEYS[it.key]).unwrap();
        let indent = indent + 2;
        if let Some(value) = it.value {
            writeln!(text, "{:indent$}value: '{value}'", "").unwrap();
        }
        let flags = [("share_threshold", it.share), ("shadow_mode", it.shadow)];
        for (flag, _) in flags.iter().filter(|(_, is_set)| *is_set) {
            writeln!(text, "{:indent$}{flag}: true", "").unwrap();
        }
        if let Some(limit) = &it.limit {
            let mut fields = match limit.amount {
                Some((amount, unit)) => format!("unit: {unit}, requests_per_unit: {amount}"),
                None => "unlimited: true".to_owned(),
            };
            if let Some(name) = limit.name {
                write!(fields, ", name: {name}").unwrap();
            }
            let names: Vec<String> =
                limit.replaces.iter().map(|name| format!("{{ name: {name} }}")).collect();
            write!(fields, ", replaces: [{}]", names.join(", ")).unwrap();
            writeln!(text, "{:indent$}rate_limit: {{ {fields} }}", "").unwrap();
        }
        if !it.children.is_empty() {
            writeln!(text, "{:indent$}descriptors:", "").unwrap();
            write_level(text, indent + 2, &it.children);
        }
    }
}

fn policy(level: &[Descr]) -> String {
    let mut text = "domain: d\ndescriptors:\n".to_owned();
    write_level(&mut text, 2, level);
    if level.is_empty() { "domain: d\ndescriptors: []\n".to_owned() } else { text }
}

#[derive(Clone, Debug)]
struct Step {
    wait: u64,
    /// Entries and hits of each.
    descriptors: Vec<(Vec<(&'static str, &'static str)>, Hits)>,
}

fn step() -> impl Strategy<Value = Step> {
    let entries = subsequence(&KEYS[..], 0..=KEYS.len()).prop_flat_map(|keys| {
        let values = vec(select(&SENT[..]), keys.len());
        let more = prop_oneof![
            4 => Just(None),
            1 => select(&SENT[..]).prop_map(|value| Some(("unknown", value))),
            1 => (select(&KEYS[..]), select(&SENT[..])).prop_map(Some),
        ];
        (Just(keys), values, more).prop_map(|(keys, values, more)| {
            let mut entries: Vec<_> = keys.iter().copied().zip(values).collect();
            // Behind them an entry that no policy names, or once more a key that is there.
            entries.extend(more.filter(|(key, _)| *key == "unknown" || keys.contains(key)));
            entries
        })
    });
    let hits =
        prop_oneof![6 => (0..4_u64).prop_map(Hits::Take), 1 => (0..3_u64).prop_map(Hits::GiveBack)];
    let wait = select(vec![0, 0, 0, 0, 1, 40, 3_600, 200_000, 3_000_000]);
    (wait, vec((entries, hits), 1..4)).prop_map(|(wait, descriptors)| Step { wait, descriptors })
}

/// What is told of one descriptor: its code, whether it is unlimited, amount and what remains.
type Status = (Code, bool, Option<(u64, u64)>);

struct Gate {
    set: PolicySet,
    store: MemoryStore,
}

impl Gate {
    fn ask(&self, step: &Step, now: Timestamp) -> (Code, Vec<Status>) {
        let descriptors = step.descriptors.iter().map(|(entries, hits)| {
            let entry = |(key, value): &(&'static str, &'static str)| Entry {
                key: key.as_bytes(),
                value: value.as_bytes(),
            };
            Descriptor { entries: entries.iter().map(entry).collect(), hits: *hits, limit: None }
        });
        let request = Request { domain: b"d", descriptors: descriptors.collect() };
        let plan = plan(&self.set, &request, now, |_| None);
        assert!(plan.failures.is_empty(), "a condition fails for {step:?}");
        let outcomes = self.store.charge(&plan.charges, now);
        let decision = conclude(&plan, &outcomes);
        let statuses = decision.statuses.iter().map(|status| {
            let enforced = |rule: Option<&crate::policy::set::Rule>| {
                rule.is_some_and(|rule| rule.mode == Mode::Enforce)
            };
            let told = decision.binding_of(status).filter(|binding| enforced(binding.rule));
            (status.code, status.is_unlimited, told.map(|it| (it.limit.amount, it.remaining)))
        });
        (decision.code, statuses.collect())
    }
}

fn original(text: &str) -> PolicySet {
    let sources = [source("original.yaml", text)];
    let compiled = compile(&sources, CounterSeed([1, 2]), &Options::default());
    compiled.set.unwrap_or_else(|| panic!("{text}\n{:#?}", compiled.diagnostics))
}

fn compare(level: &[Descr], steps: &[Step]) {
    let text = &policy(level);
    let native = converted(text, None);
    let gates = [original(text), set(&native)];
    let [original, converted] = gates.map(|set| Gate { set, store: MemoryStore::default() });
    let mut now = Timestamp::from_seconds(1_795_000_020);
    for step in steps {
        now = now.plus(Span::from_seconds(step.wait));
        let (expected, found) = (original.ask(step, now), converted.ask(step, now));
        assert_eq!(expected, found, "{step:?}\n{text}\n{native}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_converted_policy_decides_as_the_original(level in level(0), steps in vec(step(), 1..30)) {
        compare(&level, &steps);
    }
}
