//! Checks the books, so that a broken promise is known before a customer finds it.

use compute_domain::time::Span;

use crate::engine::Engine;
use crate::error::Error;
use crate::ports::{Finding, TxMode};

/// The duty's name among the leases.
const DUTY: &str = "auditor";

/// How long one replica has the duty: a little shorter than the usual wait between two audits, so that
/// all replicas together audit once in that time.
const HELD: Span = Span::from_secs(3_000);

impl Engine {
    /// One round: audits everything, unless another replica has just done so. Every finding is
    /// logged as an error.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn audit_hourly(&self) -> Result<Option<Vec<Finding>>, Error> {
        let now = self.now();
        let mut tx = self.store.begin(TxMode::Write).await?;
        let is_ours = tx
            .acquire_lease(DUTY, &self.config.holder, now, now.plus(HELD))
            .await?;
        tx.commit().await?;
        if !is_ours {
            return Ok(None);
        }
        let findings = self.audit().await?;
        for finding in &findings {
            tracing::error!(
                promise = finding.promise, detail = %finding.detail, "a promise is broken"
            );
        }
        tracing::info!(findings = findings.len(), "the books were audited");
        Ok(Some(findings))
    }
}
