//! The Payment HTTP authentication scheme (MPP) without a network.
//!
//! A server names its price in a challenge that it need not remember, reads the credential that
//! comes back, believes it only as far as it repeats that challenge byte by byte, and hands out a
//! receipt. The crate has no I/O, no clock and no randomness: time and nonces are parameters.
//!
//! Intent `charge` only: payments that are made once.

mod base64url;
mod jcs;
mod strict_json;
mod timestamp;

pub mod accept;
pub mod challenge;
pub mod charge;
pub mod client;
pub mod credential;
pub mod digest;
pub mod discovery;
pub mod header;
pub mod method;
pub mod opaque;
pub mod problem;
pub mod realm;
pub mod receipt;
pub mod secret;
pub mod source;
pub mod stripe;
pub mod tempo;

pub use accept::AcceptPayment;
pub use challenge::{Challenge, ChallengeError, ChallengeTerms};
pub use charge::{Amount, ChargeRequest, EncodedRequest};
pub use credential::{Credential, CredentialError};
pub use digest::BodyDigest;
pub use header::CredentialField;
pub use method::Method;
pub use opaque::Opaque;
pub use problem::{Problem, ProblemType};
pub use realm::Realm;
pub use receipt::Receipt;
pub use secret::{Secret, Secrets};
pub use source::Source;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
