//! Opening a database.

mod postgres;
mod presence;
mod sqlite;

use core::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::{PgPool, SqlitePool};

use self::presence::Presence;
use crate::file_lock::FileLock;
use crate::schema::SchemaError;

/// How long one statement on PostgreSQL may take, and how long it may wait for another's lock.
const STATEMENT_LIMIT: Duration = Duration::from_secs(5);

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
    #[error("cannot write the lock file {}: its folder must exist and be writable", path.display())]
    LockFile {
        /// The lock file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There was a database, and it is gone: a new one would not know its customers.
    #[error(
        "the database {} is gone or empty, but was there before: put it back, or remove {} to begin anew",
        path.display(),
        lock.display()
    )]
    Gone {
        /// The database file.
        path: PathBuf,
        /// The lock file, which remembers it.
        lock: PathBuf,
    },
    /// The file cannot be opened, read or written.
    #[error(
        "cannot use the database {}: it must be a file that can be read and written, in a folder where files can be made",
        path.display()
    )]
    File {
        /// The database file.
        path: PathBuf,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// Some of the file is not what was written.
    #[error("the database {} is damaged ({detail}): restore it from a backup", path.display())]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// What SQLite found.
        detail: String,
    },
    /// A standby may be behind, and nothing can be written to it.
    #[error("the database is a standby or read-only: name the server that writes")]
    ReadOnly,
    /// It does not answer or refuses us.
    #[error("cannot reach the database")]
    Unreachable(#[source] sqlx::Error),
    /// It is not the database of a server of this build.
    #[error("the database does not have the schema of this build")]
    Schema(#[source] SchemaError),
}

/// How the connections of one pool are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUse {
    /// Which pool.
    pub name: &'static str,
    /// Connections that are open.
    pub open: u32,
    /// How many of them nobody uses.
    pub idle: u32,
    /// How many there may be.
    pub limit: u32,
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
        file: Arc<Presence>,
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
    /// Opens the database. A SQLite file is created when there never was one, checked from its first
    /// page to its last, and locked against other processes until the last clone is gone.
    ///
    /// # Errors
    /// When the URL is wrong, another process uses the file, the file is gone or damaged, or the
    /// database cannot be reached or written.
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
            Some("sqlite") => sqlite::connect(config, opener).await?,
            Some("postgres" | "postgresql") => postgres::connect(config, STATEMENT_LIMIT).await?,
            _ => return Err(ConnectError::UnknownScheme),
        };
        Ok(Self { pools })
    }

    /// Whether only one process can use this database.
    pub const fn is_sqlite(&self) -> bool {
        matches!(self.pools, Pools::Sqlite { .. })
    }

    /// Where its file is, when it is one.
    pub fn folder(&self) -> Option<&Path> {
        match &self.pools {
            Pools::Sqlite { file, .. } => Some(file.folder()),
            Pools::Postgres(_) => None,
        }
    }

    /// How its connections are used at this moment.
    pub fn pools(&self) -> Vec<PoolUse> {
        fn used<D: sqlx::Database>(name: &'static str, pool: &sqlx::Pool<D>) -> PoolUse {
            PoolUse {
                name,
                open: pool.size(),
                idle: u32::try_from(pool.num_idle()).unwrap_or(u32::MAX),
                limit: pool.options().get_max_connections(),
            }
        }
        match &self.pools {
            Pools::Sqlite { writer, reader, .. } => {
                vec![used("writer", writer), used("reader", reader)]
            }
            Pools::Postgres(pool) => vec![used("postgres", pool)],
        }
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

#[cfg(test)]
mod tests;
