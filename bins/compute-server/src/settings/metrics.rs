//! `[metrics]`: where Prometheus reads how it goes.

use std::net::SocketAddr;

use compute_domain::time::Span;

use super::check::Check;
use super::section::section;

/// Where metrics are unless another address is named: the port that exporters of traces and metrics
/// commonly have.
const USUAL: ([u8; 4], u16) = ([127, 0, 0, 1], 9464);

section! {
    /// Where Prometheus reads how it goes: `http://<listen>/metrics`, on a listener of its own. No label names a customer.
    Metrics {
        /// Whether there are metrics.
        enabled: bool = true,
        /// Where to listen. When another process has the usual address, the server starts without metrics and says so; any other address that cannot be had is an error.
        listen: SocketAddr = SocketAddr::from(USUAL),
        /// Whether `listen` may be more than loopback. Whoever reaches it learns how much is sold, and no password is asked for: let only Prometheus reach it.
        allow_remote: bool = false,
        /// How often what only the database knows is counted: open operations, machines, suspects.
        every: Span = Span::from_secs(15),
        /// How often the whole ledger is summed up by account.
        sums_every: Span = Span::from_secs(300),
    }
}

impl Metrics {
    pub(super) fn check(&self, check: &mut Check<'_>) {
        if !self.listen.ip().is_loopback() && !self.allow_remote {
            check.problem(
                "metrics.listen",
                "is not loopback: metrics.allow_remote = true permits it",
            );
        }
        if self.every < Span::from_secs(1) || self.every > Span::from_secs(3_600) {
            check.problem("metrics.every", "must be 1s to 1h");
        }
        if self.sums_every < self.every {
            check.problem("metrics.sums_every", "must be at least metrics.every");
        }
    }

    /// Whether it listens where nobody asked it to.
    pub(crate) fn is_usual(&self) -> bool {
        self.listen == SocketAddr::from(USUAL)
    }
}
