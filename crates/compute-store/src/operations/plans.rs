//! What both databases plan for the question whether a purchase hangs: it is asked under the lock of every
//! claim, so it reads what its owner and its payer have under way, and no more.

use compute_testkit::database::TestDatabase;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};

use super::FIND_HANGING;

const OWNER: &str = "o3";
const PAYER: &str = "w3";
const DIGEST: &[u8] = &[3; 32];

/// Many running operations of many owners, each with its claimed payment.
fn rows(numbers: &str, bytes: impl Fn(char) -> String) -> [String; 4] {
    let (digest, proof) = (bytes('3'), bytes('7'));
    [
        format!("{numbers} INSERT INTO owners (id, created_at) SELECT 'o' || n, 1 FROM numbers WHERE n < 400"),
        format!(
            "{numbers} INSERT INTO operations (id, kind, format, owner_id, state, step, attempt, run_at,
                 data, request_sha256, lease_epoch, created_at)
             SELECT 'p' || n, 'topup', 1, 'o' || (n % 400), 'running', 'settle', 0, n, '{{}}', {digest},
                 0, n
             FROM numbers"
        ),
        format!(
            "{numbers} INSERT INTO payments (id, operation_id, owner_id, rail, proof_key, payer,
                 price_micros, asset_atomic, asset_decimals, void_after, claimed_at, state, sealed_proof)
             SELECT 'y' || n, 'p' || n, 'o' || (n % 400), 'tempo', 'k' || n, 'w' || (n % 400), 1, '1', 6,
                 0, 0, 'claimed', {proof}
             FROM numbers"
        ),
        "ANALYZE".to_owned(),
    ]
}

#[tokio::test]
async fn what_hangs_is_found_by_its_indexes_on_sqlite() {
    let database = TestDatabase::sqlite().await;
    let mut connection = SqliteConnection::connect(&database.config().url)
        .await
        .unwrap();
    let numbers = "WITH RECURSIVE numbers (n) AS
        (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < 7999)";
    let bytes = |digit: char| format!("x'{}'", format!("0{digit}").repeat(32));
    for statement in rows(numbers, bytes) {
        let statement = sqlx::raw_sql(AssertSqlSafe(statement));
        statement.execute(&mut connection).await.unwrap();
    }
    let explained = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {FIND_HANGING}"));
    let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(explained)
        .bind(OWNER)
        .bind(DIGEST)
        .bind(0_i64)
        .bind(0_i64)
        .bind(PAYER)
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let lines: Vec<String> = plan.into_iter().map(|(.., line)| line).collect();
    let plan = lines.join("\n");
    for index in [
        "operations_hanging (owner_id=? AND request_sha256=?)",
        "payments_claimed_by_payer (payer=?)",
    ] {
        assert!(plan.contains(&format!("INDEX {index}")), "{plan}");
    }
    assert!(!plan.contains("SCAN operations"), "{plan}");
    assert!(!plan.contains("SCAN payments"), "{plan}");
}

#[tokio::test]
async fn what_hangs_is_found_by_its_indexes_on_postgres() {
    let database = TestDatabase::postgres().await;
    let mut connection = PgConnection::connect(&database.config().url).await.unwrap();
    let numbers = "WITH numbers (n) AS (SELECT generate_series(0, 7999))";
    let bytes = |digit: char| format!("decode(repeat('0{digit}', 32), 'hex')");
    for statement in rows(numbers, bytes) {
        let statement = sqlx::raw_sql(AssertSqlSafe(statement));
        statement.execute(&mut connection).await.unwrap();
    }
    let explained = AssertSqlSafe(format!("EXPLAIN (COSTS OFF) {FIND_HANGING}"));
    let plan: Vec<(String,)> = sqlx::query_as(explained)
        .bind(OWNER)
        .bind(DIGEST)
        .bind(0_i64)
        .bind(0_i64)
        .bind(PAYER)
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let lines: Vec<String> = plan.into_iter().map(|(line,)| line).collect();
    let plan = lines.join("\n");
    for index in ["operations_hanging", "payments_claimed_by_payer"] {
        assert!(plan.contains(index), "{plan}");
    }
    assert!(!plan.contains("Seq Scan"), "{plan}");
}
