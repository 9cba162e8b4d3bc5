//! Typed data (EIP-712): domain separators, struct hashes and the digest that is signed.

use std::fmt;

use sha3::{Digest, Keccak256};

use crate::digest::{Digest32, keccak256};
use crate::evm::EvmAddress;
use crate::uint256::Uint256;

/// Keccak-256 of `EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)`.
const DOMAIN_TYPE_HASH: Digest32 = [
    0x8b, 0x73, 0xc3, 0xc6, 0x9b, 0xb8, 0xfe, 0x3d, 0x51, 0x2e, 0xcc, 0x4c, 0xf7, 0x59, 0xcc, 0x79,
    0x23, 0x9f, 0x7b, 0x17, 0x9b, 0x0f, 0xfa, 0xca, 0xa9, 0xa7, 0x5d, 0x52, 0x2b, 0x39, 0x40, 0x0f,
];

/// The four-field domain that every stablecoin here uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Eip712Domain<'a> {
    /// The name the contract signs under; not always its ERC-20 name.
    pub name: &'a str,
    /// The version the contract signs under.
    pub version: &'a str,
    /// The EVM chain id.
    pub chain_id: u64,
    /// The contract that checks the signature.
    pub verifying_contract: EvmAddress,
}

impl Eip712Domain<'_> {
    /// The domain separator, which equals the contract's `DOMAIN_SEPARATOR()`.
    #[must_use]
    pub fn separator(&self) -> Digest32 {
        StructHasher::new(&DOMAIN_TYPE_HASH)
            .text(self.name)
            .text(self.version)
            .uint(self.chain_id.into())
            .address(&self.verifying_contract)
            .finish()
    }
}

/// Hashes one struct member by member, in the order of its type.
#[derive(Clone)]
#[must_use]
pub struct StructHasher(Keccak256);

impl StructHasher {
    /// Begins with the hash of the encoded type, see [`keccak256`].
    pub fn new(type_hash: &Digest32) -> Self {
        Self(Keccak256::new()).word(type_hash)
    }

    /// Appends an `address`.
    pub fn address(self, value: &EvmAddress) -> Self {
        let mut word = [0_u8; 32];
        for (slot, byte) in word.iter_mut().skip(12).zip(value.as_bytes()) {
            *slot = *byte;
        }
        self.word(&word)
    }

    /// Appends a `uint256` or any smaller unsigned integer.
    pub fn uint(self, value: Uint256) -> Self {
        self.word(&value.to_be_bytes())
    }

    /// Appends a `string`, which counts by its hash.
    pub fn text(self, value: &str) -> Self {
        self.word(&keccak256(value.as_bytes()))
    }

    /// Appends a `bytes32`, or the hash of a nested struct.
    pub fn word(mut self, value: &Digest32) -> Self {
        self.0.update(value);
        self
    }

    /// The hash of the struct.
    #[must_use]
    pub fn finish(self) -> Digest32 {
        self.0.finalize().into()
    }
}

impl fmt::Debug for StructHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StructHasher(..)")
    }
}

/// The digest a wallet signs: `0x1901`, domain separator, struct hash.
#[must_use]
pub fn signing_digest(separator: &Digest32, struct_hash: &Digest32) -> Digest32 {
    let mut hasher = Keccak256::new();
    hasher.update(b"\x19\x01");
    hasher.update(separator);
    hasher.update(struct_hash);
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EvmKey, EvmSignature, recover_digest};

    fn separator(name: &str, version: &str, chain_id: u64, contract: &str) -> String {
        let verifying_contract = EvmAddress::parse(contract).unwrap();
        hex::encode(
            Eip712Domain {
                name,
                version,
                chain_id,
                verifying_contract,
            }
            .separator(),
        )
    }

    #[test]
    fn the_type_hash_is_the_hash_of_the_type() {
        let text =
            b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)";
        assert_eq!(keccak256(text), DOMAIN_TYPE_HASH);
    }

    // Read from the token contracts and computed with eth-account 0.14 and ethers 6.17.
    #[test]
    fn domain_separators_equal_those_of_the_tokens() {
        assert_eq!(
            separator(
                "USD Coin",
                "2",
                8453,
                "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"
            ),
            "02fa7265e7c5d81118673727957699e4d68f74cd74b7db77da710fe8a2c7834f"
        );
        assert_eq!(
            separator(
                "USDC",
                "2",
                84532,
                "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
            ),
            "71f17a3b2ff373b803d70a5a07c046c1a2bc8e89c09ef722fcb047abe94c9818"
        );
        assert_eq!(
            separator(
                "MegaUSD",
                "1",
                4326,
                "0xFAfDdbb3FC7688494971a79cc65DCa3EF82079E7"
            ),
            "26e1aa8b35bf8653b60726926f670a6ec590674f00b149826914c480d0e798bd"
        );
    }

    // The `Mail` example of EIP-712 itself, with the key keccak256("cow").
    #[test]
    fn the_example_of_the_standard_signs_as_printed() {
        let person = keccak256(b"Person(string name,address wallet)");
        let mail = keccak256(
            b"Mail(Person from,Person to,string contents)Person(string name,address wallet)",
        );
        let cow = EvmAddress::parse("0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826").unwrap();
        let bob = EvmAddress::parse("0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB").unwrap();
        let from = StructHasher::new(&person)
            .text("Cow")
            .address(&cow)
            .finish();
        let to = StructHasher::new(&person)
            .text("Bob")
            .address(&bob)
            .finish();
        let hash = StructHasher::new(&mail)
            .word(&from)
            .word(&to)
            .text("Hello, Bob!")
            .finish();
        let domain = Eip712Domain {
            name: "Ether Mail",
            version: "1",
            chain_id: 1,
            verifying_contract: EvmAddress::parse("0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC")
                .unwrap(),
        };
        let digest = signing_digest(&domain.separator(), &hash);
        assert_eq!(
            hex::encode(digest),
            "be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2"
        );
        let key = EvmKey::from_bytes(&keccak256(b"cow")).unwrap();
        let signature = key.sign_digest(&digest);
        assert_eq!(
            signature.to_hex(),
            "0x4355c47d63924e8a72e509b65029052eb6c299d53a04e167c5775fd466751c9d07299936d304c153f6443dfa05f40ff007d72911b6f72307f996231605b915621c"
        );
        let read = EvmSignature::parse(&signature.to_hex()).unwrap();
        assert_eq!(recover_digest(&digest, &read), Ok(cow));
    }
}
