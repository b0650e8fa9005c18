//! Limits that no request reaches, because another limit of the same rule is always reached first.
//!
//! Only windows of UTC that tile one another are compared, so what is reported is certain.

use crate::limit::{ChargeWhen, Unit, WindowIdentity};
use crate::policy::diagnostic::Diagnostic;
use crate::policy::model::{Amount, Counting, Limit, Placed, Rule};

use super::warning;

pub(super) fn check(found: &mut Vec<Diagnostic>, rule: &Rule) {
    // What an override admitted while it was in force may fill a longer window.
    let is_lasting = rule.overrides.iter().all(|over| over.until.is_none());
    // Denied requests count too, so a longer window may take more than shorter ones admit.
    let is_bound = is_lasting && rule.charge == ChargeWhen::Admitted;
    check_limits(found, &rule.limits, is_bound);
    for over in &rule.overrides {
        // What was taken over from another rule stands at the share, and is checked there.
        let is_taken_over =
            over.limits.iter().any(|it| rule.limits.iter().any(|own| own.place == it.place));
        if !is_taken_over {
            check_limits(found, &over.limits, false);
        }
    }
}

/// A limit of which everything is known: its amount, and the windows it counts in.
struct Plain<'l> {
    limit: &'l Placed<Limit>,
    amount: u64,
    window: WindowIdentity,
}

impl<'l> Plain<'l> {
    fn of(limit: &'l Placed<Limit>) -> Option<Self> {
        match (&limit.value.amount, limit.value.counting, limit.value.resume_below) {
            (Amount::Number(amount), Counting::Fixed(window), None) if *amount > 0 => {
                Some(Self { limit, amount: *amount, window: window.identity() })
            }
            _ => None,
        }
    }

    fn shown(&self) -> String {
        format!("`{}`", self.limit.value.of(self.amount))
    }
}

/// `is_bound`: longer windows hold no more than the shorter ones in them admit.
fn check_limits(found: &mut Vec<Diagnostic>, limits: &[Placed<Limit>], is_bound: bool) {
    let plain: Vec<Plain<'_>> = limits.iter().filter_map(Plain::of).collect();
    for one in &plain {
        // Shares of one rule are what they are because of that rule.
        let mut others = plain.iter().filter(|other| other.limit.place != one.limit.place);
        let Some((other, why, below)) = others.find_map(|other| {
            let (why, below) = reached_first(other, one, is_bound)?;
            Some((other, why, below))
        }) else {
            continue;
        };
        let message = format!("{} is never reached: {} {why}", one.shown(), other.shown());
        let hint = format!("remove it, or write an amount below {below}");
        let related = (other.limit.place.clone(), "the other limit");
        found.push(warning("never-reached", &one.limit.place, message, hint).with(related));
    }
}

/// Why `one` is always reached before `other`, and below which amount that would be no more.
fn reached_first(one: &Plain<'_>, other: &Plain<'_>, is_bound: bool) -> Option<(String, u64)> {
    if tiles(other.window, one.window).is_some() {
        let is_first = one.amount <= other.amount;
        return is_first.then(|| ("is reached no later".to_owned(), one.amount));
    }
    let most = one.amount.saturating_mul(tiles(one.window, other.window)?);
    let is_first = is_bound && most <= other.amount;
    is_first.then(|| (format!("admits no more than {most} in that time"), most))
}

/// How many of the shorter windows are in a longer one at most, where each is in one as a whole.
fn tiles(shorter: WindowIdentity, longer: WindowIdentity) -> Option<u64> {
    use WindowIdentity::{MondayWeeks, Months, Seconds};
    const DAY: u64 = Unit::Day.seconds();
    let times = match (shorter, longer) {
        (Seconds(shorter), Seconds(longer)) | (MondayWeeks(shorter), MondayWeeks(longer)) => {
            longer.is_multiple_of(shorter).then(|| longer / shorter)
        }
        (Seconds(shorter), MondayWeeks(weeks)) => {
            DAY.is_multiple_of(shorter).then(|| 7 * weeks * (DAY / shorter))
        }
        (Seconds(shorter), Months(months)) => {
            DAY.is_multiple_of(shorter).then(|| 31 * months * (DAY / shorter))
        }
        (Months(shorter), Months(longer)) => {
            longer.is_multiple_of(shorter).then(|| longer / shorter)
        }
        _ => None,
    };
    times.filter(|times| *times > 1)
}
