//! Rows of transfers and accounts.

use compute_domain::ledger::{Account, Cause, CreditAccount, Transfer, TransferReason};
use compute_domain::money::Usd;
use compute_domain::time::Timestamp;
use compute_engine::ports::StoreError;

use crate::row::RowName;

/// What a transfer says.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct TransferRow {
    pub(crate) id: String,
    debit_account: String,
    credit_account: String,
    amount_micros: i64,
    reason: String,
    operation_id: Option<String>,
    arrival_id: Option<String>,
    reserve_id: Option<String>,
    created_at: i64,
}

impl TransferRow {
    pub(crate) fn parse(self) -> Result<Transfer, StoreError> {
        let name = RowName::new("ledger_transfers", &self.id);
        Ok(Transfer {
            id: name.text("id", &self.id)?,
            debit: name.present("debit_account", Account::parse(&self.debit_account))?,
            credit: name.present("credit_account", Account::parse(&self.credit_account))?,
            amount: name.check("amount_micros", Usd::from_micros(self.amount_micros))?,
            reason: name.present("reason", TransferReason::parse(&self.reason))?,
            cause: self.parse_cause(&name)?,
            created_at: Timestamp::from_millis(self.created_at),
        })
    }

    fn parse_cause(&self, name: &RowName) -> Result<Cause, StoreError> {
        let (operation, arrival) = (self.operation_id.as_deref(), self.arrival_id.as_deref());
        match (operation, arrival, self.reserve_id.as_deref()) {
            (Some(id), None, None) => Ok(Cause::Operation(name.text("operation_id", id)?)),
            (None, Some(id), None) => Ok(Cause::Arrival(name.text("arrival_id", id)?)),
            (None, None, Some(id)) => Ok(Cause::Reserve(name.text("reserve_id", id)?)),
            _ => Err(name.bad("cause")),
        }
    }
}

/// A transfer with its place in a chain, as it was written.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct LinkedRow {
    #[sqlx(flatten)]
    pub(crate) transfer: TransferRow,
    pub(crate) credits_account: String,
    pub(crate) credits_seq: i64,
    pub(crate) balance_after_micros: Option<i64>,
    pub(crate) chain_hash: Option<Vec<u8>>,
}

#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct AccountRow {
    id: String,
    credits_micros: i64,
    debits_micros: i64,
    reversed_micros: i64,
}

impl AccountRow {
    /// What was spent and reversed counts neither as a deposit nor as a spending.
    pub(super) fn parse(self) -> Result<CreditAccount, StoreError> {
        let name = RowName::new("ledger_accounts", &self.id);
        let difference = |column, from: i64, minus: i64| {
            let micros = name.present(column, from.checked_sub(minus))?;
            name.check(column, Usd::from_micros(micros))
        };
        Ok(CreditAccount {
            balance: difference("balance", self.credits_micros, self.debits_micros)?,
            deposited: difference("deposited", self.credits_micros, self.reversed_micros)?,
            spent: difference("spent", self.debits_micros, self.reversed_micros)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(credits_micros: i64, debits_micros: i64, reversed_micros: i64) -> AccountRow {
        AccountRow {
            id: "credits:x".into(),
            credits_micros,
            debits_micros,
            reversed_micros,
        }
    }

    #[test]
    fn what_was_reversed_is_neither_deposited_nor_spent() {
        let usd = |micros| Usd::from_micros(micros).unwrap();
        let found = account(130, 50, 30).parse().unwrap();
        let expected = CreditAccount {
            balance: usd(80),
            deposited: usd(100),
            spent: usd(20),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn accounts_that_make_no_sense_are_inconsistent() {
        for (row, detail) in [
            (account(1, 2, 0), "balance"),
            (account(2, 1, 3), "deposited"),
            (account(2, 1, 2), "spent"),
            (account(i64::MIN, 1, 0), "balance"),
        ] {
            match row.parse() {
                Err(StoreError::Inconsistent { detail: found, .. }) => {
                    assert_eq!(found, format!("{detail} of credits:x"));
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
