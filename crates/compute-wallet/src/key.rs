//! Signing keys, for hot wallets, example clients and tests.

use std::fmt;

use ed25519_dalek::Signer as _;
use k256::ecdsa::SigningKey;
use zeroize::Zeroizing;

use crate::digest::Digest32;
use crate::eip191::message_digest;
use crate::evm::EvmAddress;
use crate::signature::{EvmSignature, address_of};
use crate::solana::SolanaAddress;

/// The secret key of an EVM account. Wiped from memory when dropped; never printed.
pub struct EvmKey {
    secret: SigningKey,
    address: EvmAddress,
}

/// The secret key of a Solana account. Wiped from memory when dropped; never printed.
pub struct SolanaKey(ed25519_dalek::SigningKey);

/// Why bytes are not a secret key. Says nothing about the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not 32 bytes of hex.
    #[error("a secret key must be 32 bytes of hex")]
    Malformed,
    /// Zero, or not below the curve order.
    #[error("the secret key is out of range")]
    OutOfRange,
    /// Not 64 bytes, in base58 or as a list of numbers.
    #[error("a Solana key must be 64 bytes, in base58 or as a JSON list of numbers")]
    MalformedPair,
    /// The public half is another key's.
    #[error("the two halves of the Solana key do not belong together")]
    OddPair,
}

impl EvmKey {
    /// Reads 32 big-endian bytes.
    ///
    /// # Errors
    /// When the number is zero or not below the curve order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let secret = SigningKey::from_slice(bytes).map_err(|_| KeyError::OutOfRange)?;
        let address = address_of(secret.verifying_key());
        Ok(Self { secret, address })
    }

    /// Reads 64 hex digits with or without `0x`.
    ///
    /// # Errors
    /// When the text is not 32 bytes of hex or the number is out of range.
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let mut bytes = Zeroizing::new([0_u8; 32]);
        hex::decode_to_slice(digits, &mut *bytes).map_err(|_| KeyError::Malformed)?;
        Self::from_bytes(&bytes)
    }

    /// The account this key controls.
    #[must_use]
    pub const fn address(&self) -> EvmAddress {
        self.address
    }

    /// Signs a digest: deterministic (RFC 6979), low `s`, `v` 27 or 28.
    #[must_use]
    pub fn sign_digest(&self, digest: &Digest32) -> EvmSignature {
        #[expect(
            clippy::expect_used,
            reason = "k256 refuses only digests shorter than 16 bytes, and a one in 2^128 nonce"
        )]
        let (rs, recovery) = self
            .secret
            .sign_prehash_recoverable(digest)
            .expect("a digest of 32 bytes can be signed");
        EvmSignature::from_parts(rs, recovery)
    }

    /// Signs a text message as `personal_sign` does (EIP-191).
    #[must_use]
    pub fn sign_message(&self, message: &[u8]) -> EvmSignature {
        self.sign_digest(&message_digest(message))
    }
}

impl SolanaKey {
    /// Derives the key from its 32-byte seed; every seed is a key.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// Reads the 64 bytes that wallets export, seed and public half: base58, or the JSON list of
    /// numbers that the command line tools of Solana write into a file.
    ///
    /// # Errors
    /// When the text is neither, or the halves do not belong together.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let mut pair = Zeroizing::new([0_u8; 64]);
        match text.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            Some(numbers) => {
                let mut numbers = numbers.split(',');
                for place in pair.iter_mut() {
                    let number = numbers.next().and_then(|it| it.trim().parse().ok());
                    *place = number.ok_or(KeyError::MalformedPair)?;
                }
                if numbers.next().is_some() {
                    return Err(KeyError::MalformedPair);
                }
            }
            None => {
                let length = bs58::decode(text).onto(&mut *pair);
                if length != Ok(64) {
                    return Err(KeyError::MalformedPair);
                }
            }
        }
        ed25519_dalek::SigningKey::from_keypair_bytes(&pair)
            .map(Self)
            .map_err(|_| KeyError::OddPair)
    }

    /// The account this key controls.
    #[must_use]
    pub fn address(&self) -> SolanaAddress {
        SolanaAddress::new(self.0.verifying_key().to_bytes())
    }

    /// Signs the bytes as they are.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for EvmKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EvmKey")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SolanaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SolanaKey")
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Vectors of the public API reference, computed with eth-account 0.14 and solders 0.29.
    #[test]
    fn keys_have_the_addresses_other_libraries_give_them() {
        let evm = EvmKey::from_hex(&"01".repeat(32)).unwrap();
        assert_eq!(
            evm.address().to_checksum(),
            "0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1"
        );
        let solana = SolanaKey::from_seed(&[2; 32]);
        assert_eq!(
            solana.address().to_string(),
            "9hSR6S7WPtxmTojgo6GG3k4yDPecgJY292j7xrsUGWBu"
        );
    }

    #[test]
    fn a_solana_key_is_read_as_wallets_write_it() {
        let key = SolanaKey::from_seed(&[2; 32]);
        let mut pair = [2; 64];
        pair[32..].copy_from_slice(key.address().as_bytes());
        let base58 = bs58::encode(pair).into_string();
        let list = format!("{pair:?}\n");
        for text in [base58.as_str(), &list, &format!(" {base58}\n")] {
            let read = SolanaKey::parse(text).unwrap();
            assert_eq!(read.address(), key.address());
            assert_eq!(read.sign(b"x"), key.sign(b"x"));
        }
        let mut odd = pair;
        odd[63] ^= 1;
        let odd = bs58::encode(odd).into_string();
        assert_eq!(SolanaKey::parse(&odd).err(), Some(KeyError::OddPair));
        let long = format!("[{}]", ["1"; 65].join(","));
        let wide = format!("[{}]", ["256"; 64].join(","));
        let short = bs58::encode([2; 32]).into_string();
        for bad in [
            "",
            "[]",
            "[1,2]",
            &long,
            &wide,
            &short,
            "0OIl",
            &base58[1..],
        ] {
            assert_eq!(
                SolanaKey::parse(bad).err(),
                Some(KeyError::MalformedPair),
                "{bad}"
            );
        }
    }

    #[test]
    fn impossible_keys_are_refused() {
        assert_eq!(
            EvmKey::from_bytes(&[0; 32]).err(),
            Some(KeyError::OutOfRange)
        );
        assert_eq!(
            EvmKey::from_bytes(&[0xff; 32]).err(),
            Some(KeyError::OutOfRange)
        );
        assert_eq!(EvmKey::from_hex("0x01").err(), Some(KeyError::Malformed));
        assert_eq!(
            EvmKey::from_hex(&"zz".repeat(32)).err(),
            Some(KeyError::Malformed)
        );
    }

    #[test]
    fn debug_names_the_account_and_no_secret() {
        let evm = format!("{:?}", EvmKey::from_bytes(&[1; 32]).unwrap());
        let solana = format!("{:?}", SolanaKey::from_seed(&[2; 32]));
        assert!(evm.contains("0x1a642f0e3c3af545e7acbd38b07251b3990914f1"));
        assert!(!evm.contains("0101") && !solana.contains("0202") && !solana.contains("2, 2"));
    }
}
