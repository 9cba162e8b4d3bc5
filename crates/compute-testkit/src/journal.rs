//! What a stand-in writes down, so that it is known after a kill.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// An append-only record, one JSON document a line, that outlives the process which writes it.
#[derive(Debug)]
pub struct Journal<E> {
    file: Option<File>,
    events: Vec<E>,
}

impl<E: Serialize + DeserializeOwned> Journal<E> {
    /// Opens the record at `path` and reads what is in it; without a path it lives in memory.
    ///
    /// # Errors
    /// When the file cannot be used, or holds something else.
    pub fn open(path: Option<&Path>) -> io::Result<Self> {
        let Some(path) = path else {
            return Ok(Self {
                file: None,
                events: Vec::new(),
            });
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        // A line that a kill cut short was never answered for: it is dropped.
        let whole = text
            .rfind('\n')
            .map_or("", |end| text.get(..=end).unwrap_or(""));
        let events = whole
            .lines()
            .map(|line| serde_json::from_str(line).map_err(io::Error::other))
            .collect::<Result<Vec<E>, _>>()?;
        let length = u64::try_from(whole.len()).map_err(io::Error::other)?;
        file.set_len(length)?;
        file.seek(SeekFrom::Start(length))?;
        Ok(Self {
            file: Some(file),
            events,
        })
    }

    /// Writes an event; when this returns, a kill of this process cannot lose it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn append(&mut self, event: E) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            let mut line = serde_json::to_string(&event).map_err(io::Error::other)?;
            line.push('\n');
            file.write_all(line.as_bytes())?;
        }
        self.events.push(event);
        Ok(())
    }

    /// Everything that was written, oldest first.
    pub fn events(&self) -> &[E] {
        &self.events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temporary() -> std::path::PathBuf {
        let mut name = [0; 8];
        getrandom::fill(&mut name).unwrap();
        std::env::temp_dir().join(format!("journal-{}", hex::encode(name)))
    }

    #[test]
    fn events_survive_and_a_torn_line_does_not() {
        let path = temporary();
        let mut journal = Journal::<u32>::open(Some(&path)).unwrap();
        journal.append(1).unwrap();
        journal.append(2).unwrap();
        OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(b"3")
            .unwrap();
        let mut journal = Journal::<u32>::open(Some(&path)).unwrap();
        assert_eq!(journal.events(), [1, 2]);
        journal.append(4).unwrap();
        assert_eq!(
            Journal::<u32>::open(Some(&path)).unwrap().events(),
            [1, 2, 4]
        );
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_damaged_line_is_an_error_not_a_gap() {
        let path = temporary();
        std::fs::write(&path, "1\nx\n2\n").unwrap();
        assert!(Journal::<u32>::open(Some(&path)).is_err());
        std::fs::remove_file(path).unwrap();
    }
}
