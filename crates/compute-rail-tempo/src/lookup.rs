//! Finding out whether the money moved, and whether it still can.

use compute_engine::ChargeProof;
use compute_engine::ports::{ClaimedPayment, Lookup, Mpp, RailUnavailable};
use compute_evm::Block;
use compute_mpp::tempo::{EXPIRING_NONCE_KEY, Transaction};

use crate::chain::{Objection, TempoChain};
use crate::paying::{Paying, Way};
use crate::rail::{TempoRail, unavailable};
use crate::verdict::{Unclear, Verdict};

/// The chain must be so many seconds beyond a transaction's end: then every machine behind the node's
/// address has the blocks that could hold it.
const PAST_END_S: u64 = 5;

impl TempoRail {
    pub(crate) async fn try_lookup(
        &self,
        payment: &ClaimedPayment<Mpp>,
    ) -> Result<Lookup, RailUnavailable> {
        let paying = read(payment.proof())?;
        let looked = self.chain.fate(&paying).await;
        match looked.map_err(|error| unavailable(&error))? {
            Fate::Seen(Verdict::Paid(evidence)) => Ok(Lookup::Settled(evidence)),
            Fate::Seen(Verdict::Failed(code)) | Fate::Dead(code) => Ok(Lookup::Never {
                code: code.to_owned(),
            }),
            Fate::Seen(Verdict::Absent) => Ok(Lookup::NotYet),
        }
    }
}

/// What became of a payment, and what can become of it.
pub(crate) enum Fate {
    /// What the node shows.
    Seen(Verdict),
    /// It is in no block, and no block can take it any more.
    Dead(&'static str),
}

impl TempoChain {
    /// Looks a payment up, and when it is not there, whether it can still come.
    pub(crate) async fn fate(&self, paying: &Paying<'_>) -> Result<Fate, Unclear> {
        let seen = self.look(paying).await?;
        let (Verdict::Absent, Way::Pull(transaction)) = (&seen, &paying.way) else {
            // Who sent a transaction by itself can send it again for as long as it is good for.
            return Ok(Fate::Seen(seen));
        };
        let head = self.head().await?;
        let Some(code) = self.find_end(paying, transaction, head).await? else {
            return Ok(Fate::Seen(seen));
        };
        // The first look may have come just before the last block that could take it.
        match self.look(paying).await? {
            Verdict::Absent => Ok(Fate::Dead(code)),
            seen => Ok(Fate::Seen(seen)),
        }
    }

    /// Why no block after this head can hold the transaction, if there is a reason.
    async fn find_end(
        &self,
        paying: &Paying<'_>,
        transaction: &Transaction,
        head: Block,
    ) -> Result<Option<&'static str>, Unclear> {
        let body = &transaction.body;
        let end = body.valid_before;
        if end.is_some_and(|end| head.time >= end.saturating_add(PAST_END_S)) {
            return Ok(Some(Objection::Expired.code()));
        }
        if body.nonce_key == EXPIRING_NONCE_KEY {
            return Ok(None);
        }
        let taken = self
            .nonces_taken(paying.payer, body.nonce_key, head)
            .await?;
        Ok((taken > body.nonce).then_some(Objection::Nonce.code()))
    }
}

pub(crate) fn read(proof: &ChargeProof) -> Result<Paying<'_>, RailUnavailable> {
    Paying::of(proof).ok_or_else(|| unavailable(&"the stored proof is no payment on Tempo"))
}
