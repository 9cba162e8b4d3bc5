//! Counts the faults that runs really injected, by their ids in the fault catalogue.
//!
//! `cargo xtask faults` adds them up. A test says [`injected`] where the fault happens, never where it is only meant to.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

/// The environment variable with the file to which tests append; set by `cargo xtask test`.
pub const VARIABLE: &str = "COMPUTE_FAULT_LOG";

/// Notes that the fault with this id has just been injected. Does nothing unless [`VARIABLE`] is set.
///
/// # Panics
/// When the file cannot be written: a count that is lost would make the sum a lie.
#[expect(clippy::expect_used, reason = "tests fail by panicking")]
pub fn injected(id: &'static str) {
    static LOG: OnceLock<Option<Mutex<File>>> = OnceLock::new();
    let log = LOG.get_or_init(|| {
        let path = std::env::var_os(VARIABLE)?;
        let file = OpenOptions::new().create(true).append(true).open(path);
        Some(Mutex::new(file.expect("the log of faults can be opened")))
    });
    if let Some(log) = log {
        let mut file = log.lock().unwrap_or_else(PoisonError::into_inner);
        // One write a line: many processes append at once.
        file.write_all(format!("{id}\n").as_bytes())
            .expect("the log of faults can be written");
    }
}

/// What one run has injected.
#[derive(Debug, Default)]
pub struct Tally(Mutex<BTreeMap<&'static str, u64>>);

impl Tally {
    /// Notes that the fault with this id has just been injected.
    pub fn injected(&self, id: &'static str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(id).or_default();
        *count = count.saturating_add(1);
    }

    /// The counts so far.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Writes the counts as a JSON object, in place of those of the last run.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let json = serde_json::to_string_pretty(&self.counts()).map_err(io::Error::other)?;
        std::fs::write(path, json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_counts_by_id() {
        let tally = Tally::default();
        tally.injected("F150");
        tally.injected("F159");
        tally.injected("F150");
        assert_eq!(tally.counts(), BTreeMap::from([("F150", 2), ("F159", 1)]));
    }
}
