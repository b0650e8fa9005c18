//! What the engine does where no bench of one hot decision looks: many keys, many rules, two threads,
//! memory, and the longest pause while it grows.
//!
//! Ratios are between work that took turns within one run, round after round, and medians of the rounds.
//! What is asked is put together before the clock starts, so no figure has that in it.
//!
//! ```text
//! cargo bench --bench engine                all parts
//! cargo bench --bench engine -- rules       one of them
//! cargo bench --bench engine -- --quick     a short run that shows that it works
//! ```
#![expect(clippy::expect_used, reason = "a bench stops at what it did not expect")]
#![expect(clippy::print_stdout, reason = "a bench prints its result")]

#[path = "cases/allocations.rs"]
mod allocations;
mod cases;

use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Barrier;
use std::thread;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use rustix::time::{ClockId, clock_gettime};
use tollgate::bench::keys::{Distribution, KeyDraw};
use tollgate::clock::Clock;
use tollgate::decide::{Plan, conclude, plan};
use tollgate::policy::set::PolicySet;
use tollgate::request::Request;
use tollgate::store::Store;
use tollgate::time::{Span, Timestamp};

use cases::policies::{descriptors, many_rules, named, tenant, tenant_and_user, two_windows};
use cases::{Case, START, Texts, charge, request};

struct Effort {
    rounds: usize,
    /// Decisions of one turn.
    decisions: u64,
    /// The most keys and rules.
    scale: u32,
}

const WHOLE: Effort = Effort { rounds: 9, decisions: 200_000, scale: 10_000_000 };
const SMOKE: Effort = Effort { rounds: 1, decisions: 1_000, scale: 1_000 };

/// Requests that are put together at a time.
const BATCH: usize = 50;
/// Requests that a thread asks over and over.
const REPEATED: usize = 256;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if has("--list") {
        return;
    }
    // `cargo bench` says `--bench`; `cargo test --benches` does not, and wants a smoke test.
    let effort = if has("--bench") && !has("--quick") { WHOLE } else { SMOKE };
    let asked = |name: &str| arguments.iter().any(|argument| argument == name);
    let is_any_asked = PARTS.iter().any(|(name, _)| asked(name));
    for (_, part) in PARTS.iter().filter(|(name, _)| !is_any_asked || asked(name)) {
        part(&effort);
    }
}

type Part = fn(&Effort);

/// By the name that chooses it.
const PARTS: [(&str, Part); 6] = [
    ("governor", against_governor),
    ("keys", keys),
    ("rules", rules),
    ("descriptors", numbers_of_descriptors),
    ("threads", threads),
    ("growth", growth),
];

/// A policy, its counters, and what its turns ask.
struct Drawn<'c> {
    set: &'c PolicySet,
    store: &'c Store,
    places: &'c [u32],
    text: &'c (dyn Fn(u32) -> Texts + Sync),
}

impl<'c> Drawn<'c> {
    fn new(case: &'c Case, places: &'c [u32], text: &'c (dyn Fn(u32) -> Texts + Sync)) -> Self {
        Self { set: &case.set, store: &case.store, places, text }
    }

    /// Mean time of a decision, in nanoseconds: plan, charge, conclude.
    fn turn(&self, round: usize) -> f64 {
        let now = at(round);
        in_batches(self.places, |places| {
            let texts = self.texts(places);
            let requests = requests(&texts);
            nanos(|| self.decide(&requests, now))
        })
    }

    /// The same of the charge alone.
    fn charge_turn(&self, round: usize) -> f64 {
        let now = at(round);
        in_batches(self.places, |places| {
            let texts = self.texts(places);
            let requests = requests(&texts);
            let plan_of = |request| plan(self.set, request, now, |_| None);
            let plans: Vec<Plan<'_>> = requests.iter().map(plan_of).collect();
            nanos(|| {
                for plan in &plans {
                    black_box(charge(self.store, &plan.charges, now));
                }
            })
        })
    }

    /// The same of one batch over and over, begun when all is put together and `ready` came back.
    fn repeated(&self, round: usize, ready: impl FnOnce()) -> f64 {
        let now = at(round);
        let places = &self.places[..self.places.len().min(REPEATED)];
        let texts = self.texts(places);
        let requests = requests(&texts);
        let times = self.places.len() / places.len();
        ready();
        nanos(|| (0..times).for_each(|_| self.decide(&requests, now)))
            / mean_of(times * places.len())
    }

    fn decide(&self, requests: &[Request<'_>], now: Timestamp) {
        for request in requests {
            let plan = plan(self.set, request, now, |_| None);
            let outcomes = charge(self.store, &plan.charges, now);
            black_box(conclude(&plan, &outcomes));
        }
    }

    fn texts(&self, places: &[u32]) -> Vec<Texts> {
        places.iter().map(|place| (self.text)(*place)).collect()
    }
}

fn requests(texts: &[Texts]) -> Vec<Request<'_>> {
    texts.iter().map(|texts| request("bench", texts)).collect()
}

/// The median of the batches, each by the mean of its decisions: what the machine does meanwhile to some
/// of them is not in it. A batch is put together right before it is timed, so that it lies in a
/// cache, as a request does that has just come in.
fn in_batches(places: &[u32], mut batch: impl FnMut(&[u32]) -> f64) -> f64 {
    median(places.chunks(BATCH).map(|places| batch(places) / mean_of(places.len())).collect())
}

/// Key numbers, as many as a turn has decisions.
fn draw(keys: u32, distribution: Distribution, effort: &Effort, seed: u64) -> Vec<u32> {
    let mut draw = KeyDraw::new(keys.into(), distribution, seed);
    let place = |number| u32::try_from(draw.draw(number)).expect("drawn below their bound");
    (0..effort.decisions).map(place).collect()
}

/// Later from round to round, so that windows end as they do in life.
fn at(round: usize) -> Timestamp {
    START.now.plus(Span::from_seconds(60 * (round as u64 + 1)))
}

#[expect(clippy::cast_precision_loss, reason = "times of a bench are small")]
fn nanos(work: impl FnOnce()) -> f64 {
    let clock = Clock::system();
    let begun = clock.steady();
    work();
    clock.steady().minus(begun).as_nanos() as f64
}

#[expect(clippy::cast_precision_loss, reason = "counts of a bench are small")]
fn mean_of(count: usize) -> f64 {
    count as f64
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Lets each have its turn, round after round; gives the times of each.
fn rounds(effort: &Effort, turns: &mut [&mut dyn FnMut(usize) -> f64]) -> Vec<Vec<f64>> {
    let mut times = vec![Vec::new(); turns.len()];
    for round in 0..=effort.rounds {
        for (turn, times) in turns.iter_mut().zip(&mut times) {
            let time = turn(round);
            // The first round meets keys that are new.
            if round > 0 {
                times.push(time);
            }
        }
    }
    times
}

/// The median of what one took for each that another took.
fn ratio(times: &[f64], to: &[f64]) -> f64 {
    median(times.iter().zip(to).map(|(time, to)| time / to).collect())
}

fn against_governor(effort: &Effort) {
    let keys = effort.scale.min(1_000_000);
    println!("{keys} keys by zipf, one thread, ns");
    let places = draw(keys, Distribution::Zipf, effort, 1);
    let (two, single) = (two_windows(1), descriptors(1, 1));
    let limiter: DefaultKeyedRateLimiter<String> =
        RateLimiter::keyed(Quota::per_second(NonZeroU32::MAX));
    let text = |key: &u32| format!("bench|all|tenant-{key}");
    let one_descriptor = |key| named(1, key);
    // All have a counter of every key, as after a while of work.
    fill(&two, keys, tenant);
    fill(&single, keys, one_descriptor);
    for key in 0..keys {
        black_box(limiter.check_key(&text(&key)).is_ok());
    }
    let two = Drawn::new(&two, &places, &tenant);
    let single = Drawn::new(&single, &places, &one_descriptor);
    let check = |text: &String| {
        black_box(limiter.check_key(text).is_ok());
    };
    let times = rounds(
        effort,
        &mut [
            &mut |round| two.turn(round),
            &mut |round| two.charge_turn(round),
            &mut |round| single.charge_turn(round),
            &mut |_| {
                in_batches(&places, |places| {
                    let texts: Vec<String> = places.iter().map(text).collect();
                    nanos(|| texts.iter().for_each(check))
                })
            },
            // Nobody has the text of a key before the request comes.
            &mut |_| {
                in_batches(&places, |places| {
                    nanos(|| places.iter().for_each(|key| check(&text(key))))
                })
            },
        ],
    );
    for (name, place) in [
        ("plan, charge, conclude: two windows", 0),
        ("charge alone: two windows", 1),
        ("charge alone: one window", 2),
        ("governor, text at hand: one window", 3),
        ("governor, text made: one window", 4),
    ] {
        let (time, ratio) = (median(times[place].clone()), ratio(&times[place], &times[2]));
        println!("  {name:<36} {time:>7.0}  {ratio:>5.2} of our charge of one window");
    }
}

fn keys(effort: &Effort) {
    println!("keys, one descriptor and two windows: plan, charge, conclude, ns");
    let mut counts =
        [10_000, 100_000, 1_000_000, 10_000_000].map(|keys| effort.scale.min(keys)).to_vec();
    counts.dedup();
    for keys in counts {
        let case = two_windows(1);
        fill(&case, keys, tenant);
        let places = [Distribution::Zipf, Distribution::Uniform]
            .map(|distribution| draw(keys, distribution, effort, 1));
        let [zipf, uniform] = places.each_ref().map(|places| Drawn::new(&case, places, &tenant));
        let times =
            rounds(effort, &mut [&mut |round| zipf.turn(round), &mut |round| uniform.turn(round)]);
        let [zipf, uniform] = [0, 1].map(|place| median(times[place].clone()));
        println!("  {keys:>10} zipf {zipf:>7.0}  uniform {uniform:>7.0}");
    }
}

/// Makes a counter of every key.
fn fill(case: &Case, keys: u32, text: impl Fn(u32) -> Texts) {
    for texts in (0..keys).map(text) {
        let request = request("bench", &texts);
        let plan = plan(&case.set, &request, START.now, |_| None);
        black_box(case.charge(&plan.charges, START.now));
    }
}

/// As many keys whatever the number of rules, so that the rules alone make the difference.
fn rules(effort: &Effort) {
    let keys = effort.scale.min(100_000);
    println!("rules of one tenant each, {keys} keys by zipf: plan, charge, conclude, ns");
    let counts = [10, 1_000, 100_000].map(|count: u32| count.min(effort.scale));
    let cases = counts.map(many_rules);
    let texts = counts.map(|count| move |key| tenant_and_user(key % count, key));
    let places = draw(keys, Distribution::Zipf, effort, 1);
    let drawn = [0, 1, 2].map(|it: usize| Drawn::new(&cases[it], &places, &texts[it]));
    tell(&counts, &in_turn(effort, &drawn));
}

fn numbers_of_descriptors(effort: &Effort) {
    let keys = effort.scale.min(100_000);
    println!("descriptors, one rule each, {keys} keys by zipf: plan, charge, conclude, ns");
    let counts = [1, 3, 8];
    let cases = counts.map(|count| descriptors(count as usize, 1));
    let places = draw(keys, Distribution::Zipf, effort, 1);
    let texts = counts.map(|count| move |key| named(count as usize, key));
    let drawn = [0, 1, 2].map(|it: usize| Drawn::new(&cases[it], &places, &texts[it]));
    tell(&counts, &in_turn(effort, &drawn));
}

fn in_turn(effort: &Effort, [first, second, third]: &[Drawn<'_>; 3]) -> Vec<Vec<f64>> {
    let turns: &mut [&mut dyn FnMut(usize) -> f64] =
        &mut [&mut |round| first.turn(round), &mut |round| second.turn(round), &mut |round| {
            third.turn(round)
        }];
    rounds(effort, turns)
}

fn tell(counts: &[u32], times: &[Vec<f64>]) {
    for (count, times_of) in counts.iter().zip(times) {
        let (time, ratio) = (median(times_of.clone()), ratio(times_of, &times[0]));
        println!("  {count:>10} {time:>7.0}  {ratio:>5.2} of {}", counts[0]);
    }
}

/// What two threads decide in the time of one: 2.0 is twice as much.
fn threads(effort: &Effort) {
    println!("two threads: decisions in the time in which one thread makes one");
    let (even, odd) = (|key: u32| tenant(key * 2), |key: u32| tenant(key * 2 + 1));
    let hot = |_: u32| tenant(0);
    let case = two_windows(1);
    let places = draw(effort.scale.min(1_000_000) / 2, Distribution::Uniform, effort, 1);
    let drawn = |text| Drawn::new(&case, &places, text);
    for (name, [first, second]) in [
        ("different keys", [drawn(&even), drawn(&odd)]),
        ("one hot key", [drawn(&hot), drawn(&hot)]),
    ] {
        let times = rounds(
            effort,
            &mut [&mut |round| first.repeated(round, || ()), &mut |round| {
                both(&first, &second, round)
            }],
        );
        let speedup = 2.0 * ratio(&times[0], &times[1]);
        println!("  {name:<16} {speedup:>5.2}  (one thread {:.0} ns)", median(times[0].clone()));
    }
}

/// The slower of two that go at once.
fn both(first: &Drawn<'_>, second: &Drawn<'_>, round: usize) -> f64 {
    let start = Barrier::new(2);
    let run = |drawn: &Drawn<'_>| {
        drawn.repeated(round, || {
            start.wait();
        })
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| run(second));
        let time = run(first);
        time.max(other.join().expect("the other thread ends"))
    })
}

/// Other processes make longer pauses than any table, and are not in it.
#[expect(clippy::disallowed_methods, reason = "it is no time that anything is decided by")]
fn thread_cpu_time() -> Span {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = Span::from_seconds(time.tv_sec.unsigned_abs());
    seconds.plus(Span::from_nanos(time.tv_nsec.unsigned_abs()))
}

/// Fills one store with keys that it does not know, and looks at its memory and its pauses.
fn growth(effort: &Effort) {
    let keys = effort.scale.min(1_000_000);
    let case = two_windows(1);
    let mut pauses = vec![Span::ZERO; keys as usize];
    let resident = resident_bytes();
    let held = allocations::held_bytes();
    for (key, pause) in (0..keys).zip(&mut pauses) {
        let texts = tenant(key);
        let request = request("bench", &texts);
        let begun = thread_cpu_time();
        let plan = plan(&case.set, &request, START.now, |_| None);
        let outcomes = case.charge(&plan.charges, START.now);
        black_box(conclude(&plan, &outcomes));
        *pause = thread_cpu_time().minus(begun);
    }
    let held = allocations::held_bytes() - held;
    let resident = resident_bytes().saturating_sub(resident);
    pauses.sort_unstable();
    let [longest, second, third] =
        [1, 2, 3].map(|place| pauses[pauses.len() - place].as_nanos() / 1_000);
    let median = pauses[pauses.len() / 2].as_nanos();
    let keys = u64::from(keys);
    println!("{keys} keys of two windows that come for the first time");
    println!("  held {} bytes for each key, {} for each counter", held / keys, held / keys / 2);
    println!("  resident {} bytes for each key", resident / keys);
    println!(
        "  a decision, by CPU time: median {median} ns, longest {longest}, {second}, {third} µs"
    );
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kibibytes.and_then(|it| it.parse::<u64>().ok()).expect("`VmRSS: … kB`") * 1024
}
