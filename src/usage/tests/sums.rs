//! Whatever is named, written, lost and read back: sums and peaks are those of every hit that was
//! saved.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Hit { user: u8, app: Option<u8>, made: Vec<Made>, is_let_through: bool },
    Wait(u64),
    Turn { end: TurnEnd, has_image: bool },
}

#[derive(Clone, Copy, Debug)]
enum TurnEnd {
    Saved,
    Failed,
    /// Nobody says how it went.
    Unheard {
        is_on_disk: bool,
    },
    Killed {
        is_on_disk: bool,
    },
}

fn any_made() -> impl Strategy<Value = Made> {
    let hits = prop_oneof![9 => 0..50_u64, 1 => Just(u64::MAX), 2 => 100..10_000_u64];
    (prop::sample::select(RuleCode::ALL.to_vec()), hits, 0..=10_000_u16)
}

fn any_step() -> impl Strategy<Value = Step> {
    let made = prop::collection::vec(any_made(), 1..4);
    let hit = (0..12_u8, prop::option::of(0..3_u8), made, any::<bool>()).prop_map(
        |(user, app, made, is_let_through)| Step::Hit { user, app, made, is_let_through },
    );
    let wait = prop_oneof![
        6 => 0..90_u64,
        4 => 90..8_000_u64,
        2 => 8_000..300_000_u64,
        1 => 300_000..4_000_000_u64,
    ];
    let end = prop_oneof![
        6 => Just(TurnEnd::Saved),
        1 => Just(TurnEnd::Failed),
        1 => any::<bool>().prop_map(|is_on_disk| TurnEnd::Unheard { is_on_disk }),
        2 => any::<bool>().prop_map(|is_on_disk| TurnEnd::Killed { is_on_disk }),
    ];
    let turn =
        (end, prop::bool::weighted(0.2)).prop_map(|(end, has_image)| Step::Turn { end, has_image });
    prop_oneof![8 => hit, 2 => wait.prop_map(Step::Wait), 4 => turn]
}

/// Every hit by rule and minute.
type Oracle = BTreeMap<(String, u32), Tally>;

struct World {
    set: PolicySet,
    limits: UsageLimits,
    usage: Usage,
    disk: Disk,
    oracle: Oracle,
    /// As of what is on disk.
    oracle_saved: Oracle,
    now: Timestamp,
}

impl World {
    fn new(series_max: usize) -> Self {
        let limits = UsageLimits { keep_days: 20, series_max };
        Self {
            set: policy(POLICY),
            limits,
            usage: Usage::new(limits),
            disk: Disk::default(),
            oracle: Oracle::new(),
            oracle_saved: Oracle::new(),
            now: START,
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Wait(seconds) => self.now = self.now.plus(Span::from_seconds(*seconds)),
            Step::Hit { user, app, made, is_let_through } => {
                self.hit((*user, *app), made, *is_let_through);
            }
            Step::Turn { end, has_image } => self.turn(*end, *has_image),
        }
    }

    fn hit(&mut self, (user, app): (u8, Option<u8>), made: &[Made], is_let_through: bool) {
        let (user, app) = (format!("u{user}"), app.map(|app| format!("a{app}")));
        let app = app.as_ref().map(|app| ("app", app.as_str()));
        let entries: Vec<_> = [("user", user.as_str())].into_iter().chain(app).collect();
        let code = if is_let_through { Code::Ok } else { Code::OverLimit };
        let told = record((&self.usage, &self.set), &entries, made, (code, self.now));
        assert!(told.len() >= 2);
        let minute = u32::try_from(self.now.seconds_floor() / 60).unwrap();
        for (rule, (code, hits, peak)) in told {
            let (admitted, denied, shadow_denied) = match (code, is_let_through) {
                (RuleCode::DeniedElsewhere, _) => continue,
                (RuleCode::Ok, _) => (hits, 0, 0),
                (RuleCode::OverLimit, _) => (0, hits, 0),
                (RuleCode::ShadowOverLimit, true) => (hits, 0, hits),
                (RuleCode::ShadowOverLimit, false) => (0, 0, hits),
            };
            let one = Tally { admitted, denied, shadow_denied, peak };
            self.oracle.entry((rule, minute)).or_default().add(one);
        }
    }

    fn turn(&mut self, end: TurnEnd, has_image: bool) {
        let changes = self.usage.changes(self.now);
        let image = has_image.then(|| self.usage.image());
        let is_on_disk = match end {
            TurnEnd::Saved => true,
            TurnEnd::Failed => false,
            TurnEnd::Unheard { is_on_disk } | TurnEnd::Killed { is_on_disk } => is_on_disk,
        };
        if is_on_disk {
            self.disk.commit(changes, image);
            self.oracle_saved = self.oracle.clone();
        }
        match end {
            TurnEnd::Saved => self.usage.saved(),
            TurnEnd::Failed => self.usage.failed(),
            TurnEnd::Unheard { .. } => {}
            TurnEnd::Killed { .. } => {
                self.usage = self.disk.restore(self.limits, self.now);
                self.oracle = self.oracle_saved.clone();
                self.check();
            }
        }
    }

    /// All that is kept is as the oracle has it, at every resolution.
    fn check(&self) {
        let day = Resolution::Day.slot_at(self.now);
        // Rows may be removed as soon as their time is over.
        let first_day = day.saturating_sub(self.limits.keep_days);
        for resolution in Resolution::ALL {
            let slots_a_day = 86_400 / resolution.seconds();
            let first = first_day * slots_a_day;
            let reading = self.disk.read(&self.usage, resolution, (first, u32::MAX));
            let mut expected: BTreeMap<(String, u32), Tally> = BTreeMap::new();
            for ((rule, minute), tally) in &self.oracle {
                let number = minute / (resolution.seconds() / 60);
                if number >= first {
                    expected.entry((rule.clone(), number)).or_default().add(*tally);
                }
            }
            assert_eq!(by_rule(&reading), expected, "{resolution:?}");
        }
        assert!(self.usage.named_count() <= self.limits.series_max);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn sums_and_peaks_are_those_of_every_hit_saved(
        series_max in 0..9_usize,
        steps in prop::collection::vec(any_step(), 1..120),
    ) {
        let mut world = World::new(series_max);
        steps.iter().for_each(|step| world.step(step));
        world.check();
        // Nothing is lost when all that is over has gone to disk, either.
        world.disk.save_all(&world.usage, world.now);
        world.oracle_saved = world.oracle.clone();
        world.check();
        world.now = world.now.plus(Span::from_seconds(3 * 86_400));
        world.disk.save_all(&world.usage, world.now);
        world.check();
        world.turn(TurnEnd::Killed { is_on_disk: true }, false);
    }
}
