//! Management keys: their texts stay readable, sealed, until they are first used.

use async_trait::async_trait;
use compute_domain::id::{ApiKeyId, OperationId};
use compute_domain::time::Timestamp;
use compute_engine::ports::{KeptKey, ManagementKeys, StoreError};

use super::state::{ManagementKeyRow, State};
use super::tx::{ModelTx, require};

impl State {
    fn erase_texts(&mut self, of: impl Fn(&ManagementKeyRow) -> bool) -> u64 {
        let version = self.writing();
        let rows = self.management_keys.iter(None);
        let erased: Vec<_> = rows
            .filter(|(_, row)| row.sealed.is_some() && of(row))
            .map(|(operation, row)| (*operation, row.clone()))
            .collect();
        let mut count: u64 = 0;
        for (operation, row) in erased {
            let row = ManagementKeyRow {
                sealed: None,
                ..row
            };
            self.management_keys.put(version, operation, row);
            count = count.saturating_add(1);
        }
        count
    }
}

#[async_trait]
impl ManagementKeys for ModelTx {
    async fn keep_management_key(
        &mut self,
        operation: OperationId,
        api_key: ApiKeyId,
        sealed: &[u8],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(|state| {
            let is_new = state
                .management_keys
                .iter(None)
                .all(|(other, row)| *other != operation && row.api_key != api_key);
            require(is_new, "a purchase makes one management key")?;
            let version = state.writing();
            let row = ManagementKeyRow {
                api_key,
                sealed: Some(sealed.to_vec()),
                stored_at: now,
            };
            state.management_keys.put(version, operation, row);
            Ok(())
        })
    }

    async fn find_management_key(
        &mut self,
        operation: OperationId,
    ) -> Result<Option<KeptKey>, StoreError> {
        Ok(self.read(|state, at| {
            let row = state.management_keys.get(at, &operation)?;
            Some(KeptKey {
                api_key: row.api_key,
                sealed: row.sealed.clone(),
            })
        }))
    }

    async fn is_management_key_kept(&mut self, api_key: ApiKeyId) -> Result<bool, StoreError> {
        Ok(self.read(|state, at| {
            let mut rows = state.management_keys.iter(at);
            rows.any(|(_, row)| row.api_key == api_key && row.sealed.is_some())
        }))
    }

    async fn erase_management_key(&mut self, api_key: ApiKeyId) -> Result<(), StoreError> {
        self.write(|state| {
            state.erase_texts(|row| row.api_key == api_key);
            Ok(())
        })
    }

    async fn expire_management_keys(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        self.write(|state| Ok(state.erase_texts(|row| row.stored_at < before)))
    }
}
