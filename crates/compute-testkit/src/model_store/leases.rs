//! Named leases.

use async_trait::async_trait;
use compute_domain::time::Timestamp;
use compute_engine::ports::{Leases, StoreError};

use super::state::LeaseRow;
use super::tx::ModelTx;

#[async_trait]
impl Leases for ModelTx {
    async fn acquire_lease(
        &mut self,
        name: &str,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        self.write(|state| {
            let name = name.to_owned();
            let epoch = match state.leases.get(None, &name) {
                Some(row) if row.holder == holder => row.epoch,
                Some(row) if row.until <= now => row.epoch.saturating_add(1),
                Some(_) => return Ok(false),
                None => 1,
            };
            let row = LeaseRow {
                holder: holder.to_owned(),
                until,
                epoch,
            };
            let version = state.writing();
            state.leases.put(version, name, row);
            Ok(true)
        })
    }
}
