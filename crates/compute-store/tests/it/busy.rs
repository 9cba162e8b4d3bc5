//! SQLite while somebody else writes: our transactions wait, and none fails at once.

use std::pin::pin;

use compute_engine::ports::TxMode;
use compute_testkit::database::TestDatabase;
use compute_testkit::faults_log::injected;
use futures::poll;
use sqlx::{Connection as _, SqliteConnection};

use crate::raw::{add_owner, number, wallet};

const TOUCH: &str = "UPDATE database_stamp SET write_checks = write_checks + 1000";

/// Questions asked while the lock is held: each is a way to the other thread and back.
const HELD_FOR: usize = 100;

async fn run(
    connection: &mut SqliteConnection,
    statement: &'static str,
) -> Result<(), sqlx::Error> {
    let done = sqlx::raw_sql(statement).execute(connection).await;
    done.map(|_| ())
}

/// What the shop must never do: whoever read first cannot write once another has, and is told so at
/// once, however long it would wait.
#[tokio::test]
async fn a_reader_that_turns_into_a_writer_fails_at_once() {
    let test = TestDatabase::sqlite().await;
    let mut reader = SqliteConnection::connect(&test.config().url).await.unwrap();
    run(
        &mut reader,
        "PRAGMA busy_timeout = 3600000; BEGIN DEFERRED; SELECT mode FROM database_stamp",
    )
    .await
    .unwrap();
    test.store().check_writable().await.unwrap();
    let outcome = run(&mut reader, TOUCH).await;
    let sqlx::Error::Database(error) = outcome.unwrap_err() else {
        panic!("an error of SQLite");
    };
    // SQLITE_BUSY_SNAPSHOT.
    assert_eq!(error.code().as_deref(), Some("517"));
}

#[tokio::test]
async fn a_writer_waits_for_another_writer() {
    let test = TestDatabase::sqlite().await;
    let store = test.store();
    let mut other = SqliteConnection::connect(&test.config().url).await.unwrap();
    run(&mut other, "BEGIN IMMEDIATE").await.unwrap();
    run(&mut other, TOUCH).await.unwrap();
    let mut ours = pin!(store.check_writable());
    for _ in 0..HELD_FOR {
        assert!(poll!(ours.as_mut()).is_pending());
        run(&mut other, "SELECT 1").await.unwrap();
    }
    injected("F130");
    run(&mut other, "COMMIT").await.unwrap();
    ours.await.unwrap();
    assert_eq!(
        number(&test, "SELECT write_checks FROM database_stamp").await,
        1_001
    );
}

/// Each of ours reads before it writes, as the shop's transactions do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_transaction_of_ours_turns_from_reader_to_writer() {
    const WRITERS: u64 = 32;
    const FOREIGN: usize = 16;
    let test = TestDatabase::sqlite().await;
    let mut ours = tokio::task::JoinSet::new();
    for number in 0..WRITERS {
        let store = test.store();
        ours.spawn(async move {
            let mut tx = store.begin(TxMode::Write).await.unwrap();
            assert_eq!(tx.find_owner(&wallet(number)).await.unwrap(), None);
            add_owner(tx.as_mut(), number).await.unwrap();
            tx.commit().await.unwrap();
        });
    }
    let mut other = SqliteConnection::connect(&test.config().url).await.unwrap();
    for _ in 0..FOREIGN {
        run(&mut other, "BEGIN IMMEDIATE").await.unwrap();
        run(&mut other, TOUCH).await.unwrap();
        run(&mut other, "COMMIT").await.unwrap();
    }
    ours.join_all().await;
    injected("F130");
    assert_eq!(number(&test, "SELECT COUNT(*) FROM owners").await, 32);
    assert_eq!(
        number(&test, "SELECT write_checks FROM database_stamp").await,
        16_000
    );
}
