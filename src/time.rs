//! Points in time and spans of it, as whole nanoseconds.
//!
//! Nothing here reads a clock: `now` is always handed in. Arithmetic saturates, so no clock value
//! and no configured span can overflow into a wrong window.

use std::fmt;
use std::time::Duration;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// A point in time: nanoseconds since the Unix epoch, in UTC. Reaches from 1677 to 2262.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const EPOCH: Self = Self(0);

    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(NANOS_PER_SECOND.cast_signed()))
    }

    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded towards the past.
    pub const fn seconds_floor(self) -> i64 {
        self.0.div_euclid(NANOS_PER_SECOND.cast_signed())
    }

    /// The span from `earlier` to `self`, zero when `self` is not later.
    pub const fn since(self, earlier: Self) -> Span {
        Span(if self.0 > earlier.0 { self.0.abs_diff(earlier.0) } else { 0 })
    }

    #[must_use]
    pub const fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add_unsigned(span.0))
    }

    #[must_use]
    pub const fn minus(self, span: Span) -> Self {
        Self(self.0.saturating_sub_unsigned(span.0))
    }

    /// So many nanoseconds later, or earlier. The end of time means never, and stays that.
    #[must_use]
    pub const fn shifted(self, nanos: i64) -> Self {
        if self.0 == i64::MAX { self } else { Self(self.0.saturating_add(nanos)) }
    }
}

/// A length of time in nanoseconds, never negative; reaches over 584 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u64);

impl Span {
    pub const ZERO: Self = Self(0);

    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(NANOS_PER_SECOND))
    }

    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole seconds, rounded up: a client that waits this long has waited long enough.
    pub const fn seconds_ceil(self) -> u64 {
        self.0.div_ceil(NANOS_PER_SECOND)
    }

    pub const fn seconds_floor(self) -> u64 {
        self.0 / NANOS_PER_SECOND
    }

    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What is left of this after `other`; nothing where that is longer.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The least span of whole seconds that is no shorter.
    #[must_use]
    pub const fn whole_seconds(self) -> Self {
        Self::from_seconds(self.seconds_ceil())
    }

    /// The nanoseconds beyond the last whole second.
    pub const fn subsecond_nanos(self) -> u32 {
        (self.0 % NANOS_PER_SECOND) as u32
    }

    pub const fn to_duration(self) -> Duration {
        Duration::new(self.seconds_floor(), self.subsecond_nanos())
    }
}

/// As an operator would say it: the two largest units that matter, such as `1h 5m` or `37.25s`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.seconds_floor();
        let (days, hours) = (total / 86_400, total / 3_600 % 24);
        let (minutes, seconds) = (total / 60 % 60, total % 60);
        let pairs = [(days, 'd', hours, 'h'), (hours, 'h', minutes, 'm')];
        for (large, large_unit, small, small_unit) in pairs {
            if large > 0 {
                write!(f, "{large}{large_unit}")?;
                return if small > 0 { write!(f, " {small}{small_unit}") } else { Ok(()) };
            }
        }
        if minutes > 0 {
            write!(f, "{minutes}m")?;
            return if seconds > 0 { write!(f, " {seconds}s") } else { Ok(()) };
        }
        let millis = self.subsecond_nanos() / 1_000_000;
        match millis {
            0 => write!(f, "{seconds}s"),
            _ => write!(f, "{seconds}.{millis:03}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_saturate_and_never_go_negative() {
        let early = Timestamp::from_seconds(10);
        let late = Timestamp::from_seconds(12);
        assert_eq!(late.since(early), Span::from_seconds(2));
        assert_eq!(early.since(late), Span::ZERO);
        assert_eq!(
            Timestamp::from_nanos(i64::MAX).plus(Span::from_seconds(1)).as_nanos(),
            i64::MAX
        );
        assert_eq!(
            Timestamp::from_nanos(i64::MAX).since(Timestamp::from_nanos(i64::MIN)).as_nanos(),
            u64::MAX
        );
        assert_eq!(early.shifted(-3).as_nanos(), 9_999_999_997);
        assert_eq!(Timestamp::from_nanos(i64::MAX).shifted(-3).as_nanos(), i64::MAX);
    }

    #[test]
    fn seconds_round_away_from_too_early() {
        assert_eq!(Span::from_nanos(1).seconds_ceil(), 1);
        assert_eq!(Span::from_seconds(3).seconds_ceil(), 3);
        assert_eq!(Timestamp::from_nanos(-1).seconds_floor(), -1);
    }

    #[test]
    fn spans_read_as_people_say_them() {
        for (span, text) in [
            (Span::ZERO, "0s"),
            (Span::from_millis(250), "0.250s"),
            (Span::from_seconds(59), "59s"),
            (Span::from_seconds(61), "1m 1s"),
            (Span::from_seconds(3_600), "1h"),
            (Span::from_seconds(90_000), "1d 1h"),
        ] {
            assert_eq!(span.to_string(), text);
        }
    }
}
