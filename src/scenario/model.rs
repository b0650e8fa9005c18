//! What a scenario file says, with the places it says it at.
//!
//! Times are settled when it is read: every step knows how long after the start it comes, and no
//! step comes before the one above it.

use serde_json::Value as Json;

use super::engine::Code;
use crate::limit::Hits;
use crate::policy::model::{Place, Placed};
use crate::time::{Span, Timestamp};

/// One scenario file.
#[derive(Debug)]
pub struct ScenarioFile {
    /// The policies that scenarios begin with, and then those that reloads bring. An empty list
    /// stands for the policy file that is named as the scenario file is.
    pub policies: Vec<Vec<PolicySource>>,
    pub scenarios: Vec<Scenario>,
}

#[derive(Clone, Debug)]
pub enum PolicySource {
    /// Relative to the folder of the scenario file.
    Path(Placed<String>),
    /// A policy that stands in the scenario file itself.
    Text(Placed<String>),
}

/// Steps on counters of their own.
#[derive(Debug)]
pub struct Scenario {
    pub name: String,
    /// Where it is written; of a table its row.
    pub place: Place,
    pub start: Timestamp,
    pub steps: Vec<Step>,
}

#[derive(Debug)]
pub struct Step {
    /// Counted from 1.
    pub number: usize,
    pub place: Place,
    /// Since the start of the scenario.
    pub offset: Span,
    pub action: Action,
}

#[derive(Debug)]
pub enum Action {
    Send(Box<Send>),
    /// Puts the list of policies with this number in force; counters stay.
    Reload(usize),
    Load(ReportedLoad),
    /// Gives back what the answer that was remembered under this name holds.
    Release(Placed<String>),
}

/// One request, sent once or more often.
#[derive(Debug)]
pub struct Send {
    /// `None` is the only domain that the policies have.
    pub domain: Option<Placed<String>>,
    pub descriptors: Vec<SentDescriptor>,
    /// At least 1.
    pub times: u64,
    /// Between one sending and the next.
    pub every: Span,
    /// The name to remember the lease of the last answer under.
    pub lease: Option<Placed<String>>,
    pub expect: Expect,
}

#[derive(Debug)]
pub struct SentDescriptor {
    pub entries: Vec<(String, String)>,
    pub hits: Hits,
}

/// What a protected service says about its load.
#[derive(Debug)]
pub struct ReportedLoad {
    pub domain: Option<Placed<String>>,
    pub percent: u64,
    /// How long the report holds; `None` is until the next one.
    pub lasts: Option<Span>,
}

/// What the answers to one step must be.
#[derive(Debug, Default)]
pub struct Expect {
    /// The code of every answer.
    pub every_code: Option<Check>,
    /// How many of the answers are `ok`.
    pub admitted: Option<Placed<u64>>,
    /// What the last answer says.
    pub last: Vec<Check>,
    /// What the last answer says to each descriptor, and where that is written.
    pub statuses: Option<Placed<Vec<Vec<Check>>>>,
}

pub type Check = Placed<Expected>;

#[derive(Clone, Debug)]
pub enum Expected {
    Code(Code),
    Rule(String),
    Amount(u64),
    /// An amount, the window in seconds, and both as written.
    Limit(u64, u64, String),
    /// Nothing limits the request.
    Unlimited,
    Remaining(u64),
    /// `None` is an answer that does not say when.
    Reset(Option<Span>),
    Reason(String),
    Status(u64),
    /// A header by its name in lower case.
    Header(String, ExpectedHeader),
    NoBody,
    Body(Json),
    BodyText(String),
    BodyPart(Json),
    BodyContains(String),
}

#[derive(Clone, Debug)]
pub enum ExpectedHeader {
    Value(String),
    Present,
    Absent,
}

impl Expect {
    /// Whether no answer can be other than expected.
    pub fn is_empty(&self) -> bool {
        let Self { every_code, admitted, last, statuses } = self;
        every_code.is_none() && admitted.is_none() && last.is_empty() && statuses.is_none()
    }
}
