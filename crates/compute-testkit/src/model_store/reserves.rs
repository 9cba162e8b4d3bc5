//! Reserves, disputes, and how far disputes were read.

use std::collections::BTreeSet;

use async_trait::async_trait;
use compute_domain::id::{OperationId, OwnerId, PaymentId};
use compute_domain::ledger::{Account, TransferReason};
use compute_domain::money::Usd;
use compute_domain::payment::{Payment, PaymentState, RailLabel};
use compute_domain::reserve::{Dispute, DisputeState, Reserve, ReserveKind, ReserveState};
use compute_domain::time::Timestamp;
use compute_engine::ports::{Ledger as _, Reserves, StoreError};

use super::state::State;
use super::table::At;
use super::tx::{ModelTx, rejected, require};

/// What becomes credit of a purchase.
const RETURNING: [TransferReason; 4] = [
    TransferReason::Topup,
    TransferReason::PaymentRefund,
    TransferReason::EarlyDestroy,
    TransferReason::LostMachine,
];

impl State {
    /// An operation, and all others on its instance.
    fn all_about(&self, at: At, operation: OperationId) -> BTreeSet<OperationId> {
        let row = self.operations.get(at, &operation);
        let instance = row.and_then(|row| row.operation.instance);
        let others = instance.map_or_else(Vec::new, |id| self.operations_of(at, id));
        let others = others.into_iter().map(|other| other.id);
        others.chain([operation]).collect()
    }

    fn returned(&self, at: At, payment: &Payment) -> i64 {
        let about = self.all_about(at, payment.operation);
        let account = Account::Credits(payment.owner);
        let rows = about.iter().flat_map(|id| self.transfers_of(at, *id));
        let given: i64 = rows
            .map(|row| &row.transfer)
            .filter(|row| row.credit == account && RETURNING.contains(&row.reason))
            .map(|row| row.amount.micros())
            .sum();
        let (mut of_all, mut of_it): (i64, i64) = (0, 0);
        for (_, reserve) in self.reserves.iter(at) {
            if matches!(reserve.state, ReserveState::Released { .. })
                || reserve.owner != payment.owner
            {
                continue;
            }
            let amount = reserve.amount.micros();
            if reserve.payment == payment.id {
                of_it = of_it.saturating_add(amount);
            }
            let row = self.payments.get(at, &reserve.payment);
            if row.is_some_and(|row| about.contains(&row.payment.operation)) {
                of_all = of_all.saturating_add(amount);
            }
        }
        let price = payment.price.micros();
        let left = price.saturating_sub(of_it);
        left.min(given.saturating_sub(of_all)).max(0)
    }

    /// Reserves in the order in which they were made.
    fn reserves_in_order(&self, at: At, counts: impl Fn(&Reserve) -> bool) -> Vec<Reserve> {
        let rows = self.reserves.iter(at).map(|(_, row)| row);
        let mut rows: Vec<_> = rows.filter(|row| counts(row)).cloned().collect();
        rows.sort_by_key(|row| (row.created_at, row.id));
        rows
    }
}

fn size(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

#[async_trait]
impl Reserves for ModelTx {
    /// Nobody else writes meanwhile.
    async fn open_credits(&mut self, owner: OwnerId) -> Result<Usd, StoreError> {
        self.lock_credits(owner).await
    }

    async fn settled_payment(
        &mut self,
        rail: &RailLabel,
        reference: &str,
    ) -> Result<Option<Payment>, StoreError> {
        Ok(self.read(|state, at| {
            let rows = state.payments.iter(at).map(|(_, row)| &row.payment);
            let names = |payment: &&Payment| {
                payment.rail == *rail
                    && payment
                        .evidence()
                        .is_some_and(|shown| shown.reference == reference)
            };
            let found = rows.filter(names);
            found.min_by_key(|it| (it.claimed_at, it.id)).cloned()
        }))
    }

    async fn payment_with_id(&mut self, id: PaymentId) -> Result<Option<Payment>, StoreError> {
        Ok(self.read(|state, at| {
            let row = state.payments.get(at, &id);
            row.map(|row| row.payment.clone())
        }))
    }

    async fn first_claim(&mut self, rail: &RailLabel) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.read(|state, at| {
            let rows = state.payments.iter(at).map(|(_, row)| &row.payment);
            let own = rows.filter(|payment| payment.rail == *rail);
            own.map(|payment| payment.claimed_at).min()
        }))
    }

    async fn first_undecided(&mut self, rail: &RailLabel) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.read(|state, at| {
            let rows = state.payments.iter(at).map(|(_, row)| &row.payment);
            let own = rows.filter(|it| it.rail == *rail && it.state == PaymentState::Claimed);
            own.map(|payment| payment.claimed_at).min()
        }))
    }

    async fn returned_of(&mut self, payment: &Payment) -> Result<Usd, StoreError> {
        let micros = self.read(|state, at| state.returned(at, payment));
        Usd::from_micros(micros).map_err(|_| rejected("what was returned is an amount of money"))
    }

    async fn insert_reserve(&mut self, reserve: &Reserve) -> Result<bool, StoreError> {
        self.write(|state| {
            require(
                state.payments.has(None, &reserve.payment)
                    && state.owners.has(None, &reserve.owner),
                "a reserve is of a payment and an owner",
            )?;
            require(reserve.amount > Usd::ZERO, "a reserve holds something")?;
            require(
                (1..=255).contains(&reserve.name.chars().count()),
                "a reserve has a name",
            )?;
            let name = (reserve.payment, reserve.name.clone());
            let is_refund = reserve.kind == ReserveKind::Refund;
            if is_refund && state.refunds_by_name.has(None, &name) {
                return Ok(false);
            }
            require(
                !state.reserves.has(None, &reserve.id),
                "a reserve is written once",
            )?;
            let version = state.writing();
            if is_refund {
                state.refunds_by_name.put(version, name, reserve.id);
            }
            state.reserves.put(version, reserve.id, reserve.clone());
            Ok(true)
        })
    }

    async fn save_reserve(&mut self, reserve: &Reserve) -> Result<bool, StoreError> {
        self.write(|state| {
            let known = state.reserves.get(None, &reserve.id).cloned();
            let Some(known) = known.filter(|known| known.state == ReserveState::Held) else {
                return Ok(false);
            };
            let version = state.writing();
            let row = Reserve {
                account: reserve.account.clone(),
                state: reserve.state.clone(),
                ..known
            };
            state.reserves.put(version, reserve.id, row);
            Ok(true)
        })
    }

    async fn find_refund(
        &mut self,
        payment: PaymentId,
        name: &str,
    ) -> Result<Option<Reserve>, StoreError> {
        Ok(self.read(|state, at| {
            let id = state.refunds_by_name.get(at, &(payment, name.to_owned()))?;
            state.reserves.get(at, id).cloned()
        }))
    }

    async fn held_reserves(
        &mut self,
        rail: &RailLabel,
        kind: ReserveKind,
        limit: u32,
    ) -> Result<Vec<Reserve>, StoreError> {
        let counts = |row: &Reserve| {
            row.rail == *rail && row.kind == kind && row.state == ReserveState::Held
        };
        let mut found = self.read(|state, at| state.reserves_in_order(at, counts));
        found.truncate(size(limit));
        Ok(found)
    }

    async fn list_reserves(
        &mut self,
        kind: ReserveKind,
        limit: u32,
    ) -> Result<Vec<Reserve>, StoreError> {
        let mut found = self.read(|state, at| state.reserves_in_order(at, |row| row.kind == kind));
        found.reverse();
        found.truncate(size(limit));
        Ok(found)
    }

    async fn reserves_of(&mut self, dispute: &Dispute) -> Result<Vec<Reserve>, StoreError> {
        Ok(self.read(|state, at| {
            state.reserves_in_order(at, |row| {
                row.kind == ReserveKind::Dispute
                    && row.payment == dispute.payment
                    && row.name == dispute.reference
            })
        }))
    }

    async fn save_dispute(&mut self, dispute: &Dispute) -> Result<(), StoreError> {
        self.write(|state| {
            require(
                state.payments.has(None, &dispute.payment)
                    && state.owners.has(None, &dispute.owner),
                "a dispute is about a payment and an owner",
            )?;
            let key = (dispute.rail.clone(), dispute.reference.clone());
            let mut row = state.disputes.get(None, &key).cloned();
            let row = match row.take() {
                Some(known) => Dispute {
                    amount: dispute.amount,
                    status: dispute.status.clone(),
                    state: dispute.state,
                    ..known
                },
                None => dispute.clone(),
            };
            let version = state.writing();
            state.disputes.put(version, key, row);
            Ok(())
        })
    }

    async fn find_dispute(
        &mut self,
        rail: &RailLabel,
        reference: &str,
    ) -> Result<Option<Dispute>, StoreError> {
        let key = (rail.clone(), reference.to_owned());
        Ok(self.read(|state, at| state.disputes.get(at, &key).cloned()))
    }

    async fn list_disputes(
        &mut self,
        only_open: bool,
        limit: u32,
    ) -> Result<Vec<Dispute>, StoreError> {
        Ok(self.read(|state, at| {
            let rows = state.disputes.iter(at).map(|(_, row)| row);
            let counts = |row: &&Dispute| !only_open || row.state == DisputeState::Open;
            let mut rows: Vec<_> = rows.filter(counts).cloned().collect();
            // Newest first; of one moment in the order of their names.
            rows.sort_by_key(|row| core::cmp::Reverse(row.opened_at));
            rows.truncate(size(limit));
            rows
        }))
    }

    async fn disputes_against(
        &mut self,
        operation: OperationId,
    ) -> Result<Vec<Dispute>, StoreError> {
        Ok(self.read(|state, at| {
            let about = state.all_about(at, operation);
            let rows = state.disputes.iter(at).map(|(_, row)| row);
            let counts = |row: &&Dispute| {
                let payment = state.payments.get(at, &row.payment);
                matches!(row.state, DisputeState::Open | DisputeState::Lost)
                    && payment.is_some_and(|it| about.contains(&it.payment.operation))
            };
            let mut rows: Vec<_> = rows.filter(counts).cloned().collect();
            rows.sort_by_key(|row| row.opened_at);
            rows
        }))
    }

    async fn disputes_read(
        &mut self,
        rail: &RailLabel,
        account: &str,
    ) -> Result<Option<Timestamp>, StoreError> {
        let key = (rail.clone(), account.to_owned());
        Ok(self.read(|state, at| state.dispute_reads.get(at, &key).copied()))
    }

    async fn note_disputes_read(
        &mut self,
        rail: &RailLabel,
        account: &str,
        up_to: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(|state| {
            let key = (rail.clone(), account.to_owned());
            let known = state.dispute_reads.get(None, &key).copied();
            if known.is_none_or(|known| known < up_to) {
                let version = state.writing();
                state.dispute_reads.put(version, key, up_to);
            }
            Ok(())
        })
    }
}
