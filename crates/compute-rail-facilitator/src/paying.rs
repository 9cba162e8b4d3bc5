//! What a stored proof pays, on either family of chains.

use compute_domain::time::Timestamp;
use compute_engine::StoredProof;
use compute_evm::AuthorizedTransfer;
use compute_wallet::{SolanaAddress, WalletAddress};
use compute_x402::{ErrorCode, TokenTerms, ValidityWindow, identify, verify};

/// 150 blocks of at most 1 s; a blockhash that was good when a payment came is not good after that.
const BLOCKHASH_LIFE_S: u64 = 150;

/// A payment that a facilitator is asked to settle.
#[derive(Debug)]
pub(crate) enum Paying {
    /// A signed authorization on an EVM chain.
    Authorized(AuthorizedTransfer),
    /// A transaction on Solana, and who signed it.
    Signed(WalletAddress),
}

impl Paying {
    /// Reads a proof; nothing when it is none in a token of these kinds.
    pub(crate) fn of(proof: &StoredProof) -> Option<Self> {
        if proof.offer.token().as_svm().is_none() {
            return AuthorizedTransfer::of(&proof.payload, &proof.offer).map(Self::Authorized);
        }
        let identified = identify(&proof.payload, proof.offer.token()).ok()?;
        Some(Self::Signed(identified.payer))
    }

    pub(crate) fn payer(&self) -> WalletAddress {
        match self {
            Self::Authorized(transfer) => WalletAddress::Evm(transfer.from),
            Self::Signed(payer) => *payer,
        }
    }

    /// From when on it can no longer settle, in Unix seconds, when it was claimed at this moment.
    pub(crate) fn ends_at(&self, claimed_at: Timestamp) -> u64 {
        match self {
            Self::Authorized(transfer) => transfer.valid_before,
            Self::Signed(_) => claimed_at.secs().saturating_add(BLOCKHASH_LIFE_S),
        }
    }
}

/// Who pays the fee of payments in this token, where that is part of the offer.
pub(crate) fn fee_payer_of(token: &TokenTerms) -> Option<SolanaAddress> {
    token.as_svm().map(|token| token.terms().fee_payer())
}

/// What is wrong with a payment on Solana that can be known before anybody is asked: a transaction
/// is a program, and what it may not do is for us to say and not for whoever pays its fee.
pub(crate) fn find_fault(proof: &StoredProof, now: Timestamp) -> Option<ErrorCode> {
    proof.offer.token().as_svm()?;
    let window = ValidityWindow::at(now.secs());
    let checked = verify(&proof.payload, core::slice::from_ref(&proof.offer), window);
    checked.err().map(|error| error.code())
}
