//! Vultr as a provider of machines.
//!
//! [`Vultr`] implements the engine's `Provider` port over the vendor's API, version 2. The vendor
//! has no idempotency key, so each machine carries the operation that asked for it as a tag, a
//! create is never repeated here, and every failure says whether it may have had an effect.

mod account;
mod change;
mod classify;
mod client;
mod config;
mod convert;
mod provider;
mod stock;
mod tag;
mod wire;

pub use config::{Timeouts, VultrConfig, VultrConfigError};
pub use provider::Vultr;
