//! `tollgate convert`: policies of other servers as native ones, text in, text out.
//!
//! A conversion never drops a limit in silence: what the native language cannot say is a comment
//! at the place where it would stand, and counted.

mod attributes;
pub mod draft;
mod format;
mod limitador;
mod ratelimit;
mod sound;
pub mod write;

#[cfg(test)]
mod tests;

use std::collections::HashSet;

pub use format::Format;

use crate::policy::diagnostic::Diagnostic;
use crate::policy::model::{DescriptorOptions, Source};
use draft::Draft;

/// What came of a conversion: the policies if there was nothing wrong, and all that is to be said.
#[derive(Debug, Default)]
pub struct Converted {
    pub drafts: Option<Vec<Draft>>,
    /// The texts that were read: those in a ConfigMap stand for it.
    pub sources: Vec<Source>,
    /// About these texts, with places in them.
    pub diagnostics: Vec<Diagnostic>,
    /// Why nothing was converted, where that has no place in a text.
    pub problems: Vec<String>,
}

impl Converted {
    fn refused(problems: Vec<String>) -> Self {
        Self { problems, ..Self::default() }
    }
}

/// Converts all texts, which are of one format: `from`, or what their keys say.
pub fn convert(sources: &[Source], from: Option<Format>, options: &DescriptorOptions) -> Converted {
    let sources = format::unwrapped(sources);
    let format = match from {
        Some(format) => format,
        None => match format::of_all(&sources) {
            Ok(format) => format,
            Err(problems) => return Converted::refused(problems),
        },
    };
    let natives = sources.iter().filter(|source| format::is_native(&source.text));
    let problems: Vec<String> = natives.map(|it| format::native(&it.name)).collect();
    if !problems.is_empty() {
        return Converted::refused(problems);
    }
    let converted = match format {
        Format::Ratelimit => {
            let (drafts, diagnostics) = ratelimit::read(&sources, options);
            Converted { drafts, diagnostics, ..Converted::default() }
        }
        Format::Limitador => read_limitador(&sources),
    };
    let converted = Converted { sources, ..converted };
    match converted.drafts.as_deref().and_then(domain_twice) {
        Some(problem) => Converted { drafts: None, problems: vec![problem], ..converted },
        None => Converted { drafts: converted.drafts.map(sound::sound), ..converted },
    }
}

fn read_limitador(sources: &[Source]) -> Converted {
    let mut drafts = Vec::new();
    let mut problems = Vec::new();
    for source in sources {
        match limitador::read(&source.text) {
            Ok(of_text) => drafts.extend(of_text),
            Err(of_text) => {
                problems.extend(of_text.into_iter().map(|it| format!("{}: {it}", source.name)));
            }
        }
    }
    let drafts = problems.is_empty().then_some(drafts);
    Converted { drafts, problems, ..Converted::default() }
}

fn domain_twice(drafts: &[Draft]) -> Option<String> {
    let mut domains = HashSet::new();
    let twice = drafts.iter().find(|draft| !domains.insert(&draft.domain))?;
    let domain = &twice.domain;
    Some(format!("the domain `{domain}` has limits in two places; join them in one file first"))
}

/// What was made, in numbers, for whoever started the conversion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub domains: usize,
    pub rules: usize,
    pub notes: usize,
}

impl Counts {
    pub fn of(drafts: &[Draft]) -> Self {
        let notes = |draft: &Draft| {
            draft.notes.len() + draft.rules.iter().map(|rule| rule.notes.len()).sum::<usize>()
        };
        Self {
            domains: drafts.len(),
            rules: drafts.iter().map(|draft| draft.rules.len()).sum(),
            notes: drafts.iter().map(notes).sum(),
        }
    }
}
