//! Settles x402 payments through remote facilitators.
//!
//! [`FacilitatorRail`] implements the engine's `Rail` port. A facilitator is not trusted more than
//! needed: what is unclear is said to be unclear, and with a chain node of one's own its word is
//! checked against the chain, which also tells what became of a payment it lost.
//!
//! On Solana the facilitator pays the fee, from an account that offers must name: a facilitator that
//! names another one is not used. There is no chain node for Solana here.

mod cdp;
mod config;
mod panel;
mod paying;
mod rail;
mod remote;
mod settle;

pub use cdp::{CdpKey, CdpKeyError};
pub use config::{Access, Facilitator, FacilitatorConfig, FacilitatorConfigError, Timeouts};
pub use rail::FacilitatorRail;
