//! How the line of time follows the wall clock: small differences by and by, steps only when they
//! have lasted.
//!
//! Pure: both clocks are handed in. The machine's own corrections of its clock's speed run both
//! clocks alike, so a difference between them means that somebody set the wall clock. At most
//! [`SLEWED_MAX`] is made good a hundredth of the passing time at a time, so that no second is
//! shorter by more than a hundredth. A greater difference is a step, and is followed, whole and
//! at once, when it has been the same for the settling time; what comes and goes within that is
//! never followed. A step that is followed doubles the settling time and each day without one
//! halves it: a clock that flaps for ever is followed about once a day.
//! When a step is followed every stored time must be moved along, or it hands out quota.

use crate::time::Span;

/// Up to this much a difference is no step, and two differences are the same.
const SLEWED_MAX: i64 = 500_000_000;

/// At most this much is made good in one observation, which may come late.
const SLEW_STEP_MAX: i64 = 1_000_000;
const SLEW_SHARE: i64 = 100;

const SETTLING_MIN: i64 = 60_000_000_000;
const SETTLING_MAX: i64 = DAY;
const DAY: i64 = 86_400_000_000_000;

/// How much time one observation can vouch for: a process that was stopped has seen nothing.
const VOUCHED_MAX: i64 = 1_000_000_000;

/// What the two clocks show, one against the other. All times are in nanoseconds.
#[derive(Debug)]
pub struct Discipline {
    /// From the time since boot to the line.
    offset: i64,
    /// Time since boot at the last observation.
    observed: Option<i64>,
    pending: Option<Step>,
    /// As it was when the last step was followed.
    settling: i64,
    /// Time since boot when a step was last followed.
    followed: Option<i64>,
}

/// A step that is not followed yet.
#[derive(Clone, Copy, Debug)]
struct Step {
    by: i64,
    /// For how long it was seen.
    lasted: i64,
}

/// What one look at the clocks says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Wall clock minus line, in nanoseconds, after what was made good of it.
    pub difference: i64,
    pub event: Option<Event>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The wall clock stepped; it will be followed when that has lasted.
    Seen { by: i64, settling: Span },
    /// The wall clock is where it was before the step.
    Withdrawn,
    /// The line has moved by so many nanoseconds, and all stored times must.
    Followed { by: i64 },
}

impl Discipline {
    pub fn new(offset: i64) -> Self {
        Self { offset, observed: None, pending: None, settling: SETTLING_MIN, followed: None }
    }

    /// What the time since boot lacks to be the line's.
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// How long a step that is seen at this time since boot must last.
    fn settling_at(&self, boot: i64) -> i64 {
        let since = self.followed.map_or(0, |followed| boot.saturating_sub(followed));
        let halvings = (since / DAY).clamp(0, 62);
        (self.settling >> halvings).max(SETTLING_MIN)
    }

    pub fn observe(&mut self, wall: i64, boot: i64) -> Observed {
        let passed = boot.saturating_sub(self.observed.unwrap_or(boot)).max(0);
        self.observed = Some(boot);
        let difference = wall.saturating_sub(boot.saturating_add(self.offset));
        let event = match is_small(difference) {
            true => self.slew(difference, passed),
            false => self.wait(difference, boot, passed),
        };
        let difference = wall.saturating_sub(boot.saturating_add(self.offset));
        Observed { difference, event }
    }

    fn slew(&mut self, difference: i64, passed: i64) -> Option<Event> {
        let most = (passed / SLEW_SHARE).min(SLEW_STEP_MAX);
        self.offset = self.offset.saturating_add(difference.clamp(-most, most));
        self.pending.take().map(|_| Event::Withdrawn)
    }

    fn wait(&mut self, difference: i64, boot: i64, passed: i64) -> Option<Event> {
        let settling = self.settling_at(boot);
        let same = |step: &Step| is_small(step.by.saturating_sub(difference));
        let Some(step) = self.pending.as_mut().filter(|step| same(step)) else {
            self.pending = Some(Step { by: difference, lasted: 0 });
            let settling = Span::from_nanos(settling.unsigned_abs());
            return Some(Event::Seen { by: difference, settling });
        };
        step.lasted = step.lasted.saturating_add(passed.min(VOUCHED_MAX));
        if step.lasted < settling {
            return None;
        }
        self.offset = self.offset.saturating_add(difference);
        self.pending = None;
        self.settling = settling.saturating_mul(2).min(SETTLING_MAX);
        self.followed = Some(boot);
        Some(Event::Followed { by: difference })
    }
}

fn is_small(difference: i64) -> bool {
    (-SLEWED_MAX..=SLEWED_MAX).contains(&difference)
}
