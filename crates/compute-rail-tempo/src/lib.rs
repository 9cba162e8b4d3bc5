//! Settles payments of the method `tempo`: transfers on the Tempo chain that their payers signed.
//!
//! [`TempoRail`] implements the engine's `Rail` port without any third party, and without a key: it
//! sends what a payer signed, or looks at what a payer sent, and believes nothing but a receipt with
//! the transfer of the challenge in it.

mod chain;
mod check;
mod config;
mod lookup;
mod paying;
mod rail;
mod search;
mod settle;
mod verdict;

pub use config::{TempoConfig, TempoConfigError, TempoTimeouts};
pub use rail::TempoRail;
