//! Copies of a SQLite file that is in use. PostgreSQL has tools of its own.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use crate::connect::{Database, Pools};

/// Everything in one file, as of one moment. It reads like any other reader: nobody waits for it.
const COPY: &str = "VACUUM INTO $1";

/// Every page and every index.
const CHECK: &str = "PRAGMA integrity_check(1)";

/// Rows whose other half is not there.
const CHECK_REFERENCES: &str = "SELECT COUNT(*) FROM pragma_foreign_key_check";

/// What an owner was told after the copy was made is forgotten with the rest, but owners remember the
/// numbers: none of them may be given again. Nobody is told so much between two backups.
const SKIPPED_EVENTS: i64 = 1_000_000;

const SKIP_EVENTS: &str = "UPDATE owner_event_counters
SET last_seq = last_seq + $1";

const SKIP_FIRST_EVENTS: &str = "INSERT INTO owner_event_counters (owner_id, last_seq)
SELECT id, $1
FROM owners
WHERE id NOT IN (SELECT owner_id FROM owner_event_counters)";

/// Nobody else reads a copy: it holds what customers bought, and hashes of their keys.
const OWNER_ONLY: u32 = 0o600;

/// Why there is no copy, or none that can be trusted.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The database is PostgreSQL.
    #[error("only a SQLite database is one file; use pg_dump for PostgreSQL")]
    NotSqlite,
    /// The file cannot be made.
    #[error("cannot make the file {}: its folder must exist, and the file must not", path.display())]
    File {
        /// The copy.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file has a name that cannot be handed to SQLite.
    #[error("the name {} is not UTF-8", path.display())]
    Name {
        /// The copy.
        path: PathBuf,
    },
    /// The copy was not made.
    #[error("the database could not be copied")]
    Copy(#[source] sqlx::Error),
    /// The copy cannot be made ready to be a database.
    #[error("the copy could not be prepared")]
    Prepare(#[source] sqlx::Error),
    /// The copy cannot be read.
    #[error("the copy {} cannot be read", path.display())]
    Unreadable {
        /// The copy.
        path: PathBuf,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// The copy is not what was written.
    #[error("the copy {} is damaged ({detail})", path.display())]
    Damaged {
        /// The copy.
        path: PathBuf,
        /// What SQLite found.
        detail: String,
    },
}

impl Database {
    /// Copies the database into a new file, as of one moment, while others go on reading and writing;
    /// then reads the copy from its first page to its last.
    ///
    /// # Errors
    /// When the database is no file, the new file exists already, or the copy is not whole.
    pub async fn back_up(&self, to: &Path) -> Result<(), BackupError> {
        let Pools::Sqlite { writer, .. } = &self.pools else {
            return Err(BackupError::NotSqlite);
        };
        let Some(name) = to.to_str() else {
            let path = to.to_owned();
            return Err(BackupError::Name { path });
        };
        let failed = |source| {
            let path = to.to_owned();
            BackupError::File { path, source }
        };
        // SQLite fills an empty file, and makes one that everybody may read.
        make_private(to).map_err(failed)?;
        // The readers may write nothing, not even somewhere else.
        let copied = sqlx::query(COPY).bind(name).execute(writer).await;
        if let Err(error) = copied {
            // What is there is no copy.
            std::fs::remove_file(to).map_err(failed)?;
            return Err(BackupError::Copy(error));
        }
        persist(to).map_err(failed)?;
        check_copy(to).await
    }

    /// Leaves out many numbers of each owner's events, in a copy that is to be the database: what was told
    /// after it was made must not be told again under other numbers, nor something else under these.
    ///
    /// # Errors
    /// When the database is no file, or cannot be written.
    pub async fn skip_event_numbers(&self) -> Result<(), BackupError> {
        let Pools::Sqlite { writer, .. } = &self.pools else {
            return Err(BackupError::NotSqlite);
        };
        let mut tx = writer.begin().await.map_err(BackupError::Prepare)?;
        for statement in [SKIP_EVENTS, SKIP_FIRST_EVENTS] {
            let skipped = sqlx::query(statement).bind(SKIPPED_EVENTS);
            let skipped = skipped.execute(&mut *tx).await;
            skipped.map_err(BackupError::Prepare)?;
        }
        tx.commit().await.map_err(BackupError::Prepare)
    }
}

/// Reads a copy from its first page to its last, without changing it.
///
/// # Errors
/// When it is not whole.
pub async fn check_copy(path: &Path) -> Result<(), BackupError> {
    let unreadable = |source| {
        let path = path.to_owned();
        BackupError::Unreadable { path, source }
    };
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let mut connection = options.connect().await.map_err(unreadable)?;
    let found = look(&mut connection).await;
    connection.close().await.map_err(unreadable)?;
    match found.map_err(unreadable)? {
        None => Ok(()),
        Some(detail) => Err(BackupError::Damaged {
            path: path.to_owned(),
            detail,
        }),
    }
}

/// What is wrong with a file.
async fn look(connection: &mut SqliteConnection) -> Result<Option<String>, sqlx::Error> {
    let pages: String = sqlx::query_scalar(CHECK)
        .fetch_one(&mut *connection)
        .await?;
    if pages != "ok" {
        return Ok(Some(pages.replace('\n', ", ")));
    }
    let lost: i64 = sqlx::query_scalar(CHECK_REFERENCES)
        .fetch_one(connection)
        .await?;
    Ok((lost > 0).then(|| format!("{lost} rows refer to rows that are not there")))
}

/// Makes an empty file that only its owner reads.
fn make_private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(OWNER_ONLY);
    options.open(path).map(drop)
}

/// After this the file and its name outlast a power cut.
fn persist(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Makes sure that nothing is where a database is to be, nor what SQLite has beside one: it would be
/// taken for a part of the new one.
///
/// # Errors
/// When something is there.
pub fn require_vacant(path: &Path) -> Result<(), BackupError> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let path = PathBuf::from(name);
        if path.exists() {
            let source = io::ErrorKind::AlreadyExists.into();
            return Err(BackupError::File { path, source });
        }
    }
    Ok(())
}

/// Copies a copy into a file of its own that only its owner reads.
///
/// # Errors
/// When something is there, or the file cannot be written; then there is none.
pub fn put_copy(from: &Path, to: &Path) -> Result<(), BackupError> {
    require_vacant(to)?;
    let failed = |source| {
        let path = to.to_owned();
        BackupError::File { path, source }
    };
    make_private(to).map_err(failed)?;
    let copied = File::open(from).and_then(|mut source| {
        let mut target = OpenOptions::new().write(true).open(to)?;
        io::copy(&mut source, &mut target)?;
        persist(to)
    });
    if let Err(source) = copied {
        // Half a copy is none, and would be in the way of the next one.
        std::fs::remove_file(to).map_err(failed)?;
        return Err(failed(source));
    }
    Ok(())
}

/// Gives a file that [`put_copy`] made the name of the database. Either all of it is there afterwards, or
/// nothing; a database that appears meanwhile is left as it is.
///
/// # Errors
/// When something has that name, or parts of the copy are not in it yet.
pub fn install(copy: &Path, database: &Path) -> Result<(), BackupError> {
    require_vacant(database)?;
    let mut name = copy.as_os_str().to_owned();
    name.push("-wal");
    let rest = PathBuf::from(name);
    if rest.exists() {
        let source = io::Error::other("not everything is in the copy yet");
        return Err(BackupError::File { path: rest, source });
    }
    let failed = |source| {
        let path = database.to_owned();
        BackupError::File { path, source }
    };
    // Renaming would replace what is there; a second name is refused.
    std::fs::hard_link(copy, database).map_err(failed)?;
    std::fs::remove_file(copy).map_err(failed)?;
    persist(database).map_err(failed)
}
