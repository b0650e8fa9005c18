//! Reads the steps of one scenario, and settles when each of them comes.

use super::bounds::MOST_SENDS;
use super::model::{Action, Expect, PolicySource, ReportedLoad, Send, SentDescriptor, Step};
use super::read::{Defaults, Shared, domain, moment, number, policies};
use super::{expect, spans};
use crate::limit::Hits;
use crate::policy::findings::{Fields, Findings, Keys, Standing, one_or_more, shown};
use crate::policy::model::Placed;
use crate::time::Span;
use crate::yaml::{Node, Value};

pub(super) const STEP_KEYS: &Keys = &[
    ("send", Standing::Read),
    ("expect", Standing::Read),
    ("at", Standing::Read),
    ("after", Standing::Read),
    ("times", Standing::Read),
    ("every", Standing::Read),
    ("hits", Standing::Read),
    ("give_back", Standing::Read),
    ("domain", Standing::Read),
    ("lease", Standing::Read),
    ("reload", Standing::Read),
    ("load", Standing::Read),
    ("release", Standing::Read),
    ("description", Standing::Read),
    ("code", Standing::Elsewhere("write it inside of `expect`")),
    ("rule", Standing::Elsewhere("write it inside of `expect`")),
    ("headers", Standing::Elsewhere("write it inside of `expect`")),
    ("body", Standing::Elsewhere("write it inside of `expect`")),
    ("remaining", Standing::Elsewhere("write it inside of `expect`")),
    ("admitted", Standing::Elsewhere("write it inside of `expect`")),
];

/// What a step may do; exactly one of them.
const ACTIONS: [&str; 4] = ["send", "reload", "load", "release"];

/// Keys that only mean something beside `send`.
const OF_SEND: [&str; 7] = ["expect", "times", "every", "hits", "give_back", "lease", "domain"];

pub(super) const LOAD_KEYS: &Keys =
    &[("domain", Standing::Read), ("percent", Standing::Read), ("for", Standing::Read)];

pub(super) const DESCRIPTOR_KEYS: &Keys =
    &[("entries", Standing::Read), ("hits", Standing::Read), ("give_back", Standing::Read)];

pub(super) fn read_all(
    findings: &mut Findings,
    shared: &mut Shared,
    defaults: &Defaults,
    items: &[Node],
) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut now = Span::ZERO;
    let mut leases: Vec<String> = Vec::new();
    shared.sends.begin();
    for (item, number) in items.iter().zip(1..) {
        let Some(fields) = findings.fields(item, "a step", STEP_KEYS) else { continue };
        let offset = offset(findings, &fields, defaults, now);
        now = now.max(offset);
        let Some(action) = action(findings, shared, defaults, (&fields, item)) else { continue };
        match &action {
            Action::Send(send) => {
                shared.sends.add(findings, (item, number), send.times);
                leases.extend(send.lease.iter().map(|lease| lease.value.clone()));
                let spread = send.every.as_nanos().saturating_mul(send.times - 1);
                now = now.plus(Span::from_nanos(spread));
            }
            Action::Release(lease) if !leases.contains(&lease.value) => {
                let message = format!("no step before remembers a lease {}", shown(&lease.value));
                let hint =
                    format!("write `lease: {}` beside the `send` that takes it", lease.value);
                findings.error("unknown-lease", &lease.place.bytes, message, hint);
            }
            Action::Release(_) | Action::Reload(_) | Action::Load(_) => {}
        }
        steps.push(Step { number, place: findings.place(&item.bytes), offset, action });
    }
    steps
}

/// When a step comes: `at` since the start or at a time, `after` the step before, else at once.
fn offset(findings: &mut Findings, fields: &Fields<'_>, defaults: &Defaults, now: Span) -> Span {
    if let (Some(_), Some(after)) = (fields.value("at"), fields.value("after")) {
        let hint =
            "write `at` for a time since the start, or `after` for one since the step before";
        findings.error("conflict", &after.bytes, "a step has either `at` or `after`", hint);
        return now;
    }
    if let Some(after) = fields.value("after") {
        let after = span(findings, after).unwrap_or(Span::ZERO);
        return now.plus(after);
    }
    let Some(at) = fields.value("at") else { return now };
    let is_date = at.scalar().is_some_and(|at| at.text.matches('-').count() >= 2);
    let offset = if is_date {
        moment(findings, at).map(|moment| moment.since(defaults.start))
    } else {
        span(findings, at)
    };
    let Some(offset) = offset else { return now };
    if offset < now {
        let message = format!(
            "time does not go back: this is {} after the start, and the step before ends at {}",
            spans::in_words(offset),
            spans::in_words(now)
        );
        let hint = "write a later time, or `after: 1m` for one since the step before";
        findings.error("time-goes-back", &at.bytes, message, hint);
    }
    offset
}

pub(super) fn span(findings: &mut Findings, node: &Node) -> Option<Span> {
    let hint = "write it as `10s`, `1m 30s`, `2h` or `31d`";
    let scalar = findings.text(node, "a span of time", hint)?;
    let read = spans::span(&scalar.text);
    if read.is_none() {
        let message = format!("{} is not a span of time", shown(&scalar.text));
        findings.error("bad-span", &node.bytes, message, hint);
    }
    read
}

fn action(
    findings: &mut Findings,
    shared: &mut Shared,
    defaults: &Defaults,
    (fields, item): (&Fields<'_>, &Node),
) -> Option<Action> {
    let given: Vec<(&str, &Node)> =
        ACTIONS.iter().filter_map(|name| Some((*name, fields.value(name)?))).collect();
    let [(name, node)] = given.as_slice() else {
        let is_misspelt = given.is_empty() && ACTIONS.iter().any(|name| !fields.misses(name));
        if !is_misspelt {
            let message = "a step does one thing: `send`, `reload`, `load` or `release`";
            let hint = "write `send: { tenant: acme }`, and what else happens as steps of its own";
            findings.error("bad-step", &(item.bytes.start..item.bytes.start), message, hint);
        }
        return None;
    };
    let misplaced = OF_SEND.iter().find_map(|key| fields.key(key));
    if let Some(key) = misplaced.filter(|_| *name != "send") {
        let message = format!("this key has no meaning beside `{name}`");
        findings.error("misplaced-key", &key.bytes, message, "write it beside a `send`");
    }
    match *name {
        "send" => send(findings, defaults, fields, node).map(|send| Action::Send(Box::new(send))),
        "reload" => Some(Action::Reload(reload(findings, shared, node))),
        "load" => load(findings, defaults, node).map(Action::Load),
        _ => {
            let name = findings.text(node, "the name of a lease", "write `release: NAME`")?;
            Some(Action::Release(findings.placed(name.text.clone(), node)))
        }
    }
}

/// The number of the list of policies that comes into force; rows of a table share theirs.
fn reload(findings: &mut Findings, shared: &mut Shared, node: &Node) -> usize {
    let sources = policies(findings, node);
    let text = |source: &PolicySource| match source {
        PolicySource::Path(path) => (false, path.value.clone()),
        PolicySource::Text(text) => (true, text.value.clone()),
    };
    let texts = |sources: &[PolicySource]| sources.iter().map(text).collect::<Vec<_>>();
    let wanted = texts(&sources);
    match shared.policies.iter().position(|held| !held.is_empty() && texts(held) == wanted) {
        Some(number) => number,
        None => {
            shared.policies.push(sources);
            shared.policies.len() - 1
        }
    }
}

fn load(findings: &mut Findings, defaults: &Defaults, node: &Node) -> Option<ReportedLoad> {
    let fields = findings.fields(node, "a report of load", LOAD_KEYS)?;
    let own = fields.value("domain").and_then(|node| domain(findings, node));
    let hint = "write `percent: 95`";
    let percent = findings.require(&fields, "percent", ("a report of load", node), hint)?;
    let percent = number(findings, percent, "a percentage")?;
    let lasts = fields.value("for").and_then(|node| span(findings, node));
    Some(ReportedLoad { domain: own.or_else(|| defaults.domain.clone()), percent, lasts })
}

fn send(
    findings: &mut Findings,
    defaults: &Defaults,
    fields: &Fields<'_>,
    node: &Node,
) -> Option<Send> {
    let hits = hits(findings, fields).unwrap_or(Hits::Take(1));
    let descriptors: Vec<_> =
        one_or_more(node).iter().filter_map(|item| descriptor(findings, item, hits)).collect();
    if one_or_more(node).is_empty() {
        let hint = "write `send: { tenant: acme }`";
        findings.error("no-descriptor", &node.bytes, "there is nothing to send", hint);
    }
    let times = times(findings, fields);
    let every = fields.value("every");
    if let Some(key) = fields.key("every").filter(|_| fields.misses("times")) {
        let message = "`every` has no effect without `times`";
        findings.error("no-effect", &key.bytes, message, "write `times: 60` too");
    }
    let every = every.and_then(|node| span(findings, node)).unwrap_or(Span::ZERO);
    let own = fields.value("domain").and_then(|node| domain(findings, node));
    let lease: Option<Placed<String>> = fields.value("lease").and_then(|node| {
        let name = findings.text(node, "a name for the lease", "write `lease: NAME`")?;
        Some(findings.placed(name.text.clone(), node))
    });
    let expect = match fields.value("expect") {
        Some(node) => expect::read(findings, node, times),
        None => Expect::default(),
    };
    if let Some(statuses) = &expect.statuses
        && statuses.value.len() != descriptors.len()
    {
        let message = format!(
            "{} statuses are expected of {} descriptors",
            statuses.value.len(),
            descriptors.len()
        );
        let hint = "write one status for each descriptor, in their order";
        findings.error("bad-statuses", &statuses.place.bytes, message, hint);
    }
    let domain = own.or_else(|| defaults.domain.clone());
    Some(Send { domain, descriptors, times: times.unwrap_or(1), every, lease, expect })
}

/// `None` when it does not say.
fn times(findings: &mut Findings, fields: &Fields<'_>) -> Option<u64> {
    let node = fields.value("times")?;
    let times = number(findings, node, "how often to send")?;
    if times == 0 || times > MOST_SENDS {
        let message = format!("a request is sent from 1 to {MOST_SENDS} times");
        let hint = "write `hits: N` to take N at once, or remove the step";
        findings.error("bad-times", &node.bytes, message, hint);
        return None;
    }
    Some(times)
}

/// `hits: 3`, `hits: -3` or `give_back: 3`; `None` when it does not say.
fn hits(findings: &mut Findings, fields: &Fields<'_>) -> Option<Hits> {
    if let Some(given_back) = fields.value("give_back") {
        if let Some(key) = fields.key("hits") {
            let message = "a request takes hits or gives them back";
            findings.error("conflict", &key.bytes, message, "keep `hits` or `give_back`");
        }
        return number(findings, given_back, "how many hits to give back").map(Hits::GiveBack);
    }
    let node = fields.value("hits")?;
    let negative = node.scalar().and_then(|hits| hits.text.strip_prefix('-'));
    match negative.and_then(super::read::digits) {
        Some(given_back) => Some(Hits::GiveBack(given_back)),
        None => number(findings, node, "a number of hits").map(Hits::Take),
    }
}

/// `{ tenant: acme }`, or `{ entries: { tenant: acme }, hits: 3 }` with hits of its own.
fn descriptor(findings: &mut Findings, node: &Node, hits_of_step: Hits) -> Option<SentDescriptor> {
    let entries_of = node.member("entries").filter(|entries| entries.scalar().is_none());
    let (lists, hits) = match entries_of {
        Some(lists) => {
            let fields = findings.fields(node, "a descriptor", DESCRIPTOR_KEYS)?;
            (one_or_more(lists), hits(findings, &fields).unwrap_or(hits_of_step))
        }
        None => (std::slice::from_ref(node), hits_of_step),
    };
    let hint = "write `{ tenant: acme, method: GET }`";
    let mut entries = Vec::new();
    for list in lists {
        let Value::Mapping(pairs) = &list.value else {
            findings.unexpected(list, "entries as a mapping", hint);
            return None;
        };
        for (key, value) in pairs {
            let key = findings.text(key, "the key of an entry", hint)?;
            let Value::Scalar(value_text) = &value.value else {
                findings.unexpected(value, "the value of an entry", hint);
                return None;
            };
            entries.push((key.text.clone(), value_text.text.clone()));
        }
    }
    if entries.is_empty() {
        findings.error("no-descriptor", &node.bytes, "a descriptor has an entry or more", hint);
        return None;
    }
    Some(SentDescriptor { entries, hits })
}
