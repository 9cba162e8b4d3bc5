//! What fuzzers and tests call: every decoder with the promises it must keep.
//!
//! A target is a plain function on bytes that panics when a promise is broken. `cargo xtask fuzz` calls it millions
//! of times under libFuzzer, an ordinary test once for every committed input.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a broken promise ends the run, and with it the test"
)]

pub mod corpus;
pub mod seeds;

pub mod targets;

mod edits;
mod shop;

pub use targets::{TARGETS, Target, find};
