//! M10: what chains show to have arrived is a settled payment's, or in suspense.

use compute_domain::arrival::{Arrival, ArrivalState};
use compute_domain::ledger::{Account, TransferReason};
use compute_domain::payment::PaymentState;
use compute_domain::time::Span;

use super::Auditor;
use super::purchases::moved;

/// The promise; and more than our clock and a chain's differ.
const WITHIN: Span = Span::from_hours(1);

impl Auditor<'_> {
    pub(super) fn ask_arrivals(&mut self) {
        let state = self.state;
        for (_, arrival) in state.arrivals.iter(self.at) {
            self.ask_arrival(arrival);
        }
        for (_, row) in state.payments.iter(self.at) {
            let payment = &row.payment;
            let settled_at = match &payment.state {
                PaymentState::Settled { at, .. } => *at,
                PaymentState::Refunded { settled_at, .. } => *settled_at,
                _ => continue,
            };
            let Some((source, since)) = state.arrival_rails.get(self.at, &payment.rail) else {
                continue;
            };
            let read_up_to = state.arrival_sources.get(self.at, source);
            let is_due = payment.claimed_at >= *since
                && read_up_to.is_some_and(|it| settled_at < it.read_up_to.minus(WITHIN));
            let is_seen = state.arrivals_by_payment.has(self.at, &payment.id)
                || state.reverted_payments.has(self.at, &payment.id);
            self.expect(!is_due || is_seen, "M10", || {
                format!("payment {} settled, and nothing arrived", payment.id)
            });
        }
    }

    fn ask_arrival(&mut self, arrival: &Arrival) {
        let state = self.state;
        let first = (arrival.id, 0);
        let numbers = state.transfers_by_arrival.range(self.at, first..);
        let numbers = numbers.take_while(|((id, _), ())| *id == arrival.id);
        let rows = numbers.filter_map(|((_, number), ())| state.transfers.get(self.at, number));
        let rows: Vec<_> = rows.map(|row| &row.transfer).collect();
        for transfer in &rows {
            self.ask_transfer(transfer);
        }
        let moved = |reason| moved(rows.iter().copied(), &[reason]);
        let held = moved(TransferReason::Unmatched)
            .saturating_sub(moved(TransferReason::UnmatchedReversal));
        let owed = if arrival.state.is_booked() {
            arrival.worth().micros()
        } else {
            0
        };
        self.expect(held == owed, "M10", || {
            format!(
                "arrival {} is {}; suspense holds {held} for it",
                arrival.id,
                arrival.state.name()
            )
        });
        let credited = moved(TransferReason::OperatorRefund);
        self.expect(credited <= arrival.worth().micros(), "M6", || {
            format!("arrival {} became {credited} of credit", arrival.id)
        });
        match &arrival.state {
            ArrivalState::Assigned { owner, .. } => {
                let is_credit = rows.iter().any(|row| {
                    row.reason == TransferReason::OperatorRefund
                        && row.credit == Account::Credits(*owner)
                        && row.amount == arrival.worth()
                });
                self.expect(is_credit, "M10", || {
                    format!("arrival {} is assigned, and nobody's credit", arrival.id)
                });
            }
            ArrivalState::Matched { payment } => {
                let row = state.payments.get(self.at, payment);
                let is_its = row.is_some_and(|row| {
                    let shown = row.payment.evidence();
                    shown.is_some_and(|shown| shown.reference == arrival.reference)
                        && row.payment.asset.atomic == arrival.asset.atomic
                });
                self.expect(is_its, "M10", || {
                    format!("arrival {} is not the money of {payment}", arrival.id)
                });
            }
            ArrivalState::Waiting | ArrivalState::Unmatched => {}
        }
    }
}
