//! The use cases of the marketplace, its durable operations, and the ports it needs.
//!
//! Data flows one way: request → offer → verified → claimed → steps → view. The engine knows no
//! HTTP, no SQL and no vendor's JSON; it starts no tasks and reads no clock but its port's.

pub mod ports;

mod api_key;
mod catalog;
mod destroy;
mod engine;
mod error;
mod health;
mod identity;
mod offer;
mod order;
mod password;
mod payment;
mod proof;
mod provision;
pub(crate) mod saga;
mod seal;
mod timing;
mod work;

pub use catalog::{PricedPlan, Shelf};
/// What a signed request presents, as the wallet crate reads it.
pub use compute_wallet::AuthClaim;
pub use engine::{Adapters, AuthTerms, ConfigError, Engine, EngineConfig, SalesTerms, Secrets};
pub use error::{AuthFailure, Error, PaymentProblem};
pub use health::Readiness;
pub use identity::{Caller, NewApiKey, Presented};
pub use offer::{OfferSheet, ProvisionRequest};
pub use order::{Goal, OrderView};
pub use password::RootAccess;
pub use proof::{ResourceInfo, StoredProof};
pub use provision::Submitted;
pub use saga::failpoints;
pub use seal::{SealError, Sealer, SealingKey};
pub use timing::Timing;
