//! What every policy format lowers to: checked for sense, not yet compiled.
//!
//! Whatever a later stage may complain about keeps the place it was written at.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use ipnet::IpNet;

use crate::limit::{self, ChargeWhen, Kind, LimitIdentity, Share, Window};
use crate::policy::formula::{Formula, Number};
use crate::policy::respond::Respond;
use crate::policy::template::Template;
use crate::policy::when::When;
use crate::time::{Span, Timestamp};

/// One policy text, and what to call it in messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The path as the operator knows it.
    pub name: String,
    pub text: String,
}

/// Where something was written: which source, which bytes of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub source: usize,
    pub bytes: Range<usize>,
}

/// A value and where it was written.
#[derive(Clone, Debug)]
pub struct Placed<T> {
    pub value: T,
    pub place: Place,
}

/// What an operator says of all policies at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// In `Mode::Shadow` every rule is measured and none enforced.
    pub mode: Mode,
    pub descriptors: DescriptorOptions,
}

/// What an operator says of all policies of the envoyproxy/ratelimit format: what that server takes from its
/// environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DescriptorOptions {
    /// Whether documents of one domain are one policy, instead of a mistake.
    pub merges_domains: bool,
    /// Whether every descriptor is in quota mode, also those without a limit.
    pub quota_mode: bool,
    /// Whether a limit with room counts nothing of a request that is over another one.
    pub spares_others: bool,
    /// The headers that every answer carries, where there are any.
    pub headers: Option<DescriptorHeaders>,
    /// Whether answers carry the request and the metadata of its limits.
    pub has_metadata: bool,
}

/// Names of headers, in the case that answers have them in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescriptorHeaders {
    pub limit: String,
    pub remaining: String,
    pub reset: String,
}

impl From<Mode> for Options {
    fn from(mode: Mode) -> Self {
        Self { mode, ..Self::default() }
    }
}

/// One YAML document: the policy of one domain.
#[derive(Clone, Debug)]
pub struct Policy {
    pub domain: Placed<String>,
    pub body: Body,
}

#[derive(Clone, Debug)]
pub enum Body {
    Native(Box<NativePolicy>),
    /// The envoyproxy/ratelimit format: the root list of descriptors.
    Descriptors(Vec<Node>),
}

#[derive(Clone, Debug)]
pub struct NativePolicy {
    pub attributes: Vec<AttributeKeys>,
    /// By name.
    pub tables: Vec<Table>,
    pub rules: Vec<Rule>,
    /// For denials, and headers on every answer, of rules that have no own.
    pub respond: Respond,
    pub load: Option<Box<Load>>,
}

/// When a domain is busy, and when it takes no more.
#[derive(Clone, Debug)]
pub struct Load {
    /// What a load of 100 percent is; `None` where load is only reported.
    pub capacity: Option<Capacity>,
    pub thresholds: Thresholds,
    /// Who meets all conditions of one of them is never shed.
    pub exempt: Vec<Vec<Condition>>,
    pub headers: LoadHeaders,
    pub mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    pub amount: u64,
    /// Rolling or concurrent.
    pub counting: Counting,
}

/// In percent of the capacity, each no higher than the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    pub warn: u8,
    pub throttle: u8,
    pub shed: u8,
}

/// The headers that tell load, where any do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadHeaders {
    /// The percentage.
    pub load: Option<String>,
    /// What to make of it.
    pub status: Option<String>,
}

/// The entry keys an attribute is read from, first present first, after its own name.
#[derive(Clone, Debug)]
pub struct AttributeKeys {
    pub attribute: String,
    pub keys: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    #[default]
    Enforce,
    /// Measured, not enforced.
    Shadow,
}

#[derive(Clone, Debug)]
pub struct Rule {
    pub name: Placed<String>,
    /// All must hold.
    pub conditions: Vec<Condition>,
    /// The attributes whose values make the counter's key, in this order.
    pub per: Vec<Placed<String>>,
    /// Whether `match` and `per` are all that was written, with nothing left out as a fault.
    pub is_read_whole: bool,
    /// Whether a descriptor may have no entry that the rule does not name.
    pub are_others_absent: bool,
    /// What else must hold.
    pub when: Option<Placed<When>>,
    /// Empty for an unlimited rule.
    pub limits: Vec<Placed<Limit>>,
    /// Limits that are shares of another rule's; none are left when all rules are read.
    pub shares: Vec<Placed<ShareOf>>,
    pub unlimited: bool,
    /// What hits are multiplied by.
    pub cost: Option<Placed<Formula>>,
    /// The first that applies stands in for the limits.
    pub overrides: Vec<Override>,
    /// Of a rule that is a row of a table of endpoints.
    pub row: Option<EndpointRow>,
    pub replaces: Vec<Placed<String>>,
    pub charge: ChargeWhen,
    pub mode: Mode,
    /// Whether negative hits give back.
    pub refund: bool,
    /// Hits are on disk before they are admitted.
    pub strict: bool,
    /// The rule's own, complete; `None` takes the policy's.
    pub respond: Option<Respond>,
}

/// A limit as written: its amount may differ from row to row of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    pub amount: Amount,
    pub counting: Counting,
    pub resume_below: Option<Share>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Amount {
    Number(u64),
    /// Over fields of tables.
    Formula(Formula),
}

/// How a limit counts, before its amount is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    Fixed(Window),
    Rolling(Window),
    /// Without `burst` as many hits as the amount may come at once.
    Bucket {
        window: Window,
        burst: Option<u64>,
    },
    Concurrent {
        lease: Span,
    },
}

/// A limit that is a share of those of another rule.
#[derive(Clone, Debug)]
pub struct ShareOf {
    pub share: Share,
    /// The other rule's name, and where only one of its limits is meant, `/` and the window.
    pub rule: Placed<String>,
    pub resume_below: Option<Share>,
}

/// Other limits for some requests of a rule, for a while.
#[derive(Clone, Debug)]
pub struct Override {
    /// All must hold.
    pub conditions: Vec<Condition>,
    /// Empty for no limit.
    pub limits: Vec<Placed<Limit>>,
    pub shares: Vec<Placed<ShareOf>>,
    /// From then on it does not apply.
    pub until: Option<Placed<Timestamp>>,
    pub reason: String,
}

/// One row of a rule's table of endpoints.
#[derive(Clone, Debug)]
pub struct EndpointRow {
    /// The name of the rule that has the table.
    pub of: Placed<String>,
    /// The same for all rows of one table, and for no others of the policy.
    pub table: u32,
    /// Of the rows that match a request the one with the lowest rank applies.
    pub rank: u32,
}

/// What is known of the values of one attribute.
#[derive(Clone, Debug)]
pub struct Table {
    /// The attribute that chooses the row.
    pub name: Placed<String>,
    /// Those of a file are the same for all tables that name it.
    pub rows: Arc<Rows>,
    /// Whether its rows are known; one that is not read is an error already.
    pub is_read: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// For values that have no row.
    pub default: Option<Row>,
    /// In the order they were written in; each has what it does not say itself from `default`.
    pub named: Vec<(String, Row)>,
    /// Where the names of the rows were written.
    pub places: Vec<Place>,
}

/// Fields by name.
pub type Row = BTreeMap<String, FieldValue>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldValue {
    /// As written; what patterns are held against and counters are told apart by.
    pub text: String,
    pub kind: FieldKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    Text,
    Number(Number),
    Bool(bool),
}

impl Limit {
    pub const fn new(amount: u64, counting: Counting) -> Self {
        Self { amount: Amount::Number(amount), counting, resume_below: None }
    }

    /// The limit that it is where its amount is this.
    pub fn of(&self, amount: u64) -> limit::Limit {
        let kind = match self.counting {
            Counting::Fixed(window) => Kind::Fixed(window),
            Counting::Rolling(window) => Kind::Rolling(window),
            Counting::Bucket { window, burst } => {
                Kind::Bucket { window, burst: burst.unwrap_or(amount) }
            }
            Counting::Concurrent { lease } => Kind::Concurrent { lease },
        };
        limit::Limit { amount, kind, resume_below: self.resume_below }
    }

    /// How much it takes to hold it, about: one part for each step of its formula.
    pub fn parts(&self) -> usize {
        match &self.amount {
            Amount::Number(_) => 1,
            Amount::Formula(formula) => formula.step_count(),
        }
    }

    pub fn identity(&self) -> LimitIdentity {
        self.of(0).identity()
    }

    pub fn window(&self) -> Option<Window> {
        self.of(0).window()
    }
}

impl Amount {
    /// This share of it, rounded down.
    pub fn share(&self, share: Share) -> Self {
        let whole = match self {
            Self::Number(number) => Formula::number(*number),
            Self::Formula(formula) => formula.clone(),
        };
        let formula = whole.share(share);
        match formula.as_constant().and_then(Number::floor_u64) {
            Some(number) => Self::Number(number),
            None => Self::Formula(formula),
        }
    }
}

impl Rule {
    /// A rule for every request, without limits.
    pub fn new(name: Placed<String>) -> Self {
        Self {
            name,
            conditions: Vec::new(),
            per: Vec::new(),
            is_read_whole: true,
            are_others_absent: false,
            when: None,
            limits: Vec::new(),
            shares: Vec::new(),
            unlimited: false,
            cost: None,
            overrides: Vec::new(),
            row: None,
            replaces: Vec::new(),
            charge: ChargeWhen::Admitted,
            mode: Mode::Enforce,
            refund: false,
            strict: false,
            respond: None,
        }
    }
}

impl Override {
    /// How much it takes to hold it without its limits, about.
    pub fn parts(&self) -> usize {
        let matched = self.conditions.iter().map(|condition| condition.pattern.parts());
        1 + text_parts(&self.reason) + matched.sum::<usize>()
    }
}

/// What is long counts as several parts.
fn text_parts(text: &str) -> usize {
    text.len() / 64
}

#[derive(Clone, Debug)]
pub struct Condition {
    pub attribute: Placed<String>,
    pub pattern: Pattern,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    Equals(String),
    Prefix(String),
    AnyOf(Vec<Pattern>),
    /// Holds also when the attribute is absent, unless the inner pattern says otherwise.
    Not(Box<Pattern>),
    Present,
    Absent,
    /// Only of the attribute `endpoint`.
    Endpoint(Template),
    /// Only of the attribute `ip`.
    Network(IpNet),
}

impl Pattern {
    /// How much it takes to hold it, about: one part for each value.
    pub fn parts(&self) -> usize {
        match self {
            Self::Equals(text) | Self::Prefix(text) => 1 + text_parts(text),
            Self::AnyOf(patterns) => patterns.iter().map(Self::parts).sum(),
            Self::Not(pattern) => 1 + pattern.parts(),
            Self::Endpoint(template) => 1 + template.segments.len(),
            Self::Present | Self::Absent | Self::Network(_) => 1,
        }
    }
}

/// As an operator would say it, values in backticks.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equals(text) if text.is_empty() => f.write_str("an empty value"),
            Self::Equals(text) => write!(f, "`{text}`"),
            Self::Prefix(text) => write!(f, "`{text}*`"),
            Self::AnyOf(patterns) => {
                for (position, pattern) in patterns.iter().enumerate() {
                    let separator = if position == 0 { "" } else { " or " };
                    write!(f, "{separator}{pattern}")?;
                }
                Ok(())
            }
            Self::Not(pattern) => write!(f, "anything but {pattern}"),
            Self::Present => f.write_str("any value"),
            Self::Absent => f.write_str("no value"),
            Self::Endpoint(template) => write!(f, "`{template}`"),
            Self::Network(network) => write!(f, "`{network}`"),
        }
    }
}

/// One descriptor of the envoyproxy/ratelimit format.
#[derive(Clone, Debug)]
pub struct Node {
    pub key: String,
    pub value: NodeValue,
    pub place: Place,
    pub limit: Option<NodeLimit>,
    pub shadow_mode: bool,
    /// All values that a wildcard matches share one counter.
    pub share_threshold: bool,
    /// Denies only together with all others of its kind that a request meets.
    pub quota_mode: bool,
    /// Metrics tell every entry's value.
    pub detailed_metric: bool,
    /// Metrics tell the value of this entry.
    pub value_to_metric: bool,
    /// What answers tell of a limit that has let a request pass.
    pub metadata: Option<Metadata>,
    pub children: Vec<Node>,
}

/// Free values by name.
pub type Metadata = serde_json::Map<String, serde_json::Value>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeValue {
    /// A key-only rule: every value, each with a counter of its own.
    Any,
    Exact(String),
    /// The text around and between the stars; at least two parts.
    Wildcard(Vec<String>),
}

#[derive(Clone, Debug)]
pub struct NodeLimit {
    pub name: Option<Placed<String>>,
    pub replaces: Vec<Placed<String>>,
    /// `None` is unlimited.
    pub limit: Option<limit::Limit>,
}
