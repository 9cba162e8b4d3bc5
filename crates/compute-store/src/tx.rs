//! Transactions: begin, commit, roll back.

use core::fmt;
use std::collections::BTreeSet;

use async_trait::async_trait;
use compute_domain::time::Timestamp;
use compute_engine::ports::{Lane, NewEvent, Store, StoreError, Tx, TxMode};
use sqlx::{Postgres, Sqlite, Transaction};

use crate::connect::{Database, Pools};
use crate::dialect::{BEGIN_READ, BEGIN_WRITE, POSTGRES_NOW, Statement};
use crate::meter::{Measured, counted};
use crate::statement::{Refusal, classify, execute, rejected, unavailable};

/// A transaction on either database. Dropped, it rolls back as soon as its connection is idle.
pub(crate) struct StoreTx {
    pub(crate) connection: Connection,
    mode: TxMode,
    /// PostgreSQL answers the `COMMIT` of a failed transaction with success and a rollback; SQLite
    /// would commit what had worked. So we remember.
    failed: bool,
    /// The lanes whose next nonce this transaction may write.
    pub(crate) locked_lanes: BTreeSet<Lane>,
    pub(crate) measured: Measured,
    /// What owners are told when it commits.
    pub(crate) announced: Vec<NewEvent>,
}

pub(crate) enum Connection {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl fmt::Debug for StoreTx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreTx")
            .field("mode", &self.mode)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

const CHECK_WRITABLE: &str = "UPDATE database_stamp
SET write_checks = write_checks + 1
WHERE id = 1";

impl Database {
    pub(crate) async fn open(&self, mode: TxMode) -> Result<StoreTx, StoreError> {
        let measured = Measured::begin(mode);
        let begin = match mode {
            TxMode::Read => BEGIN_READ,
            TxMode::Write => BEGIN_WRITE,
        };
        if let Pools::Sqlite { file, .. } = &self.pools {
            let there = file.check();
            there.map_err(|error| counted(StoreError::Unavailable(Box::new(error))))?;
        }
        let connection = match (&self.pools, mode) {
            (Pools::Sqlite { reader, .. }, TxMode::Read) => reader
                .begin_with(begin.sqlite())
                .await
                .map(Connection::Sqlite),
            (Pools::Sqlite { writer, .. }, TxMode::Write) => writer
                .begin_with(begin.sqlite())
                .await
                .map(Connection::Sqlite),
            (Pools::Postgres(pool), _) => pool
                .begin_with(begin.postgres())
                .await
                .map(Connection::Postgres),
        };
        let connection = connection.map_err(|error| counted(unavailable(error)))?;
        Ok(StoreTx {
            connection,
            mode,
            failed: false,
            locked_lanes: BTreeSet::new(),
            measured,
            announced: Vec::new(),
        })
    }
}

#[async_trait]
impl Store for Database {
    async fn begin(&self, mode: TxMode) -> Result<Box<dyn Tx>, StoreError> {
        Ok(Box::new(self.open(mode).await?))
    }

    async fn database_now(&self) -> Result<Option<Timestamp>, StoreError> {
        let Pools::Postgres(pool) = &self.pools else {
            return Ok(None);
        };
        let outcome = sqlx::query_as(POSTGRES_NOW).fetch_one(pool).await;
        let (millis,) = outcome.map_err(|error| classify("clock", error, TxMode::Read))?;
        Ok(Some(Timestamp::from_millis(millis)))
    }

    async fn check_writable(&self) -> Result<(), StoreError> {
        let mut tx = self.open(TxMode::Write).await?;
        let rows = execute!(tx, "database_stamp", CHECK_WRITABLE)?;
        tx.exactly_one("database_stamp", rows)?;
        Box::new(tx).commit().await
    }
}

#[async_trait]
impl Tx for StoreTx {
    async fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        if !self.failed {
            self.write_announced().await?;
        }
        if self.failed {
            self.rollback().await?;
            return Err(rejected(Refusal::FailedBefore));
        }
        let outcome = match self.connection {
            Connection::Sqlite(tx) => tx.commit().await,
            Connection::Postgres(tx) => tx.commit().await,
        };
        match outcome {
            Ok(()) => self.measured.committed(),
            Err(error) => {
                self.measured.ended("failed");
                return Err(counted(classify("commit", error, self.mode)));
            }
        }
        Ok(())
    }

    async fn rollback(self: Box<Self>) -> Result<(), StoreError> {
        let outcome = match self.connection {
            Connection::Sqlite(tx) => tx.rollback().await,
            Connection::Postgres(tx) => tx.rollback().await,
        };
        self.measured.ended("rolled_back");
        outcome.map_err(|error| counted(classify("rollback", error, self.mode)))
    }
}

impl StoreTx {
    /// The outcome of a statement, in the words of the port.
    pub(crate) fn checked<T>(
        &mut self,
        table: &'static str,
        outcome: Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        outcome.map_err(|error| self.fail(classify(table, error, self.mode)))
    }

    /// Marks the transaction as failed: nothing of it may be committed.
    pub(crate) fn fail(&mut self, error: StoreError) -> StoreError {
        self.failed = true;
        counted(error)
    }

    /// Checks that an update met the one row it was meant for.
    pub(crate) fn exactly_one(&mut self, table: &'static str, rows: u64) -> Result<(), StoreError> {
        if rows == 1 {
            return Ok(());
        }
        let detail = format!("{rows} rows where one was expected");
        Err(self.fail(StoreError::Inconsistent { table, detail }))
    }
}
