//! Takes machines down whose prepaid time and grace are over.

use compute_domain::id::InstanceId;
use compute_domain::instance::{EndReason, InstanceState};

use crate::engine::Engine;
use crate::error::Error;
use crate::ports::{Lease, TxMode};

/// How many instances one round looks at.
const BATCH: u32 = 50;

impl Engine {
    /// One round: opens the destruction of expired instances; the driver does the rest. An
    /// instance that another operation holds is left for the next round. Says how many it opened.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn expire_due(&self) -> Result<usize, Error> {
        let before = self.now().minus(self.timing().expiry_grace);
        let mut tx = self.store.begin(TxMode::Read).await?;
        let expired = tx.list_expired(before, BATCH).await?;
        tx.rollback().await?;
        let mut opened = 0;
        for id in expired {
            if let Some(lease) = self.open_expiry(id).await? {
                opened += 1;
                let mut tx = self.store.begin(TxMode::Write).await?;
                tx.release_lease(&lease).await?;
                tx.commit().await?;
            }
        }
        Ok(opened)
    }

    /// Looks again under a lock: it may have been extended or destroyed since the list was read.
    async fn open_expiry(&self, id: InstanceId) -> Result<Option<Lease>, Error> {
        let before = self.now().minus(self.timing().expiry_grace);
        let mut tx = self.store.begin(TxMode::Write).await?;
        let instance = tx.lock_instance(id).await?.filter(|instance| {
            matches!(&instance.state, InstanceState::Active(at) if at.expires_at <= before)
        });
        let opened = match instance {
            Some(instance) => {
                self.open_destroy(tx.as_mut(), instance, EndReason::Expired)
                    .await?
            }
            None => None,
        };
        tx.commit().await?;
        Ok(opened.and_then(|submitted| submitted.lease))
    }
}
