//! PostgreSQL behind the name of our database is not the server that writes.

use std::time::Duration;

use compute_engine::ports::{Store as _, StoreError, TxMode};
use compute_store::{ConnectError, Database, DatabaseConfig};
use compute_testkit::database::TestDatabase;
use compute_testkit::faults_log::injected;

use crate::raw::execute_all;

/// New sessions begin as on a standby, of which `transaction_read_only` is true as well.
async fn set_read_only(test: &TestDatabase, action: &str) {
    // The begin spells it out, so that the statement that ends it can be run.
    let statements = format!(
        "BEGIN READ WRITE;
         DO $$ BEGIN
             EXECUTE format('ALTER DATABASE %I {action}', current_database());
         END $$;
         COMMIT"
    );
    execute_all(test, statements).await;
}

const ON: &str = "SET default_transaction_read_only = on";
const OFF: &str = "RESET default_transaction_read_only";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_write_is_refused() {
    let test = TestDatabase::postgres().await;
    set_read_only(&test, ON).await;
    injected("F139");
    for outcome in [
        Database::connect(test.config()).await,
        Database::connect_beside_server(test.config()).await,
    ] {
        let error = outcome.unwrap_err();
        assert!(matches!(error, ConnectError::ReadOnly), "{error:?}");
        assert!(error.to_string().contains("name the server that writes"));
    }
    set_read_only(&test, OFF).await;
    let database = Database::connect(test.config()).await.unwrap();
    database.check_writable().await.unwrap();
    database.close().await;
}

/// After a failover the name may lead to another server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_decision_reads_what_a_standby_says() {
    let test = TestDatabase::postgres().await;
    let config = DatabaseConfig {
        acquire_timeout: Duration::from_millis(500),
        ..test.config().clone()
    };
    // It has no connection yet.
    let database = Database::connect(&config).await.unwrap();
    set_read_only(&test, ON).await;
    injected("F139");
    for mode in [TxMode::Read, TxMode::Write] {
        let outcome = database.begin(mode).await;
        assert!(
            matches!(outcome, Err(StoreError::Unavailable(_))),
            "{mode:?}: {outcome:?}"
        );
    }
    let outcome = database.database_now().await;
    assert!(
        matches!(outcome, Err(StoreError::Unavailable(_))),
        "{outcome:?}"
    );
    set_read_only(&test, OFF).await;
    let mut outcome = database.check_writable().await;
    for _ in 0..20 {
        if outcome.is_ok() {
            break;
        }
        outcome = database.check_writable().await;
    }
    outcome.unwrap();
    database.close().await;
}
