//! Money as integers: micro-dollars, hourly rates, prepaid hours, token amounts.

use core::fmt;

use serde::{Deserialize, Serialize};

/// Micro-dollars in one dollar.
pub const MICROS_PER_USD: i64 = 1_000_000;

/// The most that one amount may be: one billion dollars.
const USD_MICROS_MAX: i64 = 1_000_000_000_000_000;

/// An amount is malformed, out of range, or does not fit after arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Below zero, or above one billion dollars.
    #[error("amount out of range")]
    OutOfRange,
    /// Not a plain decimal number with at most six decimals.
    #[error("not a decimal amount with at most six decimals")]
    Malformed,
    /// Prepaid hours must be 24 to 4320.
    #[error("hours must be a whole number from 24 to 4320")]
    Hours,
}

/// An amount of money in micro-dollars, from 0 to one billion dollars.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "i64", into = "i64")]
pub struct Usd(i64);

impl Usd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The largest amount: one billion dollars.
    pub const MAX: Self = Self(USD_MICROS_MAX);

    /// An amount from micro-dollars.
    ///
    /// # Errors
    /// `OutOfRange` below zero or above one billion dollars.
    pub const fn from_micros(micros: i64) -> Result<Self, MoneyError> {
        if micros < 0 || micros > USD_MICROS_MAX {
            return Err(MoneyError::OutOfRange);
        }
        Ok(Self(micros))
    }

    /// An amount from a 128-bit intermediate result.
    ///
    /// # Errors
    /// `OutOfRange` when it is no amount of money.
    pub fn from_wide(micros: i128) -> Result<Self, MoneyError> {
        i64::try_from(micros)
            .map_err(|_| MoneyError::OutOfRange)
            .and_then(Self::from_micros)
    }

    /// Reads `12`, `12.3` or `12.345678`: no sign, no exponent, no blanks.
    ///
    /// # Errors
    /// `Malformed` for anything else, `OutOfRange` above one billion dollars.
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let has_dot = text.contains('.');
        if whole.is_empty()
            || whole.len() > 10
            || fraction.len() > 6
            || (has_dot && fraction.is_empty())
            || !digits(whole)
            || !digits(fraction)
        {
            return Err(MoneyError::Malformed);
        }
        let padded = format!("{whole}{fraction:0<6}");
        padded
            .parse::<i64>()
            .map_err(|_| MoneyError::Malformed)
            .and_then(Self::from_micros)
    }

    /// Micro-dollars.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The sum.
    ///
    /// # Errors
    /// `OutOfRange` when it exceeds one billion dollars.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.0
            .checked_add(other.0)
            .ok_or(MoneyError::OutOfRange)
            .and_then(Self::from_micros)
    }

    /// The difference.
    ///
    /// # Errors
    /// `OutOfRange` when `other` is larger.
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.0
            .checked_sub(other.0)
            .ok_or(MoneyError::OutOfRange)
            .and_then(Self::from_micros)
    }
}

impl TryFrom<i64> for Usd {
    type Error = MoneyError;
    fn try_from(micros: i64) -> Result<Self, MoneyError> {
        Self::from_micros(micros)
    }
}

impl From<Usd> for i64 {
    fn from(amount: Usd) -> Self {
        amount.0
    }
}

/// Dollars with at least two and at most six decimals: `12.50`, `0.000001`.
impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / MICROS_PER_USD, self.0 % MICROS_PER_USD);
        let text = format!("{fraction:06}");
        let kept = text.trim_end_matches('0');
        write!(f, "{whole}.{kept:0<2}")
    }
}

/// A price per hour, above zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Usd", into = "Usd")]
pub struct HourlyRate(Usd);

impl HourlyRate {
    /// A rate from an amount.
    ///
    /// # Errors
    /// `OutOfRange` for zero: nothing is sold for nothing.
    pub const fn new(amount: Usd) -> Result<Self, MoneyError> {
        if amount.0 == 0 {
            return Err(MoneyError::OutOfRange);
        }
        Ok(Self(amount))
    }

    /// A rate from micro-dollars an hour.
    ///
    /// # Errors
    /// `OutOfRange` for zero, a negative value, or more than a billion dollars.
    pub fn from_micros(micros: i64) -> Result<Self, MoneyError> {
        Usd::from_micros(micros).and_then(Self::new)
    }

    /// The amount for one hour.
    pub const fn usd(self) -> Usd {
        self.0
    }

    /// Micro-dollars an hour.
    pub const fn micros(self) -> i64 {
        self.0.0
    }
}

impl TryFrom<Usd> for HourlyRate {
    type Error = MoneyError;
    fn try_from(amount: Usd) -> Result<Self, MoneyError> {
        Self::new(amount)
    }
}

impl From<HourlyRate> for Usd {
    fn from(rate: HourlyRate) -> Self {
        rate.0
    }
}

/// Prepaid hours: 24 to 4320 (decisions: one day to six months).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Hours(u32);

impl Hours {
    /// The fewest hours that can be bought.
    pub const MIN: u32 = 24;
    /// The most hours that can be bought at once.
    pub const MAX: u32 = 4_320;
    /// What a provision request without `prepaid_hours` buys.
    pub const PROVISION_DEFAULT: Self = Self(720);
    /// What an extend request without `extend_hours` buys.
    pub const EXTEND_DEFAULT: Self = Self(Self::MIN);

    /// Prepaid hours.
    ///
    /// # Errors
    /// `Hours` outside 24 to 4320.
    pub const fn new(hours: u32) -> Result<Self, MoneyError> {
        if hours < Self::MIN || hours > Self::MAX {
            return Err(MoneyError::Hours);
        }
        Ok(Self(hours))
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Hours {
    type Error = MoneyError;
    fn try_from(hours: u32) -> Result<Self, MoneyError> {
        Self::new(hours)
    }
}

impl From<Hours> for u32 {
    fn from(hours: Hours) -> Self {
        hours.0
    }
}

/// A token amount in the token's own smallest unit, with the token's decimals (USDC 6, USDm 18).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AssetAmount {
    /// Atomic units.
    pub atomic: u128,
    /// Decimals of the token.
    pub decimals: u8,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hours_keep_their_number() {
        let hours = Hours::new(24).unwrap();
        assert_eq!((hours.get(), u32::from(hours)), (24, 24));
    }

    #[test]
    fn amounts_and_rates_keep_their_number() {
        let amount = Usd::try_from(7_441).unwrap();
        assert_eq!((amount.micros(), i64::from(amount)), (7_441, 7_441));
        assert!(Usd::try_from(-1).is_err());
        assert!(Usd::from_micros(USD_MICROS_MAX).is_ok());
        assert!(Usd::from_micros(USD_MICROS_MAX + 1).is_err());
        let rate = HourlyRate::try_from(amount).unwrap();
        assert_eq!(Usd::from(rate), amount);
    }

    #[test]
    fn plain_decimals_parse() {
        for (text, micros) in [
            ("0", 0),
            ("12", 12_000_000),
            ("12.5", 12_500_000),
            ("0.000001", 1),
        ] {
            assert_eq!(Usd::parse(text).map(Usd::micros), Ok(micros), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "-1",
            "+1",
            "1e3",
            ".5",
            "5.",
            "1.0000001",
            " 1",
            "1,5",
            "0x10",
            "١",
        ] {
            assert_eq!(Usd::parse(text), Err(MoneyError::Malformed), "{text}");
        }
        assert_eq!(Usd::parse("1000000001"), Err(MoneyError::OutOfRange));
    }

    #[test]
    fn hours_have_bounds() {
        for refused in [0, 23, 4_321, u32::MAX] {
            assert_eq!(Hours::new(refused), Err(MoneyError::Hours));
        }
        assert!(Hours::new(24).is_ok() && Hours::new(4_320).is_ok());
    }

    proptest! {
        /// What is printed reads back as the same amount.
        #[test]
        fn printing_and_parsing_agree(micros in 0..=USD_MICROS_MAX) {
            let amount = Usd::from_micros(micros).unwrap();
            prop_assert_eq!(Usd::parse(&amount.to_string()), Ok(amount));
        }

        /// Subtracting what was added gives the first amount back.
        #[test]
        fn addition_can_be_undone(a in 0..=USD_MICROS_MAX / 2, b in 0..=USD_MICROS_MAX / 2) {
            let (a, b) = (Usd::from_micros(a).unwrap(), Usd::from_micros(b).unwrap());
            prop_assert_eq!(a.checked_add(b).unwrap().checked_sub(b), Ok(a));
        }
    }
}
