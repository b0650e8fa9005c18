//! The history in memory, and its way from one minute to the next.
//!
//! So many series have names at once; hits of all others go to one series of their rule. A series that gives up
//! its name keeps what it has counted: sums never move from one series to another.

use std::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashMap;

use super::UsageLimits;
use super::batch::HandedOut;
use super::codec::SeriesId;
use super::keep::Written;
use super::name::Name;
use super::series::{Series, Standing, Unsaved};
use super::tally::{Resolution, Tally};
use super::top::Candidates;
use crate::policy::set::{RuleSalt, SeriesKey};

/// Minutes by which calls may come late, and clocks go back a little.
const AHEAD_MAX: u32 = 60;

/// How long a series may be met by nobody before it gives up its name. Shorter than rows are kept,
/// so that no row outlives the name that it is told by.
const IDLE_MINUTES_MAX: u32 = 2 * 24 * 60;
/// Of so many named series one may be taken over in an hour, so that the rows and names on disk
/// stay bounded whatever callers send.
const SERIES_PER_TAKEOVER: usize = 10;

#[derive(Debug)]
pub(super) struct History {
    pub(super) limits: UsageLimits,
    /// From when on what is too old goes: not while a clock that was just set may be wrong.
    removing_from: u32,
    /// The newest that was seen.
    pub(super) minute: u32,
    places: Vec<Option<Series>>,
    free: Vec<u32>,
    /// Those that count, by their keys.
    by_key: HashMap<u128, u32, BuildHasherDefault<KeyHasher>>,
    pub(super) by_id: HashMap<SeriesId, u32>,
    named_count: usize,
    leaving_count: usize,
    candidates: Candidates,
    /// No named series is used less.
    least_weight: u64,
    takeovers_left: usize,
    /// A minute in which all named series began.
    unbeaten_in: u32,
    /// Those that are not [`Unsaved::Nothing`].
    pub(super) unsaved: Vec<u32>,
    /// From where on series are looked at for strips that are over; `None` when none is.
    pub(super) due_from: Option<u32>,
    /// Whether some series had one since the look began.
    pub(super) due_again: bool,
    pub(super) written: Written,
    pub(super) handed_out: Option<HandedOut>,
}

/// Keys are keyed fingerprints, so their own bits are as good as a hash of them.
#[derive(Debug, Default)]
pub(super) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "half of a fingerprint is one")]
    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

impl History {
    pub(super) fn new(limits: UsageLimits) -> Self {
        let limits = UsageLimits {
            keep_days: limits
                .keep_days
                .clamp(UsageLimits::KEEP_DAYS_MIN, UsageLimits::KEEP_DAYS_MAX),
            series_max: limits.series_max,
        };
        Self {
            limits,
            minute: 0,
            removing_from: 0,
            places: Vec::new(),
            free: Vec::new(),
            by_key: HashMap::default(),
            by_id: HashMap::default(),
            named_count: 0,
            leaving_count: 0,
            candidates: Candidates::new(limits.series_max),
            least_weight: 0,
            takeovers_left: takeovers_per_hour(limits),
            unbeaten_in: 0,
            unsaved: Vec::new(),
            due_from: None,
            due_again: false,
            written: Written::default(),
            handed_out: None,
        }
    }

    /// For how many days everything is kept now.
    pub(super) fn keep_days(&self) -> u32 {
        match self.minute < self.removing_from {
            true => UsageLimits::KEEP_DAYS_MAX,
            false => self.limits.keep_days,
        }
    }

    fn hour(&self) -> u32 {
        Resolution::Hour.number_at(self.minute)
    }

    /// Goes on to a minute; back only where the newest one was none, because a clock was set far
    /// ahead and then back.
    pub(super) fn advance(&mut self, minute: u32) {
        if minute.saturating_add(AHEAD_MAX) < self.minute {
            self.go_back(minute);
        }
        if minute <= self.minute {
            return;
        }
        let before = self.hour();
        if minute > self.minute.saturating_add(AHEAD_MAX) {
            self.removing_from = minute.saturating_add(AHEAD_MAX);
        }
        self.minute = minute;
        let hours = self.hour().saturating_sub(before);
        if hours > 0 {
            self.begin_hour(hours);
        }
    }

    /// Series that counted ahead begin anew, so that rows of theirs that are on disk stay.
    fn go_back(&mut self, minute: u32) {
        for place in 0..self.end() {
            let is_ahead = |series: &Series| series.last > minute || series.is_folded_past(minute);
            if self.series(place).is_some_and(is_ahead) {
                self.leave(place);
            }
        }
        self.minute = minute;
        self.removing_from = minute.saturating_add(AHEAD_MAX);
        self.unbeaten_in = 0;
        self.due_from = Some(0);
    }

    fn begin_hour(&mut self, hours: u32) {
        self.candidates.decay(hours);
        self.least_weight = 0;
        self.takeovers_left = takeovers_per_hour(self.limits);
        self.due_from = Some(0);
        let (minute, keep_days) = (self.minute, self.keep_days());
        let idle = minute.saturating_sub(IDLE_MINUTES_MAX);
        for place in 0..self.end() {
            let Some(series) = self.series_mut(place) else { continue };
            let is_over = series.last < idle;
            if series.fold_surplus(minute, keep_days) {
                self.touch(place, Unsaved::All);
            }
            if is_over {
                self.leave(place);
            }
        }
    }

    /// Where a key counts.
    pub(super) fn place_of(&self, key: SeriesKey) -> Option<u32> {
        self.by_key.get(&key.0).copied()
    }

    /// Where a key that was not met before is to count: it gets a name while there are any, takes over
    /// one that is used less, or counts with the rest of its rule. `None` never happens.
    pub(super) fn meet(
        &mut self,
        (key, rule): (SeriesKey, RuleSalt),
        hits: u64,
        name: impl FnOnce(Standing) -> Name,
    ) -> Option<u32> {
        if self.named_count < self.limits.series_max {
            return self.begin(key, Standing::Named, name);
        }
        let weight = self.candidates.note(key, hits);
        if let Some(place) = self.beaten_by(weight) {
            self.leave(place);
            self.candidates.forget(key);
            self.takeovers_left = self.takeovers_left.saturating_sub(1);
            let place = self.begin(key, Standing::Named, name)?;
            let hour = self.hour();
            // The hits of this call are counted by the caller.
            self.series_mut(place)?.weigh(hour, weight.saturating_sub(hits));
            return Some(place);
        }
        match self.place_of(rule.rest()) {
            Some(place) => Some(place),
            None => self.begin(rule.rest(), Standing::Rest, name),
        }
    }

    /// The least used of the named series, if somebody of this weight is clearly used more.
    fn beaten_by(&mut self, weight: u64) -> Option<u32> {
        let clearly_more = |least: u64| least.saturating_add(least / 4).saturating_add(16);
        let is_crowded = self.leaving_count >= takeovers_per_hour(self.limits);
        if self.takeovers_left == 0
            || is_crowded
            || self.unbeaten_in == self.minute
            || weight <= clearly_more(self.least_weight)
        {
            return None;
        }
        let hour = self.hour();
        let named = self.all().filter(|(_, series)| series.standing == Standing::Named);
        // A series stays for its first minute, so that no two with one key begin in one.
        let settled = named.filter(|(_, series)| series.id.begin() < self.minute);
        let weighed = settled.map(|(place, series)| (series.weight_at(hour), place));
        let Some((least, place)) = weighed.min() else {
            self.unbeaten_in = self.minute;
            return None;
        };
        self.least_weight = least;
        (weight > clearly_more(least)).then_some(place)
    }

    fn begin(
        &mut self,
        key: SeriesKey,
        standing: Standing,
        name: impl FnOnce(Standing) -> Name,
    ) -> Option<u32> {
        let series = Series::new(key, name(standing), standing, self.minute);
        let place = self.put(series)?;
        self.touch(place, Unsaved::All);
        Some(place)
    }

    /// Takes in a series; not one that is there already.
    pub(super) fn put(&mut self, series: Series) -> Option<u32> {
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                self.places.push(None);
                u32::try_from(self.places.len() - 1).ok()?
            }
        };
        match series.standing {
            Standing::Named => self.named_count += 1,
            Standing::Rest => {}
            Standing::Leaving => self.leaving_count += 1,
        }
        if series.standing != Standing::Leaving {
            self.by_key.insert(series.key.0, place);
        }
        self.by_id.insert(series.id, place);
        *self.places.get_mut(place as usize)? = Some(series);
        Some(place)
    }

    /// Counts in the newest minute.
    pub(super) fn count(&mut self, place: u32, tally: Tally) {
        let minute = self.minute;
        let Some(series) = self.series_mut(place) else { return };
        series.count(minute, tally);
        if series.unsaved == Unsaved::Nothing {
            series.unsaved = Unsaved::From(minute);
            self.unsaved.push(place);
        }
    }

    /// Notes that something of a series is in no section.
    pub(super) fn touch(&mut self, place: u32, unsaved: Unsaved) {
        let Some(series) = self.series_mut(place) else { return };
        let before = std::mem::replace(&mut series.unsaved, Unsaved::Nothing);
        series.unsaved = before.or(unsaved);
        if before == Unsaved::Nothing && unsaved != Unsaved::Nothing {
            self.unsaved.push(place);
        }
    }

    /// Ends the counting of a series; it goes when all of it is on disk.
    pub(super) fn leave(&mut self, place: u32) {
        let Some(series) = self.series_mut(place) else { return };
        let (before, key) = (series.standing, series.key);
        if before == Standing::Leaving {
            return;
        }
        series.standing = Standing::Leaving;
        self.leaving_count += 1;
        self.named_count -= usize::from(before == Standing::Named);
        if self.by_key.get(&key.0) == Some(&place) {
            self.by_key.remove(&key.0);
        }
        self.due_from = Some(0);
        self.touch(place, Unsaved::All);
    }

    /// Forgets a series that has left and of which nothing is in memory alone.
    pub(super) fn forget_if_gone(&mut self, place: u32) {
        let Some(series) = self.series(place) else { return };
        let is_told = series.unsaved == Unsaved::Nothing;
        if series.is_leaving() && series.is_empty() && is_told {
            let id = series.id;
            self.by_id.remove(&id);
            self.leaving_count -= 1;
            if let Some(held) = self.places.get_mut(place as usize) {
                *held = None;
                self.free.push(place);
            }
        }
    }

    /// Works out what is not stored, after a restart.
    pub(super) fn settle(&mut self) {
        let hour = self.hour();
        for place in 0..self.end() {
            if let Some(series) = self.series_mut(place) {
                series.weigh_again(hour);
            }
            self.forget_if_gone(place);
        }
        let named = self.all().filter(|(_, series)| series.standing == Standing::Named);
        let weighed = named.map(|(place, series)| (series.weight_at(hour), place));
        let mut weighed: Vec<(u64, u32)> = weighed.collect();
        weighed.sort_unstable();
        // There may be fewer names than before.
        let surplus = weighed.len().saturating_sub(self.limits.series_max);
        weighed.into_iter().take(surplus).for_each(|(_, place)| self.leave(place));
        self.due_from = Some(0);
    }

    pub(super) fn series(&self, place: u32) -> Option<&Series> {
        self.places.get(place as usize)?.as_ref()
    }

    pub(super) fn series_mut(&mut self, place: u32) -> Option<&mut Series> {
        self.places.get_mut(place as usize)?.as_mut()
    }

    /// The place after the last.
    pub(super) fn end(&self) -> u32 {
        u32::try_from(self.places.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (u32, &Series)> {
        (0..).zip(&self.places).filter_map(|(place, series)| Some((place, series.as_ref()?)))
    }

    pub(super) fn named_count(&self) -> usize {
        self.named_count
    }

    pub(super) fn series_count(&self) -> usize {
        self.by_id.len()
    }
}

fn takeovers_per_hour(limits: UsageLimits) -> usize {
    limits.series_max.div_ceil(SERIES_PER_TAKEOVER)
}
