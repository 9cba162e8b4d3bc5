//! ERC-2612: an approval the owner signs, for tokens without EIP-3009.
//!
//! A permit moves nothing and names no recipient: it approves a spender, who then moves the money.
//! Two envelopes carry one: that of the published client, which writes a permit into the members of
//! an EIP-3009 authorization, and `payload.permit`, which names things as they are.

use std::fmt;

use compute_wallet::{
    Digest32, EvmAddress, EvmSignature, SignatureError, StructHasher, Uint256, recover_digest,
    signing_digest,
};
use serde_json::{Map, Value, json};

use crate::exact_evm::SignedAuthorization;
use crate::members::{read, read_address, read_object, read_signature, read_time, read_uint};
use crate::token::EvmToken;

/// Keccak-256 of `Permit(address owner,address spender,uint256 value,uint256 nonce,uint256
/// deadline)` (ERC-2612).
const TYPE_HASH: Digest32 = [
    0x6e, 0x71, 0xed, 0xae, 0x12, 0xb1, 0xb9, 0x7f, 0x4d, 0x1f, 0x60, 0x37, 0x0f, 0xef, 0x10, 0x10,
    0x5f, 0xa2, 0xfa, 0xae, 0x01, 0x26, 0x11, 0x4a, 0x16, 0x9c, 0x64, 0x84, 0x5d, 0x61, 0x26, 0xc9,
];

/// An approval: `spender` may move `value` of what `owner` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permit {
    /// Who pays.
    pub owner: EvmAddress,
    /// Who may move the money.
    pub spender: EvmAddress,
    /// How much; the token reads 256 bits.
    pub value: Uint256,
    /// The token counts the permits of each owner: only the next one is taken.
    pub nonce: Uint256,
    /// Unix seconds; the token refuses after this second.
    pub deadline: u64,
}

/// A permit with the signature text that came along, not yet checked.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedPermit {
    /// What is permitted.
    pub permit: Permit,
    signature: String,
}

impl Permit {
    /// The digest the owner signs for this token.
    #[must_use]
    pub fn digest(&self, token: &EvmToken) -> Digest32 {
        let struct_hash = StructHasher::new(&TYPE_HASH)
            .address(&self.owner)
            .address(&self.spender)
            .uint(self.value)
            .uint(self.nonce)
            .uint(self.deadline.into())
            .finish();
        signing_digest(token.domain_separator(), &struct_hash)
    }

    fn to_json(self) -> Value {
        json!({
            "owner": self.owner.to_checksum(),
            "spender": self.spender.to_checksum(),
            "value": self.value.to_string(),
            "nonce": self.nonce.to_string(),
            "deadline": self.deadline.to_string(),
        })
    }
}

impl SignedPermit {
    /// Puts a permit and its signature together.
    #[must_use]
    pub fn new(permit: Permit, signature: &EvmSignature) -> Self {
        Self {
            permit,
            signature: signature.to_hex(),
        }
    }

    pub(crate) const fn from_parts(permit: Permit, signature: String) -> Self {
        Self { permit, signature }
    }

    /// Reads a `payload` with the member `permit`; names the member that is missing or malformed.
    pub(crate) fn from_json(payload: &Map<String, Value>) -> Result<Self, &'static str> {
        let members = read_object(payload, "permit")?;
        let permit = Permit {
            owner: read(members, "owner", read_address)?,
            spender: read(members, "spender", read_address)?,
            value: read(members, "value", read_uint)?,
            nonce: read(members, "nonce", read_uint)?,
            deadline: read(members, "deadline", read_time)?,
        };
        Ok(Self::from_parts(permit, read_signature(payload)?))
    }

    /// Reads a permit out of the members of an EIP-3009 authorization, where the published client
    /// puts it: `to` is the spender, `validBefore` the deadline, `nonce` the permit's number, and
    /// `validAfter` is not signed.
    #[must_use]
    pub fn from_authorization(signed: &SignedAuthorization) -> Self {
        let authorization = &signed.authorization;
        let permit = Permit {
            owner: authorization.from,
            spender: authorization.to,
            value: authorization.value,
            nonce: Uint256::from_be_bytes(authorization.nonce),
            deadline: authorization.valid_before,
        };
        Self::from_parts(permit, signed.signature_text().to_owned())
    }

    /// The signature in its one canonical form, without asking whose it is: cheap.
    ///
    /// # Errors
    /// When the signature is not canonical.
    pub fn parse_signature(&self) -> Result<EvmSignature, SignatureError> {
        EvmSignature::parse(&self.signature)
    }

    /// Checks that the owner signed this permit for this token.
    ///
    /// # Errors
    /// When the signature is not canonical, or somebody else's.
    pub fn check_signature(&self, token: &EvmToken) -> Result<(), SignatureError> {
        let signature = self.parse_signature()?;
        if recover_digest(&self.permit.digest(token), &signature)? == self.permit.owner {
            Ok(())
        } else {
            Err(SignatureError::NotSigner)
        }
    }

    pub(crate) fn signature_text(&self) -> &str {
        &self.signature
    }

    /// The `payload` member of a payment.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({ "signature": self.signature, "permit": self.permit.to_json() })
    }
}

impl fmt::Debug for SignedPermit {
    /// Whoever is the spender can use the signature, so it stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedPermit")
            .field("permit", &self.permit)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_hash_is_the_hash_of_the_type() {
        let text =
            b"Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)";
        assert_eq!(compute_wallet::keccak256(text), TYPE_HASH);
    }
}
