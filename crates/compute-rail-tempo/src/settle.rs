//! Making the money move: the payer's transaction is handed to the chain, and its receipt judged.
//!
//! The chain takes a transaction once, so sending it again is safe at any time. What has to be exact
//! is the answer: nothing but a receipt says that money moved, and a refusal says that it did not
//! only in words that leave no doubt, with another look behind them.

use compute_engine::ports::{ClaimedPayment, Mpp, Settlement};
use compute_evm::NodeError;

use crate::chain::{Objection, may_be_under_way, told};
use crate::lookup::Fate;
use crate::paying::{Paying, Way, objection_code};
use crate::rail::TempoRail;
use crate::verdict::{Unclear, Verdict, judge};

impl TempoRail {
    pub(crate) async fn try_settle(&self, payment: &ClaimedPayment<Mpp>) -> Settlement {
        let Some(paying) = Paying::of(payment.proof()) else {
            return not_sent("the stored proof is no payment on Tempo");
        };
        match self.chain.look(&paying).await {
            Ok(Verdict::Absent) => {}
            Ok(seen) => return outcome(seen),
            Err(Unclear::Contradiction(reason)) => return unknown(reason),
            // Its sender has sent it: that we send nothing says nothing of its money.
            Err(Unclear::Unasked(error)) if matches!(paying.way, Way::Push) => {
                return unknown(&told(&error));
            }
            Err(Unclear::Unasked(error)) => return not_sent(&told(&error)),
        }
        let Way::Pull(transaction) = &paying.way else {
            // It was there when it was checked, or somebody claims what nobody sent.
            return self.follow(&paying, "not in a block yet").await;
        };
        let claimed_s = payment.payment().claimed_at.secs();
        let pull = match paying.verify_claimed(transaction, claimed_s) {
            Ok(pull) => pull,
            Err(error) => return declined(objection_code(&error)),
        };
        match self.chain.send(&pull.raw).await {
            Ok(Some(receipt)) => match judge(&paying, &receipt) {
                Ok(Verdict::Paid(evidence)) => Settlement::Settled(evidence),
                // What is said in passing is asked again.
                _ => {
                    self.follow(&paying, "sent, but without a clear receipt")
                        .await
                }
            },
            Ok(None) => self.follow(&paying, "sent, but not in a block yet").await,
            Err(error @ NodeError::NotSent(_)) => not_sent(&told(&error)),
            Err(error) if may_be_under_way(&error) => self.follow(&paying, &told(&error)).await,
            Err(error) => self.refused(&paying, &error).await,
        }
    }

    /// Looks for a receipt until there is one, or the looks are used up.
    async fn follow(&self, paying: &Paying<'_>, reason: &str) -> Settlement {
        let mut reason = reason.to_owned();
        for look in 0..self.looks.max(1) {
            if look > 0 {
                tokio::time::sleep(self.timeouts.poll).await;
            }
            match self.chain.look(paying).await {
                Ok(Verdict::Absent) => {}
                Ok(seen) => return outcome(seen),
                Err(unclear) => reason = unclear.to_string(),
            }
        }
        unknown(&reason)
    }

    /// The node does not want the transaction. That proves something only where the chain itself, or
    /// the payer's purse, says the same, and the transaction is not in.
    async fn refused(&self, paying: &Paying<'_>, error: &NodeError) -> Settlement {
        let fate = self.chain.fate(paying).await;
        match (fate, Objection::of(error)) {
            (Ok(Fate::Dead(code)), _) => declined(code),
            (Ok(Fate::Seen(Verdict::Absent)), Objection::Funds) => self.uncovered(paying).await,
            // What took the nonce may be the transaction itself, in a block that is not shown yet.
            (Ok(Fate::Seen(Verdict::Absent)), Objection::Nonce) => {
                self.follow(paying, &told(error)).await
            }
            (Ok(Fate::Seen(Verdict::Absent)), _) => unknown(&told(error)),
            (Ok(Fate::Seen(seen)), _) => outcome(seen),
            (Err(unclear), _) => unknown(&unclear.to_string()),
        }
    }

    /// The payer holds too little; unless what is missing was just taken by this transaction.
    async fn uncovered(&self, paying: &Paying<'_>) -> Settlement {
        tokio::time::sleep(self.timeouts.poll).await;
        match self.chain.look(paying).await {
            Ok(Verdict::Absent) => declined(Objection::Funds.code()),
            Ok(seen) => outcome(seen),
            Err(unclear) => unknown(&unclear.to_string()),
        }
    }
}

fn outcome(seen: Verdict) -> Settlement {
    match seen {
        Verdict::Paid(evidence) => Settlement::Settled(evidence),
        Verdict::Failed(code) => declined(code),
        Verdict::Absent => unknown("not in a block yet"),
    }
}

fn declined(code: &str) -> Settlement {
    Settlement::Declined {
        code: code.to_owned(),
    }
}

fn not_sent(reason: &str) -> Settlement {
    Settlement::NotSent {
        reason: reason.to_owned(),
    }
}

pub(crate) fn unknown(reason: &str) -> Settlement {
    Settlement::Unknown {
        reason: reason.to_owned(),
    }
}
