//! The service, over HTTP requests.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot do its part fails the test"
)]

mod asking;
mod double;
mod gate;
mod settling;
mod solana;
