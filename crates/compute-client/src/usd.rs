//! Dollars, as whole millionths.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserializer, Error as _, Unexpected};
use serde::{Deserialize, Serialize, Serializer};

/// Digits behind the point.
const DIGITS: usize = 6;
/// Millionths in a dollar.
const SCALE: u64 = 1_000_000;

/// An amount of US dollars in whole millionths, never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Usd(u64);

/// A text is no amount: digits, at most six of them behind a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an amount is a number of dollars such as 5 or 0.125, with at most six digits behind the point"
)]
pub struct UsdError;

impl Usd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// From millionths of a dollar.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Millionths of a dollar.
    #[must_use]
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// The sum, or `None` beyond all bounds.
    #[must_use]
    pub const fn plus(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// What is left, at least nothing.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// What so many smallest units of a token of one dollar are worth, rounded up: a price is never taken
    /// for less than what is signed. `None` beyond all bounds.
    #[must_use]
    pub fn of_token(units: u128, decimals: u8) -> Option<Self> {
        let decimals = usize::from(decimals);
        let micros = if decimals >= DIGITS {
            let scale = 10_u128.checked_pow(u32::try_from(decimals - DIGITS).ok()?)?;
            units.div_ceil(scale)
        } else {
            let scale = 10_u128.checked_pow(u32::try_from(DIGITS - decimals).ok()?)?;
            units.checked_mul(scale)?
        };
        u64::try_from(micros).ok().map(Self)
    }
}

impl FromStr for Usd {
    type Err = UsdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|it| it.is_ascii_digit());
        if !is_number(whole) || !is_number(fraction) || fraction.len() > DIGITS {
            return Err(UsdError);
        }
        let whole: u64 = whole.parse().map_err(|_| UsdError)?;
        let fraction: u64 = format!("{fraction:0<DIGITS$}")
            .parse()
            .map_err(|_| UsdError)?;
        let micros = whole
            .checked_mul(SCALE)
            .and_then(|it| it.checked_add(fraction));
        micros.map(Self).ok_or(UsdError)
    }
}

impl fmt::Display for Usd {
    /// At least two digits behind the point.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = format!("{:06}", self.0 % SCALE);
        let digits = fraction.trim_end_matches('0').len().max(2);
        let fraction = fraction.get(..digits).unwrap_or(&fraction);
        write!(f, "{}.{fraction}", self.0 / SCALE)
    }
}

impl Serialize for Usd {
    /// As text: no reader may take it for a binary fraction.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Usd {
    /// From a text or a number; of a number its decimal digits count.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let text = match &value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Number(number) => number.to_string(),
            other => {
                let unexpected = Unexpected::Other(kind(other));
                return Err(D::Error::invalid_type(unexpected, &"an amount of dollars"));
            }
        };
        text.parse().map_err(D::Error::custom)
    }
}

const fn kind(value: &serde_json::Value) -> &'static str {
    match value {
        serde_json::Value::Null => "null",
        serde_json::Value::Bool(_) => "a truth value",
        serde_json::Value::Array(_) => "a list",
        serde_json::Value::Object(_) => "an object",
        serde_json::Value::String(_) | serde_json::Value::Number(_) => "an amount",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_are_amounts_or_nothing() {
        for (text, micros) in [
            ("0", 0),
            ("5", 5_000_000),
            ("0.125016", 125_016),
            ("12.0", 12_000_000),
            ("18446744073709.551615", u64::MAX),
        ] {
            assert_eq!(text.parse(), Ok(Usd(micros)), "{text}");
        }
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "1e3",
            "0.1234567",
            "1,5",
            "18446744073709.551616",
        ] {
            assert_eq!(text.parse::<Usd>(), Err(UsdError), "{text}");
        }
    }

    #[test]
    fn a_token_of_many_digits_is_rounded_up() {
        assert_eq!(Usd::of_token(178_584, 6), Some(Usd(178_584)));
        assert_eq!(Usd::of_token(1, 18), Some(Usd(1)));
        assert_eq!(Usd::of_token(1_000_000_000_000, 18), Some(Usd(1)));
        assert_eq!(Usd::of_token(1_000_000_000_001, 18), Some(Usd(2)));
        assert_eq!(Usd::of_token(5, 2), Some(Usd(50_000)));
        assert_eq!(Usd::of_token(u128::MAX, 6), None);
        assert_eq!(Usd::of_token(u128::MAX, 2), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(micros: u64) {
            let amount = Usd(micros);
            prop_assert_eq!(amount.to_string().parse(), Ok(amount));
            let json = serde_json::to_string(&amount).unwrap();
            prop_assert_eq!(serde_json::from_str::<Usd>(&json).unwrap(), amount);
        }

        /// The shop writes amounts as numbers of at most six digits behind the point.
        #[test]
        fn numbers_of_the_shop_are_exact(micros in 0_u64..1_000_000_000_000) {
            let amount = Usd(micros);
            let read: Usd = serde_json::from_str(&amount.to_string()).unwrap();
            prop_assert_eq!(read, amount);
        }
    }
}
