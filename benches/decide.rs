//! What one decision costs without the wire: plan, charge, conclude, answer, and all of it.
//!
//! Requests are borrowed from texts made beforehand, and time moves on with every decision, so
//! that windows end as they do in life and no figure is about one warm counter by accident.
#![allow(unsafe_code, reason = "an allocator that counts cannot be written without")]
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench prints its result, and stops at what it did not expect"
)]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::hint::black_box;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use criterion::{BenchmarkId, Criterion};
use mimalloc::MiMalloc;
use tollgate::decide::{Answer, Charge, Code, Decision, Plan, answer, conclude, plan};
use tollgate::limit::{Hits, Unit, Window};
use tollgate::policy::compile;
use tollgate::policy::model::{self, Counting, Limit, Mode, Place, Placed, Source};
use tollgate::policy::respond::Respond;
use tollgate::policy::set::{CounterSeed, PolicySet};
use tollgate::request::{Descriptor, Entry, Request};
use tollgate::store::{Outcomes, Store};
use tollgate::time::{Span, Timestamp};
use tollgate::usage::Usage;

/// Calls for memory by the whole process.
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// The product's allocator, counting.
struct CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

// SAFETY: every call is handed on as it is.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are those that `alloc` asks for.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are those that `realloc` asks for.
        unsafe { MiMalloc.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are those that `dealloc` asks for.
        unsafe { MiMalloc.dealloc(memory, layout) }
    }
}

const SEED: CounterSeed = CounterSeed([1, 2]);
const SERVICE_MANAGER: &str = include_str!("../policies/sap-service-manager.yaml");
const THREE_DESCRIPTORS: &str = "\
domain: bench
rules:
  - { name: per-tenant, match: { method: GET }, per: [tenant], limits: [1000000000/day] }
  - { name: per-app, match: { endpoint: /v1/orders }, per: [app], limits: [1000000000/day] }
  - { name: per-user, match: { region: eu }, per: [user], limits: [1000000000/day] }
";

/// One request, as text: descriptors of entries.
type Texts = Vec<Vec<(&'static str, String)>>;

/// A policy and requests to it, asked in turn.
struct Case {
    name: String,
    set: PolicySet,
    domain: &'static str,
    requests: Vec<Texts>,
    store: Store,
    /// Goes on from one measurement to the next, so that no window is met twice.
    turn: Cell<Turn>,
    /// How far time moves with every decision.
    step: Span,
    expected: Code,
}

impl Case {
    fn new(name: &str, policy: &str, domain: &'static str, requests: Vec<Texts>) -> Self {
        let source = Source { name: "bench.yaml".to_owned(), text: policy.to_owned() };
        let compiled = compile(&[source], SEED, &Mode::Enforce.into());
        let set = compiled.set.expect("the policy has no errors");
        Self::of(name, set, domain, requests)
    }

    fn of(name: &str, set: PolicySet, domain: &'static str, requests: Vec<Texts>) -> Self {
        Self {
            name: name.to_owned(),
            set,
            domain,
            requests,
            store: Store::memory(),
            turn: Cell::new(START),
            step: Span::from_seconds(1),
            expected: Code::Ok,
        }
    }

    /// Stands still in time, with the limits used up.
    fn denied(mut self) -> Self {
        self.step = Span::ZERO;
        self.expected = Code::OverLimit;
        while self.decide().0 == Code::Ok {}
        self
    }

    fn request(&self, turn: Turn) -> Request<'_> {
        Request {
            domain: self.domain.as_bytes(),
            descriptors: self.requests[turn.place]
                .iter()
                .map(|entries| descriptor(entries))
                .collect(),
        }
    }

    fn charge(&self, charges: &[Charge<'_>], now: Timestamp) -> Outcomes {
        let charging = pin!(self.store.charge(charges, now));
        match charging.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcomes) => outcomes.expect("the memory store can always charge"),
            Poll::Pending => unreachable!("the memory store is always ready"),
        }
    }

    /// Keys follow one another far apart, as those of unrelated callers do in memory.
    fn advance(&self) -> Turn {
        let Turn { place, now } = self.turn.get();
        let turn = Turn { place: (place + 7_919) % self.requests.len(), now: now.plus(self.step) };
        self.turn.set(turn);
        turn
    }

    /// All of a decision: the request is put together, decided, and its answer written.
    fn decide(&self) -> (Code, Answer<'_>) {
        let turn = self.advance();
        let request = self.request(turn);
        let plan = plan(&self.set, &request, turn.now, |_| None);
        let outcomes = self.charge(&plan.charges, turn.now);
        let decision = conclude(&plan, &outcomes);
        let answer = answer(&decision, turn.now);
        (decision.code, answer)
    }
}

fn descriptor<'a>(entries: &'a [(&'static str, String)]) -> Descriptor<'a> {
    let entry = |(key, value): &'a (&'static str, String)| Entry {
        key: key.as_bytes(),
        value: value.as_bytes(),
    };
    Descriptor { entries: entries.iter().map(entry).collect(), hits: Hits::Take(1), limit: None }
}

/// Which request comes next, and when.
#[derive(Clone, Copy)]
struct Turn {
    place: usize,
    now: Timestamp,
}

const START: Turn = Turn { place: 0, now: Timestamp::from_seconds(1_750_000_000) };

fn one_descriptor<const N: usize>(entries: [(&'static str, &str); N]) -> Texts {
    vec![entries.map(|(key, value)| (key, value.to_owned())).into()]
}

fn service_manager(name: &str, method: &str, endpoint: &str) -> Case {
    let texts = one_descriptor([("user", "u-81344"), ("method", method), ("endpoint", endpoint)]);
    Case::new(name, SERVICE_MANAGER, "sap-service-manager", vec![texts])
}

fn three_descriptors(keys: u32) -> Case {
    let request = |key: u32| {
        vec![
            vec![("tenant", format!("t{key}")), ("method", "GET".to_owned())],
            vec![("app", format!("a{key}")), ("endpoint", "/v1/orders".to_owned())],
            vec![("user", format!("u{key}")), ("region", "eu".to_owned())],
        ]
    };
    let requests = (0..keys).map(request).collect();
    Case::new("three-descriptors", THREE_DESCRIPTORS, "bench", requests)
}

/// One rule for each tenant: more than a policy file may hold, so compiled from the model.
fn many_rules(count: u32) -> Case {
    let rule = |rule: u32| model::Rule {
        conditions: vec![model::Condition {
            attribute: placed("tenant".to_owned()),
            pattern: model::Pattern::Equals(format!("t{rule}")),
        }],
        per: vec![placed("user".to_owned())],
        limits: vec![placed(Limit::new(90_000, Counting::Fixed(Window::epoch(Unit::Day))))],
        ..model::Rule::new(placed(format!("r{rule}")))
    };
    let policy = model::Policy {
        domain: placed("bench".to_owned()),
        body: model::Body::Native(Box::new(model::NativePolicy {
            attributes: Vec::new(),
            tables: Vec::new(),
            rules: (0..count).map(rule).collect(),
            respond: Respond::NATIVE,
            load: None,
        })),
    };
    let request = |rule: u32| {
        let tenant = format!("t{rule}");
        one_descriptor([("tenant", &tenant), ("user", "u1")])
    };
    let set = PolicySet::new(&[policy], SEED, &Mode::Enforce.into());
    Case::of(&count.to_string(), set, "bench", (0..count).map(request).collect())
}

fn placed<T>(value: T) -> Placed<T> {
    Placed { value, place: Place::default() }
}

/// One table of endpoints; every request meets its own row and the one for everything.
fn many_endpoints(count: u32) -> Case {
    let mut policy = "domain: bench\nrules:\n  - name: api\n    base: \"/{organization}\"\n    \
                      per: [organization]\n    endpoints:\n      - [\"*\", /**, 90000/day]\n"
        .to_owned();
    for row in 0..count {
        let group = row % 100;
        policy.push_str(&format!("      - [GET, \"/g{group}/{{id}}/r{row}\", 90000/day]\n"));
    }
    let request = |row: u32| {
        let path = format!("/acme/g{}/42/r{row}", row % 100);
        one_descriptor([("method", "GET"), ("endpoint", &path)])
    };
    Case::new(&count.to_string(), &policy, "bench", (0..count).map(request).collect())
}

/// One rule for a list of templates; every request meets the one that is its own.
fn many_templates(count: u32) -> Case {
    let mut policy = "domain: bench\nrules:\n  - name: listed\n    per: [organization]\n    \
                      limits: [1000000000/day]\n    match:\n      method: GET\n      \
                      endpoint:\n"
        .to_owned();
    for number in 0..count {
        let group = number % 100;
        policy.push_str(&format!("        - \"/{{organization}}/g{group}/{{id}}/r{number}\"\n"));
    }
    let request = |number: u32| {
        let path = format!("/acme/g{}/42/r{number}", number % 100);
        one_descriptor([("method", "GET"), ("endpoint", &path)])
    };
    Case::new(&count.to_string(), &policy, "bench", (0..count).map(request).collect())
}

/// What the language can say beyond patterns, one rule each.
fn language() -> Vec<Case> {
    let rule = |name: &str, tables: &str, rule: &str| {
        let policy = format!(
            "domain: bench\ntables: {{ {tables} }}\nrules:\n  - {{ name: r, per: [tenant], {rule} }}\n"
        );
        let entries = [("tenant", "acme"), ("rows", "250"), ("method", "GET")];
        Case::new(name, &policy, "bench", vec![one_descriptor(entries)])
    };
    let table = "tenant: { default: { units: 1 }, acme: { units: 400 } }";
    vec![
        rule("fixed", "", "limits: [90000000/day]"),
        rule("rolling", "", "limits: [90000000/day rolling]"),
        rule("bucket", "", "limits: [90000000/day bucket]"),
        rule("pausing", "", "limits: [90000000/day], resume_below: 50%"),
        rule("formula", table, "limits: [\"90000000 + 1500 * tenant.units / day\"]"),
        rule("cost", "", "limits: [90000000000/day], cost: ceil(rows / 100)"),
        rule("when", "", "limits: [90000000/day], when: 'method == \"GET\" && int(rows) > 100'"),
        rule(
            "override",
            "",
            "limits: [5/day], overrides: [{ match: { tenant: acme }, limits: [90000000/day] }]",
        ),
    ]
}

fn many_keys(count: u32) -> Case {
    let policy = "domain: bench\nrules: [{ name: all, per: [tenant], limits: [1000000000/day] }]\n";
    let request = |key: u32| one_descriptor([("tenant", &format!("tenant-{key}"))]);
    let mut case =
        Case::new(&count.to_string(), policy, "bench", (0..count).map(request).collect());
    case.step = Span::from_millis(1);
    for _ in 0..count {
        case.decide();
    }
    case
}

/// Each step of one case by itself, then all of them.
fn bench_steps(criterion: &mut Criterion, case: &Case) {
    let mut group = criterion.benchmark_group(&case.name);
    let start = case.turn.get();
    let request = case.request(start);
    let planned: Plan<'_> = plan(&case.set, &request, start.now, |_| None);
    let outcomes = case.charge(&planned.charges, start.now);
    let decision: Decision<'_> = conclude(&planned, &outcomes);
    assert_eq!(decision.code, case.expected, "{}", case.name);

    group.bench_function("plan", |bencher| {
        bencher.iter(|| plan(black_box(&case.set), black_box(&request), start.now, |_| None));
    });
    group.bench_function("charge", |bencher| {
        bencher.iter(|| {
            let turn = case.advance();
            case.charge(black_box(&planned.charges), turn.now)
        });
    });
    group.bench_function("conclude", |bencher| {
        bencher.iter(|| conclude(black_box(&planned), black_box(&outcomes)));
    });
    group.bench_function("answer", |bencher| {
        bencher.iter(|| answer(black_box(&decision), start.now));
    });
    group.bench_function("all", |bencher| {
        bencher.iter(|| decide_as_expected(case));
    });
    group.finish();
}

/// A figure about denials must not pass for one about requests that are let through.
fn decide_as_expected(case: &Case) -> Answer<'_> {
    let (code, answer) = case.decide();
    assert_eq!(code, case.expected, "{}", case.name);
    answer
}

/// What the history costs: for series that it knows, and for those of which it knows too many.
fn bench_usage(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("usage");
    for (name, case) in [
        ("known", service_manager("known", "PATCH", "/v1/service_instances/42")),
        ("known-of-1000", many_keys(1_000)),
        ("unknown", many_keys(5_000)),
    ] {
        let usage = Usage::default();
        let turns = (0..case.requests.len()).map(|place| Turn { place, ..START });
        for turn in turns {
            record(&case, &usage, turn);
        }
        let last = Turn { place: case.requests.len() - 1, ..START };
        assert_eq!(record(&case, &usage, last), 0, "{name}: recording asks for no memory");
        let request = case.request(last);
        let planned = plan(&case.set, &request, last.now, |_| None);
        let decision = conclude(&planned, &case.charge(&planned.charges, last.now));
        group.bench_function(name, |bencher| {
            bencher.iter(|| usage.record(black_box(&request), black_box(&decision), last.now));
        });
    }
    group.finish();
}

/// Records one request; the allocations that this took, its decision left out.
fn record(case: &Case, usage: &Usage, turn: Turn) -> u64 {
    let request = case.request(turn);
    let planned = plan(&case.set, &request, turn.now, |_| None);
    let decision = conclude(&planned, &case.charge(&planned.charges, turn.now));
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    usage.record(&request, &decision, turn.now);
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

fn bench_scale(criterion: &mut Criterion, name: &str, counts: &[u32], make: fn(u32) -> Case) {
    let mut group = criterion.benchmark_group(name);
    for case in counts.iter().map(|count| make(*count)) {
        print_allocations(&format!("{name}/{}", case.name), &case);
        group.bench_function(BenchmarkId::new("all", &case.name), |bencher| {
            bencher.iter(|| decide_as_expected(&case));
        });
    }
    group.finish();
}

/// Allocations of one decision, its answer included; the first ones, which make room, apart.
fn print_allocations(label: &str, case: &Case) {
    const DECISIONS: u64 = 1_000;
    for _ in 0..DECISIONS {
        case.decide();
    }
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for _ in 0..DECISIONS {
        black_box(decide_as_expected(case));
    }
    let made = ALLOCATIONS.load(Ordering::Relaxed) - before;
    println!("allocations per decision, {label}: {}.{:03}", made / DECISIONS, made % DECISIONS);
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let cases = [
        service_manager("one-rule-two-windows", "GET", "/v1/platforms"),
        service_manager("two-rules-four-windows", "PATCH", "/v1/service_instances/42"),
        three_descriptors(1),
        service_manager("denied", "POST", "/v1/service_instances").denied(),
    ];
    for case in &cases {
        print_allocations(&case.name, case);
    }
    for case in &cases {
        bench_steps(&mut criterion, case);
    }
    bench_usage(&mut criterion);
    // `cargo bench` says `--bench`; `cargo test --benches` does not, and a smoke test need not fill
    // memory.
    let is_smoke = !std::env::args().any(|argument| argument == "--bench");
    let rules: &[u32] = if is_smoke { &[10, 1_000] } else { &[10, 1_000, 100_000] };
    bench_scale(&mut criterion, "rules", rules, many_rules);
    let endpoints: &[u32] = if is_smoke { &[10, 1_000] } else { &[10, 1_000, 10_000] };
    bench_scale(&mut criterion, "endpoints", endpoints, many_endpoints);
    bench_scale(&mut criterion, "templates", endpoints, many_templates);
    for case in language() {
        print_allocations(&format!("language/{}", case.name), &case);
        let mut group = criterion.benchmark_group("language");
        group.bench_function(&case.name, |bencher| bencher.iter(|| decide_as_expected(&case)));
        group.finish();
    }
    let keys: &[u32] = if is_smoke { &[1, 10_000] } else { &[1, 10_000, 1_000_000] };
    bench_scale(&mut criterion, "keys", keys, many_keys);
    criterion.final_summary();
}
