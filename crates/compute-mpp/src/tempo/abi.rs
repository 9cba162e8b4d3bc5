//! The few calls and events of TIP-20 tokens that a payment consists of.

use compute_wallet::{Digest32, EvmAddress, Uint256};

/// Topic 0 of `Transfer(address indexed from, address indexed to, uint256 amount)`.
pub const TRANSFER_TOPIC: Digest32 = [
    0xdd, 0xf2, 0x52, 0xad, 0x1b, 0xe2, 0xc8, 0x9b, 0x69, 0xc2, 0xb0, 0x68, 0xfc, 0x37, 0x8d, 0xaa,
    0x95, 0x2b, 0xa7, 0xf1, 0x63, 0xc4, 0xa1, 0x16, 0x28, 0xf5, 0x5a, 0x4d, 0xf5, 0x23, 0xb3, 0xef,
];

/// Topic 0 of `TransferWithMemo(address indexed from, address indexed to, uint256 amount, bytes32 indexed memo)`.
pub const TRANSFER_WITH_MEMO_TOPIC: Digest32 = [
    0x57, 0xbc, 0x73, 0x54, 0xaa, 0x85, 0xae, 0xd3, 0x39, 0xe0, 0x00, 0xbc, 0xcf, 0xfa, 0xbb, 0xc5,
    0x29, 0x46, 0x6a, 0xf3, 0x5f, 0x07, 0x72, 0xc8, 0xf8, 0xee, 0x11, 0x45, 0x92, 0x7d, 0xe7, 0xf0,
];

/// Selector of `transfer(address,uint256)`.
const TRANSFER: [u8; 4] = [0xa9, 0x05, 0x9c, 0xbb];
/// Selector of `transferWithMemo(address,uint256,bytes32)`.
const TRANSFER_WITH_MEMO: [u8; 4] = [0x95, 0x77, 0x7d, 0x59];

/// A call that moves tokens of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenTransfer {
    /// Who is paid.
    pub to: EvmAddress,
    /// Base units of the token.
    pub amount: Uint256,
    /// The memo, where the call has one.
    pub memo: Option<Digest32>,
}

impl TokenTransfer {
    /// Reads call data: `transfer` with exactly 68 bytes or `transferWithMemo` with exactly 100, and
    /// twelve zero bytes before the address.
    ///
    /// # Errors
    /// What was found instead, as a part of a sentence.
    pub fn parse(data: &[u8]) -> Result<Self, &'static str> {
        let (selector, words) = data
            .split_first_chunk::<4>()
            .ok_or("less than a selector")?;
        let has_memo = match *selector {
            TRANSFER => false,
            TRANSFER_WITH_MEMO => true,
            _ => return Err("another function"),
        };
        let (words, rest) = words.as_chunks::<32>();
        let (to, amount, memo) = match (words, rest, has_memo) {
            ([to, amount], [], false) => (to, amount, None),
            ([to, amount, memo], [], true) => (to, amount, Some(*memo)),
            _ => return Err("arguments of another length"),
        };
        Ok(Self {
            to: address_of_word(to).ok_or("an address word with dirty upper bytes")?,
            amount: Uint256::from_be_bytes(*amount),
            memo,
        })
    }

    /// The call data.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let selector = match self.memo {
            Some(_) => TRANSFER_WITH_MEMO,
            None => TRANSFER,
        };
        let mut data = selector.to_vec();
        data.extend_from_slice(&word_of_address(&self.to));
        data.extend_from_slice(&self.amount.to_be_bytes());
        data.extend(self.memo.into_iter().flatten());
        data
    }
}

/// The address in a 32-byte word, when the twelve bytes before it are zero.
#[must_use]
pub fn address_of_word(word: &Digest32) -> Option<EvmAddress> {
    let (padding, address) = word.split_first_chunk::<12>()?;
    let address = address.try_into().ok()?;
    (*padding == [0; 12]).then_some(EvmAddress::new(address))
}

/// An address as a 32-byte word: an argument of a call, or a topic.
#[must_use]
pub fn word_of_address(address: &EvmAddress) -> Digest32 {
    let mut word = [0_u8; 32];
    for (slot, byte) in word.iter_mut().skip(12).zip(address.as_bytes()) {
        *slot = *byte;
    }
    word
}

#[cfg(test)]
mod tests {
    use compute_wallet::keccak256;

    use super::*;

    #[test]
    fn selectors_and_topics_are_the_hashes_of_their_signatures() {
        for (selector, signature) in [
            (TRANSFER, "transfer(address,uint256)"),
            (
                TRANSFER_WITH_MEMO,
                "transferWithMemo(address,uint256,bytes32)",
            ),
        ] {
            assert_eq!(
                selector,
                keccak256(signature.as_bytes())[..4],
                "{signature}"
            );
        }
        for (topic, signature) in [
            (TRANSFER_TOPIC, "Transfer(address,address,uint256)"),
            (
                TRANSFER_WITH_MEMO_TOPIC,
                "TransferWithMemo(address,address,uint256,bytes32)",
            ),
        ] {
            assert_eq!(topic, keccak256(signature.as_bytes()), "{signature}");
        }
    }

    #[test]
    fn both_calls_read_as_they_were_written() {
        for memo in [None, Some([7; 32])] {
            let call = TokenTransfer {
                to: EvmAddress::new([1; 20]),
                amount: Uint256::from(5_u64),
                memo,
            };
            assert_eq!(TokenTransfer::parse(&call.encode()), Ok(call));
        }
    }
}
