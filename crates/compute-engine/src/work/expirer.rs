//! Takes machines down whose prepaid time and grace are over.

use compute_domain::id::InstanceId;
use compute_domain::instance::{EndReason, InstanceState};

use crate::engine::Engine;
use crate::error::Error;
use crate::ports::{Lease, TxMode};

/// How many instances one round looks at.
const BATCH: u32 = 50;

/// What came of an attempt to take an expired machine down.
enum Expiry {
    Opened(Lease),
    /// Somebody else is doing something with it, or it was extended.
    NotNow,
    /// Too many machines were destroyed lately.
    Guarded,
}

impl Engine {
    /// One round: opens the destruction of expired instances; the driver does the rest. An
    /// instance that another operation holds is left for the next round, and so are all when too
    /// many machines were destroyed lately. One whose machine is missing is the watcher's: its owner
    /// did not get what it paid for. Says how many it opened.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn expire_due(&self) -> Result<usize, Error> {
        let timing = self.timing();
        let before = self.now().minus(timing.expiry_grace);
        let mut tx = self.store.begin(TxMode::Read).await?;
        let expired = tx.list_expired(before, timing.lost_looks, BATCH).await?;
        tx.rollback().await?;
        let mut opened = 0;
        for id in expired {
            let expiry = match self.open_expiry(id).await {
                Ok(expiry) => expiry,
                // One that cannot be read must not keep the others alive.
                Err(error @ Error::Internal(_)) => {
                    tracing::error!(
                        instance.id = %id, error = %error, "an expired machine was not ended"
                    );
                    continue;
                }
                Err(error) => return Err(error),
            };
            match expiry {
                Expiry::Opened(lease) => {
                    opened += 1;
                    let mut tx = self.store.begin(TxMode::Write).await?;
                    tx.release_lease(&lease).await?;
                    tx.commit().await?;
                }
                Expiry::NotNow => {}
                Expiry::Guarded => break,
            }
        }
        Ok(opened)
    }

    /// Looks again under a lock: it may have been extended or destroyed since the list was read.
    async fn open_expiry(&self, id: InstanceId) -> Result<Expiry, Error> {
        let before = self.now().minus(self.timing().expiry_grace);
        let mut tx = self.store.begin(TxMode::Write).await?;
        let instance = tx.lock_instance(id).await?.filter(|instance| {
            matches!(&instance.state, InstanceState::Active(at) if at.expires_at <= before)
        });
        let Some(instance) = instance else {
            tx.rollback().await?;
            return Ok(Expiry::NotNow);
        };
        let watched = tx.find_watched(id).await?;
        if watched.is_some_and(|watched| watched.misses >= self.timing().lost_looks) {
            tx.rollback().await?;
            return Ok(Expiry::NotNow);
        }
        if !self
            .may_destroy_unasked(tx.as_mut(), "expired", &id)
            .await?
        {
            tx.rollback().await?;
            return Ok(Expiry::Guarded);
        }
        let now = self.now();
        self.release_hanging_change(tx.as_mut(), id).await?;
        let opened = self
            .open_destroy(tx.as_mut(), instance, EndReason::Expired, now)
            .await?;
        let Some(lease) = opened.and_then(|submitted| submitted.lease) else {
            tx.rollback().await?;
            return Ok(Expiry::NotNow);
        };
        tx.commit().await?;
        Ok(Expiry::Opened(lease))
    }
}
