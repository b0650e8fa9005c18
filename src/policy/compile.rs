//! From a checked policy to its compiled domain.
//!
//! All names are resolved here: what a request meets is positions, slots and hashes.

use std::collections::HashMap;
use std::sync::Arc;

use super::amounts::{Amounts, amount_tables};
use super::load::Load;
use super::matcher::native::NativeMatcher;
use super::matcher::tree::{Level, Tree, TreeNode, TreeRule};
use super::model::{self, Body, Mode, NodeValue, Options, Policy};
use super::respond::Respond;
use super::set::{CounterHasher, CounterSeed, Domain, Matcher, Rule, RuleLimit};
use crate::limit::ChargeWhen;

/// The set numbers its domains and rules when all are there.
pub(super) fn domain(policy: &Policy, seed: CounterSeed, options: &Options) -> Domain {
    let name = policy.domain.value.as_str();
    let mut domain = match &policy.body {
        Body::Native(native) => {
            let respond = Arc::new(native.respond.clone());
            let load = native.load.as_ref().map(|load| {
                let exempt = load.exempt.iter().map(|conditions| applies_to(conditions)).collect();
                Load::new(name, load, exempt, &respond, seed)
            });
            Domain {
                index: 0,
                name: name.into(),
                rules: native_rules(native, &respond, seed),
                limitless: Vec::new(),
                respond,
                load: load.map(Box::new),
                matcher: Matcher::Native(Box::new(NativeMatcher::new(name, native, seed))),
            }
        }
        Body::Descriptors(nodes) => {
            let mut forest = Forest::new(name, seed);
            let mut tree = Tree::default();
            forest.grow(nodes, &mut Path::default(), tree.root_mut());
            Domain {
                index: 0,
                name: name.into(),
                limitless: std::mem::take(&mut forest.limitless),
                rules: forest.into_rules(),
                respond: Arc::new(Respond::BARE),
                load: None,
                matcher: Matcher::Tree(tree),
            }
        }
    };
    if options.mode == Mode::Shadow {
        let load = domain.load.as_mut().map(|load| &mut load.rule);
        domain.rules.iter_mut().chain(load).for_each(|rule| rule.mode = Mode::Shadow);
    }
    domain
}

fn native_rules(
    policy: &model::NativePolicy,
    shared: &Arc<Respond>,
    seed: CounterSeed,
) -> Vec<Rule> {
    let mut positions: HashMap<&str, Vec<u32>> = HashMap::new();
    for (rule, position) in policy.rules.iter().zip(0..) {
        positions.entry(&rule.name.value).or_default().push(position);
        if let Some(row) = &rule.row {
            positions.entry(&row.of.value).or_default().push(position);
        }
    }
    let positions: HashMap<&str, Arc<[u32]>> =
        positions.into_iter().map(|(name, positions)| (name, positions.into())).collect();
    let tables = Amounts { tables: &policy.tables, seed };
    let compile = |rule: &model::Rule| Rule {
        index: 0,
        name: rule.name.value.as_str().into(),
        wire_name: sanitise(&rule.name.value).into(),
        applies_to: applies_to(&rule.conditions),
        per: rule.per.iter().map(|name| name.value.clone()).collect(),
        limits: tables.limits(&rule.limits, &amount_tables(&policy.tables, rule)),
        overrides: tables.overrides(rule),
        row_of: rule.row.as_ref().map(|row| row.of.value.as_str().into()),
        is_unlimited: rule.unlimited,
        when: rule.when.as_ref().map(|when| when.value.to_string().into()),
        cost: rule.cost.as_ref().map(|cost| cost.value.to_string().into()),
        replaces: rule
            .replaces
            .iter()
            .filter_map(|name| positions.get(name.value.as_str()).cloned())
            .collect(),
        charge: rule.charge,
        mode: rule.mode,
        is_shown_in_shadow: false,
        has_refund: rule.refund,
        respond: rule.respond.clone().map_or_else(|| Arc::clone(shared), Arc::new),
    };
    policy.rules.iter().map(compile).collect()
}

/// The conditions in words, in an order that does not depend on how they were written.
fn applies_to(conditions: &[model::Condition]) -> String {
    let word = |condition: &model::Condition| {
        format!("{} is {}", condition.attribute.value, condition.pattern)
    };
    let mut words: Vec<String> = conditions.iter().map(word).collect();
    words.sort_unstable();
    words.join(", ")
}

/// A name as it may leave in headers that others write without escaping.
pub(super) fn sanitise(name: &str) -> String {
    let clean = |c: char| match c {
        '"' | '\\' | ',' | ';' => '_',
        ' '..='~' => c,
        _ => '_',
    };
    name.chars().map(clean).collect()
}

/// The keys and values from the root to a node: as text for people, as bytes for counters.
#[derive(Clone, Default)]
struct Path {
    text: String,
    parts: Vec<Vec<u8>>,
}

impl Path {
    fn with(&self, node: &model::Node) -> Self {
        let mut path = self.clone();
        if !path.text.is_empty() {
            path.text.push_str(" > ");
        }
        path.text.push_str(&escape(&node.key));
        let (kind, value) = match &node.value {
            NodeValue::Any => (b"any", String::new()),
            NodeValue::Exact(value) => (b"one", value.clone()),
            NodeValue::Wildcard(parts) => (b"all", parts.join("*")),
        };
        if !value.is_empty() {
            path.text.push('=');
            path.text.push_str(&escape(&value));
        }
        path.parts.extend([node.key.clone().into_bytes(), kind.to_vec(), value.into_bytes()]);
        path
    }
}

/// A key or value within a path, so that two different paths never read alike.
fn escape(part: &str) -> String {
    let mut escaped = String::with_capacity(part.len());
    for c in part.chars() {
        match c {
            '\\' | '=' | '>' => escaped.extend(['\\', c]),
            c if c.is_control() => escaped.extend(c.escape_default()),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The rules of a descriptors document, collected while its tree is built.
struct Forest<'p> {
    domain: &'p str,
    seed: CounterSeed,
    rules: Vec<(Option<&'p str>, Rule)>,
    replaces: Vec<&'p [model::Placed<String>]>,
    limitless: Vec<String>,
}

impl<'p> Forest<'p> {
    fn new(domain: &'p str, seed: CounterSeed) -> Self {
        Self { domain, seed, rules: Vec::new(), replaces: Vec::new(), limitless: Vec::new() }
    }

    fn grow(&mut self, nodes: &'p [model::Node], above: &mut Path, level: &mut Level) {
        for node in nodes {
            let mut path = above.with(node);
            let mut children = Level::default();
            let rule = node.limit.as_ref().map(|limit| self.rule(node, limit, &path));
            if rule.is_none() {
                self.limitless.push(path.text.clone());
            }
            self.grow(&node.children, &mut path, &mut children);
            let is_counted_by_value = match node.value {
                NodeValue::Any => true,
                NodeValue::Exact(_) => false,
                NodeValue::Wildcard(_) => !node.share_threshold,
            };
            let tree_node = TreeNode { rule, children, is_counted_by_value };
            level.insert(&node.key, &node.value, tree_node);
        }
    }

    fn rule(&mut self, node: &model::Node, limit: &'p model::NodeLimit, path: &Path) -> TreeRule {
        let mut counters = CounterHasher::new(self.seed);
        counters.feed(b"descriptor");
        counters.feed(self.domain.as_bytes());
        counters.feed(&path.parts.len().to_le_bytes());
        path.parts.iter().for_each(|part| counters.feed(part));
        let position = u32::try_from(self.rules.len()).unwrap_or(u32::MAX);
        let name = limit.name.as_ref().map(|name| name.value.as_str());
        let rule = Rule {
            index: 0,
            name: path.text.as_str().into(),
            wire_name: sanitise(name.unwrap_or_default()).into(),
            applies_to: path.text.clone(),
            per: Vec::new(),
            limits: limit.limit.iter().map(|limit| RuleLimit::new(self.seed, *limit)).collect(),
            overrides: Vec::new(),
            row_of: None,
            is_unlimited: limit.limit.is_none(),
            when: None,
            cost: None,
            replaces: Vec::new(),
            charge: ChargeWhen::Always,
            mode: if node.shadow_mode { Mode::Shadow } else { Mode::Enforce },
            is_shown_in_shadow: true,
            has_refund: true,
            respond: Arc::new(Respond::BARE),
        };
        self.rules.push((name, rule));
        self.replaces.push(&limit.replaces);
        TreeRule { rule: position, counters }
    }

    /// Several rules may carry one name: replacing the name drops them all. An unlimited rule can
    /// replace, and cannot be replaced.
    fn into_rules(self) -> Vec<Rule> {
        let mut by_name: HashMap<&str, Vec<u32>> = HashMap::new();
        for ((name, rule), position) in self.rules.iter().zip(0_u32..) {
            if let Some(name) = name
                && !rule.is_unlimited
            {
                by_name.entry(name).or_default().push(position);
            }
        }
        let by_name: HashMap<&str, Arc<[u32]>> =
            by_name.into_iter().map(|(name, positions)| (name, positions.into())).collect();
        let replaced = |names: &[model::Placed<String>]| -> Vec<Arc<[u32]>> {
            names.iter().filter_map(|name| by_name.get(name.value.as_str()).cloned()).collect()
        };
        let rules = self.rules.into_iter().zip(&self.replaces);
        rules
            .map(|((_, mut rule), names)| {
                rule.replaces = replaced(names);
                rule
            })
            .collect()
    }
}
