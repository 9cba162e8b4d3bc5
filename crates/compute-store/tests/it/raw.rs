//! A door behind the port: statements of the tests' own, on a connection of their own.

use compute_domain::WalletAddress;
use compute_domain::id::OwnerId;
use compute_domain::time::Timestamp;
use compute_engine::ports::{StoreError, Tx};
use compute_testkit::database::TestDatabase;
use sqlx::{Connection as _, PgConnection, SqliteConnection};
use uuid::Uuid;

/// A wallet for each number.
pub(crate) fn wallet(number: u64) -> WalletAddress {
    format!("0x{number:040x}").parse().unwrap()
}

/// Adds the owner of the wallet with this number.
pub(crate) async fn add_owner(tx: &mut dyn Tx, number: u64) -> Result<(), StoreError> {
    let id = OwnerId::from_uuid(Uuid::from_u128(number.into()));
    let now = Timestamp::from_millis(0);
    tx.ensure_owner(id, &wallet(number), now).await.map(|_| ())
}

/// Runs statements one after the other.
pub(crate) async fn execute_all(database: &TestDatabase, statements: String) {
    let url = &database.config().url;
    let statements = sqlx::AssertSqlSafe(statements);
    if database.database().is_sqlite() {
        let mut connection = SqliteConnection::connect(url).await.unwrap();
        sqlx::raw_sql(statements)
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
    } else {
        let mut connection = PgConnection::connect(url).await.unwrap();
        sqlx::raw_sql(statements)
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
    }
}

/// The rows of a query with one column of text.
pub(crate) async fn texts(database: &TestDatabase, query: &'static str) -> Vec<String> {
    let url = &database.config().url;
    if database.database().is_sqlite() {
        let mut connection = SqliteConnection::connect(url).await.unwrap();
        sqlx::query_scalar(query)
            .fetch_all(&mut connection)
            .await
            .unwrap()
    } else {
        let mut connection = PgConnection::connect(url).await.unwrap();
        sqlx::query_scalar(query)
            .fetch_all(&mut connection)
            .await
            .unwrap()
    }
}

/// Runs one statement; how many rows it changed.
pub(crate) async fn execute(
    database: &TestDatabase,
    statement: &'static str,
) -> Result<u64, sqlx::Error> {
    let url = &database.config().url;
    if database.database().is_sqlite() {
        let mut connection = SqliteConnection::connect(url).await?;
        let done = sqlx::query(statement).execute(&mut connection).await?;
        connection.close().await?;
        Ok(done.rows_affected())
    } else {
        let mut connection = PgConnection::connect(url).await?;
        let done = sqlx::query(statement).execute(&mut connection).await?;
        connection.close().await?;
        Ok(done.rows_affected())
    }
}

/// Runs a statement in the SQLite file of a URL.
pub(crate) async fn execute_at(url: &str, statement: &'static str) {
    let mut connection = SqliteConnection::connect(url).await.unwrap();
    sqlx::raw_sql(statement)
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

/// The one number that a query returns.
pub(crate) async fn number(database: &TestDatabase, query: &'static str) -> i64 {
    number_at(&database.config().url, query).await
}

/// The one number that a query returns, in the database of a URL.
pub(crate) async fn number_at(url: &str, query: &'static str) -> i64 {
    // Closed, because a connection that is only dropped may outlive the question.
    let (number,): (i64,) = if url.starts_with("sqlite:") {
        let mut connection = SqliteConnection::connect(url).await.unwrap();
        let row = sqlx::query_as(query).fetch_one(&mut connection).await;
        connection.close().await.unwrap();
        row.unwrap()
    } else {
        let mut connection = PgConnection::connect(url).await.unwrap();
        let row = sqlx::query_as(query).fetch_one(&mut connection).await;
        connection.close().await.unwrap();
        row.unwrap()
    };
    number
}

/// Makes a test of an `async fn(TestDatabase)` for each database.
macro_rules! on_both {
    ($($case:ident),+ $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    super::$case(compute_testkit::database::TestDatabase::sqlite().await).await;
                }
            )+
        }

        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    super::$case(compute_testkit::database::TestDatabase::postgres().await).await;
                }
            )+
        }
    };
}
pub(crate) use on_both;
