//! Opening a SQLite file.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

use super::presence::Presence;
use super::{ConnectError, DatabaseConfig, Opener, Pools};
use crate::dialect::{SqliteFault, sqlite_file_fault, sqlite_options};
use crate::file_lock::FileLock;

/// Not the indices' contents: that would take many times as long.
const CHECK_PAGES: &str = "PRAGMA quick_check(1)";

/// Fails on a file that can only be read; the `BEGIN` alone does not.
const TRY_TO_WRITE: &str = "BEGIN IMMEDIATE; PRAGMA user_version = 1; ROLLBACK";

pub(super) async fn connect(
    config: &DatabaseConfig,
    opener: Opener,
) -> Result<Pools, ConnectError> {
    if config.url.contains(":memory:") || config.url.contains("mode=memory") {
        return Err(ConnectError::InMemory);
    }
    let options = SqliteConnectOptions::from_str(&config.url).map_err(ConnectError::Url)?;
    let path = options.get_filename().to_owned();
    let lock = match opener {
        Opener::Server => Some(FileLock::acquire(&path)?),
        Opener::Tool => None,
    };
    if let Some(lock) = &lock {
        refuse_gone(lock, &path)?;
    }
    let options = sqlite_options(options);
    let pool = || {
        SqlitePoolOptions::new()
            .acquire_timeout(config.acquire_timeout)
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
    };
    let existing = options.clone().create_if_missing(false);
    // First and alone: the switch to WAL needs the file for itself.
    let writer = pool()
        .max_connections(1)
        .connect_with(options.create_if_missing(opener == Opener::Server))
        .await
        .map_err(|error| explain(&path, error))?;
    // Only the first connection may make a file.
    writer.set_connect_options(existing.clone());
    if let Some(lock) = &lock {
        check(&writer, &path).await?;
        lock.remember_database()?;
    }
    let file = Presence::note(&path).map_err(|error| explain(&path, sqlx::Error::Io(error)))?;
    let reader = pool()
        .max_connections(config.max_connections)
        .connect_lazy_with(existing.pragma("query_only", "ON"));
    Ok(Pools::Sqlite {
        writer,
        reader,
        file: Arc::new(file),
        _lock: lock.map(Arc::new),
    })
}

/// Once there was a database, a missing or empty file is a loss and not a beginning.
fn refuse_gone(lock: &FileLock, path: &Path) -> Result<(), ConnectError> {
    let is_there = std::fs::metadata(path).is_ok_and(|found| found.len() > 0);
    if is_there || !lock.remembers_database() {
        return Ok(());
    }
    Err(ConnectError::Gone {
        path: path.to_owned(),
        lock: lock.path().to_owned(),
    })
}

/// Refuses what cannot be written or is damaged.
async fn check(writer: &SqlitePool, path: &Path) -> Result<(), ConnectError> {
    let explained = |error| explain(path, error);
    sqlx::raw_sql(TRY_TO_WRITE)
        .execute(writer)
        .await
        .map_err(explained)?;
    let found: String = sqlx::query_scalar(CHECK_PAGES)
        .fetch_one(writer)
        .await
        .map_err(explained)?;
    if found == "ok" {
        return Ok(());
    }
    Err(ConnectError::Damaged {
        path: path.to_owned(),
        detail: found.replace('\n', ", "),
    })
}

fn explain(path: &Path, error: sqlx::Error) -> ConnectError {
    let path = path.to_owned();
    match sqlite_file_fault(&error) {
        SqliteFault::Damage => ConnectError::Damaged {
            path,
            detail: error.to_string(),
        },
        SqliteFault::Access => ConnectError::File {
            path,
            source: error,
        },
        SqliteFault::Other => ConnectError::Unreachable(error),
    }
}
