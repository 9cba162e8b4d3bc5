//! Waiting, as a port: tests move time instead of spending it.

use async_trait::async_trait;
use compute_domain::time::Timestamp;

/// Lets a task sleep.
#[async_trait]
pub trait Timer: Send + Sync + core::fmt::Debug {
    /// Returns once the clock shows `at` or later; at once when it already does.
    async fn sleep_until(&self, at: Timestamp);
}
