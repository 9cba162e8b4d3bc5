//! Recoverable signatures of EVM accounts.

use std::fmt;

use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};

use crate::digest::{Digest32, keccak256};
use crate::evm::EvmAddress;

/// A 65-byte signature `r ‖ s ‖ v` with `r`, `s` in range, `s` in the lower half and a known `v`.
///
/// Tokens revert on a high `s` and on any `v` but 27 and 28, so a value of this type is the only
/// form that can settle. `v` 0 and 1 are accepted and normalised.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EvmSignature {
    rs: Signature,
    recovery: RecoveryId,
}

/// Why a signature is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not hex text, or not 65 bytes.
    #[error("a signature must be 65 bytes of hex")]
    Malformed,
    /// `r` or `s` is zero or not below the curve order.
    #[error("a signature value is out of range")]
    OutOfRange,
    /// `s` is above half the curve order: the malleable twin of a good signature.
    #[error("the signature is not in its low-s form")]
    HighS,
    /// `v` is none of 0, 1, 27, 28.
    #[error("the recovery value of the signature is unknown")]
    RecoveryValue,
    /// The signature recovers to nobody, or to somebody else.
    #[error("the signature was not made by this address")]
    NotSigner,
}

impl EvmSignature {
    /// Reads hex text with or without `0x`, in any letter case.
    ///
    /// # Errors
    /// When the text is not 65 bytes of hex, or the values break a rule of this type.
    pub fn parse(text: &str) -> Result<Self, SignatureError> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let mut bytes = [0_u8; 65];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| SignatureError::Malformed)?;
        Self::from_bytes(&bytes)
    }

    /// Reads `r ‖ s ‖ v`.
    ///
    /// # Errors
    /// When the values break a rule of this type.
    pub fn from_bytes(bytes: &[u8; 65]) -> Result<Self, SignatureError> {
        let [rs @ .., v] = bytes;
        let recovery = match v {
            0 | 27 => RecoveryId::new(false, false),
            1 | 28 => RecoveryId::new(true, false),
            _ => return Err(SignatureError::RecoveryValue),
        };
        let rs = Signature::from_slice(rs).map_err(|_| SignatureError::OutOfRange)?;
        if rs.normalize_s().is_some() {
            return Err(SignatureError::HighS);
        }
        Ok(Self { rs, recovery })
    }

    /// The 65 bytes with `v` 27 or 28.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 65] {
        let mut bytes = [0_u8; 65];
        let v = 27 + u8::from(self.recovery.is_y_odd());
        for (slot, byte) in bytes
            .iter_mut()
            .zip(self.rs.to_bytes().into_iter().chain([v]))
        {
            *slot = byte;
        }
        bytes
    }

    /// `0x` and 130 lower-case hex digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        format!("0x{}", hex::encode(self.to_bytes()))
    }

    pub(crate) fn from_parts(rs: Signature, recovery: RecoveryId) -> Self {
        Self { rs, recovery }
    }
}

impl fmt::Debug for EvmSignature {
    /// A signed payment is a bearer instrument, so logs never see it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EvmSignature(..)")
    }
}

/// Finds who signed a 32-byte digest.
///
/// # Errors
/// When no public key fits the signature.
pub fn recover_digest(
    digest: &Digest32,
    signature: &EvmSignature,
) -> Result<EvmAddress, SignatureError> {
    let key = VerifyingKey::recover_from_prehash(digest, &signature.rs, signature.recovery)
        .map_err(|_| SignatureError::NotSigner)?;
    Ok(address_of(&key))
}

/// The last 20 bytes of the hash of the uncompressed public key.
pub(crate) fn address_of(key: &VerifyingKey) -> EvmAddress {
    let point = key.to_encoded_point(false);
    // The first byte only says that the point is uncompressed.
    let hash = keccak256(point.as_bytes().get(1..).unwrap_or_default());
    let mut bytes = [0_u8; 20];
    for (slot, byte) in bytes.iter_mut().zip(hash.into_iter().skip(12)) {
        *slot = byte;
    }
    EvmAddress::new(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::EvmKey;

    fn signed() -> (EvmKey, Digest32, [u8; 65]) {
        let key = EvmKey::from_bytes(&[7; 32]).unwrap();
        let digest = keccak256(b"a payment");
        let bytes = key.sign_digest(&digest).to_bytes();
        (key, digest, bytes)
    }

    #[test]
    fn hex_is_read_with_and_without_prefix_in_any_case() {
        let (_, _, bytes) = signed();
        let lower = hex::encode(bytes);
        let expected = EvmSignature::from_bytes(&bytes);
        for text in [
            lower.clone(),
            format!("0x{lower}"),
            format!("0x{}", lower.to_uppercase()),
        ] {
            assert_eq!(EvmSignature::parse(&text), expected);
        }
    }

    #[test]
    fn recovery_values_zero_and_one_mean_27_and_28() {
        let (key, digest, mut bytes) = signed();
        bytes[64] -= 27;
        let signature = EvmSignature::from_bytes(&bytes).unwrap();
        assert_eq!(recover_digest(&digest, &signature), Ok(key.address()));
        assert!(matches!(signature.to_bytes()[64], 27 | 28));
    }

    #[test]
    fn other_recovery_values_are_refused() {
        let (_, _, mut bytes) = signed();
        for v in (2..27).chain(29..=255) {
            bytes[64] = v;
            assert_eq!(
                EvmSignature::from_bytes(&bytes),
                Err(SignatureError::RecoveryValue)
            );
        }
    }

    #[test]
    fn the_high_twin_is_refused() {
        let (_, _, mut bytes) = signed();
        let low = Signature::from_slice(&bytes[..64]).unwrap();
        let high = Signature::from_scalars(*low.r(), -*low.s()).unwrap();
        bytes[..64].copy_from_slice(&high.to_bytes());
        bytes[64] ^= 27 ^ 28;
        assert_eq!(EvmSignature::from_bytes(&bytes), Err(SignatureError::HighS));
    }

    #[test]
    fn zero_and_oversized_values_are_refused() {
        let (_, _, good) = signed();
        for range in [0..32, 32..64] {
            for fill in [0x00, 0xff] {
                let mut bytes = good;
                bytes[range.clone()].fill(fill);
                assert_eq!(
                    EvmSignature::from_bytes(&bytes),
                    Err(SignatureError::OutOfRange)
                );
            }
        }
    }

    #[test]
    fn other_lengths_are_refused() {
        for text in [
            String::new(),
            "0x".into(),
            "0x1".into(),
            "11".repeat(64),
            "11".repeat(66),
        ] {
            assert_eq!(EvmSignature::parse(&text), Err(SignatureError::Malformed));
        }
    }

    #[test]
    fn debug_shows_nothing_of_the_signature() {
        let (_, _, bytes) = signed();
        let signature = EvmSignature::from_bytes(&bytes).unwrap();
        assert_eq!(format!("{signature:?}"), "EvmSignature(..)");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        // A changed bit anywhere in the signature or the digest never recovers to the signer.
        #[test]
        fn one_changed_bit_loses_the_signer(at in 0_usize..97, bit in 0_u8..8) {
            let (key, mut digest, mut bytes) = signed();
            if at < 65 { bytes[at] ^= 1 << bit } else { digest[at - 65] ^= 1 << bit }
            let recovered = EvmSignature::from_bytes(&bytes).and_then(|signature| recover_digest(&digest, &signature));
            prop_assert_ne!(recovered, Ok(key.address()));
        }

        // Arbitrary bytes recover to somebody or to an error, never to a panic.
        #[test]
        fn arbitrary_bytes_never_panic(head: [u8; 32], tail: [u8; 32], v: u8, digest: [u8; 32]) {
            let mut bytes = [0; 65];
            bytes[..32].copy_from_slice(&head);
            bytes[32..64].copy_from_slice(&tail);
            bytes[64] = v;
            let _ = EvmSignature::from_bytes(&bytes).and_then(|signature| recover_digest(&digest, &signature));
        }
    }
}
