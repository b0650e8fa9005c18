//! A share of an amount, in hundredths of a percent.
//!
//! Shares are exact: `80%` of 15 is 12, and nothing is rounded before the end.

use std::fmt;

/// More than nothing and at most the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Share(u16);

impl Share {
    pub const WHOLE: u16 = 10_000;

    /// `None` for nothing, and for more than the whole.
    pub const fn from_hundredths_of_percent(hundredths: u16) -> Option<Self> {
        match hundredths {
            1..=Self::WHOLE => Some(Self(hundredths)),
            _ => None,
        }
    }

    pub const fn hundredths_of_percent(self) -> u16 {
        self.0
    }

    /// The largest usage that is under this share of `amount`; zero where none is.
    pub fn most_below(self, amount: u64) -> u64 {
        let share = u128::from(amount) * u128::from(self.0);
        let ceiling = share.div_ceil(u128::from(Self::WHOLE));
        u64::try_from(ceiling.saturating_sub(1)).unwrap_or(u64::MAX)
    }
}

/// As a policy writes it: `80%`, `12.5%`.
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole}%"),
            (whole, part) if part % 10 == 0 => write!(f, "{whole}.{}%", part / 10),
            (whole, part) => write!(f, "{whole}.{part:02}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_below_is_under_the_share_and_one_more_is_not() {
        for (hundredths, amount, most) in [
            (5_000, 10, 4),
            (5_000, 9, 4),
            (10_000, 7, 6),
            (1, 10, 0),
            (3_333, 3, 0),
            (5_000, 0, 0),
        ] {
            let share = Share::from_hundredths_of_percent(hundredths).unwrap();
            assert_eq!(share.most_below(amount), most, "{share} of {amount}");
        }
        assert_eq!(Share::from_hundredths_of_percent(0), None);
        assert_eq!(Share::from_hundredths_of_percent(10_001), None);
    }

    #[test]
    fn shares_read_as_they_are_written() {
        for (hundredths, text) in
            [(8_000, "80%"), (1_250, "12.5%"), (3_333, "33.33%"), (1, "0.01%")]
        {
            let share = Share::from_hundredths_of_percent(hundredths).unwrap();
            assert_eq!(share.to_string(), text);
        }
    }
}
