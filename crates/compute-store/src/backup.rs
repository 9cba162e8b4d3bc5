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
/// When something is there, or the file cannot be written.
pub fn put_copy(from: &Path, to: &Path) -> Result<(), BackupError> {
    require_vacant(to)?;
    let failed = |source| {
        let path = to.to_owned();
        BackupError::File { path, source }
    };
    make_private(to).map_err(failed)?;
    let copied = File::open(from).and_then(|mut source| {
        let mut target = OpenOptions::new().write(true).open(to)?;
        io::copy(&mut source, &mut target)
    });
    copied.map_err(failed)?;
    persist(to).map_err(failed)
}

/// Gives a file that [`put_copy`] made the name of the database. Either all of it is there afterwards, or
/// nothing.
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
    std::fs::rename(copy, database).map_err(failed)?;
    persist(database).map_err(failed)
}
