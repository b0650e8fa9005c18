//! Trying out: the answer that a charge would get, with nothing changed by asking.

use super::*;
use crate::limit::Share;

/// Every kind, with and without a pause, enforced and in shadow, with denied takes counted or not.
fn any_charge() -> impl Strategy<Value = Charge<'static>> {
    let hits = prop_oneof![
        6 => (0..6_u64).prop_map(Hits::Take),
        1 => (0..4_u64).prop_map(Hits::GiveBack),
    ];
    (0..16_u64, hits).prop_map(|(number, hits)| {
        let plain = of_kind(number, 0);
        let half = Share::from_hundredths_of_percent(5_000);
        Charge {
            limit: Limit { resume_below: half.filter(|_| number % 8 >= 4), ..plain.limit },
            hits,
            when: if number % 5 == 1 { ChargeWhen::Always } else { ChargeWhen::Admitted },
            mode: if number % 7 == 2 { Mode::Shadow } else { Mode::Enforce },
            group: u32::try_from(number).unwrap(),
            ..plain
        }
    })
}

proptest! {
    #[test]
    fn a_trial_changes_nothing_and_says_what_the_charge_then_says(
        requests in prop::collection::vec(
            (prop::collection::vec(any_charge(), 0..5), 0..30_u64), 1..25),
    ) {
        let store = MemoryStore::default();
        let mut now = Timestamp::from_seconds(0);
        for (charges, seconds) in requests {
            now = now.plus(Span::from_seconds(seconds));
            let before = format!("{store:?}");
            let trial = store.try_out(&charges, now);
            prop_assert_eq!(format!("{store:?}"), before);
            let looks: Vec<_> = charges
                .iter()
                .map(|charge| store.charge(&[Charge { hits: Hits::Take(0), ..*charge }], now)[0])
                .collect();
            for (standing, look) in trial.standing.iter().zip(&looks) {
                prop_assert_eq!(standing.look.remaining, look.remaining);
                prop_assert_eq!(standing.look.verdict, look.verdict);
            }
            prop_assert_eq!(trial.outcomes, store.charge(&charges, now));
        }
    }
}

#[test]
fn a_trial_sees_the_slots_that_are_held() {
    let store = MemoryStore::default();
    let now = Timestamp::from_seconds(0);
    let slot = of_kind(3, 2);
    assert_eq!(store.try_out(&[slot], now).standing[0].held, Some(0));
    assert!(admitted(&store.charge(&[slot], now)));
    assert_eq!(store.try_out(&[slot, of_kind(0, 1)], now).standing[0].held, Some(2));
    assert_eq!(store.try_out(&[of_kind(0, 1)], now).standing[0].held, None);
    let ended = now.plus(Span::from_seconds(60));
    assert_eq!(store.try_out(&[slot], ended).standing[0].held, Some(0), "run out");
}
