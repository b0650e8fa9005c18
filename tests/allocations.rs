//! How often a decision asks for memory: for most never, once its counters and series are known.
//!
//! What still allocates is listed with the present count as a bound: it may only be lowered.
#![expect(clippy::expect_used, reason = "a test stops at what it did not expect")]

#[path = "../benches/cases/allocations.rs"]
mod allocations;
#[path = "../benches/cases/mod.rs"]
mod cases;

use tollgate::decide::{Code, answer, conclude, plan};
use tollgate::time::Span;
use tollgate::usage::Usage;

use cases::policies::{
    language, many_rules, service_manager, three_descriptors, three_descriptors_with_headers,
    two_windows,
};
use cases::{Case, wire};

const REQUESTS: u32 = 100;
/// All requests of a case fall into one minute; the first one of the next is a case of its own.
const STEP: Span = Span::from_millis(1);

/// The most allocations of one request, when all have been decided before: the first time makes the
/// counters and the series, the second one the room to note that they changed.
fn most(case: &Case, mut decide: impl FnMut(&Case, u32)) -> u64 {
    let mut round = || {
        let counted = |request| {
            let before = allocations::calls();
            decide(case, request);
            allocations::calls() - before
        };
        (0..REQUESTS).map(counted).max().unwrap_or_default()
    };
    round();
    round();
    round()
}

/// With so much time between two requests, where time moves at all.
fn stepped(mut case: Case, step: Span) -> Case {
    if case.step != Span::ZERO {
        case.step = step;
    }
    case
}

/// Each within its bound.
fn assert_most(
    measure: fn(&Case) -> u64,
    step: Span,
    cases: impl IntoIterator<Item = (Case, u64)>,
) {
    for (case, bound) in cases {
        let case = stepped(case, step);
        let most = measure(&case);
        assert!(most <= bound, "{}: {most} allocations, {bound} at most", case.name);
    }
}

/// Plan, charge, conclude, answer, and what is noted of it: all but reading and writing bytes.
fn most_of_decision(case: &Case) -> u64 {
    let usage = Usage::default();
    most(case, |case, _| {
        let turn = case.advance();
        let request = case.request(turn);
        let plan = plan(&case.set, &request, turn.now, |_| None);
        let outcomes = case.charge(&plan.charges, turn.now);
        let decision = conclude(&plan, &outcomes);
        assert_eq!(decision.code, case.expected, "{}", case.name);
        std::hint::black_box(answer(&decision, turn.now));
        usage.record(&request, &decision, turn.now);
    })
}

/// The same from bytes to bytes.
fn most_on_the_wire(case: &Case) -> u64 {
    let usage = Usage::default();
    let calls: Vec<_> = (0..REQUESTS).map(|_| wire::bytes(case, case.advance().place)).collect();
    most(case, |case, request| {
        let code = wire::serve(case, Some(&usage), &calls[request as usize]);
        assert_eq!(code, Code::Ok, "{}", case.name);
    })
}

#[test]
fn a_decision_without_headers_asks_for_no_memory() {
    let cases = [three_descriptors(REQUESTS), two_windows(REQUESTS), many_rules(REQUESTS)];
    assert_most(most_of_decision, STEP, cases.map(|case| (case, 0)));
}

#[test]
fn the_language_asks_for_no_memory_but_for_conditions_in_words() {
    let cases = language().into_iter().map(|case| {
        let bound = if case.name == "when" { 8 } else { 0 };
        (case, bound)
    });
    assert_most(most_of_decision, STEP, cases);
}

#[test]
fn headers_ask_for_no_memory_while_they_are_short() {
    let cases = [
        (three_descriptors_with_headers(REQUESTS), 0),
        (service_manager("one-rule-two-windows", "GET", "/v1/platforms"), 0),
        (service_manager("two-rules-four-windows", "PATCH", "/v1/service_instances/42"), 0),
        (service_manager("denied", "POST", "/v1/service_instances").denied(), 21),
    ];
    assert_most(most_of_decision, STEP, cases);
}

/// The history begins a new minute.
#[test]
fn a_request_a_minute_asks_for_little_memory() {
    let minute = Span::from_seconds(60);
    assert_most(most_of_decision, minute, [(three_descriptors(REQUESTS), 1)]);
    assert_most(most_of_decision, minute, [(two_windows(REQUESTS), 1)]);
}

#[test]
fn from_bytes_to_bytes_only_the_answer_asks_for_memory() {
    let cases = [
        (three_descriptors(REQUESTS), 1),
        (two_windows(REQUESTS), 1),
        (three_descriptors_with_headers(REQUESTS), 1),
    ];
    assert_most(most_on_the_wire, STEP, cases);
}

/// A count of nothing must not pass for a count of none.
#[test]
fn an_allocation_is_counted() {
    let before = allocations::calls();
    std::hint::black_box(Box::new(1));
    assert_eq!(allocations::calls() - before, 1);
    let held = allocations::held_bytes();
    let kept = vec![0_u8; 1 << 30];
    assert!(allocations::held_bytes() >= held + kept.len() as u64 / 2);
}
