//! The one line of figures of a test, which also is its verdict.
//!
//! A line is printed in any case: with `verdict=ok`, with `verdict=broken` and what is broken below it, or with
//! `verdict=unfinished` when the test stopped before its end.

use std::fmt::Display;
use std::io::Write as _;
use std::time::Duration;

use crate::form;

/// A span that is no measurement: it never came, or nothing is left.
const FOREVER: Duration = Duration::from_secs(1_000_000);

#[derive(Debug)]
#[must_use]
pub(crate) struct Figures {
    line: String,
    faults: Vec<String>,
    is_printed: bool,
}

impl Figures {
    pub(crate) fn new(id: &str) -> Self {
        Self { line: id.to_owned(), faults: Vec::new(), is_printed: false }
    }

    pub(crate) fn add(&mut self, name: &str, value: impl Display) -> &mut Self {
        self.line.push_str(&format!(" {name}={value}"));
        self
    }

    pub(crate) fn add_ms(&mut self, name: &str, span: Duration) -> &mut Self {
        let text = if span < FOREVER {
            format!("{:.1}", span.as_secs_f64() * 1_000.0)
        } else {
            "beyond".to_owned()
        };
        self.add(&format!("{name}_ms"), text)
    }

    /// A promise: what is said of it when it is broken.
    pub(crate) fn hold(&mut self, is_held: bool, fault: impl Into<String>) -> &mut Self {
        if !is_held {
            self.faults.push(fault.into());
        }
        self
    }

    pub(crate) fn is_broken(&self) -> bool {
        !self.faults.is_empty()
    }

    /// Prints the line, and fails the test when a promise is broken.
    pub(crate) fn finish(mut self) {
        let is_broken = self.is_broken();
        self.print(if is_broken { "broken" } else { "ok" });
        assert!(!is_broken, "{}:\n{}", self.line, self.faults.join("\n"));
    }

    fn print(&mut self, verdict: &str) {
        self.is_printed = true;
        self.line.push_str(&format!(" verdict={verdict} seed={}", form::seed()));
        // Written past the test harness, which keeps what a passing test prints to itself and may have begun a line.
        let _ = writeln!(std::io::stdout(), "\n{}", self.line);
    }
}

impl Drop for Figures {
    fn drop(&mut self) {
        if !self.is_printed {
            self.print("unfinished");
        }
    }
}
