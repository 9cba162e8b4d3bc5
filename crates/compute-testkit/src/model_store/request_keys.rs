//! The names that clients give to their purchases.

use async_trait::async_trait;
use compute_domain::id::OperationId;
use compute_domain::request_key::RequestKey;
use compute_domain::time::Timestamp;
use compute_engine::ports::{BoundKey, NameScope, RequestKeys, StoreError};

use super::state::RequestKeyRow;
use super::tx::{ModelTx, require};
use crate::planted::PlantedBug;

#[async_trait]
impl RequestKeys for ModelTx {
    async fn find_request_key(
        &mut self,
        scope: NameScope,
        key: &RequestKey,
    ) -> Result<Option<BoundKey>, StoreError> {
        Ok(self.read(|state, at| {
            if state.has_bug(PlantedBug::RequestKeyIgnored) {
                return None;
            }
            let row = state.request_keys.get(at, &(scope, key.clone()));
            row.map(|row| row.bound.clone())
        }))
    }

    async fn bind_request_key(
        &mut self,
        scope: NameScope,
        key: &RequestKey,
        bound: &BoundKey,
        replaces: Option<OperationId>,
        forget_at: Timestamp,
    ) -> Result<Option<BoundKey>, StoreError> {
        self.deferred.purchases.insert(bound.operation);
        self.write(|state| {
            let id = (scope, key.clone());
            let version = state.writing();
            if let Some(known) = state.request_keys.get(None, &id).cloned() {
                let is_ignored = state.has_bug(PlantedBug::RequestKeyIgnored);
                if Some(known.bound.operation) != replaces && !is_ignored {
                    return Ok(Some(known.bound));
                }
                let end = (known.forget_at, scope, key.clone());
                state.request_keys_by_end.remove(version, &end);
            }
            if let NameScope::Owner(owner) = scope {
                require(state.owners.has(None, &owner), "a name has an owner")?;
            }
            let end = (forget_at, scope, key.clone());
            state.request_keys_by_end.put(version, end, ());
            let row = RequestKeyRow {
                bound: bound.clone(),
                forget_at,
            };
            state.request_keys.put(version, id, row);
            Ok(None)
        })
    }

    async fn forget_request_keys(&mut self, now: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.write(|state| {
            let version = state.writing();
            let ended = state.request_keys_by_end.iter(None);
            let ended: Vec<_> = ended
                .map(|(end, ())| end.clone())
                .take_while(|(forget_at, ..)| *forget_at <= now)
                .take(usize::try_from(limit).unwrap_or(usize::MAX))
                .collect();
            let mut forgotten: u64 = 0;
            for end in ended {
                state.request_keys_by_end.remove(version, &end);
                let (_, scope, key) = end;
                state.request_keys.remove(version, &(scope, key));
                forgotten = forgotten.saturating_add(1);
            }
            Ok(forgotten)
        })
    }
}
