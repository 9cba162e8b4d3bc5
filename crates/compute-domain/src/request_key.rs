//! The client's own names for its purchases: one name, one purchase.

use core::fmt;

use serde::{Deserialize, Serialize};

/// The client's name for one purchase: its `Idempotency-Key`, or the identifier in an x402 payment.
/// The two kinds never meet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RequestKey(String);

/// Which kind of name it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKeyKind {
    /// The header `Idempotency-Key`.
    IdempotencyKey,
    /// The x402 extension `payment-identifier`.
    PaymentIdentifier,
}

/// The text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequestKey {
    /// An `Idempotency-Key`.
    #[error("an Idempotency-Key is 8 to 255 characters of A-Z, a-z, 0-9, _, -, : and .")]
    IdempotencyKey,
    /// A `payment-identifier`.
    #[error("a payment identifier is 16 to 128 characters of A-Z, a-z, 0-9, _ and -")]
    PaymentIdentifier,
}

/// Stored before the client's text, so that the kinds do not meet.
const IDEMPOTENCY_KEY: &str = "key:";
const PAYMENT_IDENTIFIER: &str = "pid:";

impl RequestKey {
    /// The value of the header `Idempotency-Key`.
    ///
    /// # Errors
    /// Unless it is 8 to 255 characters of `A-Za-z0-9_-:.`.
    pub fn idempotency_key(text: &str) -> Result<Self, InvalidRequestKey> {
        let allowed =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b':' | b'.');
        if (8..=255).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(format!("{IDEMPOTENCY_KEY}{text}")))
        } else {
            Err(InvalidRequestKey::IdempotencyKey)
        }
    }

    /// The identifier in the x402 extension `payment-identifier` (x402.md 9).
    ///
    /// # Errors
    /// Unless it is 16 to 128 characters of `A-Za-z0-9_-`.
    pub fn payment_identifier(text: &str) -> Result<Self, InvalidRequestKey> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if (16..=128).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(format!("{PAYMENT_IDENTIFIER}{text}")))
        } else {
            Err(InvalidRequestKey::PaymentIdentifier)
        }
    }

    /// Which kind it is.
    pub fn kind(&self) -> RequestKeyKind {
        if self.0.starts_with(PAYMENT_IDENTIFIER) {
            RequestKeyKind::PaymentIdentifier
        } else {
            RequestKeyKind::IdempotencyKey
        }
    }

    /// The stored text, with its kind in front.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RequestKey {
    type Error = InvalidRequestKey;
    fn try_from(stored: String) -> Result<Self, InvalidRequestKey> {
        if let Some(text) = stored.strip_prefix(PAYMENT_IDENTIFIER) {
            return Self::payment_identifier(text);
        }
        let text = stored.strip_prefix(IDEMPOTENCY_KEY);
        Self::idempotency_key(text.ok_or(InvalidRequestKey::IdempotencyKey)?)
    }
}

impl From<RequestKey> for String {
    fn from(key: RequestKey) -> Self {
        key.0
    }
}

impl fmt::Display for RequestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_an_alphabet_and_bounds() {
        for good in ["12345678", "a:b.c_d-", &"x".repeat(255)] {
            assert!(RequestKey::idempotency_key(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "1234567",
            "with space",
            "line\nbreak",
            "ümlaut-8",
            &"x".repeat(256),
        ] {
            assert!(RequestKey::idempotency_key(bad).is_err(), "{bad}");
        }
        assert!(RequestKey::payment_identifier(&"x".repeat(16)).is_ok());
        assert!(RequestKey::payment_identifier(&"x".repeat(128)).is_ok());
        for bad in ["x".repeat(15), "x".repeat(129), "a:b.c_d-a:b.c_d-".into()] {
            assert!(RequestKey::payment_identifier(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_two_kinds_never_meet() {
        let text = "0123456789abcdef";
        let key = RequestKey::idempotency_key(text).unwrap();
        let identifier = RequestKey::payment_identifier(text).unwrap();
        assert_ne!(key, identifier);
        for one in [key, identifier] {
            assert_eq!(one.to_string(), one.as_str());
            assert_eq!(String::from(one.clone()), one.as_str());
            assert!(one.as_str().ends_with(text));
            assert_eq!(RequestKey::try_from(String::from(one.clone())), Ok(one));
        }
        assert!(RequestKey::try_from(text.to_owned()).is_err());
    }
}
