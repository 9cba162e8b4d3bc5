//! Waiting, as a port: tests move time instead of spending it.

use async_trait::async_trait;
use compute_domain::time::Timestamp;

/// Lets a task sleep.
#[async_trait]
pub trait Timer: Send + Sync + core::fmt::Debug {
    /// Returns once the clock shows `at` or later; at once when it already does.
    async fn sleep_until(&self, at: Timestamp);

    /// Returns once something outside has been waited for until `at`.
    ///
    /// A clock that sleeping moves must not move for it: what is waited for takes none of its time.
    async fn patience(&self, at: Timestamp) {
        self.sleep_until(at).await;
    }
}
