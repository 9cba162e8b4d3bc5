//! The guard against mass destruction: by a wrong clock, a database from yesterday, or a provider's
//! empty answer, a program could delete every machine that was ever sold. So no more than a few are
//! destroyed an hour without their owners' asking; what is above that waits, and a human is told. In
//! quarantine nothing is.

use core::fmt::Display;

use crate::engine::Engine;
use crate::error::Error;
use crate::ports::Tx;

/// Thousandths in the whole.
const PERMILLE: u64 = 1_000;

impl Engine {
    /// Notes one more destruction that no owner asked for in the caller's transaction, and says
    /// whether it may happen. When not, the caller must roll back.
    pub(crate) async fn may_destroy_unasked(
        &self,
        tx: &mut dyn Tx,
        cause: &str,
        subject: &(impl Display + Sync),
    ) -> Result<bool, Error> {
        if let Some(quarantine) = tx.find_quarantine().await? {
            tracing::warn!(
                cause, subject = %subject, quarantine.since = %quarantine.since.rfc3339(),
                "nothing is destroyed unasked in quarantine; waiting"
            );
            return Ok(false);
        }
        let now = self.now();
        let since = now.minus(self.timing().guard_window);
        tx.note_unasked_destruction(cause, &subject.to_string(), now)
            .await?;
        let count = tx.count_unasked_destructions(since).await?;
        let live = tx.count_live().await?;
        let guard = self.config.guard;
        let share = live.saturating_mul(u64::from(guard.permille)) / PERMILLE;
        let allowed = share.max(u64::from(guard.count));
        if count > allowed {
            tracing::error!(
                cause, subject = %subject, count, allowed,
                "too many machines would be destroyed without their owners' asking; waiting"
            );
        }
        Ok(count <= allowed)
    }
}
