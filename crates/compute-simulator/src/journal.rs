//! The memory of a simulator across restarts: a file that is only ever appended to, one JSON
//! document a line.
//!
//! A line reaches the operating system before the call that caused it returns, so that a killed
//! process loses nothing. It is not forced to the disk: in development a power cut may forget the
//! last moments.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{JournalError, SimulatorError};

/// Where a simulator writes what it must not forget.
#[derive(Debug)]
pub(crate) enum Journal {
    /// Nowhere: it forgets everything with the process.
    Nowhere,
    /// A file that this process alone holds.
    Kept(KeptFile),
}

/// An open journal file that ends after a complete line.
#[derive(Debug)]
pub(crate) struct KeptFile {
    file: File,
    bytes: u64,
    is_damaged: bool,
}

impl Journal {
    /// Opens the journal at `path`, if any, and returns the records of earlier runs, oldest first.
    pub(crate) fn open<R: DeserializeOwned>(
        path: Option<&Path>,
    ) -> Result<(Self, Vec<R>), SimulatorError> {
        let Some(path) = path else {
            return Ok((Self::Nowhere, Vec::new()));
        };
        let (kept, records) = KeptFile::open(path).map_err(|source| SimulatorError::Journal {
            path: path.to_owned(),
            source,
        })?;
        Ok((Self::Kept(kept), records))
    }

    /// Whether a failed write could not be taken back; nothing can be added any more.
    pub(crate) const fn is_damaged(&self) -> bool {
        match self {
            Self::Nowhere => false,
            Self::Kept(kept) => kept.is_damaged,
        }
    }

    /// Adds a record. After an error it counts as not added; a damaged journal may hold a part.
    pub(crate) fn append<R: Serialize>(&mut self, record: &R) -> Result<(), JournalError> {
        match self {
            Self::Nowhere => Ok(()),
            Self::Kept(kept) => kept.append(record),
        }
    }
}

impl KeptFile {
    fn open<R: DeserializeOwned>(path: &Path) -> Result<(Self, Vec<R>), JournalError> {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .map_err(JournalError::Io)?;
        file.try_lock().map_err(|refusal| match refusal {
            TryLockError::WouldBlock => JournalError::InUse,
            TryLockError::Error(error) => JournalError::Io(error),
        })?;
        let mut content = Vec::new();
        file.read_to_end(&mut content).map_err(JournalError::Io)?;
        // A process that was killed while writing leaves half a line: that call never returned.
        let complete = content
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |last| last + 1);
        content.truncate(complete);
        let records = content
            .split_inclusive(|byte| *byte == b'\n')
            .zip(1..)
            .map(|(text, line)| {
                serde_json::from_slice(text).map_err(|source| JournalError::Line { line, source })
            })
            .collect::<Result<Vec<R>, _>>()?;
        // Only now: a file that is not ours stays as it is.
        let bytes = u64::try_from(complete).map_err(|_| JournalError::Damaged)?;
        file.set_len(bytes).map_err(JournalError::Io)?;
        Ok((
            Self {
                file,
                bytes,
                is_damaged: false,
            },
            records,
        ))
    }

    fn append<R: Serialize>(&mut self, record: &R) -> Result<(), JournalError> {
        if self.is_damaged {
            return Err(JournalError::Damaged);
        }
        let mut line =
            serde_json::to_vec(record).map_err(|error| JournalError::Io(error.into()))?;
        line.push(b'\n');
        let grown = u64::try_from(line.len())
            .ok()
            .and_then(|more| self.bytes.checked_add(more));
        let grown = grown.ok_or(JournalError::Damaged)?;
        if let Err(error) = self.file.write_all(&line) {
            // Half a line would make the next one unreadable.
            self.is_damaged = self.file.set_len(self.bytes).is_err();
            return Err(JournalError::Io(error));
        }
        self.bytes = grown;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reopen(path: &Path) -> Result<(Journal, Vec<u32>), SimulatorError> {
        Journal::open(Some(path))
    }

    #[test]
    fn records_survive_and_half_a_line_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut journal, none) = reopen(&path).unwrap();
        assert!(none.is_empty());
        for record in [1_u32, 22] {
            journal.append(&record).unwrap();
        }
        drop(journal);
        std::fs::write(&path, "1\n22\n3").unwrap();

        let (mut journal, records) = reopen(&path).unwrap();
        assert_eq!(records, [1, 22]);
        journal.append(&4_u32).unwrap();
        drop(journal);
        assert_eq!(reopen(&path).unwrap().1, [1, 22, 4]);
    }

    #[test]
    fn a_foreign_file_is_refused_untouched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        std::fs::write(&path, "1\nnot ours\n").unwrap();
        let refusal = reopen(&path).unwrap_err();
        assert!(matches!(
            refusal,
            SimulatorError::Journal {
                source: JournalError::Line { line: 2, .. },
                ..
            }
        ));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\nnot ours\n");
    }

    #[test]
    fn a_journal_has_one_holder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (_holder, _) = reopen(&path).unwrap();
        assert!(matches!(
            reopen(&path).unwrap_err(),
            SimulatorError::Journal {
                source: JournalError::InUse,
                ..
            }
        ));
    }
}
