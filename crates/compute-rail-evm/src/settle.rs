//! Making the money move.
//!
//! Every settlement reads the chain first and does only what is missing, so that repeating it is
//! safe after any crash.

use compute_domain::payment::Evidence;
use compute_engine::ports::{ChainTransaction, ClaimedPayment, Purpose, Settlement};
use compute_evm::{Fate, MAX_LIFE_S, NodeError, find_payment};
use compute_x402::ErrorCode;

use crate::calls::Call;
use crate::paying::{Paying, PermitPayment};
use crate::rail::{EvmRail, unknown};
use crate::sender::{Intent, SendError, find_effective, siblings_of};
use crate::watch::{Included, Seen};

/// After this many looks for a receipt the transaction is handed to the node once more.
const LOOKS_PER_SEND: u32 = 8;

/// One payment on its way.
pub(crate) struct Settling<'a> {
    pub(crate) paying: &'a Paying,
    pub(crate) proof_key: &'a str,
    /// Unix seconds; nothing of this payment is older.
    pub(crate) since_s: u64,
}

/// How waiting for a transaction ended.
enum Waited {
    Done(Included),
    Failed,
    Lost,
}

impl EvmRail {
    pub(crate) async fn try_settle(&self, payment: &ClaimedPayment) -> Settlement {
        let Some(paying) = Paying::of(payment.proof()) else {
            return not_sent("the stored proof is no payment in this token");
        };
        let claimed_s = payment.payment().claimed_at.secs();
        let settling = Settling {
            paying: &paying,
            proof_key: &payment.payment().proof_key,
            since_s: claimed_s.saturating_sub(MAX_LIFE_S),
        };
        self.settle_payment(&settling).await
    }

    pub(crate) async fn settle_payment(&self, settling: &Settling<'_>) -> Settlement {
        let sent = match self.sender.sent_for(settling.proof_key).await {
            Ok(sent) => sent,
            Err(error) => return not_sent(&error.to_string()),
        };
        match self.fate(settling.paying, &sent, settling.since_s).await {
            Ok(Fate::Open) => {}
            Ok(fate) => return self.outcome(settling, fate).await,
            Err(error) if sent.is_empty() => return not_sent(&error.to_string()),
            Err(error) => return unknown(&error.to_string()),
        }
        match settling.paying {
            Paying::Authorization { call, .. } => self.settle_once(settling, call, &sent).await,
            Paying::Permit2(payment) => {
                let outcome = self.settle_once(settling, &payment.call, &sent).await;
                if matches!(outcome, Settlement::Settled(_)) {
                    self.sweep_quietly().await;
                }
                outcome
            }
            Paying::Permit(payment) => self.settle_by_permit(settling, payment, &sent).await,
        }
    }

    async fn settle_once(
        &self,
        settling: &Settling<'_>,
        call: &Call,
        sent: &[ChainTransaction],
    ) -> Settlement {
        let transaction = match find_effective(sent, Purpose::Settle) {
            Some(found) => found.clone(),
            None => match self
                .sender
                .sign(intent(settling, Purpose::Settle, None, call))
                .await
            {
                Ok(signed) => signed,
                Err(error) => return self.unsigned(settling, sent, error).await,
            },
        };
        match self.wait_for(settling.proof_key, &transaction).await {
            Waited::Done(included) => match self.find_evidence(settling.paying, &included) {
                Some(evidence) => Settlement::Settled(evidence),
                None => self.without_transfer(&included),
            },
            Waited::Failed => self.after_failure(settling).await,
            Waited::Lost => unknown("another transaction took the number of ours"),
        }
    }

    // Approve, then move. A crash between the two leaves an approval, which the next try finds.
    async fn settle_by_permit(
        &self,
        settling: &Settling<'_>,
        payment: &PermitPayment,
        sent: &[ChainTransaction],
    ) -> Settlement {
        let owner = payment.permit.owner.to_string();
        let approved = match self.is_approved(payment).await {
            Ok(approved) => approved,
            Err(error) => return unknown(&error.to_string()),
        };
        if !approved && find_effective(sent, Purpose::Pull).is_none() {
            let permit = match find_effective(sent, Purpose::Permit) {
                Some(found) => found.clone(),
                None => {
                    let intent = intent(settling, Purpose::Permit, Some(&owner), &payment.call);
                    match self.sender.sign(intent).await {
                        Ok(signed) => signed,
                        Err(error) => return self.unsigned(settling, sent, error).await,
                    }
                }
            };
            // Somebody else may have submitted the permit, and ours failed: only the approval
            // counts, whoever brought it about.
            if let Waited::Lost = self.wait_for(settling.proof_key, &permit).await {
                return unknown("another transaction took the number of ours");
            }
            match self.is_approved(payment).await {
                Ok(true) => {}
                Ok(false) => return self.after_failure(settling).await,
                Err(error) => return unknown(&error.to_string()),
            }
        }
        self.pull(settling, payment, sent, &owner).await
    }

    async fn pull(
        &self,
        settling: &Settling<'_>,
        payment: &PermitPayment,
        sent: &[ChainTransaction],
        owner: &str,
    ) -> Settlement {
        let call = payment.pull(self.sender.wallet.rules().treasury);
        let pull = match find_effective(sent, Purpose::Pull) {
            Some(found) => found.clone(),
            None => match self
                .sender
                .sign(intent(settling, Purpose::Pull, Some(owner), &call))
                .await
            {
                Ok(signed) => signed,
                // The approval is ours: the money is as good as paid, or the owner spent it.
                Err(error) => return unknown(&error.to_string()),
            },
        };
        match self.wait_for(settling.proof_key, &pull).await {
            Waited::Done(included) => match self.find_evidence(settling.paying, &included) {
                Some(evidence) => self.outcome(settling, Fate::Paid(evidence)).await,
                None => self.without_transfer(&included),
            },
            Waited::Failed => self.after_failure(settling).await,
            Waited::Lost => unknown("another transaction took the number of ours"),
        }
    }

    async fn is_approved(&self, payment: &PermitPayment) -> Result<bool, NodeError> {
        Ok(
            payment.permit.nonce < self.permit_nonce(payment, None).await?
                && self.allowance(payment, None).await? >= payment.amount,
        )
    }

    // Until a transaction of this number is in, for ever: the caller has a time-out.
    async fn wait_for(&self, proof_key: &str, transaction: &ChainTransaction) -> Waited {
        let mut known = vec![transaction.clone()];
        let mut looks = 0_u32;
        loop {
            if looks.is_multiple_of(LOOKS_PER_SEND) {
                if looks > 0
                    && let Ok(sent) = self.sender.sent_for(proof_key).await
                {
                    // It may have been signed again at a higher price.
                    known = siblings_of(&sent, transaction)
                        .into_iter()
                        .cloned()
                        .collect();
                }
                if let Some(newest) = known.last() {
                    self.sender.send(newest).await;
                }
            }
            looks = looks.saturating_add(1);
            let siblings: Vec<_> = known.iter().collect();
            match self.sender.look(&siblings).await {
                Ok(Seen::Pending) => {}
                Ok(seen) => {
                    if let Err(error) = self.sender.conclude(&siblings, &seen).await {
                        // The next round over the line writes it down.
                        tracing::warn!(error = %error, "a result of the chain could not be stored");
                    }
                    return match seen {
                        Seen::Done(included) => Waited::Done(included),
                        Seen::Failed(_) => Waited::Failed,
                        Seen::Pending | Seen::Lost => Waited::Lost,
                    };
                }
                Err(error) => tracing::info!(error = %error, "the chain cannot be asked"),
            }
            tokio::time::sleep(self.timeouts.poll).await;
        }
    }

    fn find_evidence(&self, paying: &Paying, included: &Included) -> Option<Evidence> {
        let (hash, logs) = (&included.hash, &included.logs);
        match paying {
            Paying::Authorization { transfer, .. } => {
                let log_index = find_payment(logs, transfer)?;
                Some(Evidence {
                    reference: hash.clone(),
                    log_index: Some(log_index),
                })
            }
            Paying::Permit(payment) => {
                let to = self.sender.wallet.rules().treasury;
                self.find_transfer(logs, hash, payment.permit.owner, to, payment.amount)
            }
            Paying::Permit2(payment) => {
                let transfer = &payment.transfer;
                self.find_transfer(logs, hash, transfer.from, transfer.to, payment.amount)
            }
        }
    }

    // The simulation said no, or there was no way to sign now.
    async fn unsigned(
        &self,
        settling: &Settling<'_>,
        sent: &[ChainTransaction],
        error: SendError,
    ) -> Settlement {
        match error {
            SendError::Reverts(reason) => {
                tracing::info!(reason, "a payment would fail on the chain");
                self.refused(settling, sent, ErrorCode::EvmSimulationFailed)
                    .await
            }
            SendError::NotNow(reason) => not_sent(&reason),
            SendError::Unsure(_) => unknown(&error.to_string()),
        }
    }

    // Ours is in and failed: somebody else's may have been faster.
    async fn after_failure(&self, settling: &Settling<'_>) -> Settlement {
        let sent = match self.sender.sent_for(settling.proof_key).await {
            Ok(sent) => sent,
            Err(error) => return unknown(&error.to_string()),
        };
        self.refused(settling, &sent, ErrorCode::InvalidTransactionState)
            .await
    }

    async fn refused(
        &self,
        settling: &Settling<'_>,
        sent: &[ChainTransaction],
        code: ErrorCode,
    ) -> Settlement {
        match self.fate(settling.paying, sent, settling.since_s).await {
            Ok(Fate::Open) => {
                let code = match self.is_covered(settling.paying).await {
                    Ok(true) => code,
                    Ok(false) => ErrorCode::InsufficientFunds,
                    Err(error) => return unknown(&error.to_string()),
                };
                self.let_go(settling).await;
                declined(&code)
            }
            Ok(fate) => self.outcome(settling, fate).await,
            Err(error) => unknown(&error.to_string()),
        }
    }

    async fn is_covered(&self, paying: &Paying) -> Result<bool, NodeError> {
        let (token, payer, amount) = match paying {
            Paying::Authorization { transfer, .. } => {
                (transfer.token, transfer.from, transfer.amount)
            }
            Paying::Permit(payment) => (payment.token, payment.permit.owner, payment.amount),
            Paying::Permit2(payment) => (
                payment.transfer.token,
                payment.transfer.from,
                payment.amount,
            ),
        };
        Ok(self.holds(token, payer).await? >= amount)
    }

    async fn outcome(&self, settling: &Settling<'_>, fate: Fate) -> Settlement {
        match fate {
            Fate::Paid(evidence) => {
                self.let_go(settling).await;
                Settlement::Settled(evidence)
            }
            Fate::Void(code) => {
                self.let_go(settling).await;
                declined(&code)
            }
            Fate::Open => unknown("still open"),
            Fate::Unclear(reason) => unknown(reason),
        }
    }

    /// Lets the next permit of this owner go on, when this one has come to its end.
    pub(crate) async fn let_go(&self, settling: &Settling<'_>) {
        if !matches!(settling.paying, Paying::Permit(_)) {
            return;
        }
        if let Err(error) = self.sender.release_group(settling.proof_key).await {
            // It lets go by itself after a day.
            tracing::warn!(error = %error, "the next payment of an owner waits");
        }
    }

    fn without_transfer(&self, included: &Included) -> Settlement {
        tracing::error!(
            payment.rail = %self.spec.label, chain.transaction = %included.hash,
            "a settlement succeeded without moving the money: the token does not keep its word"
        );
        unknown(ErrorCode::EvmTransferEventMismatch.as_str())
    }
}

const fn intent<'a>(
    settling: &Settling<'a>,
    purpose: Purpose,
    group: Option<&'a str>,
    call: &'a Call,
) -> Intent<'a> {
    Intent {
        purpose,
        proof_key: Some(settling.proof_key),
        group,
        call,
    }
}

fn declined(code: &ErrorCode) -> Settlement {
    Settlement::Declined {
        code: code.as_str().to_owned(),
    }
}

fn not_sent(reason: &str) -> Settlement {
    Settlement::NotSent {
        reason: reason.to_owned(),
    }
}
