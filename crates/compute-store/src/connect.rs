//! Opening a database.

use core::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{PgPool, SqlitePool};

use crate::dialect::{postgres_options, sqlite_options};
use crate::file_lock::FileLock;
use crate::schema::SchemaError;

/// Which database, and how many may use it at once.
#[derive(Clone)]
pub struct DatabaseConfig {
    /// `sqlite://path/to/file.db` or `postgres://user@host/name`; may hold a password.
    pub url: String,
    /// Connections to PostgreSQL, or readers of SQLite; at least 1. SQLite has one writer besides.
    pub max_connections: u32,
    /// How long a transaction waits for a free connection.
    pub acquire_timeout: Duration,
}

/// The URL stays out: it may hold a password.
impl fmt::Debug for DatabaseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseConfig")
            .field("max_connections", &self.max_connections)
            .field("acquire_timeout", &self.acquire_timeout)
            .finish_non_exhaustive()
    }
}

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Neither `sqlite:` nor `postgres:`.
    #[error("the database URL begins with sqlite: or postgres:")]
    UnknownScheme,
    /// The URL cannot be read.
    #[error("the database URL is not valid")]
    Url(#[source] sqlx::Error),
    /// A database in memory would forget its customers, and cannot be shared by connections.
    #[error("the database must be a file")]
    InMemory,
    /// Another process serves from the same file.
    #[error("another process uses the database {}", path.display())]
    InUse {
        /// The database file.
        path: PathBuf,
    },
    /// The lock file beside the database cannot be written.
    #[error("cannot write the lock file {}", path.display())]
    LockFile {
        /// The lock file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It does not answer or refuses us.
    #[error("cannot reach the database")]
    Unreachable(#[source] sqlx::Error),
    /// It is not the database of a server of this build.
    #[error("the database does not have the schema of this build")]
    Schema(#[source] SchemaError),
}

/// Who opens the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opener {
    /// A server: of SQLite files there is one.
    Server,
    /// A tool beside it.
    Tool,
}

/// An open database. Clones share its connections.
#[derive(Clone)]
pub struct Database {
    pub(crate) pools: Pools,
}

#[derive(Clone)]
pub(crate) enum Pools {
    Sqlite {
        /// Exactly one connection: SQLite's own waiting for the writer is unfair.
        writer: SqlitePool,
        reader: SqlitePool,
        /// A tool beside a server has none.
        _lock: Option<Arc<FileLock>>,
    },
    Postgres(PgPool),
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.pools {
            Pools::Sqlite { .. } => "Sqlite",
            Pools::Postgres(_) => "Postgres",
        };
        f.debug_tuple("Database").field(&name).finish()
    }
}

impl Database {
    /// Opens the database. A SQLite file is created when missing, and locked against other
    /// processes until the last clone is gone.
    ///
    /// # Errors
    /// When the URL is wrong, another process uses the file, or the database cannot be reached.
    pub async fn connect(config: &DatabaseConfig) -> Result<Self, ConnectError> {
        Self::open_for(config, Opener::Server).await
    }

    /// Opens the database of a server, whether that server runs or not, for a tool such as the
    /// operator's. Nothing is created or migrated.
    ///
    /// Beside a server on PostgreSQL the tool is one more replica. On SQLite it leaves out the lock
    /// file, which keeps a second *server* away: two of them would each trust a clock, and drive what
    /// the other drives. Single transactions need no lock file. SQLite lets one process write at a
    /// time and each waits for the other; a reader sees one moment; and whoever works on an
    /// operation holds a lease whose epoch is checked in every write.
    ///
    /// # Errors
    /// When the URL is wrong, there is no such database, it cannot be reached, or its schema is not
    /// exactly this build's.
    pub async fn connect_beside_server(config: &DatabaseConfig) -> Result<Self, ConnectError> {
        let database = Self::open_for(config, Opener::Tool).await?;
        match database.check_schema().await {
            Ok(()) => Ok(database),
            Err(error) => {
                database.close().await;
                Err(ConnectError::Schema(error))
            }
        }
    }

    async fn open_for(config: &DatabaseConfig, opener: Opener) -> Result<Self, ConnectError> {
        let scheme = config.url.split_once(':').map(|(scheme, _)| scheme);
        let pools = match scheme {
            Some("sqlite") => connect_sqlite(config, opener).await?,
            Some("postgres" | "postgresql") => connect_postgres(config).await?,
            _ => return Err(ConnectError::UnknownScheme),
        };
        Ok(Self { pools })
    }

    /// Whether only one process can use this database.
    pub const fn is_sqlite(&self) -> bool {
        matches!(self.pools, Pools::Sqlite { .. })
    }

    /// Waits for the connections in use to come back, then closes all.
    pub async fn close(&self) {
        match &self.pools {
            Pools::Sqlite { writer, reader, .. } => {
                reader.close().await;
                writer.close().await;
            }
            Pools::Postgres(pool) => pool.close().await,
        }
    }
}

async fn connect_sqlite(config: &DatabaseConfig, opener: Opener) -> Result<Pools, ConnectError> {
    if config.url.contains(":memory:") || config.url.contains("mode=memory") {
        return Err(ConnectError::InMemory);
    }
    let options = SqliteConnectOptions::from_str(&config.url).map_err(ConnectError::Url)?;
    let lock = match opener {
        Opener::Server => Some(Arc::new(FileLock::acquire(options.get_filename())?)),
        Opener::Tool => None,
    };
    let options = sqlite_options(options).create_if_missing(opener == Opener::Server);
    let pool = || {
        SqlitePoolOptions::new()
            .acquire_timeout(config.acquire_timeout)
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
    };
    // First and alone: the switch to WAL needs the file for itself.
    let writer = pool()
        .max_connections(1)
        .connect_with(options.clone())
        .await
        .map_err(ConnectError::Unreachable)?;
    let reader = pool()
        .max_connections(config.max_connections)
        .connect_lazy_with(options.pragma("query_only", "ON"));
    Ok(Pools::Sqlite {
        writer,
        reader,
        _lock: lock,
    })
}

async fn connect_postgres(config: &DatabaseConfig) -> Result<Pools, ConnectError> {
    let options = PgConnectOptions::from_str(&config.url).map_err(ConnectError::Url)?;
    let pool = PgPoolOptions::new()
        .max_connections(config.max_connections)
        .acquire_timeout(config.acquire_timeout)
        .connect_with(postgres_options(options))
        .await
        .map_err(ConnectError::Unreachable)?;
    Ok(Pools::Postgres(pool))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use compute_engine::ports::{Tx as _, TxMode};

    use super::*;
    use crate::statement::fetch;

    #[test]
    fn a_password_in_the_url_is_not_shown() {
        let config = DatabaseConfig {
            url: "postgres://user:hunter2@host/name".into(),
            max_connections: 1,
            acquire_timeout: Duration::from_secs(1),
        };
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    fn config_in(folder: &Path) -> DatabaseConfig {
        DatabaseConfig {
            url: format!("sqlite://{}/compute.db", folder.display()),
            max_connections: 1,
            acquire_timeout: Duration::from_secs(30),
        }
    }

    fn folder(name: &str) -> PathBuf {
        let name = format!("compute-store-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// A tool works beside a server; a second server does not; and a tool makes nothing.
    #[tokio::test]
    async fn a_tool_opens_only_what_a_server_made() {
        let folder = folder("tool");
        let config = config_in(&folder);
        let absent = Database::connect_beside_server(&config).await;
        assert!(matches!(absent, Err(ConnectError::Unreachable(_))));
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);

        let server = Database::connect(&config).await.unwrap();
        let empty = Database::connect_beside_server(&config).await;
        let behind = |error| matches!(error, ConnectError::Schema(SchemaError::Behind { .. }));
        assert!(empty.is_err_and(behind));

        server.migrate().await.unwrap();
        let second = Database::connect(&config).await;
        assert!(matches!(second, Err(ConnectError::InUse { .. })));
        let tool = Database::connect_beside_server(&config).await.unwrap();
        for database in [&tool, &server, &tool] {
            let tx = database.open(TxMode::Write).await.unwrap();
            Box::new(tx).commit().await.unwrap();
        }
        tool.close().await;
        server.close().await;
        std::fs::remove_dir_all(&folder).unwrap();
    }

    /// `FULL` is 2: a commit survives a power cut.
    #[tokio::test]
    async fn every_sqlite_connection_is_durable_and_checks_references() {
        let folder = folder("durable");
        let config = config_in(&folder);
        let database = Database::connect(&config).await.unwrap();
        for (mode, query_only) in [(TxMode::Write, 0), (TxMode::Read, 1)] {
            let mut tx = database.open(mode).await.unwrap();
            let settings: (String, i64, i64, i64, i64) = fetch!(
                fetch_one,
                tx,
                "pragma",
                "SELECT journal_mode, synchronous, foreign_keys, timeout, query_only
                FROM pragma_journal_mode, pragma_synchronous, pragma_foreign_keys,
                    pragma_busy_timeout, pragma_query_only"
            )
            .unwrap();
            assert_eq!(settings, ("wal".to_owned(), 2, 1, 5_000, query_only));
        }
        database.close().await;
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
