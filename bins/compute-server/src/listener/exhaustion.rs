//! What to do when no connection can be accepted.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

/// The first wait when something is lacking, such as file descriptors, and the longest.
const SHORTEST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_secs(1);

/// Waits after accepts that failed: shortly at first, because each connection that ends gives back
/// what is lacking, and longer while it does not help.
#[derive(Debug)]
pub(super) struct Exhaustion {
    wait: Duration,
    silent_until: Option<Instant>,
}

impl Exhaustion {
    pub(super) const fn none() -> Self {
        Self {
            wait: SHORTEST,
            silent_until: None,
        }
    }

    /// A connection was accepted.
    pub(super) const fn ends(&mut self) {
        self.wait = SHORTEST;
    }

    /// A connection that broke before it was accepted is the client's affair; anything else does not go
    /// away by trying harder.
    pub(super) async fn pause_after(&mut self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
        if matches!(
            error.kind(),
            ConnectionAborted | ConnectionRefused | ConnectionReset
        ) {
            return;
        }
        let now = Instant::now();
        if self.silent_until.is_none_or(|until| until <= now) {
            tracing::error!(%error, "no connection can be accepted; trying again");
            self.silent_until = now.checked_add(LONGEST);
        }
        tokio::time::sleep(self.wait).await;
        self.wait = self.wait.saturating_mul(2).min(LONGEST);
    }
}
