//! `[webhooks]`: whom events are sent to.

use super::check::Check;
use super::database::DatabaseMode;
use super::section::section;

section! {
    /// Whom the events of owners are sent to.
    Webhooks {
        /// Whether `http://` to this machine will do besides `https://` to public hosts: for development and rehearsals. Refused on a live database.
        allow_loopback: bool = false,
    }
}

impl Webhooks {
    pub(super) fn check(&self, check: &mut Check<'_>, mode: DatabaseMode) -> bool {
        if self.allow_loopback && mode == DatabaseMode::Live {
            check.problem(
                "webhooks.allow_loopback",
                "must be false on a live database: strangers name these addresses",
            );
        }
        self.allow_loopback
    }
}
