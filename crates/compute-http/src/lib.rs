//! The public HTTP API: axum routes, extractors and rendering.
//!
//! The one place that knows status codes, headers and JSON names. A handler reads the request,
//! makes one call to the engine, and renders the answer. Prices, payments and machines are the
//! engine's business.

mod app;
mod compress;
mod discovery;
mod error;
mod extract;
mod front_door;
mod peer;
mod rate;
mod readiness;
mod render;
mod report;
mod request_id;
mod routes;
mod seats;
mod standing;
mod visit;

pub use app::{App, InvalidPublicUrl, Limits, Mode, PublicUrl, Settings, Waits};
pub use front_door::Refusal;
pub use peer::{ForwardedHeader, Peer, Proxies};
pub use readiness::Doubt;
pub use routes::router;
