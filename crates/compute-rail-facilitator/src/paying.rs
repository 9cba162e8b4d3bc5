//! What a stored proof pays, in each of the ways that a facilitator settles.

use compute_domain::time::Timestamp;
use compute_engine::StoredProof;
use compute_evm::{AuthorizedTransfer, Chain, Fate, Mined, NodeError, PermittedTransfer};
use compute_wallet::WalletAddress;
use compute_x402::{ErrorCode, Method, ValidityWindow, identify, verify};

/// 150 blocks of at most 1 s; a blockhash that was good when a payment came is not good after that.
const BLOCKHASH_LIFE_S: u64 = 150;

/// A payment that a facilitator is asked to settle.
#[derive(Debug)]
pub(crate) enum Paying {
    /// A signed authorization on an EVM chain.
    Authorized(AuthorizedTransfer),
    /// A transfer through Permit2. A permit for the facilitator itself is no such payment: it names
    /// no recipient, so that whoever it approves decides where the money goes.
    Permitted(PermittedTransfer),
    /// A transaction on Solana, and who signed it.
    Signed(WalletAddress),
}

impl Paying {
    /// Reads a proof; nothing when it is none in a token of these kinds.
    pub(crate) fn of(proof: &StoredProof) -> Option<Self> {
        let (payload, offer) = (&proof.payload, &proof.offer);
        match offer.token().method() {
            Method::Eip3009 { .. } => AuthorizedTransfer::of(payload, offer).map(Self::Authorized),
            Method::Permit { .. } => PermittedTransfer::of(payload, offer).map(Self::Permitted),
            Method::Svm(_) => {
                let identified = identify(payload, offer.token()).ok()?;
                Some(Self::Signed(identified.payer))
            }
            _ => None,
        }
    }

    pub(crate) const fn payer(&self) -> WalletAddress {
        match self {
            Self::Authorized(transfer) => WalletAddress::Evm(transfer.from),
            Self::Permitted(transfer) => WalletAddress::Evm(transfer.moved.from),
            Self::Signed(payer) => *payer,
        }
    }

    /// From when on it can no longer settle, in Unix seconds, when it was claimed at this moment.
    pub(crate) fn ends_at(&self, claimed_at: Timestamp) -> u64 {
        match self {
            Self::Authorized(transfer) => transfer.valid_before,
            Self::Permitted(transfer) => transfer.deadline.saturating_add(1),
            Self::Signed(_) => claimed_at.secs().saturating_add(BLOCKHASH_LIFE_S),
        }
    }

    /// A transaction as it is written down. Letter case means something in base58.
    pub(crate) fn reference(&self, transaction: String) -> String {
        match self {
            Self::Authorized(_) | Self::Permitted(_) => transaction.to_ascii_lowercase(),
            Self::Signed(_) => transaction,
        }
    }

    /// What a transaction did for this payment.
    ///
    /// # Errors
    /// When the node does not answer, or is none for this payment.
    pub(crate) async fn mined(&self, chain: &Chain, transaction: &str) -> Result<Mined, NodeError> {
        match self {
            Self::Authorized(transfer) => chain.mined(transfer, transaction).await,
            Self::Permitted(transfer) => chain.permit2_mined(transfer, transaction).await,
            Self::Signed(_) => Err(other_chain()),
        }
    }

    /// What became of this payment, which nobody can have submitted before `since_s` (Unix seconds).
    ///
    /// # Errors
    /// When the node does not answer, or is none for this payment.
    pub(crate) async fn fate(&self, chain: &Chain, since_s: u64) -> Result<Fate, NodeError> {
        match self {
            Self::Authorized(transfer) => chain.fate(transfer, since_s).await,
            Self::Permitted(transfer) => chain.permit2_fate(transfer, since_s).await,
            Self::Signed(_) => Err(other_chain()),
        }
    }

    /// Whether this payment moved the money at or after `since_s` (Unix seconds), whoever submitted
    /// it.
    ///
    /// # Errors
    /// When the node does not answer, or is none for this payment.
    pub(crate) async fn was_paid_since(
        &self,
        chain: &Chain,
        since_s: u64,
    ) -> Result<bool, NodeError> {
        match self {
            Self::Authorized(transfer) => chain.was_paid_since(transfer, since_s).await,
            Self::Permitted(transfer) => chain.was_permit2_paid_since(transfer, since_s).await,
            Self::Signed(_) => Err(other_chain()),
        }
    }
}

fn other_chain() -> NodeError {
    NodeError::unusable("it is a node of another kind of chain")
}

/// What is wrong with a payment that was presented at this moment, as far as it can be known before
/// anybody is asked. A transaction on Solana is a program, and a payment through Permit2 comes with
/// a second signature: what they may do is for us to say, and not for whoever pays their fee.
pub(crate) fn find_fault(proof: &StoredProof, presented: Timestamp) -> Option<ErrorCode> {
    if let Method::Eip3009 { .. } = proof.offer.token().method() {
        return None;
    }
    let window = ValidityWindow::at(presented.secs());
    let checked = verify(&proof.payload, core::slice::from_ref(&proof.offer), window);
    checked.err().map(|error| error.code())
}
