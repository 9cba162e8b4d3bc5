//! What the engine says in its log.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use tracing::subscriber::DefaultGuard;

/// Where a test's log lines go.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// Takes what this thread logs, until the guard is dropped.
    pub(crate) fn listen(&self) -> DefaultGuard {
        let writer = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    /// All of it since it was last asked for.
    pub(crate) fn text(&self) -> String {
        let bytes = core::mem::take(&mut *self.0.lock().unwrap());
        String::from_utf8(bytes).unwrap()
    }

    /// How many alarms with these words there were since it was last asked.
    pub(crate) fn alarms(&self, words: &str) -> usize {
        let text = self.text();
        let lines = text.lines();
        lines
            .filter(|line| line.contains("ERROR") && line.contains(words))
            .count()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
