//! The only place where the two databases differ.

use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnectOptions, PgDatabaseError};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

use crate::arrivals::source_columns;
use crate::operations::operation_columns;
use crate::watch::watched_columns;

/// A statement's text for each database.
pub(crate) trait Statement {
    fn sqlite(&self) -> &'static str;
    fn postgres(&self) -> &'static str;
}

impl Statement for &'static str {
    fn sqlite(&self) -> &'static str {
        self
    }
    fn postgres(&self) -> &'static str {
        self
    }
}

/// A statement that has to differ.
pub(crate) struct Pair(&'static str, &'static str);

impl Statement for Pair {
    fn sqlite(&self) -> &'static str {
        self.0
    }
    fn postgres(&self) -> &'static str {
        self.1
    }
}

/// A reader sees one moment on both.
pub(crate) const BEGIN_READ: Pair = Pair(
    "BEGIN DEFERRED",
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
);
/// A deferred SQLite transaction that turns into a writer fails at once when another one writes.
/// The modes are spelled out, so that none is inherited from a `BEGIN` that nobody waited for.
pub(crate) const BEGIN_WRITE: Pair = Pair(
    "BEGIN IMMEDIATE",
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
);

pub(crate) const LOCK_OWNER: Pair = Pair(
    "SELECT id FROM owners WHERE id = $1",
    "SELECT id FROM owners WHERE id = $1 FOR NO KEY UPDATE",
);
pub(crate) const LOCK_INSTANCE: Pair = Pair(
    "SELECT id FROM instances WHERE id = $1",
    "SELECT id FROM instances WHERE id = $1 FOR NO KEY UPDATE",
);
pub(crate) const LOCK_OPERATION: Pair = Pair(
    "SELECT id FROM operations WHERE id = $1",
    "SELECT id FROM operations WHERE id = $1 FOR NO KEY UPDATE",
);

pub(crate) const LOCK_ARRIVAL_SOURCE: Pair = Pair(
    concat!(
        "SELECT ",
        source_columns!(),
        " FROM arrival_sources WHERE source = $1"
    ),
    concat!(
        "SELECT ",
        source_columns!(),
        " FROM arrival_sources WHERE source = $1 FOR NO KEY UPDATE"
    ),
);

/// What a credits account holds, and the end of its chain.
pub(crate) const LOCK_ACCOUNT: Pair = Pair(
    "SELECT credits_micros - debits_micros, last_seq, last_hash
     FROM ledger_accounts
     WHERE id = $1",
    "SELECT credits_micros - debits_micros, last_seq, last_hash
     FROM ledger_accounts
     WHERE id = $1
     FOR NO KEY UPDATE",
);

/// One replica notes and counts destructions at a time. SQLite has one writer anyway.
pub(crate) const LOCK_DESTRUCTIONS: Pair = Pair(
    "SELECT 1",
    "LOCK TABLE unasked_destructions IN SHARE ROW EXCLUSIVE MODE",
);

/// An audit reads everything, which may take longer than any other statement may. It never joins row
/// by row: before a table was analysed for the first time, PostgreSQL would, for minutes.
pub(crate) const PREPARE_AUDIT: Pair = Pair(
    "SELECT 1",
    "SELECT set_config('statement_timeout', '10min', TRUE), set_config('enable_nestloop', 'off', TRUE)",
);

/// `$1` now, `$2` next, `$3` limit. An instance that an operation holds is none of the reconciler's
/// business. PostgreSQL gets a materialised list for the reason below.
pub(crate) const CLAIM_WATCHED: Pair = Pair(
    concat!(
        "UPDATE instances
         SET watch_at = $2
         WHERE id IN (
             SELECT id FROM instances
             WHERE state = 'active' AND watch_at <= $1
               AND NOT EXISTS (
                   SELECT 1 FROM operations
                   WHERE operations.instance_id = instances.id
                     AND operations.state IN ('running', 'stuck')
                     AND operations.hold_released_at IS NULL)
             ORDER BY watch_at, id
             LIMIT $3)
         RETURNING ",
        watched_columns!()
    ),
    concat!(
        "WITH due AS MATERIALIZED (
             SELECT id AS due_id FROM instances
             WHERE state = 'active' AND watch_at <= $1
               AND NOT EXISTS (
                   SELECT 1 FROM operations
                   WHERE operations.instance_id = instances.id
                     AND operations.state IN ('running', 'stuck')
                     AND operations.hold_released_at IS NULL)
             ORDER BY watch_at, id
             LIMIT $3
             FOR NO KEY UPDATE SKIP LOCKED)
         UPDATE instances
         SET watch_at = $2
         FROM due
         WHERE id = due_id
         RETURNING ",
        watched_columns!()
    ),
);

/// `$1` holder, `$2` now, `$3` until, `$4` format, `$5` limit. PostgreSQL gets a materialised list:
/// it may run a sub-select more than once, and would then lock more than the limit.
pub(crate) const CLAIM_DUE: Pair = Pair(
    concat!(
        "UPDATE operations
         SET lease_holder = $1, lease_until = $3, lease_epoch = lease_epoch + 1
         WHERE id IN (
             SELECT id FROM operations
             WHERE state = 'running' AND run_at <= $2 AND format <= $4
               AND (lease_until IS NULL OR lease_until <= $2)
             ORDER BY run_at, id
             LIMIT $5)
         RETURNING ",
        operation_columns!()
    ),
    concat!(
        "WITH due AS MATERIALIZED (
             SELECT id AS due_id FROM operations
             WHERE state = 'running' AND run_at <= $2 AND format <= $4
               AND (lease_until IS NULL OR lease_until <= $2)
             ORDER BY run_at, id
             LIMIT $5
             FOR UPDATE SKIP LOCKED)
         UPDATE operations
         SET lease_holder = $1, lease_until = $3, lease_epoch = lease_epoch + 1
         FROM due
         WHERE id = due_id
         RETURNING ",
        operation_columns!()
    ),
);

/// Whether the migrations' own table is there.
pub(crate) const COUNT_MIGRATION_TABLES: Pair = Pair(
    "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'",
    "SELECT COUNT(*) FROM pg_catalog.pg_class WHERE oid = to_regclass('_sqlx_migrations')",
);

/// PostgreSQL's clock in milliseconds; on SQLite the process clock rules.
pub(crate) const POSTGRES_NOW: &str =
    "SELECT CAST(FLOOR(EXTRACT(EPOCH FROM clock_timestamp()) * 1000) AS BIGINT)";

/// `NORMAL` may lose the last commits with the power.
pub(crate) fn sqlite_options(options: SqliteConnectOptions) -> SqliteConnectOptions {
    options
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5))
}

/// An audit may take longer than the limit, but waits no longer for a lock. The last of the three
/// frees the locks of a replica that froze inside a transaction.
pub(crate) fn postgres_options(options: PgConnectOptions, limit: Duration) -> PgConnectOptions {
    let limit = format!("{}ms", limit.as_millis());
    options.application_name("compute-server").options([
        ("statement_timeout", limit.as_str()),
        ("lock_timeout", limit.as_str()),
        ("idle_in_transaction_session_timeout", "30s"),
    ])
}

/// For migrations: a long statement, or a long wait for another replica's, is no fault.
pub(crate) fn unlimited(options: PgConnectOptions) -> PgConnectOptions {
    options.options([("statement_timeout", "0"), ("lock_timeout", "0")])
}

/// Whether this is a standby, or a server whose transactions cannot write unless they ask for it.
pub(crate) const IS_READ_ONLY: &str =
    "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'";

/// What a failed statement means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It may succeed another time.
    Passing,
    /// The database, or this transaction, is not for writing.
    ReadOnly,
    /// It never will.
    Lasting,
}

pub(crate) fn fault(error: &dyn DatabaseError) -> Fault {
    let code = error.code();
    let code = code.as_deref().unwrap_or_default();
    if error.try_downcast_ref::<PgDatabaseError>().is_some() {
        postgres_fault(code)
    } else {
        sqlite_fault(code)
    }
}

/// Classes of PostgreSQL's appendix A: 08 connection, 40 rollback (40001, 40P01), 53 resources,
/// 55P03 lock wait, 57 intervention (57014 statement time-out), 58 system, 25P03 idle too long.
fn postgres_fault(code: &str) -> Fault {
    match code {
        "25006" => Fault::ReadOnly,
        "25P03" | "55P03" => Fault::Passing,
        _ if ["08", "40", "53", "57", "58"]
            .iter()
            .any(|class| code.starts_with(class)) =>
        {
            Fault::Passing
        }
        _ => Fault::Lasting,
    }
}

/// Primary codes: 5 busy, 6 locked, 7 memory, 9 interrupted, 10 I/O, 13 full, 14 cannot open,
/// 15 protocol; 8 read-only. The upper bytes of the number say more.
fn sqlite_fault(code: &str) -> Fault {
    match code.parse::<u32>().unwrap_or_default() & 0xff {
        5 | 6 | 7 | 9 | 10 | 13 | 14 | 15 => Fault::Passing,
        8 => Fault::ReadOnly,
        _ => Fault::Lasting,
    }
}

/// What a failure to open a SQLite file says about the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SqliteFault {
    /// It is not what was written.
    Damage,
    /// It cannot be read or written.
    Access,
    /// Nothing.
    Other,
}

/// Primary codes: 11 corrupt, 26 not a database; 3 permission, 8 read-only, 10 I/O, 14 cannot open.
pub(crate) fn sqlite_file_fault(error: &sqlx::Error) -> SqliteFault {
    let code = match error {
        sqlx::Error::Database(cause) => cause.code(),
        sqlx::Error::Io(_) => return SqliteFault::Access,
        _ => None,
    };
    let code = code.and_then(|code| code.parse::<u32>().ok());
    match code.map(|code| code & 0xff) {
        Some(11 | 26) => SqliteFault::Damage,
        Some(3 | 8 | 10 | 14) => SqliteFault::Access,
        _ => SqliteFault::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conflicts_between_transactions_pass() {
        for code in ["40001", "40P01", "57014", "57P01", "53300", "08006"] {
            assert_eq!(postgres_fault(code), Fault::Passing, "{code}");
        }
        for code in ["5", "517", "6", "13", "3338"] {
            assert_eq!(sqlite_fault(code), Fault::Passing, "{code}");
        }
    }

    #[test]
    fn broken_rules_last() {
        for code in ["23505", "23514", "42601", ""] {
            assert_eq!(postgres_fault(code), Fault::Lasting, "{code}");
        }
        for code in ["1", "2067", "1555", "275", ""] {
            assert_eq!(sqlite_fault(code), Fault::Lasting, "{code}");
        }
    }
}
