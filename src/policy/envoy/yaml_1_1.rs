//! Plain scalars as envoyproxy/ratelimit reads them: by YAML 1.1, where `yes` is true and `010` is 8.
//!
//! Texts in quotes are never more than texts; who asks has looked.

/// In exactly these spellings.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Some(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Some(false)
        }
        _ => None,
    }
}

/// A whole number: decimal, or with the prefix of another base, a leading zero among them.
/// Underscores between digits mean nothing.
pub(super) fn whole(text: &str) -> Option<i128> {
    let plain = text.replace('_', "");
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let lower = digits.to_ascii_lowercase();
    let (digits, base) = match lower.as_bytes() {
        [b'0', b'x', ..] => (&lower[2..], 16),
        [b'0', b'o', ..] => (&lower[2..], 8),
        [b'0', b'b', ..] => (&lower[2..], 2),
        [b'0', _, ..] => (&lower[1..], 8),
        _ => (lower.as_str(), 10),
    };
    let is_number = !digits.is_empty() && digits.chars().all(|c| c.is_digit(base));
    is_number.then(|| i128::from_str_radix(digits, base).ok()).flatten().map(|it| sign * it)
}

/// A number that is none of `whole`.
pub(super) fn fraction(text: &str) -> Option<f64> {
    match text.trim_start_matches(['+', '-']) {
        ".inf" | ".Inf" | ".INF" => return Some(f64::INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Some(f64::NAN),
        _ => {}
    }
    let plain = text.replace('_', "");
    let has_digit = plain.contains(|c: char| c.is_ascii_digit());
    let is_plain = plain.chars().all(|c| c.is_ascii_digit() || "+-.eE".contains(c));
    plain.parse().ok().filter(|_| has_digit && is_plain && whole(text).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words_mean_what_they_mean_there() {
        for (text, number) in [
            ("10", Some(10)),
            ("-3", Some(-3)),
            ("1_000", Some(1_000)),
            ("010", Some(8)),
            ("0x1F", Some(31)),
            ("0b11", Some(3)),
            ("0o17", Some(15)),
            ("0", Some(0)),
            ("08", None),
            ("0x", None),
            ("1.5", None),
            ("ten", None),
            ("", None),
        ] {
            assert_eq!(whole(text), number, "{text}");
        }
        for (text, is_fraction) in [
            ("1.5", true),
            ("1e3", true),
            ("1_0.5", true),
            (".inf", true),
            ("-.INF", true),
            (".nan", true),
            ("10", false),
            ("1.2.3", false),
            ("e", false),
            ("inf", false),
            ("2026-01-15", false),
            ("0x1F", false),
        ] {
            assert_eq!(fraction(text).is_some(), is_fraction, "{text}");
        }
        assert_eq!(
            [boolean("Yes"), boolean("OFF"), boolean("yEs")],
            [Some(true), Some(false), None]
        );
    }
}
