use compute_engine::StoredProof;
use compute_wallet::{Digest32, EvmAddress, WalletAddress};
use compute_x402::{Amount, identify};

use crate::abi;

/// The transfer that a payment authorizes: what to look for on the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuthorizedTransfer {
    pub(crate) token: EvmAddress,
    pub(crate) from: EvmAddress,
    pub(crate) to: EvmAddress,
    pub(crate) amount: Amount,
    pub(crate) nonce: Digest32,
    /// Unix seconds; the token refuses from this second on.
    pub(crate) valid_before: u64,
}

impl AuthorizedTransfer {
    /// Reads it from a proof, whose signature is checked once more on the way. `None` when the
    /// proof is not an EIP-3009 payment, which verification lets nobody claim.
    pub(crate) fn of(proof: &StoredProof) -> Option<Self> {
        let token = proof.offer.token();
        let payment = identify(&proof.payload, token).ok()?;
        let (WalletAddress::Evm(from), WalletAddress::Evm(to)) =
            (payment.payer, proof.offer.pay_to())
        else {
            return None;
        };
        // The identity of an EIP-3009 payment ends with its nonce.
        let (_, nonce) = payment.proof_key.as_str().rsplit_once(':')?;
        Some(Self {
            token: token.asset(),
            from,
            to,
            amount: proof.offer.amount(),
            nonce: abi::read_word(nonce)?,
            valid_before: payment.valid_before,
        })
    }
}
