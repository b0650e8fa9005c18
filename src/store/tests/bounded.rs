//! The bound of memory: what goes, what stays, and what new keys get when nothing may go.

use super::*;
use crate::policy::compile;
use crate::policy::model::Options;
use crate::policy::model::Source;
use crate::policy::set::{CounterSeed, PolicySet, Rule};

const NOON: Timestamp = Timestamp::from_seconds(43_200);

/// Keys as a keyed hash makes them: spread over all shards.
fn spread(number: u64) -> CounterKey {
    let mixed = u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    CounterKey(mixed ^ (mixed >> 67))
}

fn take(number: u64, amount: u64, hits: u64) -> Charge<'static> {
    Charge { counter: spread(number), ..charge(0, amount, hits) }
}

fn bounded(max: usize) -> MemoryStore {
    let store = MemoryStore::default();
    store.set_counters_max(max, NOON);
    store
}

fn is_admitted(store: &MemoryStore, charge: Charge<'_>) -> bool {
    admitted(&store.charge(&[charge], NOON))
}

#[test]
fn a_flood_of_keys_frees_no_counter_at_its_limit_or_near_it() {
    let store = bounded(2_000);
    let victims = 0..100;
    for victim in victims.clone() {
        // Some are at their limit, some half way there.
        let hits = if victim % 2 == 0 { 10 } else { 5 };
        assert!(is_admitted(&store, take(victim, 10, hits)));
    }
    for flood in 1_000..101_000 {
        store.charge(&[take(flood, 10, 1)], NOON);
    }
    assert!(store.counter_count() <= 2_001, "{}", store.counter_count());
    assert!(store.evicted() > 90_000);
    for victim in victims {
        let used = if victim % 2 == 0 { 10 } else { 5 };
        let left = store.charge(&[take(victim, 10, 0)], NOON)[0].remaining;
        assert_eq!(left, 10 - used, "victim {victim}");
    }
}

#[test]
fn when_all_are_at_their_limit_new_keys_share_one_counter() {
    let store = bounded(2_000);
    for number in 0..2_000 {
        assert!(is_admitted(&store, take(number, 1, 1)));
    }
    // Shards fill unevenly, and a counter makes room in its own shard alone; here none may go.
    let outcomes: Vec<_> =
        (5_000..5_100).map(|number| store.charge(&[take(number, 7, 1)], NOON)[0]).collect();
    assert!(outcomes.iter().all(|outcome| outcome.is_overflow));
    let admitted = outcomes.iter().filter(|outcome| !outcome.verdict.is_denial()).count();
    assert_eq!(admitted, 7, "as many as one counter of the rule admits");
    assert_eq!(store.evicted(), 0);
    // A key that has a counter goes on with it.
    assert!(!store.charge(&[take(0, 1, 1)], NOON)[0].is_overflow);
    // When the windows end there is room again.
    let later = NOON.plus(Span::from_seconds(60));
    assert!(!store.charge(&[take(6_000, 7, 1)], later)[0].is_overflow);
}

#[test]
fn what_is_idle_goes_before_what_is_in_use_and_little_used_before_much_used() {
    let store = bounded(100_000);
    // All in one shard.
    let of_shard = |number: u64, hits| charge(number << 9, 100, hits);
    for number in 0..40 {
        store.charge(&[of_shard(number, 1 + number)], NOON);
    }
    store.set_counters_max(40, NOON);
    for number in 100..110 {
        assert!(!store.charge(&[of_shard(number, 45)], NOON)[0].is_overflow);
    }
    let left: Vec<u64> =
        (0..40).map(|it| store.charge(&[of_shard(it, 0)], NOON)[0].remaining).collect();
    let gone = left.iter().filter(|left| **left == 100).count();
    assert_eq!(gone, 10);
    assert!(left[..10].iter().all(|left| *left == 100), "the least used went: {left:?}");
}

#[test]
fn counters_that_take_more_memory_count_for_more() {
    let rolling = |number, hits| {
        let window = Window::calendar(NonZeroU32::MIN, Unit::Hour);
        let limit = Limit::new(1_000_000, Kind::Rolling(window));
        Charge { limit, ..take(number, 0, hits) }
    };
    let store = bounded(1_000);
    for second in 0..64 {
        for number in 0..500 {
            store.charge(&[rolling(number, 1)], NOON.plus(Span::from_seconds(57 * second)));
        }
    }
    assert!(store.weight() >= 1_000 && store.counter_count() < 500, "{}", store.weight());
}

#[test]
fn each_rule_has_an_overflow_counter_of_its_own_and_metrics_can_tell() {
    let text = "domain: d\nrules:\n- { name: a, per: [k], limits: 3/h }\n\
                - { name: b, per: [k], limits: [2/h, 5/day] }\n";
    let sources = [Source { name: "d.yaml".to_owned(), text: text.to_owned() }];
    let compiled = compile(&sources, CounterSeed([1, 2]), &Options::default());
    let set: PolicySet = compiled.set.unwrap();
    let [a, b] = [0, 1].map(|index| &set.domains[0].rules[index]);
    assert_ne!(a.overflow, b.overflow);
    fn of(rule: &Rule, limit: usize) -> CounterKey {
        let limit = rule.limits[limit].any();
        bound::overflow_key(&Charge { limit, rule: Some(rule), ..take(0, 1, 1) })
    }
    let keys = [of(a, 0), of(b, 0), of(b, 1)];
    assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
}

#[test]
fn a_request_takes_from_the_overflow_counter_all_or_nothing() {
    let store = bounded(1_000);
    for number in 0..1_000 {
        store.charge(&[take(number, 1, 1)], NOON);
    }
    // The first has room in its own counter; the second is denied by the shared one.
    let own = take(0, 5, 1);
    let shared = |number| take(number, 2, 1);
    for number in 2_000..2_002 {
        assert!(is_admitted(&store, shared(number)));
    }
    let before = store.charge(&[take(0, 5, 0)], NOON)[0].remaining;
    let outcomes = store.charge(&[own, shared(2_002)], NOON);
    assert!(outcomes[1].verdict.is_denial() && outcomes[1].is_overflow);
    assert_eq!(store.charge(&[take(0, 5, 0)], NOON)[0].remaining, before);
    let tried = store.try_out(&[shared(2_003)], NOON);
    assert!(tried.outcomes[0].verdict.is_denial(), "explain says what serve would");
}
