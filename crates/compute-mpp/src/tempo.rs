//! The method `tempo`: a charge paid by a TIP-20 transfer on the Tempo chain.
//!
//! A payment is a transaction of type `0x76` that the buyer signs and the seller sends (*pull*), or one
//! that the buyer sent (*push*). Its memo binds it to one challenge. The way of a pull payment is
//! [`TempoPayload::parse`] → [`Transaction::decode`] → [`verify_transaction`] → (the chain) →
//! [`ReceiptView::parse`] → [`find_payment`].
//!
//! Rules: `draft-tempo-charge-00` of mpp-specs, and for the transaction what viem, pympp and a Tempo
//! EVM agree on.

mod builder;
mod decode;
mod error;
mod memo;
mod payload;
mod receipt;
mod rlp;
mod signature;
mod terms;
mod transaction;
mod verify;
mod webauthn;

pub mod abi;
pub mod proof;

pub use builder::TransactionBuilder;
pub use error::{DecodeError, Fault, PayloadError, ReceiptError, SignatureError, TempoError};
pub use memo::AttributionMemo;
pub use payload::{MAX_TRANSACTION_BYTES, TempoPayload};
pub use receipt::{LogView, Paid, ReceiptView, find_payment};
pub use rlp::RlpList;
pub use signature::{KeySignature, P256Signature, SenderSignature};
pub use terms::{Modes, TempoCharge, TempoTerms};
pub use transaction::{
    AccessListItem, Call, EXPIRING_NONCE_KEY, Sponsorship, Transaction, TransactionBody,
};
pub use verify::{MIN_REMAINING_S, PAST_EXPIRY_S, VerifiedPull, verify_transaction};
pub use webauthn::WebAuthnSignature;
