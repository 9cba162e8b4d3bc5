//! What both databases plan for the questions about arrivals: none walks through all payments or all
//! arrivals, however many there are.

use compute_testkit::database::TestDatabase;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};

use super::{LIST_EXPLICABLE, UNARRIVED_IN, UNDECIDED, UNEXPLAINED_IN};

/// A statement, its text values, and the index it needs. The limit, where there is one, comes last.
struct Question(&'static str, &'static str, Option<i64>, &'static str);

const QUESTIONS: &[Question] = &[
    Question(UNARRIVED_IN, "0x7", None, "payments_by_reference"),
    Question(UNDECIDED, "base", None, "payments_undecided"),
    Question(UNEXPLAINED_IN, "0x7", None, "arrivals_by_reference"),
    Question(LIST_EXPLICABLE, "source", Some(20), "payments_by_reference"),
];

/// Payments of one rail: nearly all settled and seen, few open; and some arrivals that are nobody's.
fn rows(numbers: &str) -> Vec<String> {
    let payments = format!(
        "{numbers} INSERT INTO payments (id, operation_id, owner_id, rail, proof_key, payer,
             price_micros, asset_atomic, asset_decimals, void_after, claimed_at, state, reference,
             log_index, settled_at, sealed_proof)
         SELECT 'p' || n, 'o' || n, 'owner', 'base', 'k' || n, 'w' || n, 1, '1', 6, 0, n,
             CASE WHEN n % 100 = 0 THEN 'claimed' ELSE 'settled' END,
             CASE WHEN n % 100 = 0 THEN NULL ELSE '0x' || n END,
             CASE WHEN n % 100 = 0 THEN NULL ELSE 0 END,
             CASE WHEN n % 100 = 0 THEN NULL ELSE n END,
             CASE WHEN n % 100 = 0 THEN bytes.raw END
         FROM numbers, (SELECT CAST('raw' AS BYTES) AS raw) AS bytes"
    );
    let arrivals = format!(
        "{numbers} INSERT INTO arrivals (id, source, rail, reference, log_index, payer,
             asset_atomic, asset_decimals, amount_micros, transfers, at, state, payment_id)
         SELECT 'a' || n, 'source', 'base', '0x' || n, 0, 'w' || n, '1', 6, 1, 1, n,
             CASE WHEN n % 100 = 0 THEN 'unmatched' ELSE 'matched' END,
             CASE WHEN n % 100 = 0 THEN NULL ELSE 'p' || n END
         FROM numbers"
    );
    let operations = format!(
        "{numbers} INSERT INTO operations (id, kind, format, owner_id, state, data,
             request_sha256, lease_epoch, created_at)
         SELECT 'o' || n, 'topup', 1, 'owner', 'succeeded', '{{}}', bytes.raw, 0, n
         FROM numbers,
             (SELECT CAST('01234567890123456789012345678901' AS BYTES) AS raw) AS bytes"
    );
    vec![
        "INSERT INTO owners (id, created_at) VALUES ('owner', 0)".to_owned(),
        "INSERT INTO arrival_sources (source, read_from, started_at, read_up_to, small_atomic,
             small_transfers)
         VALUES ('source', '1', 0, 0, '0', 0)"
            .to_owned(),
        operations,
        payments,
        arrivals,
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
    for Question(statement, value, limit, index) in QUESTIONS {
        let explained = format!("EXPLAIN QUERY PLAN {statement}");
        let query = sqlx::query_as(AssertSqlSafe(explained)).bind(*value);
        let query = match limit {
            Some(limit) => query.bind(*limit),
            None => query,
        };
        let plan: Vec<(i64, i64, i64, String)> = query.fetch_all(&mut connection).await.unwrap();
        let lines: Vec<String> = plan.into_iter().map(|(.., line)| line).collect();
        let plan = lines.join("\n");
        assert!(plan.contains(&format!("INDEX {index} ")), "{plan}");
        assert!(!plan.contains("SCAN payments\n"), "{plan}");
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
    for Question(statement, value, limit, index) in QUESTIONS {
        let explained = format!("EXPLAIN (COSTS OFF) {statement}");
        let query = sqlx::query_as(AssertSqlSafe(explained)).bind(*value);
        let query = match limit {
            Some(limit) => query.bind(*limit),
            None => query,
        };
        let plan: Vec<(String,)> = query.fetch_all(&mut connection).await.unwrap();
        let lines: Vec<String> = plan.into_iter().map(|(line,)| line).collect();
        let plan = lines.join("\n");
        assert!(plan.contains(index), "{plan}");
        assert!(!plan.contains("Seq Scan on payments"), "{plan}");
    }
}
