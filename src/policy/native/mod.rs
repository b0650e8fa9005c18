//! Reads the native `rules:` document.
//!
//! Every rule that has a name reaches the model, also one with faults, so that checks between
//! rules do not report what is only missing because of another fault.

mod answer;
mod body;
mod calendar;
mod doubt;
mod endpoint;
mod endpoints;
mod formulas;
mod limits;
mod load;
mod overrides;
mod pattern;
mod shares;
mod tables;

pub(crate) use doubt::is_more_than_text;

use crate::limit::{ChargeWhen, Share};
use crate::policy::findings::{Fields, Findings, Keys, Standing, one_or_more, shown};
use crate::policy::formula::Formula;
use crate::policy::model::{
    AttributeKeys, Body, EndpointRow, Mode, NativePolicy, Placed, Policy, Rule,
};
use crate::policy::suggest;
use crate::policy::tables::TableFiles;
use crate::policy::template::{Segment, Template};
use crate::policy::when::{Tables, When};
use crate::yaml::{Node, Value};

pub(super) use formulas::{amount as amount_of, field as number_of, may_hold};
pub(super) use tables::{Room, file_of as file_of_table, read_rows};

use answer::Layer;
use doubt::Role;
use limits::Limits;
use pattern::Base;

const POLICY_KEYS: &Keys = &[
    ("domain", Standing::Read),
    ("rules", Standing::Read),
    ("attributes", Standing::Read),
    ("respond", Standing::Read),
    ("charge", Standing::Read),
    ("mode", Standing::Read),
    ("description", Standing::Read),
    ("tables", Standing::Read),
    ("load", Standing::Read),
    ("base", Standing::Read),
    ("name", Standing::Elsewhere("a policy is known by its `domain`; rules have names")),
    ("match", Standing::Elsewhere("put it into a rule under `rules`")),
    ("per", Standing::Elsewhere("put it into a rule under `rules`")),
    ("limits", Standing::Elsewhere("put it into a rule under `rules`")),
    ("replaces", Standing::Elsewhere("put it into a rule under `rules`")),
    ("unlimited", Standing::Elsewhere("put it into a rule under `rules`")),
    ("refund", Standing::Elsewhere("put it into a rule under `rules`")),
    ("strict", Standing::Elsewhere("put it into a rule under `rules`")),
    ("retry_after", Standing::Elsewhere("put it into `respond`")),
    ("headers", Standing::Elsewhere("put it into `respond`")),
    ("body", Standing::Elsewhere("put it into `respond`")),
];

const RULE_KEYS: &Keys = &[
    ("name", Standing::Read),
    ("match", Standing::Read),
    ("per", Standing::Read),
    ("limits", Standing::Read),
    ("charge", Standing::Read),
    ("mode", Standing::Read),
    ("replaces", Standing::Read),
    ("unlimited", Standing::Read),
    ("refund", Standing::Read),
    ("strict", Standing::Read),
    ("respond", Standing::Read),
    ("description", Standing::Read),
    ("others", Standing::Read),
    ("when", Standing::Read),
    ("cost", Standing::Read),
    ("endpoints", Standing::Read),
    ("base", Standing::Read),
    ("resume_below", Standing::Read),
    ("overrides", Standing::Read),
    ("domain", Standing::Elsewhere("put it at the top, beside `rules`")),
    ("attributes", Standing::Elsewhere("put it at the top, beside `rules`")),
    ("kind", Standing::Elsewhere("put it into a limit: `{ amount: 100, window: 10s, kind: ... }`")),
    ("amount", Standing::Elsewhere("put it into `limits`: `limits: [100/10s]`")),
    ("window", Standing::Elsewhere("put it into `limits`: `limits: [100/10s]`")),
    ("endpoint", Standing::Elsewhere("put it into `match`")),
    ("method", Standing::Elsewhere("put it into `match`")),
    ("retry_after", Standing::Elsewhere("put it into the rule's `respond`")),
    ("headers", Standing::Elsewhere("put it into the rule's `respond`")),
    ("body", Standing::Elsewhere("put it into the rule's `respond`")),
];

/// Every table of keys, by the definition that the schema has for it.
#[cfg(test)]
pub(super) const KEY_TABLES: &[(&str, &Keys)] = &[
    ("policy", POLICY_KEYS),
    ("rule", RULE_KEYS),
    ("limit", limits::LIMIT_KEYS),
    ("pattern", pattern::PATTERN_KEYS),
    ("endpoint_pattern", pattern::PATTERN_KEYS),
    ("ip_pattern", pattern::PATTERN_KEYS),
    ("endpoint_row", endpoints::ROW_KEYS),
    ("override", overrides::OVERRIDE_KEYS),
    ("respond", answer::RESPOND_KEYS),
    ("retry_after_long", answer::RETRY_AFTER_KEYS),
    ("load", load::LOAD_KEYS),
    ("load_capacity", load::CAPACITY_KEYS),
    ("load_headers", load::HEADER_KEYS),
];

const OTHERS: &[(&str, ())] = &[("absent", ())];

const CHARGES: &[(&str, ChargeWhen)] =
    &[("admitted", ChargeWhen::Admitted), ("always", ChargeWhen::Always)];
const MODES: &[(&str, Mode)] = &[("enforce", Mode::Enforce), ("shadow", Mode::Shadow)];

/// A counter's key is made of so many values at most.
const MOST_PER: usize = 32;

const ATTRIBUTE_HINT: &str = "write the name of an attribute, such as `tenant`";

/// What a rule takes from its policy.
struct Defaults {
    charge: ChargeWhen,
    mode: Mode,
    respond: Layer,
    base: Option<Template>,
    /// What conditions may ask of the tables.
    tables: Tables,
    /// `NAME.` of each table that could not be read.
    unread: Vec<String>,
}

pub(super) fn read(
    findings: &mut Findings,
    document: &Node,
    files: TableFiles<'_>,
) -> Option<Policy> {
    let fields = findings.fields(document, "a policy", POLICY_KEYS)?;
    let domain = read_domain(findings, &fields, document);
    let attributes =
        fields.value("attributes").map_or_else(Vec::new, |node| read_attributes(findings, node));
    let tables =
        fields.value("tables").map_or_else(Vec::new, |node| tables::read(findings, node, &files));
    let defaults = Defaults {
        charge: read_charge(findings, &fields).unwrap_or(ChargeWhen::Admitted),
        mode: read_mode(findings, &fields).unwrap_or(Mode::Enforce),
        respond: fields
            .value("respond")
            .map_or_else(Layer::default, |node| answer::read(findings, node)),
        base: fields.value("base").and_then(|node| read_base(findings, node)),
        tables: tables::kinds(&tables),
        unread: tables::unread(&tables),
    };
    let load = fields
        .value("load")
        .and_then(|node| load::read(findings, node, Base(defaults.base.as_ref()), defaults.mode));
    let mut rules =
        fields.value("rules").map_or_else(Vec::new, |node| read_rules(findings, node, &defaults));
    if let Some(node) = fields.value("rules").filter(|node| is_empty_list(node))
        && fields.misses("load")
    {
        let hint = "add a rule, or remove the file";
        findings.warning("no-rules", &node.bytes, "this policy has no rules", hint);
    }
    shares::work_out(findings, &mut rules);
    formulas::check(findings, &rules, load.as_ref(), &tables);
    let respond = defaults.respond.complete();
    let load = load.map(Box::new);
    let body = Body::Native(Box::new(NativePolicy { attributes, tables, rules, respond, load }));
    Some(Policy { domain: domain?, body })
}

/// The domain of a policy of either format.
pub(super) fn read_domain(
    findings: &mut Findings,
    fields: &Fields<'_>,
    document: &Node,
) -> Option<Placed<String>> {
    let hint = "write `domain: NAME`, the name that Envoy's rate limit filter sends as `domain`";
    let node = findings.require(fields, "domain", ("this policy", document), hint)?;
    findings.text(node, "a domain", hint).map(|scalar| findings.placed(scalar.text.clone(), node))
}

fn read_attributes(findings: &mut Findings, node: &Node) -> Vec<AttributeKeys> {
    let hint = "write `NAME: [key, key]`: the descriptor keys that the attribute is read from";
    let Value::Mapping(pairs) = &node.value else {
        findings.unexpected(node, "a mapping of attributes to descriptor keys", hint);
        return Vec::new();
    };
    let mut attributes = Vec::new();
    for (name, keys) in pairs {
        let Some(attribute) = findings.text(name, "an attribute", hint) else {
            continue;
        };
        doubt::check_name(findings, name, Role::Key);
        for key in one_or_more(keys) {
            doubt::check_name(findings, key, Role::Item);
        }
        let keys: Vec<_> = findings.names(keys, "a descriptor key", hint);
        if keys.is_empty() {
            let message = format!("the attribute {} has no keys", shown(&attribute.text));
            findings.error("empty-list", &name.bytes, message, hint);
        }
        let keys = keys.into_iter().map(|key| key.value).collect();
        attributes.push(AttributeKeys { attribute: attribute.text.clone(), keys });
    }
    attributes
}

fn is_empty_list(node: &Node) -> bool {
    matches!(&node.value, Value::Sequence(items) if items.is_empty())
}

fn read_rules(findings: &mut Findings, node: &Node, defaults: &Defaults) -> Vec<Rule> {
    let hint = "write each rule as a list item: `- name: ...`";
    let Value::Sequence(items) = &node.value else {
        findings.unexpected(node, "a list of rules", hint);
        return Vec::new();
    };
    let mut rules = Vec::with_capacity(items.len());
    for (item, number) in items.iter().zip(0..) {
        let from = rules.len();
        rules.extend(read_rule(findings, item, defaults));
        for row in rules[from..].iter_mut().filter_map(|rule: &mut Rule| rule.row.as_mut()) {
            row.table = number;
        }
    }
    rules
}

/// The rule, or the rules that its table of endpoints makes; none if it has no name.
fn read_rule(findings: &mut Findings, node: &Node, defaults: &Defaults) -> Vec<Rule> {
    let errors_before = findings.errors();
    let Some(fields) = findings.fields(node, "a rule", RULE_KEYS) else { return Vec::new() };
    let own_base = fields.value("base").and_then(|node| read_base(findings, node));
    let base = Base(own_base.as_ref().or(defaults.base.as_ref()));
    let conditions =
        fields.value("match").map_or_else(Vec::new, |node| pattern::read(findings, node, base));
    let when = fields.value("when").and_then(|node| read_when(findings, node, defaults));
    let per = fields.value("per").map_or_else(Vec::new, |node| read_per(findings, node));
    let is_read_whole =
        findings.errors() == errors_before && (when.is_some() || fields.value("when").is_none());
    let name = read_name(findings, &fields, node);
    let replaces = fields.value("replaces").map_or_else(Vec::new, |node| {
        findings.names(node, "the name of a rule", "write the `name` of a rule of this policy")
    });
    let unlimited = read_flag(findings, &fields, "unlimited");
    let resume_below = fields.value("resume_below").and_then(|node| read_share(findings, node));
    let rows = fields.value("endpoints").map(|node| {
        endpoints::refuse_beside(findings, &fields);
        endpoints::read(findings, node, base, resume_below)
    });
    let limits = match rows {
        Some(_) => Limits::default(),
        None => read_limits(findings, &fields, node, unlimited, resume_below),
    };
    let overrides = fields
        .value("overrides")
        .map_or_else(Vec::new, |node| overrides::read(findings, node, base, resume_below));
    let rule = Rule {
        name: name.clone().unwrap_or_else(|| findings.placed(String::new(), node)),
        conditions,
        per,
        is_read_whole,
        are_others_absent: fields.value("others").is_some_and(|node| {
            findings.word(node, "a word for all other entries", OTHERS).is_some()
        }),
        when,
        limits: limits.own,
        shares: limits.shares,
        cost: fields.value("cost").and_then(|node| read_cost(findings, node)),
        overrides,
        row: None,
        unlimited: unlimited && fields.key("limits").is_none(),
        replaces,
        charge: read_charge(findings, &fields).unwrap_or(defaults.charge),
        mode: read_mode(findings, &fields).unwrap_or(defaults.mode),
        refund: read_flag(findings, &fields, "refund"),
        strict: read_flag(findings, &fields, "strict"),
        respond: fields
            .value("respond")
            .map(|node| answer::read(findings, node).over(&defaults.respond).complete()),
    };
    match (name, rows) {
        (None, _) => Vec::new(),
        (Some(_), None) => vec![rule],
        (Some(name), Some(rows)) => {
            rows.into_iter().map(|row| rule_of_row(&rule, &name, row)).collect()
        }
    }
}

/// A row of a table of endpoints as the rule that it stands for.
fn rule_of_row(rule: &Rule, of: &Placed<String>, row: endpoints::EndpointRow) -> Rule {
    let name = format!("{} {}", of.value, row.name.value);
    Rule {
        name: Placed { value: name, place: row.name.place },
        conditions: [row.conditions, rule.conditions.clone()].concat(),
        limits: row.limits.own,
        shares: row.limits.shares,
        unlimited: row.unlimited,
        row: Some(EndpointRow { of: of.clone(), table: 0, rank: row.rank }),
        ..rule.clone()
    }
}

fn read_base(findings: &mut Findings, node: &Node) -> Option<Template> {
    let hint = "write the path that all templates are below of, as in `/v1/shops/{shop}`";
    let scalar = findings.text(node, "a path", hint)?;
    let template = match endpoint::template(&scalar.text) {
        Ok(template) => template,
        Err(misread) => {
            findings.misread(node, misread);
            return None;
        }
    };
    if template.segments.last() == Some(&Segment::Rest) {
        let message = "a `base` is a path that templates go on from";
        findings.error("bad-template", &node.bytes, message, "remove the `/**` at its end");
        return None;
    }
    Some(template)
}

fn read_when(findings: &mut Findings, node: &Node, defaults: &Defaults) -> Option<Placed<When>> {
    let hint = "write a condition, as in `when: method == \"GET\" && size(user) > 0`";
    let scalar = findings.text(node, "a condition", hint)?;
    match When::compile(&scalar.text, &defaults.tables) {
        Ok(when) => Some(findings.placed(when, node)),
        // Of a table that could not be read nothing is known, so this may be right.
        Err(_) if defaults.unread.iter().any(|table| scalar.text.contains(table.as_str())) => None,
        Err(misread) => {
            findings.misread(node, misread);
            None
        }
    }
}

fn read_share(findings: &mut Findings, node: &Node) -> Option<Share> {
    let scalar = findings.text(node, "a percent", "write a percent, as in `50%`")?;
    let share = crate::policy::formula::share(&scalar.text);
    share.map_err(|misread| findings.misread(node, misread)).ok()
}

fn read_cost(findings: &mut Findings, node: &Node) -> Option<Placed<Formula>> {
    let hint = "write a whole number, or a formula such as `ceil(rows / 100)`";
    let scalar = findings.text(node, "a cost", hint)?;
    match Formula::parse(&scalar.text) {
        Ok(cost) => Some(findings.placed(cost, node)),
        Err(misread) => {
            findings.misread(node, misread);
            None
        }
    }
}

fn read_name(findings: &mut Findings, fields: &Fields<'_>, rule: &Node) -> Option<Placed<String>> {
    let hint = "add `name: ...`; metrics, answers and `replaces` know the rule by it";
    let node = findings.require(fields, "name", ("this rule", rule), hint)?;
    let scalar = findings.text(node, "a name", hint)?;
    if scalar.text.contains(char::is_control) {
        let message = "a name cannot hold control characters";
        findings.error("bad-name", &node.bytes, message, "use letters, digits and `-`");
    }
    Some(findings.placed(scalar.text.clone(), node))
}

fn read_per(findings: &mut Findings, node: &Node) -> Vec<Placed<String>> {
    let mut names = findings.names(node, "an attribute", ATTRIBUTE_HINT);
    for name in one_or_more(node).iter().take(MOST_PER) {
        doubt::check_name(findings, name, Role::Item);
    }
    if names.len() > MOST_PER {
        let message = format!("`per` names more than {MOST_PER} attributes");
        findings.error("too-many-items", &node.bytes, message, "count by fewer of them");
        names.truncate(MOST_PER);
    }
    names
}

/// A rule says `limits` or `unlimited`, not both and not neither.
fn read_limits(
    findings: &mut Findings,
    fields: &Fields<'_>,
    rule: &Node,
    unlimited: bool,
    resume_below: Option<Share>,
) -> Limits {
    match (fields.key("limits"), fields.value("limits")) {
        (Some(key), Some(_)) if unlimited => {
            let message = "an unlimited rule cannot have limits";
            findings.error("conflict", &key.bytes, message, "remove `limits` or `unlimited`");
            if let Some(unlimited) = fields.key("unlimited") {
                findings.relate(&unlimited.bytes, "said to be unlimited here");
            }
            Limits::default()
        }
        (_, Some(node)) => limits::read(findings, node, resume_below),
        _ => {
            let is_missing = ["limits", "endpoints"].map(|key| fields.misses(key)) == [true; 2];
            let is_unlimited = unlimited || fields.is_misspelt("unlimited");
            if is_missing && !is_unlimited {
                let place = fields.value("name").unwrap_or(rule);
                let hint = "add `limits: [100/minute]`, or `unlimited: true` to exempt";
                findings.error("missing-key", &place.bytes, "this rule has no limits", hint);
            }
            Limits::default()
        }
    }
}

fn read_flag(findings: &mut Findings, fields: &Fields<'_>, name: &str) -> bool {
    fields.value(name).and_then(|node| findings.boolean(node)).unwrap_or(false)
}

fn read_charge(findings: &mut Findings, fields: &Fields<'_>) -> Option<ChargeWhen> {
    fields.value("charge").and_then(|node| findings.word(node, "a way to charge", CHARGES))
}

fn read_mode(findings: &mut Findings, fields: &Fields<'_>) -> Option<Mode> {
    fields.value("mode").and_then(|node| findings.word(node, "a mode", MODES))
}

/// Whether a document's keys look like this format, misspelt ones included.
pub(super) fn looks_alike(document: &Node) -> bool {
    let Value::Mapping(pairs) = &document.value else {
        return false;
    };
    pairs
        .iter()
        .filter_map(|(key, _)| key.scalar())
        .any(|key| key.text == "load" || suggest::nearest(&key.text, ["rules"]).is_some())
}
