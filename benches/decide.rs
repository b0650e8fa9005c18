//! What one decision costs without the wire: plan, charge, conclude, answer, and all of it.
//!
//! Every figure is about decisions that end as the case says: denials are another way.
#![expect(clippy::expect_used, reason = "a bench stops at what it did not expect")]
#![expect(clippy::print_stdout, reason = "a bench prints its result")]

#[path = "cases/allocations.rs"]
mod allocations;
mod cases;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion};
use tollgate::decide::{Answer, Decision, Plan, answer, conclude, plan};
use tollgate::usage::Usage;

use cases::policies::{
    language, many_endpoints, many_keys, many_rules, many_templates, service_manager,
    three_descriptors,
};
use cases::{Case, START, Turn};

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
    let before = allocations::calls();
    usage.record(&request, &decision, turn.now);
    allocations::calls() - before
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
    let before = allocations::calls();
    for _ in 0..DECISIONS {
        black_box(decide_as_expected(case));
    }
    let made = allocations::calls() - before;
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
