//! Settles payments of the method `stripe`: card payments with tokens that their buyers granted.
//!
//! [`StripeRail`] implements the engine's `Rail` port. One challenge is one idempotency key at Stripe,
//! so that repeats take the money once, and nothing settles but a PaymentIntent that succeeded with
//! the amount, the currency and the challenge id that were asked for.

mod api;
mod books;
mod config;
mod intent;
mod lookup;
mod rail;
mod settle;
mod webhook;

pub use api::StripeError;
pub use config::{StripeConfig, StripeConfigError, StripeTimeouts};
pub use rail::StripeRail;
