//! Settles x402 payments on Solana itself, as the payer of their fee.
//!
//! [`SolanaRail`] implements the engine's `Rail` port without any third party: it checks a payment
//! against the chain, fills the one signature that is missing, stores the transaction, sends it, and
//! believes nothing but a record of it with the right transfer in it.

mod accounts;
mod arrivals;
mod book;
mod check;
mod config;
mod fate;
mod fee_payer;
mod health;
mod rail;
mod rpc;
mod service;
mod settle;

pub use config::{SolanaConfig, SolanaConfigError, SolanaTimeouts};
pub use rail::SolanaRail;
