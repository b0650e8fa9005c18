//! Exact numbers for formulas, and shares.
//!
//! A number is a reduced fraction; an operation either gives the exact result or none at all.

use std::cmp::Ordering;
use std::fmt;

use crate::limit::Share;
use crate::policy::findings::shown;
use crate::policy::units::Misread;

/// Digits that a number may be written with; the largest such number leaves room to count with.
const MOST_DIGITS: usize = 30;

/// A fraction in lowest terms with a positive denominator, so equal numbers are equal fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Number {
    numerator: i128,
    denominator: i128,
}

impl Number {
    pub const ZERO: Self = Self::whole(0);

    const fn whole(numerator: i128) -> Self {
        Self { numerator, denominator: 1 }
    }

    pub fn from_u64(value: u64) -> Self {
        Self::whole(i128::from(value))
    }

    /// Whether a text is a number of more digits than are read.
    pub fn is_too_long(text: &[u8]) -> bool {
        text.len() > MOST_DIGITS && text.iter().all(|c| c.is_ascii_digit() || *c == b'.')
    }

    /// Reads `12`, `-3` and `2.50`: no exponent, no blanks, at most 30 digits.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (negative, digits) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        let point = digits.iter().position(|byte| *byte == b'.');
        let (whole, decimals) = match point {
            Some(point) => (&digits[..point], &digits[point + 1..]),
            None => (digits, &[][..]),
        };
        let is_complete = !whole.is_empty() && (point.is_none() || !decimals.is_empty());
        if !is_complete || whole.len() + decimals.len() > MOST_DIGITS {
            return None;
        }
        let mut numerator = 0_i128;
        for byte in whole.iter().chain(decimals) {
            let digit = byte.is_ascii_digit().then(|| i128::from(byte - b'0'))?;
            numerator = numerator * 10 + digit;
        }
        let denominator = decimals.iter().fold(1, |power, _| power * 10);
        Some(Self::reduced(if negative { -numerator } else { numerator }, denominator))
    }

    /// The greatest whole number that is not above; `None` when negative or beyond 64 bits.
    pub fn floor_u64(self) -> Option<u64> {
        u64::try_from(self.floor().numerator).ok()
    }

    /// The least whole number that is not below; `None` when negative or beyond 64 bits. What is
    /// above -1 and below 0 gives 0.
    pub fn ceil_u64(self) -> Option<u64> {
        u64::try_from(self.ceil().numerator).ok()
    }

    pub fn is_negative(self) -> bool {
        self.numerator < 0
    }

    /// `denominator` must be positive.
    fn reduced(numerator: i128, denominator: i128) -> Self {
        if denominator == 1 {
            return Self::whole(numerator);
        }
        let divisor = greatest_common_divisor(numerator, denominator);
        Self { numerator: numerator / divisor, denominator: denominator / divisor }
    }

    pub(super) fn floor(self) -> Self {
        Self::whole(self.numerator.div_euclid(self.denominator))
    }

    pub(super) fn ceil(self) -> Self {
        let is_whole = self.denominator == 1;
        Self::whole(self.floor().numerator + i128::from(!is_whole))
    }

    /// The nearest whole number; halves go up.
    pub(super) fn round(self) -> Self {
        let rest = self.numerator.rem_euclid(self.denominator);
        let goes_up = rest >= self.denominator - rest;
        Self::whole(self.floor().numerator + i128::from(goes_up))
    }

    pub(super) fn negated(self) -> Option<Self> {
        Some(Self { numerator: self.numerator.checked_neg()?, ..self })
    }

    pub(super) fn plus(self, other: Self) -> Option<Self> {
        if self.denominator == 1 && other.denominator == 1 {
            return self.numerator.checked_add(other.numerator).map(Self::whole);
        }
        let divisor = greatest_common_divisor(self.denominator, other.denominator);
        let (scale, other_scale) = (other.denominator / divisor, self.denominator / divisor);
        let left = self.numerator.checked_mul(scale)?;
        let right = other.numerator.checked_mul(other_scale)?;
        Some(Self::reduced(left.checked_add(right)?, self.denominator.checked_mul(scale)?))
    }

    pub(super) fn minus(self, other: Self) -> Option<Self> {
        self.plus(other.negated()?)
    }

    pub(super) fn times(self, other: Self) -> Option<Self> {
        if self.denominator == 1 && other.denominator == 1 {
            return self.numerator.checked_mul(other.numerator).map(Self::whole);
        }
        // Reduced crosswise first, the products are in lowest terms and as small as can be.
        let left = Self::reduced(self.numerator, other.denominator);
        let right = Self::reduced(other.numerator, self.denominator);
        Some(Self {
            numerator: left.numerator.checked_mul(right.numerator)?,
            denominator: left.denominator.checked_mul(right.denominator)?,
        })
    }

    /// `divisor` must not be zero.
    pub(super) fn divided_by(self, divisor: Self) -> Option<Self> {
        let sign = divisor.numerator.signum();
        let upside_down = Self {
            numerator: divisor.denominator * sign,
            denominator: divisor.numerator.checked_mul(sign)?,
        };
        self.times(upside_down)
    }

    pub(super) fn is_zero(self) -> bool {
        self.numerator == 0
    }
}

/// Of a whole number and a positive one; never 0.
fn greatest_common_divisor(number: i128, positive: i128) -> i128 {
    let (mut larger, mut smaller) = (positive, number.wrapping_rem(positive).abs());
    while smaller != 0 {
        (larger, smaller) = (smaller, larger % smaller);
    }
    larger
}

impl Ord for Number {
    /// Compares whole parts, then what is left upside down, so that nothing is multiplied.
    fn cmp(&self, other: &Self) -> Ordering {
        if self.denominator == other.denominator {
            return self.numerator.cmp(&other.numerator);
        }
        let (mut left, mut right) = (*self, *other);
        loop {
            let whole = left.floor().numerator.cmp(&right.floor().numerator);
            let left_rest = left.numerator.rem_euclid(left.denominator);
            let right_rest = right.numerator.rem_euclid(right.denominator);
            if whole.is_ne() || left_rest == 0 || right_rest == 0 {
                return whole.then(left_rest.signum().cmp(&right_rest.signum()));
            }
            let upside_down =
                |rest, denominator| Self { numerator: denominator, denominator: rest };
            (left, right) = (
                upside_down(right_rest, right.denominator),
                upside_down(left_rest, left.denominator),
            );
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// In decimals when they end within 30 digits, else as `1/3`.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.numerator.unsigned_abs() % self.denominator.unsigned_abs();
        let whole = self.numerator.unsigned_abs() / self.denominator.unsigned_abs();
        let mut decimals = String::new();
        while rest != 0 {
            let Some(shifted) = rest.checked_mul(10).filter(|_| decimals.len() < MOST_DIGITS)
            else {
                return write!(f, "{}/{}", self.numerator, self.denominator);
            };
            decimals.push_str(&(shifted / self.denominator.unsigned_abs()).to_string());
            rest = shifted % self.denominator.unsigned_abs();
        }
        let sign = if self.numerator < 0 { "-" } else { "" };
        let point = if decimals.is_empty() { "" } else { "." };
        write!(f, "{sign}{whole}{point}{decimals}")
    }
}

/// Reads a share: `80%` and `33.33%`, more than 0 % and at most 100 %, exact to two decimals.
pub(in crate::policy) fn share(text: &str) -> Result<Share, Misread> {
    let bare = text.trim();
    let start = text.len() - text.trim_start().len();
    let misread = |message: String, hint: String| Misread {
        code: "bad-percent",
        message,
        hint,
        bytes: start..start + bare.len(),
    };
    let Some(digits) = bare.strip_suffix('%') else {
        return Err(misread(format!("{} is not a percent", shown(bare)), respelt(bare)));
    };
    let Some(number) = Number::parse(digits.as_bytes()).filter(|_| !digits.starts_with('+')) else {
        return Err(misread(format!("{} is not a percent", shown(bare)), respelt(digits)));
    };
    let too_much = number > Number::whole(100);
    if too_much || number <= Number::ZERO {
        let message = format!("{} is not more than 0% and at most 100%", shown(bare));
        let hint = if too_much { "the most is `100%`" } else { "the least is `0.01%`" };
        return Err(misread(message, hint.to_owned()));
    }
    let hundredths = number.times(Number::whole(100)).filter(|hundreds| hundreds.denominator == 1);
    hundredths
        .and_then(|hundredths| u16::try_from(hundredths.numerator).ok())
        .and_then(Share::from_hundredths_of_percent)
        .ok_or_else(|| {
            let message = format!("{} has more than two decimals", shown(bare));
            misread(message, "round it, as in `33.33%`".to_owned())
        })
}

/// The percent to type for `80`, `80 %`, `80 percent` and `0.8`.
fn respelt(text: &str) -> String {
    let word = text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).trim_end();
    let number = Number::parse(word.as_bytes()).filter(|number| *number > Number::ZERO);
    let percent = match number {
        Some(number) if number < Number::whole(1) => number.times(Number::whole(100)),
        Some(number) if number <= Number::whole(100) => Some(number),
        _ => None,
    };
    match percent {
        Some(percent) => format!("write `{percent}%`"),
        None => "write a number and `%`, as in `80%`".to_owned(),
    }
}
