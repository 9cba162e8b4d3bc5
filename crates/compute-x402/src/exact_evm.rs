//! Scheme `exact` on EVM chains: the signed transfer of EIP-3009.

use std::fmt;

use compute_wallet::{
    Digest32, EvmAddress, EvmSignature, SignatureError, StructHasher, Uint256, recover_digest,
    signing_digest,
};
use serde_json::{Map, Value, json};

use crate::members::{read, read_address, read_nonce, read_signature, read_time, read_uint};
use crate::token::EvmToken;

/// Keccak-256 of `TransferWithAuthorization(address from,address to,uint256 value,uint256
/// validAfter,uint256 validBefore,bytes32 nonce)` (EIP-3009).
const TYPE_HASH: Digest32 = [
    0x7c, 0x7c, 0x6c, 0xdb, 0x67, 0xa1, 0x87, 0x43, 0xf4, 0x9e, 0xc6, 0xfa, 0x9b, 0x35, 0xf5, 0x0d,
    0x52, 0xed, 0x05, 0xcb, 0xed, 0x4c, 0xc5, 0x92, 0xe1, 0x3b, 0x44, 0x50, 0x1c, 0x1a, 0x22, 0x67,
];

/// The last 32 bytes of a signature of a wallet that is not deployed yet (ERC-6492).
const ERC6492_MAGIC: &str = "6492649264926492649264926492649264926492649264926492649264926492";

/// The longest signature of a contract wallet, in bytes: several owners and a passkey fit.
pub const MAX_CONTRACT_SIGNATURE: usize = 2_048;

/// A transfer the payer permits anybody to carry out once. Times are Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authorization {
    /// Who pays.
    pub from: EvmAddress,
    /// Who is paid.
    pub to: EvmAddress,
    /// How much; the token reads 256 bits.
    pub value: Uint256,
    /// The token refuses up to and including this second.
    pub valid_after: u64,
    /// The token refuses from this second on.
    pub valid_before: u64,
    /// Single use per payer and token; usually random.
    pub nonce: Digest32,
}

/// An authorization with the signature text that came along, not yet checked.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedAuthorization {
    /// What is authorized.
    pub authorization: Authorization,
    signature: String,
}

/// Why a signature does not authorize.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    /// A wrapper of ERC-6492, which would have us call a stranger's factory.
    #[error("wallets that are not deployed yet cannot pay here")]
    Erc6492,
    /// Not 65 bytes in canonical form, or not made by the payer.
    #[error("the signature does not authorize this transfer")]
    Refused(#[source] SignatureError),
}

impl Authorization {
    /// The digest the payer signs for this token.
    #[must_use]
    pub fn digest(&self, token: &EvmToken) -> Digest32 {
        let struct_hash = StructHasher::new(&TYPE_HASH)
            .address(&self.from)
            .address(&self.to)
            .uint(self.value)
            .uint(self.valid_after.into())
            .uint(self.valid_before.into())
            .word(&self.nonce)
            .finish();
        signing_digest(token.domain_separator(), &struct_hash)
    }

    /// The wire form: decimal strings, and the nonce as `0x` hex.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "from": self.from.to_checksum(),
            "to": self.to.to_checksum(),
            "value": self.value.to_string(),
            "validAfter": self.valid_after.to_string(),
            "validBefore": self.valid_before.to_string(),
            "nonce": format!("0x{}", hex::encode(self.nonce)),
        })
    }

    fn from_json(members: &Map<String, Value>) -> Result<Self, &'static str> {
        Ok(Self {
            from: read(members, "from", read_address)?,
            to: read(members, "to", read_address)?,
            value: read(members, "value", read_uint)?,
            valid_after: read(members, "validAfter", read_time)?,
            valid_before: read(members, "validBefore", read_time)?,
            nonce: read(members, "nonce", read_nonce)?,
        })
    }
}

impl SignedAuthorization {
    /// Puts an authorization and its signature together.
    #[must_use]
    pub fn new(authorization: Authorization, signature: &EvmSignature) -> Self {
        Self {
            authorization,
            signature: signature.to_hex(),
        }
    }

    /// Reads the `payload` member of a payment; names the member that is missing or malformed.
    pub(crate) fn from_json(payload: &Map<String, Value>) -> Result<Self, &'static str> {
        let members = payload.get("authorization").and_then(Value::as_object);
        let authorization = Authorization::from_json(members.ok_or("authorization")?)?;
        Ok(Self {
            authorization,
            signature: read_signature(payload)?,
        })
    }

    /// The signature in its one canonical form, without asking whose it is: cheap.
    ///
    /// # Errors
    /// When the signature is a wrapper or not canonical.
    pub fn parse_signature(&self) -> Result<EvmSignature, SignatureFault> {
        if self.signature.ends_with(ERC6492_MAGIC) {
            return Err(SignatureFault::Erc6492);
        }
        EvmSignature::parse(&self.signature).map_err(SignatureFault::Refused)
    }

    /// Checks that the payer signed this authorization for this token.
    ///
    /// Stricter than recovery alone: a high `s` recovers but reverts in the token.
    ///
    /// # Errors
    /// When the signature is a wrapper, not canonical, or somebody else's.
    pub fn check_signature(&self, token: &EvmToken) -> Result<(), SignatureFault> {
        let signature = self.parse_signature()?;
        let signer = recover_digest(&self.authorization.digest(token), &signature)
            .map_err(SignatureFault::Refused)?;
        if signer != self.authorization.from {
            return Err(SignatureFault::Refused(SignatureError::NotSigner));
        }
        Ok(())
    }

    /// What a contract that is the payer may accept as its signature (ERC-1271): whatever is no
    /// wrapper, no signature that only another account can have made in a form tokens refuse, and
    /// not longer than [`MAX_CONTRACT_SIGNATURE`] bytes.
    ///
    /// Of 65 bytes in canonical form a contract may be the signer too, so those are included; other
    /// 65 bytes, and the short form of 64 (EIP-2098), are an ordinary account's and wrong.
    #[must_use]
    pub fn contract_signature(&self) -> Option<Vec<u8>> {
        if self.signature.ends_with(ERC6492_MAGIC) {
            return None;
        }
        let digits = self.signature.strip_prefix("0x")?;
        if digits.len() > 2 * MAX_CONTRACT_SIGNATURE {
            return None;
        }
        let bytes = hex::decode(digits).ok()?;
        match bytes.len() {
            0 | 64 => None,
            65 => self.parse_signature().ok().map(|_| bytes),
            _ => Some(bytes),
        }
    }

    pub(crate) fn signature_text(&self) -> &str {
        &self.signature
    }

    /// The `payload` member of a payment, with `v` as tokens expect it where it can be read.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let signature = self
            .parse_signature()
            .map_or_else(|_| self.signature.clone(), |signature| signature.to_hex());
        json!({ "signature": signature, "authorization": self.authorization.to_json() })
    }
}

impl fmt::Debug for SignedAuthorization {
    /// Whoever holds the signature can settle it, so it stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedAuthorization")
            .field("authorization", &self.authorization)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_hash_is_the_hash_of_the_type() {
        let text = b"TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)";
        assert_eq!(compute_wallet::keccak256(text), TYPE_HASH);
    }
}
