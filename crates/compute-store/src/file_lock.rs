//! One process per SQLite database: a lock file beside it.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
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
        overwrite(&mut &self.file, &format!("{}\n", std::process::id())).map_err(|source| {
            ConnectError::LockFile {
                path: self.path.clone(),
                source,
            }
        })
    }
}

/// What can be overwritten, from where it is at.
trait Notebook: Write {
    /// Cuts off what is behind `length`.
    fn cut(&mut self, length: u64) -> io::Result<()>;
    /// Keeps what it has through a power failure.
    fn keep(&mut self) -> io::Result<()>;
}

impl Notebook for &File {
    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn keep(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

/// What was there is cut off last: whenever this ends, something is there, and that is what counts.
fn overwrite(notebook: &mut impl Notebook, text: &str) -> io::Result<()> {
    notebook.write_all(text.as_bytes())?;
    let length = u64::try_from(text.len()).map_err(io::Error::other)?;
    notebook.cut(length)?;
    notebook.keep()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A file whose process ends before one of its steps.
    #[derive(Debug)]
    struct Mortal {
        text: Vec<u8>,
        position: usize,
        steps_left: u32,
        kept: Option<Vec<u8>>,
    }

    impl Mortal {
        fn step(&mut self) -> io::Result<()> {
            let left = self.steps_left.checked_sub(1);
            self.steps_left = left.ok_or_else(|| io::Error::other("the process is dead"))?;
            Ok(())
        }
    }

    impl Write for Mortal {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.step()?;
            let Some((&byte, _)) = bytes.split_first() else {
                return Ok(0);
            };
            match self.text.get_mut(self.position) {
                Some(place) => *place = byte,
                None => self.text.push(byte),
            }
            self.position += 1;
            Ok(1)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Notebook for Mortal {
        fn cut(&mut self, length: u64) -> io::Result<()> {
            self.step()?;
            self.text.truncate(usize::try_from(length).unwrap());
            Ok(())
        }

        fn keep(&mut self) -> io::Result<()> {
            self.step()?;
            self.kept = Some(self.text.clone());
            Ok(())
        }
    }

    #[test]
    fn a_note_that_is_renewed_is_never_empty() {
        for steps in 0..=5 {
            let mut notebook = Mortal {
                text: b"12345\n".to_vec(),
                position: 0,
                steps_left: steps,
                kept: None,
            };
            let outcome = overwrite(&mut notebook, "67\n");
            assert!(!notebook.text.is_empty(), "after {steps} steps");
            assert_eq!(outcome.is_ok(), steps == 5);
            let kept = notebook.kept.as_deref();
            assert_eq!(kept, (steps == 5).then_some(b"67\n".as_slice()));
        }
    }
}
