//! What a receipt says about a payment.

use std::fmt;

use compute_domain::payment::Evidence;
use compute_evm::NodeError;
use compute_mpp::tempo::{ReceiptError, ReceiptView, find_payment};
use compute_wallet::Digest32;
use serde_json::Value;

use crate::chain::{TempoChain, told, word};
use crate::paying::{Paying, Way};

/// The payer's transaction is in and was undone.
pub(crate) const REVERTED: &str = "transaction_reverted";
/// The payer's transaction is in and pays something else.
pub(crate) const WRONG_PAYMENT: &str = "wrong_payment";

/// What became of a transaction, by what the node shows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is in no block that the node knows.
    Absent,
    /// It paid.
    Paid(Evidence),
    /// It is in and did not pay, and never will; the code.
    Failed(&'static str),
}

/// Why nothing can be said about a payment.
#[derive(Debug)]
pub(crate) enum Unclear {
    /// The node did not answer, or not that question.
    Unasked(NodeError),
    /// What the node shows contradicts itself, or what was verified here.
    Contradiction(&'static str),
}

impl From<NodeError> for Unclear {
    fn from(error: NodeError) -> Self {
        Self::Unasked(error)
    }
}

impl fmt::Display for Unclear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unasked(error) => f.write_str(&told(error)),
            Self::Contradiction(reason) => f.write_str(reason),
        }
    }
}

impl TempoChain {
    /// Looks a payment up. That it failed is believed when it is said twice: a wrong word about it
    /// would cost the payer what it paid for.
    pub(crate) async fn look(&self, paying: &Paying<'_>) -> Result<Verdict, Unclear> {
        let first = self.look_once(paying).await?;
        if !matches!(first, Verdict::Failed(_)) {
            return Ok(first);
        }
        let second = self.look_once(paying).await?;
        if second == first {
            Ok(first)
        } else {
            let reason = "the node shows two receipts of one transaction";
            Err(Unclear::Contradiction(reason))
        }
    }

    async fn look_once(&self, paying: &Paying<'_>) -> Result<Verdict, Unclear> {
        match self.receipt(&paying.hash).await? {
            Some(receipt) => judge(paying, &receipt),
            None => Ok(Verdict::Absent),
        }
    }
}

/// Reads a receipt of the node.
pub(crate) fn judge(paying: &Paying<'_>, receipt: &Value) -> Result<Verdict, Unclear> {
    judge_as(paying, &paying.hash, receipt)
}

/// The same for a transaction that is said to pay the challenge, too.
pub(crate) fn judge_as(
    paying: &Paying<'_>,
    hash: &Digest32,
    receipt: &Value,
) -> Result<Verdict, Unclear> {
    let paid = ReceiptView::parse(receipt)
        .and_then(|it| find_payment(&it, &paying.charge, &paying.payer, hash));
    let reason = match (paid, &paying.way) {
        (Ok(paid), _) => match u32::try_from(paid.transfer_log_index) {
            Ok(log_index) => {
                return Ok(Verdict::Paid(Evidence {
                    reference: word(hash),
                    log_index: Some(log_index),
                }));
            }
            Err(_) => "the place of the transfer is out of all bounds",
        },
        (Err(ReceiptError::Reverted), _) => return Ok(Verdict::Failed(REVERTED)),
        (Err(ReceiptError::WrongPayment(_)), Way::Push) => {
            return Ok(Verdict::Failed(WRONG_PAYMENT));
        }
        (Err(ReceiptError::WrongPayment(reason)), Way::Pull(_)) => {
            // We read the transaction, and it can do nothing else: one of us two is wrong.
            tracing::error!(
                chain.transaction = %word(hash), reason,
                "a transaction that was verified to pay is said to have paid something else"
            );
            "a verified transaction is said to have paid something else"
        }
        (Err(ReceiptError::Unclear(reason)), _) => reason,
    };
    Err(Unclear::Contradiction(reason))
}
