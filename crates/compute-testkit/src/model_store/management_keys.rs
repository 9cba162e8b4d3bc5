//! Management keys: their texts stay readable, sealed, until they are first used.

use async_trait::async_trait;
use compute_domain::id::{ApiKeyId, InstanceId, OperationId};
use compute_domain::instance::FailureCode;
use compute_domain::operation::OperationState;
use compute_domain::time::Timestamp;
use compute_engine::ports::{KeptKey, ManagementKeys, StoreError};

use super::state::{ManagementKeyRow, State, least};
use super::tx::{ModelTx, require};

impl State {
    /// Whether the payment of a purchase was declined whose owner has nothing else.
    fn is_vain(&self, id: OperationId) -> bool {
        let Some(operation) = self.operation(None, id) else {
            return false;
        };
        let OperationState::Failed { code } = operation.state else {
            return false;
        };
        let declined = [
            FailureCode::PaymentDeclined,
            FailureCode::PaymentUnreachable,
        ];
        let least = (operation.owner, least::<InstanceId>());
        let mut others = self
            .instances_by_owner
            .range(None, least..)
            .take_while(|((owner, _), ())| *owner == operation.owner)
            .filter(|((_, instance), ())| Some(*instance) != operation.instance);
        declined.contains(&code)
            && others.next().is_none()
            && !self.accounts.has(None, &operation.owner)
    }

    fn forget_key(&mut self, operation: OperationId, id: ApiKeyId) {
        let version = self.writing();
        self.management_keys.remove(version, &operation);
        if let Some(row) = self.api_keys.get(None, &id).cloned() {
            let key = (row.api_key.owner, row.api_key.created_at, id);
            self.api_keys_by_owner.remove(version, &key);
            self.api_keys_by_mac.remove(version, &row.mac);
            self.api_keys.remove(version, &id);
        }
    }

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

    async fn erase_management_key(&mut self, api_key: ApiKeyId) -> Result<(), StoreError> {
        self.write(|state| {
            state.erase_texts(|row| row.api_key == api_key);
            Ok(())
        })
    }

    async fn forget_vain_keys(&mut self, old: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.write(|state| {
            let rows = state.management_keys.iter(None);
            let mut unused: Vec<_> = rows
                .filter(|(_, row)| row.sealed.is_some() && row.stored_at < old)
                .map(|(operation, row)| (row.stored_at, *operation, row.api_key))
                .collect();
            unused.sort_unstable();
            unused.retain(|(_, operation, _)| state.is_vain(*operation));
            unused.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            let mut forgotten: u64 = 0;
            for (_, operation, api_key) in unused {
                state.forget_key(operation, api_key);
                forgotten = forgotten.saturating_add(1);
            }
            Ok(forgotten)
        })
    }

    async fn expire_management_keys(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        self.write(|state| Ok(state.erase_texts(|row| row.stored_at < before)))
    }
}
