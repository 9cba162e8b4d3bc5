//! Signed text messages: EIP-191 version `0x45`, known as `personal_sign`.

use sha3::{Digest, Keccak256};

use crate::digest::Digest32;
use crate::evm::EvmAddress;
use crate::signature::{EvmSignature, SignatureError, recover_digest};

const PREFIX: &[u8] = b"\x19Ethereum Signed Message:\n";

/// The digest a wallet signs for a text message: prefix, byte length in decimal, message.
#[must_use]
pub fn message_digest(message: &[u8]) -> Digest32 {
    let mut hasher = Keccak256::new();
    hasher.update(PREFIX);
    hasher.update(message.len().to_string().as_bytes());
    hasher.update(message);
    hasher.finalize().into()
}

/// Finds who signed a text message.
///
/// # Errors
/// When no public key fits the signature.
pub fn recover_message(
    message: &[u8],
    signature: &EvmSignature,
) -> Result<EvmAddress, SignatureError> {
    recover_digest(&message_digest(message), signature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EvmKey;

    // `hashMessage("hello world")` of ethers 6 and of viem 2.
    #[test]
    fn the_digest_equals_that_of_other_libraries() {
        assert_eq!(
            hex::encode(message_digest(b"hello world")),
            "d9eba16ed0ecae432b71fe008c98cc872bb4cc214d3220a36f365326cf807d68"
        );
    }

    #[test]
    fn a_signed_message_recovers_to_its_signer_only() {
        let key = EvmKey::from_bytes(&[9; 32]).unwrap();
        let signature = key.sign_message(b"pay");
        assert_eq!(recover_message(b"pay", &signature), Ok(key.address()));
        assert_ne!(recover_message(b"pay ", &signature), Ok(key.address()));
    }
}
