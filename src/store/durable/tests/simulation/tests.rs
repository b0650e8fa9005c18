//! Many seeds, on all cores; one that fails is named, and runs again alone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::Judged;
use super::run::{Figures, Run};

#[expect(clippy::disallowed_methods, reason = "a switch of tests, not a setting")]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn run(seed: u64, is_told: bool) -> Judged<(u64, Figures)> {
    let whole = || {
        let mut run = Run::new(seed, is_told);
        run.whole().map(|traced| (traced, run.figures))
    };
    catch_unwind(AssertUnwindSafe(whole)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

impl Figures {
    fn add(&mut self, other: Self) {
        self.steps += other.steps;
        self.requests += other.requests;
        self.denied += other.denied;
        self.lacked += other.lacked;
        self.turns += other.turns;
        self.crashes += other.crashes;
        self.power_losses += other.power_losses;
        self.orderly_ends += other.orderly_ends;
        self.faults += other.faults;
        self.clock_steps += other.clock_steps;
        self.followed += other.followed;
        self.evictions += other.evictions;
        self.overflows += other.overflows;
        self.reloads += other.reloads;
    }
}

/// Runs seeds until one fails; the least that did of those that were begun.
fn run_all(first: u64, count: u64) -> Result<Figures, (u64, String)> {
    let (next, total) = (AtomicU64::new(first), Mutex::new(Figures::default()));
    let failed: Mutex<Option<(u64, String)>> = Mutex::new(None);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count || failed.lock().unwrap().is_some() {
                return;
            }
            match run(seed, false) {
                Ok((_, figures)) => total.lock().unwrap().add(figures),
                Err(wrong) => {
                    let mut failed = failed.lock().unwrap();
                    if failed.as_ref().is_none_or(|(other, _)| seed < *other) {
                        *failed = Some((seed, wrong));
                    }
                }
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| _ = scope.spawn(work)));
    match failed.into_inner().unwrap() {
        Some(failed) => Err(failed),
        None => Ok(total.into_inner().unwrap()),
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it says how long it took")]
fn every_seed_keeps_every_promise() {
    if let Some(seed) = number("TOLLGATE_SIM_SEED") {
        let (traced, figures) = run(seed, true).unwrap_or_else(|wrong| panic!("{wrong}"));
        println!("seed {seed} ran well: {figures:?}, trace {traced:016x}");
        return;
    }
    let count = number("TOLLGATE_SIM_SEEDS").unwrap_or(300);
    let first = number("TOLLGATE_SIM_FIRST").unwrap_or(1);
    let began = Instant::now();
    let figures = run_all(first, count).unwrap_or_else(|(seed, wrong)| {
        panic!(
            "{wrong}\nreplay: TOLLGATE_SIM_SEED={seed} cargo test --lib every_seed_keeps -- --nocapture"
        )
    });
    let Figures {
        steps,
        requests,
        denied,
        lacked,
        turns,
        crashes,
        power_losses,
        orderly_ends,
        faults,
        clock_steps,
        followed,
        evictions,
        overflows,
        reloads,
    } = figures;
    println!(
        "T-SIM seeds={count} steps={steps} requests={requests} denied={denied} lacked={lacked} \
         turns={turns} crashes={crashes} power_losses={power_losses} ends={orderly_ends} \
         faults={faults} clock_steps={clock_steps} followed={followed} evictions={evictions} \
         overflows={overflows} reloads={reloads} took_s={} verdict=ok seed={first}",
        began.elapsed().as_secs()
    );
}

#[test]
fn a_seed_does_the_same_in_every_run() {
    for seed in [1, 2, 3, 17, 99, 1_000_003] {
        let traced = |_| run(seed, false).map(|(traced, _)| traced);
        let (one, two) = (traced(1), traced(2));
        assert_eq!(one, two, "seed {seed}");
        assert!(one.is_ok(), "seed {seed}: {one:?}");
    }
}
