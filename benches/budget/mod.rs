//! What each case of `instructions` may cost, in a file that is checked in.
//!
//! Figures of one profile say nothing about those of another, so the file names its own.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

/// What may be added before it is too much, in parts of a hundred.
const SLACK_PERCENT: u64 = 10;
const PROFILE: &str = "# profile: ";
const HEAD: &str = "\
# Instructions of one request, by case: what `benches/instructions.rs` counted when this was written.
# More than a tenth above fails `tests/run instructions`. To make the present figures the budget:
# cargo bench --bench instructions --profile instructions -- --write
";

pub(crate) struct Figure {
    pub(crate) name: String,
    /// Of one request.
    pub(crate) instructions: u64,
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/budget.txt")
}

/// What cargo calls the profile: the folder in which it builds.
fn profile() -> anyhow::Result<String> {
    let program = std::env::current_exe()?;
    let folder = program.ancestors().nth(2).and_then(Path::file_name);
    let name = folder.context("the program lies in the folder of its profile")?;
    Ok(name.to_string_lossy().into_owned())
}

pub(crate) fn write(figures: &[Figure]) -> anyhow::Result<()> {
    let line = |figure: &Figure| format!("{} = {}\n", figure.name, figure.instructions);
    let lines: String = figures.iter().map(line).collect();
    fs::write(file(), format!("{HEAD}{PROFILE}{}\n\n{lines}", profile()?))?;
    Ok(())
}

fn read() -> anyhow::Result<Vec<Figure>> {
    let text = fs::read_to_string(file()).context("`--write` makes `benches/budget.txt`")?;
    let profile = profile()?;
    let of_file = text.lines().find_map(|line| line.strip_prefix(PROFILE));
    ensure!(
        of_file == Some(&profile),
        "the budget is one of the profile `{}`, and this is `{profile}`",
        of_file.unwrap_or_default()
    );
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let figure = |line: &str| -> anyhow::Result<Figure> {
        let (name, instructions) = line.split_once(" = ").context("`case = instructions`")?;
        Ok(Figure { name: name.to_owned(), instructions: instructions.parse()? })
    };
    lines.map(|line| figure(line).with_context(|| format!("budget.txt: `{line}`"))).collect()
}

/// Prints each figure beside its budget; whether all are within, and the cases the same.
#[expect(clippy::print_stdout, reason = "a bench prints its result")]
pub(crate) fn compare(figures: &[Figure]) -> anyhow::Result<bool> {
    let budgets = read()?;
    let mut is_kept = true;
    println!("{:<28} {:>12} {:>9} {:>8}", "case", "instructions", "budget", "change");
    for figure in figures {
        let budget = budgets.iter().find(|budget| budget.name == figure.name);
        let (told, verdict) = match budget.map(|budget| budget.instructions) {
            None => (format!("{:>9} {:>8}", "none", ""), "NO BUDGET"),
            Some(budget) => {
                let is_over = figure.instructions * 100 > budget * (100 + SLACK_PERCENT);
                (change(figure.instructions, budget), if is_over { "OVER BUDGET" } else { "" })
            }
        };
        is_kept &= verdict.is_empty();
        println!("{:<28} {:>12} {told} {verdict}", figure.name, figure.instructions);
    }
    for budget in &budgets {
        if !figures.iter().any(|figure| figure.name == budget.name) {
            is_kept = false;
            println!("{:<28} {:>12} {:>9} NO SUCH CASE", budget.name, "", budget.instructions);
        }
    }
    if !is_kept {
        println!(
            "a case may cost {SLACK_PERCENT} % more than its budget; `--write` renews the budgets"
        );
    }
    Ok(is_kept)
}

#[expect(clippy::cast_precision_loss, reason = "for people; 53 bits are enough")]
fn change(instructions: u64, budget: u64) -> String {
    let percent = (instructions as f64 / budget as f64 - 1.0) * 100.0;
    format!("{budget:>9} {percent:>+7.1}%")
}
