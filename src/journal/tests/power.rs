//! T-PWR: processes that die and machines that lose power, at any operation, in any state.

use super::super::simulated::{Action, Fault, Random, Simulated};
use super::*;

/// What happened over all seeds.
#[derive(Debug, Default)]
struct Figures {
    crashes: u64,
    commits: u64,
    in_flight_kept: u64,
    in_flight_lost: u64,
    healed: u64,
    crashed_while_healing: u64,
}

struct Run {
    random: Random,
    disk: Simulated,
    /// What must be there.
    sure: State,
    /// What may be there instead: commits that have not returned, or failed.
    possible: Vec<State>,
    is_made: bool,
    figures: Figures,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        random.next();
        Self {
            random,
            disk: Simulated::default(),
            sure: State::default(),
            possible: Vec::new(),
            is_made: false,
            figures: Figures::default(),
        }
    }

    fn crash(&mut self) {
        self.figures.crashes += 1;
        match self.random.one_in(4) {
            true => self.disk.crash_process(),
            false => self.disk.crash_power(self.random.next()),
        }
    }

    /// Opens until no crash comes in between, and checks what is there.
    fn open(&mut self) -> Journal {
        for attempt in 0.. {
            if attempt < 2 && self.random.one_in(3) {
                self.disk.die_in(self.random.below(12), self.random.next());
            }
            let seed = if self.is_made { [0, 0] } else { SEED };
            match Journal::open_in(Files::Simulated(self.disk.clone()), seed) {
                Ok(journal) => {
                    assert_eq!(journal.seed(), SEED);
                    self.is_made = true;
                    let found = State::of(&journal).unwrap();
                    self.settle(found);
                    return journal;
                }
                Err(OpenError::Unusable { cause, .. }) => {
                    assert!(cause.to_string().contains("dead"), "{cause}");
                    self.crash();
                }
                Err(error) => panic!("the file does not open: {error}"),
            }
        }
        unreachable!()
    }

    /// What was found is what is sure from here on.
    fn settle(&mut self, found: State) {
        let possible = std::mem::take(&mut self.possible);
        if found == self.sure {
            self.figures.in_flight_lost += u64::from(!possible.is_empty());
            return;
        }
        assert!(possible.contains(&found), "neither what was committed nor what was in flight");
        self.figures.in_flight_kept += 1;
        self.sure = found;
    }

    /// One life of a process: commits until it dies.
    fn live(&mut self) {
        let mut journal = self.open();
        if !self.random.one_in(5) {
            self.disk.die_in(self.random.below(60), self.random.next());
        }
        if self.random.one_in(3) {
            let action = [Action::Sync, Action::Write, Action::SetLen];
            let action = action[usize::try_from(self.random.below(3)).unwrap()];
            self.disk.fail(action, 1 + self.random.below(12), Fault::Io);
        }
        for _ in 0..self.random.below(15) {
            let batch = batch(&mut self.random);
            let after = self.sure.after(&batch);
            match journal.commit(&batch) {
                Ok(_) => {
                    self.figures.commits += 1;
                    self.sure = after;
                    continue;
                }
                Err(_) => self.possible.push(after.clone()),
            }
            let all = after.whole(&mut self.random, batch.rows);
            let healed = after.after(&all);
            match journal.heal(&all) {
                Ok(report) => {
                    assert_eq!(report.rows_lost, 0);
                    self.figures.healed += 1;
                    self.sure = healed;
                    self.possible.clear();
                    same(&journal, &self.sure, "right after healing");
                }
                Err(_) => {
                    self.figures.crashed_while_healing += 1;
                    self.possible.push(healed);
                    break;
                }
            }
        }
        // A process that ends in good order, as far as it gets, or one that just ends.
        if self.random.one_in(4) {
            drop(journal);
            self.crash();
        } else {
            self.crash();
            drop(journal);
        }
        assert_eq!(self.disk.counts().syncs_after_failure, 0);
    }
}

#[test]
fn commits_that_returned_survive_every_crash() {
    let seeds = if is_long() { 5_000 } else { 200 };
    let mut total = Figures::default();
    // 3864: a sync that fails while closing, then a kill, then a loss of power.
    for seed in (0..seeds).chain([3864]) {
        let run = || {
            let mut run = Run::new(seed);
            for _ in 0..4 {
                run.live();
            }
            drop(run.open());
            run.figures
        };
        let figures = std::panic::catch_unwind(run);
        let figures = figures.unwrap_or_else(|_| panic!("seed {seed}"));
        total.crashes += figures.crashes;
        total.commits += figures.commits;
        total.in_flight_kept += figures.in_flight_kept;
        total.in_flight_lost += figures.in_flight_lost;
        total.healed += figures.healed;
        total.crashed_while_healing += figures.crashed_while_healing;
    }
    println!("T-PWR seeds={seeds} {total:?} lost=0 wrong=0 unopened=0");
    assert!(total.in_flight_kept > 0 && total.in_flight_lost > 0 && total.healed > 0);
}
