//! Migrations and the stamp.

use compute_domain::time::Timestamp;
use compute_store::{Database, Mode, SchemaError, StampError};
use compute_testkit::database::TestDatabase;
use compute_testkit::faults_log::injected;

use crate::raw::{execute, number, on_both};

on_both!(
    a_stamped_database_keeps_its_purpose,
    a_schema_of_a_newer_build_is_refused,
    an_altered_migration_is_refused,
);

async fn check_migration(empty: TestDatabase) {
    let database = empty.database();
    let before = database.check_schema().await;
    assert!(
        matches!(before, Err(SchemaError::Behind { pending }) if pending > 0),
        "{before:?}"
    );
    database.migrate().await.unwrap();
    database.check_schema().await.unwrap();
    database.migrate().await.unwrap();
    let stamp = database
        .stamp(Mode::Live, Timestamp::from_millis(7))
        .await
        .unwrap();
    assert_eq!(
        (stamp.mode, stamp.created_at),
        (Mode::Live, Timestamp::from_millis(7))
    );
    let outcome = database.stamp(Mode::Dev, Timestamp::from_millis(8)).await;
    assert!(matches!(
        outcome,
        Err(StampError::WrongMode {
            wanted: Mode::Dev,
            found: Mode::Live
        })
    ));
}

#[tokio::test]
async fn an_empty_sqlite_database_is_migrated_and_stamped() {
    check_migration(TestDatabase::empty_sqlite().await).await;
}

#[tokio::test]
async fn an_empty_postgres_database_is_migrated_and_stamped() {
    check_migration(TestDatabase::empty_postgres().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_migrate_at_once_do_not_collide() {
    let empty = TestDatabase::empty_postgres().await;
    let mut replicas = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let config = empty.config().clone();
        replicas.spawn(async move {
            let database = Database::connect(&config).await.unwrap();
            database.migrate().await.unwrap();
            database.check_schema().await.unwrap();
            database.close().await;
        });
    }
    replicas.join_all().await;
    injected("F144");
}

async fn a_stamped_database_keeps_its_purpose(database: TestDatabase) {
    let now = Timestamp::from_millis(9);
    let again = database.database().stamp(Mode::Dev, now).await.unwrap();
    assert_eq!(again.created_at, Timestamp::from_millis(0));
    let outcome = database.database().stamp(Mode::Live, now).await;
    assert!(matches!(
        outcome,
        Err(StampError::WrongMode {
            wanted: Mode::Live,
            found: Mode::Dev
        })
    ));
    database.store().check_writable().await.unwrap();
    assert_eq!(
        number(&database, "SELECT write_checks FROM database_stamp").await,
        1
    );
}

async fn a_schema_of_a_newer_build_is_refused(database: TestDatabase) {
    let newer = "INSERT INTO _sqlx_migrations
            (version, description, success, checksum, execution_time)
        SELECT 9999, 'newer', success, checksum, 0 FROM _sqlx_migrations WHERE version = 1";
    execute(&database, newer).await.unwrap();
    let outcome = database.database().check_schema().await;
    assert!(
        matches!(outcome, Err(SchemaError::Ahead { version: 9999 })),
        "{outcome:?}"
    );
    let outcome = database.database().migrate().await;
    assert!(
        matches!(outcome, Err(SchemaError::Ahead { version: 9999 })),
        "{outcome:?}"
    );
}

async fn an_altered_migration_is_refused(database: TestDatabase) {
    let alter = "UPDATE _sqlx_migrations
        SET checksum = (SELECT checksum FROM _sqlx_migrations WHERE version = 1)
        WHERE version = 2";
    execute(&database, alter).await.unwrap();
    let outcome = database.database().check_schema().await;
    assert!(
        matches!(outcome, Err(SchemaError::Altered { version: 2 })),
        "{outcome:?}"
    );
    let outcome = database.database().migrate().await;
    assert!(
        matches!(outcome, Err(SchemaError::Altered { version: 2 })),
        "{outcome:?}"
    );
}
