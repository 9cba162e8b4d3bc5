//! One process per SQLite database: a lock file beside it.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::connect::ConnectError;

/// Held for life. The operating system gives the lock back when the process ends, however it ends;
/// the file itself stays, because removing it would let two processes lock two files of one name.
///
/// What is in it says that there was a database: the process that used it last.
#[derive(Debug)]
pub(crate) struct FileLock {
    file: File,
    path: PathBuf,
}

impl FileLock {
    pub(crate) fn acquire(database: &Path) -> Result<Self, ConnectError> {
        let path = lock_path(database);
        let broken = |source| ConnectError::LockFile {
            path: path.clone(),
            source,
        };
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(broken)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(ConnectError::InUse {
                    path: database.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(broken(source)),
        }
        Ok(Self { file, path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there has been a database of this name.
    pub(crate) fn remembers_database(&self) -> bool {
        self.file.metadata().is_ok_and(|found| found.len() > 0)
    }

    /// Notes that there is one. Nothing reads the number; it is for the human who wonders who it is.
    pub(crate) fn remember_database(&self) -> Result<(), ConnectError> {
        let mut file = &self.file;
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(|source| ConnectError::LockFile {
                path: self.path.clone(),
                source,
            })
    }
}

/// Beside the file itself, not beside a link to it.
fn lock_path(database: &Path) -> PathBuf {
    let mut name: OsString = database
        .canonicalize()
        .unwrap_or_else(|_| database.to_owned())
        .into_os_string();
    name.push(".lock");
    PathBuf::from(name)
}
