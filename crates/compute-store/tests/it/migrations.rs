//! A migration that ends in its middle: nothing of it stays, nothing is served, the next start goes on.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use compute_store::SchemaError;
use compute_testkit::database::TestDatabase;
use compute_testkit::faults_log::injected;
use sqlx::migrate::{Migration, Migrator};
use sqlx::{Connection as _, PgConnection, SqliteConnection};

use crate::raw::{execute_all, number};

/// The migration that is disturbed: the last one. It makes two tables, and then their indexes.
const LAST: i64 = 13;

/// So that it fails at its last statement.
const OBSTACLE: &str = "CREATE TABLE obstacle (at BIGINT);
    CREATE INDEX chain_transactions_forgettable ON obstacle (at)";

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

/// How many of the last migration's tables there are.
async fn tables_of_last(test: &TestDatabase) -> i64 {
    let sqlite = "SELECT COUNT(*) FROM sqlite_master
        WHERE type = 'table' AND name IN ('sending_lanes', 'chain_transactions')";
    let postgres = "SELECT COUNT(*) FROM pg_catalog.pg_class
        WHERE oid IN (to_regclass('sending_lanes'), to_regclass('chain_transactions'))";
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
    assert_eq!(tables_of_last(test).await, 2);
    let rows = number(test, "SELECT COUNT(*) FROM _sqlx_migrations WHERE success").await;
    assert_eq!(rows, LAST);
}

/// Between any two migrations.
async fn a_start_completes_what_an_older_build_began(fresh: Fresh) {
    for count in 0..migrations(&fresh.make().await).await.len() {
        let test = fresh.make().await;
        apply(&test, count).await;
        injected("F032");
        let pending = usize::try_from(LAST).unwrap() - count;
        expect_behind(&test, pending).await;
        expect_complete(&test).await;
    }
}

async fn a_migration_that_fails_leaves_nothing_of_itself(fresh: Fresh) {
    let test = fresh.make().await;
    apply(&test, 12).await;
    execute_all(&test, OBSTACLE.to_owned()).await;
    // However often it is tried.
    for _ in 0..2 {
        let outcome = test.database().migrate().await;
        injected("F032");
        assert!(
            matches!(outcome, Err(SchemaError::Failed(_))),
            "{outcome:?}"
        );
        assert_eq!(tables_of_last(&test).await, 0);
        expect_behind(&test, 1).await;
    }
    execute_all(&test, "DROP TABLE obstacle".to_owned()).await;
    expect_complete(&test).await;
}

/// The process that migrates is killed after some of a migration's statements: its connection ends, and
/// the transaction was never committed.
async fn a_migration_that_is_cut_off_is_done_by_the_next_start(fresh: Fresh) {
    let test = fresh.make().await;
    apply(&test, 12).await;
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
);
