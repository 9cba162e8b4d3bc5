//! Why a simulator could not start.

use std::path::PathBuf;

/// A simulator cannot start with what it was given.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// The built-in catalogue is not in the shape of this build's domain.
    #[error("the built-in catalogue of {provider} cannot be read")]
    Catalog {
        /// Whose catalogue.
        provider: &'static str,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// One token has more atomic units than fit 128 bits, counted for the opening balance.
    #[error("a token of {decimals} decimals cannot be simulated")]
    Decimals {
        /// The token's decimals.
        decimals: u8,
    },
    /// The memory of earlier runs cannot be used.
    #[error("the journal {} cannot be used", path.display())]
    Journal {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: JournalError,
    },
}

/// Why a journal file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system refused.
    #[error("reading or writing failed")]
    Io(#[source] std::io::Error),
    /// Another process holds it; two would each miss what the other does.
    #[error("another process uses it")]
    InUse,
    /// A complete line is not one of ours: the file belongs to something else, or was edited.
    #[error("line {line} cannot be read")]
    Line {
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// An earlier write failed half way and could not be taken back.
    #[error("it is damaged since a failed write")]
    Damaged,
}
