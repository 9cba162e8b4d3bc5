//! `[log]`: what is written to standard error.

use tracing_subscriber::EnvFilter;

use super::check::Check;
use super::section::section;
use super::value::words;

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

words!(LogFormat, "`text` or `json`", Text = "text", Json = "json");

section! {
    /// What is written to standard error.
    Log {
        /// `text` for people, `json` for machines.
        format: LogFormat = LogFormat::Text,
        /// What to log: a level, or directives such as `info,compute_engine=debug`.
        filter: String = "info".to_owned(),
    }
}

impl Log {
    pub(super) fn check(&self, check: &mut Check<'_>) {
        if EnvFilter::try_new(&self.filter).is_err() {
            check.problem(
                "log.filter",
                "must be a level, or directives such as `info,compute_engine=debug`",
            );
        }
    }
}
