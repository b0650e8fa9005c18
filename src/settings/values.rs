//! What a single value may be: text in, a typed value or the problem with it out.
//!
//! Nothing here knows which setting it checks or where the text comes from.

use std::net::SocketAddr;
use std::time::Duration;

use http::HeaderName;

use super::StoreChoice;
use crate::policy::model::DescriptorHeaders;
use crate::socket::Address;

pub(super) fn address(text: &str) -> Result<Address, String> {
    Address::parse(text).map_err(|error| error.to_string())
}

/// Whether both addresses cannot be listened on at a time. Names are not looked up here: what they
/// hide shows when the addresses are bound.
pub(super) fn is_same_place(one: &Address, other: &Address) -> bool {
    let (Address::Tcp(one), Address::Tcp(other)) = (one, other) else {
        return one == other;
    };
    match (one.parse::<SocketAddr>(), other.parse::<SocketAddr>()) {
        (Ok(one), Ok(other)) => {
            let covers = |wide: SocketAddr, narrow: SocketAddr| {
                wide.ip().is_unspecified() && (wide.is_ipv6() || narrow.is_ipv4())
            };
            let is_same = one.ip() == other.ip() || covers(one, other) || covers(other, one);
            one.port() == other.port() && one.port() != 0 && is_same
        }
        _ => one == other && !one.ends_with(":0"),
    }
}

pub(super) fn store(text: &str) -> Result<StoreChoice, String> {
    match text {
        "memory" => Ok(StoreChoice::Memory),
        "durable" => Ok(StoreChoice::Durable),
        _ if text.starts_with("redis:") || text.starts_with("rediss:") => {
            Err("shared stores are not in this version; use `durable` or `memory`".to_owned())
        }
        _ => Err(format!("`{text}` is no store; use `durable` or `memory`")),
    }
}

/// `None` for what is chosen by the memory there is.
pub(super) fn max_counters(text: &str) -> Result<Option<usize>, String> {
    match text {
        "auto" => Ok(None),
        _ => whole(text, 1_000, 1_000_000_000).map(Some),
    }
}

pub(super) fn whole(text: &str, least: usize, most: usize) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("`{text}` is no whole number between {least} and {most}"))
}

pub(super) fn choice<T: Clone>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let found = choices.iter().find(|(name, _)| *name == text);
    found.map(|(_, value)| value.clone()).ok_or_else(|| {
        let names: Vec<String> = choices.iter().map(|(name, _)| format!("`{name}`")).collect();
        format!("`{text}` is not one of {}", names.join(", "))
    })
}

pub(super) fn switch(text: &str) -> Result<bool, String> {
    choice(text, &[("true", true), ("false", false)])
}

/// Headers that say how the message itself is to be read.
const OF_MESSAGES: [&str; 5] =
    ["connection", "content-length", "content-type", "host", "transfer-encoding"];

/// The name of a header that tells of limits.
pub(super) fn header(text: &str) -> Result<String, &'static str> {
    match HeaderName::from_bytes(text.as_bytes()) {
        Ok(name) if OF_MESSAGES.contains(&name.as_str()) => {
            Err("a header that says how the answer itself is to be read")
        }
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("no name of a header"),
    }
}

/// Whether two names are one header's, for which case does not count.
pub(super) fn is_twice(names: &[String]) -> bool {
    let is_before = |at: usize| names[..at].iter().any(|it| it.eq_ignore_ascii_case(&names[at]));
    (0..names.len()).any(is_before)
}

/// The names of three headers, as they are written: Envoy takes any case.
pub(super) fn headers(texts: &[String]) -> Result<Option<DescriptorHeaders>, String> {
    let name = |text: &String| {
        header(text).map_err(|problem| {
            format!("`{text}` is {problem}; use another name of letters, digits and `-`")
        })
    };
    match texts {
        [off] if off == "off" => Ok(None),
        [_, _, _] if is_twice(texts) => {
            Err(format!("`{}` names one header twice; write three names", texts.join(",")))
        }
        [limit, remaining, reset] => Ok(Some(DescriptorHeaders {
            limit: name(limit)?,
            remaining: name(remaining)?,
            reset: name(reset)?,
        })),
        _ => {
            let given = texts.join(",");
            Err(format!(
                "`{given}` is neither `off` nor names; write `off`, or three names as \
                         `limit,remaining,reset`"
            ))
        }
    }
}

pub(super) fn size(text: &str) -> Result<usize, String> {
    let (number, unit) = split_number(text);
    let factor = match unit {
        "" | "B" => Some(1),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        _ => None,
    };
    let bytes = number.zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
    let bytes = bytes.filter(|bytes| (1_024..=256 << 20).contains(bytes));
    bytes.and_then(|bytes| usize::try_from(bytes).ok()).ok_or_else(|| {
        format!("`{text}` is no size between 1KiB and 256MiB; write it like `1MiB` or `65536`")
    })
}

pub(super) fn span(text: &str) -> Result<Duration, String> {
    let (number, unit) = split_number(text);
    let factor = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        _ => None,
    };
    let millis = number.zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
    let millis = millis.filter(|millis| *millis <= 3_600_000);
    millis.map(Duration::from_millis).ok_or_else(|| {
        format!("`{text}` is no span of at most 60m; write it like `1500ms`, `5s` or `1m`")
    })
}

fn split_number(text: &str) -> (Option<u64>, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    (digits.parse().ok(), unit.trim())
}
