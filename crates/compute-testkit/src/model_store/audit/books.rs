//! M1, M2, M4, M5 and M8: the accounts.

use compute_domain::id::OwnerId;
use compute_domain::ledger::{Account, Transfer};
use compute_domain::money::Usd;
use compute_engine::ledger_chain::chain_hash;

use super::Auditor;
use crate::model_store::ledger::credits_side;
use crate::model_store::state::{AccountRow, TransferRow};

/// Sums over all transfers, by kind of account; micro-dollars.
#[derive(Debug, Default)]
struct Totals {
    arrived: i64,
    credits: i64,
    sales: i64,
    suspense: i64,
}

impl Totals {
    fn add(&mut self, account: &Account, amount: i64) {
        match account {
            Account::Clearing(_) => self.arrived = self.arrived.saturating_sub(amount),
            Account::Credits(_) => self.credits = self.credits.saturating_add(amount),
            Account::Sales => self.sales = self.sales.saturating_add(amount),
            Account::Suspense => self.suspense = self.suspense.saturating_add(amount),
        }
    }
}

impl Auditor<'_> {
    /// Walks an account's transfers from the first one on.
    pub(super) fn ask_account(&mut self, owner: OwnerId) {
        let state = self.state;
        let mut walked = AccountRow::EMPTY;
        let rows = state
            .transfers_by_account
            .range(self.at, (owner, 0)..=(owner, i64::MAX));
        let numbers: Vec<_> = rows.map(|((_, seq), number)| (*seq, *number)).collect();
        for (seq, number) in numbers {
            let Some(row) = state.transfers.get(self.at, &number) else {
                self.find("M8", format!("transfer {seq} of owner {owner} is gone"));
                continue;
            };
            walked = self.walk(owner, walked, seq, row);
        }
        let stored = state.account(self.at, owner);
        self.expect(
            stored.balance == walked.balance
                && stored.deposited == walked.deposited
                && stored.spent == walked.spent,
            "M2",
            || format!("account of {owner} holds {stored:?}; its transfers say {walked:?}"),
        );
        self.expect(
            stored.seq == walked.seq && stored.hash == walked.hash,
            "M8",
            || format!("the chain of {owner} does not end where the account says"),
        );
        if stored.balance < 0 {
            let detail = format!("account of {owner} holds {}", stored.balance);
            self.find("M2", detail.clone());
            self.find("M5", detail);
        }
    }

    /// Goes on by one row; what the account is after it.
    fn walk(
        &mut self,
        owner: OwnerId,
        before: AccountRow,
        seq: i64,
        row: &TransferRow,
    ) -> AccountRow {
        let transfer = &row.transfer;
        let at = || format!("transfer {} ({seq} of {owner})", transfer.id);
        let side = credits_side(transfer).filter(|(of, _)| *of == owner);
        let (Some((_, side)), Some((link, hash))) = (side, &row.link) else {
            self.find("M2", format!("{} is on no account", at()));
            return before;
        };
        let mut after = before.after(transfer, side);
        after.hash = *hash;
        self.expect(seq == after.seq && link.seq == after.seq, "M8", || {
            format!("{} follows number {}", at(), before.seq)
        });
        self.expect(link.balance_after.micros() == after.balance, "M2", || {
            format!(
                "{} leaves {}; it should {}",
                at(),
                link.balance_after,
                after.balance
            )
        });
        if self.is_full() {
            let expected = chain_hash(&before.hash, *link, transfer);
            self.expect(expected == *hash, "M8", || {
                format!("{} is not what was written", at())
            });
        }
        after
    }

    /// M1: what one transfer moves, from where to where.
    pub(super) fn ask_transfer(&mut self, transfer: &Transfer) {
        let is_allowed = transfer.reason.allows(&transfer.debit, &transfer.credit);
        self.expect(is_allowed && transfer.amount > Usd::ZERO, "M1", || {
            format!(
                "transfer {} moves {} from {} to {} for {}",
                transfer.id, transfer.amount, transfer.debit, transfer.credit, transfer.reason
            )
        });
    }

    /// M4: what arrived is somewhere, and the payments and the accounts say the same as the ledger.
    pub(super) fn ask_totals(&mut self) {
        let state = self.state;
        let mut totals = Totals::default();
        let mut unmatched: i64 = 0;
        for (_, row) in state.transfers.iter(self.at) {
            let transfer = &row.transfer;
            let amount = transfer.amount.micros();
            totals.add(&transfer.debit, amount.saturating_neg());
            totals.add(&transfer.credit, amount);
            match (&transfer.debit, &transfer.credit) {
                (Account::Clearing(_), Account::Suspense) => {
                    unmatched = unmatched.saturating_add(amount);
                }
                (Account::Suspense, Account::Clearing(_)) => {
                    unmatched = unmatched.saturating_sub(amount);
                }
                _ => {}
            }
        }
        let accounts = state.accounts.iter(self.at);
        let held: i64 = accounts.map(|(_, row)| row.balance).sum();
        let payments = state.payments.iter(self.at);
        let settled: i64 = payments
            .filter(|(_, row)| row.payment.evidence().is_some())
            .map(|(_, row)| row.payment.price.micros())
            .sum();
        let placed = held
            .saturating_add(totals.sales)
            .saturating_add(totals.suspense);
        let arrived = settled.saturating_add(unmatched);
        self.expect(
            arrived == placed && totals.arrived == placed && totals.credits == held,
            "M4",
            || {
                format!(
                    "payments brought {settled}, and {unmatched} unexplained; the accounts hold \
                     {held}; the transfers say {totals:?}"
                )
            },
        );
    }
}
