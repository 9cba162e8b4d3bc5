//! Settles x402 payments on EVM chains itself, with a hot wallet.
//!
//! [`EvmRail`] implements the engine's `Rail` port without any third party: it checks a payment
//! against the chain, signs a transaction from a short list of calls, stores it, sends it, and
//! believes nothing but a receipt with the right transfer in it.

mod calls;
mod check;
mod config;
mod fate;
mod paying;
mod rail;
mod refusal;
mod search;
mod sender;
mod settle;
mod wallet;
mod watch;

pub use config::{EvmConfig, EvmConfigError, EvmTimeouts};
pub use rail::EvmRail;
