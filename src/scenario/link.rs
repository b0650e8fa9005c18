//! What a scenario names, looked up in the policies that it runs against.
//!
//! A misspelt rule or domain is found before anything runs: a domain that no policy has is never
//! limited, so every `expect: ok` of it would hold.

use super::model::{Action, Check, Expected, ReportedLoad, Scenario, ScenarioFile, Send};
use super::run::only_domain;
use crate::policy::diagnostic::{Diagnostic, Severity};
use crate::policy::findings::clean;
use crate::policy::model::{Place, Placed};
use crate::policy::set::PolicySet;
use crate::policy::suggest;

/// Names that no policy of `sets` has; places are of the scenario file.
pub fn link(file: &ScenarioFile, sets: &[PolicySet]) -> Vec<Diagnostic> {
    let mut linker = Linker { sets, found: Vec::new() };
    file.scenarios.iter().for_each(|scenario| linker.scenario(scenario));
    let mut found = linker.found;
    found.sort_by_key(|found| (found.place.bytes.start, found.place.bytes.end));
    found.dedup();
    found
}

struct Linker<'s> {
    sets: &'s [PolicySet],
    found: Vec<Diagnostic>,
}

impl Linker<'_> {
    fn scenario(&mut self, scenario: &Scenario) {
        for step in &scenario.steps {
            match &step.action {
                Action::Send(send) => {
                    self.domain(send.domain.as_ref(), &step.place);
                    self.rules(send);
                }
                Action::Load(ReportedLoad { domain, .. }) => {
                    self.domain(domain.as_ref(), &step.place);
                }
                Action::Reload(_) | Action::Release(_) => {}
            }
        }
    }

    fn domain(&mut self, domain: Option<&Placed<String>>, step: &Place) {
        let names: Vec<&str> =
            self.sets.iter().flat_map(|set| &set.domains).map(|domain| &*domain.name).collect();
        let Some(domain) = domain else {
            let first = self.sets.first().map_or("", only_domain);
            if first.is_empty() && !names.is_empty() {
                let message = "the policies have several domains, and this step names none";
                let hint =
                    format!("write `domain:` at the top of the file; {}", suggest::one_of(&names));
                let place = Place { bytes: step.bytes.start..step.bytes.start, ..step.clone() };
                self.error("no-domain", &place, message.to_owned(), hint);
            }
            return;
        };
        if !names.contains(&domain.value.as_str()) {
            let message = format!("no policy has the domain `{}`", domain.value);
            let hint = suggest::hint(&domain.value, &names);
            self.error("unknown-domain", &domain.place, message, hint);
        }
    }

    fn rules(&mut self, send: &Send) {
        let of_statuses = send.expect.statuses.iter().flat_map(|statuses| &statuses.value);
        for check in send.expect.last.iter().chain(of_statuses.flatten()) {
            let Check { value: Expected::Rule(rule), place } = check else { continue };
            let is_of_domain =
                |name: &str| send.domain.as_ref().is_none_or(|domain| domain.value == name);
            let domains = self.sets.iter().flat_map(|set| &set.domains);
            let domains = domains.filter(|domain| is_of_domain(&domain.name));
            let rules = domains.flat_map(|domain| {
                domain.rules.iter().chain(domain.load.iter().map(|load| &load.rule))
            });
            let names: Vec<&str> = rules.map(|rule| &*rule.name).collect();
            if names.contains(&rule.as_str()) || names.is_empty() {
                continue;
            }
            let message = format!("no policy has a rule `{rule}`");
            let hint = suggest::hint(rule, &names);
            self.error("unknown-rule", place, message, hint);
        }
    }

    fn error(&mut self, code: &'static str, place: &Place, message: String, hint: String) {
        let (message, hint, place) = (clean(message), clean(hint), place.clone());
        let severity = Severity::Error;
        self.found.push(Diagnostic { severity, code, message, place, related: None, hint });
    }
}
