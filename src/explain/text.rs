//! An explanation for people: the answer first, then what applies, then what does not and why.
//!
//! Whatever a request or a policy is made of, what is written has no control characters but line
//! ends, so that no value can speak to a terminal.

use std::fmt::Write as _;

use super::{
    AppliedRule, Code, ExplainedCost, ExplainedDescriptor, ExplainedLimit, ExplainedLoad,
    ExplainedOverride, ExplainedRow, Explanation, MissedRule, Moment, Pair, Verdict, load,
};
use crate::time::Span;

/// Rules that do not apply, shown of each descriptor unless all are wanted.
const MISSES_SHOWN: usize = 10;

/// What is shown.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// Whose counters were asked, such as `fresh counters`.
    pub counters: &'a str,
    /// Every rule that does not apply.
    pub all: bool,
}

pub fn render(explanation: &Explanation, shown: Shown<'_>) -> String {
    let mut lines = Lines::default();
    answer(&mut lines, explanation);
    let Explanation { at, domain, policy_set, descriptors, .. } = explanation;
    let version = policy_set.map(|version| format!(", policy set {version}")).unwrap_or_default();
    lines.add(0, &format!("domain {domain} at {at}; {}{version}", shown.counters));
    for (descriptor, number) in descriptors.iter().zip(1..) {
        lines.blank();
        let of = if descriptors.len() == 1 { String::new() } else { format!(" {number}") };
        let hits = match descriptor.hits {
            1 => String::new(),
            hits => format!(" ({hits} hits)"),
        };
        lines.add(0, &format!("descriptor{of}{hits}: {}", joined(&descriptor.entries)));
        let first = explanation.decision.binding.as_ref().map(|binding| binding.rule.as_str());
        render_descriptor(&mut lines, descriptor, first, shown.all);
    }
    if let Some(load) = &explanation.load {
        lines.blank();
        load::section(load).iter().for_each(|(indent, line)| lines.add(*indent, line));
    }
    lines.text
}

/// Lines without anything that a terminal would obey.
#[derive(Default)]
struct Lines {
    text: String,
}

impl Lines {
    fn add(&mut self, indent: usize, line: &str) {
        self.text.extend(std::iter::repeat_n(' ', indent));
        self.text.push_str(&harmless(line));
        self.text.push('\n');
    }

    fn blank(&mut self) {
        self.text.push('\n');
    }
}

/// One line without anything that a terminal would obey.
pub fn harmless(line: &str) -> String {
    let mut harmless = String::with_capacity(line.len());
    for c in line.chars() {
        match c {
            c if is_harmless(c) => harmless.push(c),
            c => harmless.extend(c.escape_default()),
        }
    }
    harmless
}

/// Not so: control characters, and those without a width that turn or hide text.
fn is_harmless(c: char) -> bool {
    let is_hidden = matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
    );
    !c.is_control() && !is_hidden
}

/// Would it pass, and if not, why and until when.
fn answer(lines: &mut Lines, explanation: &Explanation) {
    let decision = &explanation.decision;
    if let Some(load) = explanation.load.as_ref().filter(|load| load.is_shed()) {
        shed(lines, load, &decision.never_fits);
        in_shadow(lines, &decision.shadow_denials);
        return;
    }
    let Some(binding) = &decision.binding else {
        lines.add(0, "passes: nothing limits it");
        in_shadow(lines, &decision.shadow_denials);
        return;
    };
    let limit = &binding.limit;
    let whom = match binding.counted_per.as_slice() {
        [] => String::new(),
        per => format!(" for {}", joined(per)),
    };
    let of = match explanation.descriptors.len() {
        1 => String::new(),
        _ => format!(" (descriptor {})", binding.descriptor + 1),
    };
    let rule = format!("`{}`{of}{whom}", binding.rule);
    match decision.code {
        Code::OverLimit => {
            let passes = limit.passes.as_ref().filter(|_| decision.never_fits.is_empty());
            let latest = latest(limit);
            let passes = passes.map(|at| format!("; passes {latest}{}", in_words(at)));
            let passes = passes.unwrap_or_default();
            lines.add(0, &format!("DENIED by {rule}: {}{passes}", denial(limit)));
        }
        Code::Ok => {
            let (left, resets) = (left_in_words(limit), reset(limit));
            let written = short(limit);
            lines.add(0, &format!("passes; tightest is {rule}: {written}, {left}, {resets}"));
        }
    }
    never_fits(lines, &decision.never_fits, Some(&binding.rule));
    if let Some(seconds) = binding.told_wait_seconds {
        let span = Span::from_seconds(seconds);
        lines.add(0, &format!("clients are told to wait {span}: the policy caps it"));
    }
    in_shadow(lines, &decision.shadow_denials);
}

fn shed(lines: &mut Lines, load: &ExplainedLoad, never_fitting: &[String]) {
    lines.add(0, &load::answer(load, never_fitting.is_empty()));
    never_fits(lines, never_fitting, None);
    if let Some(seconds) = load.told_wait_seconds {
        lines.add(0, &format!("clients are told to wait {}", Span::from_seconds(seconds)));
    }
}

/// Apart from the rule that is `told` already.
fn never_fits(lines: &mut Lines, rules: &[String], told: Option<&str>) {
    let others = rules.iter().map(String::as_str).filter(|rule| Some(*rule) != told);
    let others: Vec<&str> = others.collect();
    if !others.is_empty() {
        let names = others.join("`, `");
        lines.add(0, &format!("waiting does not help: so many hits never fit `{names}`"));
    }
}

fn in_shadow(lines: &mut Lines, denials: &[String]) {
    if !denials.is_empty() {
        let names = denials.join("`, `");
        lines.add(0, &format!("in shadow, and so not denied by: `{names}`"));
    }
}

/// What a denying limit says of the request.
fn denial(limit: &ExplainedLimit) -> String {
    let ExplainedLimit { hits, left, capacity, .. } = limit;
    let written = short(limit);
    match limit.verdict {
        Verdict::Paused => {
            let share = limit.resume_below.as_deref().unwrap_or("the share");
            format!("{written} is paused until usage is below {share}")
        }
        Verdict::ExceedsAmount if *capacity == 0 => format!("{written} never admits anything"),
        Verdict::ExceedsAmount => {
            format!("{hits} hits never fit: {written} holds {capacity} at most")
        }
        Verdict::Admitted | Verdict::OverLimit if *left == 0 => {
            let verb = if limit.held.is_some() { "are in use" } else { "is used up" };
            format!("{written} {verb}")
        }
        Verdict::Admitted | Verdict::OverLimit => {
            format!("{hits} hits do not fit into the {left} left of {written}")
        }
    }
}

/// As sentences name it.
fn short(limit: &ExplainedLimit) -> String {
    match limit.held {
        Some(_) => format!("{} at a time", limit.amount),
        None => limit.limit.clone(),
    }
}

fn left_in_words(limit: &ExplainedLimit) -> String {
    match limit.held {
        Some(held) => format!("{held} of {} in use", limit.amount),
        None => format!("{} of {} left", limit.left, limit.capacity),
    }
}

/// Slots may come back before their lease ends.
fn latest(limit: &ExplainedLimit) -> &'static str {
    if limit.held.is_some() { "at the latest " } else { "" }
}

fn in_words(moment: &Moment) -> String {
    format!("in {}, at {}", Span::from_seconds(moment.in_seconds), moment.at)
}

/// When it is whole again.
fn reset(limit: &ExplainedLimit) -> String {
    if limit.paused {
        let share = limit.resume_below.as_deref().unwrap_or("the share");
        return format!("paused until usage is below {share}");
    }
    let when = limit.resets.as_ref().map(|when| {
        let span = Span::from_seconds(when.in_seconds);
        // A long span says too little in its two largest units.
        let at = if when.in_seconds >= 3_600 { format!(" ({})", when.at) } else { String::new() };
        format!("in {span}{at}")
    });
    match (when, limit.kind.as_str()) {
        (_, "concurrent") => "free again when given back".to_owned(),
        (None, _) => "no end known".to_owned(),
        (Some(when), "fixed") => format!("new window {when}"),
        (Some(_), _) if limit.left >= limit.capacity => "unused".to_owned(),
        (Some(when), _) => format!("all free {when} if nothing comes"),
    }
}

/// `first` is the rule that the answer speaks of.
fn render_descriptor(
    lines: &mut Lines,
    descriptor: &ExplainedDescriptor,
    first: Option<&str>,
    all: bool,
) {
    let ExplainedDescriptor { entries, attributes, steps, applies, replaced, .. } = descriptor;
    if !attributes.is_empty() && attributes != entries {
        lines.add(2, &format!("read as {}", joined(attributes)));
    }
    steps.iter().for_each(|step| lines.add(2, step));
    // Most rules ask the same rows, and so each is told once.
    let mut rows: Vec<String> = Vec::new();
    for row in applies.iter().flat_map(|rule| &rule.rows).map(row_in_words) {
        if !rows.contains(&row) {
            lines.add(2, &row);
            rows.push(row);
        }
    }
    lines.blank();
    if applies.is_empty() {
        lines.add(0, "no rule applies: it passes without limit");
    } else {
        let count = counted(applies.len(), "rule applies", "rules apply");
        let unlimited = if descriptor.unlimited { ", and nothing limits it" } else { "" };
        lines.add(0, &format!("{count}{unlimited}"));
    }
    let mut applies: Vec<&AppliedRule> = applies.iter().collect();
    applies.sort_by_key(|rule| (Some(rule.rule.as_str()) != first, !denies(rule), rule.shadow));
    applies.iter().for_each(|rule| render_applied(lines, rule));
    if !replaced.is_empty() {
        lines.blank();
        lines.add(0, &counted(replaced.len(), "rule is replaced", "rules are replaced"));
    }
    for rule in replaced {
        lines.add(2, &format!("{}: replaced by `{}`", rule.rule, rule.by));
    }
    render_misses(lines, &descriptor.does_not_apply, all);
}

fn denies(rule: &AppliedRule) -> bool {
    rule.limits.iter().any(|limit| limit.verdict != Verdict::Admitted)
}

fn render_applied(lines: &mut Lines, rule: &AppliedRule) {
    let mut notes = match rule.counted_per.as_slice() {
        [] if rule.unlimited => String::new(),
        [] => ", one counter for everybody".to_owned(),
        per => format!(", counter of {}", joined(per)),
    };
    if rule.shadow {
        notes.push_str(", in shadow: measured, not enforced");
    }
    if rule.quota {
        notes.push_str(", a quota: denies only when all quotas of the request are used up");
    }
    if rule.charge_always && !rule.unlimited {
        notes.push_str(", counts denied requests too");
    }
    lines.add(2, &format!("{}{notes}", rule.rule));
    if rule.unlimited && rule.overridden.is_none() {
        lines.add(6, "unlimited");
    }
    let width = rule.limits.iter().map(|limit| limit.limit.chars().count()).max();
    for limit in &rule.limits {
        render_limit(lines, limit, rule, width.unwrap_or_default());
    }
    let over = |over: &ExplainedOverride| match over.reason.as_str() {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    if let Some(held) = &rule.overridden {
        let what = if rule.unlimited { "made unlimited" } else { "other limits" };
        let until = held.until.as_ref().map(|until| format!(" until {until}")).unwrap_or_default();
        lines.add(6, &format!("{what} by an override{until}{}", over(held)));
    }
    for ended in &rule.ended_overrides {
        let until = ended.until.as_deref().unwrap_or_default();
        lines.add(6, &format!("an override ended at {until}{}", over(ended)));
    }
    if let Some(cost) = &rule.cost {
        lines.add(6, &cost_in_words(cost));
    }
    if let Some(when) = &rule.when {
        lines.add(6, &format!("`when: {when}` is true"));
    }
}

fn cost_in_words(cost: &ExplainedCost) -> String {
    let ExplainedCost { formula, cost, failure } = cost;
    match failure {
        Some(why) => format!("each hit counts 1: `{formula}` cannot be worked out, {why}"),
        None if *formula == cost.to_string() => format!("each hit counts {formula}"),
        None => format!("each hit counts {cost}, from `{formula}`"),
    }
}

fn render_limit(lines: &mut Lines, limit: &ExplainedLimit, rule: &AppliedRule, width: usize) {
    let ExplainedLimit { limit: written, amount, .. } = limit;
    let padding = " ".repeat(width.saturating_sub(written.chars().count()));
    let mut line = format!("{written}{padding}  {}, {}", left_in_words(limit), reset(limit));
    if let Some(share) = limit.resume_below.as_ref().filter(|_| !limit.paused) {
        let _ = write!(line, ", once denied until below {share}");
    }
    if limit.verdict != Verdict::Admitted {
        let verb = match (rule.shadow, rule.quota) {
            (true, _) => "would deny",
            (false, true) => "USED UP",
            (false, false) => "DENIES",
        };
        let _ = write!(line, "  <- {verb}: {}", short_denial(limit));
    }
    lines.add(6, &line);
    if let Some(formula) = &limit.formula {
        lines.add(8, &format!("{amount} comes from `{formula}`"));
    }
}

fn short_denial(limit: &ExplainedLimit) -> String {
    let passes = limit.passes.as_ref().map(|moment| Span::from_seconds(moment.in_seconds));
    match (limit.verdict, passes) {
        (Verdict::ExceedsAmount, _) => "never fits".to_owned(),
        (_, Some(span)) => format!("passes {}in {span}", latest(limit)),
        (_, None) => "no end known".to_owned(),
    }
}

/// `tenant=acme -> plan=production units=400`
fn row_in_words(row: &ExplainedRow) -> String {
    let ExplainedRow { attribute, value, fields, .. } = row;
    let default = if row.is_default { "default: " } else { "" };
    format!("row {attribute}={value} -> {default}{}", joined(fields))
}

fn render_misses(lines: &mut Lines, misses: &[MissedRule], all: bool) {
    if misses.is_empty() {
        return;
    }
    lines.blank();
    let rules = misses.iter().map(|missed| missed.rows.unwrap_or(1)).sum();
    lines.add(0, &counted_u64(rules, "rule does not apply", "rules do not apply"));
    let shown = if all { misses.len() } else { MISSES_SHOWN };
    for MissedRule { rule, why, .. } in misses.iter().take(shown) {
        lines.add(2, &format!("{rule}: {why}"));
    }
    let hidden: u64 = misses.iter().skip(shown).map(|missed| missed.rows.unwrap_or(1)).sum();
    if hidden > 0 {
        lines.add(2, &format!("and {hidden} more; `--all` shows them"));
    }
}

fn joined(pairs: &[Pair]) -> String {
    let pairs: Vec<String> =
        pairs.iter().map(|Pair { name, value }| format!("{name}={value}")).collect();
    pairs.join(" ")
}

fn counted(count: usize, one: &str, more: &str) -> String {
    counted_u64(u64::try_from(count).unwrap_or(u64::MAX), one, more)
}

fn counted_u64(count: u64, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}
