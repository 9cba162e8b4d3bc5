//! Goes on with work that nobody holds: after a crash, a restart, or a long wait.

use futures::future::join_all;

use crate::engine::Engine;
use crate::error::Error;
use crate::ports::TxMode;

/// How many operations one round takes on.
const BATCH: u32 = 8;

impl Engine {
    /// One round: takes due operations and works on them side by side. Says how many there were.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn drive_due(&self) -> Result<usize, Error> {
        let now = self.now();
        let until = now.plus(self.timing().lease);
        let mut tx = self.store.begin(TxMode::Write).await?;
        let due = tx.claim_due(&self.config.holder, now, until, BATCH).await?;
        tx.commit().await?;
        let count = due.len();
        join_all(due.into_iter().map(|(_, lease)| self.run(lease))).await;
        Ok(count)
    }
}
