//! The embedded facilitator as a service for other shops.
//!
//! [`router`] answers `/verify`, `/settle` and `/supported` (x402, versions 1 and 2) with the rails
//! that settle for this shop. A payment is only ever checked against an offer made from our own
//! token terms and a recipient of our own list.

mod answer;
mod gate;
mod service;
mod told;

pub use service::{Service, ServiceConfig, router};
