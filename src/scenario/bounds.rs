//! What a scenario file may ask for: what its tables become, and how often it sends.
//!
//! A table is measured before any row of it is filled in, so a few lines cannot use up all memory.

use std::collections::BTreeMap;

use super::rows::{Piece, pieces};
use crate::policy::findings::Findings;
use crate::yaml::{Node, Value};

/// Steps that the tables of a file become.
const MOST_STEPS: u64 = 100_000;

/// Bytes that the texts of the tables of a file become: 16 MiB.
const MOST_BYTES: u64 = 16 << 20;

/// What each text, list and mapping counts beside its bytes, for an empty one takes memory too.
const BYTES_OF_NODE: u64 = 8;

/// Sendings of one scenario.
pub(super) const MOST_SENDS: u64 = 10_000_000;

/// Sendings of all scenarios of a file.
const MOST_SENDS_OF_FILE: u64 = 100_000_000;

/// What the tables of one file have become so far.
#[derive(Debug, Default)]
pub(super) struct Expanded {
    steps: u64,
    bytes: u64,
}

impl Expanded {
    /// Counts a scenario once for each of its rows; `false`, with a finding, when it is too much.
    pub(super) fn admits(
        &mut self,
        findings: &mut Findings,
        (scenario, each): (&Node, &Node),
        rows: &[Node],
    ) -> bool {
        let shape = Shape::of(scenario);
        for row in rows {
            let of_row = shape.filled(row);
            self.steps = self.steps.saturating_add(of_row.steps);
            self.bytes = self.bytes.saturating_add(of_row.bytes);
        }
        let becomes = match self {
            Self { steps, .. } if *steps > MOST_STEPS => format!("{steps} steps"),
            Self { bytes, .. } if *bytes > MOST_BYTES => format!("{bytes} bytes of text"),
            _ => return true,
        };
        let message = format!("with this one, the tables of the file become {becomes}");
        let hint = format!(
            "{MOST_STEPS} steps and {MOST_BYTES} bytes are the most: write fewer rows, `times` \
             instead of equal steps, or several files"
        );
        findings.error("large-table", &each.bytes, message, hint);
        false
    }
}

/// What a scenario becomes with a row, told from looking at it once.
struct Shape<'s> {
    steps: u64,
    /// The placeholder that stands for all steps.
    steps_name: Option<&'s str>,
    /// What is the same with every row.
    bytes: u64,
    /// How often each placeholder stands there.
    names: BTreeMap<&'s str, u64>,
}

impl<'s> Shape<'s> {
    fn of(scenario: &'s Node) -> Self {
        let steps = scenario.member("steps");
        let steps_name =
            steps.and_then(Node::scalar).and_then(|steps| match pieces(&steps.text).as_slice() {
                [Piece::Name(name)] => Some(*name),
                _ => None,
            });
        let mut shape = Self {
            steps: steps.map_or(0, items),
            steps_name,
            bytes: BYTES_OF_NODE,
            names: BTreeMap::new(),
        };
        let Value::Mapping(pairs) = &scenario.value else { return shape };
        for (key, value) in pairs {
            if key.scalar().is_none_or(|key| key.text != "each") {
                shape.add(key);
                shape.add(value);
            }
        }
        shape
    }

    fn add(&mut self, node: &'s Node) {
        self.bytes += BYTES_OF_NODE;
        match &node.value {
            Value::Scalar(scalar) => {
                for piece in pieces(&scalar.text) {
                    match piece {
                        Piece::Text(text) => self.bytes += length(text),
                        Piece::Name(name) => *self.names.entry(name).or_default() += 1,
                    }
                }
            }
            Value::Sequence(items) => items.iter().for_each(|item| self.add(item)),
            Value::Mapping(pairs) => {
                for (key, value) in pairs {
                    self.add(key);
                    self.add(value);
                }
            }
        }
    }

    fn filled(&self, row: &Node) -> Expanded {
        let mut filled = Expanded { steps: self.steps, bytes: self.bytes };
        let Value::Mapping(columns) = &row.value else { return filled };
        for (name, value) in columns {
            let Some(name) = name.scalar().map(|name| name.text.as_str()) else { continue };
            if self.steps_name == Some(name) {
                filled.steps = filled.steps.saturating_add(items(value));
            }
            let uses = self.names.get(name).copied().unwrap_or_default();
            filled.bytes = filled.bytes.saturating_add(uses.saturating_mul(size(value)));
        }
        filled
    }
}

fn items(node: &Node) -> u64 {
    match &node.value {
        Value::Sequence(items) => items.len() as u64,
        Value::Scalar(_) | Value::Mapping(_) => 0,
    }
}

fn length(text: &str) -> u64 {
    text.len() as u64
}

/// Bytes of a value as it stands.
fn size(node: &Node) -> u64 {
    let inside: u64 = match &node.value {
        Value::Scalar(scalar) => length(&scalar.text),
        Value::Sequence(items) => items.iter().map(size).sum(),
        Value::Mapping(pairs) => pairs.iter().map(|(key, value)| size(key) + size(value)).sum(),
    };
    BYTES_OF_NODE + inside
}

/// How often a file sends, while it is read.
#[derive(Debug, Default)]
pub(super) struct Sends {
    scenario: u64,
    file: u64,
}

impl Sends {
    /// The scenario that follows counts by itself.
    pub(super) fn begin(&mut self) {
        self.scenario = 0;
    }

    /// Counts a step of so many sendings at this place. Only the first that is too much is found.
    pub(super) fn add(
        &mut self,
        findings: &mut Findings,
        (step, number): (&Node, usize),
        times: u64,
    ) {
        let before = (self.scenario, self.file);
        self.scenario = self.scenario.saturating_add(times);
        self.file = self.file.saturating_add(times);
        let (what, most) = if before.0 <= MOST_SENDS && self.scenario > MOST_SENDS {
            ("this scenario", MOST_SENDS)
        } else if before.1 <= MOST_SENDS_OF_FILE && self.file > MOST_SENDS_OF_FILE {
            ("the file", MOST_SENDS_OF_FILE)
        } else {
            return;
        };
        let message = format!("with step {number}, {what} sends more than {most} times");
        let hint = "write `hits: N` to take N at once, or less `times`";
        findings.error("too-many-sends", &step.bytes, message, hint);
    }
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use crate::policy::model::Source;

    /// The codes of what is found in a file, with where each stands.
    fn found(text: &str) -> Vec<(String, usize)> {
        let source = Source { name: "s.test.yaml".to_owned(), text: text.to_owned() };
        let found = read(&source).diagnostics;
        found.iter().map(|found| (found.code.to_string(), found.place.bytes.start)).collect()
    }

    /// One scenario: rows of a value, and steps that use it.
    fn table(name: &str, rows: usize, value: &str, steps: usize) -> String {
        let row = |row: usize| format!("    - {{ n: {row}, v: {value} }}\n");
        let rows: String = (0..rows).map(row).collect();
        let steps = "    - { send: { $n: $v }, expect: ok }\n".repeat(steps);
        format!("  - name: {name} $n\n    each:\n{rows}    steps:\n{steps}")
    }

    #[test]
    fn a_table_that_becomes_too_much_is_found_before_it_is_filled_in() {
        let long = "v".repeat(500_000);
        let list = format!("[{}]", "[],".repeat(20_000));
        for (rows, value, steps) in
            [(3_000, "v", 600), (1_001, "v", 100), (1, long.as_str(), 300), (1, list.as_str(), 300)]
        {
            let text = format!("scenarios:\n{}", table("t", rows, value, steps));
            let each = text.find("{ n: 0").unwrap();
            assert_eq!(found(&text), [("large-table".to_owned(), each)], "{rows} {steps}");
        }
        let text = table(&long, 200, "v", 1);
        assert_eq!(
            found(&format!("scenarios:\n{text}"))[0].0,
            "large-table",
            "a text for all rows"
        );
        let steps = "{ send: { a: b }, expect: ok },".repeat(101);
        let rows = format!("    - {{ n: a, s: [{steps}] }}\n").repeat(1_000);
        let text = format!("scenarios:\n  - name: $n\n    each:\n{rows}    steps: $s\n");
        assert_eq!(found(&text)[0].0, "large-table", "steps of a row are steps");
    }

    #[test]
    fn the_tables_of_a_file_share_what_they_may_become() {
        let largest = table("a", 1_000, "v", 100);
        assert_eq!(found(&format!("scenarios:\n{largest}")), []);
        let text = format!("scenarios:\n{largest}{}", table("b", 1, "v", 1));
        assert_eq!(found(&text), [("large-table".to_owned(), text.rfind("{ n: 0").unwrap())]);
    }

    #[test]
    fn a_scenario_and_a_file_send_no_more_than_they_may() {
        let step =
            |times: &str| format!("  - {{ send: {{ a: b }}, times: {times}, expect: ok }}\n");
        let scenario = |name: usize, steps: &str| format!("- name: s{name}\n  steps:\n{steps}");
        let (most, half) = (step("10000000"), step("5_000_000"));
        let file = |scenarios: &str| found(&format!("scenarios:\n{scenarios}"));
        let codes =
            |scenarios: &str| file(scenarios).into_iter().map(|(code, _)| code).collect::<Vec<_>>();
        assert_eq!(file(&scenario(0, &most)), []);
        assert_eq!(file(&scenario(0, &half.repeat(2))), []);
        assert_eq!(codes(&scenario(0, &half.repeat(4))), ["too-many-sends"]);
        assert_eq!(codes(&scenario(0, &step("18446744073709551615"))), ["bad-times"]);
        let ten: String = (0..10).map(|name| scenario(name, &most)).collect();
        assert_eq!(file(&ten), []);
        let eleven = ten + &scenario(10, &step("1"));
        assert_eq!(codes(&eleven), ["too-many-sends"]);
    }
}
