//! What a seed does next.

use super::policies::Values;
use super::world::Ending;
use crate::journal::simulated::Random;

const MILLI: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MILLI;

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Descriptors, hits, and whether a strict rule is waited for.
    Take(Vec<Values>, u64, bool),
    GiveBack(Values, u64),
    /// By lease.
    Release,
    Pass(i64),
    Turn,
    Sweep(u64),
    Reload,
    Bound(usize),
    SetWall(i64),
    Fail,
    DieIn(u64),
    Full(u64),
    Space,
    End(Ending, Rest),
    Check,
}

/// How long nobody runs, and by how much the wall clock is set meanwhile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest {
    pub(super) nanos: i64,
    pub(super) jump: i64,
}

/// What kind of seed it is: some have what others never see.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nature {
    pub(super) is_bounded: bool,
    has_faults: bool,
    sets_clocks: bool,
    is_rushed: bool,
    keys: u64,
}

impl Nature {
    pub(super) fn any(random: &mut Random) -> Self {
        let is_bounded = random.one_in(3);
        Self {
            is_bounded,
            has_faults: random.one_in(2),
            sets_clocks: random.one_in(2),
            is_rushed: random.one_in(2),
            keys: if is_bounded { 10 + random.below(40) } else { 1 + random.below(6) },
        }
    }

    fn values(self, random: &mut Random) -> Values {
        let key = format!("k{}", random.below(self.keys));
        let method = [Some("a"), Some("a"), Some("b"), None];
        Values { key, method: method[usize::try_from(random.below(4)).unwrap()] }
    }

    pub(super) fn next(self, random: &mut Random) -> Step {
        match random.below(1_000) {
            0..480 => self.take(random),
            480..520 => Step::GiveBack(self.values(random), random.below(4)),
            520..560 => Step::Release,
            560..730 => Step::Pass(self.passing(random)),
            730..850 => Step::Turn,
            850..875 => Step::Sweep(1 + random.below(400)),
            875..900 => Step::Reload,
            900..910 if self.is_bounded => {
                Step::Bound(usize::try_from(4 + random.below(30)).unwrap())
            }
            900..935 if self.sets_clocks => Step::SetWall(any_jump(random)),
            935..955 if self.has_faults => Step::Fail,
            955..965 if self.has_faults => Step::Full(random.below(60_000)),
            965..970 if self.has_faults => Step::Space,
            970..980 => Step::DieIn(random.below(40)),
            980..995 => Step::End(any_ending(random), self.rest(random)),
            _ => Step::Check,
        }
    }

    fn take(self, random: &mut Random) -> Step {
        let mut descriptors = vec![self.values(random)];
        if random.one_in(8) {
            descriptors.push(self.values(random));
        }
        let hits = match random.below(20) {
            0 => 0,
            1..15 => 1,
            15..19 => 2 + random.below(5),
            _ => random.below(300),
        };
        Step::Take(descriptors, hits, !random.one_in(4))
    }

    fn passing(self, random: &mut Random) -> i64 {
        let up_to = |most: i64, random: &mut Random| {
            i64::try_from(random.below(most.unsigned_abs())).unwrap() + 1
        };
        let kind = random.below(if self.is_rushed { 16 } else { 20 });
        match kind {
            0..10 => up_to(100 * MILLI, random),
            10..14 => up_to(3 * SECOND, random),
            14 | 15 => up_to(40 * SECOND, random),
            16 | 17 => up_to(200 * SECOND, random),
            18 => up_to(3 * 3_600 * SECOND, random),
            _ => up_to(4 * 86_400 * SECOND, random),
        }
    }

    pub(super) fn rest(self, random: &mut Random) -> Rest {
        let nanos = match random.below(4) {
            0 | 1 => random.below(300).cast_signed() * MILLI,
            2 => random.below(20_000).cast_signed() * MILLI,
            _ => random.below(7_200_000).cast_signed() * MILLI,
        };
        let is_set = self.sets_clocks && random.one_in(3);
        let jump = match random.below(12) {
            _ if !is_set => 0,
            // Absurd, and back again some time later.
            0 => 100 * 365 * 86_400 * SECOND,
            1 => -50 * 365 * 86_400 * SECOND,
            _ => any_jump(random),
        };
        Rest { nanos, jump }
    }
}

fn any_jump(random: &mut Random) -> i64 {
    let size = match random.below(6) {
        0 => random.below(500) * 1_000_000,
        1 => random.below(3_000) * 1_000_000,
        2 => random.below(100) * 1_000_000_000,
        3 => 3_600_000_000_000,
        4 => random.below(10_000) * 1_000_000_000,
        _ => random.below(3 * 86_400) * 1_000_000_000,
    };
    let size = i64::try_from(size).unwrap();
    if random.one_in(2) { size } else { -size }
}

pub(super) fn any_ending(random: &mut Random) -> Ending {
    match random.below(5) {
        0 => Ending::Orderly,
        1 | 2 => Ending::PowerLost,
        _ => Ending::Killed,
    }
}
