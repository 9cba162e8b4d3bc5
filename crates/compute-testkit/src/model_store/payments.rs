//! Payments: each proof is bound to one operation.

use async_trait::async_trait;
use compute_domain::WalletAddress;
use compute_domain::id::OperationId;
use compute_domain::payment::{Payment, PaymentState};
use compute_engine::ports::{ClaimOutcome, Payments, StoreError};

use super::state::{PaymentRow, ShownTransfer, State};
use super::table::At;
use super::tx::{ModelTx, no_row, require};
use crate::planted::PlantedBug;

/// The arrival of money that a payment names, as far as a chain was read.
fn arrival_of(payment: &Payment) -> Option<ShownTransfer> {
    let evidence = payment.evidence()?;
    let rail = payment.rail.to_string();
    Some((rail, evidence.reference.clone(), evidence.log_index?))
}

impl State {
    /// The payment that binds a proof.
    fn binding(&self, at: At, proof_key: &str) -> Option<&Payment> {
        if self.has_bug(PlantedBug::TxHashIdentity) {
            // A proof that is presented has no transaction yet, so it never equals another one.
            return None;
        }
        let mut bound = self.payments_with_proof(at, proof_key).into_iter();
        bound.find(|payment| !self.is_let_go(at, payment))
    }

    /// The payment that answers a challenge.
    fn answering(&self, at: At, challenge_id: &str) -> Option<&Payment> {
        let id = self
            .payments_by_challenge
            .get(at, &challenge_id.to_owned())?;
        Some(&self.payments.get(at, id)?.payment)
    }

    /// Whether the planted bug makes this payment's claim forgotten.
    fn is_let_go(&self, at: At, payment: &Payment) -> bool {
        let operation = self.operations.get(at, &payment.operation);
        self.has_bug(PlantedBug::ReleaseClaimOnTimeout)
            && payment.state == PaymentState::Claimed
            && operation.is_some_and(|row| row.operation.data.settlement_unknown_since.is_some())
    }

    fn write_payment(&mut self, row: PaymentRow) -> Result<(), StoreError> {
        let version = self.writing();
        let payment = &row.payment;
        let key = (payment.proof_key.clone(), payment.id);
        match payment.state {
            PaymentState::Declined { .. } => {
                self.payments_by_proof.remove(version, &key);
                if let Some(challenge) = &payment.challenge_id {
                    self.payments_by_challenge.remove(version, challenge);
                }
            }
            _ => {
                self.payments_by_proof.put(version, key, ());
                if let Some(challenge) = &payment.challenge_id {
                    self.payments_by_challenge
                        .put(version, challenge.clone(), payment.id);
                }
            }
        }
        if let Some(arrival) = arrival_of(payment) {
            let other = self.payments_by_arrival.get(None, &arrival);
            require(
                other.is_none_or(|other| *other == payment.id),
                "one arrival of money serves one payment",
            )?;
            self.payments_by_arrival.put(version, arrival, payment.id);
        }
        self.payments_by_operation
            .put(version, payment.operation, payment.id);
        self.payments.put(version, payment.id, row);
        Ok(())
    }
}

#[async_trait]
impl Payments for ModelTx {
    async fn claim_payment(
        &mut self,
        payment: &Payment,
        sealed_proof: &[u8],
    ) -> Result<ClaimOutcome, StoreError> {
        self.write(|state| {
            if let Some(other) = state.binding(None, &payment.proof_key) {
                return Ok(ClaimOutcome::AlreadyClaimed(other.clone()));
            }
            let challenge = payment.challenge_id.as_deref();
            if let Some(other) = challenge.and_then(|id| state.answering(None, id)) {
                return Ok(ClaimOutcome::AlreadyClaimed(other.clone()));
            }
            require(
                payment.state == PaymentState::Claimed,
                "a sealed proof is kept while its payment is claimed",
            )?;
            require(
                !state.payments.has(None, &payment.id)
                    && !state.payments_by_operation.has(None, &payment.operation),
                "an operation has one payment",
            )?;
            require(
                state.operations.has(None, &payment.operation)
                    && state.owners.has(None, &payment.owner),
                "a payment is for an operation of an owner",
            )?;
            state.write_payment(PaymentRow {
                payment: payment.clone(),
                sealed: Some(sealed_proof.to_vec()),
            })?;
            Ok(ClaimOutcome::Claimed)
        })
    }

    async fn find_payment(&mut self, proof_key: &str) -> Result<Option<Payment>, StoreError> {
        Ok(self.read(|state, at| state.binding(at, proof_key).cloned()))
    }

    async fn find_payment_for(
        &mut self,
        challenge_id: &str,
    ) -> Result<Option<Payment>, StoreError> {
        Ok(self.read(|state, at| state.answering(at, challenge_id).cloned()))
    }

    async fn count_claimed_by(&mut self, payer: &WalletAddress) -> Result<u32, StoreError> {
        Ok(self.read(|state, at| {
            let claimed = state.payments.iter(at).filter(|(_, row)| {
                row.payment.state == PaymentState::Claimed
                    && row.payment.payer.as_ref() == Some(payer)
            });
            u32::try_from(claimed.count()).unwrap_or(u32::MAX)
        }))
    }

    async fn payment_of(&mut self, operation: OperationId) -> Result<Option<Payment>, StoreError> {
        Ok(self.read(|state, at| {
            let row = state.payment_of(at, operation);
            row.map(|row| row.payment.clone())
        }))
    }

    async fn load_sealed_proof(
        &mut self,
        operation: OperationId,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.read(|state, at| {
            let row = state.payment_of(at, operation);
            row.and_then(|row| row.sealed.clone())
        }))
    }

    async fn save_payment(&mut self, payment: &Payment) -> Result<(), StoreError> {
        if let PaymentState::Refunded { transfer, .. } = &payment.state {
            self.deferred.refunds.insert(*transfer);
        }
        self.write(|state| {
            let known = state.payments.get(None, &payment.id).cloned();
            let known = known.ok_or_else(|| no_row("payments"))?;
            let saved = Payment {
                state: payment.state.clone(),
                ..known.payment.clone()
            };
            let is_claimed = saved.state == PaymentState::Claimed;
            require(
                !is_claimed || known.sealed.is_some(),
                "a sealed proof is kept while its payment is claimed",
            )?;
            state.watch_payment(&known.payment, &saved);
            state.write_payment(PaymentRow {
                payment: saved,
                sealed: known.sealed.filter(|_| is_claimed),
            })
        })
    }
}
