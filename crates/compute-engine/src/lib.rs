//! The use cases of the marketplace, its durable operations, and the ports it needs.
//!
//! Data flows one way: request → offer → verified → claimed → steps → view. The engine knows no
//! HTTP, no SQL and no vendor's JSON; it starts no tasks and reads no clock but its port's.

pub mod ports;

mod ahead;
mod api_key;
mod arrival;
mod auto_extend;
mod catalog;
mod challenges;
mod charge;
mod checks;
mod claim;
mod cloud;
mod credential;
mod credits;
mod destroy;
mod engine;
mod error;
mod events;
mod extend;
mod health;
mod history;
mod identity;
pub mod ledger_chain;
mod management;
mod names;
mod offer;
mod operator;
mod order;
mod password;
mod payment;
mod pings;
mod power;
mod proof;
mod provision;
mod purchase;
mod quote;
mod refund;
mod reserve;
mod resize;
pub(crate) mod saga;
mod seal;
mod sent;
mod standing;
mod stock;
mod subject;
mod suspense;
mod timing;
mod topup;
mod traced;
mod user_data;
mod webhooks;
mod work;

pub use auto_extend::AutoExtendTerms;
pub use catalog::{PricedPlan, Shelf};
pub use challenges::{MppTerms, RequestFacts};
pub use charge::{Charge, ChargeProof, ChargeSpec, ChargeTerms, Instrument, method_of};
pub use checks::{CheckGate, Claimant};
/// What a signed request presents, as the wallet crate reads it.
pub use cloud::Closed;
pub use compute_wallet::AuthClaim;
pub use credits::Balance;
pub use engine::{
    Adapters, AuthTerms, ConfigError, DestroyGuard, Engine, EngineConfig, SalesTerms, Secrets,
};
pub use error::{AuthFailure, Error, PaymentProblem, ResizeRefusal};
pub use events::{EventPage, event_json};
pub use extend::ExtendRequest;
pub use health::Readiness;
pub use history::{History, HistoryPage};
pub use identity::{ApiKeyTerms, Caller, NewApiKey, Presented};
pub use management::ManagementKey;
pub use offer::{OfferSheet, ProvisionRequest};
pub use order::{Goal, InstancePage, OperationView, OrderView, Page};
pub use password::RootAccess;
pub use proof::{PaymentProof, ResourceInfo, StoredProof};
pub use purchase::{Funding, PurchaseTerms, Submitted};
pub use quote::{Quote, QuoteTerms, Way};
pub use refund::{CardRefund, DisputeView};
pub use resize::{ResizePlan, ResizeRequest};
pub use saga::failpoints;
pub use seal::{SealError, Sealer, SealingKey};
pub use standing::{ProviderStanding, RailStanding, Standing};
pub use suspense::ArrivalsView;
pub use timing::Timing;
pub use topup::TopupRequest;
pub use traced::{TRACED, operation_span};
pub use webhooks::{NewWebhook, Pinged};
