//! Spans of time as JSON numbers, written from exact decimal text.

use compute_domain::time::Span;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// Time that is left, as a JSON number of hours with six decimals, rounded down; never below zero.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HoursLeft(pub(crate) Span);

impl Serialize for HoursLeft {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let micros = i128::from(self.0.millis().max(0)) * 1_000_000 / 3_600_000;
        let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
        RawValue::from_string(text)
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_plain_decimal_numbers() {
        let text = |millis| serde_json::to_string(&HoursLeft(Span::from_millis(millis))).unwrap();
        assert_eq!(text(72 * 3_600_000), "72.000000");
        assert_eq!(text(64_800_001), "18.000000");
        assert_eq!(text(1_800_000), "0.500000");
        assert_eq!(text(1), "0.000000");
        assert_eq!(text(-5), "0.000000");
        assert_eq!(text(i64::MAX).len(), "2562047788015.215501".len());
    }
}
