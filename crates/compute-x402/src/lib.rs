//! The x402 payment protocol, versions 1 and 2, without a network.
//!
//! A server builds one answer 402 that clients of both versions understand, decodes and verifies
//! the payment that comes back, and hands it to a facilitator through whatever HTTP client it has.
//! The crate has no I/O, no clock and no randomness: time and nonces are parameters.
//!
//! Scheme `exact`: on EVM chains with EIP-3009 (`transferWithAuthorization`), or for tokens without
//! it with ERC-2612 permits, directly or through Permit2.

mod members;
mod strict_json;

pub mod amount;
pub mod challenge;
pub mod client;
pub mod discovery;
pub mod error_code;
pub mod exact_evm;
#[cfg(feature = "svm")]
pub mod exact_svm;
pub mod facilitator;
pub mod header;
pub mod networks;
pub mod offer;
pub mod offer_receipt;
pub mod payload;
pub mod permit;
pub mod permit2;
pub mod result;
pub mod token;
pub mod verify;
pub mod wire;

pub use amount::Amount;
pub use challenge::{Challenge, Resource};
pub use error_code::{ErrorCode, MethodCode};
pub use networks::Network;
pub use offer::{Offer, Recipient};
pub use payload::{Body, DecodeError, PaymentPayload, Version, decode, decode_headers};
pub use result::{SettlementHeaders, SettlementResponse};
pub use token::{EvmToken, Method, OfferError, PermitPaths, TokenTerms};
pub use verify::{
    Authority, Identified, Permit2Fault, ProofKey, ValidityWindow, Verified, VerifyError, identify,
    verify,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
