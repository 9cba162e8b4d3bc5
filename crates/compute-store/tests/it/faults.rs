//! What the port says when the database is busy, slow or gone.

use std::sync::Arc;
use std::time::Duration;

use compute_domain::id::{InstanceId, OwnerId};
use compute_domain::time::Timestamp;
use compute_engine::ports::{Store, StoreError, Tx, TxMode};
use compute_store::{Database, DatabaseConfig};
use compute_testkit::database::TestDatabase;
use compute_testkit::faults_log::injected;
use uuid::Uuid;

use crate::raw::{execute, on_both};

on_both!(a_full_pool_is_unavailable);

fn check_unavailable<T: core::fmt::Debug>(outcome: Result<T, StoreError>) {
    assert!(
        matches!(outcome, Err(StoreError::Unavailable(_))),
        "{outcome:?}"
    );
}

async fn a_full_pool_is_unavailable(test: TestDatabase) {
    test.database().close().await;
    let config = DatabaseConfig {
        max_connections: 1,
        acquire_timeout: Duration::from_millis(50),
        ..test.config().clone()
    };
    check_unavailable(test.store().begin(TxMode::Read).await);
    if test.database().is_sqlite() {
        // The first opener keeps its lock, so this one gets a file of its own.
        let url = config.url.replace("compute.db", "other.db");
        check_full(&DatabaseConfig { url, ..config }).await;
    } else {
        check_full(&config).await;
    }
}

async fn check_full(config: &DatabaseConfig) {
    let database = Database::connect(config).await.unwrap();
    let writer = database.begin(TxMode::Write).await.unwrap();
    check_unavailable(database.begin(TxMode::Write).await);
    injected("F137");
    writer.rollback().await.unwrap();
    database
        .begin(TxMode::Write)
        .await
        .unwrap()
        .commit()
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_is_unavailable_and_the_next_one_works() {
    let test = TestDatabase::postgres().await;
    let store = test.store();
    let mut tx = store.begin(TxMode::Write).await.unwrap();
    let wallet = format!("0x{}", "11".repeat(20)).parse().unwrap();
    let owner = OwnerId::from_uuid(Uuid::from_u128(1));
    tx.ensure_owner(owner, &wallet, Timestamp::from_millis(0))
        .await
        .unwrap();
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    execute(&test, kill).await.unwrap();
    injected("F135");
    check_unavailable(tx.find_owner(&wallet).await);
    drop(tx);
    let mut tx = store.begin(TxMode::Read).await.unwrap();
    assert_eq!(tx.find_owner(&wallet).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadlock_is_unavailable_for_one_of_the_two() {
    let test = TestDatabase::postgres().await;
    for statement in [
        "INSERT INTO owners (id, created_at)
         VALUES ('00000000-0000-0000-0000-000000000001', 0)",
        "INSERT INTO instances (id, owner_id, provider, plan_id, region_id, os_id, label,
             rate_hour_micros, prepaid_hours, price_micros, access, state, created_at)
         SELECT id, '00000000-0000-0000-0000-000000000001', 'vultr', 'p', 'r', 'o', 'l',
             1, 24, 24, 'password', 'pending', 0
         FROM (VALUES ('00000000-0000-0000-0000-000000000002'),
             ('00000000-0000-0000-0000-000000000003')) AS ids (id)",
    ] {
        execute(&test, statement).await.unwrap();
    }
    let [two, three] = [2, 3].map(|number| InstanceId::from_uuid(Uuid::from_u128(number)));
    let store = test.store();
    let first = lock(&store, two).await;
    let second = lock(&store, three).await;
    let cross = |mut tx: Box<dyn Tx>, other| async move {
        let outcome = tx.lock_instance(other).await;
        // The one that got both lets the other go on.
        drop(tx);
        outcome
    };
    let (one, other) = tokio::join!(cross(first, three), cross(second, two));
    let unavailable =
        |outcome: &Result<_, StoreError>| matches!(outcome, Err(StoreError::Unavailable(_)));
    injected("F136");
    assert!(unavailable(&one) ^ unavailable(&other), "{one:?} {other:?}");
    assert!(one.is_ok() || other.is_ok());
}

async fn lock(store: &Arc<dyn Store>, id: InstanceId) -> Box<dyn Tx> {
    let mut tx = store.begin(TxMode::Write).await.unwrap();
    assert!(tx.lock_instance(id).await.unwrap().is_some());
    tx
}
