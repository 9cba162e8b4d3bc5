//! Goes on with work that nobody holds: after a crash, a restart, or a long wait.

use std::any::Any;
use std::panic::{AssertUnwindSafe, resume_unwind};

use futures::FutureExt as _;
use futures::future::join_all;
use tracing::Instrument as _;

use crate::engine::Engine;
use crate::error::Error;
use crate::ports::{Lease, TxMode};
use crate::saga::failpoints::Ended;
use crate::traced::operation_span;

/// How many operations one round takes on.
const BATCH: u32 = 8;

impl Engine {
    /// One round: takes due operations and works on them side by side. Says how many there were.
    ///
    /// # Errors
    /// When the database cannot be used.
    ///
    /// # Panics
    /// When the work on one of them does, but only after the others have gone as far as they can.
    pub async fn drive_due(&self) -> Result<usize, Error> {
        let now = self.now();
        let until = now.plus(self.timing().lease);
        let mut tx = self.store.begin(TxMode::Write).await?;
        let due = tx.claim_due(&self.config.holder, now, until, BATCH).await?;
        tx.commit().await?;
        let count = due.len();
        let outcomes = join_all(due.into_iter().map(|(_, lease)| self.try_run(lease))).await;
        match outcomes.into_iter().flatten().next() {
            Some(panic) => resume_unwind(panic),
            None => Ok(count),
        }
    }

    /// Works on one operation; what it panicked with, if it did. What it was at is in the database, and
    /// its lease ends.
    async fn try_run(&self, lease: Lease) -> Option<Box<dyn Any + Send>> {
        let operation = lease.operation;
        let span = operation_span(operation);
        let panic = AssertUnwindSafe(self.run(lease).instrument(span))
            .catch_unwind()
            .await
            .err()?;
        if panic.is::<Ended>() {
            resume_unwind(panic);
        }
        tracing::error!(
            operation.id = %operation,
            "the work on an operation broke off; it continues when its lease ends"
        );
        Some(panic)
    }
}
