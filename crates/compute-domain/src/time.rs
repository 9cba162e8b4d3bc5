//! Moments, durations, and the two ambient things pure code must be given: time and randomness.

use core::fmt;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A moment: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

/// A length of time in milliseconds, never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(i64);

/// The text is no moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a time is written as in RFC 3339, for example 2026-03-17T00:00:00Z")]
pub struct InvalidTimestamp;

/// Where the present moment comes from.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// Where random bytes come from. Implementations must be fit for secrets.
pub trait Entropy: Send + Sync + fmt::Debug {
    /// Fills `bytes` with random data.
    fn fill(&self, bytes: &mut [u8]);
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// A span of milliseconds; negative values become zero.
    pub const fn from_millis(millis: i64) -> Self {
        Self(if millis < 0 { 0 } else { millis })
    }

    /// A span of seconds.
    pub const fn from_secs(secs: u32) -> Self {
        // `u32::MAX` seconds in milliseconds fits an i64 with room to spare.
        #[expect(clippy::as_conversions, reason = "widening in a const fn")]
        Self(secs as i64 * 1_000)
    }

    /// A span of whole hours.
    pub const fn from_hours(hours: u32) -> Self {
        #[expect(clippy::as_conversions, reason = "widening in a const fn")]
        Self(hours as i64 * 3_600_000)
    }

    /// Milliseconds.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Twice as long, at most `cap`.
    pub fn doubled(self, cap: Self) -> Self {
        Self(self.0.saturating_mul(2)).min(cap)
    }
}

impl Timestamp {
    /// A moment from milliseconds since 1970.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// A moment from whole seconds since 1970, saturating at the end of time.
    pub fn from_secs(secs: u64) -> Self {
        Self(
            i64::try_from(secs)
                .unwrap_or(i64::MAX)
                .saturating_mul(1_000),
        )
    }

    /// Milliseconds since 1970.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970, rounded down; zero before 1970.
    pub fn secs(self) -> u64 {
        u64::try_from(self.0.div_euclid(1_000)).unwrap_or(0)
    }

    /// This moment plus a span, saturating.
    #[must_use]
    pub const fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// This moment minus a span, saturating.
    #[must_use]
    pub const fn minus(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }

    /// The time from `earlier` to this moment; zero when `earlier` is later.
    pub const fn since(self, earlier: Self) -> Span {
        Span::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// RFC 3339 in UTC with seconds, for example `2026-03-17T00:00:00Z`.
    pub fn rfc3339(self) -> String {
        OffsetDateTime::from_unix_timestamp(self.0.div_euclid(1_000))
            .ok()
            .and_then(|moment| moment.format(&Rfc3339).ok())
            .unwrap_or_else(|| "9999-12-31T23:59:59Z".to_owned())
    }

    /// Reads RFC 3339 with any offset; what is finer than a millisecond is dropped.
    ///
    /// # Errors
    /// `InvalidTimestamp` for anything else.
    pub fn parse(text: &str) -> Result<Self, InvalidTimestamp> {
        let moment = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| InvalidTimestamp)?;
        let millis = moment.unix_timestamp_nanos().div_euclid(1_000_000);
        i64::try_from(millis)
            .map(Self)
            .map_err(|_| InvalidTimestamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_has_whole_seconds() {
        assert_eq!(
            Timestamp::from_millis(1_767_225_600_999).rfc3339(),
            "2026-01-01T00:00:00Z"
        );
        assert_eq!(
            Timestamp::from_millis(i64::MAX).rfc3339(),
            "9999-12-31T23:59:59Z"
        );
    }

    #[test]
    fn rfc3339_is_read_with_any_offset() {
        for (text, millis) in [
            ("2026-01-01T00:00:00Z", 1_767_225_600_000),
            ("2026-01-01T01:30:00.999999+01:30", 1_767_225_600_999),
            ("1969-12-31T23:59:59.5Z", -500),
        ] {
            assert_eq!(
                Timestamp::parse(text),
                Ok(Timestamp::from_millis(millis)),
                "{text}"
            );
        }
        for junk in [
            "",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "1767225600",
            "2026-13-01T00:00:00Z",
        ] {
            assert_eq!(Timestamp::parse(junk), Err(InvalidTimestamp), "{junk}");
        }
    }

    #[test]
    fn spans_never_go_below_zero() {
        let (early, late) = (Timestamp::from_millis(5), Timestamp::from_millis(9));
        assert_eq!(early.since(late), Span::ZERO);
        assert_eq!(late.since(early).millis(), 4);
    }

    #[test]
    fn doubling_stops_at_the_cap() {
        let cap = Span::from_secs(60);
        assert_eq!(Span::from_secs(40).doubled(cap), cap);
        assert_eq!(Span::from_secs(2).doubled(cap), Span::from_secs(4));
    }
}
