//! Members that several bodies have. Money is read as the decimal text it was written in.

use std::borrow::Cow;

use compute_domain::money::{Hours, Usd};
use compute_domain::payment::RailLabel;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::error::ApiError;

/// How a body says that its purchase is to be paid.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Paying {
    pub(crate) use_credits: bool,
    pub(crate) max_total: Option<Usd>,
}

impl Paying {
    pub(crate) fn parse(
        use_credits: Option<bool>,
        max_total_usd: Option<&RawValue>,
    ) -> Result<Self, ApiError> {
        let max_total = max_total_usd.map(|raw| dollars_or_text("max_total_usd", raw));
        Ok(Self {
            use_credits: use_credits.unwrap_or(false),
            max_total: max_total.transpose()?,
        })
    }
}

/// A member that guards spending: it may be absent, but not `null`, which is how some clients write a
/// number that went wrong.
pub(crate) fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// A JSON number of dollars, as it stands there: no exponent, at most six decimals.
pub(crate) fn dollars(field: &'static str, raw: &RawValue) -> Result<Usd, ApiError> {
    Usd::parse(raw.get()).map_err(|_| {
        let rule = format!("{field} is a number of dollars with at most six decimals");
        ApiError::field(field, rule)
    })
}

/// The same, or as a decimal text, as our own answers write amounts.
pub(crate) fn dollars_or_text(field: &'static str, raw: &RawValue) -> Result<Usd, ApiError> {
    let text: Cow<'_, str> = if raw.get().starts_with('"') {
        serde_json::from_str(raw.get()).unwrap_or_default()
    } else {
        raw.get().into()
    };
    Usd::parse(&text).map_err(|_| {
        let rule = format!("{field} is a number or a text of dollars with at most six decimals");
        ApiError::field(field, rule)
    })
}

/// Prepaid hours, in their bounds.
pub(crate) fn hours(
    field: &'static str,
    raw: Option<u64>,
    default: Hours,
) -> Result<Hours, ApiError> {
    let Some(number) = raw else {
        return Ok(default);
    };
    let hours = u32::try_from(number)
        .ok()
        .and_then(|number| Hours::new(number).ok());
    hours.ok_or_else(|| {
        let (least, most) = (Hours::MIN, Hours::MAX);
        let rule = format!("{field} is a whole number from {least} to {most}");
        ApiError::field(field, rule)
    })
}

/// The rail to pay over.
pub(crate) fn network(raw: Option<&str>, default: &RailLabel) -> Result<RailLabel, ApiError> {
    let Some(text) = raw else {
        return Ok(default.clone());
    };
    RailLabel::parse(text).map_err(|_| {
        let rule = "there is no such network";
        ApiError::unsupported("unknown_network", "network", rule)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn dollars_are_read_exactly_as_they_stand_there() {
        for (text, micros) in [
            ("0", 0),
            ("50", 50_000_000),
            ("0.1", 100_000),
            ("1.000001", 1_000_001),
            ("1000000000", 1_000_000_000_000_000),
        ] {
            assert_eq!(dollars("amount", &raw(text)).unwrap().micros(), micros);
            let quoted = raw(&format!("\"{text}\""));
            assert!(dollars("amount", &quoted).is_err(), "{text}");
            assert_eq!(dollars_or_text("amount", &quoted).unwrap().micros(), micros);
        }
    }

    #[test]
    fn other_spellings_of_money_are_refused() {
        for text in [
            "-1",
            "-0",
            "1e3",
            "1E3",
            "1e-3",
            "1.0000001",
            "1.0000000",
            "1000000000.000001",
            "99999999999",
            "true",
            "[]",
            "{}",
            "null",
            "\"\"",
            "\"-1\"",
            "\"1e3\"",
            "\" 1\"",
            "\"1,5\"",
            "\".5\"",
            "\"5.\"",
            "\"NaN\"",
            "\"0x10\"",
            "\"+1\"",
            "\"١\"",
        ] {
            let refused = dollars_or_text("amount", &raw(text)).unwrap_err();
            assert!(
                matches!(
                    refused,
                    ApiError::Shape {
                        field: Some("amount"),
                        ..
                    }
                ),
                "{text}"
            );
            assert!(dollars("amount", &raw(text)).is_err(), "{text}");
        }
    }

    proptest! {
        // A number that is read is the number that was written.
        #[test]
        fn numbers_are_exact(micros in 0_i64..=1_000_000_000_000_000) {
            let amount = Usd::from_micros(micros).unwrap();
            prop_assert_eq!(dollars("amount", &raw(&amount.to_string())).unwrap(), amount);
        }
    }
}
