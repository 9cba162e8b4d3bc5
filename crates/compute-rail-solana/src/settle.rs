//! Making the money move, and finding out whether it did.
//!
//! A payment has one transaction, because whoever signs its message again gets the same bytes. So a
//! repeat, after whatever crash, sends the same bytes again or finds out what became of them.

use compute_domain::payment::Evidence;
use compute_domain::time::Timestamp;
use compute_engine::StoredProof;
use compute_engine::ports::{
    ChainTransaction, ClaimedPayment, Lookup, RailUnavailable, SentState, Settlement,
};
use compute_x402::ErrorCode;

use crate::book::{BookError, Entry};
use crate::fate::{BLOCKHASH_LIFE_S, Seen, Sent};
use crate::fee_payer::{Approved, Shop, Signed};
use crate::rail::{SolanaRail, unavailable, unknown};
use crate::rpc::{Commitment, RpcError};

/// The blockhash of a payment died before it was in (code of published facilitators).
const TOO_OLD: &str = "settle_exact_svm_block_height_exceeded";

/// Nodes behind one address are so many blocks apart at most: no further than what is final.
const HEIGHT_MARGIN: u64 = 32;

/// One payment on its way.
pub(crate) struct Settling<'a> {
    pub(crate) shop: Shop,
    pub(crate) proof: &'a StoredProof,
    pub(crate) proof_key: &'a str,
    /// Nothing of it is older.
    pub(crate) since: Timestamp,
}

impl SolanaRail {
    pub(crate) async fn try_settle(&self, payment: &ClaimedPayment) -> Settlement {
        let settling = Settling {
            shop: Shop::Own,
            proof: payment.proof(),
            proof_key: &payment.payment().proof_key,
            since: payment.payment().claimed_at,
        };
        self.settle_payment(&settling).await
    }

    pub(crate) async fn settle_payment(&self, settling: &Settling<'_>) -> Settlement {
        match self.book.find(settling.proof_key).await {
            Ok(Some(row)) => return self.follow_row(&row).await,
            Ok(None) => {}
            Err(error) => return not_sent(&error.to_string()),
        }
        let now_s = self.book.now().secs();
        let approved = self.fee_payer.approve(settling.shop, settling.proof, now_s);
        let approved = match approved {
            Ok(approved) if approved.proof_key == settling.proof_key => approved,
            Ok(_) => return not_sent("the stored proof is of another payment"),
            Err(code) => return declined(code.as_str()),
        };
        match self.find_unwritten(settling.since, &approved).await {
            Ok(None) => {}
            Ok(Some(outcome)) => return outcome,
            Err(error) => return not_sent(&error.to_string()),
        }
        let row = match self.prepare(&approved).await {
            Ok(row) => row,
            Err(outcome) => return outcome,
        };
        self.follow_row(&row).await
    }

    // Signed, stored, not sent.
    async fn prepare(&self, approved: &Approved) -> Result<ChainTransaction, Settlement> {
        let unasked = |error: RpcError| not_sent(&error.to_string());
        match self.find_objection(approved).await.map_err(unasked)? {
            None => {}
            // Nothing was signed, and nobody else can sign; unless another task of ours just did,
            // and what it sent is what speaks against a second one.
            Some(code) => {
                let row = self.book.find(&approved.proof_key).await;
                let row = row.map_err(|error| unknown(&error.to_string()))?;
                return row.ok_or_else(|| declined(code.as_str()));
            }
        }
        // Asked after the blockhash was found to be valid: its end is no later than this one.
        let last = self.node.last_valid_height().await.map_err(unasked)?;
        let balance = self.balance().await.map_err(unasked)?;
        let signed = self.fee_payer.sign(approved);
        let entry = Entry {
            approved,
            signed: &signed,
            valid_until: last.saturating_add(HEIGHT_MARGIN),
            balance,
        };
        self.book.add(entry).await.map_err(|error| match error {
            BookError::NotNow(reason) => not_sent(&reason),
            BookError::Unsure(_) => unknown(&error.to_string()),
        })
    }

    // A database that was restored from a backup may have lost the row, but not the chain the
    // transaction. Its name can be computed, because only we could have made it.
    async fn find_unwritten(
        &self,
        since: Timestamp,
        approved: &Approved,
    ) -> Result<Option<Settlement>, RpcError> {
        let sent = unwritten(since, self.fee_payer.sign(approved))?;
        Ok(match self.look(&sent).await? {
            Seen::Pending => None,
            Seen::Done { .. } => Some(settled(&sent)),
            Seen::Failed { .. } => Some(declined(ErrorCode::InvalidTransactionState.as_str())),
            Seen::Gone => Some(declined(TOO_OLD)),
            Seen::Contradiction(reason) => Some(unknown(reason)),
        })
    }

    async fn follow_row(&self, row: &ChainTransaction) -> Settlement {
        let sent = match Sent::of(row) {
            Ok(sent) => sent,
            Err(error) => return unknown(&error.to_string()),
        };
        match row.state {
            SentState::Open => self.follow(&sent).await,
            SentState::Mined { .. } => settled(&sent),
            SentState::Failed { .. } => declined(ErrorCode::InvalidTransactionState.as_str()),
            SentState::Void => declined(TOO_OLD),
        }
    }

    // Until it is in or can never be: the caller has a time-out.
    async fn follow(&self, sent: &Sent) -> Settlement {
        let mut looks = 0_u32;
        loop {
            if looks.is_multiple_of(self.timeouts.looks_per_send.max(1)) {
                self.send(sent).await;
            }
            looks = looks.saturating_add(1);
            match self.look(sent).await {
                Ok(Seen::Pending) => {}
                Ok(seen) => {
                    self.note(sent, seen).await;
                    return match seen {
                        Seen::Done { .. } => settled(sent),
                        Seen::Failed { .. } => {
                            declined(ErrorCode::InvalidTransactionState.as_str())
                        }
                        Seen::Gone => declined(TOO_OLD),
                        Seen::Contradiction(reason) => unknown(reason),
                        Seen::Pending => unknown("still open"),
                    };
                }
                Err(error) => tracing::info!(error = %error, "the chain cannot be asked"),
            }
            tokio::time::sleep(self.timeouts.poll).await;
        }
    }

    async fn send(&self, sent: &Sent) {
        if let Err(error) = self.node.send(&sent.wire).await {
            tracing::info!(
                chain.transaction = %sent.signature, error = %error,
                "the node did not take the transaction, or has it already"
            );
        }
    }

    pub(crate) async fn try_lookup(
        &self,
        payment: &ClaimedPayment,
    ) -> Result<Lookup, RailUnavailable> {
        let row = self.book.find(&payment.payment().proof_key).await;
        let row = row.map_err(|error| unavailable(&error.to_string()))?;
        let looked = match row {
            Some(row) => self.look_up_row(&row).await,
            None => self.look_up_unwritten(payment).await,
        };
        looked.map_err(|error| unavailable(&error.to_string()))
    }

    async fn look_up_row(&self, row: &ChainTransaction) -> Result<Lookup, RpcError> {
        let sent = Sent::of(row)?;
        let seen = match row.state {
            SentState::Open => {
                let seen = self.look(&sent).await?;
                self.note(&sent, seen).await;
                seen
            }
            SentState::Mined { block } => Seen::Done { slot: block },
            SentState::Failed { block } => Seen::Failed { slot: block },
            SentState::Void => Seen::Gone,
        };
        answer(&sent, seen)
    }

    async fn look_up_unwritten(&self, payment: &ClaimedPayment) -> Result<Lookup, RpcError> {
        let now_s = self.book.now().secs();
        match self.fee_payer.approve(Shop::Own, payment.proof(), now_s) {
            Ok(approved) => {
                let since = payment.payment().claimed_at;
                let sent = unwritten(since, self.fee_payer.sign(&approved))?;
                answer(&sent, self.look(&sent).await?)
            }
            // It was never signed, because nothing is that does not pass. That the key is another
            // one now is no such reason: the earlier one may have signed it.
            Err(code)
                if payment
                    .proof()
                    .offer
                    .token()
                    .as_svm()
                    .is_some_and(|token| token.terms().fee_payer() == self.fee_payer()) =>
            {
                Ok(Lookup::Never {
                    code: code.as_str().to_owned(),
                })
            }
            Err(_) => {
                let claimed_s = payment.payment().claimed_at.secs();
                let head_s = self.head_time(Commitment::Finalized).await?;
                if head_s < claimed_s.saturating_add(BLOCKHASH_LIFE_S) {
                    return Ok(Lookup::NotYet);
                }
                Err(RpcError::new(
                    "the payment was made for another fee payer, of which nothing is written down",
                ))
            }
        }
    }

    /// One round over what waits for the chain: concludes what is in or can never be, and sends
    /// again what is not.
    pub(crate) async fn try_tend(&self) -> Result<(), RpcError> {
        let open = self.book.open().await;
        // What one of them meets does not hold up the others.
        let mut outcome = Ok(());
        for row in open.map_err(|error| RpcError(error.to_string()))? {
            outcome = outcome.and(self.tend_one(&row).await);
        }
        outcome
    }

    async fn tend_one(&self, row: &ChainTransaction) -> Result<(), RpcError> {
        let sent = Sent::of(row)?;
        match self.look(&sent).await? {
            Seen::Pending => self.send(&sent).await,
            seen => self.note(&sent, seen).await,
        }
        Ok(())
    }
}

fn unwritten(since: Timestamp, signed: Signed) -> Result<Sent, RpcError> {
    Sent::new(signed.signature, signed.wire, None, since)
}

fn answer(sent: &Sent, seen: Seen) -> Result<Lookup, RpcError> {
    Ok(match seen {
        Seen::Done { .. } => Lookup::Settled(evidence(sent)),
        Seen::Failed { .. } => Lookup::Never {
            code: ErrorCode::InvalidTransactionState.as_str().to_owned(),
        },
        Seen::Gone => Lookup::Never {
            code: TOO_OLD.to_owned(),
        },
        Seen::Pending => Lookup::NotYet,
        Seen::Contradiction(reason) => return Err(RpcError::new(reason)),
    })
}

fn evidence(sent: &Sent) -> Evidence {
    Evidence {
        reference: sent.signature.clone(),
        // A transaction has one transfer, whoever of the purse's owner and delegate signed for it.
        log_index: Some(0),
    }
}

fn settled(sent: &Sent) -> Settlement {
    Settlement::Settled(evidence(sent))
}

pub(crate) fn declined(code: &str) -> Settlement {
    Settlement::Declined {
        code: code.to_owned(),
    }
}

pub(crate) fn not_sent(reason: &str) -> Settlement {
    Settlement::NotSent {
        reason: reason.to_owned(),
    }
}
