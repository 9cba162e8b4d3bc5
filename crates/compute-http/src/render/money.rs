//! Dollars as JSON numbers, written from exact decimal text.

use compute_domain::money::Usd;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// An amount as a JSON number with two to six decimals and no exponent: clients parse its text with
/// a decimal grammar (compute-api.md 6.1).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dollars(pub(crate) Usd);

impl Serialize for Dollars {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.0.to_string();
        RawValue::from_string(text)
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_plain_decimal_numbers() {
        let text =
            |micros| serde_json::to_string(&Dollars(Usd::from_micros(micros).unwrap())).unwrap();
        assert_eq!(text(1), "0.000001");
        assert_eq!(text(9_000), "0.009");
        assert_eq!(text(1_500_000), "1.50");
        assert_eq!(text(0), "0.00");
    }

    proptest! {
        // The number on the wire names the same amount.
        #[test]
        fn numbers_are_exact(micros in 0_i64..=1_000_000_000_000_000) {
            let amount = Usd::from_micros(micros).unwrap();
            let text = serde_json::to_string(&Dollars(amount)).unwrap();
            prop_assert_eq!(Usd::parse(&text), Ok(amount));
        }
    }
}
