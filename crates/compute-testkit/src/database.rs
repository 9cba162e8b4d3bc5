//! A database of a test's own, of either kind; gone when the test ends, however it ends.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test without a database has failed"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use crate::race::Row;
use compute_domain::time::Timestamp;
use compute_engine::ports::Store;
use compute_store::{Database, DatabaseConfig, Mode};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, SqliteConnection};

/// The environment variable with the URL of a PostgreSQL server's maintenance database.
pub const POSTGRES_VARIABLE: &str = "COMPUTE_TEST_POSTGRES";

/// A fresh database.
#[derive(Debug)]
pub struct TestDatabase {
    database: Database,
    config: DatabaseConfig,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Folder(PathBuf),
    Server {
        maintenance_url: String,
        name: String,
    },
}

impl TestDatabase {
    /// A migrated SQLite database in a temporary folder, stamped for development.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn sqlite() -> Self {
        Self::empty_sqlite().await.prepared().await
    }

    /// A migrated PostgreSQL database, stamped for development.
    ///
    /// # Panics
    /// When no server is known, or it does not answer. Such tests fail; they are never skipped.
    pub async fn postgres() -> Self {
        Self::empty_postgres().await.prepared().await
    }

    /// A SQLite database without any table.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn empty_sqlite() -> Self {
        let folder = std::env::temp_dir().join(unique_name());
        std::fs::create_dir(&folder).expect("a temporary folder can be made");
        let config = config(format!("sqlite://{}/compute.db", folder.display()));
        Self::connect(config, Place::Folder(folder)).await
    }

    /// A PostgreSQL database without any table.
    ///
    /// # Panics
    /// When no server is known, or it does not answer.
    pub async fn empty_postgres() -> Self {
        let Some(maintenance_url) =
            std::env::var_os(POSTGRES_VARIABLE).and_then(|url| url.into_string().ok())
        else {
            panic!("{POSTGRES_VARIABLE} is not set; run: cargo xtask test");
        };
        let name = unique_name();
        on_server(&maintenance_url, format!("CREATE DATABASE {name}"))
            .await
            .expect("PostgreSQL makes a database");
        let config = config(with_database(&maintenance_url, &name));
        Self::connect(
            config,
            Place::Server {
                maintenance_url,
                name,
            },
        )
        .await
    }

    /// A copy of a SQLite database as it is now, like a backup that is restored elsewhere.
    ///
    /// # Panics
    /// When it is not SQLite, or cannot be copied.
    pub async fn backup(&self) -> Self {
        let folder = std::env::temp_dir().join(unique_name());
        std::fs::create_dir(&folder).expect("a temporary folder can be made");
        let path = folder.join("compute.db");
        let mut source = SqliteConnectOptions::from_str(&self.config.url)
            .expect("only SQLite is copied")
            .connect()
            .await
            .expect("the database can be opened");
        sqlx::query("VACUUM INTO $1")
            .bind(path.display().to_string())
            .execute(&mut source)
            .await
            .expect("the database can be copied");
        source.close().await.expect("the database can be closed");
        let config = config(format!("sqlite://{}", path.display()));
        Self::connect(config, Place::Folder(folder)).await
    }

    async fn connect(config: DatabaseConfig, place: Place) -> Self {
        let database = Database::connect(&config)
            .await
            .expect("a fresh database can be opened");
        Self {
            database,
            config,
            place,
        }
    }

    async fn prepared(self) -> Self {
        self.database
            .migrate()
            .await
            .expect("a fresh database can be migrated");
        let now = Timestamp::from_millis(0);
        self.database
            .stamp(Mode::Dev, now)
            .await
            .expect("a fresh database takes any stamp");
        self
    }

    /// The database as the engine sees it.
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.database.clone())
    }

    /// The database itself.
    pub const fn database(&self) -> &Database {
        &self.database
    }

    /// How to open it once more, as another replica does.
    pub const fn config(&self) -> &DatabaseConfig {
        &self.config
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let outcome = match &self.place {
            Place::Folder(folder) => std::fs::remove_dir_all(folder).map_err(anyhow::Error::from),
            Place::Server {
                maintenance_url,
                name,
            } => drop_database(maintenance_url, name),
        };
        // A second panic would hide the test's own.
        if let Err(error) = outcome
            && !std::thread::panicking()
        {
            panic!("the test's database could not be removed: {error:#}");
        }
    }
}

/// How many rows some tables of a database have, by the table's name.
///
/// They are counted on a connection of its own that can only read, so that a running server is
/// checked by what it wrote and not by what it says.
///
/// # Panics
/// When the database cannot be opened, or has no such table.
pub async fn count_rows(url: &str, tables: &[&'static str]) -> BTreeMap<&'static str, i64> {
    let mut observer = Observer::connect(url)
        .await
        .expect("the database can be opened for reading");
    let mut counts = BTreeMap::new();
    for &table in tables {
        let count = observer.count(table).await;
        counts.insert(table, count.expect("the table can be counted"));
    }
    observer
        .close()
        .await
        .expect("the connection can be closed");
    counts
}

/// The answer to a question that counts something.
///
/// # Panics
/// When the database cannot be opened, or does not understand the question.
pub async fn count(url: &str, question: &'static str) -> i64 {
    let observer = Observer::connect(url).await;
    let mut observer = observer.expect("the database can be opened for reading");
    let counted = observer.ask(AssertSqlSafe(question.to_owned())).await;
    observer
        .close()
        .await
        .expect("the connection can be closed");
    counted.expect("the question is understood")
}

/// Everything that a thief of the database would have: the files of SQLite, or every row of PostgreSQL as
/// text, in which bytes are hex.
///
/// # Panics
/// When the database cannot be read.
pub async fn dump(url: &str) -> Vec<u8> {
    const TABLES: &str = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'";
    if let Some(path) = url.strip_prefix("sqlite://") {
        // What was written last may be in the log alone.
        let files = ["", "-wal"].map(|ending| std::fs::read(format!("{path}{ending}")));
        let [database, log] = files;
        let mut all = database.expect("the database can be read");
        all.extend(log.unwrap_or_default());
        return all;
    }
    let options = PgConnectOptions::from_str(url).expect("a URL of PostgreSQL");
    let mut connection = options.connect().await.expect("the database answers");
    let tables: Vec<String> = sqlx::query_scalar(TABLES)
        .fetch_all(&mut connection)
        .await
        .expect("the tables can be listed");
    let mut all = Vec::new();
    for table in tables {
        let rows = AssertSqlSafe(format!("SELECT rows::text FROM \"{table}\" AS rows"));
        let rows: Vec<String> = sqlx::query_scalar(rows)
            .fetch_all(&mut connection)
            .await
            .expect("a table can be read");
        for row in rows {
            all.extend(row.into_bytes());
            all.push(b'\n');
        }
    }
    connection.close().await.expect("the connection closes");
    all
}

/// The rows of a credits account, in the order of the ledger.
///
/// # Panics
/// When the database is not PostgreSQL, or a row cannot be read.
pub async fn account_rows(url: &str, account: &str) -> Vec<Row> {
    type Columns = (i64, String, String, i64, bool, i64);
    const ROWS: &str = "SELECT credits_seq, operation_id, reason, amount_micros,
    credit_account = credits_account, balance_after_micros
FROM ledger_transfers
WHERE credits_account = $1
ORDER BY credits_seq";
    let options = PgConnectOptions::from_str(url).expect("a URL of PostgreSQL");
    let mut connection = options.connect().await.expect("the database answers");
    let rows: Vec<Columns> = sqlx::query_as(ROWS)
        .bind(account)
        .fetch_all(&mut connection)
        .await
        .expect("the ledger can be read");
    connection.close().await.expect("the connection closes");
    let row = |(seq, operation, reason, amount, is_credit, balance_after): Columns| Row {
        seq,
        operation: operation.parse().expect("an operation's id"),
        reason,
        change: if is_credit { amount } else { -amount },
        balance_after,
    };
    rows.into_iter().map(row).collect()
}

/// A connection that changes nothing.
#[derive(Debug)]
enum Observer {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Observer {
    async fn connect(url: &str) -> Result<Self, sqlx::Error> {
        if url.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(url)?.read_only(true);
            return options.connect().await.map(Self::Sqlite);
        }
        let read_only = [("default_transaction_read_only", "on")];
        let options = PgConnectOptions::from_str(url)?.options(read_only);
        options.connect().await.map(Self::Postgres)
    }

    async fn count(&mut self, table: &'static str) -> Result<i64, sqlx::Error> {
        self.ask(AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}")))
            .await
    }

    async fn ask(&mut self, statement: AssertSqlSafe<String>) -> Result<i64, sqlx::Error> {
        match self {
            Self::Sqlite(connection) => sqlx::query_scalar(statement).fetch_one(connection).await,
            Self::Postgres(connection) => sqlx::query_scalar(statement).fetch_one(connection).await,
        }
    }

    async fn close(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(connection) => connection.close().await,
            Self::Postgres(connection) => connection.close().await,
        }
    }
}

fn config(url: String) -> DatabaseConfig {
    DatabaseConfig {
        url,
        max_connections: 8,
        acquire_timeout: Duration::from_secs(30),
    }
}

/// On a thread of its own: the test's runtime may be the one that is dropping us.
fn drop_database(maintenance_url: &str, name: &str) -> anyhow::Result<()> {
    let statement = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
    let url = maintenance_url.to_owned();
    let worker = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime
            .block_on(on_server(&url, statement))
            .map_err(anyhow::Error::from)
    });
    worker
        .join()
        .map_err(|_| anyhow::anyhow!("the thread that drops {name} panicked"))?
}

/// `statement` holds nothing but our own words and a name from [`unique_name`].
async fn on_server(maintenance_url: &str, statement: String) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(maintenance_url).await?;
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(&mut connection)
        .await?;
    connection.close().await
}

fn unique_name() -> String {
    let mut random = [0_u8; 12];
    getrandom::fill(&mut random).expect("the operating system has randomness");
    format!("compute_test_{}", hex::encode(random))
}

/// The same server with another database.
fn with_database(url: &str, name: &str) -> String {
    let (base, query) = url
        .split_once('?')
        .map_or((url, String::new()), |(base, query)| {
            (base, format!("?{query}"))
        });
    let authority = base.find("://").map_or(0, |at| at.saturating_add(3));
    let end = base
        .get(authority..)
        .and_then(|rest| rest.find('/'))
        .map_or(base.len(), |at| at.saturating_add(authority));
    let server = base.get(..end).unwrap_or(base);
    format!("{server}/{name}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_rows_of_an_open_database_are_counted_and_not_changed() {
        let database = TestDatabase::sqlite().await;
        let url = &database.config().url;
        let counts = count_rows(url, &["database_stamp", "payments"]).await;
        assert_eq!(
            counts,
            BTreeMap::from([("database_stamp", 1), ("payments", 0)])
        );
        let Observer::Sqlite(mut observer) = Observer::connect(url).await.unwrap() else {
            panic!("a SQLite database");
        };
        let writing = sqlx::raw_sql("DELETE FROM payments");
        assert!(writing.execute(&mut observer).await.is_err());
    }

    #[test]
    fn only_the_database_of_a_url_is_replaced() {
        for (url, expected) in [
            (
                "postgres://u@h/postgres?host=/tmp/x",
                "postgres://u@h/n?host=/tmp/x",
            ),
            ("postgres://u:p@h:5432/a", "postgres://u:p@h:5432/n"),
            ("postgres://u@h", "postgres://u@h/n"),
        ] {
            assert_eq!(with_database(url, "n"), expected);
        }
    }
}
