//! Addresses and signatures of Solana.

use std::fmt;

use ed25519_dalek::{Signature, VerifyingKey};

use crate::address::AddressError;
use crate::signature::SignatureError;

/// 32 bytes need 32 to 44 base58 characters; longer text is refused before it is decoded.
const BASE58_LENGTHS: std::ops::RangeInclusive<usize> = 32..=44;

/// An account of Solana: the 32 bytes of an Ed25519 public key or of a derived address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SolanaAddress([u8; 32]);

impl SolanaAddress {
    /// Wraps 32 bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads base58 text of exactly 32 bytes.
    ///
    /// # Errors
    /// When the text is not base58 or names another number of bytes.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if !BASE58_LENGTHS.contains(&text.len()) {
            return Err(AddressError::Malformed);
        }
        let mut bytes = [0_u8; 32];
        match bs58::decode(text).onto(&mut bytes) {
            Ok(32) => Ok(Self(bytes)),
            Ok(_) | Err(_) => Err(AddressError::Malformed),
        }
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for SolanaAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bs58::encode(self.0).into_string())
    }
}

impl fmt::Debug for SolanaAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Checks an Ed25519 signature by the strict rules, which leave one valid signature per message.
///
/// # Errors
/// When `who` is no point of the curve or of small order, or the signature is not theirs.
pub fn verify_ed25519(
    who: &SolanaAddress,
    message: &[u8],
    signature: &[u8; 64],
) -> Result<(), SignatureError> {
    let key = VerifyingKey::from_bytes(who.as_bytes()).map_err(|_| SignatureError::NotSigner)?;
    key.verify_strict(message, &Signature::from_bytes(signature))
        .map_err(|_| SignatureError::NotSigner)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::SolanaKey;

    #[test]
    fn a_known_mint_round_trips() {
        let text = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";
        assert_eq!(SolanaAddress::parse(text).unwrap().to_string(), text);
    }

    #[test]
    fn other_shapes_are_refused() {
        for text in [
            "",
            "1111111111111111111111111111111",
            "0PjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v",
            "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v1",
            "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
            "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed",
        ] {
            assert_eq!(
                SolanaAddress::parse(text),
                Err(AddressError::Malformed),
                "{text:?}"
            );
        }
    }

    // A key of small order would verify signatures that nobody made.
    #[test]
    fn a_key_of_small_order_is_refused() {
        let mut identity = [0_u8; 32];
        identity[0] = 1;
        let mut forged = [0_u8; 64];
        forged[0] = 1;
        let outcome = verify_ed25519(&SolanaAddress::new(identity), b"anything", &forged);
        assert_eq!(outcome, Err(SignatureError::NotSigner));
    }

    proptest! {
        // A signature holds for its message and for no message that differs in one bit.
        #[test]
        fn one_changed_bit_breaks_a_signature(seed: [u8; 32], mut message in prop::collection::vec(any::<u8>(), 1..64), at: prop::sample::Index, bit in 0_u8..8) {
            let key = SolanaKey::from_seed(&seed);
            let signature = key.sign(&message);
            prop_assert!(verify_ed25519(&key.address(), &message, &signature).is_ok());
            let index = at.index(message.len());
            message[index] ^= 1 << bit;
            prop_assert!(verify_ed25519(&key.address(), &message, &signature).is_err());
        }

        // Base58 text names the address it came from.
        #[test]
        fn base58_round_trips(bytes: [u8; 32]) {
            let address = SolanaAddress::new(bytes);
            prop_assert_eq!(SolanaAddress::parse(&address.to_string()), Ok(address));
        }

        // Arbitrary text is an address or an error, never a panic.
        #[test]
        fn arbitrary_text_never_panics(text in ".{0,64}") {
            let _ = SolanaAddress::parse(&text);
        }
    }
}
