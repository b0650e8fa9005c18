//! How often a decision asks for memory: for most never, once its counters and series are known.
//!
//! What still allocates is listed with the present count as a bound: it may only be lowered.
#![expect(clippy::expect_used, reason = "a test stops at what it did not expect")]

#[path = "../benches/cases/mod.rs"]
mod cases;

use bytes::BytesMut;
use tollgate::decide::{Code, answer, conclude, plan};
use tollgate::usage::Usage;

use cases::policies::{
    language, many_rules, service_manager, three_descriptors, three_descriptors_with_headers,
    two_windows,
};
use cases::{Case, allocations, wire};

const REQUESTS: u32 = 100;

/// The most allocations of one request, once each has been decided before.
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
    round()
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
    let mut answer = BytesMut::with_capacity(4096);
    most(case, |case, request| {
        answer.clear();
        let code = wire::serve(case, Some(&usage), calls[request as usize].clone(), &mut answer);
        assert_eq!(code, Code::Ok, "{}", case.name);
    })
}

#[test]
fn a_decision_without_headers_asks_for_no_memory() {
    for case in [three_descriptors(REQUESTS), two_windows(REQUESTS), many_rules(REQUESTS)] {
        assert_eq!(most_of_decision(&case), 0, "{}", case.name);
    }
}

#[test]
fn the_language_asks_for_no_memory_but_for_conditions_in_words() {
    for case in language() {
        let bound = if case.name == "when" { 8 } else { 0 };
        let most = most_of_decision(&case);
        assert!(most <= bound, "{}: {most} allocations, {bound} at most", case.name);
    }
}

#[test]
fn headers_and_bodies_ask_for_no_more_memory_than_before() {
    let cases = [
        (three_descriptors_with_headers(REQUESTS), 99),
        (service_manager("one-rule-two-windows", "GET", "/v1/platforms"), 15),
        (service_manager("two-rules-four-windows", "PATCH", "/v1/service_instances/42"), 21),
        (service_manager("denied", "POST", "/v1/service_instances").denied(), 21),
    ];
    for (case, bound) in cases {
        let most = most_of_decision(&case);
        assert!(most <= bound, "{}: {most} allocations, {bound} at most", case.name);
    }
}

#[test]
fn reading_and_writing_ask_for_no_more_memory_than_before() {
    let cases = [
        (three_descriptors(REQUESTS), 99),
        (two_windows(REQUESTS), 99),
        (three_descriptors_with_headers(REQUESTS), 99),
    ];
    for (case, bound) in cases {
        let most = most_on_the_wire(&case);
        assert!(most <= bound, "{}: {most} allocations, {bound} at most", case.name);
    }
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
