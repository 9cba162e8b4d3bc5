//! The ledger: transfers that never change, and the accounts a rule depends on.
//!
//! A transfer that touches a credits account costs three statements: lock the account's row, insert
//! the transfer with its place in the account's chain, write the account's new state. The lock comes
//! first, so the balance is judged, and the chain goes on, from what the previous holder committed.

mod movements;
mod row;

use async_trait::async_trait;
use compute_domain::id::{OperationId, OwnerId, TransferId};
use compute_domain::ledger::{Account, Cause, CreditAccount, Transfer};
use compute_domain::money::Usd;
use compute_engine::ledger_chain::{Link, ORIGIN, chain_hash};
use compute_engine::ports::{Ledger, Movement, Posted, StoreError};

use crate::dialect::LOCK_ACCOUNT;
use crate::row::RowName;
use crate::statement::{Refusal, contended, execute, fetch, rejected};
use crate::tx::StoreTx;
use row::AccountRow;
pub(crate) use row::{LinkedRow, TransferRow};

/// The columns of [`TransferRow`].
macro_rules! transfer_columns {
    () => {
        "id, debit_account, credit_account, amount_micros, reason, operation_id, arrival_id, reserve_id, created_at"
    };
}
pub(crate) use transfer_columns;

macro_rules! post {
    ($cause:literal) => {
        concat!(
            "INSERT INTO ledger_transfers (",
            transfer_columns!(),
            ", credits_account, credits_seq, balance_after_micros, chain_hash)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (",
            $cause,
            ", reason) DO NOTHING"
        )
    };
}

const POST_FOR_OPERATION: &str = post!("operation_id");
const POST_FOR_ARRIVAL: &str = post!("arrival_id");
const POST_FOR_RESERVE: &str = post!("reserve_id");

const IS_POSTED: &str = "SELECT COUNT(*)
FROM ledger_transfers
WHERE (operation_id = $1 OR arrival_id = $1 OR reserve_id = $1) AND reason = $2";

const OPEN_ACCOUNT: &str = "INSERT INTO ledger_accounts
    (id, debits_micros, credits_micros, reversed_micros, last_seq, last_hash)
VALUES ($1, 0, 0, 0, 0, $2)
ON CONFLICT (id) DO NOTHING";

/// The row is locked, so its conditions hold; they are said again where the money moves.
const MOVE: &str = "UPDATE ledger_accounts
SET debits_micros = debits_micros + $2, credits_micros = credits_micros + $3,
    reversed_micros = reversed_micros + $4, last_seq = $5, last_hash = $6
WHERE id = $1 AND last_seq = $5 - 1 AND credits_micros - debits_micros >= $2";

const CREDITS: &str = "SELECT id, credits_micros, debits_micros, reversed_micros
FROM ledger_accounts
WHERE id = $1";

const LIST: &str = concat!(
    "SELECT ",
    transfer_columns!(),
    "
FROM ledger_transfers
WHERE operation_id = $1
ORDER BY created_at, id"
);

/// A credits account whose row is locked.
struct Locked {
    balance: Usd,
    last_seq: i64,
    last_hash: [u8; 32],
}

/// Where a transfer stands in its account's chain.
struct Chained<'a> {
    account: &'a str,
    link: Link,
    hash: [u8; 32],
}

#[async_trait]
impl Ledger for StoreTx {
    async fn post_transfer(&mut self, transfer: &Transfer) -> Result<Posted, StoreError> {
        if !transfer.reason.allows(&transfer.debit, &transfer.credit) {
            return Err(self.fail(rejected(Refusal::WrongAccounts)));
        }
        // No reason allows credits on both sides.
        let posted = if matches!(transfer.debit, Account::Credits(_)) {
            self.take_credits(transfer, &transfer.debit.to_string())
                .await
        } else if matches!(transfer.credit, Account::Credits(_)) {
            self.give_credits(transfer, &transfer.credit.to_string())
                .await
        } else {
            self.insert_transfer(transfer, None).await
        }?;
        if posted == Posted::New {
            self.measured.posted(transfer);
        }
        Ok(posted)
    }

    async fn credits_of(&mut self, owner: OwnerId) -> Result<CreditAccount, StoreError> {
        let account = Account::Credits(owner).to_string();
        let row: Option<AccountRow> =
            fetch!(fetch_optional, self, "ledger_accounts", CREDITS, &account)?;
        row.map_or_else(|| Ok(CreditAccount::default()), AccountRow::parse)
    }

    /// An owner who never had credits has no row to lock, and nothing to spend. A first credit may
    /// then appear before the transaction ends; it makes the owner richer, never poorer.
    async fn lock_credits(&mut self, owner: OwnerId) -> Result<Usd, StoreError> {
        let account = Account::Credits(owner).to_string();
        let locked = self.lock_account(&account).await?;
        Ok(locked.map_or(Usd::ZERO, |locked| locked.balance))
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

    async fn list_movements(
        &mut self,
        owner: OwnerId,
        after: Option<TransferId>,
        limit: u32,
    ) -> Result<Vec<Movement>, StoreError> {
        self.movements_of(owner, after, limit).await
    }
}

impl StoreTx {
    /// Makes an account that nothing has touched yet; harmless when there is one.
    pub(crate) async fn open_account(&mut self, account: &str) -> Result<(), StoreError> {
        execute!(
            self,
            "ledger_accounts",
            OPEN_ACCOUNT,
            account,
            ORIGIN.as_slice()
        )?;
        Ok(())
    }

    async fn lock_account(&mut self, account: &str) -> Result<Option<Locked>, StoreError> {
        let row: Option<(i64, i64, Vec<u8>)> = fetch!(
            fetch_optional,
            self,
            "ledger_accounts",
            LOCK_ACCOUNT,
            account
        )?;
        row.map(|(balance, last_seq, last_hash)| {
            let name = RowName::new("ledger_accounts", account);
            Ok(Locked {
                balance: name.check("balance", Usd::from_micros(balance))?,
                last_seq,
                last_hash: name.digest("last_hash", &last_hash)?,
            })
        })
        .transpose()
    }

    async fn take_credits(
        &mut self,
        transfer: &Transfer,
        account: &str,
    ) -> Result<Posted, StoreError> {
        let locked = self.lock_account(account).await?;
        let paid = locked.and_then(|locked| {
            let left = locked.balance.checked_sub(transfer.amount).ok()?;
            Some((locked, left))
        });
        let Some((locked, left)) = paid else {
            // This very transfer may be what the account lacks now.
            let cause = transfer.cause.to_string();
            let reason = transfer.reason.as_str();
            let (count,): (i64,) = fetch!(
                fetch_one,
                self,
                "ledger_transfers",
                IS_POSTED,
                cause,
                reason
            )?;
            return Ok(if count == 0 {
                Posted::Insufficient
            } else {
                Posted::Already
            });
        };
        self.write_chained(transfer, account, &locked, left).await
    }

    async fn give_credits(
        &mut self,
        transfer: &Transfer,
        account: &str,
    ) -> Result<Posted, StoreError> {
        let mut locked = self.lock_account(account).await?;
        if locked.is_none() {
            self.open_account(account).await?;
            locked = self.lock_account(account).await?;
        }
        // Accounts are never removed.
        let locked = locked.ok_or_else(|| self.fail(contended()))?;
        let Ok(sum) = locked.balance.checked_add(transfer.amount) else {
            return Err(self.fail(rejected(Refusal::TooRich)));
        };
        self.write_chained(transfer, account, &locked, sum).await
    }

    /// Writes the next transfer of a locked account's chain, and the account as it is then.
    async fn write_chained(
        &mut self,
        transfer: &Transfer,
        account: &str,
        locked: &Locked,
        balance_after: Usd,
    ) -> Result<Posted, StoreError> {
        let link = Link {
            seq: locked.last_seq.saturating_add(1),
            balance_after,
        };
        let hash = chain_hash(&locked.last_hash, link, transfer);
        let chained = Chained {
            account,
            link,
            hash,
        };
        if self.insert_transfer(transfer, Some(&chained)).await? == Posted::Already {
            return Ok(Posted::Already);
        }
        let amount = transfer.amount.micros();
        let (debit, credit) = match transfer.debit {
            Account::Credits(_) => (amount, 0),
            _ => (0, amount),
        };
        let reversed = if transfer.reason.is_reversal() {
            amount
        } else {
            0
        };
        let rows = execute!(
            self,
            "ledger_accounts",
            MOVE,
            account,
            debit,
            credit,
            reversed,
            link.seq,
            hash.as_slice(),
        )?;
        self.exactly_one("ledger_accounts", rows)?;
        Ok(Posted::New)
    }

    async fn insert_transfer(
        &mut self,
        transfer: &Transfer,
        chained: Option<&Chained<'_>>,
    ) -> Result<Posted, StoreError> {
        let post = match transfer.cause {
            Cause::Operation(_) => POST_FOR_OPERATION,
            Cause::Arrival(_) => POST_FOR_ARRIVAL,
            Cause::Reserve(_) => POST_FOR_RESERVE,
        };
        let rows = execute!(
            self,
            "ledger_transfers",
            post,
            transfer.id.to_string(),
            transfer.debit.to_string(),
            transfer.credit.to_string(),
            transfer.amount.micros(),
            transfer.reason.as_str(),
            transfer.cause.operation().map(|id| id.to_string()),
            transfer.cause.arrival().map(|id| id.to_string()),
            transfer.cause.reserve().map(|id| id.to_string()),
            transfer.created_at.millis(),
            chained.map(|chained| chained.account),
            chained.map(|chained| chained.link.seq),
            chained.map(|chained| chained.link.balance_after.micros()),
            chained.map(|chained| chained.hash.as_slice()),
        )?;
        Ok(if rows == 0 {
            Posted::Already
        } else {
            Posted::New
        })
    }
}
