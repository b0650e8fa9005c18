//! Policies of one seed: a few rules of all kinds that overlap, as a plain list and as text.
//!
//! The list is what the model reads; the text goes through the compiler that users have.

use std::fmt::Write as _;

use crate::journal::simulated::Random;
use crate::policy::compile;
use crate::policy::model::{Mode, Source};
use crate::policy::set::{CounterSeed, PolicySet};

#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) name: String,
    /// The value that `m` must have.
    pub(super) only: Option<&'static str>,
    pub(super) per: &'static [&'static str],
    pub(super) limits: Vec<Limit>,
    pub(super) is_always: bool,
    pub(super) is_shadow: bool,
    pub(super) is_strict: bool,
    pub(super) has_refund: bool,
    /// In percent.
    resume_below: Option<u64>,
}

#[derive(Clone, Debug)]
pub(super) struct Limit {
    pub(super) amount: u64,
    pub(super) kind: Kind,
    /// Of the window, or of the lease.
    pub(super) seconds: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Fixed,
    FirstHit,
    Rolling,
    Bucket { burst: u64 },
    Concurrent,
}

pub(super) const MONTH: u64 = 30 * 86_400;
const SECONDS: [u64; 7] = [1, 10, 60, 600, 3_600, 86_400, MONTH];

/// The rules in force, and those that were and may come back.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    pub(super) rules: Vec<Rule>,
    removed: Vec<Rule>,
    made: u64,
}

impl Limit {
    fn any(random: &mut Random) -> Self {
        let amount = match random.below(8) {
            0 => 1,
            1..5 => 2 + random.below(8),
            5 | 6 => 10 + random.below(50),
            _ => 100 + random.below(900),
        };
        let mut seconds = SECONDS[usize::try_from(random.below(7)).unwrap()];
        let kind = match random.below(7) {
            0 | 1 => Kind::Fixed,
            2 => Kind::FirstHit,
            3 | 4 => Kind::Rolling,
            5 => Kind::Bucket { burst: 1 + random.below(2 * amount) },
            _ => Kind::Concurrent,
        };
        if kind != Kind::Fixed && seconds == MONTH {
            seconds = 120;
        }
        Self { amount, kind, seconds }
    }

    /// What makes two limits of one rule one counter.
    pub(super) fn identity(&self) -> String {
        match self.kind {
            Kind::Fixed => format!("fixed/{}", self.seconds),
            Kind::FirstHit => format!("first-hit/{}", self.seconds),
            Kind::Rolling => format!("rolling/{}", self.seconds),
            Kind::Bucket { .. } => format!("bucket/{}", self.seconds),
            Kind::Concurrent => "concurrent".to_owned(),
        }
    }

    pub(super) fn capacity(&self) -> u64 {
        match self.kind {
            Kind::Bucket { burst } => burst,
            Kind::Fixed | Kind::FirstHit | Kind::Rolling | Kind::Concurrent => self.amount,
        }
    }

    fn text(&self) -> String {
        let (amount, window) = (self.amount, window(self.seconds));
        match self.kind {
            Kind::Fixed => format!("{{ amount: {amount}, window: {window} }}"),
            Kind::FirstHit => {
                format!("{{ amount: {amount}, window: {window}, anchor: first-hit }}")
            }
            Kind::Rolling => format!("{{ amount: {amount}, window: {window}, kind: rolling }}"),
            Kind::Bucket { burst } => {
                format!("{{ amount: {amount}, window: {window}, kind: bucket, burst: {burst} }}")
            }
            Kind::Concurrent => {
                format!("{{ amount: {amount}, kind: concurrent, lease: {}s }}", self.seconds)
            }
        }
    }
}

fn window(seconds: u64) -> String {
    match seconds {
        MONTH => "month".to_owned(),
        86_400 => "day".to_owned(),
        seconds => format!("{seconds}s"),
    }
}

impl Rule {
    fn any(number: u64, random: &mut Random) -> Self {
        let mut rule = Self {
            name: format!("r{number}"),
            only: [None, None, Some("a"), Some("b")][usize::try_from(random.below(4)).unwrap()],
            per: [&["k"][..], &["k"], &["k", "m"], &[]][usize::try_from(random.below(4)).unwrap()],
            limits: vec![Limit::any(random)],
            is_always: random.one_in(5),
            is_shadow: random.one_in(6),
            is_strict: random.one_in(4),
            has_refund: random.one_in(5),
            resume_below: random.one_in(6).then(|| 20 + random.below(80)),
        };
        while random.one_in(3) {
            rule.add_limit(random);
        }
        rule
    }

    fn add_limit(&mut self, random: &mut Random) {
        let limit = Limit::any(random);
        let is_new = |held: &Limit| held.identity() != limit.identity();
        if self.limits.len() < 3 && self.limits.iter().all(is_new) {
            self.limits.push(limit);
        }
    }

    fn text(&self, out: &mut String) {
        let _ = writeln!(out, "- name: {}", self.name);
        if let Some(value) = self.only {
            let _ = writeln!(out, "  match: {{ m: {value} }}");
        }
        if !self.per.is_empty() {
            let _ = writeln!(out, "  per: [{}]", self.per.join(", "));
        }
        let flags = [
            (self.is_always, "charge: always"),
            (self.is_shadow, "mode: shadow"),
            (self.is_strict, "strict: true"),
            (self.has_refund, "refund: true"),
        ];
        for (_, line) in flags.iter().filter(|(is_set, _)| *is_set) {
            let _ = writeln!(out, "  {line}");
        }
        if let Some(percent) = self.resume_below {
            let _ = writeln!(out, "  resume_below: {percent}%");
        }
        out.push_str("  limits:\n");
        for limit in &self.limits {
            let _ = writeln!(out, "  - {}", limit.text());
        }
    }

    /// Whether it applies to a descriptor with these values.
    pub(super) fn applies(&self, values: &Values) -> bool {
        let has = |name: &&str| values.of(name).is_some();
        self.only.is_none_or(|only| values.of("m") == Some(only)) && self.per.iter().all(has)
    }
}

/// The entries of one descriptor.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Values {
    pub(super) key: String,
    pub(super) method: Option<&'static str>,
}

impl Values {
    pub(super) fn of(&self, name: &str) -> Option<&str> {
        match name {
            "k" => Some(&self.key),
            _ => self.method,
        }
    }
}

impl Policy {
    pub(super) fn any(random: &mut Random) -> Self {
        let mut policy = Self { rules: Vec::new(), removed: Vec::new(), made: 0 };
        for _ in 0..1 + random.below(4) {
            policy.add(random);
        }
        policy
    }

    fn add(&mut self, random: &mut Random) {
        self.rules.push(Rule::any(self.made, random));
        self.made += 1;
    }

    /// What an operator edits; what was done, for the trace.
    pub(super) fn edit(&mut self, random: &mut Random) -> &'static str {
        let at = usize::try_from(random.below(self.rules.len() as u64)).unwrap();
        match random.below(8) {
            0 if self.rules.len() < 5 => {
                self.add(random);
                "adds a rule"
            }
            1 if self.rules.len() > 1 => {
                self.removed.push(self.rules.remove(at));
                "removes a rule"
            }
            2 if !self.removed.is_empty() => {
                let rule = self.removed.remove(0);
                self.rules.insert(at, rule);
                "brings a rule back"
            }
            3 => {
                self.rules[at].add_limit(random);
                "adds a limit"
            }
            4 => {
                let percent = 20 + random.below(80);
                let share = &mut self.rules[at].resume_below;
                *share = if share.is_some() { None } else { Some(percent) };
                "pauses or does so no more"
            }
            _ => {
                let limits = &mut self.rules[at].limits;
                let limit = random.below(limits.len() as u64);
                let limit = &mut limits[usize::try_from(limit).unwrap()];
                limit.amount = 1 + random.below(3 * limit.amount);
                if let Kind::Bucket { burst } = &mut limit.kind {
                    *burst = 1 + random.below(2 * limit.amount);
                }
                "changes an amount"
            }
        }
    }

    pub(super) fn text(&self) -> String {
        let mut text = "domain: d\nrules:\n".to_owned();
        self.rules.iter().for_each(|rule| rule.text(&mut text));
        text
    }

    pub(super) fn compile(&self, seed: [u64; 2]) -> PolicySet {
        let text = self.text();
        let source = Source { name: "policy.yaml".to_owned(), text: text.clone() };
        let compiled = compile(&[source], CounterSeed(seed), &Mode::Enforce.into());
        compiled.set.unwrap_or_else(|| panic!("{:?}\n{text}", compiled.diagnostics))
    }
}
