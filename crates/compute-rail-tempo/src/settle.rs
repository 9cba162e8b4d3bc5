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
use crate::verdict::{Verdict, judge};

impl TempoRail {
    pub(crate) async fn try_settle(&self, payment: &ClaimedPayment<Mpp>) -> Settlement {
        let Some(paying) = Paying::of(payment.proof()) else {
            return not_sent("the stored proof is no payment on Tempo");
        };
        match self.chain.look(&paying).await {
            Ok(Verdict::Absent) => {}
            Ok(seen) => return self.outcome(&paying, seen).await,
            Err(unclear) => return unknown(&unclear.to_string()),
        }
        let Way::Pull(transaction) = &paying.way else {
            // It was there when it was checked, or somebody claims what nobody sent.
            return self.follow(&paying, "not in a block yet").await;
        };
        let claimed_s = payment.payment().claimed_at.secs();
        let pull = match paying.verify_claimed(transaction, claimed_s) {
            Ok(pull) => pull,
            Err(error) => {
                let seen = Verdict::Failed(objection_code(&error));
                return self.outcome(&paying, seen).await;
            }
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
            // Its sender has it too: that we sent nothing says nothing of its money.
            Err(error @ NodeError::NotSent(_)) => unknown(&told(&error)),
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
                Ok(seen) => return self.outcome(paying, seen).await,
                Err(unclear) => reason = unclear.to_string(),
            }
        }
        unknown(&reason)
    }

    /// The node does not want the transaction. That proves something only where the chain itself says
    /// that it cannot take it any more: until then whoever holds it can send it, once the purse is filled
    /// or another machine is asked. And what took the nonce, or the money, may be the transaction itself,
    /// in a block that is not shown yet.
    async fn refused(&self, paying: &Paying<'_>, error: &NodeError) -> Settlement {
        match self.chain.fate(paying, self.timeouts.poll).await {
            Ok(Fate::Dead(code)) => declined(code),
            Ok(Fate::Paid(evidence)) => Settlement::Settled(evidence),
            Ok(Fate::Open) => match Objection::of(error) {
                Objection::Funds | Objection::Nonce => self.follow(paying, &told(error)).await,
                _ => unknown(&told(error)),
            },
            Err(unclear) => unknown(&unclear.to_string()),
        }
    }

    async fn outcome(&self, paying: &Paying<'_>, seen: Verdict) -> Settlement {
        match self.chain.conclude(paying, seen).await {
            Ok(Fate::Paid(evidence)) => Settlement::Settled(evidence),
            Ok(Fate::Dead(code)) => declined(code),
            Ok(Fate::Open) => unknown("not in a block yet"),
            Err(unclear) => unknown(&unclear.to_string()),
        }
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
