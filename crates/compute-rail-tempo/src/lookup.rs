//! Finding out whether the money moved, and whether it still can.

use core::time::Duration;

use compute_domain::payment::Evidence;
use compute_engine::ChargeProof;
use compute_engine::ports::{ClaimedPayment, Lookup, Mpp, RailUnavailable};
use compute_evm::Block;
use compute_mpp::tempo::{EXPIRING_NONCE_KEY, Transaction};

use crate::chain::{Objection, TempoChain};
use crate::paying::{Paying, Way};
use crate::rail::{TempoRail, unavailable};
use crate::verdict::{Unclear, Verdict};

/// How often a transaction is looked for that no block can hold any more, each time with the chain's own
/// word behind it that its end is past.
const LAST_LOOKS: u32 = 3;

impl TempoRail {
    pub(crate) async fn try_lookup(
        &self,
        payment: &ClaimedPayment<Mpp>,
    ) -> Result<Lookup, RailUnavailable> {
        let paying = read(payment.proof())?;
        let looked = self.chain.fate(&paying, self.timeouts.poll).await;
        match looked.map_err(|error| unavailable(&error))? {
            Fate::Paid(evidence) => Ok(Lookup::Settled(evidence)),
            Fate::Dead(code) => Ok(Lookup::Never {
                code: code.to_owned(),
            }),
            Fate::Open => Ok(Lookup::NotYet),
        }
    }
}

/// What became of a payment, and what can become of it.
#[derive(Debug)]
pub(crate) enum Fate {
    /// The money arrived, by this transaction or by another one for the same challenge.
    Paid(Evidence),
    /// It has not, and still can.
    Open,
    /// It has not, and this transaction cannot bring it any more; the code.
    Dead(&'static str),
}

impl TempoChain {
    /// Looks a payment up, and when it is not there, whether it can still come.
    ///
    /// The head of the chain, the receipt and the log may be answers of three machines behind one
    /// address. That none of them has the transaction proves something because each of them is beyond
    /// its end: the head is [`max_lag_s`](Self::max_lag_s) beyond it, and a machine that lags by more is
    /// not followed. A batch of questions would not do: services that balance load take it apart.
    pub(crate) async fn fate(&self, paying: &Paying<'_>, pause: Duration) -> Result<Fate, Unclear> {
        let seen = self.look(paying).await?;
        let (Verdict::Absent, Way::Pull(transaction)) = (&seen, &paying.way) else {
            // Who sent a transaction by itself can send it again for as long as it is good for.
            return self.conclude(paying, seen).await;
        };
        let mut over = None;
        // The first look may have come just before the last block that could take it, or to a machine
        // that lags more than it should: so it is repeated, and each one needs a head of its own.
        for look in 0..LAST_LOOKS {
            if look > 0 {
                tokio::time::sleep(pause).await;
            }
            let head = self.head().await?;
            over = self.find_end(paying, transaction, head).await?;
            if over.is_none() {
                return Ok(Fate::Open);
            }
            match self.look(paying).await? {
                Verdict::Absent => {}
                seen => return self.conclude(paying, seen).await,
            }
        }
        match over {
            Some(code) => self.conclude(paying, Verdict::Failed(code)).await,
            None => Ok(Fate::Open),
        }
    }

    /// What a verdict means for the money: before a payment is given up, its challenge is looked for in
    /// the log of the token.
    pub(crate) async fn conclude(
        &self,
        paying: &Paying<'_>,
        seen: Verdict,
    ) -> Result<Fate, Unclear> {
        let code = match seen {
            Verdict::Paid(evidence) => return Ok(Fate::Paid(evidence)),
            Verdict::Absent => return Ok(Fate::Open),
            Verdict::Failed(code) => code,
        };
        let other = self.find_by_memo(paying).await?;
        Ok(other.map_or(Fate::Dead(code), Fate::Paid))
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
        if end.is_some_and(|end| head.time >= end.saturating_add(self.max_lag_s)) {
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
