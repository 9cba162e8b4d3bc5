//! What both databases plan for the list of an owner's instances: one walk along one index for each page.

use compute_testkit::database::TestDatabase;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};

use super::{LIST, LIST_AFTER};

const OWNER: &str = "00000000-0000-0000-0000-000000000003";
const AFTER: &str = "00000000-0000-0000-0000-000000002000";

/// Enough rows, of several owners, that a planner has reason to choose well.
fn rows(numbers: &str, pad: impl Fn(&str) -> String) -> Vec<String> {
    let owner = pad("n");
    let id = pad("n");
    let of_owner = pad("n % 8");
    vec![
        format!("{numbers} INSERT INTO owners (id, created_at) SELECT {owner}, 1 FROM numbers WHERE n < 8"),
        format!(
            "{numbers} INSERT INTO instances (id, owner_id, provider, plan_id, region_id, os_id, label,
                 rate_hour_micros, prepaid_hours, price_micros, access, state, created_at)
             SELECT {id}, {of_owner}, 'vultr', 'p', 'r', 'o', 'l', 1, 24, 24, 'password', 'pending', 0
             FROM numbers"
        ),
        "ANALYZE".to_owned(),
    ]
}

#[tokio::test]
async fn a_page_is_one_index_walk_on_sqlite() {
    let database = TestDatabase::sqlite().await;
    let mut connection = SqliteConnection::connect(&database.config().url)
        .await
        .unwrap();
    let numbers = "WITH RECURSIVE numbers (n) AS
        (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < 3999)";
    let pad = |number: &str| format!("printf('00000000-0000-0000-0000-%012d', {number})");
    for statement in rows(numbers, pad) {
        let statement = sqlx::raw_sql(AssertSqlSafe(statement));
        statement.execute(&mut connection).await.unwrap();
    }
    let explain = |list: &str| AssertSqlSafe(format!("EXPLAIN QUERY PLAN {list}"));
    type Plan = Vec<(i64, i64, i64, String)>;
    let first: Plan = sqlx::query_as(explain(LIST))
        .bind(OWNER)
        .bind(20_i64)
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let next: Plan = sqlx::query_as(explain(LIST_AFTER))
        .bind(OWNER)
        .bind(AFTER)
        .bind(20_i64)
        .fetch_all(&mut connection)
        .await
        .unwrap();
    for (plan, condition) in [
        (first, "(owner_id>? AND owner_id<?)"),
        (next, "(owner_id>? AND (owner_id,id)<(?,?))"),
    ] {
        let lines: Vec<String> = plan.into_iter().map(|(.., line)| line).collect();
        let walk = format!("SEARCH instances USING INDEX instances_by_owner {condition}");
        assert_eq!(lines, [walk], "one step, and no sorting");
    }
}

#[tokio::test]
async fn a_page_is_one_index_walk_on_postgres() {
    let database = TestDatabase::postgres().await;
    let mut connection = PgConnection::connect(&database.config().url).await.unwrap();
    let numbers = "WITH numbers (n) AS (SELECT generate_series(0, 3999))";
    let pad = |number: &str| {
        format!("'00000000-0000-0000-0000-' || lpad(CAST({number} AS TEXT), 12, '0')")
    };
    for statement in rows(numbers, pad) {
        let statement = sqlx::raw_sql(AssertSqlSafe(statement));
        statement.execute(&mut connection).await.unwrap();
    }
    let explain = |list: &str| AssertSqlSafe(format!("EXPLAIN (COSTS OFF) {list}"));
    let first: Vec<(String,)> = sqlx::query_as(explain(LIST))
        .bind(OWNER)
        .bind(20_i64)
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let next: Vec<(String,)> = sqlx::query_as(explain(LIST_AFTER))
        .bind(OWNER)
        .bind(AFTER)
        .bind(20_i64)
        .fetch_all(&mut connection)
        .await
        .unwrap();
    for (plan, has_cursor) in [(first, false), (next, true)] {
        let lines: Vec<String> = plan.into_iter().map(|(line,)| line).collect();
        let [limit, walk, condition] = lines.as_slice() else {
            panic!("one step below the limit was expected: {lines:#?}");
        };
        assert_eq!(limit, "Limit");
        let expected = "->  Index Scan Backward using instances_by_owner on instances";
        assert_eq!(walk.trim(), expected, "no sorting");
        assert!(condition.trim().starts_with("Index Cond:"), "{lines:#?}");
        assert_eq!(
            condition.contains("ROW(owner_id, id) <"),
            has_cursor,
            "{lines:#?}"
        );
    }
}
