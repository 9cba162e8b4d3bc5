//! What the schema itself forbids, and what happens to rows that nobody should have written.

use compute_domain::id::{InstanceId, OperationId, OwnerId, TransferId};
use compute_domain::ledger::{Account, Transfer, TransferReason};
use compute_domain::money::Usd;
use compute_domain::operation::Operation;
use compute_domain::time::Timestamp;
use compute_engine::ports::{StoreError, TxMode};
use compute_testkit::database::TestDatabase;
use uuid::Uuid;

use crate::raw::{execute, number, on_both};

on_both!(
    ledger_rows_cannot_be_changed,
    lots_are_added_and_closed_only,
    log_lines_cannot_be_changed,
    accounts_cannot_be_overdrawn_behind_the_port,
    an_unreadable_operation_stops_nobody_else,
    a_newer_format_is_left_alone,
    a_lost_race_leaves_no_owner_without_wallet,
);

const OPERATION: &str = "00000000-0000-0000-0000-000000000003";

/// An owner, an instance, a released operation that is due, one log line, one transfer.
async fn seed(database: &TestDatabase) {
    for statement in [
        "INSERT INTO owners (id, created_at)
         VALUES ('00000000-0000-0000-0000-000000000001', 0)",
        "INSERT INTO instances (id, owner_id, provider, plan_id, region_id, os_id, label,
             rate_hour_micros, prepaid_hours, price_micros, access, state, created_at)
         VALUES ('00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000001',
             'vultr', 'p', 'r', 'o', 'l', 1, 24, 24, 'password', 'pending', 0)",
    ] {
        execute(database, statement).await.unwrap();
    }
    let operation = operation();
    let mut tx = database.store().begin(TxMode::Write).await.unwrap();
    tx.open_operation(&operation, "a", Timestamp::from_millis(0))
        .await
        .unwrap();
    tx.append_event(operation.id, Timestamp::from_millis(0), "a", "opened", "{}")
        .await
        .unwrap();
    tx.post_transfer(&Transfer {
        id: TransferId::from_uuid(Uuid::from_u128(4)),
        debit: Account::Sales,
        credit: Account::Credits(operation.owner),
        amount: Usd::from_micros(5).unwrap(),
        reason: TransferReason::PaymentRefund,
        cause: operation.id.into(),
        created_at: Timestamp::from_millis(0),
    })
    .await
    .unwrap();
    tx.commit().await.unwrap();
}

fn operation() -> Operation {
    Operation::open(
        OPERATION.parse::<OperationId>().unwrap(),
        compute_domain::operation::OperationKind::Provision,
        OwnerId::from_uuid(Uuid::from_u128(1)),
        Some(InstanceId::from_uuid(Uuid::from_u128(2))),
        [7; 32],
        Timestamp::from_millis(0),
    )
}

async fn check_refused(database: &TestDatabase, statement: &'static str) {
    let outcome = execute(database, statement).await;
    assert!(
        matches!(outcome, Err(sqlx::Error::Database(_))),
        "{statement}: {outcome:?}"
    );
}

async fn ledger_rows_cannot_be_changed(database: TestDatabase) {
    seed(&database).await;
    check_refused(&database, "UPDATE ledger_transfers SET amount_micros = 6").await;
    check_refused(&database, "DELETE FROM ledger_transfers").await;
    if !database.database().is_sqlite() {
        check_refused(&database, "TRUNCATE ledger_transfers CASCADE").await;
    }
    assert_eq!(
        number(&database, "SELECT amount_micros FROM ledger_transfers").await,
        5
    );
}

async fn lots_are_added_and_closed_only(database: TestDatabase) {
    seed(&database).await;
    let lot = "INSERT INTO prepaid_lots (instance_id, seq, operation_id, origin, amount_micros,
            rate_hour_micros, starts_at, ends_at)
        VALUES ('00000000-0000-0000-0000-000000000002', 0,
            '00000000-0000-0000-0000-000000000003', 'purchase', 24, 1, 0, 9)";
    assert_eq!(execute(&database, lot).await.unwrap(), 1);
    for change in [
        "UPDATE prepaid_lots SET amount_micros = 25",
        "UPDATE prepaid_lots SET amount_micros = 25, closed_at = 5, left_micros = 9",
        "UPDATE prepaid_lots SET rate_hour_micros = 2, closed_at = 5, left_micros = 9",
        "UPDATE prepaid_lots SET starts_at = 1, closed_at = 5, left_micros = 9",
        "UPDATE prepaid_lots SET ends_at = 10, closed_at = 5, left_micros = 9",
        "UPDATE prepaid_lots SET seq = 1, closed_at = 5, left_micros = 9",
        "UPDATE prepaid_lots SET origin = 'conversion', closed_at = 5, left_micros = 9",
        "UPDATE prepaid_lots SET closed_at = 5",
        "UPDATE prepaid_lots SET closed_at = 5, left_micros = 25",
        "UPDATE prepaid_lots SET ends_at = ends_at",
        "DELETE FROM prepaid_lots",
    ] {
        check_refused(&database, change).await;
    }
    let close = "UPDATE prepaid_lots SET closed_at = 5, left_micros = 9";
    assert_eq!(execute(&database, close).await.unwrap(), 1);
    for change in [
        close,
        "UPDATE prepaid_lots SET closed_at = NULL, left_micros = NULL",
        "UPDATE prepaid_lots SET left_micros = 8",
        "DELETE FROM prepaid_lots",
    ] {
        check_refused(&database, change).await;
    }
    if !database.database().is_sqlite() {
        check_refused(&database, "TRUNCATE prepaid_lots").await;
    }
}

async fn log_lines_cannot_be_changed(database: TestDatabase) {
    seed(&database).await;
    check_refused(&database, "UPDATE operation_events SET name = 'x'").await;
    check_refused(&database, "DELETE FROM operation_events").await;
    assert_eq!(
        number(&database, "SELECT COUNT(*) FROM operation_events").await,
        1
    );
}

async fn accounts_cannot_be_overdrawn_behind_the_port(database: TestDatabase) {
    seed(&database).await;
    for change in [
        "UPDATE ledger_accounts SET debits_micros = 6",
        "UPDATE ledger_accounts SET debits_micros = -1",
        "UPDATE ledger_accounts SET reversed_micros = 1",
        "UPDATE ledger_accounts SET last_seq = -1",
    ] {
        check_refused(&database, change).await;
    }
    assert_eq!(
        execute(&database, "UPDATE ledger_accounts SET debits_micros = 5")
            .await
            .unwrap(),
        1
    );
}

async fn an_unreadable_operation_stops_nobody_else(database: TestDatabase) {
    seed(&database).await;
    execute(&database, "UPDATE operations SET data = '['")
        .await
        .unwrap();
    let store = database.store();
    let mut tx = store.begin(TxMode::Write).await.unwrap();
    let found = tx.find_operation(operation().id).await;
    assert!(matches!(
        found,
        Err(StoreError::Inconsistent {
            table: "operations",
            ..
        })
    ));
    let until = Timestamp::from_millis(9);
    let claimed = tx
        .claim_due("b", Timestamp::from_millis(1), until, 9)
        .await
        .unwrap();
    assert_eq!(claimed, []);
    tx.commit().await.unwrap();
    // It is not tried again and again.
    assert_eq!(
        number(&database, "SELECT lease_until FROM operations").await,
        9
    );
}

async fn a_newer_format_is_left_alone(database: TestDatabase) {
    seed(&database).await;
    execute(&database, "UPDATE operations SET format = format + 1")
        .await
        .unwrap();
    let mut tx = database.store().begin(TxMode::Write).await.unwrap();
    let (now, until) = (Timestamp::from_millis(1), Timestamp::from_millis(9));
    assert_eq!(tx.claim_due("b", now, until, 9).await.unwrap(), []);
    drop(tx);
    execute(&database, "UPDATE operations SET format = format - 1")
        .await
        .unwrap();
    let mut tx = database.store().begin(TxMode::Write).await.unwrap();
    assert_eq!(tx.claim_due("b", now, until, 9).await.unwrap().len(), 1);
}

async fn a_lost_race_leaves_no_owner_without_wallet(database: TestDatabase) {
    let wallet = format!("0x{}", "11".repeat(20)).parse().unwrap();
    let mut racers = tokio::task::JoinSet::new();
    for number in 0..16 {
        let store = database.store();
        racers.spawn(async move {
            let candidate = OwnerId::from_uuid(Uuid::from_u128(number));
            let mut tx = store.begin(TxMode::Write).await.unwrap();
            tx.ensure_owner(candidate, &wallet, Timestamp::from_millis(0))
                .await
                .unwrap();
            tx.commit().await.unwrap();
        });
    }
    racers.join_all().await;
    assert_eq!(number(&database, "SELECT COUNT(*) FROM owners").await, 1);
}
