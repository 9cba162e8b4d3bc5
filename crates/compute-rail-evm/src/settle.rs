//! Making the money move.
//!
//! Every settlement reads the chain first and does only what is missing, so that repeating it is
//! safe after any crash.

use compute_domain::payment::Evidence;
use compute_engine::ports::{ChainTransaction, ClaimedPayment, Purpose, Settlement};
use compute_evm::{Fate, MAX_LIFE_S, NodeError, find_payment};
use compute_x402::{Amount, ErrorCode};

use crate::calls::Call;
use crate::fate::Approval;
use crate::paying::{Paying, PermitPayment};
use crate::rail::{EvmRail, unknown};
use crate::sender::{Intent, find_effective, siblings_of};
use crate::watch::{Included, Seen};

/// After this many looks for a receipt the transaction is handed to the node once more.
const LOOKS_PER_SEND: u32 = 8;

const LOST: &str = "another transaction took the number of ours";

/// One payment on its way.
pub(crate) struct Settling<'a> {
    pub(crate) paying: &'a Paying,
    pub(crate) proof_key: &'a str,
    /// Unix seconds; nothing of this payment is older.
    pub(crate) since_s: u64,
    /// The node has shown this block: an answer from before it is no answer.
    pub(crate) not_before: u64,
}

impl<'a> Settling<'a> {
    pub(crate) fn new(paying: &'a Paying, payment: &'a ClaimedPayment) -> Self {
        let payment = payment.payment();
        Self {
            paying,
            proof_key: &payment.proof_key,
            since_s: payment.claimed_at.secs().saturating_sub(MAX_LIFE_S),
            not_before: 0,
        }
    }

    const fn after(&self, included: &Included) -> Self {
        Self {
            not_before: included.block,
            ..*self
        }
    }
}

/// How waiting for a transaction ended.
enum Waited {
    Done(Included),
    Failed(Included),
    Lost,
}

impl EvmRail {
    pub(crate) async fn try_settle(&self, payment: &ClaimedPayment) -> Settlement {
        let Some(paying) = Paying::of(payment.proof()) else {
            return not_sent("the stored proof is no payment in this token");
        };
        self.settle_payment(&Settling::new(&paying, payment)).await
    }

    pub(crate) async fn settle_payment(&self, settling: &Settling<'_>) -> Settlement {
        let sent = match self.sender.sent_for(settling.proof_key).await {
            Ok(sent) => sent,
            // What was sent before cannot be read.
            Err(error) => return unknown(&error.to_string()),
        };
        match self.fate(settling, &sent).await {
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
                    self.sweep_quietly(Amount::new(1)).await;
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
                Err(error) => return self.unsigned(settling, Purpose::Settle, error).await,
            },
        };
        match self.wait_for(settling.proof_key, &transaction).await {
            Waited::Done(included) => match self.find_evidence(settling.paying, &included) {
                Some(evidence) => Settlement::Settled(evidence),
                None => self.without_transfer(&included),
            },
            Waited::Failed(included) => {
                self.after_failure(&settling.after(&included), Purpose::Settle)
                    .await
            }
            Waited::Lost => unknown(LOST),
        }
    }

    // Approve, then move. A crash between the two leaves an approval, which the next try finds.
    async fn settle_by_permit(
        &self,
        settling: &Settling<'_>,
        payment: &PermitPayment,
        sent: &[ChainTransaction],
    ) -> Settlement {
        // What the owner approved this wallet for otherwise is not this payment's to take.
        if payment.permit.spender != self.sender.address() {
            return not_sent("the permit approves another account");
        }
        let owner = payment.permit.owner.to_string();
        if find_effective(sent, Purpose::Pull).is_some() {
            return self.pull(settling, payment, sent, &owner).await;
        }
        let approval = match self.approval_now(settling, payment).await {
            Ok(approval) => approval,
            Err(reason) => return unknown(&reason),
        };
        match approval {
            Approval::Given => return self.pull(settling, payment, sent, &owner).await,
            Approval::Gone => return unknown("the approval is gone"),
            Approval::Ahead if sent.is_empty() => {
                return not_sent("an earlier permit of this owner comes first");
            }
            Approval::Ahead => return unknown("an earlier permit of this owner comes first"),
            Approval::Next => {}
        }
        let permit = match find_effective(sent, Purpose::Permit) {
            Some(found) => found.clone(),
            // Who has nothing to take is not worth the gas of a permit.
            None => match self.is_covered(settling.paying, None).await {
                Ok(true) => {
                    let intent = intent(settling, Purpose::Permit, Some(&owner), &payment.call);
                    match self.sender.sign(intent).await {
                        Ok(signed) => signed,
                        Err(error) => {
                            return self.unsigned(settling, Purpose::Permit, error).await;
                        }
                    }
                }
                Ok(false) => return self.refused(settling, Purpose::Permit).await,
                Err(error) if sent.is_empty() => return not_sent(&error.to_string()),
                Err(error) => return unknown(&error.to_string()),
            },
        };
        let waited = self.wait_for(settling.proof_key, &permit).await;
        let (included, has_failed) = match waited {
            Waited::Done(included) => (included, false),
            Waited::Failed(included) => (included, true),
            Waited::Lost => return unknown(LOST),
        };
        // Somebody else may have submitted the permit, and ours failed: only the approval counts,
        // whoever brought it about.
        let settling = settling.after(&included);
        match self.approval_now(&settling, payment).await {
            Ok(Approval::Given) => self.pull(&settling, payment, sent, &owner).await,
            Ok(Approval::Next) if has_failed => {
                self.after_failure(&settling, Purpose::Permit).await
            }
            Ok(Approval::Gone) => unknown("the approval was taken back"),
            Ok(_) => unknown("the permit is in, but the token does not know it"),
            Err(reason) => unknown(&reason),
        }
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
                // The approval is ours: the money is as good as paid, unless the owner spent it.
                Err(error) => return self.unsigned(settling, Purpose::Pull, error).await,
            },
        };
        match self.wait_for(settling.proof_key, &pull).await {
            Waited::Done(included) => match self.find_evidence(settling.paying, &included) {
                Some(evidence) => self.outcome(settling, Fate::Paid(evidence)).await,
                None => self.without_transfer(&included),
            },
            Waited::Failed(included) => {
                self.after_failure(&settling.after(&included), Purpose::Pull)
                    .await
            }
            Waited::Lost => unknown(LOST),
        }
    }

    /// How far a permit has come, by a head that is not older than what the node has shown.
    async fn approval_now(
        &self,
        settling: &Settling<'_>,
        payment: &PermitPayment,
    ) -> Result<Approval, String> {
        let told = |error: NodeError| error.to_string();
        let head = self.chain.node().block(None).await.map_err(told)?;
        if head.number < settling.not_before {
            return Err("the node went back behind what it has said".to_owned());
        }
        self.approval(payment, head.number).await.map_err(told)
    }

    // Until a transaction of this number is in, for ever: the caller has a time-out.
    async fn wait_for(&self, proof_key: &str, transaction: &ChainTransaction) -> Waited {
        let mut known = vec![transaction.clone()];
        let mut looks = 0_u32;
        loop {
            if looks.is_multiple_of(LOOKS_PER_SEND) {
                // It may have been signed at several prices, and any of them may be in.
                if let Ok(sent) = self.sender.sent_for(proof_key).await {
                    let siblings = siblings_of(&sent, transaction);
                    if !siblings.is_empty() {
                        known = siblings.into_iter().cloned().collect();
                    }
                }
                match known.last() {
                    Some(newest) if looks == 0 => self.sender.send_and_wait(newest).await,
                    Some(newest) => self.sender.send(newest).await,
                    None => {}
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
                        Seen::Failed(included) => Waited::Failed(included),
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
            Paying::Permit(payment) => self.pulled(payment).in_logs(logs, hash).next(),
            Paying::Permit2(payment) => payment.transfer.moved.in_logs(logs, hash).next(),
        }
    }

    pub(crate) async fn outcome(&self, settling: &Settling<'_>, fate: Fate) -> Settlement {
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

pub(crate) fn declined(code: &ErrorCode) -> Settlement {
    Settlement::Declined {
        code: code.as_str().to_owned(),
    }
}

pub(crate) fn not_sent(reason: &str) -> Settlement {
    Settlement::NotSent {
        reason: reason.to_owned(),
    }
}
