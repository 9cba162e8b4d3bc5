//! SQLite files that cannot be used, and files that vanish.

use compute_engine::ports::{Store as _, StoreError, TxMode};
use compute_store::{ConnectError, Database, DatabaseConfig};
use compute_testkit::database::TestDatabase;
use compute_testkit::faults_log::injected;

use crate::raw::number_at;

fn path(config: &DatabaseConfig) -> String {
    config.url.trim_start_matches("sqlite://").to_owned()
}

/// A second database in the folder of the first.
fn neighbour(test: &TestDatabase, name: &str) -> DatabaseConfig {
    let url = test.config().url.replace("compute.db", name);
    DatabaseConfig {
        url,
        max_connections: 2,
        ..test.config().clone()
    }
}

async fn refused(config: &DatabaseConfig) -> ConnectError {
    injected("F133");
    match Database::connect(config).await {
        Ok(_) => panic!("{} was opened", config.url),
        Err(error) => error,
    }
}

/// Causes that stop every user, also the one for whom permissions do not count.
#[tokio::test]
async fn a_file_that_cannot_be_used_is_named_with_what_to_do() {
    let test = TestDatabase::sqlite().await;
    std::fs::create_dir(path(&neighbour(&test, "folder"))).unwrap();
    let error = refused(&neighbour(&test, "folder")).await;
    assert!(matches!(error, ConnectError::File { .. }), "{error:?}");
    let said = error.to_string();
    assert!(said.contains("/folder: it must be a file that can be read and written"));

    for name in ["nowhere/x.db", "compute.db/x.db"] {
        let error = refused(&neighbour(&test, name)).await;
        assert!(matches!(error, ConnectError::LockFile { .. }), "{error:?}");
        let said = error.to_string();
        assert!(said.contains("its folder must exist and be writable"));
    }
    let mut kernel = neighbour(&test, "x.db");
    kernel.url = "sqlite:///proc/compute.db".to_owned();
    let error = refused(&kernel).await;
    assert!(matches!(error, ConnectError::LockFile { .. }), "{error:?}");

    test.database().close().await;
    let image = neighbour(&test, "image.db");
    std::fs::copy(path(test.config()), path(&image)).unwrap();
    let read_only = neighbour(&test, "image.db?mode=ro");
    let error = refused(&read_only).await;
    assert!(matches!(error, ConnectError::File { .. }), "{error:?}");
    Database::connect(&image).await.unwrap();
}

/// A first start that failed is no reason to refuse the second.
#[tokio::test]
async fn what_never_was_a_database_is_not_missed() {
    let test = TestDatabase::sqlite().await;
    let config = neighbour(&test, "other.db");
    std::fs::create_dir(path(&config)).unwrap();
    refused(&config).await;
    std::fs::remove_dir(path(&config)).unwrap();
    Database::connect(&config).await.unwrap();
}

async fn check_stopped(database: &Database) {
    for mode in [TxMode::Read, TxMode::Write] {
        let outcome = database.begin(mode).await;
        assert!(
            matches!(outcome, Err(StoreError::Unavailable(_))),
            "{mode:?}: {outcome:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_vanishes_is_not_replaced_by_an_empty_one() {
    let test = TestDatabase::sqlite().await;
    let config = neighbour(&test, "other.db");
    let (file, kept) = (path(&config), path(&neighbour(&test, "kept.db")));
    let database = Database::connect(&config).await.unwrap();
    database.migrate().await.unwrap();
    database.begin(TxMode::Read).await.unwrap();

    std::fs::rename(&file, &kept).unwrap();
    injected("F133");
    check_stopped(&database).await;
    assert!(!std::fs::exists(&file).unwrap());
    // Another file of its name is not it.
    std::fs::copy(&kept, &file).unwrap();
    injected("F133");
    check_stopped(&database).await;
    // Itself is.
    std::fs::rename(&kept, &file).unwrap();
    database.begin(TxMode::Write).await.unwrap();

    std::fs::rename(&file, &kept).unwrap();
    drop(database);
    let missing = refused(&config).await;
    assert!(matches!(missing, ConnectError::Gone { .. }), "{missing:?}");
    let said = missing.to_string();
    assert!(said.contains("put it back") && said.contains("other.db.lock"));
    assert!(!std::fs::exists(&file).unwrap());
    std::fs::write(&file, "").unwrap();
    let emptied = refused(&config).await;
    assert!(matches!(emptied, ConnectError::Gone { .. }), "{emptied:?}");

    std::fs::rename(&kept, &file).unwrap();
    let database = Database::connect(&config).await.unwrap();
    database.check_schema().await.unwrap();
    database.close().await;
    assert_eq!(
        number_at(&config.url, "SELECT COUNT(*) FROM database_stamp").await,
        0
    );
}
