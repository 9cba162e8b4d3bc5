//! The HTTP interface of a facilitator, as values: what to send, and what an answer means.
//!
//! Sending is the caller's part. No answer within the time-out, or a broken connection after the
//! request was written, counts as [`SettleClass::Unknown`].

mod answer;
mod request;
pub mod service;
mod supported;

pub use answer::{SettleClass, UnknownReason, VerifyClass, classify_settle, classify_verify};
pub use request::request_body;
pub use supported::{Supported, SupportedError, SupportedKind};
