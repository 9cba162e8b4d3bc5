//! The statements of a debit, word for word as the store sends them, and nothing else.

use std::str::FromStr as _;

use compute_testkit::database::TestDatabase;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, SqliteConnection};

use super::uuid;

const LOCK_SQLITE: &str = "SELECT credits_micros - debits_micros, last_seq, last_hash
     FROM ledger_accounts
     WHERE id = $1";
const LOCK_POSTGRES: &str = "SELECT credits_micros - debits_micros, last_seq, last_hash
     FROM ledger_accounts
     WHERE id = $1
     FOR NO KEY UPDATE";
const POST: &str = "INSERT INTO ledger_transfers (id, debit_account, credit_account, amount_micros, reason, operation_id, created_at, credits_account, credits_seq, balance_after_micros, chain_hash)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (operation_id, reason) DO NOTHING";
const MOVE: &str = "UPDATE ledger_accounts
SET debits_micros = debits_micros + $2, credits_micros = credits_micros + $3,
    reversed_micros = reversed_micros + $4, last_seq = $5, last_hash = $6
WHERE id = $1 AND last_seq = $5 - 1 AND credits_micros - debits_micros >= $2";

/// A connection with the store's settings.
#[derive(Debug)]
enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// The loop.
#[derive(Debug)]
pub(super) struct Bare {
    connection: Connection,
    account: String,
}

/// One debit on either connection.
macro_rules! debit {
    ($connection:expr, $begin:literal, $lock:expr, $account:expr, $number:expr) => {{
        let hash = [1_u8; 32];
        sqlx::query($begin).execute(&mut *$connection).await?;
        let mut end = (0_i64, 0_i64);
        // The engine locks before it decides, and the ledger looks at the locked row again.
        for _ in 0..2 {
            let (balance, last_seq, _): (i64, i64, Vec<u8>) = sqlx::query_as($lock)
                .bind($account)
                .fetch_one(&mut *$connection)
                .await?;
            end = (balance, last_seq);
        }
        let (balance, last_seq) = end;
        sqlx::query(POST)
            .bind(format!("bare-{:032}", $number))
            .bind($account)
            .bind("sales")
            .bind(1_i64)
            .bind("spend")
            .bind(uuid($number).to_string())
            .bind(1_i64)
            .bind($account)
            .bind(last_seq + 1)
            .bind(balance - 1)
            .bind(hash.as_slice())
            .execute(&mut *$connection)
            .await?;
        sqlx::query(MOVE)
            .bind($account)
            .bind(1_i64)
            .bind(0_i64)
            .bind(0_i64)
            .bind(last_seq + 1)
            .bind(hash.as_slice())
            .execute(&mut *$connection)
            .await?;
        sqlx::query("COMMIT").execute(&mut *$connection).await?;
    }};
}

impl Bare {
    pub(super) async fn connect(database: &TestDatabase, owner: u64) -> anyhow::Result<Self> {
        let url = &database.config().url;
        let connection = if database.database().is_sqlite() {
            let options = SqliteConnectOptions::from_str(url)?
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .foreign_keys(true);
            Connection::Sqlite(options.connect().await?)
        } else {
            let options = PgConnectOptions::from_str(url)?;
            Connection::Postgres(options.connect().await?)
        };
        let account = format!("credits:{}", uuid(owner));
        Ok(Self {
            connection,
            account,
        })
    }

    pub(super) async fn debit(&mut self, number: u64) -> Result<(), sqlx::Error> {
        let account = self.account.as_str();
        match &mut self.connection {
            Connection::Sqlite(connection) => {
                debit!(connection, "BEGIN IMMEDIATE", LOCK_SQLITE, account, number);
            }
            Connection::Postgres(connection) => {
                debit!(
                    connection,
                    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
                    LOCK_POSTGRES,
                    account,
                    number
                );
            }
        }
        Ok(())
    }

    pub(super) async fn close(self) -> Result<(), sqlx::Error> {
        match self.connection {
            Connection::Sqlite(connection) => connection.close().await,
            Connection::Postgres(connection) => connection.close().await,
        }
    }
}
