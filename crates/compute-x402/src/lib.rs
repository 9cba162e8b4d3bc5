//! The x402 payment protocol, versions 1 and 2, without a network.
//!
//! A server builds one answer 402 that clients of both versions understand, decodes and verifies
//! the payment that comes back, and hands it to a facilitator through whatever HTTP client it has.
//! The crate has no I/O, no clock and no randomness: time and nonces are parameters.
//!
//! Built so far: scheme `exact` on EVM chains with EIP-3009 (`transferWithAuthorization`).

mod strict_json;

pub mod amount;
pub mod challenge;
pub mod client;
pub mod error_code;
pub mod exact_evm;
#[cfg(feature = "svm")]
pub mod exact_svm;
pub mod facilitator;
pub mod header;
pub mod networks;
pub mod offer;
pub mod payload;
pub mod result;
pub mod verify;
pub mod wire;

pub use amount::Amount;
pub use challenge::{Challenge, Resource};
pub use error_code::ErrorCode;
pub use networks::Network;
pub use offer::{Offer, OfferError, Recipient, TokenTerms};
pub use payload::{DecodeError, PaymentPayload, Version, decode, decode_headers};
pub use result::{SettlementHeaders, SettlementResponse};
pub use verify::{Identified, ProofKey, ValidityWindow, Verified, VerifyError, identify, verify};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
