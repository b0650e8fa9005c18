//! T-CLK-5: when windows reset, against a table.

use std::num::NonZeroU32;

use super::*;
use crate::limit::{ChargeWhen, Hits, Kind, Limit, Unit, Verdict, Window, Zone};

fn window(unit: Unit, zone: &str) -> Window {
    Window::calendar(NonZeroU32::MIN, unit).placed(Zone::named(zone).unwrap(), None)
}

fn one_per(window: Window) -> Limit {
    Limit::new(1, Kind::Fixed(window))
}

/// When a counter that is used up now says it is free again.
fn told(limit: Limit, state: &mut State, now: Timestamp) -> Timestamp {
    limit.step(state, Hits::Take(1), ChargeWhen::Admitted, now);
    let denied = limit.step(state, Hits::Take(1), ChargeWhen::Admitted, now);
    assert_eq!(denied.verdict, Verdict::OverLimit);
    now.plus(denied.reset.unwrap())
}

#[test]
#[rustfmt::skip] // One row is one line.
fn t_clk_5_resets_come_when_the_table_says() {
    let rows = [
        (Unit::Day, "America/New_York", "2026-03-08T06:59:59Z", "2026-03-09T04:00:00Z"), // 23 hours
        (Unit::Day, "America/New_York", "2026-11-01T05:30:00Z", "2026-11-02T05:00:00Z"), // 25 hours
        (Unit::Day, "America/New_York", "2026-11-01T06:30:00Z", "2026-11-02T05:00:00Z"), // 01:30 again
        (Unit::Day, "Europe/Berlin", "2026-03-29T00:59:59Z", "2026-03-29T22:00:00Z"),
        (Unit::Day, "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T23:00:00Z"),
        (Unit::Hour, "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z"), // 02:30, then
        (Unit::Hour, "Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-25T02:00:00Z"), // 02:30 again
        (Unit::Month, "America/New_York", "2026-11-30T12:00:00Z", "2026-12-01T05:00:00Z"),
        (Unit::Month, "America/New_York", "2026-10-15T12:00:00Z", "2026-11-01T04:00:00Z"),
        (Unit::Day, "UTC", "2028-02-28T23:59:59.999999999Z", "2028-02-29T00:00:00Z"),
        (Unit::Day, "UTC", "2028-02-29T00:00:00Z", "2028-03-01T00:00:00Z"),
        (Unit::Month, "UTC", "2028-02-29T23:59:59Z", "2028-03-01T00:00:00Z"),
        (Unit::Month, "UTC", "2027-02-28T23:59:59Z", "2027-03-01T00:00:00Z"),
        (Unit::Month, "UTC", "2026-01-31T00:00:00Z", "2026-02-01T00:00:00Z"),
        (Unit::Month, "UTC", "2026-04-30T12:00:00Z", "2026-05-01T00:00:00Z"),
        (Unit::Month, "UTC", "2026-12-31T23:59:59.999999999Z", "2027-01-01T00:00:00Z"),
        (Unit::Year, "UTC", "2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z"),
        (Unit::Year, "UTC", "2028-02-29T12:00:00Z", "2029-01-01T00:00:00Z"),
        (Unit::Year, "Europe/Berlin", "2026-12-31T22:59:59Z", "2026-12-31T23:00:00Z"),
        (Unit::Week, "UTC", "2026-11-22T23:59:59Z", "2026-11-23T00:00:00Z"), // a Sunday
        (Unit::Week, "UTC", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"), // a Monday
        (Unit::Week, "UTC", "2027-01-01T00:00:00Z", "2027-01-04T00:00:00Z"),
        (Unit::Week, "America/New_York", "2026-03-08T12:00:00Z", "2026-03-09T04:00:00Z"),
    ];
    for (unit, zone, now, reset) in rows {
        let limit = one_per(window(unit, zone));
        assert_eq!(told(limit, &mut limit.fresh(at(now)), at(now)), at(reset), "{limit} at {now}");
    }
    println!("T-CLK-5 table rows={} ok", rows.len());
}

/// The wall clock shows 23:59:59 twice. It is followed a minute later, and every window that is
/// not shorter than a leap second is where the table has it.
#[test]
fn t_clk_5_a_repeated_leap_second_resets_nothing_twice_and_leaves_windows_in_place() {
    let units = [Unit::Second, Unit::Minute, Unit::Hour, Unit::Day, Unit::Month, Unit::Year];
    let limits = units.map(|unit| one_per(window(unit, "UTC")));
    let mut machine = Machine::at(at("2026-12-31T23:59:30.5Z"));
    let mut states = limits.map(|limit| limit.fresh(machine.now()));
    let mut admitted = limits.map(|_| 0);
    let mut ask = |machine: &Machine, states: &mut [State]| {
        for ((limit, state), admitted) in limits.iter().zip(states).zip(&mut admitted) {
            let outcome = limit.step(state, Hits::Take(1), ChargeWhen::Admitted, machine.now());
            *admitted += u32::from(outcome.verdict == Verdict::Admitted);
        }
    };
    for second in 0..150 {
        if second == 30 {
            machine.set_wall(-SECOND);
        }
        machine.tick(&mut states);
        ask(&machine, &mut states);
    }
    assert_eq!(machine.followed, [-SECOND]);
    assert_eq!(machine.now(), at("2027-01-01T00:01:59.5Z"));
    // 150 seconds; the minutes of 23:59 and 00:00 to 00:02; two hours, days, months and years.
    assert_eq!(admitted, [150, 3, 2, 2, 2, 2]);
    let resets = [
        "2027-01-01T00:02:00Z",
        "2027-01-01T00:02:00Z",
        "2027-01-01T01:00:00Z",
        "2027-01-02T00:00:00Z",
        "2027-02-01T00:00:00Z",
        "2028-01-01T00:00:00Z",
    ];
    for ((limit, state), reset) in limits.iter().zip(&mut states).zip(resets) {
        assert_eq!(told(*limit, state, machine.now()), at(reset), "{limit}");
    }
    println!("T-CLK-5 leap second admitted={admitted:?} ok");
}
