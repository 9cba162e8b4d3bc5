//! The command against a development server, as somebody at a terminal would use it.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper that cannot do its part fails the test"
)]

mod buying;
mod limits;
mod lost;
mod mcp;
mod output;
mod town;
