//! Named leases, for duties that one replica does at a time.

use async_trait::async_trait;
use compute_domain::time::Timestamp;
use compute_engine::ports::{Leases, StoreError};

use crate::statement::execute;
use crate::tx::StoreTx;

const ACQUIRE: &str = "INSERT INTO leases (name, holder, held_until, epoch)
VALUES ($1, $2, $4, 1)
ON CONFLICT (name) DO UPDATE
SET holder = excluded.holder, held_until = excluded.held_until,
    epoch = leases.epoch + CASE WHEN leases.holder = excluded.holder THEN 0 ELSE 1 END
WHERE leases.holder = excluded.holder OR leases.held_until <= $3";

#[async_trait]
impl Leases for StoreTx {
    async fn acquire_lease(
        &mut self,
        name: &str,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let rows = execute!(
            self,
            "leases",
            ACQUIRE,
            name,
            holder,
            now.millis(),
            until.millis()
        )?;
        Ok(rows == 1)
    }
}
