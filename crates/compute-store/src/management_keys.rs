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

/// Whose payment was declined, or never sent, and who has bought nothing else: nobody gets anything by
/// these keys, and nobody has used them.
const LIST_VAIN: &str = "SELECT keys.operation_id, keys.api_key_id
FROM management_keys AS keys
JOIN operations ON operations.id = keys.operation_id
WHERE keys.sealed IS NOT NULL AND keys.stored_at < $1
    AND operations.state = 'failed'
    AND operations.failure_code IN ('payment_declined', 'payment_unreachable')
    AND NOT EXISTS (
        SELECT 1 FROM instances
        WHERE instances.owner_id = operations.owner_id
            AND (operations.instance_id IS NULL OR instances.id <> operations.instance_id))
    AND NOT EXISTS (
        SELECT 1 FROM ledger_accounts
        WHERE ledger_accounts.id = 'credits:' || operations.owner_id)
ORDER BY keys.stored_at, keys.operation_id
LIMIT $2";

/// Unless it was used in the meantime.
const FORGET: &str = "DELETE FROM management_keys
WHERE operation_id = $1 AND sealed IS NOT NULL";

const FORGET_KEY: &str = "DELETE FROM api_keys
WHERE id = $1";

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

    async fn erase_management_key(&mut self, api_key: ApiKeyId) -> Result<(), StoreError> {
        execute!(self, "management_keys", ERASE, api_key.to_string()).map(|_| ())
    }

    async fn forget_vain_keys(&mut self, old: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let (old, limit) = (old.millis(), i64::from(limit));
        let rows: Vec<(String, String)> =
            fetch!(fetch_all, self, "management_keys", LIST_VAIN, old, limit)?;
        let mut forgotten: u64 = 0;
        for (operation, api_key) in rows {
            if execute!(self, "management_keys", FORGET, operation)? == 1 {
                execute!(self, "api_keys", FORGET_KEY, api_key)?;
                forgotten = forgotten.saturating_add(1);
            }
        }
        Ok(forgotten)
    }

    async fn expire_management_keys(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        execute!(self, "management_keys", EXPIRE, before.millis())
    }
}
