//! Buying from a shop whose answers the test writes.

#![expect(
    clippy::unwrap_used,
    reason = "a helper that cannot do its part fails the test"
)]

mod buying;
mod chains;
mod lost;
mod stub;
