//! The ledger: transfers that never change, and the accounts a rule depends on.

use async_trait::async_trait;
use compute_domain::id::{OperationId, OwnerId};
use compute_domain::ledger::{Account, Transfer, TransferReason};
use compute_domain::money::Usd;
use compute_domain::time::Timestamp;
use compute_engine::ports::{Ledger, Posted, StoreError};

use crate::row::RowName;
use crate::statement::{Refusal, execute, fetch, rejected};
use crate::tx::StoreTx;

const POST: &str = "INSERT INTO ledger_transfers
    (id, debit_account, credit_account, amount_micros, reason, operation_id, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (operation_id, reason) DO NOTHING";

const GIVE_CREDITS: &str = "INSERT INTO ledger_accounts (id, debits_micros, credits_micros)
VALUES ($1, 0, $2)
ON CONFLICT (id) DO UPDATE
SET credits_micros = ledger_accounts.credits_micros + excluded.credits_micros";

const TAKE_CREDITS: &str = "UPDATE ledger_accounts
SET debits_micros = debits_micros + $2
WHERE id = $1 AND credits_micros - debits_micros >= $2";

const BALANCE: &str = "SELECT credits_micros - debits_micros
FROM ledger_accounts
WHERE id = $1";

const LIST: &str = "SELECT
    id, debit_account, credit_account, amount_micros, reason, operation_id, created_at
FROM ledger_transfers
WHERE operation_id = $1
ORDER BY created_at, id";

#[derive(sqlx::FromRow)]
struct TransferRow {
    id: String,
    debit_account: String,
    credit_account: String,
    amount_micros: i64,
    reason: String,
    operation_id: String,
    created_at: i64,
}

impl TransferRow {
    fn parse(self) -> Result<Transfer, StoreError> {
        let name = RowName::new("ledger_transfers", &self.id);
        Ok(Transfer {
            id: name.text("id", &self.id)?,
            debit: name.present("debit_account", Account::parse(&self.debit_account))?,
            credit: name.present("credit_account", Account::parse(&self.credit_account))?,
            amount: name.check("amount_micros", Usd::from_micros(self.amount_micros))?,
            reason: name.present("reason", TransferReason::parse(&self.reason))?,
            operation: name.text("operation_id", &self.operation_id)?,
            created_at: Timestamp::from_millis(self.created_at),
        })
    }
}

#[async_trait]
impl Ledger for StoreTx {
    async fn post_transfer(&mut self, transfer: &Transfer) -> Result<Posted, StoreError> {
        let debit = transfer.debit.to_string();
        let credit = transfer.credit.to_string();
        let amount = transfer.amount.micros();
        let rows = execute!(
            self,
            "ledger_transfers",
            POST,
            transfer.id.to_string(),
            &debit,
            &credit,
            amount,
            transfer.reason.as_str(),
            transfer.operation.to_string(),
            transfer.created_at.millis(),
        )?;
        if rows == 0 {
            return Ok(Posted::Already);
        }
        if matches!(transfer.debit, Account::Credits(_)) {
            let rows = execute!(self, "ledger_accounts", TAKE_CREDITS, &debit, amount)?;
            if rows == 0 {
                return Err(self.fail(rejected(Refusal::Overdrawn)));
            }
        }
        if matches!(transfer.credit, Account::Credits(_)) {
            let rows = execute!(self, "ledger_accounts", GIVE_CREDITS, &credit, amount)?;
            self.exactly_one("ledger_accounts", rows)?;
        }
        Ok(Posted::New)
    }

    async fn credits_of(&mut self, owner: OwnerId) -> Result<Usd, StoreError> {
        let account = Account::Credits(owner).to_string();
        let row: Option<(i64,)> =
            fetch!(fetch_optional, self, "ledger_accounts", BALANCE, &account)?;
        let name = RowName::new("ledger_accounts", &account);
        row.map_or(Ok(Usd::ZERO), |(micros,)| {
            name.check("balance", Usd::from_micros(micros))
        })
    }

    async fn transfers_of(&mut self, operation: OperationId) -> Result<Vec<Transfer>, StoreError> {
        let rows: Vec<TransferRow> = fetch!(
            fetch_all,
            self,
            "ledger_transfers",
            LIST,
            operation.to_string()
        )?;
        rows.into_iter().map(TransferRow::parse).collect()
    }
}
