//! Running one statement on whichever database the transaction is on.

use compute_engine::ports::{StoreError, TxMode};

use crate::dialect::{Fault, fault};

/// Runs a statement that returns no rows; how many rows it changed.
macro_rules! execute {
    ($tx:expr, $table:literal, $sql:expr $(, $value:expr)* $(,)?) => {{
        let outcome = match &mut $tx.connection {
            $crate::tx::Connection::Sqlite(connection) => {
                sqlx::query($crate::dialect::Statement::sqlite(&$sql))
                    $(.bind($value))*
                    .execute(&mut **connection)
                    .await
                    .map(|done| done.rows_affected())
            }
            $crate::tx::Connection::Postgres(connection) => {
                sqlx::query($crate::dialect::Statement::postgres(&$sql))
                    $(.bind($value))*
                    .execute(&mut **connection)
                    .await
                    .map(|done| done.rows_affected())
            }
        };
        $tx.checked($table, outcome)
    }};
}

/// Runs a statement with `fetch_optional`, `fetch_one` or `fetch_all`.
macro_rules! fetch {
    ($how:ident, $tx:expr, $table:literal, $sql:expr $(, $value:expr)* $(,)?) => {{
        let outcome = match &mut $tx.connection {
            $crate::tx::Connection::Sqlite(connection) => {
                sqlx::query_as($crate::dialect::Statement::sqlite(&$sql))
                    $(.bind($value))*
                    .$how(&mut **connection)
                    .await
            }
            $crate::tx::Connection::Postgres(connection) => {
                sqlx::query_as($crate::dialect::Statement::postgres(&$sql))
                    $(.bind($value))*
                    .$how(&mut **connection)
                    .await
            }
        };
        $tx.checked($table, outcome)
    }};
}

pub(crate) use {execute, fetch};

/// What the port says about a failed statement.
pub(crate) fn classify(table: &'static str, error: sqlx::Error, mode: TxMode) -> StoreError {
    let fault = match &error {
        sqlx::Error::ColumnDecode { index, .. } => {
            return StoreError::Inconsistent {
                table,
                detail: format!("column {index}"),
            };
        }
        sqlx::Error::Database(cause) => fault(cause.as_ref()),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => Fault::Passing,
        _ => Fault::Lasting,
    };
    match (fault, mode) {
        (Fault::Passing, _) | (Fault::ReadOnly, TxMode::Write) => unavailable(error),
        (Fault::Lasting, _) | (Fault::ReadOnly, TxMode::Read) => rejected(error),
    }
}

pub(crate) fn unavailable(error: sqlx::Error) -> StoreError {
    StoreError::Unavailable(Box::new(error))
}

pub(crate) fn rejected(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Rejected(Box::new(error))
}

/// What we refuse ourselves, before the database would.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("a statement of this transaction failed, so it cannot be committed")]
    FailedBefore,
    #[error("money does not move between these accounts for this reason")]
    WrongAccounts,
    #[error("the credits account would hold more than an amount can be")]
    TooRich,
    #[error("a lot that was written before would change")]
    LotChanged,
    #[error("the password of this instance was taken; another one cannot follow")]
    PasswordTaken,
    #[error("an operation has one payment")]
    PaidBefore,
    #[error("the next nonce of a lane that this transaction has not locked would change")]
    LaneNotLocked,
    #[error("a transaction that is still open is not concluded")]
    NoConclusion,
    #[error("the number is larger than any that can be stored")]
    NumberTooLarge,
    #[error("another transaction was faster every time")]
    Contended,
}

/// For what other transactions undid again and again; the caller may try again later.
pub(crate) fn contended() -> StoreError {
    StoreError::Unavailable(Box::new(Refusal::Contended))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_connection_is_unavailable() {
        let lost = || sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        for error in [
            lost(),
            sqlx::Error::PoolTimedOut,
            sqlx::Error::WorkerCrashed,
        ] {
            let outcome = classify("owners", error, TxMode::Write);
            assert!(matches!(outcome, StoreError::Unavailable(_)), "{outcome}");
        }
    }

    #[test]
    fn an_unreadable_column_names_its_table() {
        let error = sqlx::Error::ColumnDecode {
            index: "state".into(),
            source: "x".into(),
        };
        assert_eq!(
            classify("owners", error, TxMode::Read).to_string(),
            "inconsistent row in owners: column state"
        );
    }
}
