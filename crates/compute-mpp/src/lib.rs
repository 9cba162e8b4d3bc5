//! The Payment HTTP authentication scheme (MPP) without a network.
//!
//! The crate knows nothing of a marketplace, a server or a clock: it takes bytes, text and the
//! current time as parameters and returns protocol values or typed errors.

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
