//! Permit2: a transfer signed for the canonical Permit2 contract, carried out by the protocol's own
//! proxy, so that the money can go nowhere but to the recipient the payer signed.
//!
//! A payer whose token has never been approved for Permit2 adds a permit for it (extension
//! `eip2612GasSponsoring`), and pays no gas at all.

use std::fmt;

use compute_wallet::{
    Digest32, EvmAddress, EvmSignature, SignatureError, StructHasher, Uint256, recover_digest,
    signing_digest,
};
use serde_json::{Map, Value, json};

use crate::members::{read, read_address, read_object, read_signature, read_time, read_uint};
use crate::permit::{Permit, SignedPermit};

/// The Permit2 contract, at the same address on every chain that has it.
pub const PERMIT2: EvmAddress = EvmAddress::new([
    0x00, 0x00, 0x00, 0x00, 0x00, 0x22, 0xd4, 0x73, 0x03, 0x0f, 0x11, 0x6d, 0xde, 0xe9, 0xf6, 0xb4,
    0x3a, 0xc7, 0x8b, 0xa3,
]);

/// The protocol's proxy `x402ExactPermit2Proxy`, which pays only the signed recipient.
pub const EXACT_PROXY: EvmAddress = EvmAddress::new([
    0x40, 0x20, 0x85, 0xc2, 0x48, 0xee, 0xa2, 0x7d, 0x92, 0xe8, 0xb3, 0x0b, 0x2c, 0x58, 0xed, 0x07,
    0xf9, 0xe2, 0x00, 0x01,
]);

/// The name of the extension that carries a permit for Permit2.
pub const SPONSORING_EXTENSION: &str = "eip2612GasSponsoring";

/// Keccak-256 of `EIP712Domain(string name,uint256 chainId,address verifyingContract)`: the domain
/// of Permit2 has no version.
const DOMAIN_TYPE_HASH: Digest32 = [
    0x8c, 0xad, 0x95, 0x68, 0x7b, 0xa8, 0x2c, 0x2c, 0xe5, 0x0e, 0x74, 0xf7, 0xb7, 0x54, 0x64, 0x5e,
    0x51, 0x17, 0xc3, 0xa5, 0xbe, 0xc8, 0x15, 0x1c, 0x07, 0x26, 0xd5, 0x85, 0x79, 0x80, 0xa8, 0x66,
];

/// Keccak-256 of the type of a witnessed transfer, its member types appended.
const TRANSFER_TYPE_HASH: Digest32 = [
    0xeb, 0xc1, 0x56, 0xcd, 0x23, 0x67, 0x8a, 0x74, 0xc9, 0x4d, 0xf1, 0x3d, 0x77, 0x2e, 0xf5, 0x47,
    0x84, 0x20, 0x63, 0x7f, 0x0c, 0x94, 0xbd, 0x10, 0xd5, 0x09, 0xe1, 0xdc, 0x98, 0xf5, 0x21, 0xc7,
];

/// Keccak-256 of `TokenPermissions(address token,uint256 amount)`.
const TOKEN_TYPE_HASH: Digest32 = [
    0x61, 0x83, 0x58, 0xac, 0x3d, 0xb8, 0xdc, 0x27, 0x4f, 0x0c, 0xd8, 0x82, 0x9d, 0xa7, 0xe2, 0x34,
    0xbd, 0x48, 0xcd, 0x73, 0xc4, 0xa7, 0x40, 0xae, 0xde, 0x1a, 0xde, 0xc9, 0x84, 0x6d, 0x06, 0xa1,
];

/// Keccak-256 of `Witness(address to,uint256 validAfter)`.
const WITNESS_TYPE_HASH: Digest32 = [
    0xd9, 0x7b, 0x32, 0x39, 0xa7, 0xf3, 0x22, 0x95, 0x51, 0x7b, 0xd1, 0x4c, 0xb0, 0x74, 0xed, 0xfd,
    0xd1, 0x88, 0xdf, 0xe5, 0xeb, 0x42, 0xf8, 0x02, 0xbb, 0x26, 0xd4, 0xfd, 0x1e, 0xb1, 0x2c, 0x37,
];

/// The EIP-712 domain separator of Permit2 on a chain.
pub(crate) fn domain_separator(chain_id: u64) -> Digest32 {
    StructHasher::new(&DOMAIN_TYPE_HASH)
        .text("Permit2")
        .uint(chain_id.into())
        .address(&PERMIT2)
        .finish()
}

/// A transfer that only `spender`, a contract, may carry out, once. Times are Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permit2Transfer {
    /// Who pays.
    pub from: EvmAddress,
    /// The token.
    pub token: EvmAddress,
    /// How much; the contract reads 256 bits.
    pub amount: Uint256,
    /// The contract that carries it out: [`EXACT_PROXY`].
    pub spender: EvmAddress,
    /// Single use per payer; one bit of an unordered map.
    pub nonce: Uint256,
    /// Permit2 refuses after this second.
    pub deadline: u64,
    /// Who is paid.
    pub to: EvmAddress,
    /// The proxy refuses before this second.
    pub valid_after: u64,
}

/// A Permit2 transfer with its signature text and, maybe, a permit for Permit2; nothing is checked.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedPermit2 {
    /// What is permitted.
    pub transfer: Permit2Transfer,
    /// The permit that lets Permit2 move the token, when one came along.
    pub sponsored: Sponsored,
    signature: String,
}

/// What came along in the extension `eip2612GasSponsoring`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sponsored {
    /// Nothing: the payer must have approved Permit2 before.
    Absent,
    /// Something that cannot be read.
    Malformed,
    /// A permit for this token.
    Permit {
        /// The token it says it is for.
        asset: EvmAddress,
        /// The permit, its signature not yet checked.
        permit: Box<SignedPermit>,
    },
}

impl Permit2Transfer {
    /// The digest the payer signs.
    #[must_use]
    pub fn digest(&self, separator: &Digest32) -> Digest32 {
        let permitted = StructHasher::new(&TOKEN_TYPE_HASH)
            .address(&self.token)
            .uint(self.amount)
            .finish();
        let witness = StructHasher::new(&WITNESS_TYPE_HASH)
            .address(&self.to)
            .uint(self.valid_after.into())
            .finish();
        let struct_hash = StructHasher::new(&TRANSFER_TYPE_HASH)
            .word(&permitted)
            .address(&self.spender)
            .uint(self.nonce)
            .uint(self.deadline.into())
            .word(&witness)
            .finish();
        signing_digest(separator, &struct_hash)
    }

    fn to_json(self) -> Value {
        json!({
            "from": self.from.to_checksum(),
            "permitted": { "token": self.token.to_checksum(), "amount": self.amount.to_string() },
            "spender": self.spender.to_checksum(),
            "nonce": self.nonce.to_string(),
            "deadline": self.deadline.to_string(),
            "witness": { "to": self.to.to_checksum(), "validAfter": self.valid_after.to_string() },
        })
    }
}

impl SignedPermit2 {
    /// Puts a transfer, its signature and a permit for Permit2 together.
    #[must_use]
    pub fn new(transfer: Permit2Transfer, signature: &EvmSignature, sponsored: Sponsored) -> Self {
        Self {
            transfer,
            sponsored,
            signature: signature.to_hex(),
        }
    }

    /// Reads a `payload` with the member `permit2Authorization`, and the extensions beside it.
    pub(crate) fn from_json(
        payload: &Map<String, Value>,
        extensions: Option<&Value>,
    ) -> Result<Self, &'static str> {
        let members = read_object(payload, "permit2Authorization")?;
        let permitted = read_object(members, "permitted")?;
        let witness = read_object(members, "witness")?;
        let transfer = Permit2Transfer {
            from: read(members, "from", read_address)?,
            token: read(permitted, "token", read_address)?,
            amount: read(permitted, "amount", read_uint)?,
            spender: read(members, "spender", read_address)?,
            nonce: read(members, "nonce", read_uint)?,
            deadline: read(members, "deadline", read_time)?,
            to: read(witness, "to", read_address)?,
            valid_after: read(witness, "validAfter", read_time)?,
        };
        Ok(Self {
            transfer,
            sponsored: Sponsored::read(extensions),
            signature: read_signature(payload)?,
        })
    }

    /// The signature in its one canonical form, without asking whose it is: cheap.
    ///
    /// # Errors
    /// When the signature is not canonical.
    pub fn parse_signature(&self) -> Result<EvmSignature, SignatureError> {
        EvmSignature::parse(&self.signature)
    }

    /// Checks that the payer signed this transfer.
    ///
    /// # Errors
    /// When the signature is not canonical, or somebody else's.
    pub fn check_signature(&self, separator: &Digest32) -> Result<(), SignatureError> {
        let signature = self.parse_signature()?;
        if recover_digest(&self.transfer.digest(separator), &signature)? == self.transfer.from {
            Ok(())
        } else {
            Err(SignatureError::NotSigner)
        }
    }

    /// The `payload` member of a payment.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({ "signature": self.signature, "permit2Authorization": self.transfer.to_json() })
    }
}

impl Sponsored {
    /// Reads the payment's echo of the extension. The offer's own `info` has no `signature`, so an
    /// echo without one is a payer who has nothing to add.
    fn read(extensions: Option<&Value>) -> Self {
        let info =
            extensions.and_then(|extensions| extensions.get(SPONSORING_EXTENSION)?.get("info"));
        match info {
            None => Self::Absent,
            Some(Value::Object(info)) if !info.contains_key("signature") => Self::Absent,
            Some(Value::Object(info)) => Self::from_info(info).unwrap_or(Self::Malformed),
            Some(_) => Self::Malformed,
        }
    }

    fn from_info(info: &Map<String, Value>) -> Result<Self, &'static str> {
        let permit = Permit {
            owner: read(info, "from", read_address)?,
            spender: read(info, "spender", read_address)?,
            value: read(info, "amount", read_uint)?,
            nonce: read(info, "nonce", read_uint)?,
            deadline: read(info, "deadline", read_time)?,
        };
        let signed = SignedPermit::from_parts(permit, read_signature(info)?);
        signed.parse_signature().map_err(|_| "signature")?;
        Ok(Self::Permit {
            asset: read(info, "asset", read_address)?,
            permit: Box::new(signed),
        })
    }

    /// The extension as a payment carries it; `None` when there is no permit.
    #[must_use]
    pub fn to_extension(&self) -> Option<Value> {
        let Self::Permit { asset, permit } = self else {
            return None;
        };
        let signed = permit.permit;
        Some(json!({ "info": {
            "from": signed.owner.to_checksum(),
            "asset": asset.to_checksum(),
            "spender": signed.spender.to_checksum(),
            "amount": signed.value.to_string(),
            "nonce": signed.nonce.to_string(),
            "deadline": signed.deadline.to_string(),
            "signature": permit.signature_text(),
            "version": "1",
        } }))
    }
}

impl fmt::Debug for SignedPermit2 {
    /// Whoever holds the signature can settle it, so it stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedPermit2")
            .field("transfer", &self.transfer)
            .field("sponsored", &self.sponsored)
            .finish_non_exhaustive()
    }
}

/// The extension of an offer that takes a permit for Permit2 from payers without an approval.
#[must_use]
pub fn sponsoring_extension() -> Value {
    let text = json!({ "type": "string" });
    let address = json!({ "type": "string", "pattern": "^0x[a-fA-F0-9]{40}$" });
    let number = json!({ "type": "string", "pattern": "^[0-9]+$" });
    json!({
        "info": {
            "description": "Permit2 may be approved by a permit; its gas is paid for you.",
            "version": "1",
        },
        "schema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "from": address, "asset": address, "spender": address,
                "amount": number, "nonce": number, "deadline": number,
                "signature": { "type": "string", "pattern": "^0x[a-fA-F0-9]+$" },
                "version": text,
            },
            "required": [
                "from", "asset", "spender", "amount", "nonce", "deadline", "signature", "version",
            ],
        },
    })
}

#[cfg(test)]
mod tests {
    use compute_wallet::keccak256;

    use super::*;

    #[test]
    fn the_type_hashes_are_the_hashes_of_the_types() {
        const TOKEN: &str = "TokenPermissions(address token,uint256 amount)";
        const WITNESS: &str = "Witness(address to,uint256 validAfter)";
        let transfer = format!(
            "PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,\
             uint256 deadline,Witness witness){TOKEN}{WITNESS}"
        );
        let domain = "EIP712Domain(string name,uint256 chainId,address verifyingContract)";
        for (text, hash) in [
            (domain, DOMAIN_TYPE_HASH),
            (transfer.as_str(), TRANSFER_TYPE_HASH),
            (TOKEN, TOKEN_TYPE_HASH),
            (WITNESS, WITNESS_TYPE_HASH),
        ] {
            assert_eq!(keccak256(text.as_bytes()), hash, "{text}");
        }
    }

    #[test]
    fn the_domain_of_permit2_is_that_of_the_chain() {
        let base = "3b6f35e4fce979ef8eac3bcdc8c3fc38fe7911bb0c69c8fe72bf1fd1a17e6f07";
        let mega = "b37ba4836fe3e53eb9c287e52b24e0037e25e04df01bf1c579b486d64bc60a57";
        assert_eq!(hex::encode(domain_separator(8453)), base);
        assert_eq!(hex::encode(domain_separator(4326)), mega);
    }
}
