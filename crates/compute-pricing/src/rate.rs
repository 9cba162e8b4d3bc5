//! From a provider's cost to the customer's price.

use compute_domain::money::{HourlyRate, Hours, Usd};

use crate::PricingError;

/// Basis points in the whole.
const BASIS: i128 = 10_000;

/// Our margin on the provider's cost, in basis points (1 bp = 0.01 %), at most tenfold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Markup(u32);

impl Markup {
    /// The largest markup: 100000 basis points.
    pub const MAX_BPS: u32 = 100_000;

    /// A markup from basis points.
    ///
    /// # Errors
    /// `Markup` above 100000.
    pub const fn from_bps(bps: u32) -> Result<Self, PricingError> {
        if bps > Self::MAX_BPS {
            return Err(PricingError::Markup);
        }
        Ok(Self(bps))
    }

    /// Basis points.
    pub const fn bps(self) -> u32 {
        self.0
    }
}

/// What the customer pays an hour: cost plus markup, rounded up to the micro-dollar, so that a
/// markup never turns into a loss.
///
/// # Errors
/// `OutOfRange` when the rate exceeds what an amount may be.
pub fn sell_rate(cost: HourlyRate, markup: Markup) -> Result<HourlyRate, PricingError> {
    let scaled = i128::from(cost.micros()) * (BASIS + i128::from(markup.0));
    let rounded_up = (scaled + BASIS - 1) / BASIS;
    Usd::from_wide(rounded_up)
        .and_then(HourlyRate::new)
        .map_err(|_| PricingError::OutOfRange)
}

/// The price of prepaid hours: exact, nothing to round.
///
/// # Errors
/// `OutOfRange` when the price exceeds what an amount may be.
pub fn price(rate: HourlyRate, hours: Hours) -> Result<Usd, PricingError> {
    times(rate, hours.get())
}

/// The price of one day: 24 times the hourly rate, exactly (decisions.md 14).
///
/// # Errors
/// `OutOfRange` when it exceeds what an amount may be.
pub fn daily(rate: HourlyRate) -> Result<Usd, PricingError> {
    times(rate, 24)
}

/// The price of a month of 720 hours, the length that published clients buy.
///
/// # Errors
/// `OutOfRange` when it exceeds what an amount may be.
pub fn monthly(rate: HourlyRate) -> Result<Usd, PricingError> {
    times(rate, 720)
}

fn times(rate: HourlyRate, hours: u32) -> Result<Usd, PricingError> {
    Usd::from_wide(i128::from(rate.micros()) * i128::from(hours))
        .map_err(|_| PricingError::OutOfRange)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(micros: i64) -> HourlyRate {
        HourlyRate::from_micros(micros).unwrap()
    }

    #[test]
    fn markup_rounds_up() {
        let one_percent = Markup::from_bps(100).unwrap();
        assert_eq!(sell_rate(rate(7_000), one_percent), Ok(rate(7_070)));
        assert_eq!(sell_rate(rate(1), one_percent), Ok(rate(2)));
        assert_eq!(sell_rate(rate(7_441), Markup::default()), Ok(rate(7_441)));
    }

    #[test]
    fn a_day_has_24_hours_and_a_month_720() {
        assert_eq!(daily(rate(7_070)), Ok(Usd::from_micros(169_680).unwrap()));
        let month = Usd::from_micros(5_090_400).unwrap();
        assert_eq!(monthly(rate(7_070)), Ok(month));
    }

    #[test]
    fn a_markup_keeps_its_number_up_to_the_largest() {
        for bps in [0, 1, 250, Markup::MAX_BPS] {
            assert_eq!(Markup::from_bps(bps).map(Markup::bps), Ok(bps));
        }
    }

    #[test]
    fn the_largest_values_are_refused_not_wrapped() {
        let huge = rate(1_000_000_000_000_000);
        assert_eq!(
            sell_rate(huge, Markup::from_bps(1).unwrap()),
            Err(PricingError::OutOfRange)
        );
        assert_eq!(
            price(huge, Hours::new(24).unwrap()),
            Err(PricingError::OutOfRange)
        );
        assert_eq!(Markup::from_bps(100_001), Err(PricingError::Markup));
    }

    proptest! {
        /// The customer never pays less than the machine costs us, and never a micro-dollar more
        /// than the exact markup needs.
        #[test]
        fn a_sale_covers_its_cost(cost in 1..=1_000_000_000_i64, bps in 0..=Markup::MAX_BPS) {
            let sold = sell_rate(rate(cost), Markup::from_bps(bps).unwrap()).unwrap().micros();
            let exact = i128::from(cost) * i128::from(10_000 + bps);
            prop_assert!(i128::from(sold) * 10_000 >= exact);
            prop_assert!((i128::from(sold) - 1) * 10_000 < exact);
        }

        /// More hours never cost less, and hours bought apart cost the same as together.
        #[test]
        fn price_is_linear(micros in 1..=100_000_000_i64, a in 24..=2_000_u32, b in 24..=2_000_u32) {
            let of = |hours| price(rate(micros), Hours::new(hours).unwrap()).unwrap();
            prop_assert_eq!(of(a).checked_add(of(b)).unwrap(), of(a + b));
        }
    }
}
