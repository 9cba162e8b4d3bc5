//! From dollars to a token's atomic units.

use compute_domain::money::{AssetAmount, Usd};

use crate::PricingError;

/// More decimals than any token we know; keeps every amount within 128 bits.
pub const MAX_DECIMALS: u8 = 24;

/// Decimals of our own unit, the micro-dollar.
const USD_DECIMALS: u8 = 6;

/// A dollar price in the atomic units of a dollar token with `decimals` decimals.
///
/// Exact for six decimals and more; rounded **up** to the next unit for fewer, so that a payment
/// never falls short of the price.
///
/// # Errors
/// `Decimals` above 24.
pub fn to_asset(price: Usd, decimals: u8) -> Result<AssetAmount, PricingError> {
    if decimals > MAX_DECIMALS {
        return Err(PricingError::Decimals);
    }
    let micros = u128::try_from(price.micros()).map_err(|_| PricingError::OutOfRange)?;
    let atomic = match decimals.checked_sub(USD_DECIMALS) {
        Some(more) => micros.checked_mul(10_u128.pow(u32::from(more))),
        None => Some(micros.div_ceil(10_u128.pow(u32::from(USD_DECIMALS - decimals)))),
    };
    let atomic = atomic.ok_or(PricingError::OutOfRange)?;
    Ok(AssetAmount { atomic, decimals })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn usd(text: &str) -> Usd {
        Usd::parse(text).unwrap()
    }

    #[test]
    fn usdc_and_usdm_have_their_own_decimals() {
        assert_eq!(to_asset(usd("0.216"), 6).unwrap().atomic, 216_000);
        assert_eq!(
            to_asset(usd("90"), 18).unwrap().atomic,
            90_000_000_000_000_000_000
        );
        assert_eq!(
            to_asset(usd("1000000000"), 24).map(|amount| amount.decimals),
            Ok(24)
        );
        assert_eq!(to_asset(usd("1"), 25), Err(PricingError::Decimals));
    }

    #[test]
    fn fewer_decimals_round_up() {
        assert_eq!(to_asset(usd("0.000001"), 2).unwrap().atomic, 1);
        assert_eq!(to_asset(usd("1.23"), 2).unwrap().atomic, 123);
        assert_eq!(to_asset(usd("1.230001"), 2).unwrap().atomic, 124);
    }

    proptest! {
        /// Converted back, the token amount is at least the price, and less than one unit above.
        #[test]
        fn a_token_amount_never_undercharges(micros in 0..=1_000_000_000_000_i64, decimals in 0..=24_u8) {
            let price = Usd::from_micros(micros).unwrap();
            let atomic = to_asset(price, decimals).unwrap().atomic;
            let (scale_up, scale_down) = (
                10_u128.pow(u32::from(decimals.saturating_sub(6))),
                10_u128.pow(u32::from(6_u8.saturating_sub(decimals))),
            );
            let price = u128::try_from(price.micros()).unwrap() * scale_up;
            prop_assert!(atomic * scale_down >= price);
            prop_assert!(atomic == 0 || (atomic - 1) * scale_down < price);
        }
    }
}
