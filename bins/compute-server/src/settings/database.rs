//! `[database]`: where the state lives.

use std::path::PathBuf;

use compute_domain::time::Span;

use super::check::Check;
use super::section::section;
use super::value::{PrivateUrl, words};

/// For what kind of use a database is made. The database is stamped with it for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DatabaseMode {
    /// Real money and real machines.
    Live,
    /// A rehearsal of `serve` against stand-ins: time may run faster than real partners allow.
    Test,
    /// `dev`: everything outside is simulated.
    Dev,
}

words!(
    DatabaseMode,
    "`live` or `test`",
    Live = "live",
    Test = "test",
    Dev = "dev"
);

section! {
    /// Where the state lives.
    Database {
        /// `sqlite:<file>` for one process, `postgres://…` for several replicas.
        url: PrivateUrl = PrivateUrl::new("sqlite:compute.db"),
        /// A file that holds the URL; not together with `url`.
        url_file: Option<PathBuf> = None,
        /// `live`, or `test` for rehearsals against stand-ins. A database is stamped with its mode at birth and refuses every other.
        mode: DatabaseMode = DatabaseMode::Live,
        /// Connections that may be open at once on PostgreSQL.
        max_connections: u32 = 16,
        /// How long a request waits for a free connection.
        acquire_timeout: Span = Span::from_secs(5),
    }
}

/// The checked section.
#[derive(Debug)]
pub(crate) struct DatabaseConfig {
    pub(crate) url: PrivateUrl,
    pub(crate) mode: DatabaseMode,
    pub(crate) max_connections: u32,
    pub(crate) acquire_timeout: Span,
}

impl Database {
    pub(super) fn check(&self, check: &mut Check<'_>) -> Option<DatabaseConfig> {
        if self.mode == DatabaseMode::Dev && !check.is_dev() {
            check.problem("database.mode", "dev databases belong to the command `dev`");
        }
        if !(1..=1_000).contains(&self.max_connections) {
            check.problem("database.max_connections", "must be 1 to 1000");
        }
        if self.acquire_timeout == Span::ZERO {
            check.problem("database.acquire_timeout", "must be more than nothing");
        }
        if self.url_file.is_some() && check.is_given("database.url") {
            check.problem(
                "database.url",
                "is given twice: as text and as database.url_file",
            );
        }
        let url = match &self.url_file {
            Some(file) => PrivateUrl::new(check.file("database.url_file", file)?.expose()),
            None => self.url.clone(),
        };
        let known = ["sqlite:", "postgres://", "postgresql://"];
        if !known.iter().any(|prefix| url.expose().starts_with(prefix)) {
            check.problem("database.url", "must begin with sqlite: or postgres://");
        }
        Some(DatabaseConfig {
            url,
            mode: self.mode,
            max_connections: self.max_connections,
            acquire_timeout: self.acquire_timeout,
        })
    }
}
