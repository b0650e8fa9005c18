//! From the descriptors of the envoyproxy/ratelimit format to their tree and its rules.
//!
//! A rule is known by its path of keys and values, in which two different paths never read alike.

use std::collections::HashMap;
use std::sync::Arc;

use super::sanitise;
use crate::limit::ChargeWhen;
use crate::policy::matcher::tree::{Counted, Level, Tree, TreeNode, TreeRule};
use crate::policy::model::{self, DescriptorOptions, Mode, NodeValue, Options};
use crate::policy::path_text;
use crate::policy::respond::Respond;
use crate::policy::set::{
    CounterSeed, DescriptorDomain, DescriptorRule, DetailLevel, Domain, Matcher, Rule, RuleLimit,
    RuleSalt,
};

pub(super) fn domain(
    name: &str,
    nodes: &[model::Node],
    seed: CounterSeed,
    options: &Options,
) -> Domain {
    let mut tree = Tree::new(name, seed);
    let mut forest = Forest {
        tree: &tree,
        domain: name,
        seed,
        rules: Vec::new(),
        replaces: Vec::new(),
        limitless: Vec::new(),
    };
    let mut root = Level::default();
    forest.grow(nodes, &Path::default(), &mut root);
    let limitless = std::mem::take(&mut forest.limitless);
    let rules = forest.into_rules();
    *tree.root_mut() = root;
    let DescriptorOptions { spares_others, quota_mode, headers, .. } = &options.descriptors;
    Domain {
        index: 0,
        name: name.into(),
        rules,
        limitless,
        respond: Arc::new(Respond::BARE),
        load: None,
        descriptors: Some(Box::new(DescriptorDomain {
            spares_others: *spares_others,
            is_shadow: options.mode == Mode::Shadow,
            quota_mode: *quota_mode,
            headers: headers.clone(),
        })),
        matcher: Matcher::Tree(tree),
    }
}

/// The keys and values from the root to a node: as text for people, and what counters and metrics
/// make of them.
#[derive(Clone, Default)]
struct Path {
    text: String,
    keys: Vec<Vec<u8>>,
    levels: Vec<PathLevel>,
}

#[derive(Clone)]
struct PathLevel {
    /// As a part of the path.
    text: String,
    /// Whether requests may bring different values, each of its own.
    is_open: bool,
    tells_value: bool,
}

impl Path {
    fn with(&self, node: &model::Node) -> Self {
        let value = match &node.value {
            NodeValue::Any => String::new(),
            NodeValue::Exact(value) => value.clone(),
            NodeValue::Wildcard(parts) => parts.join("*"),
        };
        let text = path_text::level(&node.key, &value);
        let mut path = self.clone();
        path_text::push(&mut path.text, &text);
        path.keys.push(node.key.clone().into_bytes());
        let is_open = counted(node) == Counted::ByValue;
        path.levels.push(PathLevel { text, is_open, tells_value: node.value_to_metric });
        path
    }

    /// What metrics tell of a rule besides its path, where that depends on the request.
    fn detail(&self, leaf: &model::Node) -> Option<Box<[DetailLevel]>> {
        let tells =
            |level: &PathLevel| level.is_open && (level.tells_value || leaf.detailed_metric);
        let detail = self.levels.iter().map(|level| match tells(level) {
            true => DetailLevel::Request,
            false => DetailLevel::Fixed(level.text.as_str().into()),
        });
        self.levels.iter().any(tells).then(|| detail.collect())
    }
}

fn counted(node: &model::Node) -> Counted {
    match &node.value {
        NodeValue::Any => Counted::ByValue,
        NodeValue::Exact(_) => Counted::One,
        NodeValue::Wildcard(parts) if node.share_threshold => {
            Counted::ByPattern(parts.join("*").into())
        }
        NodeValue::Wildcard(_) => Counted::ByValue,
    }
}

/// The rules of a descriptors document, collected while its tree is built.
struct Forest<'p> {
    tree: &'p Tree,
    domain: &'p str,
    seed: CounterSeed,
    rules: Vec<(Option<&'p str>, Rule)>,
    replaces: Vec<&'p [model::Placed<String>]>,
    limitless: Vec<String>,
}

impl<'p> Forest<'p> {
    fn grow(&mut self, nodes: &'p [model::Node], above: &Path, level: &mut Level) {
        for node in nodes {
            let path = above.with(node);
            let mut children = Level::default();
            let rule = node.limit.as_ref().map(|limit| self.rule(node, limit, &path));
            if rule.is_none() {
                self.limitless.push(path.text.clone());
            }
            self.grow(&node.children, &path, &mut children);
            let tree_node = TreeNode { rule, children, counted: counted(node) };
            level.insert(&node.key, &node.value, tree_node);
        }
    }

    fn rule(&mut self, node: &model::Node, limit: &'p model::NodeLimit, path: &Path) -> TreeRule {
        let position = u32::try_from(self.rules.len()).unwrap_or(u32::MAX);
        let name = limit.name.as_ref().map(|name| name.value.as_str());
        let rule = Rule {
            index: 0,
            name: path.text.as_str().into(),
            salt: RuleSalt::new(self.seed, self.domain, &path.text),
            wire_name: sanitise(name.unwrap_or_default()).into(),
            applies_to: path.text.clone(),
            per: Vec::new(),
            limits: limit.limit.iter().map(|limit| RuleLimit::new(self.seed, *limit)).collect(),
            overrides: Vec::new(),
            row_of: None,
            is_unlimited: limit.limit.is_none(),
            is_replacing: false,
            when: None,
            cost: None,
            replaces: Vec::new(),
            charge: ChargeWhen::Always,
            mode: if node.shadow_mode { Mode::Shadow } else { Mode::Enforce },
            descriptor: Some(Box::new(DescriptorRule {
                is_quota: node.quota_mode,
                detail: path.detail(node),
                metadata: node.metadata.clone(),
            })),
            has_refund: true,
            is_strict: false,
            overflow: crate::policy::set::CounterBase::SHARED,
            respond: Arc::new(Respond::BARE),
        };
        self.rules.push((name, rule));
        self.replaces.push(&limit.replaces);
        let counters = self.tree.counters(path.keys.iter().map(Vec::as_slice));
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
