//! Whether the file that was opened is still the one of its name.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// SQLite goes on with a file that was removed: all that is written then is lost at the end, and a new
/// connection would make a new, empty file.
#[derive(Debug)]
pub(crate) struct Presence {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// The file has no name any more, or the name another file.
#[derive(Debug, thiserror::Error)]
#[error(
    "the database {} was removed or replaced while it was open: stop, put it back, start again",
    path.display()
)]
pub(crate) struct Missing {
    path: PathBuf,
}

impl Presence {
    pub(super) fn note(path: &Path) -> std::io::Result<Self> {
        let found = std::fs::metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            device: found.dev(),
            inode: found.ino(),
        })
    }

    /// Where the file is.
    pub(super) fn folder(&self) -> &Path {
        let folder = self.path.parent();
        // A name alone is one in the working folder.
        folder
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."))
    }

    /// One look at the folder, which the system keeps in memory.
    pub(crate) fn check(&self) -> Result<(), Missing> {
        let is_same = |found: Metadata| (found.dev(), found.ino()) == (self.device, self.inode);
        if std::fs::metadata(&self.path).is_ok_and(is_same) {
            return Ok(());
        }
        let path = self.path.clone();
        Err(Missing { path })
    }
}
