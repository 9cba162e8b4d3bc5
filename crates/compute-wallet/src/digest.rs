use sha3::{Digest, Keccak256};

/// The output of Keccak-256 or SHA-256.
pub type Digest32 = [u8; 32];

/// Hashes with Keccak-256 as Ethereum uses it (not the later SHA3-256).
#[must_use]
pub fn keccak256(bytes: &[u8]) -> Digest32 {
    Keccak256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::keccak256;

    // The hash of the empty string is printed in the Ethereum yellow paper, appendix F.
    #[test]
    fn keccak_of_nothing_is_the_published_value() {
        assert_eq!(
            hex::encode(keccak256(b"")),
            "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
        );
    }
}
