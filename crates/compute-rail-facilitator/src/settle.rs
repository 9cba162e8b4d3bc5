//! Making the money move: who is asked, and what an answer is worth.

use compute_domain::payment::Evidence;
use compute_engine::StoredProof;
use compute_engine::ports::{ClaimedPayment, Settlement};
use compute_evm::{Fate, MAX_LIFE_S, Mined};
use compute_wallet::WalletAddress;
use compute_x402::facilitator::{SettleClass, UnknownReason, classify_settle};
use compute_x402::{Amount, ErrorCode, Method, MethodCode};

use crate::paying::{Paying, find_fault};
use crate::rail::{FacilitatorRail, unknown};
use crate::remote::Remote;

/// Whether anything of a settlement may have arrived at a facilitator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Nothing,
    Sent,
}

impl FacilitatorRail {
    pub(crate) async fn try_settle(&self, payment: &ClaimedPayment) -> Settlement {
        let (proof, key) = (payment.proof(), &payment.payment().proof_key);
        // As of the claim: a payment that has expired since may have settled before.
        if let Some(code) = find_fault(proof, payment.payment().claimed_at) {
            // What is wrong with it was wrong before, so that nobody was ever asked to settle it.
            return Settlement::Declined {
                code: code.as_str().to_owned(),
            };
        }
        let holder = self.panel.holder(key);
        let candidates = match self.find_candidates(payment, holder).await {
            Ok(candidates) => candidates,
            Err(outcome) => return outcome,
        };
        let mut last = not_sent("no facilitator is configured");
        for (index, remote) in candidates {
            // Noted before it is sent: this call may be cut short at any point after.
            self.panel.set_holder(key, Some(index));
            let (reach, outcome) = self.settle_at(remote, proof).await;
            match outcome {
                Settlement::Unknown { .. } => {}
                Settlement::Settled(_) => self.panel.set_holder(key, None),
                // This one has nothing of it, but another one before may still have.
                Settlement::Declined { .. } | Settlement::NotSent { .. } => {
                    self.panel.set_holder(key, holder);
                }
            }
            if reach == Reach::Sent {
                return outcome;
            }
            last = outcome;
        }
        last
    }

    // Who may be asked to settle a payment now, in order, or the outcome that the chain knows. With
    // a choice the chain is asked each time, because who was asked before may have been forgotten in
    // a restart: a second facilitator gets only what certainly has not moved.
    async fn find_candidates(
        &self,
        payment: &ClaimedPayment,
        holder: Option<usize>,
    ) -> Result<Vec<(usize, &Remote)>, Settlement> {
        let order = self.panel.order_from(holder);
        if !self.panel.has_choice() {
            return Ok(order);
        }
        let untold = match self.fate_of(payment).await {
            Ok(Fate::Paid(evidence)) => {
                self.panel.set_holder(&payment.payment().proof_key, None);
                return Err(Settlement::Settled(evidence));
            }
            Ok(Fate::Void(code)) => {
                return Err(Settlement::Declined {
                    code: code.as_str().to_owned(),
                });
            }
            Ok(Fate::Open) => return Ok(order),
            // It may have moved, whoever submitted it.
            Ok(Fate::Unclear(reason)) => unknown(reason),
            Err(error) => Settlement::NotSent {
                reason: error.reason,
            },
        };
        let is_holder = |(index, _): &(usize, &Remote)| Some(*index) == holder;
        match order.into_iter().find(is_holder) {
            Some(asked_before) => Ok(vec![asked_before]),
            None => Err(untold),
        }
    }

    async fn settle_at(&self, remote: &Remote, proof: &StoredProof) -> (Reach, Settlement) {
        let answer = match remote.post("settle", proof, self.timeouts.settle).await {
            Ok(answer) => answer,
            Err(error) => {
                let reason = error.to_string();
                remote.leave_out(&reason);
                return if error.is_not_sent() {
                    (Reach::Nothing, Settlement::NotSent { reason })
                } else {
                    (Reach::Sent, Settlement::Unknown { reason })
                };
            }
        };
        let status = answer.status.as_u16();
        let outcome = match classify_settle(status, &answer.body, proof.offer.network()) {
            SettleClass::Settled {
                transaction,
                payer,
                amount,
            } => {
                let told = Told { payer, amount };
                self.confirm(remote, proof, transaction, told).await
            }
            SettleClass::Declined { code } => self.believe(proof, code).await,
            SettleClass::Refused { status } => {
                let usual = || format!("the facilitator refused our request with status {status}");
                let reason = remote.find_refusal(&answer).unwrap_or_else(usual);
                remote.leave_out(&reason);
                tracing::error!(payment.rail = %self.spec.label, reason, "settling is impossible");
                Settlement::NotSent { reason }
            }
            SettleClass::Unknown {
                reason: UnknownReason::Contradiction,
                ..
            } => self.contradiction(
                remote,
                "success without a usable transaction on this network",
            ),
            SettleClass::Unknown { reason, .. } => {
                // New payments go elsewhere; this one may be in its hands.
                if matches!(reason, UnknownReason::NoAnswer) {
                    remote.leave_out(describe(reason));
                }
                unknown(describe(reason))
            }
        };
        (Reach::Sent, outcome)
    }

    // A facilitator's yes. It must name our payer, and with a node the chain must agree: there
    // were facilitators that reported reverted transactions as success. Without one, what it says
    // must at least agree with what it was asked.
    async fn confirm(
        &self,
        remote: &Remote,
        proof: &StoredProof,
        transaction: String,
        told: Told,
    ) -> Settlement {
        let Some(paying) = Paying::of(proof) else {
            return unknown("the stored proof is no payment in this token");
        };
        if told.payer.is_some_and(|payer| payer != paying.payer()) {
            return self.contradiction(remote, "the facilitator names another payer");
        }
        let Some(chain) = &self.chain else {
            let asked = proof.offer.amount();
            if told.amount.is_some_and(|amount| amount != asked) {
                return self.contradiction(remote, "the facilitator names another amount");
            }
            return Settlement::Settled(Evidence {
                reference: paying.reference(transaction),
                log_index: None,
            });
        };
        match paying.mined(chain, &transaction).await {
            Ok(Mined::Paid(evidence)) => Settlement::Settled(evidence),
            Ok(Mined::Without) => self.contradiction(
                remote,
                "the transaction does not hold the payment's transfer",
            ),
            Ok(Mined::Missing) => unknown("our node does not have the transaction yet"),
            Err(error) => Settlement::Unknown {
                reason: error.to_string(),
            },
        }
    }

    fn contradiction(&self, remote: &Remote, reason: &str) -> Settlement {
        tracing::error!(
            payment.rail = %self.spec.label,
            facilitator = %remote.origin(),
            reason,
            "the facilitator contradicts itself or the chain"
        );
        unknown(reason)
    }

    // The facilitator refuses, but the money may have moved all the same: somebody else submitted
    // the authorization, and what is refused is the second use of it. The chain knows; without a
    // node, only a reason that a used authorization cannot cause is believed (reliability.md 2.3).
    async fn believe(&self, proof: &StoredProof, code: ErrorCode) -> Settlement {
        let declined = Settlement::Declined {
            code: code.as_str().to_owned(),
        };
        let (Some(chain), Some(paying)) = (&self.chain, Paying::of(proof)) else {
            return if follows_a_used_nonce(&code, proof) {
                unknown("refused for a reason that a payment by somebody else may have caused")
            } else {
                declined
            };
        };
        let since_s = self.clock.now().secs().saturating_sub(MAX_LIFE_S);
        match paying.fate(chain, since_s).await {
            Ok(Fate::Paid(evidence)) => Settlement::Settled(evidence),
            Ok(Fate::Open | Fate::Void(_)) => declined,
            Ok(Fate::Unclear(reason)) => unknown(reason),
            Err(error) => Settlement::Unknown {
                reason: error.to_string(),
            },
        }
    }
}

/// What a facilitator says of a settlement besides its transaction.
struct Told {
    payer: Option<WalletAddress>,
    amount: Option<Amount>,
}

/// Whether a facilitator may give this reason because the authorization was used a moment before.
///
/// A transaction on Solana that failed is the one transaction of its payment. Facilitators simulate
/// a payment through Permit2, and when that fails look for a reason: that the payer has less than
/// the price, or that Permit2 is not approved, is so after the payment, too.
fn follows_a_used_nonce(code: &ErrorCode, proof: &StoredProof) -> bool {
    let (is_svm, is_permit) = match proof.offer.token().method() {
        Method::Svm(_) => (true, false),
        Method::Permit { .. } => (false, true),
        _ => (false, false),
    };
    let used_up = [
        ErrorCode::InsufficientFunds,
        ErrorCode::Method(MethodCode::PERMIT2_ALLOWANCE),
    ];
    (*code == ErrorCode::InvalidTransactionState && !is_svm)
        || (is_permit && used_up.contains(code))
        || code.as_str().ends_with("_transaction_failed")
        || code.as_str().ends_with("simulation_failed")
}

const fn describe(reason: UnknownReason) -> &'static str {
    match reason {
        UnknownReason::Pending => "the facilitator waits for the chain",
        UnknownReason::AlreadyUsed => "the authorization was used before, perhaps by us",
        UnknownReason::Contradiction => "success without a usable transaction",
        UnknownReason::UnclearFailure => "the facilitator failed without a clear reason",
        UnknownReason::NoAnswer => "the facilitator gave no verdict",
    }
}

fn not_sent(reason: &str) -> Settlement {
    Settlement::NotSent {
        reason: reason.to_owned(),
    }
}
