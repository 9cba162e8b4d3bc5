//! The few calls and log entries of a payment token, as bytes.

use compute_wallet::{Digest32, EvmAddress};

/// Selector of `authorizationState(address,bytes32)` (EIP-3009).
const AUTHORIZATION_STATE: [u8; 4] = [0xe9, 0x4a, 0x01, 0x02];

/// Calldata of `DOMAIN_SEPARATOR()` (EIP-2612).
pub const DOMAIN_SEPARATOR: &str = "0x3644e515";

/// Calldata of `decimals()` (ERC-20).
pub const DECIMALS: &str = "0x313ce567";

/// Topic of `AuthorizationUsed(address indexed,bytes32 indexed)` (EIP-3009).
pub const AUTHORIZATION_USED: &str =
    "0x98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5";

/// Topic of `AuthorizationCanceled(address indexed,bytes32 indexed)` (EIP-3009).
pub const AUTHORIZATION_CANCELED: &str =
    "0x1cdd46ff242716cdaa72d159d339a485b3438398348d68f09d7c8c0a59353d81";

/// Topic of `Transfer(address indexed,address indexed,uint256)` (ERC-20).
pub const TRANSFER: &str = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";

/// Topic of `Approval(address indexed,address indexed,uint256)` (ERC-20).
pub const APPROVAL: &str = "0x8c5be1e5ebec7d5bd14f71427d1e84f3dd0314c0f7b2291e5b200ac8c7c3b925";

/// Calldata of `balanceOf(address)` (ERC-20).
#[must_use]
pub fn balance_of(owner: EvmAddress) -> String {
    format!("0x70a08231{}", hex::encode(padded(owner)))
}

/// Calldata of `nonces(address)` (ERC-2612).
#[must_use]
pub fn nonces(owner: EvmAddress) -> String {
    format!("0x7ecebe00{}", hex::encode(padded(owner)))
}

/// Calldata of `allowance(address,address)` (ERC-20).
#[must_use]
pub fn allowance(owner: EvmAddress, spender: EvmAddress) -> String {
    format!(
        "0xdd62ed3e{}{}",
        hex::encode(padded(owner)),
        hex::encode(padded(spender))
    )
}

/// Calldata of `nonceBitmap(address,uint256)` (Permit2), and the bit of a nonce in its answer,
/// counted from the lowest.
#[must_use]
pub fn nonce_bitmap(owner: EvmAddress, nonce: &Digest32) -> (String, u8) {
    let (high, low) = nonce.split_at(31);
    let mut word = [0; 32];
    for (slot, byte) in word.iter_mut().skip(1).zip(high) {
        *slot = *byte;
    }
    let data = format!(
        "0x4fe02b44{}{}",
        hex::encode(padded(owner)),
        hex::encode(word)
    );
    (data, low.first().copied().unwrap_or_default())
}

/// Whether a bit of a word is set, counted from the lowest.
#[must_use]
pub fn has_bit(word: &Digest32, bit: u8) -> bool {
    let byte = word.iter().rev().nth(usize::from(bit / 8));
    byte.is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
}

/// Calldata of `authorizationState`.
#[must_use]
pub fn authorization_state(from: EvmAddress, nonce: &Digest32) -> String {
    format!(
        "0x{}{}{}",
        hex::encode(AUTHORIZATION_STATE),
        hex::encode(padded(from)),
        hex::encode(nonce)
    )
}

/// An address as a log topic.
#[must_use]
pub fn address_topic(address: EvmAddress) -> String {
    word(&padded(address))
}

/// 32 bytes as `0x` hex.
#[must_use]
pub fn word(bytes: &Digest32) -> String {
    format!("0x{}", hex::encode(bytes))
}

/// Reads one word of 32 bytes; anything else is not the answer of such a call.
#[must_use]
pub fn read_word(text: &str) -> Option<Digest32> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text.strip_prefix("0x")?, &mut bytes).ok()?;
    Some(bytes)
}

/// Reads an address from a word or a log topic.
#[must_use]
pub fn read_address(text: &str) -> Option<EvmAddress> {
    let word = read_word(text)?;
    let (high, low) = word.split_at(12);
    if high.iter().any(|byte| *byte != 0) {
        return None;
    }
    low.try_into().ok().map(EvmAddress::new)
}

/// Reads a whole number that fits 128 bits from a word.
#[must_use]
pub fn read_uint(text: &str) -> Option<u128> {
    let word = read_word(text)?;
    let (high, low) = word.split_at(16);
    if high.iter().any(|byte| *byte != 0) {
        return None;
    }
    low.try_into().ok().map(u128::from_be_bytes)
}

/// Reads `0x1a`, the form of numbers outside of words.
#[must_use]
pub fn read_quantity(text: &str) -> Option<u64> {
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
        let begins_with = |data: String, text: &str| {
            assert_eq!(data[2..10], selector(text), "{text}");
        };
        let somebody = EvmAddress::new([7; 20]);
        begins_with(balance_of(somebody), "balanceOf(address)");
        begins_with(nonces(somebody), "nonces(address)");
        begins_with(allowance(somebody, somebody), "allowance(address,address)");
        let bitmap = "nonceBitmap(address,uint256)";
        begins_with(nonce_bitmap(somebody, &[0; 32]).0, bitmap);
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
        assert_eq!(APPROVAL, topic("Approval(address,address,uint256)"));
    }

    #[test]
    fn a_nonce_is_one_bit_of_one_word() {
        let mut nonce = [0; 32];
        (nonce[29], nonce[30], nonce[31]) = (1, 2, 0x83);
        let (data, bit) = nonce_bitmap(EvmAddress::new([7; 20]), &nonce);
        assert!(data.ends_with(&format!("{:064x}", 0x0102)), "{data}");
        assert_eq!(bit, 0x83);
        let mut word = [0; 32];
        // Bit 131 is bit 3 of the 17th byte from the right.
        word[15] = 0b1000;
        assert!(has_bit(&word, bit));
        assert!(!has_bit(&word, bit - 1));
        assert!(!has_bit(&word, bit + 1));
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
        let somebody = EvmAddress::new([7; 20]);
        assert_eq!(read_address(&address_topic(somebody)), Some(somebody));
        assert_eq!(read_address(&format!("0x1{}", "0".repeat(63))), None);
        assert_eq!(read_address("0x07"), None);
    }
}
