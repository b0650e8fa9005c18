//! Slots of concurrency limits in the store: taken together or not at all, and given back once.

use std::num::NonZeroU64;

use proptest::prelude::*;

use crate::decide::{CounterKey, Denies};
use crate::limit::{ChargeWhen, Hits, Kind, LeaseId, Limit, Unit, Verdict, Window};
use crate::policy::model::Mode;
use crate::store::memory::{self, MemoryStore};
use crate::store::*;
use crate::time::Span;

const LEASE: Span = Span::from_seconds(60);

fn slots(number: u64, amount: u64, hits: Hits) -> Charge<'static> {
    Charge {
        counter: CounterKey(u128::from(number) << 119 | u128::from(number)),
        limit: Limit::new(amount, Kind::Concurrent { lease: LEASE }),
        hits,
        when: ChargeWhen::Admitted,
        mode: Mode::Enforce,
        denies: Denies::Alone,
        is_strict: false,
        is_spared: false,
        group: u32::try_from(number).unwrap(),
        rule: None,
    }
}

fn take(number: u64, amount: u64) -> Charge<'static> {
    slots(number, amount, Hits::Take(1))
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_seconds(1_000).plus(Span::from_millis(millis))
}

/// The lease of the only charge.
fn admit(store: &MemoryStore, charge: Charge<'_>, now: Timestamp) -> Option<Lease> {
    let outcome = store.charge(&[charge], now)[0];
    assert_eq!(outcome.lease.is_some(), !outcome.verdict.is_denial());
    outcome.lease.map(|id| Lease { counter: charge.counter, id })
}

#[test]
fn a_denied_request_gets_no_lease_and_leaves_slots_as_they_were() {
    let store = MemoryStore::default();
    let held = admit(&store, take(1, 2), at(0)).unwrap();
    assert!(admit(&store, take(2, 1), at(0)).is_some());
    let outcomes = store.charge(&[take(1, 2), take(2, 1)], at(1));
    let told: Vec<_> = outcomes.iter().map(|o| (o.verdict, o.remaining, o.lease)).collect();
    assert_eq!(told, [(Verdict::Admitted, 1, None), (Verdict::OverLimit, 0, None)]);
    assert_eq!(store.slots_held(at(1)), 2);
    assert_eq!(store.release(&[held], at(1)), 1);
    assert_eq!(store.slots_held(at(1)), 1);
}

#[test]
fn a_rule_in_shadow_holds_slots_and_never_denies() {
    let store = MemoryStore::default();
    let shadow = Charge { mode: Mode::Shadow, ..take(1, 1) };
    let request = [shadow, take(2, 3)];
    let first = store.charge(&request, at(0));
    assert!(first.iter().all(|outcome| outcome.lease.is_some()));
    let second = store.charge(&request, at(0));
    assert_eq!((second[0].verdict, second[0].lease), (Verdict::OverLimit, None));
    assert_eq!(second[1].verdict, Verdict::Admitted);
    assert_eq!(store.slots_held(at(0)), 3);
}

#[test]
fn hits_take_as_many_slots_and_one_lease_gives_all_of_them_back() {
    let store = MemoryStore::default();
    let three = admit(&store, slots(1, 5, Hits::Take(3)), at(0)).unwrap();
    assert!(admit(&store, slots(1, 5, Hits::Take(3)), at(0)).is_none());
    assert!(admit(&store, slots(1, 5, Hits::Take(2)), at(0)).is_some());
    store.release(&[three], at(0));
    assert_eq!(store.slots_held(at(0)), 2);
}

#[test]
fn leases_given_back_twice_unknown_or_of_other_counters_change_nothing() {
    let store = MemoryStore::default();
    let first = admit(&store, take(1, 2), at(0)).unwrap();
    assert_eq!(store.release(&[first, first], at(0)), 1);
    // The counter was forgotten with its last slot, and begins anew at the very same time.
    let second = admit(&store, take(1, 2), at(0)).unwrap();
    assert_ne!(first.id, second.id);
    let foreign = Lease { counter: take(2, 1).counter, id: second.id };
    let unknown = Lease { id: LeaseId(NonZeroU64::MIN), ..second };
    assert_eq!(store.release(&[first, foreign, unknown], at(0)), 0);
    assert_eq!(store.slots_held(at(0)), 1);
}

#[test]
fn slots_come_back_also_when_the_call_that_brings_them_is_denied() {
    let store = MemoryStore::default();
    assert!(admit(&store, take(1, 1), at(0)).is_some());
    let hour = Kind::Fixed(Window::calendar(std::num::NonZeroU32::MIN, Unit::Hour));
    let full = Charge { limit: Limit::new(0, hour), ..take(2, 0) };
    let outcomes = store.charge(&[slots(1, 1, Hits::GiveBack(1)), full], at(1));
    assert!(outcomes[1].verdict.is_denial());
    assert_eq!((outcomes[0].remaining, store.slots_held(at(1))), (1, 0));
}

#[test]
fn a_take_that_never_fits_is_awaited_back_like_any_other_denial() {
    let store = MemoryStore::default();
    assert!(admit(&store, slots(1, 2, Hits::Take(3)), at(0)).is_none());
    assert!(admit(&store, take(1, 2), at(1)).is_some());
    store.charge(&[slots(1, 2, Hits::GiveBack(3))], at(2));
    assert_eq!(store.slots_held(at(2)), 1, "that was the end of the denied one");
}

#[test]
fn amount_and_lease_may_change_while_slots_are_held() {
    let store = MemoryStore::default();
    let held = admit(&store, take(1, 1), at(0)).unwrap();
    assert!(admit(&store, take(1, 1), at(0)).is_none());
    assert!(admit(&store, take(1, 2), at(0)).is_some());
    let short = Kind::Concurrent { lease: Span::from_seconds(1) };
    let changed = Charge { limit: Limit::new(3, short), ..take(1, 3) };
    assert!(admit(&store, changed, at(0)).is_some());
    assert_eq!(store.slots_held(at(1_000)), 2, "the others hold for as long as they were given");
    assert!(admit(&store, take(1, 1), at(1_000)).is_none());
    assert_eq!(store.release(&[held], at(1_000)), 1);
}

#[test]
fn what_has_run_out_is_neither_counted_nor_kept() {
    let store = MemoryStore::default();
    let lost = admit(&store, take(1, 1), at(0)).unwrap();
    assert!(admit(&store, take(1, 1), at(59_999)).is_none());
    assert_eq!(store.slots_held(at(59_999)), 1);
    assert_eq!(store.slots_held(at(60_000)), 0);
    let next = admit(&store, take(1, 1), at(60_000)).unwrap();
    assert_eq!(store.release(&[lost], at(60_000)), 0);

    let later = at(200_000);
    let sweep = || (0..memory::SHARD_COUNT).map(|_| store.sweep_step(later)).sum::<usize>();
    assert_eq!(sweep(), 1);
    assert_eq!(store.counter_count(), 0);
    let after = admit(&store, take(1, 1), at(0)).unwrap();
    assert!(after.id > next.id, "also when the clock was set back");
}

proptest! {
    /// Callers that name no lease: each asks, and says later that it has ended, denied or not.
    #[test]
    fn a_plain_pair_never_drifts(
        amount in 1..4_u64,
        steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>(), 0..9_000_u64), 1..120),
    ) {
        let store = MemoryStore::default();
        let mut now = at(0);
        // Those that have not ended: whether admitted, and until when that may be said late.
        let mut open: Vec<(bool, Timestamp)> = Vec::new();
        let end = |open: &mut Vec<(bool, Timestamp)>, index: usize, now| {
            open.swap_remove(index);
            store.charge(&[slots(1, amount, Hits::GiveBack(1))], now);
        };
        for (asks, index, millis) in steps {
            // Nobody is later than 10 s, and no lease runs out: those who are due end first.
            now = now.plus(Span::from_millis(millis / 10));
            while let Some(due) = open.iter().position(|(_, late)| *late <= now) {
                end(&mut open, due, now);
            }
            if asks || open.is_empty() {
                let is_admitted = admit(&store, take(1, amount), now).is_some();
                open.push((is_admitted, now.plus(Span::from_millis(9_000))));
            } else {
                let index = index.index(open.len());
                end(&mut open, index, now);
            }
            let under_way = open.iter().filter(|(is_admitted, _)| *is_admitted).count() as u64;
            prop_assert!(under_way <= amount, "{under_way} of {amount} under way");
            prop_assert!(store.slots_held(now) >= under_way);
        }
        while !open.is_empty() {
            end(&mut open, 0, now);
        }
        prop_assert_eq!(store.slots_held(now), 0);
        for _ in 0..amount {
            prop_assert!(admit(&store, take(1, amount), now).is_some());
        }
    }

    /// Callers with leases, over several limits: held is what was admitted and not given back.
    #[test]
    fn leases_are_exact(
        steps in prop::collection::vec(
            (any::<bool>(), any::<prop::sample::Index>(), prop::collection::vec((0..3_u64, 1..3_u64), 1..4)),
            1..60),
    ) {
        let store = MemoryStore::default();
        let mut open: Vec<(Vec<Lease>, u64)> = Vec::new();
        for (asks, index, wanted) in steps {
            if !asks && !open.is_empty() {
                let (leases, _) = open.swap_remove(index.index(open.len()));
                prop_assert_eq!(store.release(&leases, at(0)), leases.len());
                prop_assert_eq!(store.release(&leases, at(0)), 0);
            } else {
                let charges: Vec<_> = wanted
                    .iter()
                    .map(|(number, hits)| slots(*number, 3 + number, Hits::Take(*hits)))
                    .collect();
                let outcomes = store.charge(&charges, at(0));
                let leases: Vec<Lease> = charges.iter().zip(&outcomes)
                    .filter_map(|(it, told)| told.lease.map(|id| Lease { counter: it.counter, id }))
                    .collect();
                match outcomes.iter().any(|outcome| outcome.verdict.is_denial()) {
                    true => prop_assert_eq!(leases.len(), 0),
                    false => {
                        prop_assert_eq!(leases.len(), charges.len());
                        open.push((leases, wanted.iter().map(|(_, hits)| hits).sum()));
                    }
                }
            }
            let held: u64 = open.iter().map(|(_, slots)| slots).sum();
            prop_assert_eq!(store.slots_held(at(0)), held);
        }
    }
}

fn is_admitted(outcomes: &Result<Outcomes, StoreError>) -> bool {
    outcomes.as_ref().is_ok_and(|outcomes| outcomes[0].lease.is_some())
}

#[tokio::test(start_paused = true)]
async fn who_finds_the_last_slot_taken_waits_a_moment_for_it() {
    let store = Store::memory();
    let begun = tokio::time::Instant::now();
    let first =
        store.charge(&[take(1, 1)], store.counters().at(at(0))).await.unwrap()[0].lease.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);

    let denied = store.charge(&[take(1, 1)], store.counters().at(at(0))).await;
    assert!(!is_admitted(&denied));
    assert_eq!(begun.elapsed(), Duration::from_millis(5));

    let (wanted, lease) = ([take(1, 1)], Lease { counter: take(1, 1).counter, id: first });
    let (admitted, ()) = tokio::join!(store.charge(&wanted, store.counters().at(at(0))), async {
        tokio::time::sleep(Duration::from_millis(2)).await;
        // Others go on meanwhile.
        assert!(is_admitted(&store.charge(&[take(2, 1)], store.counters().at(at(0))).await));
        assert_eq!(store.release(&[lease], at(0)), 1);
    });
    assert!(is_admitted(&admitted));
    assert!(begun.elapsed().as_millis() < 10);
}

#[tokio::test(start_paused = true)]
async fn of_many_that_wait_for_one_slot_exactly_one_gets_it() {
    let store = Arc::new(Store::memory());
    let first =
        store.charge(&[take(1, 1)], store.counters().at(at(0))).await.unwrap()[0].lease.unwrap();
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let store = Arc::clone(&store);
        waiting.spawn(async move {
            is_admitted(&store.charge(&[take(1, 1)], store.counters().at(at(0))).await)
        });
    }
    tokio::task::yield_now().await;
    store.release(&[Lease { counter: take(1, 1).counter, id: first }], at(0));
    let admitted = waiting.join_all().await.into_iter().filter(|is_admitted| *is_admitted);
    assert_eq!(admitted.count(), 1);
    assert_eq!(store.counters().slots_held(at(0)), 1);
}

#[tokio::test(start_paused = true)]
async fn only_a_limit_that_is_just_full_is_waited_for() {
    let store = Store::memory();
    let begun = tokio::time::Instant::now();
    store.charge(&[slots(1, 2, Hits::Take(2))], store.counters().at(at(0))).await.unwrap();
    let shadow = Charge { mode: Mode::Shadow, ..take(1, 2) };
    for charge in [slots(1, 2, Hits::Take(2)), slots(1, 2, Hits::Take(9)), shadow] {
        assert!(!is_admitted(&store.charge(&[charge], store.counters().at(at(0))).await));
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_while_waiting_has_taken_nothing_and_was_not_denied() {
    let store = Store::memory();
    store.charge(&[take(1, 1)], store.counters().at(at(0))).await.unwrap();
    let wanted = [take(1, 1)];
    let gone = tokio::time::timeout(
        Duration::from_millis(2),
        store.charge(&wanted, store.counters().at(at(0))),
    )
    .await;
    assert!(gone.is_err());
    assert_eq!(store.counters().slots_held(at(0)), 1);
    store.charge(&[slots(1, 1, Hits::GiveBack(1))], store.counters().at(at(0))).await.unwrap();
    assert_eq!(store.counters().slots_held(at(0)), 0, "nothing is awaited of the one that left");
}
