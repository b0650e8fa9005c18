//! What the values of one side are on the other: hits, limits, codes, units, times.
//!
//! Each rule is here once, and serves the generated messages and the hot path alike.

use std::num::NonZeroU32;

use crate::decide::{Binding, Code, Status};
use crate::limit::{Alignment, Hits, Kind, Limit, Unit, Window};
use crate::pb::descriptor::rate_limit_descriptor::RateLimitOverride;
use crate::pb::rls::rate_limit_response as wire;
use crate::time::Span;
use wire::rate_limit::Unit as WireUnit;

/// A descriptor's own hits, 0 included, win over the call's, of which 0 means not set.
pub(super) fn hits_of(own: Option<u64>, is_negative: bool, of_call: u32) -> Hits {
    let hits = own.unwrap_or(u64::from(of_call.max(1)));
    match is_negative {
        false => Hits::Take(hits),
        true => Hits::GiveBack(hits),
    }
}

/// The limit that a caller brings along; one without a unit that we know is as good as none.
pub(super) fn limit_of(brought: &RateLimitOverride) -> Option<Limit> {
    // The same numbers as those of answers, which know of weeks too.
    let unit = match WireUnit::try_from(brought.unit).ok()? {
        WireUnit::Unknown => return None,
        WireUnit::Second => Unit::Second,
        WireUnit::Minute => Unit::Minute,
        WireUnit::Hour => Unit::Hour,
        WireUnit::Day => Unit::Day,
        WireUnit::Week => Unit::Week,
        WireUnit::Month => Unit::Month,
        WireUnit::Year => Unit::Year,
    };
    let count = NonZeroU32::new(brought.unit_multiplier.unwrap_or(1)).unwrap_or(NonZeroU32::MIN);
    let window = Window { count, unit, alignment: Alignment::Epoch };
    Some(Limit::new(u64::from(brought.requests_per_unit), Kind::Fixed(window)))
}

pub(super) fn code_of(code: Code) -> wire::Code {
    match code {
        Code::Ok => wire::Code::Ok,
        Code::OverLimit => wire::Code::OverLimit,
    }
}

/// What is left for a descriptor; all there can be where nothing limits it.
pub(super) fn remaining_of(status: &Status, binding: Option<&Binding<'_>>) -> u32 {
    let unlimited = if status.is_unlimited { u32::MAX } else { 0 };
    binding.map_or(unlimited, |binding| saturated(binding.remaining))
}

/// The unit of a limit, and of how many it is where that is not one.
pub(super) fn unit_of(limit: &Limit) -> (WireUnit, Option<u32>) {
    let window = limit.window();
    let unit = match window.map(|window| window.unit) {
        None => WireUnit::Unknown,
        Some(Unit::Second) => WireUnit::Second,
        Some(Unit::Minute) => WireUnit::Minute,
        Some(Unit::Hour) => WireUnit::Hour,
        Some(Unit::Day) => WireUnit::Day,
        Some(Unit::Week) => WireUnit::Week,
        Some(Unit::Month) => WireUnit::Month,
        Some(Unit::Year) => WireUnit::Year,
    };
    (unit, window.map(|window| window.count.get()).filter(|count| *count != 1))
}

/// The name of a limit; none has one that the caller brought along.
pub(super) fn name_of<'s>(binding: &Binding<'s>) -> &'s str {
    binding.rule.map_or("", |rule| &rule.wire_name)
}

pub(super) fn duration_of(span: Span) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(span.seconds_floor()).unwrap_or(i64::MAX),
        nanos: span.subsecond_nanos().cast_signed(),
    }
}

pub(super) fn saturated(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptors_own_hits_win_and_zero_means_look() {
        for (own, is_negative, of_call, hits) in [
            (None, false, 0, Hits::Take(1)),
            (None, false, 7, Hits::Take(7)),
            (Some(0), false, 7, Hits::Take(0)),
            (Some(u64::MAX), false, 7, Hits::Take(u64::MAX)),
            (Some(3), true, 7, Hits::GiveBack(3)),
            (None, true, 0, Hits::GiveBack(1)),
        ] {
            assert_eq!(hits_of(own, is_negative, of_call), hits);
        }
    }

    #[test]
    fn a_brought_limit_counts_a_multiplier_of_zero_as_one_and_needs_a_known_unit() {
        let brought = |unit, unit_multiplier| RateLimitOverride {
            requests_per_unit: 5,
            unit,
            unit_multiplier,
        };
        let count = |limit: Limit| limit.window().map(|it| (it.count.get(), it.unit));
        assert_eq!(limit_of(&brought(2, None)).and_then(count), Some((1, Unit::Minute)));
        assert_eq!(limit_of(&brought(1, Some(0))).and_then(count), Some((1, Unit::Second)));
        assert_eq!(limit_of(&brought(3, Some(6))).and_then(count), Some((6, Unit::Hour)));
        assert_eq!(limit_of(&brought(0, None)), None);
        assert_eq!(limit_of(&brought(5, None)).and_then(count), Some((1, Unit::Month)));
        assert_eq!(limit_of(&brought(7, None)).and_then(count), Some((1, Unit::Week)));
        assert_eq!(limit_of(&brought(8, None)), None);
        assert_eq!(limit_of(&brought(-1, None)), None);
    }
}
