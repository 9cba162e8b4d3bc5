//! A migration that ends in its middle: nothing of it stays, nothing is served, the next start goes on.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use compute_store::SchemaError;
use compute_testkit::database::TestDatabase;
use compute_testkit::faults_log::injected;
use sqlx::migrate::{Migration, Migrator};
use sqlx::{Connection as _, PgConnection, SqliteConnection};

use crate::raw::{execute, execute_all, number};

/// The migration that is disturbed: the last one. It adds a column, then an index.
const LAST: i64 = 24;

/// So that it fails in its middle.
const OBSTACLE: &str = "CREATE TABLE obstacle (at BIGINT);
    CREATE INDEX webhooks_by_api_key ON obstacle (at)";

fn folder(test: &TestDatabase) -> PathBuf {
    let kind = if test.database().is_sqlite() {
        "sqlite"
    } else {
        "postgres"
    };
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../migrations")
        .join(kind)
}

async fn migrations(test: &TestDatabase) -> Vec<Migration> {
    let all = Migrator::new(folder(test)).await.unwrap();
    let all: Vec<_> = all.iter().cloned().collect();
    assert_eq!(all.last().unwrap().version, LAST, "adjust the obstacle");
    all
}

/// Applies the first so many migrations, as an older build would have.
async fn apply(test: &TestDatabase, count: usize) {
    let mut migrations = migrations(test).await;
    migrations.truncate(count);
    let migrator = Migrator {
        migrations: Cow::Owned(migrations),
        ..Migrator::DEFAULT
    };
    let url = &test.config().url;
    if test.database().is_sqlite() {
        let mut connection = SqliteConnection::connect(url).await.unwrap();
        migrator.run(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    } else {
        let mut connection = PgConnection::connect(url).await.unwrap();
        migrator.run(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}

async fn apply_all_but_the_last(test: &TestDatabase) {
    apply(test, migrations(test).await.len() - 1).await;
}

/// Whether the last migration's column is there.
async fn columns_of_last(test: &TestDatabase) -> i64 {
    let sqlite = "SELECT COUNT(*) FROM pragma_table_info('webhooks') WHERE name = 'api_key_id'";
    let postgres = "SELECT COUNT(*) FROM pg_catalog.pg_attribute
        WHERE attrelid = to_regclass('webhooks') AND attname = 'api_key_id'";
    number(
        test,
        if test.database().is_sqlite() {
            sqlite
        } else {
            postgres
        },
    )
    .await
}

async fn expect_behind(test: &TestDatabase, wanted: usize) {
    let outcome = test.database().check_schema().await;
    assert!(
        matches!(outcome, Err(SchemaError::Behind { pending }) if pending == wanted),
        "{outcome:?}"
    );
}

async fn expect_complete(test: &TestDatabase) {
    test.database().migrate().await.unwrap();
    test.database().check_schema().await.unwrap();
    assert_eq!(columns_of_last(test).await, 1);
    let rows = number(test, "SELECT COUNT(*) FROM _sqlx_migrations WHERE success").await;
    assert_eq!(usize::try_from(rows).unwrap(), migrations(test).await.len());
}

/// Between any two migrations.
async fn a_start_completes_what_an_older_build_began(fresh: Fresh) {
    let all = migrations(&fresh.make().await).await.len();
    for count in 0..all {
        let test = fresh.make().await;
        apply(&test, count).await;
        injected("F032");
        expect_behind(&test, all - count).await;
        expect_complete(&test).await;
    }
}

async fn a_migration_that_fails_leaves_nothing_of_itself(fresh: Fresh) {
    let test = fresh.make().await;
    apply_all_but_the_last(&test).await;
    execute_all(&test, OBSTACLE.to_owned()).await;
    // However often it is tried.
    for _ in 0..2 {
        let outcome = test.database().migrate().await;
        injected("F032");
        assert!(
            matches!(outcome, Err(SchemaError::Failed(_))),
            "{outcome:?}"
        );
        assert_eq!(columns_of_last(&test).await, 0);
        expect_behind(&test, 1).await;
    }
    execute_all(&test, "DROP TABLE obstacle".to_owned()).await;
    expect_complete(&test).await;
}

/// The process that migrates is killed after some of a migration's statements: its connection ends, and
/// the transaction was never committed.
async fn a_migration_that_is_cut_off_is_done_by_the_next_start(fresh: Fresh) {
    let test = fresh.make().await;
    apply_all_but_the_last(&test).await;
    let last = migrations(&test).await.pop().unwrap();
    let begun = format!("BEGIN; {}", last.sql.as_str());
    if test.database().is_sqlite() {
        let mut connection = SqliteConnection::connect(&test.config().url).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(begun))
            .execute(&mut connection)
            .await
            .unwrap();
        injected("F032");
        connection.close_hard().await.unwrap();
    } else {
        let mut connection = PgConnection::connect(&test.config().url).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(begun))
            .execute(&mut connection)
            .await
            .unwrap();
        injected("F032");
        connection.close_hard().await.unwrap();
    }
    expect_behind(&test, 1).await;
    expect_complete(&test).await;
}

/// SQLite makes the ledger's table again: its rows, and what refers to them, are the same afterwards,
/// and it still only grows.
async fn the_ledger_survives_the_migration_that_makes_it_again(fresh: Fresh) {
    let test = fresh.make().await;
    apply(&test, 13).await;
    let hash = if test.database().is_sqlite() {
        "zeroblob(32)"
    } else {
        "decode(repeat('00', 32), 'hex')"
    };
    let rows = format!(
        "INSERT INTO owners (id, created_at) VALUES ('o', 0);
         INSERT INTO operations (id, kind, format, owner_id, state, failure_code, data,
             request_sha256, lease_epoch, created_at)
         VALUES ('p', 'extend', 1, 'o', 'failed', 'instance_gone', '{{}}', {hash}, 0, 0);
         INSERT INTO ledger_transfers (id, debit_account, credit_account, amount_micros, reason,
             operation_id, created_at)
         VALUES ('s', 'clearing:base', 'sales', 5, 'sale', 'p', 1);
         INSERT INTO ledger_transfers (id, debit_account, credit_account, amount_micros, reason,
             operation_id, created_at, credits_account, credits_seq, balance_after_micros,
             chain_hash)
         VALUES ('r', 'sales', 'credits:o', 5, 'payment_refund', 'p', 2, 'credits:o', 1, 5, {hash});
         INSERT INTO payments (id, operation_id, owner_id, rail, proof_key, payer, price_micros,
             asset_atomic, asset_decimals, void_after, claimed_at, state, reference, settled_at,
             refund_transfer_id)
         VALUES ('y', 'p', 'o', 'base', 'k', 'w', 5, '5', 6, 0, 0, 'refunded', '0x', 1, 'r');"
    );
    execute_all(&test, rows).await;
    test.database().migrate().await.unwrap();
    let kept = "SELECT COUNT(*) FROM ledger_transfers
        JOIN operations ON operations.id = ledger_transfers.operation_id
        WHERE arrival_id IS NULL
            AND ((ledger_transfers.id = 's' AND amount_micros = 5 AND credits_seq IS NULL)
                OR (ledger_transfers.id = 'r' AND credits_seq = 1 AND length(chain_hash) = 32))";
    assert_eq!(number(&test, kept).await, 2);
    let referred = "SELECT COUNT(*) FROM payments
        JOIN ledger_transfers ON ledger_transfers.id = payments.refund_transfer_id";
    assert_eq!(number(&test, referred).await, 1);
    for forbidden in [
        "UPDATE ledger_transfers SET amount_micros = 6",
        "DELETE FROM ledger_transfers",
        "UPDATE payments SET refund_transfer_id = 'nothing'",
        "INSERT INTO ledger_transfers (id, debit_account, credit_account, amount_micros, reason,
             created_at)
         VALUES ('x', 'clearing:base', 'suspense', 5, 'unmatched', 1)",
    ] {
        let outcome = execute(&test, forbidden).await;
        assert!(outcome.is_err(), "{forbidden}");
    }
}

/// Names that were bound by credentials stood among those of the paying wallet's owner: they are found
/// where they are looked for now, and the owner's own stay.
async fn the_names_of_credentials_move_to_their_payers(fresh: Fresh) {
    let test = fresh.make().await;
    apply(&test, 18).await;
    let hash = if test.database().is_sqlite() {
        "zeroblob(32)"
    } else {
        "decode(repeat('00', 32), 'hex')"
    };
    let mut rows =
        "INSERT INTO owners (id, created_at) VALUES ('wallet', 0), ('fresh', 0);".to_owned();
    for (operation, owner, name) in [("p", "wallet", "key:own"), ("q", "fresh", "key:other")] {
        rows.push_str(&format!(
            "INSERT INTO operations (id, kind, format, owner_id, state, data, request_sha256,
                 lease_epoch, created_at)
             VALUES ('{operation}', 'topup', 1, '{owner}', 'succeeded', '{{}}', {hash}, 0, 0);
             INSERT INTO payments (id, operation_id, owner_id, rail, proof_key, payer, price_micros,
                 asset_atomic, asset_decimals, void_after, claimed_at, state, reference, settled_at)
             VALUES ('{operation}', '{operation}', '{owner}', 'tempo', '{operation}', '0xabc', 5, '5', 6,
                 0, 0, 'settled', '{operation}', 1);
             INSERT INTO request_keys (owner_id, request_key, request_sha256, operation_id, forget_at)
             VALUES ('wallet', '{name}', {hash}, '{operation}', 7);"
        ));
    }
    execute_all(&test, rows).await;
    test.database().migrate().await.unwrap();
    let stayed = "SELECT COUNT(*) FROM request_keys
        WHERE owner_id = 'wallet' AND request_key = 'key:own' AND operation_id = 'p'";
    let moved = "SELECT COUNT(*) FROM payer_request_keys
        WHERE payer = '0xabc' AND request_key = 'key:other' AND operation_id = 'q' AND forget_at = 7";
    let all = "SELECT (SELECT COUNT(*) FROM request_keys)
        + (SELECT COUNT(*) FROM payer_request_keys)";
    for (question, count) in [(stayed, 1), (moved, 1), (all, 2)] {
        assert_eq!(number(&test, question).await, count, "{question}");
    }
}

/// No build of ours leaves such a row, but a human, or another tool, can.
async fn a_migration_marked_as_half_done_is_refused(fresh: Fresh) {
    let test = fresh.make().await;
    test.database().migrate().await.unwrap();
    let mark = format!("UPDATE _sqlx_migrations SET success = FALSE WHERE version = {LAST}");
    execute_all(&test, mark).await;
    injected("F032");
    for outcome in [
        test.database().migrate().await,
        test.database().check_schema().await,
    ] {
        assert!(
            matches!(outcome, Err(SchemaError::HalfDone { version: LAST })),
            "{outcome:?}"
        );
    }
}

/// Makes empty databases of one kind.
#[derive(Debug, Clone, Copy)]
enum Fresh {
    Sqlite,
    Postgres,
}

impl Fresh {
    async fn make(self) -> TestDatabase {
        match self {
            Self::Sqlite => TestDatabase::empty_sqlite().await,
            Self::Postgres => TestDatabase::empty_postgres().await,
        }
    }
}

macro_rules! on_both {
    ($($case:ident),+ $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    super::$case(super::Fresh::Sqlite).await;
                }
            )+
        }

        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    super::$case(super::Fresh::Postgres).await;
                }
            )+
        }
    };
}

on_both!(
    a_start_completes_what_an_older_build_began,
    a_migration_that_fails_leaves_nothing_of_itself,
    a_migration_that_is_cut_off_is_done_by_the_next_start,
    a_migration_marked_as_half_done_is_refused,
    the_ledger_survives_the_migration_that_makes_it_again,
    the_names_of_credentials_move_to_their_payers,
);
