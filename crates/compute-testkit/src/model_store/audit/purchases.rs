//! M3, M6 and P1 to P4: what was paid, and what it bought. R1: the clients' names.

use compute_domain::id::OperationId;
use compute_domain::ledger::{Account, Transfer, TransferReason};
use compute_domain::operation::{Operation, OperationKind, OperationState, Step};
use compute_domain::payment::{Payment, PaymentState};
use compute_engine::ports::NameScope;

use super::Auditor;

/// What moved because of one operation, and its payment.
struct Purchase<'a> {
    operation: &'a Operation,
    payment: Option<&'a Payment>,
    transfers: Vec<&'a Transfer>,
}

impl Purchase<'_> {
    /// How much moved for some reasons.
    fn moved(&self, reasons: &[TransferReason]) -> i64 {
        moved(self.transfers.iter().copied(), reasons)
    }

    fn is_settled(&self) -> bool {
        self.payment
            .is_some_and(|payment| payment.evidence().is_some())
    }

    /// Whether somebody paid, be it in credits.
    fn is_paid(&self) -> bool {
        self.is_settled() || self.moved(&[TransferReason::Spend]) > 0
    }

    /// Whether the time that it sells is being delivered, or was. A machine has time as soon as it is
    /// made; what a top-up gives stands in the ledger.
    fn is_served(&self) -> bool {
        let sells_time =
            self.operation.kind == OperationKind::Provision || self.operation.data.time.is_some();
        match (&self.operation.state, sells_time) {
            (_, false) => false,
            (OperationState::Succeeded, _) => true,
            (OperationState::Running(progress), _) => progress.step != Step::Settle,
            (OperationState::Stuck { step, .. }, _) => *step != Step::Settle,
            (OperationState::Failed { .. }, _) => false,
        }
    }
}

/// How much some transfers moved for some reasons; micro-dollars.
pub(super) fn moved<'a>(
    transfers: impl Iterator<Item = &'a Transfer>,
    reasons: &[TransferReason],
) -> i64 {
    transfers
        .filter(|transfer| reasons.contains(&transfer.reason))
        .map(|transfer| transfer.amount.micros())
        .sum()
}

/// The arrival of money for something.
const INFLOWS: &[TransferReason] = &[TransferReason::Sale, TransferReason::Topup];

impl Auditor<'_> {
    pub(super) fn ask_operation(&mut self, id: OperationId) {
        let (state, at) = (self.state, self.at);
        let Some(row) = state.operations.get(at, &id) else {
            return;
        };
        let rows = state.transfers_of(at, id).into_iter();
        let purchase = Purchase {
            operation: &row.operation,
            payment: state.payment_of(at, id).map(|row| &row.payment),
            transfers: rows.map(|row| &row.transfer).collect(),
        };
        for transfer in &purchase.transfers {
            self.ask_transfer(transfer);
        }
        self.ask_inflow(&purchase);
        self.expect(!purchase.is_served() || purchase.is_paid(), "P3", || {
            format!("operation {id} is served and was not paid for")
        });
        if self.is_full() {
            self.ask_refunds(&purchase);
            self.ask_failure(&purchase);
            self.ask_log(id);
        }
    }

    /// M3: a settled payment has arrived once, in full, and nothing else has.
    fn ask_inflow(&mut self, purchase: &Purchase<'_>) {
        let id = purchase.operation.id;
        let transfers = purchase.transfers.iter();
        let inflows: Vec<_> = transfers
            .filter(|transfer| INFLOWS.contains(&transfer.reason))
            .collect();
        let settled = purchase
            .payment
            .filter(|payment| payment.evidence().is_some());
        match (settled, inflows.as_slice()) {
            (None, []) => {}
            (Some(payment), [inflow])
                if inflow.amount == payment.price
                    && inflow.debit == Account::Clearing(payment.rail.clone()) => {}
            (settled, inflows) => {
                let count = inflows.len();
                let payment = settled.map(|payment| payment.id);
                self.find(
                    "M3",
                    format!(
                        "operation {id} has {count} inflows; its settled payment is {payment:?}"
                    ),
                );
            }
        }
    }

    /// M6: nothing is given back twice, nor more than was paid.
    fn ask_refunds(&mut self, purchase: &Purchase<'_>) {
        let id = purchase.operation.id;
        for reason in TransferReason::ALL {
            let transfers = purchase.transfers.iter();
            let count = transfers
                .filter(|transfer| transfer.reason == *reason)
                .count();
            self.expect(count <= 1, "M6", || {
                format!("operation {id} has {count} transfers for {reason}")
            });
        }
        let paid = purchase.moved(&[
            TransferReason::Sale,
            TransferReason::Topup,
            TransferReason::Spend,
        ]);
        let returned =
            purchase.moved(&[TransferReason::PaymentRefund, TransferReason::SpendReversal]);
        self.expect(returned <= paid, "M6", || {
            format!("for operation {id} was paid {paid} and given back {returned}")
        });
        let advanced = purchase.moved(&[TransferReason::OperatorRefund]);
        let asked = purchase.payment.map_or(0, |payment| payment.price.micros());
        self.expect(advanced <= asked, "M6", || {
            format!("an operator gave {advanced} for operation {id}, which cost {asked}")
        });
        let is_over = purchase.operation.state == OperationState::Succeeded;
        self.expect(!is_over || returned == 0, "M6", || {
            format!("operation {id} succeeded, and {returned} was given back for it")
        });
    }

    /// P4: what failed costs nothing.
    fn ask_failure(&mut self, purchase: &Purchase<'_>) {
        let id = purchase.operation.id;
        let has_failed = matches!(purchase.operation.state, OperationState::Failed { .. });
        let state = purchase.payment.map(|payment| &payment.state);
        let is_kept = matches!(state, Some(PaymentState::Settled { .. }));
        self.expect(!(has_failed && is_kept), "P4", || {
            format!("operation {id} failed, and its payment is settled")
        });
        if let (Some(PaymentState::Refunded { transfer, .. }), Some(payment)) =
            (state, purchase.payment)
        {
            let mut transfers = purchase.transfers.iter();
            let is_there = transfers.any(|row| {
                row.id == *transfer
                    && row.reason == TransferReason::PaymentRefund
                    && row.credit == Account::Credits(payment.owner)
                    && row.amount == payment.price
            });
            self.expect(is_there, "P4", || {
                format!(
                    "payment {} is refunded, without a transfer that says so",
                    payment.id
                )
            });
        }
        let spent = purchase.moved(&[TransferReason::Spend]);
        let reversed = purchase.moved(&[TransferReason::SpendReversal]);
        self.expect(!has_failed || spent == reversed, "P4", || {
            format!("operation {id} failed; {spent} credits were spent and {reversed} came back")
        });
    }

    /// M8: a log has no gap.
    fn ask_log(&mut self, id: OperationId) {
        let range = (id, i64::MIN)..=(id, i64::MAX);
        let lines = self.state.events.range(self.at, range);
        let has_gap = lines
            .zip(0_i64..)
            .any(|(((_, seq), _), expected)| *seq != expected);
        self.expect(!has_gap, "M8", || {
            format!("the log of operation {id} has a gap")
        });
    }

    /// P1: a proof buys one thing.
    pub(super) fn ask_proof(&mut self, proof_key: &str) {
        let bound = self.state.payments_with_proof(self.at, proof_key);
        let ids: Vec<_> = bound.iter().map(|payment| payment.id).collect();
        // The proof itself stays out of a finding.
        self.expect(ids.len() <= 1, "P1", || {
            format!("one proof binds {} payments: {ids:?}", ids.len())
        });
    }

    /// R1: a name is of a purchase of its owner's own, or of one that its wallet pays.
    pub(super) fn ask_names(&mut self) {
        for ((scope, _), row) in self.state.request_keys.iter(self.at) {
            let id = row.bound.operation;
            let is_own = match scope {
                NameScope::Owner(owner) => {
                    let operation = self.state.operations.get(self.at, &id);
                    operation.is_some_and(|row| row.operation.owner == *owner)
                }
                NameScope::Payer(wallet) => {
                    let payment = self.state.payment_of(self.at, id);
                    payment.is_some_and(|row| row.payment.payer == Some(*wallet))
                }
            };
            self.expect(is_own, "R1", || {
                format!("a name of {scope:?} stands for operation {id}, which is not its own")
            });
        }
    }
}
