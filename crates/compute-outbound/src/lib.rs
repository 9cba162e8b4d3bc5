//! The one constructor of outgoing HTTP clients.
//!
//! Every call this product makes to a cloud vendor, a payment facilitator or a chain node leaves
//! through an [`OutboundClient`]. A client is bound to one origin, checks certificates against the
//! bundled roots (plus an optional private authority), never follows a redirect, never retries,
//! takes no proxy from the environment, and bounds every answer in time and in size, and finds none of its own
//! credentials in one. What a caller must know after a failure is in the error: either the request certainly was not sent, or it may
//! have arrived.

mod answer;
mod client;
mod config;
mod error;
mod mask;
mod pace;
mod public;
mod request;
mod tls;

pub use answer::{Answer, NotJson};
pub use client::OutboundClient;
pub use config::{BearerToken, ConfigError, OutboundConfig};
pub use error::{NotSentReason, OutboundError, UnknownReason};
pub use pace::{Allowance, Pace, TooFast, Urgency};
pub use public::{MAX_URL, PublicRules, PublicUrl, PublicUrlFault, ResolveFault, is_public};
pub use request::OutboundRequest;
// The types of HTTP that appear in this crate's signatures.
pub use http::{HeaderName, HeaderValue, Method, StatusCode};
