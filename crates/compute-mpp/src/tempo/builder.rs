//! The paying side: building the transaction that pays a challenge.

use compute_wallet::{EvmAddress, Uint256};

use super::abi::TokenTransfer;
use super::memo::AttributionMemo;
use super::rlp::RlpList;
use super::terms::TempoCharge;
use super::transaction::{Call, EXPIRING_NONCE_KEY, TransactionBody};

/// Enough for the first transfer to a new account, as the published clients budget it.
const GAS_LIMIT: u64 = 1_500_000;
/// Units of 10⁻¹⁸ dollar: a millionth of a dollar buys 40 units of gas at most.
const MAX_FEE_PER_GAS: u128 = 25_000_000_000;
const MAX_PRIORITY_FEE_PER_GAS: u128 = 1_000_000_000;

/// Builds a payment with an expiring nonce, unless told otherwise.
#[derive(Debug, Clone)]
#[must_use]
pub struct TransactionBuilder {
    body: TransactionBody,
}

impl TransactionBuilder {
    /// One `transferWithMemo` that pays a challenge and can be included until `valid_before` (unix
    /// seconds, exclusive). The chain takes at most 30 s ahead, newer ones 300 s.
    pub fn payment(charge: &TempoCharge<'_>, client_id: Option<&str>, valid_before: u64) -> Self {
        let memo = AttributionMemo::of(charge.realm, charge.challenge_id, client_id);
        let transfer = TokenTransfer {
            to: charge.terms.recipient,
            amount: Uint256::from(charge.amount),
            memo: Some(*memo.as_bytes()),
        };
        Self::transfer(charge.terms.chain_id, charge.terms.currency, &transfer)
            .valid_before(valid_before)
    }

    /// One transfer of any kind; with the expiring nonce it still needs a bound of its validity.
    pub fn transfer(chain_id: u64, token: EvmAddress, transfer: &TokenTransfer) -> Self {
        let body = TransactionBody {
            chain_id,
            max_priority_fee_per_gas: MAX_PRIORITY_FEE_PER_GAS,
            max_fee_per_gas: MAX_FEE_PER_GAS,
            gas_limit: GAS_LIMIT,
            calls: vec![Call {
                to: Some(token),
                value: Uint256::default(),
                input: transfer.encode(),
            }],
            access_list: Vec::new(),
            nonce_key: EXPIRING_NONCE_KEY,
            nonce: 0,
            valid_before: None,
            valid_after: None,
            fee_token: None,
            authorization_list: RlpList::default(),
            key_authorization: None,
        };
        Self { body }
    }

    /// Unix seconds from which on it cannot be included.
    pub const fn valid_before(mut self, unix_s: u64) -> Self {
        self.body.valid_before = Some(unix_s);
        self
    }

    /// Unix seconds from which on it can be included. A random number in the past makes two payments
    /// of the same second differ.
    pub const fn valid_after(mut self, unix_s: u64) -> Self {
        self.body.valid_after = Some(unix_s);
        self
    }

    /// A counted nonce in a lane of its own instead of an expiring one.
    pub const fn lane(mut self, key: Uint256, nonce: u64) -> Self {
        self.body.nonce_key = key;
        self.body.nonce = nonce;
        self
    }

    /// The token in which the sender pays the fee.
    pub const fn fee_token(mut self, token: EvmAddress) -> Self {
        self.body.fee_token = Some(token);
        self
    }

    /// What is to be signed.
    #[must_use]
    pub fn build(self) -> TransactionBody {
        self.body
    }
}
