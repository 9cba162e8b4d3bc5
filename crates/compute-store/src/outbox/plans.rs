//! What both databases plan for the questions about chain transactions: none walks through the whole table.

use compute_testkit::database::TestDatabase;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};

use super::{
    COST_SINCE, FIND_GROUP_HOLDER, FORGET, LIST_MINED, LIST_OF_NONCE, LIST_OF_PAYMENT, LIST_OPEN,
    RELEASE_GROUP,
};

/// A value of a statement.
#[derive(Debug, Clone, Copy)]
enum Cell {
    Text(&'static str),
    Number(i64),
}
use Cell::{Number, Text};

/// A statement, its values, and the index it needs.
struct Question(&'static str, &'static [Cell], &'static str);

const QUESTIONS: &[Question] = &[
    Question(
        LIST_OF_PAYMENT,
        &[Text("proof-7")],
        "chain_transactions_by_proof",
    ),
    Question(
        LIST_OF_NONCE,
        &[Text("lane-1"), Number(20)],
        "chain_transactions_by_nonce",
    ),
    Question(
        LIST_OPEN,
        &[Text("lane-1"), Number(20)],
        "chain_transactions_open",
    ),
    Question(
        LIST_MINED,
        &[Text("lane-1"), Number(19_990), Number(20)],
        "chain_transactions_by_lane",
    ),
    Question(
        FIND_GROUP_HOLDER,
        &[Text("lane-1"), Text("group-7"), Number(0)],
        "chain_transactions_by_group",
    ),
    Question(
        RELEASE_GROUP,
        &[Text("proof-7")],
        "chain_transactions_by_proof",
    ),
    Question(
        COST_SINCE,
        &[Text("lane-1"), Number(19_990)],
        "chain_transactions_by_lane",
    ),
    Question(
        FORGET,
        &[Number(10), Number(20)],
        "chain_transactions_forgettable",
    ),
];

/// Many transactions of four lanes: nearly all concluded, few open, few that hold a group.
fn rows(numbers: &str) -> [String; 3] {
    [
        format!(
            "{numbers} INSERT INTO sending_lanes (lane, next_nonce, created_at, used_at)
             SELECT 'lane-' || n, 0, 0, 0 FROM numbers WHERE n < 4"
        ),
        format!(
            "{numbers} INSERT INTO chain_transactions (hash, lane, nonce, purpose, proof_key,
                 payment_group, raw, max_cost, state, block, created_at, concluded_at)
             SELECT 'hash-' || n, 'lane-' || (n % 4), n / 4, 'settle', 'proof-' || (n / 2),
                 CASE WHEN n % 50 = 0 THEN 'group-' || (n % 9) END, bytes.raw, 1,
                 CASE WHEN n % 100 = 0 THEN 'open' ELSE 'mined' END,
                 CASE WHEN n % 100 = 0 THEN NULL ELSE n END, n,
                 CASE WHEN n % 100 = 0 THEN NULL ELSE n END
             FROM numbers, (SELECT CAST('raw' AS BYTES) AS raw) AS bytes"
        ),
        "ANALYZE".to_owned(),
    ]
}

#[tokio::test]
async fn every_question_has_its_index_on_sqlite() {
    let database = TestDatabase::sqlite().await;
    let mut connection = SqliteConnection::connect(&database.config().url)
        .await
        .unwrap();
    let numbers = "WITH RECURSIVE numbers (n) AS
        (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < 19999)";
    for statement in rows(numbers) {
        let statement = statement.replace("AS BYTES", "AS BLOB");
        let statement = sqlx::raw_sql(AssertSqlSafe(statement));
        statement.execute(&mut connection).await.unwrap();
    }
    for Question(statement, values, index) in QUESTIONS {
        let explained = format!("EXPLAIN QUERY PLAN {statement}");
        let mut query = sqlx::query_as(AssertSqlSafe(explained));
        for value in *values {
            query = match *value {
                Text(text) => query.bind(text),
                Number(number) => query.bind(number),
            };
        }
        let plan: Vec<(i64, i64, i64, String)> = query.fetch_all(&mut connection).await.unwrap();
        let lines: Vec<String> = plan.into_iter().map(|(.., line)| line).collect();
        let plan = lines.join("\n");
        assert!(plan.contains(&format!("INDEX {index} ")), "{plan}");
        assert!(!plan.contains("SCAN chain_transactions"), "{plan}");
    }
}

#[tokio::test]
async fn every_question_has_its_index_on_postgres() {
    let database = TestDatabase::postgres().await;
    let mut connection = PgConnection::connect(&database.config().url).await.unwrap();
    let numbers = "WITH numbers (n) AS (SELECT generate_series(0, 19999))";
    for statement in rows(numbers) {
        let statement = statement.replace("AS BYTES", "AS BYTEA");
        let statement = sqlx::raw_sql(AssertSqlSafe(statement));
        statement.execute(&mut connection).await.unwrap();
    }
    for Question(statement, values, index) in QUESTIONS {
        let explained = format!("EXPLAIN (COSTS OFF) {statement}");
        let mut query = sqlx::query_as(AssertSqlSafe(explained));
        for value in *values {
            query = match *value {
                Text(text) => query.bind(text),
                Number(number) => query.bind(number),
            };
        }
        let plan: Vec<(String,)> = query.fetch_all(&mut connection).await.unwrap();
        let lines: Vec<String> = plan.into_iter().map(|(line,)| line).collect();
        let plan = lines.join("\n");
        assert!(plan.contains(index), "{plan}");
        assert!(!plan.contains("Seq Scan on chain_transactions"), "{plan}");
    }
}
