//! The few calls and log entries of an EIP-3009 token, as bytes.

use compute_wallet::{Digest32, EvmAddress};

/// Selector of `authorizationState(address,bytes32)` (EIP-3009).
const AUTHORIZATION_STATE: [u8; 4] = [0xe9, 0x4a, 0x01, 0x02];

/// Calldata of `DOMAIN_SEPARATOR()` (EIP-2612).
pub(crate) const DOMAIN_SEPARATOR: &str = "0x3644e515";

/// Calldata of `decimals()` (ERC-20).
pub(crate) const DECIMALS: &str = "0x313ce567";

/// Topic of `AuthorizationUsed(address indexed,bytes32 indexed)` (EIP-3009).
pub(crate) const AUTHORIZATION_USED: &str =
    "0x98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5";

/// Topic of `AuthorizationCanceled(address indexed,bytes32 indexed)` (EIP-3009).
pub(crate) const AUTHORIZATION_CANCELED: &str =
    "0x1cdd46ff242716cdaa72d159d339a485b3438398348d68f09d7c8c0a59353d81";

/// Topic of `Transfer(address indexed,address indexed,uint256)` (ERC-20).
pub(crate) const TRANSFER: &str =
    "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";

/// Calldata of `authorizationState`.
pub(crate) fn authorization_state(from: EvmAddress, nonce: &Digest32) -> String {
    format!(
        "0x{}{}{}",
        hex::encode(AUTHORIZATION_STATE),
        hex::encode(padded(from)),
        hex::encode(nonce)
    )
}

/// An address as a log topic.
pub(crate) fn address_topic(address: EvmAddress) -> String {
    word(&padded(address))
}

/// 32 bytes as `0x` hex.
pub(crate) fn word(bytes: &Digest32) -> String {
    format!("0x{}", hex::encode(bytes))
}

/// Reads one word of 32 bytes; anything else is not the answer of such a call.
pub(crate) fn read_word(text: &str) -> Option<Digest32> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text.strip_prefix("0x")?, &mut bytes).ok()?;
    Some(bytes)
}

/// Reads a whole number that fits 128 bits from a word.
pub(crate) fn read_uint(text: &str) -> Option<u128> {
    let word = read_word(text)?;
    let (high, low) = word.split_at(16);
    if high.iter().any(|byte| *byte != 0) {
        return None;
    }
    low.try_into().ok().map(u128::from_be_bytes)
}

/// Reads `0x1a`, the form of numbers outside of words.
pub(crate) fn read_quantity(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x")?;
    // `from_str_radix` would take a sign.
    if digits.starts_with('+') {
        return None;
    }
    u64::from_str_radix(digits, 16).ok()
}

fn padded(address: EvmAddress) -> Digest32 {
    let mut word = [0; 32];
    let (_, low) = word.split_at_mut(12);
    low.copy_from_slice(address.as_bytes());
    word
}

#[cfg(test)]
mod tests {
    use compute_wallet::keccak256;

    use super::*;

    #[test]
    fn selectors_and_topics_are_hashes_of_signatures() {
        let selector = |text: &str| hex::encode(&keccak256(text.as_bytes())[..4]);
        assert_eq!(
            hex::encode(AUTHORIZATION_STATE),
            selector("authorizationState(address,bytes32)")
        );
        assert_eq!(DOMAIN_SEPARATOR[2..], selector("DOMAIN_SEPARATOR()"));
        assert_eq!(DECIMALS[2..], selector("decimals()"));
        let topic = |text: &str| word(&keccak256(text.as_bytes()));
        assert_eq!(
            AUTHORIZATION_USED,
            topic("AuthorizationUsed(address,bytes32)")
        );
        assert_eq!(
            AUTHORIZATION_CANCELED,
            topic("AuthorizationCanceled(address,bytes32)")
        );
        assert_eq!(TRANSFER, topic("Transfer(address,address,uint256)"));
    }

    #[test]
    fn numbers_are_read_strictly() {
        assert_eq!(read_quantity("0x1a"), Some(26));
        for text in ["", "0x", "1a", "0x+1", "0xg", "0x10000000000000000"] {
            assert_eq!(read_quantity(text), None, "{text}");
        }
        let word = |number: &str| format!("0x{number:0>64}");
        assert_eq!(read_uint(&word("ff")), Some(255));
        assert_eq!(read_uint(&format!("0x1{}", "0".repeat(63))), None);
        for text in ["", "0x", "0x01", &word("zz")] {
            assert_eq!(read_uint(text), None, "{text}");
        }
    }
}
