//! The payload of a credential: what the client presents as the payment.

use std::fmt;

use compute_wallet::Digest32;
use serde_json::{Map, Value};

use super::error::PayloadError;

/// A longer transaction is refused unread. Four passkey signatures fit in.
pub const MAX_TRANSACTION_BYTES: usize = 16 * 1024;

/// What the client presents.
#[derive(Clone, PartialEq, Eq)]
pub enum TempoPayload {
    /// Pull: a signed transaction that the seller sends.
    Transaction(Vec<u8>),
    /// Push: the hash of a transaction that the client sent.
    Hash(Digest32),
}

impl TempoPayload {
    /// Reads the member `payload`; members it does not know are ignored.
    ///
    /// # Errors
    /// When it is not one of the two forms, or too long. A `proof` is refused by its own error.
    pub fn parse(payload: &Map<String, Value>) -> Result<Self, PayloadError> {
        match payload.get("type").and_then(Value::as_str) {
            Some("transaction") => {
                let digits = hex_member(payload, "signature")?;
                if digits.len() > MAX_TRANSACTION_BYTES.saturating_mul(2) {
                    return Err(PayloadError::TooLong {
                        max: MAX_TRANSACTION_BYTES,
                    });
                }
                let bytes = hex::decode(digits).map_err(|_| PayloadError::NotHex("signature"))?;
                Ok(Self::Transaction(bytes))
            }
            Some("hash") => {
                let digits = hex_member(payload, "hash")?;
                if digits.len() != 64 {
                    return Err(PayloadError::HashLength {
                        found: digits.len() / 2,
                    });
                }
                let mut hash = [0_u8; 32];
                hex::decode_to_slice(digits, &mut hash)
                    .map_err(|_| PayloadError::NotHex("hash"))?;
                Ok(Self::Hash(hash))
            }
            Some("proof") => Err(PayloadError::Proof),
            _ => Err(PayloadError::Type),
        }
    }
}

/// The digits after `0x`, still unread.
fn hex_member<'a>(
    payload: &'a Map<String, Value>,
    name: &'static str,
) -> Result<&'a str, PayloadError> {
    let text = payload
        .get(name)
        .and_then(Value::as_str)
        .ok_or(PayloadError::Missing(name))?;
    text.strip_prefix("0x")
        .filter(|digits| !digits.is_empty())
        .ok_or(PayloadError::NotHex(name))
}

impl fmt::Debug for TempoPayload {
    /// A signed transaction is a bearer instrument, so logs never see it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transaction(bytes) => write!(f, "Transaction({} bytes)", bytes.len()),
            Self::Hash(hash) => write!(f, "Hash(0x{})", hex::encode(hash)),
        }
    }
}
