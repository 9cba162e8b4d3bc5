//! M6: what is set aside for payments that go back, and what the ledger says of it.

use std::collections::BTreeMap;

use compute_domain::id::PaymentId;
use compute_domain::ledger::TransferReason;
use compute_domain::reserve::{DisputeState, Reserve, ReserveKind, ReserveState};

use super::Auditor;
use super::purchases::moved;

impl Auditor<'_> {
    pub(super) fn ask_reserves(&mut self) {
        let state = self.state;
        let mut sums: BTreeMap<PaymentId, i64> = BTreeMap::new();
        for (_, reserve) in state.reserves.iter(self.at) {
            self.ask_reserve(reserve);
            if !matches!(reserve.state, ReserveState::Released { .. }) {
                let sum = sums.entry(reserve.payment).or_default();
                *sum = sum.saturating_add(reserve.amount.micros());
            }
        }
        for (id, sum) in sums {
            let row = state.payments.get(self.at, &id);
            let is_covered = row.is_some_and(|row| {
                let payment = &row.payment;
                payment.evidence().is_some() && sum <= payment.price.micros()
            });
            self.expect(is_covered, "M6", || {
                format!("of payment {id}, {sum} is set aside or went back")
            });
        }
        for ((rail, reference), dispute) in state.disputes.iter(self.at) {
            let mut reserves = state.reserves.iter(self.at).map(|(_, reserve)| reserve);
            let is_held = reserves.any(|reserve| {
                reserve.kind == ReserveKind::Dispute
                    && reserve.payment == dispute.payment
                    && reserve.name == *reference
                    && reserve.state == ReserveState::Held
            });
            let is_open = dispute.state == DisputeState::Open;
            self.expect(is_open || !is_held, "M6", || {
                format!("dispute {reference} of {rail} is decided and holds something")
            });
        }
    }

    fn ask_reserve(&mut self, reserve: &Reserve) {
        let rows = self.state.transfers_for(self.at, reserve.id.into());
        let rows: Vec<_> = rows.into_iter().map(|row| &row.transfer).collect();
        for transfer in &rows {
            self.ask_transfer(transfer);
        }
        let took = match reserve.kind {
            ReserveKind::Refund => TransferReason::CardRefund,
            ReserveKind::Dispute => TransferReason::Dispute,
        };
        let amount = reserve.amount.micros();
        let (paid, released) = match reserve.state {
            ReserveState::Held => (0, 0),
            ReserveState::Paid { .. } => (amount, 0),
            ReserveState::Released { .. } => (0, amount),
        };
        for (reason, expected) in [
            (took, amount),
            (TransferReason::ReservePaid, paid),
            (TransferReason::ReserveReleased, released),
        ] {
            let found = moved(rows.iter().copied(), &[reason]);
            self.expect(found == expected, "M6", || {
                let (id, state) = (reserve.id, reserve.state.name());
                format!("reserve {id} is {state}, and the ledger moved {found} for {reason}")
            });
        }
    }
}
