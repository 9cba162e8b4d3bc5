//! Amounts of a token in its smallest unit.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An amount in the smallest unit of its token; on the wire a decimal string.
///
/// 128 bits, because tokens with 18 decimals pass 64 bits at 19 units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(u128);

/// The text is no canonical decimal number below 2^128.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an amount must be a decimal number of atomic units without leading zeros")]
pub struct AmountError;

impl Amount {
    /// Wraps a number of atomic units.
    #[must_use]
    pub const fn new(atomic: u128) -> Self {
        Self(atomic)
    }

    /// The number of atomic units.
    #[must_use]
    pub const fn get(self) -> u128 {
        self.0
    }

    /// Reads the canonical form: ASCII digits, no sign, no leading zero.
    ///
    /// # Errors
    /// When the text has another form or does not fit 128 bits.
    pub fn parse(text: &str) -> Result<Self, AmountError> {
        let is_canonical = !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && (text.len() == 1 || !text.starts_with('0'));
        if !is_canonical {
            return Err(AmountError);
        }
        text.parse().map(Self).map_err(|_| AmountError)
    }
}

impl From<u128> for Amount {
    fn from(atomic: u128) -> Self {
        Self(atomic)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_canonical_form_is_read() {
        for text in [
            "", "00", "01", "-1", "+1", " 1", "1e6", "1.0", "0x1", "1_0", "١",
        ] {
            assert_eq!(Amount::parse(text), Err(AmountError), "{text:?}");
        }
        assert_eq!(Amount::parse("0"), Ok(Amount::new(0)));
        assert_eq!(
            Amount::parse(&u128::MAX.to_string()),
            Ok(Amount::new(u128::MAX))
        );
        assert_eq!(
            Amount::parse("340282366920938463463374607431768211456"),
            Err(AmountError)
        );
    }

    proptest! {
        // What is written to JSON is a string and reads back as the same amount.
        #[test]
        fn json_round_trips(atomic: u128) {
            let json = serde_json::to_string(&Amount::new(atomic)).unwrap();
            prop_assert_eq!(&json, &format!("\"{atomic}\""));
            prop_assert_eq!(serde_json::from_str::<Amount>(&json).unwrap(), Amount::new(atomic));
        }
    }
}
