//! What a misspelt word was probably meant to be.
//!
//! A suggestion is made only when few letters differ, so that it is right more often than not.

/// The candidate nearest to `word`, when it is near.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let word = word.to_lowercase();
    let allowed = match word.chars().count() {
        0 => return None,
        1..=2 => 1,
        3..=5 => 2,
        _ => 3,
    };
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, &candidate.to_lowercase(), allowed), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Whether one text is the other with a slip of the finger in some of its words. Other first
/// letters and other digits mean other things, as in `east` and `west`, or `v1` and `v2`.
pub fn is_misspelt(left: &str, right: &str) -> bool {
    let separates = |c: char| !c.is_alphanumeric();
    let (left, right) = (left.to_lowercase(), right.to_lowercase());
    let count = |text: &str| text.split(separates).count();
    let are_alike = |(one, other): (&str, &str)| {
        let length = one.chars().count().min(other.chars().count());
        let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
        let allowed = if length <= 5 { 1 } else { 2 };
        one == other
            || length >= 3
                && one.chars().next() == other.chars().next()
                && digits(one) == digits(other)
                && distance(one, other, allowed) <= allowed
    };
    count(&left) == count(&right)
        && left.split(separates).zip(right.split(separates)).all(are_alike)
}

/// `did you mean ...` when a candidate is near, else the list of all.
pub fn hint(word: &str, candidates: &[&str]) -> String {
    match nearest(word, candidates.iter().copied()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => one_of(candidates),
    }
}

/// `one of ...`, for hints.
pub fn one_of(candidates: &[&str]) -> String {
    match candidates {
        [only] => format!("write `{only}`"),
        _ => {
            let list: Vec<_> = candidates.iter().map(|name| format!("`{name}`")).collect();
            format!("use one of {}", list.join(", "))
        }
    }
}

/// How many letters must be changed, added, left out or swapped with their neighbour; texts
/// whose lengths alone differ by more than `allowed` are not compared.
fn distance(left: &str, right: &str, allowed: usize) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    if left.len().abs_diff(right.len()) > allowed {
        return usize::MAX;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (row, letter) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in right.iter().enumerate() {
            let changed = above[column] + usize::from(letter != other);
            let mut best = changed.min(above[column + 1] + 1).min(current[column] + 1);
            if row > 0 && column > 0 && *letter == right[column - 1] && left[row - 1] == *other {
                best = best.min(before[column - 1] + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut above, current);
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_suggested_and_far_ones_not() {
        let units = ["second", "minute", "hour", "day", "week", "month", "year"];
        for (word, meant) in [
            ("minuets", Some("minute")),
            ("MINUTE", Some("minute")),
            ("huor", Some("hour")),
            ("dya", Some("day")),
            ("fortnight", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, units), meant, "{word}");
        }
    }

    #[test]
    fn slips_of_the_finger_are_told_from_other_words() {
        for (one, other, is_misspelt) in [
            ("por", "pro", true),
            ("Pro", "pro", true),
            ("enterprize", "enterprise", true),
            ("eu-wset", "eu-west", true),
            ("east", "west", false),
            ("eu-east", "eu-west", false),
            ("tier-1", "tier-2", false),
            ("plan1", "plan2", false),
            ("eu", "us", false),
            ("true", "false", false),
            ("pro-x", "pro", false),
            ("", "a", false),
        ] {
            assert_eq!(super::is_misspelt(one, other), is_misspelt, "{one} {other}");
            assert_eq!(super::is_misspelt(other, one), is_misspelt, "{other} {one}");
        }
    }

    #[test]
    fn hint_lists_all_when_nothing_is_near() {
        assert_eq!(hint("zzzzzz", &["a", "b"]), "use one of `a`, `b`");
        assert_eq!(hint("limit", &["limits", "match"]), "did you mean `limits`?");
    }
}
