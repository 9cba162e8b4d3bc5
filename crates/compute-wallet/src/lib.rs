//! Blockchain addresses and the signatures that prove who holds them, without I/O.
//!
//! The crate knows nothing of a marketplace, a server or a clock: it takes bytes, text and the
//! current time as parameters and returns addresses or typed errors.
//!
//! ```
//! use compute_wallet::{EvmKey, recover_message};
//!
//! let key = EvmKey::from_bytes(&[1; 32])?;
//! let signature = key.sign_message(b"hello");
//! assert_eq!(recover_message(b"hello", &signature)?, key.address());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod digest;
mod uint256;

pub mod address;
pub mod auth;
pub mod eip191;
pub mod eip712;
pub mod evm;
pub mod key;
pub mod signature;
pub mod solana;

pub use address::{AddressError, Namespace, WalletAddress};
pub use auth::{AuthClaim, AuthError, AuthenticatedWallet, Nonce, auth_message, authenticate};
pub use digest::{Digest32, keccak256};
pub use eip191::{message_digest, recover_message};
pub use eip712::{Eip712Domain, StructHasher, signing_digest};
pub use evm::EvmAddress;
pub use key::{EvmKey, KeyError, SolanaKey};
pub use signature::{EvmSignature, SignatureError, recover_digest};
pub use solana::{SolanaAddress, verify_ed25519};
pub use uint256::{Uint256, Uint256Error};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
