//! Tasks whose panics end nothing but themselves: caught, logged, counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio_util::task::TaskTracker;

use crate::metrics::note_panic;

/// Runs rounds in tasks of their own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Supervisor {
    tasks: TaskTracker,
    panics: Arc<AtomicU64>,
}

impl Supervisor {
    /// Tasks become members of `tasks`, so that shutdown can wait for them.
    pub(crate) fn new(tasks: TaskTracker) -> Self {
        Self {
            tasks,
            panics: Arc::default(),
        }
    }

    /// Starts a loop.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Runs a round of a worker to its end. When it panics, what it was at is taken up again from the
    /// database: a lease ends by itself.
    pub(crate) async fn run(
        &self,
        worker: &'static str,
        round: impl Future<Output = ()> + Send + 'static,
    ) {
        let Err(error) = self.tasks.spawn(round).await else {
            return;
        };
        if !error.is_panic() {
            // Cut off, as only the end of the process does.
            return;
        }
        let panics = self
            .panics
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        note_panic(worker);
        tracing::error!(worker, panics, %error, "a round of a worker broke off; the next one tries again");
    }

    /// Waits for the end of all tasks.
    #[cfg(test)]
    pub(crate) async fn finished(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// How many rounds have panicked since the start.
    #[cfg(test)]
    pub(crate) fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }
}
