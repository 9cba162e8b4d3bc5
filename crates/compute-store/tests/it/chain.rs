//! What the ledger writes besides transfers: numbers, balances, hashes; and which accounts its table
//! accepts for a reason.

use compute_domain::id::{OperationId, OwnerId, TransferId};
use compute_domain::ledger::{Account, Transfer, TransferReason};
use compute_domain::money::Usd;
use compute_domain::operation::{Operation, OperationKind};
use compute_domain::payment::RailLabel;
use compute_domain::time::Timestamp;
use compute_engine::ledger_chain::{Link, ORIGIN, chain_hash};
use compute_engine::ports::{Posted, TxMode};
use compute_testkit::database::TestDatabase;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};
use uuid::Uuid;

use crate::raw::{execute, execute_all, number, on_both, texts};

on_both!(
    credits_transfers_are_numbered_and_chained,
    the_table_accepts_what_a_reason_allows,
    a_place_in_a_chain_is_complete,
);

fn owner() -> OwnerId {
    OwnerId::from_uuid(Uuid::from_u128(1))
}

fn usd(micros: i64) -> Usd {
    Usd::from_micros(micros).unwrap()
}

/// An operation of its own for each transfer.
async fn add_operation(database: &TestDatabase, number: u128) -> OperationId {
    let id = OperationId::from_uuid(Uuid::from_u128(number));
    let now = Timestamp::from_millis(0);
    let operation = Operation::open(id, OperationKind::Topup, owner(), None, [7; 32], now);
    let mut tx = database.store().begin(TxMode::Write).await.unwrap();
    tx.open_operation(&operation, "a", now).await.unwrap();
    tx.commit().await.unwrap();
    id
}

async fn add_owner(database: &TestDatabase) {
    let owner = "INSERT INTO owners (id, created_at)
        VALUES ('00000000-0000-0000-0000-000000000001', 0)";
    execute(database, owner).await.unwrap();
}

async fn post(
    database: &TestDatabase,
    number: u128,
    reason: TransferReason,
    (debit, credit): (Account, Account),
    micros: i64,
) -> (Transfer, Posted) {
    let transfer = Transfer {
        id: TransferId::from_uuid(Uuid::from_u128(number)),
        debit,
        credit,
        amount: usd(micros),
        reason,
        cause: add_operation(database, number).await.into(),
        created_at: Timestamp::from_millis(i64::try_from(number).unwrap()),
    };
    let mut tx = database.store().begin(TxMode::Write).await.unwrap();
    let posted = tx.post_transfer(&transfer).await.unwrap();
    tx.commit().await.unwrap();
    (transfer, posted)
}

async fn credits_transfers_are_numbered_and_chained(database: TestDatabase) {
    add_owner(&database).await;
    let rail = || Account::Clearing(RailLabel::parse("base").unwrap());
    let credits = || Account::Credits(owner());
    let mut link = Link {
        seq: 0,
        balance_after: Usd::ZERO,
    };
    let mut hash = ORIGIN;
    let mut expected = Vec::new();
    for (number, reason, accounts, micros, balance) in [
        (11, TransferReason::Topup, (rail(), credits()), 100, 100),
        (
            12,
            TransferReason::Spend,
            (credits(), Account::Sales),
            30,
            70,
        ),
        // It touches no credits account, so it has no place in a chain.
        (13, TransferReason::Sale, (rail(), Account::Sales), 50, 70),
        // It is refused, so it leaves no gap.
        (
            14,
            TransferReason::Spend,
            (credits(), Account::Sales),
            71,
            70,
        ),
        (
            15,
            TransferReason::EarlyDestroy,
            (Account::Sales, credits()),
            5,
            75,
        ),
    ] {
        let (transfer, posted) = post(&database, number, reason, accounts, micros).await;
        let is_chained = posted == Posted::New && reason != TransferReason::Sale;
        assert_eq!(posted == Posted::Insufficient, number == 14);
        if is_chained {
            link = Link {
                seq: link.seq + 1,
                balance_after: usd(balance),
            };
            hash = chain_hash(&hash, link, &transfer);
            let (id, seq, account) = (transfer.id, link.seq, credits());
            expected.push(format!("{id} {account} {seq} {balance} {}", hex(&hash)));
        }
    }
    assert_eq!(stored_chain(&database).await, expected);
    let end = format!("{} {}", link.seq, hex(&hash));
    assert_eq!(stored_end(&database).await, [end]);
}

/// The chained transfers as they stand in the table.
async fn stored_chain(database: &TestDatabase) -> Vec<String> {
    let rows = "SELECT id || ' ' || credits_account || ' ' || credits_seq || ' '
            || balance_after_micros || ' '
        FROM ledger_transfers WHERE credits_account IS NOT NULL ORDER BY credits_seq";
    let hashes = if database.database().is_sqlite() {
        "SELECT lower(hex(chain_hash)) FROM ledger_transfers
            WHERE chain_hash IS NOT NULL ORDER BY credits_seq"
    } else {
        "SELECT encode(chain_hash, 'hex') FROM ledger_transfers
            WHERE chain_hash IS NOT NULL ORDER BY credits_seq"
    };
    let (rows, hashes) = (texts(database, rows).await, texts(database, hashes).await);
    let lines = rows.into_iter().zip(hashes);
    lines.map(|(row, hash)| row + &hash).collect()
}

/// What the accounts remember of their chains.
async fn stored_end(database: &TestDatabase) -> Vec<String> {
    let query = if database.database().is_sqlite() {
        "SELECT last_seq || ' ' || lower(hex(last_hash)) FROM ledger_accounts"
    } else {
        "SELECT last_seq || ' ' || encode(last_hash, 'hex') FROM ledger_accounts"
    };
    texts(database, query).await
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const NAMES: [&str; 4] = ["clearing:base", "sales", "suspense", "credits:x"];

/// Tries to write a transfer behind the port, in a transaction that is not committed.
async fn is_accepted(database: &TestDatabase, values: &str) -> bool {
    let insert = format!(
        "INSERT INTO ledger_transfers (id, debit_account, credit_account, amount_micros, reason,
            operation_id, created_at, credits_account, credits_seq, balance_after_micros, chain_hash)
        VALUES ('t', {values})"
    );
    let url = &database.config().url;
    if database.database().is_sqlite() {
        let mut connection = SqliteConnection::connect(url).await.unwrap();
        let mut tx = connection.begin().await.unwrap();
        let insert = sqlx::raw_sql(AssertSqlSafe(insert));
        insert.execute(&mut *tx).await.is_ok()
    } else {
        let mut connection = PgConnection::connect(url).await.unwrap();
        let mut tx = connection.begin().await.unwrap();
        let insert = sqlx::raw_sql(AssertSqlSafe(insert));
        insert.execute(&mut *tx).await.is_ok()
    }
}

const OPERATION: &str = "00000000-0000-0000-0000-00000000000b";

fn account(name: &str) -> Account {
    Account::parse(name).unwrap_or_else(|| Account::Credits(owner()))
}

fn hash_literal(database: &TestDatabase) -> String {
    let zeros = "00".repeat(32);
    if database.database().is_sqlite() {
        format!("x'{zeros}'")
    } else {
        format!("'\\x{zeros}'")
    }
}

async fn the_table_accepts_what_a_reason_allows(database: TestDatabase) {
    add_owner(&database).await;
    add_operation(&database, 11).await;
    assert_eq!(
        number(&database, "SELECT COUNT(*) FROM operations").await,
        1
    );
    let hash = hash_literal(&database);
    for reason in TransferReason::ALL.iter().map(|reason| reason.as_str()) {
        for debit in NAMES {
            for credit in NAMES {
                let place = if [debit, credit].contains(&"credits:x") {
                    format!("'credits:x', 1, 0, {hash}")
                } else {
                    "NULL, NULL, NULL, NULL".to_owned()
                };
                let values =
                    format!("'{debit}', '{credit}', 5, '{reason}', '{OPERATION}', 0, {place}");
                let allowed = TransferReason::parse(reason)
                    .unwrap()
                    .allows(&account(debit), &account(credit));
                assert_eq!(is_accepted(&database, &values).await, allowed, "{values}");
            }
        }
    }
    let unknown =
        format!("'sales', 'suspense', 5, 'gift', '{OPERATION}', 0, NULL, NULL, NULL, NULL");
    assert!(!is_accepted(&database, &unknown).await);
}

async fn a_place_in_a_chain_is_complete(database: TestDatabase) {
    add_owner(&database).await;
    add_operation(&database, 11).await;
    let hash = hash_literal(&database);
    let spend = format!("'credits:x', 'sales', 5, 'spend', '{OPERATION}', 0");
    let sale = format!("'clearing:base', 'sales', 5, 'sale', '{OPERATION}', 0");
    for (transfer, place, expected) in [
        (&spend, format!("'credits:x', 1, 0, {hash}"), true),
        (&spend, "NULL, NULL, NULL, NULL".to_owned(), false),
        (&spend, format!("'credits:y', 1, 0, {hash}"), false),
        (&spend, format!("'credits:x', 0, 0, {hash}"), false),
        (&spend, format!("'credits:x', NULL, 0, {hash}"), false),
        (&spend, format!("'credits:x', 1, -1, {hash}"), false),
        (&spend, format!("'credits:x', 1, NULL, {hash}"), false),
        (&spend, "'credits:x', 1, 0, NULL".to_owned(), false),
        (&sale, "NULL, NULL, NULL, NULL".to_owned(), true),
        (&sale, format!("'credits:x', 1, 0, {hash}"), false),
        (&sale, format!("NULL, NULL, NULL, {hash}"), false),
    ] {
        let values = format!("{transfer}, {place}");
        assert_eq!(is_accepted(&database, &values).await, expected, "{values}");
    }
    // Two transfers cannot share a place.
    let insert = |id: &str, reason: &str| {
        format!(
            "INSERT INTO ledger_transfers (id, debit_account, credit_account, amount_micros, reason,
                operation_id, created_at, credits_account, credits_seq, balance_after_micros,
                chain_hash)
            VALUES ('{id}', 'sales', 'credits:x', 5, '{reason}', '{OPERATION}', 0, 'credits:x', 1,
                0, {hash});"
        )
    };
    execute_all(&database, insert("a", "payment_refund")).await;
    let twin = format!(
        "'sales', 'credits:x', 5, 'early_destroy', '{OPERATION}', 0, 'credits:x', 1, 0, {hash}"
    );
    assert!(!is_accepted(&database, &twin).await);
    let next = format!(
        "'sales', 'credits:x', 5, 'early_destroy', '{OPERATION}', 0, 'credits:x', 2, 0, {hash}"
    );
    assert!(is_accepted(&database, &next).await);
}
