//! DigitalOcean as a provider of machines.
//!
//! [`DigitalOcean`] implements the engine's `Provider` port over the vendor's API, version 2. The
//! vendor has no idempotency key, and puts tags on a machine only after it exists; so each machine
//! carries the operation that asked for it both as a tag and in its name, a create is never
//! repeated here, and every failure says whether it may have had an effect.

mod change;
mod classify;
mod client;
mod config;
mod convert;
mod keys;
mod mark;
mod provider;
mod stock;
mod wire;

pub use config::{DigitalOceanConfig, DigitalOceanConfigError, Timeouts};
pub use provider::DigitalOcean;
