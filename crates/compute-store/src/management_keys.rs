//! Management keys: their texts stay readable, sealed, until they are first used.

use async_trait::async_trait;
use compute_domain::id::{ApiKeyId, OperationId};
use compute_domain::time::Timestamp;
use compute_engine::ports::{KeptKey, ManagementKeys, StoreError};

use crate::row::RowName;
use crate::statement::{execute, fetch};
use crate::tx::StoreTx;

const KEEP: &str = "INSERT INTO management_keys (operation_id, api_key_id, sealed, stored_at)
VALUES ($1, $2, $3, $4)";

const FIND: &str = "SELECT api_key_id, sealed
FROM management_keys
WHERE operation_id = $1";

const IS_KEPT: &str = "SELECT COUNT(*)
FROM management_keys
WHERE api_key_id = $1 AND sealed IS NOT NULL";

const ERASE: &str = "UPDATE management_keys
SET sealed = NULL
WHERE api_key_id = $1 AND sealed IS NOT NULL";

const EXPIRE: &str = "UPDATE management_keys
SET sealed = NULL
WHERE sealed IS NOT NULL AND stored_at < $1";

#[async_trait]
impl ManagementKeys for StoreTx {
    async fn keep_management_key(
        &mut self,
        operation: OperationId,
        api_key: ApiKeyId,
        sealed: &[u8],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (operation, api_key) = (operation.to_string(), api_key.to_string());
        execute!(
            self,
            "management_keys",
            KEEP,
            operation,
            api_key,
            sealed,
            now.millis()
        )
        .map(|_| ())
    }

    async fn find_management_key(
        &mut self,
        operation: OperationId,
    ) -> Result<Option<KeptKey>, StoreError> {
        let id = operation.to_string();
        let row: Option<(String, Option<Vec<u8>>)> =
            fetch!(fetch_optional, self, "management_keys", FIND, &id)?;
        let Some((api_key, sealed)) = row else {
            return Ok(None);
        };
        let api_key = RowName::new("management_keys", &id).text("api_key_id", &api_key)?;
        Ok(Some(KeptKey { api_key, sealed }))
    }

    async fn is_management_key_kept(&mut self, api_key: ApiKeyId) -> Result<bool, StoreError> {
        let row: Option<(i64,)> = fetch!(
            fetch_optional,
            self,
            "management_keys",
            IS_KEPT,
            api_key.to_string()
        )?;
        Ok(row.is_some_and(|(count,)| count > 0))
    }

    async fn erase_management_key(&mut self, api_key: ApiKeyId) -> Result<(), StoreError> {
        execute!(self, "management_keys", ERASE, api_key.to_string()).map(|_| ())
    }

    async fn expire_management_keys(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        execute!(self, "management_keys", EXPIRE, before.millis())
    }
}
