//! What only this crate can see of an open database.

use std::path::Path;

use compute_domain::WalletAddress;
use compute_domain::id::OwnerId;
use compute_domain::time::Timestamp;
use compute_engine::ports::{Identities as _, StoreError, Tx as _, TxMode};
use compute_testkit::database::TestDatabase;
use compute_testkit::faults_log::injected;
use sqlx::{Connection as _, PgConnection};

use super::*;
use crate::statement::{execute, fetch};

#[test]
fn a_password_in_the_url_is_not_shown() {
    let config = DatabaseConfig {
        url: "postgres://user:hunter2@host/name".into(),
        max_connections: 1,
        acquire_timeout: Duration::from_secs(1),
    };
    assert!(!format!("{config:?}").contains("hunter2"));
}

fn config_in(folder: &Path) -> DatabaseConfig {
    DatabaseConfig {
        url: format!("sqlite://{}/compute.db", folder.display()),
        max_connections: 1,
        acquire_timeout: Duration::from_secs(30),
    }
}

fn folder(name: &str) -> PathBuf {
    let name = format!("compute-store-{name}-{}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A tool works beside a server; a second server does not; and a tool makes nothing.
#[tokio::test]
async fn a_tool_opens_only_what_a_server_made() {
    let folder = folder("tool");
    let config = config_in(&folder);
    let absent = Database::connect_beside_server(&config).await;
    assert!(matches!(absent, Err(ConnectError::File { .. })));
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);

    let server = Database::connect(&config).await.unwrap();
    let empty = Database::connect_beside_server(&config).await;
    let behind = |error| matches!(error, ConnectError::Schema(SchemaError::Behind { .. }));
    assert!(empty.is_err_and(behind));

    server.migrate().await.unwrap();
    let second = Database::connect(&config).await;
    assert!(matches!(second, Err(ConnectError::InUse { .. })));
    let tool = Database::connect_beside_server(&config).await.unwrap();
    for database in [&tool, &server, &tool] {
        let tx = database.open(TxMode::Write).await.unwrap();
        Box::new(tx).commit().await.unwrap();
    }
    tool.close().await;
    server.close().await;
    std::fs::remove_dir_all(&folder).unwrap();
}

/// `FULL` is 2: a commit survives a power cut.
#[tokio::test]
async fn every_sqlite_connection_is_durable_and_checks_references() {
    let folder = folder("durable");
    let config = config_in(&folder);
    let database = Database::connect(&config).await.unwrap();
    for (mode, query_only) in [(TxMode::Write, 0), (TxMode::Read, 1)] {
        let mut tx = database.open(mode).await.unwrap();
        let settings: (String, i64, i64, i64, i64) = fetch!(
            fetch_one,
            tx,
            "pragma",
            "SELECT journal_mode, synchronous, foreign_keys, timeout, query_only
            FROM pragma_journal_mode, pragma_synchronous, pragma_foreign_keys,
                pragma_busy_timeout, pragma_query_only"
        )
        .unwrap();
        assert_eq!(settings, ("wal".to_owned(), 2, 1, 5_000, query_only));
    }
    database.close().await;
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn every_postgres_connection_has_limits() {
    let test = TestDatabase::postgres().await;
    let database = Database::connect(&config_of(&test)).await.unwrap();
    let mut tx = database.open(TxMode::Read).await.unwrap();
    let limits: (String, String, String) = fetch!(
        fetch_one,
        tx,
        "limits",
        "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'),
            current_setting('idle_in_transaction_session_timeout')"
    )
    .unwrap();
    let limits = [&*limits.0, &*limits.1, &*limits.2];
    assert_eq!(limits, ["5s", "5s", "30s"]);
    drop(tx);
    database.close().await;
}

fn config_of(test: &TestDatabase) -> DatabaseConfig {
    DatabaseConfig {
        url: test.config().url.clone(),
        max_connections: 2,
        acquire_timeout: Duration::from_secs(30),
    }
}

/// What can be slow: the statement itself, and another transaction that holds what it needs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_over_its_limit_ends_and_leaves_nothing() {
    let test = TestDatabase::postgres().await;
    let pools = postgres::connect(&config_of(&test), Duration::from_millis(500)).await;
    let database = Database {
        pools: pools.unwrap(),
    };
    let mut other = PgConnection::connect(&test.config().url).await.unwrap();
    sqlx::raw_sql("BEGIN; UPDATE database_stamp SET write_checks = 7")
        .execute(&mut other)
        .await
        .unwrap();
    let wallet: WalletAddress = format!("0x{}", "11".repeat(20)).parse().unwrap();
    for slow in [
        "SELECT pg_sleep(3600)",
        "UPDATE database_stamp SET write_checks = 8",
    ] {
        let mut tx = database.open(TxMode::Write).await.unwrap();
        let owner = OwnerId::from_uuid(uuid::Uuid::from_u128(1));
        tx.ensure_owner(owner, &wallet, Timestamp::from_millis(0))
            .await
            .unwrap();
        let outcome: Result<u64, StoreError> = execute!(tx, "database_stamp", slow);
        injected("F138");
        assert!(
            matches!(outcome, Err(StoreError::Unavailable(_))),
            "{slow}: {outcome:?}"
        );
        assert!(Box::new(tx).commit().await.is_err(), "{slow}");
        let mut tx = database.open(TxMode::Read).await.unwrap();
        assert_eq!(tx.find_owner(&wallet).await.unwrap(), None, "{slow}");
    }
    other.close().await.unwrap();
    database.close().await;
}
