//! A copy that is to be the database again.

use std::path::{Path, PathBuf};

use compute_domain::WalletAddress;
use compute_domain::event::EventKind;
use compute_domain::id::{EventId, OwnerId};
use compute_domain::time::Timestamp;
use compute_engine::ports::{NewEvent, Store as _, TxMode};
use compute_store::{Database, DatabaseConfig, install, put_copy};
use compute_testkit::database::TestDatabase;
use uuid::Uuid;

use crate::raw::execute_all;

const AT: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn folder(test: &TestDatabase) -> PathBuf {
    let path = test.config().url.trim_start_matches("sqlite://");
    Path::new(path).parent().unwrap().to_owned()
}

async fn add_owner(database: &Database, number: u128) -> OwnerId {
    let wallet: WalletAddress = format!("0x{number:040x}").parse().unwrap();
    let mut tx = database.begin(TxMode::Write).await.unwrap();
    let candidate = OwnerId::from_uuid(Uuid::from_u128(number));
    let owner = tx.ensure_owner(candidate, &wallet, AT).await.unwrap();
    tx.commit().await.unwrap();
    owner
}

async fn announce(database: &Database, owner: OwnerId, number: u128) {
    let mut tx = database.begin(TxMode::Write).await.unwrap();
    tx.announce(NewEvent {
        id: EventId::from_uuid(Uuid::from_u128(number)),
        owner,
        kind: EventKind::InstanceActive.into(),
        at: AT,
        instance: None,
        operation: None,
        data: "{}".to_owned(),
    });
    tx.commit().await.unwrap();
}

async fn sequences(database: &Database, owner: OwnerId) -> Vec<u64> {
    let mut tx = database.begin(TxMode::Read).await.unwrap();
    let events = tx.owner_events(owner, 0, 10).await.unwrap();
    events.iter().map(|event| event.seq).collect()
}

#[tokio::test]
async fn no_number_of_an_event_is_given_again_after_a_restore() {
    let test = TestDatabase::sqlite().await;
    let told = add_owner(test.database(), 1).await;
    let silent = add_owner(test.database(), 2).await;
    announce(test.database(), told, 1).await;
    let (copy, waiting) = (folder(&test).join("copy.db"), folder(&test).join("new.db"));
    test.database().back_up(&copy).await.unwrap();
    // Forgotten by the copy, and known to whoever read it.
    announce(test.database(), told, 2).await;
    announce(test.database(), silent, 3).await;
    put_copy(&copy, &waiting).unwrap();
    let config = DatabaseConfig {
        url: format!("sqlite://{}", waiting.display()),
        ..test.config().clone()
    };
    let restored = Database::connect(&config).await.unwrap();
    restored.skip_event_numbers().await.unwrap();
    announce(&restored, told, 4).await;
    announce(&restored, silent, 5).await;
    assert_eq!(sequences(&restored, told).await, [1, 1_000_002]);
    assert_eq!(sequences(&restored, silent).await, [1_000_001]);
    restored.close().await;
}

/// What the manual has whoever restores PostgreSQL run.
fn statements_of_the_manual() -> String {
    let manual = include_str!("../../../../docs/operations.md");
    let mut blocks = manual.split("```sql\n").skip(1);
    let block = blocks.find(|block| block.contains("owner_event_counters"));
    let (statements, _) = block.unwrap().split_once("```").unwrap();
    statements.to_owned()
}

async fn the_statements_of_the_manual_skip_numbers(test: TestDatabase) {
    let told = add_owner(test.database(), 1).await;
    let silent = add_owner(test.database(), 2).await;
    announce(test.database(), told, 1).await;
    execute_all(&test, statements_of_the_manual()).await;
    announce(test.database(), told, 2).await;
    announce(test.database(), silent, 3).await;
    assert_eq!(sequences(test.database(), told).await, [1, 1_000_002]);
    assert_eq!(sequences(test.database(), silent).await, [1_000_001]);
}

#[tokio::test]
async fn the_manual_restores_the_counters_of_postgres() {
    the_statements_of_the_manual_skip_numbers(TestDatabase::postgres().await).await;
}

#[tokio::test]
async fn the_manual_and_restore_do_the_same() {
    the_statements_of_the_manual_skip_numbers(TestDatabase::sqlite().await).await;
}

#[tokio::test]
async fn a_database_that_appears_meanwhile_is_not_replaced() {
    let test = TestDatabase::sqlite().await;
    let folder = folder(&test);
    let (copy, database) = (folder.join("copy.db"), folder.join("there.db"));
    std::fs::write(&copy, "copy").unwrap();
    // Nothing is seen there by whoever looks first; the name is taken all the same.
    std::os::unix::fs::symlink(folder.join("elsewhere.db"), &database).unwrap();
    install(&copy, &database).unwrap_err();
    assert!(database.is_symlink() && copy.exists());
    std::fs::remove_file(&database).unwrap();
    install(&copy, &database).unwrap();
    assert_eq!(std::fs::read(&database).unwrap(), b"copy");
    assert!(!copy.exists());
}

#[tokio::test]
async fn half_a_copy_is_not_left_behind() {
    let test = TestDatabase::sqlite().await;
    let folder = folder(&test);
    let waiting = folder.join("there.db.restoring");
    // It can be opened, and not be read.
    put_copy(&folder, &waiting).unwrap_err();
    assert!(!waiting.exists());
    std::fs::write(folder.join("copy.db"), "copy").unwrap();
    put_copy(&folder.join("copy.db"), &waiting).unwrap();
    assert_eq!(std::fs::read(&waiting).unwrap(), b"copy");
}
