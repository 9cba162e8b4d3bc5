//! What a machine costs and what that is in a token's atomic units.
//!
//! Integers only, total functions, and every rounding has a named direction: prices round up.

mod asset;
mod decimal;
mod rate;

pub use asset::{MAX_DECIMALS, to_asset};
pub use decimal::{cost_basis, parse_micros};
pub use rate::{Markup, daily, monthly, price, sell_rate};

/// A price does not fit, or a parameter is out of bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PricingError {
    /// The result exceeds what an amount may be.
    #[error("the price is out of range")]
    OutOfRange,
    /// A markup is 0 to 100000 basis points.
    #[error("a markup is 0 to 100000 basis points")]
    Markup,
    /// A token has at most 24 decimals here.
    #[error("a token has at most 24 decimals")]
    Decimals,
}
