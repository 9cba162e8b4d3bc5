//! The hot wallet: the only place where something is signed, behind a list of what may be.

use alloy_consensus::{SignableTransaction as _, Signed, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::{Decodable2718 as _, Encodable2718 as _};
use alloy_primitives::{Address, Signature, TxKind, U256};
use compute_evm::abi;
use compute_wallet::{EvmAddress, EvmKey, EvmSignature};
use compute_x402::permit2::PERMIT2;

use crate::calls::Call;

/// No call of ours takes this much; a node that estimates more is wrong or attacked.
pub(crate) const MAX_GAS: u64 = 1_000_000;

/// Wei in a gwei.
const GWEI: u128 = 1_000_000_000;

/// A key, and what it may be used for.
#[derive(Debug)]
pub(crate) struct HotWallet {
    key: EvmKey,
    chain_id: u64,
    rules: Rules,
}

/// What the wallet may touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// The one token.
    pub(crate) token: EvmAddress,
    /// Where what it holds or was approved for may go.
    pub(crate) treasury: EvmAddress,
    /// Whom payers may pay through it.
    pub(crate) recipients: Vec<EvmAddress>,
    /// The most it pays, in wei per gas.
    pub(crate) max_fee_per_gas: u128,
}

/// What a transaction pays, in wei per gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fees {
    pub(crate) max: u128,
    pub(crate) priority: u128,
}

/// A signed transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignedTransaction {
    pub(crate) raw: Vec<u8>,
    /// `0x` and 64 lower-case hex digits.
    pub(crate) hash: String,
    /// The most it can cost, in gwei, rounded up.
    pub(crate) max_cost_gwei: u64,
}

/// The wallet does not sign this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Forbidden {
    #[error("the call touches another token")]
    Token,
    #[error("the call would move money to somebody else")]
    Recipient,
    #[error("the call moves nothing, or more than a number can say")]
    Amount,
    #[error("the permit does not approve this wallet")]
    Spender,
    #[error("the call takes more gas than any of ours")]
    Gas,
    #[error("the gas price is above the ceiling")]
    GasPrice,
    #[error("the stored transaction was not signed by this wallet")]
    Foreign,
}

impl HotWallet {
    pub(crate) const fn new(key: EvmKey, chain_id: u64, rules: Rules) -> Self {
        Self {
            key,
            chain_id,
            rules,
        }
    }

    pub(crate) const fn address(&self) -> EvmAddress {
        self.key.address()
    }

    pub(crate) const fn chain_id(&self) -> u64 {
        self.chain_id
    }

    pub(crate) const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Signs a call.
    ///
    /// # Errors
    /// When the call is not one of ours.
    pub(crate) fn sign(
        &self,
        call: &Call,
        nonce: u64,
        gas_limit: u64,
        fees: Fees,
    ) -> Result<SignedTransaction, Forbidden> {
        self.check(call)?;
        self.sign_unchecked(TxEip1559 {
            chain_id: self.chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas: fees.max,
            max_priority_fee_per_gas: fees.priority,
            to: TxKind::Call(Address::from(*call.to().as_bytes())),
            value: U256::ZERO,
            access_list: Default::default(),
            input: call.data().into(),
        })
    }

    /// Signs a transaction of this wallet once more, at a higher price. `None` when the ceiling
    /// leaves no room for one that nodes take as a replacement.
    ///
    /// # Errors
    /// When the bytes are no transaction that this wallet signed before.
    pub(crate) fn sign_dearer(
        &self,
        raw: &[u8],
        market: Fees,
    ) -> Result<Option<SignedTransaction>, Forbidden> {
        let mut transaction = self.read_own(raw)?;
        // Nodes want a tenth more of both; an eighth is what most wallets pay.
        let dearer = |old: u128, market: u128| (old + old / 8 + 1).max(market);
        let max = dearer(transaction.max_fee_per_gas, market.max);
        let priority = dearer(transaction.max_priority_fee_per_gas, market.priority);
        if max > self.rules.max_fee_per_gas {
            return Ok(None);
        }
        transaction.max_fee_per_gas = max;
        transaction.max_priority_fee_per_gas = priority.min(max);
        self.sign_unchecked(transaction).map(Some)
    }

    // Whoever can write our database must not be able to have something signed: only what carries
    // our own signature already is signed again.
    fn read_own(&self, raw: &[u8]) -> Result<TxEip1559, Forbidden> {
        let envelope = TxEnvelope::decode_2718_exact(raw).map_err(|_| Forbidden::Foreign)?;
        let TxEnvelope::Eip1559(signed) = envelope else {
            return Err(Forbidden::Foreign);
        };
        let digest: [u8; 32] = signed.signature_hash().into();
        let signature = EvmSignature::from_bytes(&signed.signature().as_bytes());
        let signer = signature.and_then(|it| compute_wallet::recover_digest(&digest, &it));
        if signer != Ok(self.address()) || signed.tx().chain_id != self.chain_id {
            return Err(Forbidden::Foreign);
        }
        Ok(signed.tx().clone())
    }

    fn sign_unchecked(&self, transaction: TxEip1559) -> Result<SignedTransaction, Forbidden> {
        if transaction.gas_limit > MAX_GAS {
            return Err(Forbidden::Gas);
        }
        if transaction.max_fee_per_gas > self.rules.max_fee_per_gas {
            return Err(Forbidden::GasPrice);
        }
        let cost = u128::from(transaction.gas_limit)
            .saturating_mul(transaction.max_fee_per_gas)
            .div_ceil(GWEI);
        let digest: [u8; 32] = transaction.signature_hash().into();
        let bytes = self.key.sign_digest(&digest).to_bytes();
        let signature = Signature::from_raw(&bytes).map_err(|_| Forbidden::Foreign)?;
        let signed: Signed<TxEip1559> = transaction.into_signed(signature);
        Ok(SignedTransaction {
            hash: abi::word(&(*signed.hash()).into()),
            raw: TxEnvelope::from(signed).encoded_2718(),
            max_cost_gwei: u64::try_from(cost).unwrap_or(u64::MAX),
        })
    }

    fn check(&self, call: &Call) -> Result<(), Forbidden> {
        let rules = &self.rules;
        let is_token = |token: &EvmAddress| ensure(*token == rules.token, Forbidden::Token);
        let is_recipient =
            |to: &EvmAddress| ensure(rules.recipients.contains(to), Forbidden::Recipient);
        let is_treasury = |to: &EvmAddress| ensure(*to == rules.treasury, Forbidden::Recipient);
        let is_amount = |amount: Option<u128>| {
            ensure(amount.is_some_and(|amount| amount > 0), Forbidden::Amount)
        };
        match call {
            Call::Authorization {
                token,
                authorization,
                ..
            } => {
                is_token(token)?;
                is_recipient(&authorization.to)?;
                is_amount(authorization.value.to_u128())
            }
            Call::Permit { token, permit, .. } => {
                is_token(token)?;
                ensure(permit.spender == self.address(), Forbidden::Spender)?;
                is_amount(permit.value.to_u128())
            }
            Call::Pull {
                token, to, amount, ..
            }
            | Call::Sweep { token, to, amount } => {
                is_token(token)?;
                is_treasury(to)?;
                is_amount(Some(amount.get()))
            }
            Call::Permit2 {
                transfer,
                sponsored,
                ..
            } => {
                is_token(&transfer.token)?;
                is_recipient(&transfer.to)?;
                if let Some((permit, _)) = sponsored.as_deref() {
                    ensure(permit.spender == PERMIT2, Forbidden::Spender)?;
                }
                is_amount(transfer.amount.to_u128())
            }
            Call::Fill { wallet } => ensure(*wallet == self.address(), Forbidden::Recipient),
        }
    }
}

const fn ensure(holds: bool, otherwise: Forbidden) -> Result<(), Forbidden> {
    if holds { Ok(()) } else { Err(otherwise) }
}

#[cfg(test)]
#[path = "wallet/tests.rs"]
mod tests;
