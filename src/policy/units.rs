//! Amounts and windows as operators write them: `1000/minute`, `100/10s`, `10_000 / 15 minutes`.
//!
//! What is refused is refused with the text to type instead; nothing is rounded or guessed.

use std::num::NonZeroU32;
use std::ops::Range;

use crate::limit::{Unit, Window};
use crate::policy::findings::shown;
use crate::policy::formula::{Formula, Number};
use crate::policy::model::{Amount, Counting, Limit};
use crate::policy::suggest;
use crate::time::Span;

/// Why a text is no amount, window or limit; `bytes` are of that text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Misread {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) hint: String,
    pub(crate) bytes: Range<usize>,
}

const LONGEST_WINDOW_SECONDS: u64 = 100 * Unit::Year.seconds();

/// Every spelling of every unit.
pub(super) const UNITS: [(&str, Unit); 27] = [
    ("second", Unit::Second),
    ("minute", Unit::Minute),
    ("hour", Unit::Hour),
    ("day", Unit::Day),
    ("week", Unit::Week),
    ("month", Unit::Month),
    ("year", Unit::Year),
    ("s", Unit::Second),
    ("sec", Unit::Second),
    ("secs", Unit::Second),
    ("seconds", Unit::Second),
    ("m", Unit::Minute),
    ("min", Unit::Minute),
    ("mins", Unit::Minute),
    ("minutes", Unit::Minute),
    ("h", Unit::Hour),
    ("hr", Unit::Hour),
    ("hrs", Unit::Hour),
    ("hours", Unit::Hour),
    ("d", Unit::Day),
    ("days", Unit::Day),
    ("w", Unit::Week),
    ("weeks", Unit::Week),
    ("mo", Unit::Month),
    ("months", Unit::Month),
    ("y", Unit::Year),
    ("years", Unit::Year),
];

/// A piece of a text and where it begins in it.
#[derive(Clone, Copy)]
struct Piece<'t> {
    text: &'t str,
    start: usize,
}

impl<'t> Piece<'t> {
    fn cut(text: &'t str, bytes: Range<usize>) -> Self {
        let start = bytes.start;
        Self { text: text.get(bytes).unwrap_or_default(), start }.trimmed()
    }

    fn trimmed(self) -> Self {
        let lead = self.text.len() - self.text.trim_start().len();
        Self { text: self.text.trim(), start: self.start + lead }
    }

    fn misread(self, code: &'static str, message: String, hint: impl Into<String>) -> Misread {
        let bytes = self.start..self.start + self.text.len();
        Misread { code, message, hint: hint.into(), bytes }
    }
}

/// The short form of a limit, `AMOUNT/WINDOW`.
pub(super) fn limit(text: &str) -> Result<Limit, Misread> {
    let whole = Piece::cut(text, 0..text.len());
    if let Some(rest) = whole.text.strip_prefix("concurrent") {
        return concurrent(whole, rest);
    }
    if whole.text.contains('%') {
        let message = format!("{} is not a share of another rule's amount", shown(whole.text));
        return Err(whole.misread("bad-limit", message, "write `80% of RULE`"));
    }
    if is_no_limit(whole.text) {
        let message = format!("{} is not an amount per window", shown(whole.text));
        let hint = "write `unlimited: true` in place of `limits`";
        return Err(whole.misread("bad-limit", message, hint));
    }
    if let Some(hint) = zoned(whole.text) {
        let message = "a limit with a time zone has a long form".to_owned();
        return Err(whole.misread("bad-limit", message, hint));
    }
    if let Some(hint) = listed(whole.text) {
        return Err(whole.misread("bad-limit", "several limits are a list".to_owned(), hint));
    }
    let Some(slash) = text.rfind('/') else {
        return Err(without_slash(whole));
    };
    let amount = read_amount_or_formula(Piece::cut(text, 0..slash)).map_err(|misread| {
        let message = "a limit is an amount, a `/` and a window".to_owned();
        respelt(whole.text).map_or(misread, |hint| whole.misread("bad-limit", message, hint))
    })?;
    let (span, kind) = split_kind(Piece::cut(text, slash + 1..text.len()))?;
    let window = read_window(span)?;
    let counting = match kind {
        None | Some(Word::Fixed) => Counting::Fixed(window),
        Some(Word::Rolling) => Counting::Rolling(window),
        Some(Word::Bucket) => Counting::Bucket { window, burst: None },
    };
    let is_even = !matches!(window.unit, Unit::Month | Unit::Year);
    if !matches!(counting, Counting::Fixed(_)) && !is_even {
        return Err(span.misread("bad-window", UNEVEN.to_owned(), UNEVEN_HINT));
    }
    Ok(Limit { amount, counting, resume_below: None })
}

pub(super) const UNEVEN: &str =
    "months and years differ in length, and only a fixed limit follows the calendar";
pub(super) const UNEVEN_HINT: &str = "write days, as in `30 days`, or use a fixed limit";

/// How long a slot of a concurrency limit is held at most where the policy does not say.
pub(super) const LEASE: Span = Span::from_seconds(3_600);

fn concurrent(whole: Piece<'_>, rest: &str) -> Result<Limit, Misread> {
    let number = Piece::cut(whole.text, whole.text.len() - rest.len()..whole.text.len());
    let number = Piece { start: whole.start + number.start, ..number };
    if number.text.is_empty() || !rest.starts_with(char::is_whitespace) {
        let message = "say how many may be held at a time".to_owned();
        return Err(whole.misread("bad-limit", message, "write `concurrent 10`"));
    }
    if let Some((amount, _)) = number.text.split_once('/') {
        let message = "what is held at a time has no window".to_owned();
        return Err(whole.misread("bad-limit", message, format!("write `concurrent {amount}`")));
    }
    let amount = read_amount_or_formula(number)?;
    Ok(Limit { amount, counting: Counting::Concurrent { lease: LEASE }, resume_below: None })
}

/// The kinds that a window may be followed by.
#[derive(Clone, Copy)]
enum Word {
    Fixed,
    Rolling,
    Bucket,
}

/// A window, and the kind that may follow it.
fn split_kind(piece: Piece<'_>) -> Result<(Piece<'_>, Option<Word>), Misread> {
    let kinds = [("fixed", Word::Fixed), ("rolling", Word::Rolling), ("bucket", Word::Bucket)];
    let Some((span, word)) = piece.text.rsplit_once(char::is_whitespace) else {
        return Ok((piece, None));
    };
    let start = piece.start + piece.text.len() - word.len();
    let (span, last) = (Piece { text: span.trim_end(), ..piece }, Piece { text: word, start });
    if let Some((_, kind)) = kinds.iter().find(|(name, _)| *name == word) {
        return Ok((span, Some(*kind)));
    }
    // What follows no window is no misspelt kind but part of a window.
    if read_window(span).is_err() {
        return Ok((piece, None));
    }
    if word == "concurrent" {
        let message = "what is held at a time has no window".to_owned();
        return Err(last.misread("bad-limit", message, "write `concurrent AMOUNT`"));
    }
    let hint = suggest::hint(word, &kinds.map(|(name, _)| name));
    Err(last.misread("bad-limit", format!("{} is not a kind of limit", shown(word)), hint))
}

/// A whole number of hits.
pub(super) fn amount(text: &str) -> Result<u64, Misread> {
    read_amount(Piece::cut(text, 0..text.len()))
}

/// A whole number of hits, or a formula over fields of tables that makes one.
pub(super) fn amount_or_formula(text: &str) -> Result<Amount, Misread> {
    read_amount_or_formula(Piece::cut(text, 0..text.len()))
}

/// A span such as `10s`, `15 minutes` or `month`.
pub(super) fn window(text: &str) -> Result<Window, Misread> {
    read_window(Piece::cut(text, 0..text.len()))
}

/// What people write where there is to be no limit.
pub(super) fn is_no_limit(text: &str) -> bool {
    ["unlimited", "none", "infinite", "no limit"].contains(&text)
}

/// The long form to type for `100/day Europe/Berlin` and `100/day in Europe/Berlin`.
pub(super) fn zoned(text: &str) -> Option<String> {
    let (limited, zone) = text.trim().rsplit_once(char::is_whitespace)?;
    let limited = limited.trim_end();
    let limited = limited.strip_suffix(" in").unwrap_or(limited).trim_end();
    let is_zone = |zone: &str| zone == "UTC" || zone.contains('/');
    let zone = zone.trim_matches(['(', ')']);
    if !is_zone(zone) || !zone.starts_with(|c: char| c.is_ascii_uppercase()) {
        return None;
    }
    limit(limited).ok()?;
    let (amount, window) = limited.rsplit_once('/')?;
    let (amount, window) = (amount.trim(), window.trim());
    let amount = digits(amount).unwrap_or_else(|| format!("{amount:?}"));
    Some(format!("write `{{ amount: {amount}, window: {window}, timezone: {zone} }}`"))
}

/// The list to type for `100/min, 5/hour`.
fn listed(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split([',', ';']).map(str::trim).collect();
    let are_limits = parts.len() > 1 && parts.iter().all(|part| limit(part).is_ok());
    are_limits.then(|| format!("write `[{}]`", parts.join(", ")))
}

/// A window that is the most of something, and is called a span.
pub(super) fn span(text: &str) -> Result<Window, Misread> {
    window(text).map_err(|misread| Misread {
        code: "bad-span",
        message: match misread.message.strip_prefix("the window ") {
            Some(rest) => format!("the span {rest}"),
            None => misread.message,
        },
        hint: misread.hint.replace(" window is", " span is"),
        bytes: misread.bytes,
    })
}

/// Most people who leave out the slash write `per`, or nothing but the amount.
fn without_slash(whole: Piece<'_>) -> Misread {
    let amount = whole.text.split_whitespace().next().unwrap_or_default();
    let hint = respelt(whole.text).unwrap_or_else(|| match digits(amount) {
        Some(_) => format!("say per what, as in `{amount}/minute`"),
        None => "write an amount, a `/` and a window, as in `1000/minute`".to_owned(),
    });
    whole.misread("bad-limit", "a limit is an amount per window".to_owned(), hint)
}

/// What may stand for the requests themselves, longer words before those they begin with.
const HITS: [&str; 12] = [
    "requests", "request", "reqs", "req", "calls", "call", "hits", "hit", "queries", "query",
    "times", "r",
];
const PER: [&str; 6] = ["per ", "every ", "each ", "an ", "a ", "/"];
const RATES: [(&str, &str); 8] = [
    ("rps", "second"),
    ("qps", "second"),
    ("tps", "second"),
    ("rpm", "minute"),
    ("qpm", "minute"),
    ("rph", "hour"),
    ("qph", "hour"),
    ("rpd", "day"),
];

const AT_A_TIME: [&str; 5] = ["concurrent", "at a time", "at once", "in flight", "under way"];

/// The text to type for `10rps`, `10 req/s`, `10 requests per second` and `10 concurrent`.
fn respelt(text: &str) -> Option<String> {
    let number_end = text.find(|c: char| !c.is_ascii_digit() && c != '_')?;
    let (number, rest) = text.split_at(number_end);
    amount(number).ok()?;
    let rest = rest.trim().to_ascii_lowercase();
    if let Some((_, unit)) = RATES.iter().find(|(rate, _)| *rate == rest) {
        return Some(format!("write `{number}/{unit}`"));
    }
    if AT_A_TIME.contains(&rest.as_str()) {
        return Some(format!("write `concurrent {number}`"));
    }
    // Only a whole word is passed over: the `r` of `req` is not the requests.
    let after_word = |word: &&str| {
        let after = rest.strip_prefix(word)?;
        (!after.starts_with(|c: char| c.is_ascii_alphabetic())).then(|| after.trim_start())
    };
    let rest = HITS.iter().find_map(after_word).unwrap_or(&rest);
    let span = PER.iter().find_map(|per| rest.strip_prefix(per)).unwrap_or(rest).trim();
    window(span).ok().map(|_| format!("write `{number}/{span}`"))
}

/// Decimal digits, which single underscores may group; the plain digits are given back.
fn digits(text: &str) -> Option<String> {
    let grouped = text.split('_').all(|group| !group.is_empty());
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    (grouped && plain.bytes().all(|byte| byte.is_ascii_digit())).then_some(plain)
}

/// Whether a text that is no plain number is meant to be worked out.
fn works_out(text: &str) -> bool {
    let has_field = text
        .split('.')
        .skip(1)
        .any(|after| after.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'));
    has_field || text.contains(['+', '*', '(']) || text.contains(" - ")
}

fn read_amount_or_formula(piece: Piece<'_>) -> Result<Amount, Misread> {
    if !works_out(piece.text) {
        return read_amount(piece).map(Amount::Number);
    }
    let moved = |misread: Misread| Misread {
        bytes: misread.bytes.start + piece.start..misread.bytes.end + piece.start,
        ..misread
    };
    let formula = Formula::parse(piece.text).map_err(moved)?;
    if !formula.names().is_empty() {
        return Ok(Amount::Formula(formula));
    }
    match formula.as_constant().and_then(Number::floor_u64) {
        Some(amount) => Ok(Amount::Number(amount)),
        None => {
            let message = format!("{} makes no amount", shown(piece.text));
            Err(piece.misread("bad-amount", message, "an amount is 0 or more"))
        }
    }
}

fn read_amount(piece: Piece<'_>) -> Result<u64, Misread> {
    let text = piece.text;
    let shown = shown(text);
    if text.is_empty() {
        let hint = "write it before the `/`, as in `1000/minute`";
        return Err(piece.misread("bad-amount", "the amount is missing".to_owned(), hint));
    }
    if let Some(digits) = digits(text) {
        return digits.parse().map_err(|_| {
            let message = format!("the amount {shown} is too large");
            piece.misread("bad-amount", message, format!("the largest amount is {}", u64::MAX))
        });
    }
    if text.strip_prefix('-').and_then(digits).is_some() {
        let message = format!("the amount {shown} is negative");
        return Err(piece.misread("bad-amount", message, "an amount is 0 or more"));
    }
    let without_commas: String = text.chars().filter(|c| *c != ',').collect();
    if let Some(plain) = digits(&without_commas) {
        let message = format!("{shown} is not an amount because of the `,`");
        let hint = format!("write `{plain}` or `{}`", text.replace(',', "_"));
        return Err(piece.misread("bad-amount", message, hint));
    }
    if text.parse::<f64>().is_ok() && text.contains('.') {
        let message = format!("the amount {shown} is not a whole number");
        let hint = "use a longer window: `30/minute` instead of `0.5/second`";
        return Err(piece.misread("bad-amount", message, hint));
    }
    if text.contains('/') {
        let message = "a limit has one `/`".to_owned();
        return Err(piece.misread("bad-limit", message, "write `AMOUNT/WINDOW`"));
    }
    Err(piece.misread("bad-amount", format!("{shown} is not an amount"), spelt_out(text)))
}

/// A hint for `10k`, `2M` and `1e6`.
fn spelt_out(text: &str) -> String {
    let zeros = match text.trim_start_matches(|c: char| c.is_ascii_digit()) {
        "k" | "K" => "000",
        "m" | "M" => "000_000",
        _ => return "write it in digits, as in `1000` or `10_000`".to_owned(),
    };
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    if number.is_empty() {
        return "write it in digits, as in `1000` or `10_000`".to_owned();
    }
    format!("write `{number}_{zeros}`")
}

fn read_window(piece: Piece<'_>) -> Result<Window, Misread> {
    let text = piece.text;
    let shown = shown(text);
    let number_end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (number, name) = (&text[..number_end], text[number_end..].trim());
    if text.is_empty() {
        let hint = "write it after the `/`, as in `1000/minute`";
        return Err(piece.misread("bad-window", "the window is missing".to_owned(), hint));
    }
    if text.starts_with('-') {
        let message = format!("the window {shown} is negative");
        return Err(piece.misread("bad-window", message, "a window is a second or longer"));
    }
    if name.is_empty() {
        let message = format!("the window {shown} has no unit");
        let hint = format!("write `{text}s`, `{text}m`, `{text}h` or `{text}d`");
        return Err(piece.misread("bad-window", message, hint));
    }
    let Some((_, unit)) = UNITS.iter().find(|(spelling, _)| *spelling == name) else {
        return Err(bad_unit(piece, name));
    };
    let count = if number.is_empty() { Some("1".to_owned()) } else { digits(number) };
    let count = count.and_then(|count| count.parse::<u32>().ok());
    if count == Some(0) {
        let message = format!("the window {shown} has no length");
        return Err(piece.misread("bad-window", message, "the smallest window is `1s`"));
    }
    count
        .and_then(NonZeroU32::new)
        .map(|count| Window::calendar(count, *unit))
        .filter(|window| window.nominal_span().seconds_floor() <= LONGEST_WINDOW_SECONDS)
        .ok_or_else(|| {
            let message = format!("the window {shown} is too long");
            piece.misread("bad-window", message, "the longest window is `100 years`")
        })
}

fn bad_unit(piece: Piece<'_>, name: &str) -> Misread {
    let (unit, shown) = (shown(name), shown(piece.text));
    match name {
        "ms" | "us" | "ns" | "msec" | "msecs" | "millis" | "millisecond" | "milliseconds" => {
            let message = format!("the window {shown} is given in parts of a second");
            return piece.misread("bad-window", message, "the smallest window is `1s`");
        }
        "quarter" | "quarters" => {
            let message = format!("{unit} is not a unit");
            return piece.misread("bad-window", message, "a quarter is `3 months`");
        }
        _ => {}
    }
    if name.starts_with('.') {
        let message = format!("the window {shown} is not a whole number of units");
        let hint = "use a smaller unit: `90s` instead of `1.5m`";
        return piece.misread("bad-window", message, hint);
    }
    if name.contains(|c: char| c.is_ascii_digit()) {
        let message = format!("the window {shown} is more than one number and one unit");
        let hint = "use the smaller unit alone: `90m` instead of `1h30m`";
        return piece.misread("bad-window", message, hint);
    }
    let names = Unit::ALL.map(Unit::name);
    let spellings = || UNITS.iter().map(|(spelling, _)| *spelling);
    let near = suggest::nearest(name, names).or_else(|| suggest::nearest(name, spellings()));
    let hint = match near {
        Some(spelling) => format!("did you mean `{spelling}`?"),
        None => suggest::one_of(&names),
    };
    piece.misread("bad-window", format!("{unit} is not a unit of time"), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_read_as_written() {
        for (text, amount, count, unit) in [
            ("1000/minute", 1_000, 1, Unit::Minute),
            ("100/10s", 100, 10, Unit::Second),
            ("2000/15m", 2_000, 15, Unit::Minute),
            ("30000/day", 30_000, 1, Unit::Day),
            ("5/month", 5, 1, Unit::Month),
            ("10_000/hour", 10_000, 1, Unit::Hour),
            (" 10_000 / hour ", 10_000, 1, Unit::Hour),
            ("1/ 15 minutes", 1, 15, Unit::Minute),
            ("1/2weeks", 1, 2, Unit::Week),
            ("1/3 mo", 1, 3, Unit::Month),
            ("1/1y", 1, 1, Unit::Year),
            ("0/s", 0, 1, Unit::Second),
            ("18446744073709551615/sec", u64::MAX, 1, Unit::Second),
            ("007/24hrs", 7, 24, Unit::Hour),
        ] {
            let window = Window::calendar(NonZeroU32::new(count).unwrap(), unit);
            assert_eq!(limit(text), Ok(Limit::new(amount, Counting::Fixed(window))), "{text}");
        }
    }

    #[test]
    fn every_spelling_of_every_unit_reads() {
        for (spelling, unit) in UNITS {
            let expected = Window::calendar(NonZeroU32::new(2).unwrap(), unit);
            assert_eq!(window(&format!("2{spelling}")), Ok(expected), "{spelling}");
            assert_eq!(window(&format!("2 {spelling}")), Ok(expected), "{spelling}");
        }
    }

    #[test]
    fn refusals_underline_the_part_and_say_what_to_type() {
        for (text, part, code, hint) in [
            ("1,000/minute", "1,000", "bad-amount", "write `1000` or `1_000`"),
            ("-5/minute", "-5", "bad-amount", "an amount is 0 or more"),
            ("0.5/second", "0.5", "bad-amount", "`30/minute`"),
            ("18446744073709551616/s", "18446744073709551616", "bad-amount", "largest"),
            ("10k/minute", "10k", "bad-amount", "write `10_000`"),
            ("2M/day", "2M", "bad-amount", "write `2_000_000`"),
            ("1__0/day", "1__0", "bad-amount", "in digits"),
            ("many/day", "many", "bad-amount", "in digits"),
            ("/day", "", "bad-amount", "`1000/minute`"),
            ("5/", "", "bad-window", "`1000/minute`"),
            ("5/0s", "0s", "bad-window", "`1s`"),
            ("5/100ms", "100ms", "bad-window", "`1s`"),
            ("5/minuets", "minuets", "bad-window", "did you mean `minute`?"),
            ("5/Minute", "Minute", "bad-window", "did you mean `minute`?"),
            ("5/1.5h", "1.5h", "bad-window", "smaller unit"),
            ("5/1h30m", "1h30m", "bad-window", "`90m`"),
            ("5/10", "10", "bad-window", "`10s`"),
            ("5/-10s", "-10s", "bad-window", "a second or longer"),
            ("5/quarter", "quarter", "bad-window", "`3 months`"),
            ("5/101y", "101y", "bad-window", "`100 years`"),
            ("5/99999999999s", "99999999999s", "bad-window", "`100 years`"),
            ("5/parsec", "parsec", "bad-window", "`second`"),
            ("1000", "1000", "bad-limit", "`1000/minute`"),
            ("1000 per minute", "1000 per minute", "bad-limit", "write `1000/minute`"),
            ("1000 requests per day", "1000 requests per day", "bad-limit", "write `1000/day`"),
            ("unlimited", "unlimited", "bad-limit", "write `unlimited: true` in place of"),
            ("3 concurrent", "3 concurrent", "bad-limit", "write `concurrent 3`"),
            ("100/hour rollling", "rollling", "bad-limit", "did you mean `rolling`?"),
            ("100/15 min sliding", "sliding", "bad-limit", "`fixed`, `rolling`, `bucket`"),
            (
                "10_000/day Europe/Berlin",
                "10_000/day Europe/Berlin",
                "bad-limit",
                "write `{ amount: 10000, window: day, timezone: Europe/Berlin }`",
            ),
            (
                "10000 / 2 days in Europe/Berlin",
                "10000 / 2 days in Europe/Berlin",
                "bad-limit",
                "write `{ amount: 10000, window: 2 days, timezone: Europe/Berlin }`",
            ),
            ("many", "many", "bad-limit", "`1000/minute`"),
            ("10rps", "10rps", "bad-limit", "write `10/second`"),
            ("10 rps", "10 rps", "bad-limit", "write `10/second`"),
            ("600 RPM", "600 RPM", "bad-limit", "write `600/minute`"),
            ("10 req/s", "10 req/s", "bad-limit", "write `10/s`"),
            ("10req/sec", "10req/sec", "bad-limit", "write `10/sec`"),
            ("10r/s", "10r/s", "bad-limit", "write `10/s`"),
            ("1_000 calls / 15 min", "1_000 calls / 15 min", "bad-limit", "write `1_000/15 min`"),
            ("10 every 5s", "10 every 5s", "bad-limit", "write `10/5s`"),
            ("10 times a day", "10 times a day", "bad-limit", "write `10/day`"),
            ("_rps", "_rps", "bad-limit", "`1000/minute`"),
            ("5/minute/user", "5/minute", "bad-limit", "AMOUNT/WINDOW"),
            ("concurrent", "concurrent", "bad-limit", "write `concurrent 10`"),
            ("concurrent10", "concurrent10", "bad-limit", "write `concurrent 10`"),
            ("concurrent ten", "ten", "bad-amount", "in digits"),
            ("concurrent 10/minute", "concurrent 10/minute", "bad-limit", "write `concurrent 10`"),
            ("10% more", "10% more", "bad-limit", "`80% of RULE`"),
            ("150 + 2 * / day", "*", "bad-formula", ""),
            ("1 - 2/day", "1 - 2", "bad-amount", "0 or more"),
            ("5/month rolling", "month", "bad-window", "`30 days`"),
            ("5/minuet rolling", "minuet", "bad-window", "did you mean `minute`?"),
        ] {
            let misread = limit(text).expect_err(text);
            assert_eq!(&text[misread.bytes.clone()], part, "{text}: {misread:?}");
            assert_eq!(misread.code, code, "{text}: {misread:?}");
            assert!(misread.hint.contains(hint), "{text}: {misread:?}");
        }
    }
}
